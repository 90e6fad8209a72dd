# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Attributes under one key of a definition: a group of them, one device, or a list of devices."""

from __future__ import annotations

import dataclasses
import typing as t

from . import xmltree
from .elements import Change, Element, Offers
from .errors import InvalidDefinition

Values = dict[str, t.Any]
Wanted = t.Mapping[str, t.Any]


def _anything(values: Values, where: str) -> None:
    """A check that has nothing to refuse and nothing to fill in."""


def _nothing(node: t.Any, changed: t.Collection[str]) -> None:
    """Nothing goes with what changes."""


def _as_asked(values: Wanted, domain: t.Any) -> Values:
    """A new device of what was asked for and nothing else."""
    del domain
    return dict(values)


@dataclasses.dataclass
class Difference:
    """What has to become of one part of a domain: of the domain itself (no ``key``), of a group, or of a device.

    ``node`` is where it stands, or a new one for ``holder``; ``label`` tells a device from others of its list,
    ``index`` is its place in the task's list. Nothing is written before ``write``.
    """

    key: str
    element: Part
    node: t.Any
    changes: list[Change]
    wanted: Wanted
    fate: t.Literal["changed", "added", "removed"] = "changed"
    label: t.Any = None
    index: int | None = None
    holder: t.Any = None

    def named(self, change: Change) -> str:
        """The key of an attribute that changes."""
        return change.path.rpartition(".")[2]

    def write(self, only: t.Collection[str] | None = None) -> None:
        """Bring the XML to what is wanted; of a part that is there, of these attributes alone."""
        if self.fate == "removed":
            self.node.getparent().remove(self.node)
            return
        if self.holder is not None:
            self.holder.append(self.node)
        if self.fate == "changed":
            wanted = {key: value for key, value in self.wanted.items() if only is None or key in only}
            self.element.alter(self.node, wanted, {self.named(change) for change in self.changes} & wanted.keys())


@dataclasses.dataclass(frozen=True)
class Part(Element):
    """What stands under one key of a definition, at ``path`` in the domain, where the attributes' own paths begin.

    ``check`` refuses what contradicts itself and fills in what follows. ``forget`` takes away what does not go with the
    attributes that are about to change.
    """

    path: str = "."
    help: str = ""
    check: t.Callable[[Values, str], None] = _anything
    forget: t.Callable[[t.Any, t.Collection[str]], None] = _nothing

    @property
    def tag(self) -> str:
        return self.path.rpartition("/")[2]

    def bind(self, untrusted: t.Any, where: str) -> t.Any:
        values = super().bind(untrusted, where)
        self.check(values, where)
        return values

    def alter(self, node: t.Any, wanted: Wanted, changed: t.Collection[str]) -> None:
        """Write what changes, and what was forgotten with it."""
        self.forget(node, changed)
        missing = {change.path for change in self.compare(node, wanted)} | set(changed)
        self.write(node, {key: wanted[key] for key in missing})

    @property
    def option(self) -> dict[str, t.Any]:
        """As an option of a module."""
        raise NotImplementedError

    def tell(self, domain: t.Any, nodes: t.Sequence[t.Any]) -> t.Any:
        """In a person's words; ``nodes`` are those at its path."""
        raise NotImplementedError

    def refuse_missing(self, wanted: t.Any, offers: Offers) -> None:
        """Unsupported, where the host cannot have what is wanted."""
        raise NotImplementedError

    def _removed(self, node: t.Any, label: str | None = None) -> Difference:
        path = self.key if label is None else f"{self.key}[{label}]"
        told = {key: value for key, value in self.read(node).items() if value not in (None, False)}
        return Difference(self.key, self, node, [Change(path, told, None)], {}, "removed", label)


@dataclasses.dataclass(frozen=True)
class Group(Part):
    """Attributes that share a place in the domain."""

    @property
    def option(self) -> dict[str, t.Any]:
        return {"type": "dict", "help": self.help, "options": self.options()}

    def tell(self, domain: t.Any, nodes: t.Sequence[t.Any]) -> Values | None:
        """None where the domain has no such place."""
        return self.read(nodes[0]) if nodes else None

    def differences(self, domain: t.Any, wanted: Wanted) -> list[Difference]:
        """Where the domain is not as wanted."""
        there = domain.find(self.path)
        node = xmltree.element(self.tag) if there is None else there
        changes = self.compare(node, wanted, f"{self.key}." if self.key else "")
        holder = domain if there is None else None
        return [Difference(self.key, self, node, changes, wanted, holder=holder)] if changes else []

    def refuse_missing(self, wanted: Wanted, offers: Offers) -> None:
        self.refuse(wanted, f"{self.key}." if self.key else "", offers)


