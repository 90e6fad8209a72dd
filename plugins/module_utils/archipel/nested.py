# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Definitions with groups and lists within lists, as networks have them.

Declared once too: options, binding, reading, writing what a person names and telling two documents apart derive from
it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from . import xmltree
from .actions import Argument
from .elements import Attribute, Change, Element, refuse_unknown
from .errors import InvalidDefinition

Values = dict[str, t.Any]
Mode = t.Literal["add", "set", "remove"]


@dataclasses.dataclass(frozen=True)
class Known(Attribute):
    """An attribute that libvirt knows a value of when it is not there."""

    absent: t.Any = False
    words: tuple[str, str] = ("yes", "no")

    def read(self, node: t.Any) -> t.Any:
        text = xmltree.read(node, self.path)
        if text is None:
            return self.absent
        return text not in (self.words[1], "0") if self.type is bool else self.type(text)

    def write(self, node: t.Any, value: t.Any) -> None:
        if value != self.read(node):
            text = self.words[0 if value else 1] if self.type is bool else str(value)
            xmltree.write(node, self.path, text)


@dataclasses.dataclass(frozen=True)
class Texts(Attribute):
    """A list of texts, each an element of its own."""

    type: t.Any = list

    def read(self, node: t.Any) -> list[str] | None:
        return [(each.text or "").strip() for each in node.iterfind(self.path)] or None

    def write(self, node: t.Any, value: t.Sequence[str]) -> None:
        for each in node.findall(self.path):
            node.remove(each)
        for text in value:
            node.append(xmltree.element(self.path))
            node[-1].text = text


@dataclasses.dataclass(frozen=True)
class Edit:
    """What differs between two documents in one place.

    ``section`` is libvirt's name for entries that can be changed by themselves, in the ``position``-th of the items
    around it; then ``old`` and ``new`` are the entry's XML, None where there is none.
    """

    changes: tuple[Change, ...]
    section: str | None = None
    position: int = -1
    old: str | None = None
    new: str | None = None

    @property
    def key(self) -> tuple[t.Any, ...]:
        """Equal for what is the same thing to do in two documents."""
        return self.section, self.position, self.old, self.new


