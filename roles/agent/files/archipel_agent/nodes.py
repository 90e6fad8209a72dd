# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform's pubsub nodes: which there are, and how their owner makes them (XEP-0060, 8).

``nodes.json`` is the one list of them; the playbook ``site`` reads it too.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from .pubsub import PUBSUB, TIMEOUT
from .session import Session
from .wire import DATA

OWNER: t.Final = f"{PUBSUB}#owner"
CONFIG: t.Final = f"{PUBSUB}#node_config"
_DECLARED: t.Final = json.loads(pathlib.Path(__file__).with_name("nodes.json").read_text())


@dataclasses.dataclass(frozen=True)
class Node:
    """``hypervisors`` is what their accounts are to it: publishers, or members, which read it only."""

    name: str
    max_items: int
    hypervisors: str

    @property
    def config(self) -> dict[str, str]:
        """As a form's fields have it."""
        settings = {**_DECLARED["config"], "max_items": self.max_items}
        return {key: str(int(value) if isinstance(value, bool) else value) for key, value in settings.items()}


NODES: t.Final = tuple(Node(**declared) for declared in _DECLARED["nodes"])


async def ensure(session: Session, node: Node, hypervisors: t.Iterable[str]) -> list[str]:
    """Make a node, or make it as it should be; what was done, in words. ``hypervisors`` are bare JIDs. An IqError is
    what the service says."""
    done = []
    try:
        form = await _owner(session, "get", ET.Element(f"{{{OWNER}}}configure", {"node": node.name}))
    except IqError as error:
        if error.condition != "item-not-found":
            raise
        create = ET.Element(f"{{{PUBSUB}}}create", {"node": node.name})
        configure = ET.Element(f"{{{PUBSUB}}}configure")
        configure.append(_submit(node.config))
        await _owner(session, "set", create, configure, namespace=PUBSUB)
        done.append("made")
    else:
        fields = {field.get("var", "").removeprefix("pubsub#"): field for field in form.iter(f"{{{DATA}}}field")}
        wrong = {k: v for k, v in node.config.items() if k in fields and _value(fields[k]) != v}
        if wrong:
            configure = ET.Element(f"{{{OWNER}}}configure", {"node": node.name})
            configure.append(_submit(wrong))
            await _owner(session, "set", configure)
            done += [f"{key} is {value} now" for key, value in wrong.items()]
    return done + await _affiliate(session, node, hypervisors)


async def _affiliate(session: Session, node: Node, hypervisors: t.Iterable[str]) -> list[str]:
    answer = await _owner(session, "get", ET.Element(f"{{{OWNER}}}affiliations", {"node": node.name}))
    there = {item.get("jid"): item.get("affiliation") for item in answer.iter(f"{{{OWNER}}}affiliation")}
    wrong = [jid for jid in hypervisors if there.get(jid) != node.hypervisors]
    if wrong:
        affiliations = ET.Element(f"{{{OWNER}}}affiliations", {"node": node.name})
        for jid in wrong:
            ET.SubElement(affiliations, f"{{{OWNER}}}affiliation", {"jid": jid, "affiliation": node.hypervisors})
        await _owner(session, "set", affiliations)
    return [f"{jid} is {node.hypervisors} now" for jid in wrong]


def _submit(config: t.Mapping[str, str]) -> ET.Element:
    form = ET.Element(f"{{{DATA}}}x", {"type": "submit"})
    for name, value in {"FORM_TYPE": CONFIG, **{f"pubsub#{key}": value for key, value in config.items()}}.items():
        ET.SubElement(ET.SubElement(form, f"{{{DATA}}}field", {"var": name}), f"{{{DATA}}}value").text = value
    return form


def _value(field: ET.Element) -> str:
    text = field.findtext(f"{{{DATA}}}value") or ""
    return {"true": "1", "false": "0"}.get(text, text)


async def _owner(
    session: Session, kind: t.Literal["get", "set"], *elements: ET.Element, namespace: str = OWNER
) -> ET.Element:
    iq = session.client.make_iq(itype=kind, ito=f"pubsub.{session.jid.domain}")
    request = ET.Element(f"{{{namespace}}}pubsub")
    request.extend(elements)
    iq.append(request)
    return (await iq.send(timeout=TIMEOUT)).xml
