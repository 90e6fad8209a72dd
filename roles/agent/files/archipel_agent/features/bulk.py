# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request for many machines. To the agent each of them is a request of its own, with its rights, its lock and its
event, whose door is ``bulk``."""

from __future__ import annotations

import asyncio
import typing as t

import slixmpp
from archipel import errors
from archipel.actions import Progress
from archipel.bulk import NOBODY, Bulk, BulkActions, Errand, Tally
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS

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

        async def work() -> None:
            while (machine := tally.take()) is not None:
                tally.note(machine, await self._attempt(errand, who, machine))

        async with asyncio.TaskGroup() as workers:
            for _number in range(tally.workers):
                workers.create_task(work())
        return tally.result()

    async def _attempt(self, errand: Errand, who: slixmpp.JID, machine: MachineState) -> Result | errors.ArchipelError:
        if errand.skipped:
            return errand.skipped
        entity = MachineEntity(self._link, machine) if errand.own else self._hypervisor
        request = Request(entity, who, DOOR, errand.action.name, errand.arguments_for(machine.uuid))
        try:
            declared, result = await self._dispatch(request)
            if declared.long:
                job = await self._dispatch.end_of(result["job"])
                if job.result is None:
                    return errors.from_data(job.error)
                result = job.result
            return errand.told(result)
        except errors.ArchipelError as error:
            return error
