# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who can be asked: a hypervisor or a machine, its state in words of presence, and its actions."""

from __future__ import annotations

import contextvars
import dataclasses
import typing as t

import slixmpp
from archipel.actions import Action, Progress, Result
from archipel.rights import Place

from .libvirt_link import MachineState

# Who asks, for the few actions to which it matters; set while a request runs.
asker: contextvars.ContextVar[slixmpp.JID] = contextvars.ContextVar("asker")


@dataclasses.dataclass(frozen=True)
class Presence:
    """``show`` is RFC 6121's word, empty for available."""

    show: str
    status: str


class Entity(t.Protocol):
    """``key`` is the machine's UUID or the hypervisor's name."""

    kind: str
    key: str

    @property
    def name(self) -> str:
        """For people."""

    @property
    def actions(self) -> t.Mapping[str, Action]:
        """What it can be asked to do, by name."""

    def lane(self, action: Action) -> str | None:
        """In which lane of the link the action runs; None for those that run in the event loop."""

    async def give(self, name: str, owner: str) -> None:
        """Note whose a machine is that was made here."""

    async def run(self, action: Action, arguments: dict[str, t.Any], progress: Progress) -> Result:
        """Run the action with bound arguments."""

    def subjects(self, action: Action, arguments: t.Mapping[str, t.Any]) -> tuple[str, ...]:
        """Keys of what an action with these arguments changes; two that change the same do not run at once."""

    @property
    def here(self) -> Place:
        """The hypervisor as a whole."""

    def place(self, machine: MachineState) -> Place:
        """One of its machines."""

    def within(self) -> t.Collection[MachineState]:
        """The machines that its actions may be about."""

    def meant(self, action: Action, arguments: t.Mapping[str, t.Any]) -> tuple[MachineState, ...]:
        """The machines that an action with these arguments is about; none, when it is about anything else too."""


def lane_of(action: Action) -> str:
    return "jobs" if action.long else "changes" if action.changes else "reads"


def with_progress(action: Action, arguments: dict[str, t.Any], progress: Progress) -> dict[str, t.Any]:
    return {**arguments, action.wants_progress: progress} if action.wants_progress else arguments
