# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is the agents' part of a migration: that the index goes with the machine, and to find out what became of one
whose agent went away, since libvirt's daemons carry it on between themselves."""

from __future__ import annotations

import asyncio
import logging
import typing as t

from archipel import migration
from archipel.actions import Progress
from archipel.connection import libvirt
from archipel.errors import ArchipelError, OperationFailed, Unavailable
from archipel.hypervisor import Hypervisor
from archipel.lifecycle import ACTIVE
from slixmpp.exceptions import IqError, IqTimeout

from ..entity import Result
from ..libvirt_link import Link
from .index import Index
from .jobs import Job, Lost
from .peers import Peers

log = logging.getLogger(__name__)

ACTIONS: t.Final = ("migrate", "vm_migrate")
INTERVAL = 0.5
# So long the destination may be silent before the job is lost.
PATIENCE = 300
# So long a job that has moved its machine waits for the index.
INDEXED_WITHIN = 10


class Arrival:
    """Has the index say where a machine is before the job that moved it ends: first we let go, then the destination,
    which could not before, takes it."""

    def __init__(self, index: Index, peers: Peers) -> None:
        self._index = index
        self._peers = peers

    async def __call__(self, job: Job, result: Result) -> None:
        if not result["changed"] or job.arguments.get("check"):
            return
        uuid, destination = result["vm"]["uuid"], result["destination"]
        try:
            async with asyncio.timeout(INDEXED_WITHIN):
                await self._index.refresh(uuid)
                taken = await self._peers.ask(destination, "takeover", {"uuid": uuid})
            if taken.get("indexed"):
                return
            why = taken.get("msg")
        except (ArchipelError, IqError, IqTimeout, TimeoutError) as error:
            why = error
        log.warning("%s has moved to %s, and the index says so only later: %s", uuid, destination, why)


class MigrationInquiry:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def __call__(self, job: Job, progress: Progress) -> Result:
        """The result of the migration, or OperationFailed when the machine stayed; Lost when nobody can tell."""
        uuid = job.subjects[0] if job.kind == "hypervisor" else job.entity
        name = job.arguments.get("name") or uuid
        state = await self._end(job, progress)
        if state in ACTIVE:
            raise OperationFailed(
                f"{name} was not moved: it is {state} on {self._link.name}, and no move is under way."
            )
        there = await self._there(job, name, uuid)
        if not there["present"]:
            where = f"{state} on {self._link.name}" if state else f"not on {self._link.name}"
            raise OperationFailed(f"{name} was not moved to {there['hypervisor']}: it is not there, and {where}.")
        source, target = self._link.name, there["hypervisor"]
        return {
            "changed": True,
            "msg": f"{name} has moved from {source} to {target}.",
            "changes": [{"path": "hypervisor", "old": source, "new": target, "scope": "live"}],
            "diff": {"before": {"hypervisor": source}, "after": {"hypervisor": target}},
            "source": source,
            "destination": target,
            "vm": {"name": name, "uuid": uuid, "hypervisor": target, "state": there["state"]},
        }

    async def _end(self, job: Job, progress: Progress) -> str | None:
        """The machine's state here, as soon as no migration of it is under way; None when it is here no longer."""
        while True:
            await self._link.up.wait()
            try:
                state, under_way = await self._link.perform("reads", lambda hypervisor: _look(hypervisor, job))
            except Unavailable:
                await asyncio.sleep(INTERVAL)
                continue
            if not under_way:
                return state
            progress("moving on, while the agent was restarted")
            await asyncio.sleep(INTERVAL)

    async def _there(self, job: Job, name: str, uuid: str) -> dict[str, t.Any]:
        """What the destination says, as soon as the machine has settled there."""
        move = _move(job)
        end = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                there = await self._link.perform(
                    "jobs", lambda hypervisor: migration.look(move, hypervisor.peers, name, uuid)
                )
                if there["state"] != "paused" or asyncio.get_running_loop().time() > end:
                    return there
            except ArchipelError as error:
                if asyncio.get_running_loop().time() > end:
                    raise Lost(
                        f"{name} is not active on {self._link.name}; whether it arrived could not be found out:"
                        f" {error.message} Look there before you start it."
                    ) from error
            await asyncio.sleep(INTERVAL)


def _look(hypervisor: Hypervisor, job: Job) -> tuple[str | None, bool]:
    if job.kind == "hypervisor":
        machine = hypervisor.find(name=job.arguments.get("name"), uuid=job.arguments.get("uuid"))
    else:
        machine = hypervisor.find(uuid=job.entity)
    if machine is None:
        return None, False
    try:
        under_way = machine.domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE
    except libvirt.libvirtError:
        under_way = False
    return machine.status[0], under_way


def _move(job: Job) -> migration.Move:
    asked = job.arguments
    return migration.Move(
        destination=asked.get("destination"),
        destination_uri=asked.get("destination_uri"),
        live=True,
        copy_storage="none",
        bandwidth=None,
        max_downtime=None,
        tls=None,
        undefine_source=True,
        wait_timeout=0,
    )
