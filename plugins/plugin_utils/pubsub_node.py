# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node of a pubsub service becomes what a task asks for."""

from __future__ import annotations

import dataclasses
import typing as t

from ..module_utils.archipel import errors
from ..module_utils.archipel.actions import nearest
from .pubsub import Field, Payload, Service


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a node is to be. Only what is named is compared; None names nothing.

    ``affiliations_mode`` is ``add`` or ``set``, ``items_mode`` is ``add``, ``set`` or ``remove``.
    """

    name: str
    present: bool
    config: t.Mapping[str, t.Any]
    affiliations: t.Mapping[str, str] | None
    affiliations_mode: str
    items: t.Mapping[str, Payload] | None
    items_mode: str

    @classmethod
    def bind(cls, parameters: t.Mapping[str, t.Any]) -> Wanted:
        """From the task's validated parameters."""
        affiliations, items = parameters["affiliations"], parameters["items"]
        return cls(
            name=parameters["name"],
            present=parameters["state"] == "present",
            config=parameters["config"] or {},
            affiliations=None if affiliations is None else dict(_affiliation(*pair) for pair in affiliations.items()),
            affiliations_mode=parameters["affiliations_mode"],
            items=None if items is None else {item["id"]: _payload(item) for item in items},
            items_mode=parameters["items_mode"],
        )


def _affiliation(jid: str, affiliation: t.Any) -> tuple[str, str]:
    known = ("owner", "publisher", "publish-only", "member", "outcast", "none")
    if affiliation not in known:
        hint = nearest(affiliation, known)
        raise errors.InvalidArgument(f"affiliations.{jid}: {affiliation!r} is none of {', '.join(known)}.{hint}")
    return jid.partition("/")[0].lower(), affiliation


def _payload(item: t.Mapping[str, t.Any]) -> Payload:
    if item["xml"] is not None:
        return Payload.parse(f"items.{item['id']}", item["xml"])
    return Payload(item["data"])


@dataclasses.dataclass(frozen=True)
class State:
    """What there is of a node, as far as a task names it."""

    exists: bool
    config: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    affiliations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    items: t.Mapping[str, Payload] = dataclasses.field(default_factory=dict)

    def plain(self, wanted: Wanted) -> dict[str, t.Any]:
        """As a person reads it in a diff and in a result."""
        if not self.exists:
            return {"name": wanted.name, "state": "absent"}
        state: dict[str, t.Any] = {"name": wanted.name, "state": "present", "config": dict(self.config)}
        if wanted.affiliations is not None:
            state["affiliations"] = dict(sorted(self.affiliations.items()))
        if wanted.items is not None:
            state["items"] = {id_: payload.plain() for id_, payload in sorted(self.items.items())}
        return state


@dataclasses.dataclass(frozen=True)
class Step:
    """One request, and the changes that it makes."""

    act: t.Callable[[], None]
    changes: t.Sequence[dict[str, t.Any]]


def converge(service: Service, wanted: Wanted, *, check: bool) -> dict[str, t.Any]:
    """Make the node what it is to be, or with ``check`` only say what would be done. Returns a task's result."""
    fields = service.configuration(wanted.name)
    before = _read(service, wanted, fields)
    if wanted.present:
        steps, after = _plan(service, wanted, before, service.default_configuration() if fields is None else fields)
    elif before.exists:
        gone = _change("state", "present", "absent")
        steps, after = [Step(lambda: service.delete(wanted.name), [gone])], State(exists=False)
    else:
        steps, after = [], before
    done: list[dict[str, t.Any]] = []
    for step in steps:
        try:
            if not check:
                step.act()
        except errors.ArchipelError as failure:
            raise type(failure)(f"{wanted.name}: {failure}", changes=done) from None
        done.extend(step.changes)
    shown = after.plain(wanted)
    # In a template, node.items would be the method of dictionaries.
    node = {"payloads" if key == "items" else key: value for key, value in shown.items()}
    verb = "would be" if check else "was"
    return {
        "changed": bool(done),
        "msg": f"{wanted.name} {verb} changed: {_paths(done)}." if done else f"{wanted.name} is as it should be.",
        "changes": done,
        "diff": {"before": before.plain(wanted), "after": shown},
        "node": {"service": service.jid, **node},
    }


