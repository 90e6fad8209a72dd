# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is the agents' part of a migration, which libvirt's daemons carry out between themselves: that both sides have
it in writing, that the index goes with the machine, and to find out what became of one that nobody saw the end of."""

from __future__ import annotations

import asyncio
import functools
import logging
import typing as t

from archipel import migration, offline
from archipel.actions import Progress, action
from archipel.belongings import Volumes
from archipel.connection import libvirt
from archipel.errors import ArchipelError, Conflict, NotFound, OperationFailed, Unavailable
from archipel.host import canonical_uuid
from archipel.hypervisor import Hypervisor
from archipel.lifecycle import ACTIVE
from slixmpp.exceptions import IqError, IqTimeout

from ..authority import PEER
from ..entity import Result, asker
from ..libvirt_link import ARRIVING, LEFT, Link
from .index import Index
from .jobs import Job, Jobs, Lost, new_id
from .lodgers import Lodgers
from .peers import Peers, Uuid

log = logging.getLogger(__name__)

ACTIONS: t.Final = ("migrate", "vm_migrate")
EXPECT: t.Final = "expect"
INTERVAL = 0.5
# So long the destination may be silent before the job is lost.
PATIENCE = 300
# So long a job that has moved its machine waits for the index.
INDEXED_WITHIN = 10
# So long whoever says how a move has ended waits for the other side to be done with it.
SETTLED_WITHIN = 5
# Seconds between questions to a source that says nothing by itself.
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
# So long libvirt may take to put away, or to let run, what it received; it notices a lost source after 30 s.
LIBVIRT_SETTLES_WITHIN = 60


class Arrival:
    """Has the index say where a machine is before the job that moved it ends: first we let go, then the destination,
    which could not before, takes it."""

    def __init__(self, index: Index, peers: Peers) -> None:
        self._index = index
        self._peers = peers

    async def __call__(self, job: Job, result: Result) -> None:
        if not result["changed"] or job.arguments.get("check") or job.arguments.get("destination_uri"):
            return
        uuid, destination = result["vm"]["uuid"], result["destination"]
        await self._take_over(uuid, destination)
        await self._peers.settle(destination, uuid, moved=True)

    async def _take_over(self, uuid: str, destination: str) -> None:
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
    def __init__(self, link: Link, peers: Peers) -> None:
        self._link = link
        self._peers = peers

    async def __call__(self, job: Job, progress: Progress) -> Result:
        """The result of the migration, or OperationFailed when the machine stayed; Lost when nobody can tell."""
        uuid = job.subjects[0] if job.kind == "hypervisor" else job.entity
        name = job.arguments.get("name") or uuid
        try:
            return await self._find_out(job, uuid, name, progress)
        except OperationFailed as error:
            await self._restore(job, error.message)
            if isinstance(error, Lost):
                raise
            if job.arguments.get("destination") and not job.arguments.get("destination_uri"):
                await self._peers.settle(job.arguments["destination"], uuid, moved=False)
            raise

    async def abort(self, job: Job) -> None:
        """Have it ended by whoever is at it, who says so to who waits for it."""
        await self._link.perform("changes", lambda hypervisor: offline.abort(hypervisor.machine(**_meant(job))))

    async def _find_out(self, job: Job, uuid: str, name: str, progress: Progress) -> Result:
        status = await self._end(job, progress)
        state = status and status[0]
        if state in ACTIVE and status != ARRIVING:
            raise OperationFailed(
                f"{name} was not moved: it is {state} on {self._link.name}, and no move is under way."
            )
        there = await self._there(job, name, uuid)
        if there["present"] and status not in (None, LEFT):
            # libvirt came back before it had put away what it sent, or without having heard that it runs there.
            if not await self._agreed(job, uuid):
                raise Lost(f"{name} is {state} on {self._link.name}, and on {there['hypervisor']} too. Look at both.")
            if job.arguments.get("live") is False and there["state"] == "shutoff":
                # Its snapshots may not be there yet, and here it is whole.
                raise OperationFailed(f"{name} was not moved: it was not yet let go. It stays on {self._link.name}.")
            gone = "absent" if job.arguments.get("undefine_source", True) else "destroyed"
            await self._link.perform("jobs", lambda hypervisor: hypervisor.vm(uuid=uuid, state=gone, force=True))
        elif status == ARRIVING:
            await self._link.perform("jobs", lambda hypervisor: hypervisor.machine(uuid=uuid).resume())
            state = "running"
        if not there["present"]:
            where = f"{state} on {self._link.name}" if state else f"not on {self._link.name}"
            raise OperationFailed(f"{name} was not moved to {there['hypervisor']}: it is not there, and {where}.")
        if promise := job.result:
            await self._restore(job)
            move = _move(job)
            done = await self._link.perform("jobs", lambda hypervisor: migration.conclude(hypervisor, move, promise))
            return {**done, "vm": {**done["vm"], "state": there["state"]}}
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

    async def _restore(self, job: Job, why: str = "") -> None:
        """Have libvirt know the machine's snapshots again, where it is now; Lost when that cannot be. ``why`` the move
        has failed is told then, too."""
        move, promise = _move(job), job.result or {}
        if not promise.get("snapshots"):
            return
        end = asyncio.get_running_loop().time() + PATIENCE
        while True:
            await self._link.up.wait()
            try:
                await self._link.perform("jobs", lambda hypervisor: migration.restore(hypervisor, move, promise))
                return
            except ArchipelError as error:
                if not isinstance(error, Unavailable) or asyncio.get_running_loop().time() > end:
                    raise Lost(f"{why} {error.message}".lstrip()) from error
            await asyncio.sleep(INTERVAL)

    async def _agreed(self, job: Job, uuid: str) -> bool:
        """Whether the destination is at work on it, as it is from its agreement on until the move is settled."""
        destination = job.arguments.get("destination")
        if not destination or job.arguments.get("destination_uri"):
            return False
        try:
            return (await self._peers.ask(destination, "whereabouts", {"uuid": uuid})).get("where") == "leaving"
        except ArchipelError as error:
            log.debug("%s does not tell whether it expects %s: %s", destination, uuid, error.message)
            return False

    async def _end(self, job: Job, progress: Progress) -> tuple[str, str] | None:
        """The machine's state and its reason here, as soon as no migration of it is under way; None when it is here no
        longer."""
        meant = _meant(job)
        while True:
            await self._link.up.wait()
            try:
                status, under_way = await self._link.perform("reads", lambda hypervisor: _look(hypervisor, **meant))
            except Unavailable:
                await asyncio.sleep(INTERVAL)
                continue
            if not under_way:
                return status
            progress("moving on, while the agent looks what becomes of it")
            await asyncio.sleep(INTERVAL)

    async def _there(self, job: Job, name: str, uuid: str) -> dict[str, t.Any]:
        """What the destination says, as soon as the machine has settled there."""
        move = _move(job)
        # What libvirt has not let run yet is paused, too.
        stays = (job.result or {}).get("result", {}).get("vm", {}).get("state") == "paused"
        end = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                there = await self._link.perform(
                    "jobs", lambda hypervisor: migration.look(move, hypervisor.peers, name, uuid)
                )
                if there["state"] != "paused" or stays or asyncio.get_running_loop().time() > end:
                    return there
            except ArchipelError as error:
                if asyncio.get_running_loop().time() > end:
                    raise Lost(
                        f"{name} is not active on {self._link.name}; whether it arrived could not be found out:"
                        f" {error.message} Look there before you start it."
                    ) from error
            await asyncio.sleep(INTERVAL)


class Arrivals:
    """The machines that peers send us, each a job of ours from the moment that we have agreed until both sides say the
    same of where it is (docs/protocol.md, Moves). While it runs, nobody else changes the machine."""

    def __init__(self, link: Link, peers: Peers, jobs: Jobs, lodgers: Lodgers) -> None:
        self._link = link
        self._peers = peers
        self._jobs = jobs
        self._lodgers = lodgers
        # By the machine's UUID: whether it has moved, as its source says.
        self._word: dict[str, asyncio.Future[bool]] = {}

    @property
    def expected(self) -> t.Collection[str]:
        """The UUIDs of those that are on their way."""
        return self._word.keys()

    @action(permission=PEER, changes=True, name=EXPECT, says="{msg}")
    async def answer_expect(
        self,
        *,
        uuid: Uuid,
        name: t.Annotated[str, "Its name."],
        disks: t.Annotated[list[str] | None, "Paths of the disks that are copied."] = None,
        returns: t.Annotated[bool, "Its source is being emptied, and will have it back."] = False,
        memory: t.Annotated[int, "MiB of memory that it takes, where its source planned with what is left here."] = 0,
        reserve: t.Annotated[int, "MiB that are to stay free nevertheless."] = 0,
    ) -> Result:
        """Agree to a machine that a peer sends: until it is here, or stays there, nobody else changes it."""
        uuid, peer = canonical_uuid(uuid), asker.get()
        if why := self._peers.closed(uuid):
            raise Conflict(why)
        new = await self._link.perform("changes", lambda hypervisor: _room_for(hypervisor, uuid, name, disks or ()))
        # From here on nobody comes between.
        left = await self._lodgers.room() if memory else 0
        if memory and memory + reserve > left:
            there = f"{self._link.name} has {max(left - reserve, 0)} MiB of memory left by now"
            raise Conflict(f"{name} was not moved: it needs {memory} MiB, and {there}. Plan anew, or make room there.")
        agreed = {"uuid": uuid, "name": name, "source": peer.local, "disks": new, "returns": returns}
        subjects = tuple(sorted((uuid, name)))
        job = Job(new_id(), EXPECT, "hypervisor", self._link.name, peer.bare, "adhoc", agreed, subjects)
        job.text = f"agreed: {name} comes from {peer.local}"
        self._jobs.start(job, functools.partial(self.follow, job))
        if memory:
            self._lodgers.promise(uuid, left - memory)
        return {"changed": True, "msg": f"{name} is expected from {peer.local}.", "job": job.id}

    @action(permission=PEER, changes=False, name="settle", says="{msg}")
    async def answer_settle(
        self, *, uuid: Uuid, moved: t.Annotated[bool, "Whether it has left its source, which keeps it otherwise."]
    ) -> Result:
        """Be told by its source how the move of an expected machine has ended, and be done with it."""
        job = self._jobs.changing(canonical_uuid(uuid))
        if job is None or job.action != EXPECT or job.author != asker.get().bare:
            raise NotFound(f"{self._link.name} does not expect {uuid} from you.")
        if (word := self._word.get(job.arguments["uuid"])) and not word.done():
            word.set_result(moved)
        try:
            async with asyncio.timeout(SETTLED_WITHIN):
                job = await self._jobs.ended(job.id)
        except TimeoutError:
            pass
        return {"changed": False, "msg": f"The job {job.id} is {job.state}: {job.text}."}

    @action(permission=PEER, changes=False, name="whereabouts", says="{uuid} is {where}.")
    async def answer_whereabouts(self, *, uuid: Uuid) -> Result:
        """Tell a peer that expects a machine from us what has become of it: it is leaving, staying, off or gone."""
        uuid = canonical_uuid(uuid)
        status, under_way = await self._link.perform("reads", functools.partial(_look, uuid=uuid))
        if under_way or uuid in self._peers.leaving or self._jobs.changing(uuid):
            where = "leaving"
        else:
            # Why it is off libvirt forgets when it is restarted.
            where = "gone" if status in (None, LEFT) else "staying" if status[0] in ACTIVE else "off"
        moved = self._jobs.latest(ACTIONS, uuid) if where == "gone" else None
        # Of one that has not succeeded nobody knows.
        destination = (moved.result or {}).get("destination") if moved else None
        return {"changed": False, "uuid": uuid, "where": where, "destination": destination}

    async def follow(self, job: Job, progress: Progress) -> Result:
        """The machine, when it is here and its source says that it has left; OperationFailed when it stayed there, and
        nothing of it is left here. While the source is silent, nobody can know which."""
        uuid, name, source = (job.arguments[key] for key in ("uuid", "name", "source"))
        word = self._word[uuid] = asyncio.get_running_loop().create_future()
        pause = SHORTEST_PAUSE
        try:
            while True:
                there = await self._ask(source, uuid, word)
                here = await self._here(uuid)
                if there in ("off", "elsewhere"):
                    # It may have been left defined there; what has come is not thrown away.
                    there = "gone" if here and here != ARRIVING else "staying"
                if there == "staying":
                    await self._undo(job)
                    raise OperationFailed(f"{name} has not come: it stays on {source}. Nothing of it is left here.")
                if there == "gone":
                    return await self._finish(job)
                text = f"{name} comes from {source}"
                if there is None:
                    text = f"waits for {source}, which is silent; {name} is {here[0] if here else 'not'} here"
                if text != job.text:
                    progress(text)
                await asyncio.wait([word], timeout=pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
        finally:
            del self._word[uuid]
            self._lodgers.settled(uuid)

    async def give_up(self, job: Job) -> None:
        """Wait no longer for the source; what is here stays as it is."""
        if (word := self._word.get(job.arguments["uuid"])) and not word.done():
            name, source = job.arguments["name"], job.arguments["source"]
            why = (
                f"{asker.get().bare} waits no longer for {name}. Look for it on {source} too, before you start it here."
            )
            word.set_exception(Lost(why))

    async def _ask(self, source: str, uuid: str, word: asyncio.Future[bool]) -> str | None:
        """Where the source says that the machine is, ``elsewhere`` when it has moved to another; None when it is
        silent."""
        if not word.done():
            try:
                told = await self._peers.ask(source, "whereabouts", {"uuid": uuid})
                elsewhere = told.get("destination") not in (None, self._link.name)
                return "elsewhere" if told.get("where") == "gone" and elsewhere else str(told.get("where"))
            except ArchipelError as error:
                log.debug("%s does not tell where %s is: %s", source, uuid, error.message)
        return None if not word.done() else "gone" if word.result() else "staying"

    async def _finish(self, job: Job) -> Result:
        """The source has let it go."""
        uuid, name, source = (job.arguments[key] for key in ("uuid", "name", "source"))
        if await self._received(uuid) == ARRIVING:
            log.warning("libvirt has received %s, which is not on %s any more, and does not let it run", name, source)
            await self._link.perform("jobs", lambda hypervisor: hypervisor.machine(uuid=uuid).resume())
        if (status := await self._here(uuid)) is None:
            raise Lost(f"{source} has let {name} go, and it is not on {self._link.name}. Look for it on both.")
        # A job of an older agent does not say.
        self._lodgers.note(uuid, source if job.arguments.get("returns") else None)
        return {
            "changed": True,
            "msg": f"{name} has come from {source}.",
            "vm": {"name": name, "uuid": uuid, "hypervisor": self._link.name, "state": status[0]},
        }

    async def _undo(self, job: Job) -> None:
        """The source keeps it: what libvirt does not put away by itself goes, be it that it runs here too, since the
        source never heard so."""
        uuid = job.arguments["uuid"]
        if await self._received(uuid) is not None:
            log.warning("%s stays on %s, and goes here", job.arguments["name"], job.arguments["source"])
            await self._link.perform("jobs", lambda hypervisor: hypervisor.vm(uuid=uuid, state="absent", force=True))
        await self._link.perform("jobs", lambda hypervisor: _remove(hypervisor, job.arguments["disks"]))

    async def _received(self, uuid: str) -> tuple[str, str] | None:
        """What is here of the machine, when libvirt has settled that, or does not."""
        end = asyncio.get_running_loop().time() + LIBVIRT_SETTLES_WITHIN
        while (status := await self._here(uuid)) == ARRIVING and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(INTERVAL)
        return status

    async def _here(self, uuid: str) -> tuple[str, str] | None:
        """State and reason of the machine here, None when it is not; as soon as libvirt can tell."""
        while True:
            await self._link.up.wait()
            try:
                return (await self._link.perform("reads", functools.partial(_look, uuid=uuid)))[0]
            except ArchipelError as error:
                log.debug("cannot look at %s: %s", uuid, error.message)
                await asyncio.sleep(INTERVAL)


def _room_for(hypervisor: Hypervisor, uuid: str, name: str, disks: t.Iterable[str]) -> list[str]:
    """Those of the disks that are not here yet; Conflict where the machine, or its name, is."""
    for key in ({"uuid": uuid}, {"name": name}):
        if machine := hypervisor.find(**key):
            raise Conflict(f"{hypervisor.name} has a machine {machine.name} already; it is {machine.status[0]}.")
    known = Volumes(hypervisor)
    return [path for path in disks if known.at(path) is None]


def _remove(hypervisor: Hypervisor, paths: t.Iterable[str]) -> None:
    """Remove volumes that libvirt made for a copy."""
    known = Volumes(hypervisor)
    for volume in filter(None, map(known.at, paths)):
        log.warning("removing %s, which was copied in part", volume.path)
        volume.remove()


def _look(
    hypervisor: Hypervisor, name: str | None = None, uuid: str | None = None
) -> tuple[tuple[str, str] | None, bool]:
    """State and reason of a machine, None when it is not here, and whether libvirt has a job with it."""
    machine = hypervisor.find(name=name, uuid=uuid)
    if machine is None:
        return None, False
    try:
        under_way = machine.domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE
    except libvirt.libvirtError:
        under_way = False
    try:
        return machine.status, under_way
    except NotFound:
        return None, False


def _meant(job: Job) -> dict[str, str | None]:
    """The machine that a job moves, for ``Hypervisor.find``."""
    if job.kind == "machine":
        return {"uuid": job.entity}
    return {key: job.arguments.get(key) for key in ("name", "uuid")}


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
