# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What is meant by names, patterns, tags and states."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import typing as t

_SIGNS: t.Final = frozenset("*?[")


def is_pattern(name: str) -> bool:
    return not _SIGNS.isdisjoint(name)


def fits(name: str, pattern: str) -> bool:
    """Whether what has that name is meant; a name means itself, whatever its signs mean in a pattern."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


class Selectable(t.Protocol):
    """A machine of which is known by what it can be selected."""

    @property
    def uuid(self) -> str:
        """As libvirt writes it."""

    @property
    def name(self) -> str:
        """Unique on its hypervisor."""

    @property
    def state(self) -> str:
        """In libvirt's words."""

    @property
    def tags(self) -> t.Collection[str]:
        """Empty where they do not matter."""


class Candidate(t.NamedTuple):
    """As libvirt tells of it."""

    uuid: str
    name: str
    state: str
    tags: t.Collection[str]


M = t.TypeVar("M", bound=Selectable)


@dataclasses.dataclass(frozen=True)
class Selector:
    """The machines that fit any of ``machines`` (names, patterns, UUIDs), all ``tags`` and any of ``states``, as far as
    they are given: None is whatever it is, an empty list of names is no machine."""

    machines: t.Sequence[str] | None = None
    tags: t.Sequence[str] = ()
    states: t.Sequence[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.tags) or self.machines is not None or self.states is not None

    @functools.cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.machines or ())

    @functools.cached_property
    def _uuids(self) -> frozenset[str]:
        return frozenset(map(str.lower, self.machines or ()))

    @functools.cached_property
    def _patterns(self) -> tuple[str, ...]:
        return tuple(name for name in self.machines or () if is_pattern(name))

    def means(self, machine: Selectable) -> bool:
        return (
            (self.machines is None or self._names(machine))
            and {*machine.tags}.issuperset(self.tags)
            and (self.states is None or machine.state in self.states)
        )

    def _names(self, machine: Selectable) -> bool:
        named = machine.name in self._exact or machine.uuid in self._uuids
        return named or any(fits(machine.name, pattern) for pattern in self._patterns)

    def choose(self, there: t.Iterable[M]) -> tuple[list[M], list[str]]:
        """Those that are meant, in order of their names, and what is named and is none of ``there``."""
        machines = list(there)
        names, uuids = {machine.name for machine in machines}, {machine.uuid for machine in machines}
        missing = [
            name
            for name in self.machines or ()
            if name not in names and name.lower() not in uuids and name not in self._patterns
        ]
        return sorted(filter(self.means, machines), key=lambda machine: machine.name), missing