@dataclasses.dataclass(frozen=True)
class Nested:
    """Attributes, and parts within. With ``path`` it is a list of elements there; without, a group at the node around.

    ``identity`` says by which keys the item that a person means is found: the first of these that fit. An empty one
    means the next that nothing else means.
    """

    element: Element
    help: str
    path: str = ""
    identity: tuple[tuple[str, ...], ...] = ()
    section: str | None = None
    within: t.Mapping[str, Nested] = dataclasses.field(default_factory=dict)

    # -- as options

    def options(self) -> dict[str, dict[str, t.Any]]:
        return {**self.element.options(), **{key: part.option for key, part in self.within.items()}}

    @property
    def option(self) -> dict[str, t.Any]:
        kind = {"type": "list", "elements": "dict"} if self.path else {"type": "dict"}
        return {**kind, "help": self.help, "options": self.options()}

    def bind(self, untrusted: t.Any, where: str) -> t.Any:
        """What was named, typed; None counts as not named."""
        if not self.path:
            return self._bind(untrusted, where)
        items = Argument(where, list, self.help).bind(untrusted)
        return [self._bind(item, f"{where}[{i}]") for i, item in enumerate(items)]

    def _bind(self, untrusted: t.Any, where: str) -> Values:
        if not isinstance(untrusted, dict):
            raise InvalidDefinition(f"{where}: a mapping is needed.")
        refuse_unknown(untrusted, self.options(), where)
        values = self.element.bind({k: v for k, v in untrusted.items() if k not in self.within}, where)
        for key, part in self.within.items():
            if untrusted.get(key) is not None:
                values[key] = part.bind(untrusted[key], f"{where}.{key}" if where else key)
        return values

    # -- in a document

    def clear(self, node: t.Any) -> None:
        """Take away all that is declared; what stays is what no declaration knows."""
        for attribute in self.element.attributes:
            for path in (attribute.path, *attribute.also):
                if path:
                    xmltree.write(node, path, None)
        for part in self.within.values():
            for item in node.findall(part.path) if part.path else ():
                item.getparent().remove(item)
            if not part.path:
                part.clear(node)

    def read(self, node: t.Any) -> Values:
        """All that it says of one item or group, None where it says nothing."""
        values = self.element.read(node)
        for key, part in self.within.items():
            values[key] = [part.read(item) for item in node.findall(part.path)] if part.path else part.read(node)
        return values

    def write(self, node: t.Any, wanted: t.Mapping[str, t.Any], mode: Mode = "add") -> None:
        """Bring what is named to what is wanted. ``mode`` says what it means for lists: that these entries are there,
        these and no others, or none of these."""
        for attribute in self.element.attributes:
            if attribute.key in wanted and not attribute.same(attribute.read(node), wanted[attribute.key]):
                attribute.write(node, wanted[attribute.key])
        for key, part in self.within.items():
            if key not in wanted:
                continue
            if part.path:
                part._write_list(node, wanted[key], mode)
            else:
                part.write(node, wanted[key], mode)

    def _write_list(self, node: t.Any, wanted: t.Sequence[t.Mapping[str, t.Any]], mode: Mode) -> None:
        there = node.findall(self.path)
        if mode == "remove":
            self._remove(there, wanted)
            return
        holder, _slash, tag = self.path.rpartition("/")
        pairs = self.pair(there, wanted)
        for found, item in zip(pairs, wanted):
            if found is None:
                found = xmltree.element(tag)
                (xmltree.write(node, f"{holder}?", "") if holder else node).append(found)
            self.write(found, item, mode)
        for extra in there if mode == "set" else ():
            if not any(extra is found for found in pairs):
                extra.getparent().remove(extra)

    def _remove(self, nodes: t.Sequence[t.Any], wanted: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        """Of an item that names what is within, that; of others the item that has all that is named of its identity."""
        keys = {key for identity in self.identity for key in identity}
        for item, pair in zip(wanted, self.pair(nodes, wanted)):
            inner = {key: item[key] for key in self.within if key in item}
            if inner and pair is not None:
                self.write(pair, inner, "remove")
            named = [key for key in item if key in keys and not inner]
            for node in [node for node in nodes if named and self._is(node, item, named)][:1]:
                node.getparent().remove(node)

    def pair(self, nodes: t.Sequence[t.Any], wanted: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Any]:
        """For each wanted item the one that is meant, or None."""
        left = list(nodes)
        pairs: list[t.Any] = [None] * len(wanted)
        for keys in self.identity:
            for i, item in enumerate(wanted):
                if pairs[i] is None and (not keys or any(item.get(key) is not None for key in keys)):
                    pairs[i] = next((node for node in left if self._is(node, item, keys)), None)
                    left = [node for node in left if node is not pairs[i]]
        return pairs

    def _is(self, node: t.Any, item: t.Mapping[str, t.Any], keys: t.Sequence[str]) -> bool:
        attributes = {attribute.key: attribute for attribute in self.element.attributes}
        return all(_same(attributes[key], attributes[key].read(node), item.get(key)) for key in keys)

    def label(self, values: t.Mapping[str, t.Any], index: int) -> str:
        """What people call an item."""
        for keys in self.identity:
            named = [str(values[key]) for key in keys if values.get(key) is not None]
            if named:
                return "/".join(named)
        return str(index)

    def compare(self, old: t.Any, new: t.Any, prefix: str = "", position: int = -1) -> list[Edit]:
        """What differs between two documents, in the words of the options."""
        changes = tuple(
            Change(prefix + attribute.key, before, after)
            for attribute, before, after in (
                (a, a.read(old), a.read(new)) for a in self.element.attributes if a.path
            )
            if not _same(attribute, before, after)
        )  # fmt: skip
        inner: list[Edit] = []
        for key, part in self.within.items():
            if part.path:
                inner += part._compare_lists(old, new, prefix + key, position)
            else:
                inner += part.compare(old, new, f"{prefix}{key}.", position)
        if not changes:
            return inner
        # Where what is around an entry changes, the entry cannot be changed by itself.
        return [Edit(changes), *(Edit(edit.changes) if prefix else edit for edit in inner)]

    def _compare_lists(self, old: t.Any, new: t.Any, prefix: str, position: int) -> list[Edit]:
        before, after = old.findall(self.path), new.findall(self.path)
        wanted = [self.read(item) for item in after]
        pairs = self.pair(before, wanted)
        edits = []
        for i, item in enumerate(before):
            if not any(item is found for found in pairs):
                values = _said(self.read(item))
                change = Change(f"{prefix}[{self.label(values, i)}]", values, None)
                edits.append(Edit((change,), self.section, position, xmltree.serialise(item)))
        for i, (found, item, values) in enumerate(zip(pairs, after, wanted)):
            path = f"{prefix}[{self.label(values, i)}]"
            if found is None:
                entry = xmltree.serialise(item)
                edits.append(Edit((Change(path, None, _said(values)),), self.section, position, None, entry))
                continue
            inner = self.compare(found, item, f"{path}.", before.index(found))
            if self.section and inner:
                changes = tuple(change for edit in inner for change in edit.changes)
                inner = [Edit(changes, self.section, position, xmltree.serialise(found), xmltree.serialise(item))]
            edits += inner
        return edits


def _same(attribute: Attribute, old: t.Any, new: t.Any) -> bool:
    return old == new or (old is not None and new is not None and attribute.same(old, new))


def _said(values: t.Any) -> t.Any:
    """Without what is not said."""
    if isinstance(values, dict):
        said = {key: _said(value) for key, value in values.items()}
        return {key: value for key, value in said.items() if value not in (None, [], {}, False)}
    return [_said(value) for value in values] if isinstance(values, list) else values
