# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are here because the hypervisor they come from was emptied, and how they are sent home.

It is noted when such a machine arrives from whom it came; that peer, and for that machine only, may have it sent back.
The note goes when the machine does, or comes again in another way."""

from __future__ import annotations

import asyncio
import sqlite3
import typing as t

from archipel.actions import action
from archipel.errors import InvalidArgument, NotFound
from archipel.host import canonical_uuid
from archipel.lifecycle import ACTIVE
from archipel.placement import free_memory

from ..authority import PEER
from ..dispatch import Dispatcher, Request
from ..entity import Entity, Result, asker
from ..libvirt_link import Link, MachineState
from .jobs import Job, Jobs
from .peers import Uuid

DOOR: t.Final = "maintenance"
MIGRATE: t.Final = "vm_migrate"
# How a machine is moved there and back. No other arguments are taken from a peer.
CARRIED: t.Final = {
    *("copy_storage", "bandwidth", "auto_converge", "post_copy", "media", "remove_source_volumes", "wait_timeout")
}
# So long one answer waits for the end of a move.
WAIT: t.Final = 5


class Lodgers:
    def __init__(self, link: Link, jobs: Jobs, database: sqlite3.Connection) -> None:
        self._link = link
        self._jobs = jobs
        self._database = database
        # Machines on their way, and the MiB that they leave of what was free before the first of them was.
        self._coming: set[str] = set()
        self._left = 0
        link.changed.append(self._changed)

    def attach(self, dispatcher: Dispatcher, hypervisor: Entity) -> None:
        self._dispatch, self._hypervisor = dispatcher, hypervisor

    @action(
        permission=PEER, changes=False, name="capacity", says="{hypervisor} has {memory} MiB of memory for machines."
    )
    async def answer_capacity(self) -> Result:
        """Tell a peer that is to be emptied how much room there is here, and whether this is in maintenance itself."""
        memory = await self.room()
        told = {"hypervisor": self._link.name, "memory": memory, "maintenance": self._link.label.maintenance}
        return {"changed": False, **told}

    # Not one that changes: what it begins is a job, which has the machine's lock.
    @action(permission=PEER, changes=False, name="send_home", says="{msg}")
    async def answer_send_home(
        self,
        *,
        uuid: Uuid,
        arguments: t.Annotated[dict[str, t.Any] | None, "How it is moved: some arguments of vm_migrate."] = None,
        job: t.Annotated[str | None, "The move that was begun when this was asked for the first time."] = None,
        check: t.Annotated[bool, "Only tell whether it could."] = False,
    ) -> Result:
        """Send a machine back to the peer that it came from when that was emptied; then, tell how far it is."""
        uuid, home = canonical_uuid(uuid), asker.get()
        if job is None:
            state = self._lodger(uuid, home.local)
            if unknown := (arguments or {}).keys() - CARRIED:
                raise InvalidArgument(f"arguments: {', '.join(sorted(unknown))} cannot be among them.")
            live = state.state in ACTIVE
            given = {**(arguments or {}), "uuid": uuid, "destination": home.local, "live": live, "check": check}
            bound = self._hypervisor.actions[MIGRATE].bind(given)
            if check:
                return await self._link.perform("jobs", lambda hypervisor: hypervisor.vm_migrate(**bound))
            job = self._begun(uuid, home.bare) or self._begin(bound)
        followed = self._jobs.get(job)
        if not _is_theirs(followed, home.bare):
            raise NotFound(f"{self._link.name} has begun no job {job[:40]!r} for {home.local}.")
        try:
            async with asyncio.timeout(WAIT):
                followed = await self._jobs.ended(job)
        except TimeoutError:
            pass
        return {"changed": False, "job": job, "state": followed.state, "msg": followed.text}

    async def room(self) -> int:
        """MiB of memory, neither in use nor promised to a machine on its way. What has come of that by now is not
        counted twice; so what others let go meanwhile counts only when none is on its way any more."""
        free = await self._link.perform("reads", free_memory)
        return min(free, self._left) if self._coming else free

    def promise(self, uuid: str, left: int) -> None:
        """A machine may come, which leaves so much of the room."""
        self._coming.add(uuid)
        self._left = left

    def settled(self, uuid: str) -> None:
        """It has come, or does not."""
        self._coming.discard(uuid)

    def note(self, uuid: str, home: str | None) -> None:
        """A machine has come: for as long as that peer is emptied, or for good."""
        self._forget(uuid)
        if home is not None:
            self._database.execute("INSERT INTO lodgers VALUES (?, ?)", (uuid, home))

    def _forget(self, uuid: str) -> None:
        self._database.execute("DELETE FROM lodgers WHERE uuid = ?", (uuid,))

    def _changed(self, old: MachineState | None, new: MachineState | None) -> None:
        if new is None and old is not None:
            self._forget(old.uuid)

    def _lodger(self, uuid: str, home: str) -> MachineState:
        row = self._database.execute("SELECT 1 FROM lodgers WHERE uuid = ? AND home = ?", (uuid, home)).fetchone()
        state = self._link.machines.get(uuid)
        if row is None or state is None or state.left:
            raise NotFound(f"{self._link.name} has no machine {uuid} that came from {home} when that was emptied.")
        return state

    def _begun(self, uuid: str, home: str) -> str | None:
        """The move home that is under way: who asked for it may have been restarted."""
        job = self._jobs.changing(uuid)
        return job.id if job is not None and _is_theirs(job, home) else None

    def _begin(self, bound: dict[str, t.Any]) -> str:
        request = Request(self._hypervisor, asker.get(), DOOR, MIGRATE, bound)
        return t.cast(str, self._dispatch.begin(request, self._hypervisor.actions[MIGRATE], bound)["job"])


def _is_theirs(job: Job, home: str) -> bool:
    return (job.action, job.author, job.door) == (MIGRATE, home, DOOR)