def _read(service: Service, wanted: Wanted, fields: t.Mapping[str, Field] | None) -> State:
    if fields is None:
        return State(exists=False)
    ids = None if wanted.items_mode == "set" else list(wanted.items or ())
    return State(
        exists=True,
        config={name: fields[name].value for name in wanted.config if name in fields},
        affiliations={} if wanted.affiliations is None else service.affiliations(wanted.name),
        items={} if wanted.items is None or ids == [] else service.items(wanted.name, ids),
    )


def _plan(service: Service, wanted: Wanted, before: State, fields: t.Mapping[str, Field]) -> tuple[list[Step], State]:
    steps: list[Step] = []
    config = {name: _bind(name, value, fields) for name, value in wanted.config.items()}
    odd = {name: value for name, value in config.items() if name not in before.config or before.config[name] != value}
    named = [_change(f"config.{name}", before.config.get(name), value) for name, value in odd.items()]
    if not before.exists:
        created = [_change("state", "absent", "present"), *named]
        steps.append(Step(lambda: service.create(wanted.name, config), created))
    elif odd:
        steps.append(Step(lambda: service.configure(wanted.name, odd), named))

    affiliations, granted = _affiliations(service.client.account.bare, wanted, before)
    if granted:
        told = [_change(f"affiliations.{jid}", before.affiliations.get(jid), new) for jid, new in granted.items()]
        steps.append(Step(lambda: service.affiliate(wanted.name, granted), told))

    items = dict(before.items)
    for id_, payload in (wanted.items or {}).items():
        if wanted.items_mode != "remove" and not payload.same(before.items.get(id_)):
            steps.append(_publish(service, wanted.name, id_, before.items.get(id_), payload))
            items[id_] = payload
    for id_ in before.items:
        if (wanted.items_mode == "remove") if id_ in (wanted.items or {}) else (wanted.items_mode == "set"):
            steps.append(_retract(service, wanted.name, id_, before.items[id_]))
            del items[id_]
    return steps, State(True, config, affiliations, items)


def _bind(name: str, value: t.Any, fields: t.Mapping[str, Field]) -> t.Any:
    if name not in fields:
        raise errors.InvalidArgument(f"config.{name}: nodes of this service have no such field.{nearest(name, fields)}")
    return fields[name].bind(name, value)


def _affiliations(own: str, wanted: Wanted, before: State) -> tuple[dict[str, str], dict[str, str]]:
    """What they will be, and what of it must be set."""
    if wanted.affiliations is None:
        return dict(before.affiliations), {}
    named = dict(wanted.affiliations)
    if wanted.affiliations_mode == "set":
        # Never our own: without it nobody could change the node again.
        named = {**{jid: "none" for jid in before.affiliations if jid != own}, **named}
    # Whoever creates a node owns it (XEP-0060, 8.1).
    held = before.affiliations if before.exists else {own: "owner"}
    granted = {jid: new for jid, new in named.items() if held.get(jid, "none") != new}
    after = {jid: new for jid, new in {**held, **named}.items() if new != "none"}
    return after, granted


def _publish(service: Service, node: str, id_: str, old: Payload | None, new: Payload) -> Step:
    change = _change(f"items.{id_}", old.plain() if old else None, new.plain())
    return Step(lambda: service.publish(node, id_, new), [change])


def _retract(service: Service, node: str, id_: str, old: Payload) -> Step:
    return Step(lambda: service.retract(node, id_), [_change(f"items.{id_}", old.plain(), None)])


def _change(path: str, old: t.Any, new: t.Any) -> dict[str, t.Any]:
    return {"path": path, "old": old, "new": new, "scope": "live"}


def _paths(changes: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    return ", ".join(change["path"] for change in changes)
