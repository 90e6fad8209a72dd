# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request for many machines. To the agent each of them is a request of its own, with its rights, its lock and its
event, whose door is ``bulk``."""

from __future__ import annotations

import asyncio
import typing as t

import slixmpp
from archipel.actions import Progress
from archipel.bulk import NOBODY, Bulk, BulkActions, Errand, Tally
from archipel.errors import ArchipelError, from_data
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS
from archipel.selection import M

from ..dispatch import Dispatcher, Request
from ..entity import Entity, Result, asker
from ..libvirt_link import Link, MachineState
from ..machine_entity import MachineEntity
from .events import Deed

DOOR: t.Final = "bulk"


class Bulks(BulkActions):
    def __init__(self, link: Link) -> None:
        self._link = link

    def attach(self, dispatcher: Dispatcher, hypervisor: Entity) -> None:
        self._dispatch, self._hypervisor = dispatcher, hypervisor

    async def carry_out(self, bulk: Bulk, progress: Progress) -> Result:
        errand, who = bulk.errand(ACTIONS, MACHINE_ACTIONS), asker.get()
        here = [machine for machine in self._link.machines.values() if not (machine.arriving or machine.left)]
        arguments = errand.action.bind(errand.arguments_for(NOBODY))
        theirs = self._dispatch.reached(self._hypervisor, who, errand.action, arguments, here)
        machines, missing = bulk.selector.choose(theirs)
        if denied := [machine.uuid for machine in here if {machine.name, machine.uuid} & {*missing}]:
            self._dispatch.refuse(Deed(errand.action.name, self._hypervisor.key, tuple(denied), who.bare, DOOR))
        tally = Tally(bulk, machines, missing, progress)

        async def attempt(machine: MachineState) -> Result:
            return await self._attempt(errand, who, machine)

        return await work_off(tally, attempt)

    async def _attempt(self, errand: Errand, who: slixmpp.JID, machine: MachineState) -> Result:
        if errand.skipped:
            return errand.skipped
        entity = MachineEntity(self._link, machine) if errand.own else self._hypervisor
        request = Request(entity, who, DOOR, errand.action.name, errand.arguments_for(machine.uuid))
        return errand.told(await to_its_end(self._dispatch, request))


async def work_off(tally: Tally[M], attempt: t.Callable[[M], t.Awaitable[Result]]) -> Result:
    """Have it done to each machine, so many at a time as the tally says. An ArchipelError is that machine's alone."""

    async def work() -> None:
        while (machine := tally.take()) is not None:
            try:
                came: Result | ArchipelError = await attempt(machine)
            except ArchipelError as error:
                came = error
            tally.note(machine, came)

    async with asyncio.TaskGroup() as workers:
        for _number in range(tally.workers):
            workers.create_task(work())
    return tally.result()


async def to_its_end(dispatch: Dispatcher, request: Request) -> Result:
    """The result of a request; of a long action, that of its job."""
    declared, result = await dispatch(request)
    if not declared.long:
        return result
    job = await dispatch.end_of(result["job"])
    if job.result is None:
        raise from_data(job.error)
    return job.result
