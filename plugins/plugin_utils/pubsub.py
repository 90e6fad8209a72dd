# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of a pubsub service and their items, as they are on the wire (XEP-0060)."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from xml.etree import ElementTree as ET

from ..module_utils.archipel import errors
from .xmpp import JSON, Client

_PUBSUB: t.Final = "{http://jabber.org/protocol/pubsub}"
_OWNER: t.Final = "{http://jabber.org/protocol/pubsub#owner}"
_FORM: t.Final = "{jabber:x:data}"
_RSM: t.Final = "{http://jabber.org/protocol/rsm}"
_CONFIG: t.Final = "http://jabber.org/protocol/pubsub#node_config"
_PREFIX: t.Final = "pubsub#"
_BOOLEANS: t.Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
# A stanza with more would meet the server's max_stanza_size.
_IDS_PER_REQUEST: t.Final = 200

# What a field of a node's configuration holds: bool, int, str, or list of str, as the service's form says.
Value = t.Any


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of the service's form for a node's configuration."""

    kind: str
    value: Value
    choices: tuple[str, ...] = ()

    @classmethod
    def read(cls, element: ET.Element) -> Field:
        kind = element.get("type", "text-single")
        value = _value(kind, [value.text or "" for value in element.iterfind(f"{_FORM}value")])
        return cls(kind, value, tuple(choice.text or "" for choice in element.iterfind(f"{_FORM}option/{_FORM}value")))

    def bind(self, name: str, untrusted: t.Any) -> Value:
        """What a person wrote, in this field's type."""
        if isinstance(untrusted, dict) or (isinstance(untrusted, list) and not self.kind.endswith("-multi")):
            raise errors.InvalidArgument(f"config.{name}: {untrusted!r} is not a value of a field of type {self.kind}.")
        written = untrusted if isinstance(untrusted, list) else [untrusted]
        texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in written]
        if self.kind == "boolean" and texts[0].lower() not in _BOOLEANS:
            raise errors.InvalidArgument(f"config.{name}: {untrusted!r} is neither true nor false.")
        for text in texts if self.choices else ():
            if text not in self.choices:
                raise errors.InvalidArgument(f"config.{name}: {text!r} is none of {', '.join(self.choices)}.")
        return _value(self.kind, texts)


def _value(kind: str, texts: t.Sequence[str]) -> Value:
    if kind.endswith("-multi"):
        return sorted(texts)
    text = texts[0] if texts else ""
    if kind == "boolean":
        return _BOOLEANS.get(text.lower(), False)
    return int(text) if text.isascii() and text.isdigit() else text


@dataclasses.dataclass(frozen=True)
class Payload:
    """What an item carries: ``data`` in a JSON container (XEP-0335), or any other element as canonical XML."""

    data: t.Any = None
    xml: str | None = None

    @classmethod
    def read(cls, element: ET.Element | None) -> Payload:
        if element is None:
            return cls()
        if element.tag == f"{{{JSON}}}json":
            try:
                return cls(json.loads(element.text or "null"))
            except ValueError:
                pass
        return cls(xml=ET.canonicalize(ET.tostring(element, "unicode"), strip_text=True))

    @classmethod
    def parse(cls, where: str, xml: str) -> Payload:
        if "<!DOCTYPE" in xml:
            raise errors.InvalidArgument(f"{where}: XML of an item has no document type declaration (RFC 6120, 11.1).")
        try:
            return cls.read(ET.fromstring(xml))
        except ET.ParseError as failure:
            raise errors.InvalidArgument(f"{where}: not well-formed XML: {failure}.") from None

    def element(self) -> ET.Element:
        if self.xml is not None:
            return ET.fromstring(self.xml)
        container = ET.Element(f"{{{JSON}}}json")
        container.text = json.dumps(self.data)
        return container

    def plain(self) -> t.Any:
        return self.data if self.xml is None else self.xml

    def same(self, other: Payload | None) -> bool:
        # Through JSON, because to Python 1, 1.0 and True are equal.
        return other is not None and _text(self) == _text(other)


def _text(payload: Payload) -> str:
    return json.dumps([payload.data, payload.xml], sort_keys=True)