@dataclasses.dataclass(frozen=True)
class Device(Group):
    """A device that a definition speaks of as the only one of its kind.

    Its first attribute, its type or model, makes it what it is: of several, the one of that type is meant, and where
    there is none, another device takes the place of the first. ``new`` completes what is asked of a new one; ``absent``
    is the word that asks for none.
    """

    new: t.Callable[[Wanted, t.Any], Values] = _as_asked
    absent: str | None = "none"

    def differences(self, domain: t.Any, wanted: Wanted) -> list[Difference]:
        kind, there = self.attributes[0], domain.findall(self.path)
        if self.absent is not None and wanted.get(kind.key) == self.absent:
            return [self._removed(node) for node in there]
        for node in there:
            if kind.key not in wanted or kind.same(kind.read(node), wanted[kind.key]):
                changes = self.compare(node, wanted, f"{self.key}.")
                return [Difference(self.key, self, node, changes, wanted)] if changes else []
        made = xmltree.element(self.tag)
        self.write(made, self.new(wanted, domain))
        added = Change(self.key, None, self.named(wanted))
        return [
            *(self._removed(node) for node in there[:1]),
            Difference(self.key, self, made, [added], wanted, "added", holder=xmltree.write(domain, "devices?", "")),
        ]


@dataclasses.dataclass(frozen=True)
class Devices(Part):
    """A list of devices of one kind. Those that are not named are left alone.

    ``identity`` are the keys that say which one is meant; one that names none of them is the next in order.
    """

    identity: tuple[str, ...] = ()
    new: t.Callable[[Wanted, t.Any], Values] = _as_asked

    @property
    def option(self) -> dict[str, t.Any]:
        return {"type": "list", "elements": "dict", "help": self.help, "options": self.options()}

    def bind(self, untrusted: t.Any, where: str) -> t.Any:
        if not isinstance(untrusted, (list, tuple)):
            raise InvalidDefinition(f"{where}: a list is needed.")
        return [super(Devices, self).bind(item, f"{where}[{i}]") for i, item in enumerate(untrusted)]

    def tell(self, domain: t.Any, nodes: t.Sequence[t.Any]) -> list[Values]:
        return [self.read(node) for node in nodes]

    def differences(
        self, domain: t.Any, wanted: t.Sequence[Wanted], gone: t.Sequence[Wanted] = (), *, complete: bool = False
    ) -> list[Difference]:
        """Where the domain is not as wanted. ``gone`` are devices that are not to be there; where the list is
        ``complete``, none may be there that is not wanted."""
        devices = xmltree.write(domain, "devices?", "")
        left = domain.findall(self.path)
        labels = [self.label(node, i) for i, node in enumerate(left)]
        found = []
        for i, (item, node) in enumerate(zip(wanted, self.pair(left, wanted))):
            if node is None:
                made = self.make(item, domain, labels)
                label = self.label(made, i)
                labels.append(label)
                added = Change(f"{self.key}[{label}]", None, self.named(item))
                found.append(Difference(self.key, self, made, [added], item, "added", label, i, devices))
                continue
            left.remove(node)
            label = self.label(node, i)
            if changes := self.compare(node, item, f"{self.key}[{label}]."):
                found.append(Difference(self.key, self, node, changes, item, label=label, index=i))
        going = left if complete else [node for node in self.pair(left, gone) if node is not None]
        return found + [self._removed(node, self.name(node, i)) for i, node in enumerate(going)]

    def refuse_missing(self, wanted: t.Sequence[Wanted], offers: Offers) -> None:
        for i, item in enumerate(wanted):
            self.refuse(item, f"{self.key}[{i}].", offers)

    def pair(self, nodes: t.Sequence[t.Any], wanted: t.Sequence[Wanted]) -> list[t.Any]:
        """For each wanted device the node that is meant, None for one that is not there."""
        left = list(nodes)
        pairs = []
        for item in wanted:
            known = {key: item[key] for key in self.identity if key in item}
            found = next((node for node in left if not self.compare(node, known)), None)
            if found is not None:
                left.remove(found)
            pairs.append(found)
        return pairs

    def make(self, item: Wanted, domain: t.Any, labels: t.Collection[t.Any]) -> t.Any:
        """A new device. ``labels`` are those of the devices that are there, or will be."""
        del labels
        node = xmltree.element(self.tag)
        self.write(node, self.new(item, domain))
        return node

    def label(self, node: t.Any, index: int) -> t.Any:
        """What stands for one device in the path of a change."""
        del node
        return index

    def name(self, node: t.Any, index: int) -> t.Any:
        """What stands for one that goes, which has no place in the task's list."""
        return self.label(node, index)
