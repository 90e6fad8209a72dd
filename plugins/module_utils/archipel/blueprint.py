# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a task names of a pool, a volume and the like: an element's keys, some of them in groups."""

from __future__ import annotations

import dataclasses
import typing as t

from .elements import Change, Element, refuse_unknown
from .errors import InvalidDefinition

Groups = t.Mapping[str, tuple[Element, str]]


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """``values`` is what was named, typed. A subclass has the ``element`` and, by their keys, the ``groups`` with their
    help. All of them stand at one node, where their paths begin."""

    values: dict[str, t.Any]
    element: t.ClassVar[Element]
    groups: t.ClassVar[Groups] = {}
    options: t.ClassVar[dict[str, dict[str, t.Any]]]

    def __init_subclass__(cls) -> None:
        inner = {
            key: {"type": "dict", "help": text, "options": group.options()} for key, (group, text) in cls.groups.items()
        }
        cls.options = {**cls.element.options(), **inner}

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> t.Any:
        if not isinstance(untrusted, dict):
            raise InvalidDefinition(f"{where}: a mapping is needed.")
        refuse_unknown(untrusted, cls.options, "")
        values = cls.element.bind({key: untrusted[key] for key in untrusted if key not in cls.groups}, "")
        for key, (group, _text) in cls.groups.items():
            if untrusted.get(key) is not None:
                values[key] = group.bind(untrusted[key], key)
        bound = cls(values)
        bound.check()
        return bound

    def check(self) -> None:
        """Refuse what contradicts itself."""

    @classmethod
    def read(cls, node: t.Any) -> dict[str, t.Any]:
        """All that the XML says, None where it says nothing."""
        return {**cls.element.read(node), **{key: group.read(node) for key, (group, _text) in cls.groups.items()}}

    def compare(self, node: t.Any) -> list[Change]:
        """What was named and is not there."""
        changes = self.element.compare(node, self.values)
        for key, (group, _text) in self.groups.items():
            changes += group.compare(node, self.values.get(key, {}), f"{key}.")
        return changes

    def write(self, node: t.Any) -> None:
        self.element.write(node, self.values)
        for key, (group, _text) in self.groups.items():
            group.write(node, self.values.get(key, {}))

    def __bool__(self) -> bool:
        return bool(self.values)
