# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine as a contact."""

from __future__ import annotations

import typing as t

from archipel.actions import Action, Progress
from archipel.hypervisor import MACHINE_ACTIONS
from archipel.rights import Place

from .entity import Presence, Result, lane_of, with_progress
from .features.rooms import ACTIONS as ROOM_ACTIONS
from .features.rooms import Rooms
from .libvirt_link import Link, MachineState

_SHOW: t.Final = {
    "running": "",
    "blocked": "",
    "paused": "away",
    "pmsuspended": "away",
    "shutdown": "",
    "shutoff": "xa",
    "crashed": "dnd",
    "nostate": "dnd",
}


ACTIONS: t.Final = {**MACHINE_ACTIONS, **ROOM_ACTIONS}


class MachineEntity:
    """``rooms`` are its contact's, where it has one."""

    kind = "machine"

    def __init__(self, link: Link, state: MachineState, rooms: Rooms | None = None) -> None:
        self.key = state.uuid
        self.actions: t.Mapping[str, Action] = MACHINE_ACTIONS if rooms is None else ACTIONS
        self._rooms = rooms
        self._link = link
        self._last = state

    @property
    def state(self) -> MachineState:
        """As last seen, where libvirt cannot be asked or knows it no more."""
        self._last = self._link.machines.get(self.key, self._last)
        return self._last

    @property
    def name(self) -> str:
        return self.state.name

    def presence(self) -> Presence:
        if not self._link.reachable:
            return Presence("dnd", "libvirt is not reachable")
        state = self.state
        told = f"{state.state}: {state.reason}" if _SHOW[state.state] == "away" else state.state
        return Presence(_SHOW[state.state], told)

    def lane(self, action: Action) -> str | None:
        return None if action.name in ROOM_ACTIONS else lane_of(action)

    async def give(self, name: str, owner: str) -> None:
        await self._link.give(name, owner)

    async def run(self, action: Action, arguments: dict[str, t.Any], progress: Progress) -> Result:
        if action.name in ROOM_ACTIONS:
            return t.cast(Result, await action.function(self._rooms, **arguments))
        given = with_progress(action, arguments, progress)
        return await self._link.perform(
            lane_of(action), lambda hypervisor: action.function(hypervisor.machine(uuid=self.key), **given)
        )

    def subjects(self, action: Action, arguments: t.Mapping[str, t.Any]) -> tuple[str, ...]:
        return (self.key,)

    @property
    def here(self) -> Place:
        return self._link.here

    def place(self, machine: MachineState) -> Place:
        return self._link.place(machine)

    def within(self) -> tuple[MachineState]:
        return (self.state,)

    def meant(self, action: Action, arguments: t.Mapping[str, t.Any]) -> tuple[MachineState, ...]:
        return self.within()
