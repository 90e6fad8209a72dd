# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hypervisor as a contact: the core's actions, and those of the agent's features."""

from __future__ import annotations

import typing as t

from archipel.actions import MACHINE, Action, Progress, actions_of
from archipel.host import canonical_uuid
from archipel.hypervisor import ACTIONS
from archipel.rights import Place
from archipel.selection import fits, is_pattern

from .entity import Presence, Result, lane_of, with_progress
from .libvirt_link import Link, MachineState


class HypervisorEntity:
    kind = "hypervisor"

    def __init__(self, link: Link, features: t.Iterable[object]) -> None:
        self.key = self.name = link.name
        self._link = link
        self._providers = {name: feature for feature in features for name in actions_of(type(feature), "hypervisor")}
        self.actions: t.Mapping[str, Action] = {
            **ACTIONS,
            **{name: actions_of(type(feature), "hypervisor")[name] for name, feature in self._providers.items()},
        }

    def presence(self) -> Presence:
        if not self._link.reachable:
            return Presence("dnd", "libvirt is not reachable")
        states = [machine.state for machine in self._link.machines.values()]
        told = f"{len(states)} machines, {states.count('running')} running"
        mark = self._link.label.maintenance
        return Presence("dnd", f"in maintenance since {mark['since']}; {told}") if mark else Presence("", told)

    def lane(self, action: Action) -> str | None:
        return None if action.name in self._providers else lane_of(action)

    async def give(self, name: str, owner: str) -> None:
        await self._link.give(name, owner)

    async def run(self, action: Action, arguments: dict[str, t.Any], progress: Progress) -> Result:
        provider = self._providers.get(action.name)
        given = with_progress(action, arguments, progress)
        if provider is not None:
            return t.cast(Result, await action.function(provider, **given))
        return await self._link.perform(lane_of(action), lambda hypervisor: action.function(hypervisor, **given))

    def subjects(self, action: Action, arguments: t.Mapping[str, t.Any]) -> tuple[str, ...]:
        """The machines that ``name``, ``names`` and ``uuid`` mean; a new name stands for itself. Of other things
        their kind and name."""
        if action.concerns != MACHINE:
            return (f"{action.concerns}:{arguments.get(action.concerns) or arguments.get('name')}",)
        machines, others = self._named(arguments)
        return tuple(sorted({*(machine.uuid for machine in machines), *others}))

    @property
    def here(self) -> Place:
        return self._link.here

    def place(self, machine: MachineState) -> Place:
        return self._link.place(machine)

    def within(self) -> t.Collection[MachineState]:
        return self._link.machines.values()

    def meant(self, action: Action, arguments: t.Mapping[str, t.Any]) -> tuple[MachineState, ...]:
        machines, others = self._named(arguments) if action.concerns == MACHINE else ([], set())
        return () if others else tuple(machines)

    def _named(self, arguments: t.Mapping[str, t.Any]) -> tuple[list[MachineState], set[str]]:
        """The machines here that are named, by pattern too, and what is named and is not here."""
        uuids = {canonical_uuid(arguments["uuid"])} if arguments.get("uuid") else set()
        names = {*(arguments.get("names") or ()), arguments.get("name")} - {None}
        machines = self._link.machines
        if not names:
            # One by its UUID is asked for thousands of times in a row.
            return [machines[uuid] for uuid in uuids & machines.keys()], uuids - machines.keys()
        known = {state.name: state for state in machines.values()}
        patterns = [name for name in names - known.keys() if is_pattern(name)]
        found = [
            state
            for name, state in known.items()
            if name in names or state.uuid in uuids or any(fits(name, pattern) for pattern in patterns)
        ]
        return found, (names - known.keys() - set(patterns)) | (uuids - machines.keys())
