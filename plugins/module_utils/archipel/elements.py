# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How parts of a definition are declared: what a person writes, where it stands in the XML, what a host has of it.

One declaration per attribute. Options of modules, their documentation, binding, reading, writing, comparing, and
refusing what a host does not have derive from it; adding an attribute is one line.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from . import xmltree
from .actions import Argument, Secret, nearest, shown
from .errors import InvalidDefinition, Unsupported

# Bytes in the units that libvirt writes (virScaleInteger).
UNITS: t.Final = {"b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 10**6, "M": 1 << 20, "MiB": 1 << 20,
                  "GB": 10**9, "G": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "T": 1 << 40, "TiB": 1 << 40,
                  "PB": 10**15, "P": 1 << 50, "PiB": 1 << 50, "EB": 10**18, "E": 1 << 60, "EiB": 1 << 60}  # fmt: skip
_FOLDED: t.Final = {name.lower(): size for name, size in UNITS.items()}


def unit_size(name: str | None) -> int | None:
    """Bytes in a unit that libvirt reads, in any case; KiB where none is named."""
    return _FOLDED.get((name or "KiB").lower())


@dataclasses.dataclass(frozen=True)
class Change:
    """One difference: ``path`` in the words a person writes; ``scope`` is ``live`` or ``config``.

    ``old`` and ``new`` may hold a Secret; what is told of the change does not.
    """

    path: str
    old: t.Any
    new: t.Any
    scope: str = "config"

    def as_data(self) -> dict[str, t.Any]:
        return {"path": self.path, "old": shown(self.old), "new": shown(self.new), "scope": self.scope}


class Offers(t.Protocol):
    """What a host can, for one kind of machine."""

    def values(self, path: str) -> t.Collection[str] | None:
        """What can stand there; None where that is not known."""


# How libvirt writes yes and no, differently from element to element.
ON_OFF: t.Final = ("on", "off")