class Service:
    """A pubsub service, asked by an account that owns the nodes in question."""

    def __init__(self, client: Client, jid: str) -> None:
        self.client = client
        self.jid = jid

    def default_configuration(self) -> dict[str, Field]:
        return self._form(self._owner("get", "default"))

    def configuration(self, node: str) -> dict[str, Field] | None:
        """None where there is no such node."""
        try:
            return self._form(self._owner("get", "configure", node))
        except errors.NotFound:
            return None

    def create(self, node: str, config: t.Mapping[str, Value]) -> None:
        request = ET.Element(f"{_PUBSUB}pubsub")
        ET.SubElement(request, f"{_PUBSUB}create", node=node)
        ET.SubElement(request, f"{_PUBSUB}configure").append(_submit(config))
        self.client.request("set", self.jid, request)

    def configure(self, node: str, config: t.Mapping[str, Value]) -> None:
        self._owner("set", "configure", node, [_submit(config)])

    def delete(self, node: str) -> None:
        self._owner("set", "delete", node)

    def affiliations(self, node: str) -> dict[str, str]:
        """Bare JID to affiliation."""
        found = self._owner("get", "affiliations", node).iterfind(f".//{_OWNER}affiliation")
        return {item.get("jid", "").lower(): item.get("affiliation", "none") for item in found}

    def affiliate(self, node: str, affiliations: t.Mapping[str, str]) -> None:
        wanted = [
            ET.Element(f"{_OWNER}affiliation", jid=jid, affiliation=affiliation)
            for jid, affiliation in affiliations.items()
        ]
        self._owner("set", "affiliations", node, wanted)

    def items(self, node: str, ids: t.Sequence[str] | None = None) -> dict[str, Payload]:
        """Items by id: those of ``ids`` that exist, or all."""
        if ids is None:
            return dict(self._every_item(node))
        found: dict[str, Payload] = {}
        for start in range(0, len(ids), _IDS_PER_REQUEST):
            request = _items_request(node, ids[start : start + _IDS_PER_REQUEST])
            try:
                found.update(_items(self.client.request("get", self.jid, request)))
            except errors.NotFound:
                continue
        return found

    def publish(self, node: str, id_: str, payload: Payload) -> None:
        request = ET.Element(f"{_PUBSUB}pubsub")
        publish = ET.SubElement(request, f"{_PUBSUB}publish", node=node)
        ET.SubElement(publish, f"{_PUBSUB}item", id=id_).append(payload.element())
        self.client.request("set", self.jid, request)

    def retract(self, node: str, id_: str) -> None:
        request = ET.Element(f"{_PUBSUB}pubsub")
        retract = ET.SubElement(request, f"{_PUBSUB}retract", node=node, notify="true")
        ET.SubElement(retract, f"{_PUBSUB}item", id=id_)
        self.client.request("set", self.jid, request)

    def _every_item(self, node: str) -> t.Iterator[tuple[str, Payload]]:
        after = None
        while True:
            request = _items_request(node)
            if after is not None:
                page = ET.SubElement(request, f"{_RSM}set")
                ET.SubElement(page, f"{_RSM}after").text = after
            answer = self.client.request("get", self.jid, request, timeout=60)
            found = _items(answer)
            yield from found.items()
            last = answer.findtext(f".//{_RSM}set/{_RSM}last")
            if not found or not last or last == after:
                return
            after = last

    def _owner(
        self, kind: str, verb: str, node: str | None = None, children: t.Iterable[ET.Element] = ()
    ) -> ET.Element:
        request = ET.Element(f"{_OWNER}pubsub")
        ET.SubElement(request, f"{_OWNER}{verb}", {} if node is None else {"node": node}).extend(children)
        return self.client.request(kind, self.jid, request)

    @staticmethod
    def _form(answer: ET.Element) -> dict[str, Field]:
        fields = answer.iterfind(f".//{_FORM}field")
        return {
            field.get("var", "").removeprefix(_PREFIX): Field.read(field)
            for field in fields
            if field.get("var", "").startswith(_PREFIX)
        }


def _items_request(node: str, ids: t.Sequence[str] = ()) -> ET.Element:
    request = ET.Element(f"{_PUBSUB}pubsub")
    ET.SubElement(request, f"{_PUBSUB}items", node=node).extend(ET.Element(f"{_PUBSUB}item", id=id_) for id_ in ids)
    return request


def _items(answer: ET.Element) -> dict[str, Payload]:
    return {item.get("id", ""): Payload.read(next(iter(item), None)) for item in answer.iterfind(f".//{_PUBSUB}item")}


def _submit(config: t.Mapping[str, Value]) -> ET.Element:
    form = ET.Element(f"{_FORM}x", type="submit")
    kind = ET.SubElement(form, f"{_FORM}field", var="FORM_TYPE", type="hidden")
    ET.SubElement(kind, f"{_FORM}value").text = _CONFIG
    for name, value in config.items():
        field = ET.SubElement(form, f"{_FORM}field", var=_PREFIX + name)
        for item in value if isinstance(value, list) else [value]:
            ET.SubElement(field, f"{_FORM}value").text = str(int(item)) if isinstance(item, bool) else str(item)
    return form
