# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Where the machines of a hypervisor that is to be emptied find room. Memory and the space of pools count; CPUs do not,
since machines share them."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import typing as t

from .connection import doing
from .errors import NotFound
from .health import memory
from .lifecycle import ACTIVE, state_name

if t.TYPE_CHECKING:
    from .host import Host
    from .machines import Machines


@dataclasses.dataclass(frozen=True)
class Guest:
    """A machine that is to go. ``memory`` is what it needs where it comes, in MiB; off, it needs none."""

    uuid: str
    name: str
    state: str
    memory: int
    tags: t.Collection[str] = ()

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclasses.dataclass(frozen=True)
class Room:
    """What a hypervisor has left for machines: MiB of memory."""

    hypervisor: str
    memory: int


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a hypervisor could take a machine, if that were the only one: ``why`` not, and for each pool there the
    bytes that are ``needed`` and ``available``."""

    why: str | None
    takes: t.Mapping[str, t.Mapping[str, int]] = dataclasses.field(default_factory=dict)


# By the machine's UUID and the hypervisor's name.
Verdicts = t.Mapping[tuple[str, str], Verdict]


def guests(hypervisor: Machines) -> list[Guest]:
    """All machines, the largest first: they are the hardest to place."""
    found = []
    for domain, number, _reason in hypervisor.states():
        # It may go between the list and the look.
        with contextlib.suppress(NotFound), doing(f"Look at a machine of {hypervisor.name}"):
            state = state_name(number)
            needed = domain.info()[1] >> 10 if state in ACTIVE else 0
            found.append(Guest(domain.UUIDString(), domain.name(), state, needed))
    return sorted(found, key=lambda guest: (-guest.memory, guest.name))


def free_memory(host: Host) -> int:
    """MiB that machines could be given; caches count as free."""
    told = memory(host)
    return int(told["memory_total"] - told["memory_used"])


def place(guests: t.Sequence[Guest], rooms: t.Sequence[Room], verdicts: Verdicts) -> dict[str, str]:
    """The hypervisors of those that find room, by UUID. The load is spread; where somebody would be left over, one
    hypervisor is filled after the other, which takes more of them."""
    return max((_fill(guests, rooms, verdicts, spread=spread) for spread in (True, False)), key=len)


def _fill(guests: t.Sequence[Guest], rooms: t.Sequence[Room], verdicts: Verdicts, *, spread: bool) -> dict[str, str]:
    left = {room.hypervisor: room.memory for room in rooms}
    taken: collections.Counter[tuple[str, str]] = collections.Counter()
    placed: dict[str, str] = {}
    for guest in guests:
        for name in sorted(left, key=lambda name: -left[name]) if spread else list(left):
            verdict = verdicts[guest.uuid, name]
            pools = {(name, pool): space for pool, space in verdict.takes.items()}
            full = any(taken[pool] + space["needed"] > space["available"] for pool, space in pools.items())
            if verdict.why is None and guest.memory <= left[name] and not full:
                placed[guest.uuid] = name
                left[name] -= guest.memory
                taken.update({pool: space["needed"] for pool, space in pools.items()})
                break
    return placed