@dataclasses.dataclass(frozen=True)
class Attribute:
    """A value of a definition.

    ``path`` is one of xmltree's, or empty for what has no place in the XML (a volume's size). An empty text takes away
    what is there.
    """

    key: str
    path: str
    help: str
    type: t.Any = str
    choices: tuple[str, ...] = ()
    unit: str | None = None  # in which a person writes a size that the XML gives with a unit of its own
    also: tuple[str, ...] = ()  # further paths that get the same value
    beside: tuple[tuple[str, str], ...] = ()  # what libvirt wants there too, path and text, where nothing is yet
    minimum: int | None = None
    folded: bool = False  # compared without regard to case, like MAC addresses
    secret: bool = False  # a text that is never told, only compared and written
    words: tuple[str, str] = ("yes", "no")  # of a bool, unless its path says whether something is there
    zero: bool = False  # 0 is as good as nothing, and libvirt does not keep it
    unsaid: t.Any = None  # what it is where the XML says nothing, which libvirt leaves out
    whole: bool = False  # an empty text takes the whole element away
    offered: str = ""  # where capabilities.Offers has what a host can
    examples: tuple[t.Any, ...] = ()  # of texts and mappings that have a form of their own

    @property
    def option(self) -> dict[str, t.Any]:
        """As an option of a module, with its ``help``."""
        argument = self._argument(self.key)
        option: dict[str, t.Any] = {"type": argument.type_name, "help": self.help}
        if argument.elements is not None:
            option["elements"] = "str"
        if self.choices and self.type is not dict:
            option["choices"] = list(self.choices)
        if self.secret:
            option["no_log"] = True
        return option

    @property
    def presence(self) -> bool:
        """Whether it is said by an element that is there or not."""
        return self.path.endswith("?")

    @property
    def begin(self) -> str | None:
        """What a node has in its outline if this says something; None where that is not known."""
        return xmltree.begin(self.path) if type(self).read in (Attribute.read, Map.read) else None

    def _argument(self, name: str) -> Argument:
        elements = str if self.type is list else None
        return Argument(name, self.type, self.help, choices=self.choices, elements=elements, secret=self.secret)

    def bind(self, untrusted: t.Any, where: str) -> t.Any:
        value = self._argument(where).bind(untrusted)
        if self.minimum is not None and value < self.minimum:
            raise InvalidDefinition(f"{where}: {value} is too small; at least {self.minimum} is needed.")
        for text in value if self.type is list else (value,):
            storable(text, where)
        return value

    def read(self, node: t.Any) -> t.Any:
        """The value in the XML, typed; None where there is none (False for what is there or not)."""
        if self.type is list:
            return xmltree.read_all(node, self.path) or None
        text = xmltree.read(node, self.path)
        if self.presence:
            return text is not None
        if not text:
            return None
        if self.type is bool:
            return text == self.words[0]
        if self.unit:
            return int(text) * (unit_size(xmltree.read(node, self._unit_path)) or 1) // UNITS[self.unit]
        if self.secret:
            return Secret(text)
        return _number(text) if self.type is int else text

    def write(self, node: t.Any, value: t.Any) -> None:
        if self.type is list:
            xmltree.write_all(node, self.path, value)
            return
        text = self.text(value)
        if text is None and self.whole:
            xmltree.write(node, self.path.rpartition("/")[0], None)
            return
        for path in (self.path, *self.also):
            xmltree.write(node, path, text)
        if self.unit:
            xmltree.write(node, self._unit_path, self.unit)
        for path, missing in self.beside if text is not None else ():
            if xmltree.read(node, path) is None:
                xmltree.write(node, path, missing)

    def text(self, value: t.Any) -> str | None:
        """As the XML has it; None for what is not there."""
        if self.presence:
            return "" if value else None
        if self.type is bool:
            return self.words[0] if value else self.words[1]
        return None if self.zero and value == 0 else str(value) or None

    @property
    def _unit_path(self) -> str:
        place, _slash, name = self.path.rpartition("/")
        return f"{place}/@unit" if name.startswith("@") else f"{self.path}/@unit"

    def same(self, old: t.Any, new: t.Any) -> bool:
        """Whether nothing has to be done to have ``new``."""
        old = self.unsaid if old is None and new != "" else old
        if isinstance(new, str):
            # libvirt keeps neither carriage returns nor, to us, the ends of a text.
            old, new = (old or "").strip(), new.replace("\r\n", "\n").strip()
            return old.lower() == new.lower() if self.folded else old == new
        if self.zero:
            old = old or 0
        return (old or []) == new if self.type is list else old == new

    def shown(self, old: t.Any, new: t.Any) -> t.Any:
        """What was there, as far as a change to ``new`` touches it."""
        del new
        return old

    def refuse(self, value: t.Any, where: str, offers: Offers) -> None:
        """Unsupported, where the host has no such thing; it names what the host has."""
        possible = offers.values(self.offered) if self.offered else None
        text = self.text(value)
        if possible is None or text in (None, "none") or text in possible:
            return
        can = f"it can: {', '.join(sorted(possible))}" if possible else "it can none of that"
        raise Unsupported(f"{where}: {value if self.type is not bool else text} is not possible on this host; {can}.")


@dataclasses.dataclass(frozen=True)
class Map(Attribute):
    """Elements of one tag, each a name with a value. Those that are not named are left alone; an empty value takes one
    away. ``choices`` are the values."""

    type: t.Any = dict
    name: str = "@name"
    value: str = "@value"

    def bind(self, untrusted: t.Any, where: str) -> dict[str, str]:
        bound = {}
        for name, value in self._argument(where).bind(untrusted).items():
            here = f"{where}.{str(name)[:80]}"
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise InvalidDefinition(f"{here}: a text or a number is needed.")
            bound[str(name)] = (
                Argument(here, str, self.help, choices=(*self.choices, "")).bind(str(value))
                if self.choices
                else str(value)
            )
            storable(f"{name}{value}", here)
        return bound

    def _argument(self, name: str) -> Argument:
        return Argument(name, self.type, self.help)

    def read(self, node: t.Any) -> dict[str, str] | None:
        found = {xmltree.read(e, self.name) or "": xmltree.read(e, self.value) or "" for e in self._elements(node)}
        return found or None

    def write(self, node: t.Any, value: t.Mapping[str, str]) -> None:
        for name, text in value.items():
            there = next((each for each in self._elements(node) if xmltree.read(each, self.name) == name), None)
            if text and there is None:
                place, _slash, tag = self.path.rpartition("/")
                there = xmltree.element(tag)
                (xmltree.write(node, f"{place}?", "") if place else node).append(there)
                xmltree.write(there, self.name, name)
            if text:
                xmltree.write(there, self.value, text)
            elif there is not None:
                there.getparent().remove(there)

    def _elements(self, node: t.Any) -> list[t.Any]:
        return node.findall(self.path)

    def same(self, old: t.Any, new: t.Any) -> bool:
        return self.shown(old, new) == new

    def shown(self, old: t.Any, new: t.Any) -> dict[str, str]:
        return {name: (old or {}).get(name) or "" for name in new}


