# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How parts of a definition are declared: what a person writes, where it stands in the XML.

One declaration per attribute. Options of modules, their documentation, binding, reading, writing and comparing
derive from it; adding an attribute is one line.
"""

from __future__ import annotations

import dataclasses
import typing as t

from . import xmltree
from .actions import Argument, Secret, nearest, shown
from .errors import InvalidDefinition

# Bytes in the units that libvirt writes (virScaleInteger).
UNITS: t.Final = {"b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 10**6, "M": 1 << 20, "MiB": 1 << 20,
                  "GB": 10**9, "G": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "T": 1 << 40, "TiB": 1 << 40}  # fmt: skip


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


@dataclasses.dataclass(frozen=True)
class Attribute:
    """A value of a definition.

    ``path`` is one of xmltree's, or empty for what has no place in the XML (a volume's size). ``unit`` is the unit in
    which a person writes a size that the XML gives with a unit of its own. ``also`` are further paths that get the same
    value. An empty string takes away what is there.
    """

    key: str
    path: str
    help: str
    type: t.Any = str
    choices: tuple[str, ...] = ()
    unit: str | None = None
    also: tuple[str, ...] = ()
    minimum: int | None = None
    folded: bool = False  # compared without regard to case, like MAC addresses
    secret: bool = False  # a text that is never told, only compared and written

    @property
    def option(self) -> dict[str, t.Any]:
        """As an option of a module, with its ``help``."""
        option: dict[str, t.Any] = {"type": self._argument(self.key).type_name, "help": self.help}
        if self.type is list:
            option["elements"] = "str"
        if self.choices:
            option["choices"] = list(self.choices)
        if self.secret:
            option["no_log"] = True
        return option

    def _argument(self, name: str) -> Argument:
        elements = str if self.type is list else None
        return Argument(name, self.type, self.help, choices=self.choices, elements=elements, secret=self.secret)

    def bind(self, untrusted: t.Any, where: str) -> t.Any:
        value = self._argument(where).bind(untrusted)
        if self.minimum is not None and value < self.minimum:
            raise InvalidDefinition(f"{where}: {value} is too small; at least {self.minimum} is needed.")
        for text in value if self.type is list else (value,):
            if isinstance(text, str) and xmltree.UNSTORABLE.search(text):
                raise InvalidDefinition(f"{where}: has a control character, which XML cannot carry.")
        return value

    def read(self, node: t.Any) -> t.Any:
        """The value in the XML, typed; None where there is none (False for what is there or not)."""
        if self.type is list:
            return xmltree.read_all(node, self.path) or None
        text = xmltree.read(node, self.path)
        if self.type is bool:
            return text is not None
        if text is None:
            return None
        if self.unit:
            holder = xmltree.read(node, f"{self.path}/@unit") or "KiB"
            return int(text) * UNITS[holder] // UNITS[self.unit]
        if self.secret:
            return Secret(text)
        return int(text) if self.type is int else text

    def write(self, node: t.Any, value: t.Any) -> None:
        if self.type is list:
            xmltree.write_all(node, self.path, value)
            return
        for path in (self.path, *self.also):
            if self.type is bool:
                text = "" if value else None
            else:
                text = str(value) or None
            holder = xmltree.write(node, path, text)
            if self.unit:
                holder.set("unit", self.unit)

    def same(self, old: t.Any, new: t.Any) -> bool:
        """Whether nothing has to be done to have ``new``."""
        if isinstance(new, str):
            # libvirt keeps neither carriage returns nor, to us, the ends of a text.
            old, new = (old or "").strip(), new.replace("\r\n", "\n").strip()
            return old.lower() == new.lower() if self.folded else old == new
        return (old or []) == new if self.type is list else old == new


@dataclasses.dataclass(frozen=True)
class Element:
    """A group of attributes that share a node: the domain itself, a disk, an interface."""

    tag: str
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
        return {a.key: a.read(node) for a in self.attributes if a.path}

    def write(self, node: t.Any, values: t.Mapping[str, t.Any]) -> None:
        for attribute in self.attributes:
            if attribute.path and attribute.key in values:
                attribute.write(node, values[attribute.key])

    def compare(self, node: t.Any, wanted: t.Mapping[str, t.Any], prefix: str = "") -> list[Change]:
        """What of ``wanted`` the node does not have; what is not named is not compared."""
        changes = []
        for attribute in self.attributes:
            if attribute.path and attribute.key in wanted:
                old = attribute.read(node)
                if not attribute.same(old, wanted[attribute.key]):
                    changes.append(Change(prefix + attribute.key, old, wanted[attribute.key]))
        return changes


def refuse_unknown(untrusted: t.Mapping[t.Any, t.Any], known: t.Iterable[str], where: str) -> None:
    known = list(known)
    for key in untrusted:
        if key not in known:
            at = f"{where}: " if where else ""
            raise InvalidDefinition(f"{at}unknown key {str(key)[:80]!r}.{nearest(key, known)}")