@dataclasses.dataclass(frozen=True)
class Element:
    """Attributes that share a node: the domain itself, a disk, an interface."""

    key: str
    attributes: tuple[Attribute, ...]

    def options(self) -> dict[str, dict[str, t.Any]]:
        return {attribute.key: attribute.option for attribute in self.attributes}

    def bind(self, untrusted: t.Any, where: str) -> dict[str, t.Any]:
        """What was named, typed; None counts as not named."""
        if not isinstance(untrusted, dict):
            raise InvalidDefinition(f"{where}: a mapping is needed.")
        known = {attribute.key: attribute for attribute in self.attributes}
        refuse_unknown(untrusted, known, where)
        return {
            key: known[key].bind(value, f"{where}.{key}" if where else key)
            for key, value in untrusted.items()
            if value is not None
        }

    def read(self, node: t.Any) -> dict[str, t.Any]:
        """All that the XML says, None where it says nothing."""
        nothing, attributes = self._reading
        there = xmltree.outline(node)
        return {**nothing, **{a.key: a.read(node) for a, begin in attributes if begin is None or begin in there}}

    @functools.cached_property
    def _reading(self) -> tuple[dict[str, t.Any], list[tuple[Attribute, str | None]]]:
        """What is said by nothing, and each attribute with what must be there for it to say something: most of what can
        be declared is not there, and looking for it took half of vm_info's time."""
        empty = xmltree.element("nothing")
        attributes = [(a, a.begin) for a in self.attributes if a.path]
        return {a.key: a.read(empty) if begin else None for a, begin in attributes}, attributes

    def write(self, node: t.Any, values: t.Mapping[str, t.Any]) -> None:
        for attribute in self.attributes:
            if attribute.path and attribute.key in values:
                attribute.write(node, values[attribute.key])

    def compare(self, node: t.Any, wanted: t.Mapping[str, t.Any], prefix: str = "") -> list[Change]:
        """What of ``wanted`` the node does not have; what is not named is not compared."""
        changes = []
        for attribute in self.attributes:
            if attribute.path and attribute.key in wanted:
                old, new = attribute.read(node), wanted[attribute.key]
                if not attribute.same(old, new):
                    changes.append(Change(prefix + attribute.key, attribute.shown(old, new), new))
        return changes

    def refuse(self, values: t.Mapping[str, t.Any], where: str, offers: Offers) -> None:
        for attribute in self.attributes:
            if attribute.key in values:
                attribute.refuse(values[attribute.key], f"{where}{attribute.key}", offers)

    def named(self, values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Those of ``values`` that people write, in the order of the declarations."""
        return {attribute.key: values[attribute.key] for attribute in self.attributes if attribute.key in values}


def _number(text: str) -> int:
    return int(text, 16 if text.startswith("0x") else 10)


def storable(text: t.Any, where: str) -> None:
    if isinstance(text, str) and xmltree.UNSTORABLE.search(text):
        raise InvalidDefinition(f"{where}: has a control character, which XML cannot carry; leave it out.")


def refuse_unknown(untrusted: t.Mapping[t.Any, t.Any], known: t.Iterable[str], where: str) -> None:
    known = list(known)
    for key in untrusted:
        if key not in known:
            at = f"{where}: " if where else ""
            raise InvalidDefinition(f"{at}unknown key {str(key)[:80]!r}.{nearest(key, known)}")
