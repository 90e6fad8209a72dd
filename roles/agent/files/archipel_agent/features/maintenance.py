# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance: the hypervisor is emptied and takes no machines, until those that were there are brought home.

Where each machine is to go is planned before anything moves. Each is then a request of its own, of who asked for the
whole, whose door is ``maintenance``; what is noted of it before it moves outlives the agent. The way home is begun by
the hypervisor that has the machine (``lodgers``)."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import sqlite3
import typing as t

import slixmpp
from archipel import migration
from archipel.actions import NO_PROGRESS, Phrase, Progress, action
from archipel.bulk import Bulk, Tally
from archipel.elements import Change
from archipel.errors import ArchipelError, Conflict, InvalidArgument, NotFound, OperationFailed, Unavailable
from archipel.machines import of_all
from archipel.placement import Guest, Room, Verdict, guests, place
from archipel.selection import Selector

from ..database import durably
from ..dispatch import Dispatcher, Request
from ..entity import Entity, Result, asker
from ..libvirt_link import LANES, Link
from .bulk import to_its_end, work_off
from .jobs import Job, Lost
from .label import Label
from .lodgers import DOOR, MIGRATE
from .migration import Arrivals
from .peers import Peers

ACTION: t.Final = "hypervisor_maintenance"
# One more would wait for a worker.
MOST_AT_ONCE: t.Final = LANES["jobs"]


@dataclasses.dataclass(frozen=True)
class Away:
    """What became of a machine: it was sent to a ``hypervisor``, with these arguments, or ``stopped`` here, or both."""

    uuid: str
    name: str
    hypervisor: str | None
    stopped: bool
    arguments: t.Mapping[str, t.Any]
    state: str = "away"
    tags: t.Collection[str] = ()


@dataclasses.dataclass(frozen=True)
class Step:
    """What is done to a machine: the request, and the changes that were planned. Without, it stays, and ``why``."""

    guest: Guest
    destination: str | None = None
    request: Request | None = None
    changes: t.Sequence[Result] = ()
    why: str = ""


class Maintenance:
    def __init__(
        self, label: Label, link: Link, peers: Peers, arrivals: Arrivals, database: sqlite3.Connection
    ) -> None:
        self._label = label
        self._link = link
        self._peers = peers
        self._arrivals = arrivals
        self._database = database
        self._coming_home: set[str] = set()
        peers.closed = self._why_closed

    def attach(self, dispatcher: Dispatcher, hypervisor: Entity) -> None:
        self._dispatch, self._hypervisor = dispatcher, hypervisor

    @action(
        permission="migrate",
        changes=True,
        long=True,
        name=ACTION,
        concerns="maintenance",
        phrases=(
            "go into maintenance",
            "go into maintenance copying {copy_storage}",
            Phrase("end maintenance", {"state": "absent"}),
        ),
        asks="My machines move, then.",
        says="{msg}",
    )
    async def hypervisor_maintenance(
        self,
        *,
        state: t.Annotated[
            t.Literal["present", "absent"],
            "V(present) empties the hypervisor, which takes no machines from then on; V(absent) ends that, and brings"
            " home what was there.",
        ] = "present",
        destinations: t.Annotated[
            list[str] | None,
            "Names of the hypervisors that take its machines; by default all that answer and are not in maintenance.",
        ] = None,
        max_parallel: t.Annotated[int, "How many machines move at a time, at most 4."] = 2,
        cannot_move: t.Annotated[
            t.Literal["fail", "shutdown", "leave"],
            "What becomes of machines that no destination can take: with V(fail) nothing is done at all, V(shutdown)"
            " shuts them down, V(leave) leaves them running.",
        ] = "fail",
        evacuate: t.Annotated[bool, "Move machines that are off, too. They need nothing of the hypervisor."] = False,
        memory_reserve: t.Annotated[int, "MiB of each destination's memory that stay free."] = 512,
        copy_storage: migration.CopyStorage = "none",
        bandwidth: migration.Bandwidth = None,
        auto_converge: migration.AutoConverge = False,
        post_copy: migration.PostCopy = False,
        media: migration.MediaThen = "keep",
        remove_source_volumes: migration.RemoveSourceVolumes = "none",
        wait_timeout: t.Annotated[
            int, "Seconds after which the move of a machine is aborted; it then stays where it was."
        ] = migration.WAIT_TIMEOUT,
        check: migration.Check = False,
        progress: Progress = NO_PROGRESS,
    ) -> Result:
        """Empty the hypervisor for maintenance, or end that and bring its machines home.

        Machines return as they went; what people have moved on or removed meanwhile is left as it is.
        """
        if not 1 <= max_parallel <= MOST_AT_ONCE:
            raise InvalidArgument(f"max_parallel: {max_parallel} is not possible; 1 to {MOST_AT_ONCE} are.")
        bulk = Bulk(Selector(), ACTION, {}, max_parallel, 100, check)
        if state == "absent":
            return await self._end(bulk, progress)
        how = {
            "copy_storage": copy_storage,
            "bandwidth": bandwidth,
            "auto_converge": auto_converge,
            "post_copy": post_copy,
            "media": media,
            "remove_source_volumes": remove_source_volumes,
            "wait_timeout": wait_timeout,
        }
        if self._arrivals.expected:
            raise Conflict(f"Machines are coming to {self._link.name} at this moment; wait until they are there.")
        everybody = await self._link.perform("reads", guests)
        gone = {machine.uuid for machine in self._link.machines.values() if machine.left}
        going = [guest for guest in everybody if (guest.active or evacuate) and guest.uuid not in gone]
        rooms, closed = await self._rooms(destinations, memory_reserve) if going else ([], {})
        steps = await self._plan(going, rooms, closed, cannot_move, how, progress)
        return await self._begin(bulk, steps, how, memory_reserve, progress)

    async def interrupted(self, job: Job, _progress: Progress) -> Result:
        """What is said of a job that the agent's end interrupted."""
        said = f"{self._link.name} is {'' if self._label.maintenance else 'not '}in maintenance"
        raise Lost(f"{said}, and the agent ended before {job.action} was done. Ask again: it goes on from where it is.")

    def _why_closed(self, uuid: str) -> str | None:
        mark = self._label.maintenance
        if mark is None or uuid in self._coming_home:
            return None
        return f"{self._link.name} takes no machines: it is in maintenance, since {mark['since']}, by {mark['by']}."

    # The plan

    async def _rooms(self, named: list[str] | None, reserve: int) -> tuple[list[Room], dict[str, str]]:
        """Who takes machines, and why the others do not; an error, where one does not who was named."""
        names = list(dict.fromkeys(named or (slixmpp.JID(jid).local for jid in self._peers.jids)))
        rooms, closed = [], {}
        asked = (self._peers.ask(name, "capacity", {}) for name in names)
        for name, answer in zip(names, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(answer, ArchipelError) and not named:
                closed[name] = answer.message
            elif isinstance(answer, BaseException):
                raise answer
            elif not answer["maintenance"]:
                rooms.append(Room(name, int(answer["memory"]) - reserve))
            elif named:
                raise Conflict(f"{name} is in maintenance itself.")
            else:
                closed[name] = f"{name} is in maintenance itself."
        return rooms, closed

    async def _plan(
        self,
        going: t.Sequence[Guest],
        rooms: t.Sequence[Room],
        closed: t.Mapping[str, str],
        cannot_move: str,
        how: t.Mapping[str, t.Any],
        progress: Progress,
    ) -> list[Step]:
        """What becomes of each; Conflict, when they have no room, or cannot move and are to."""
        progress(f"asks where {len(going)} machines can go")
        pairs = [(guest, room.hypervisor) for guest in going for room in rooms]
        told = await asyncio.gather(*(self._ask(guest, name, how) for guest, name in pairs))
        verdicts = {(guest.uuid, name): verdict for (guest, name), (verdict, _changes) in zip(pairs, told, strict=True)}
        changes = {(guest.uuid, name): each for (guest, name), (_verdict, each) in zip(pairs, told, strict=True)}
        placed = place(going, rooms, verdicts)
        steps, full, fixed = [], [], []
        for guest in going:
            if guest.uuid in placed:
                name = placed[guest.uuid]
                steps.append(Step(guest, name, self._move(guest, name, how), changes[guest.uuid, name]))
                continue
            whys = [verdicts[guest.uuid, room.hypervisor].why for room in rooms]
            if None in whys:
                full.append(Step(guest, why=_needs(guest, (verdicts[guest.uuid, room.hypervisor] for room in rooms))))
                continue
            why = " ".join(map(str, dict.fromkeys(whys or closed.values()))) or "There is no other hypervisor."
            fixed.append(await self._stay(guest, why, shut_down=cannot_move == "shutdown" and guest.active))
        if full or (fixed and cannot_move == "fail"):
            raise Conflict(self._refusal(steps, full, fixed, rooms, closed))
        for step in (*steps, *fixed):
            if step.request:
                self._dispatch.examine(step.request)
        return [*steps, *fixed]

    async def _ask(self, guest: Guest, name: str, how: t.Mapping[str, t.Any]) -> tuple[Verdict, t.Sequence[Result]]:
        """What a move there would change, if it can be."""
        request = self._move(guest, name, how)
        given = self._hypervisor.actions[MIGRATE].bind({**request.untrusted_arguments, "check": True})
        try:
            told = await self._link.perform("jobs", lambda hypervisor: hypervisor.vm_migrate(**given))
        except ArchipelError as error:
            return Verdict(error.message), ()
        return Verdict(None, told["takes"]), told["changes"]

    def _move(self, guest: Guest, name: str, how: t.Mapping[str, t.Any]) -> Request:
        return self._request(MIGRATE, guest.uuid, destination=name, live=guest.active, **how)

    async def _stay(self, guest: Guest, why: str, *, shut_down: bool) -> Step:
        if not shut_down:
            return Step(guest, why=why)
        request = self._request("vm", guest.uuid, state="shutdown", brief=True)
        given = {**request.untrusted_arguments, "check": True}
        plan = await self._link.perform("changes", lambda hypervisor: hypervisor.vm(**given))
        return Step(guest, None, request, plan["changes"], why)

    def _request(self, action: str, uuid: str, **arguments: t.Any) -> Request:
        return Request(self._hypervisor, asker.get(), DOOR, action, {"uuid": uuid, **arguments})

    def _refusal(
        self,
        steps: t.Sequence[Step],
        full: t.Sequence[Step],
        fixed: t.Sequence[Step],
        rooms: t.Sequence[Room],
        closed: t.Mapping[str, str],
    ) -> str:
        fits = ", ".join(f"{step.guest.name} on {step.destination}" for step in steps) or "nobody"
        said = [f"{self._link.name} is not emptied, and nothing was done. There is room for {fits}."]
        if full:
            names = ", ".join(f"{step.guest.name} ({step.why})" for step in full)
            there = ", ".join(f"{max(room.memory, 0)} MiB of memory on {room.hypervisor}" for room in rooms)
            said += [f"None is left for {names}: there is {there}. Make room, or shut some down.", *closed.values()]
        said += [f"{step.guest.name} cannot move: {step.why}" for step in fixed]
        said += ["With cannot_move they are shut down, or left."] * bool(fixed and not full)
        return " ".join(said)

    # Away

    async def _begin(
        self, bulk: Bulk, steps: t.Sequence[Step], how: t.Mapping[str, t.Any], reserve: int, progress: Progress
    ) -> Result:
        entering = [] if self._label.maintenance else [Change("maintenance", False, True, "live")]
        doing = {step.guest.uuid: step for step in steps if step.request}
        stays = [step for step in steps if not step.request]
        if not bulk.check and entering:
            self._label.maintain(asker.get().bare)
        tally = Tally(bulk, [step.guest for step in doing.values()], (), progress)

        async def attempt(guest: Guest) -> Result:
            step = doing[guest.uuid]
            told = {"changed": True, "msg": _said(step), "changes": step.changes}
            if not bulk.check:
                told["changes"] = (await _alone(self._carry_out(step, how, reserve)))["changes"]
            return told

        told = await work_off(tally, attempt)
        vms = [
            *({**vm, "destination": doing[vm["uuid"]].destination} for vm in told["vms"]),
            *(
                {"name": s.guest.name, "uuid": s.guest.uuid, "changed": False, "msg": _said(s), "destination": None}
                for s in stays
            ),
        ]
        would = "would be" if bulk.check else "is"
        said = [f"{self._link.name} {would} in maintenance.", *([told["msg"]] if doing else [])]
        said += [f"{step.guest.name} stays: {step.why}" for step in stays]
        return self._result(entering, vms, told["counts"]["failed"], " ".join(said))

    async def _carry_out(self, step: Step, how: t.Mapping[str, t.Any], reserve: int) -> Result:
        guest = step.guest
        self._note(guest, step.destination, how)
        # Others may have planned with the same room.
        room = {"memory": guest.memory, "reserve": reserve}
        self._peers.returning[guest.uuid] = {"returns": True, **room}
        try:
            return await to_its_end(self._dispatch, t.cast(Request, step.request))
        finally:
            del self._peers.returning[guest.uuid]

    def _note(self, guest: Guest, destination: str | None, how: t.Mapping[str, t.Any]) -> None:
        """Before it is done: whether it was, is seen when the machines come home. One that was shut down before may be
        sent on later, and still is to run when it is back."""
        with durably(self._database):
            self._database.execute(
                "INSERT INTO away VALUES (?, ?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE SET"
                " hypervisor = excluded.hypervisor, stopped = stopped OR excluded.stopped,"
                " arguments = excluded.arguments",
                (guest.uuid, guest.name, destination, destination is None, json.dumps(how)),
            )

    def _forget(self, uuid: str) -> None:
        self._database.execute("DELETE FROM away WHERE uuid = ?", (uuid,))

    # Home

    async def _end(self, bulk: Bulk, progress: Progress) -> Result:
        rows = self._database.execute("SELECT * FROM away ORDER BY name").fetchall()
        away = [
            Away(row["uuid"], row["name"], row["hypervisor"], bool(row["stopped"]), json.loads(row["arguments"]))
            for row in rows
        ]
        ending = [Change("maintenance", True, False, "live")] if self._label.maintenance else []
        self._coming_home = {machine.uuid for machine in away}
        try:
            if not bulk.check and ending:
                self._label.maintain(None)
            tally = Tally(bulk, away, (), progress)
            bring = functools.partial(self._bring_home, check=bulk.check)
            told = await work_off(tally, lambda machine: _alone(bring(machine)))
        finally:
            self._coming_home = set()
        would = "would not be" if bulk.check else "is not"
        left = [f"{vm['name']}: {vm['msg']}" for vm in told["vms"] if vm.get("left")]
        said = [f"{self._link.name} {would} in maintenance.", *([told["msg"]] if away else []), *left]
        return self._result(ending, told["vms"], told["counts"]["failed"], " ".join(said))

    async def _bring_home(self, away: Away, *, check: bool) -> Result:
        name, here = self._link.name, self._link.machines.get(away.uuid)
        changes: list[Change] = []
        if here is None or here.left:
            if away.hypervisor is None or not await self._fetch(away, check=check):
                where = away.hypervisor or name
                msg = f"It is not on {where} any more, where maintenance left it, and stays as it is."
                if not check:
                    self._forget(away.uuid)
                return {"changed": False, "msg": msg, "left": True}
            changes.append(Change("hypervisor", away.hypervisor, name, "live"))
        if away.stopped and (here is None or here.state == "shutoff"):
            start = self._request("vm", away.uuid, state="running", brief=True)
            if check or (await to_its_end(self._dispatch, start))["changed"]:
                changes.append(Change("state", "shutoff", "running", "live"))
        if not check:
            self._forget(away.uuid)
        msg = "It is as it was." if not changes else f"It {'would be' if check else 'is'} at home."
        return {"changed": bool(changes), "msg": msg, "changes": [change.as_data() for change in changes]}

    async def _fetch(self, away: Away, *, check: bool) -> bool:
        """Have it sent home; False, when it is not there any more, or not as what was sent."""
        there, question = t.cast(str, away.hypervisor), {"uuid": away.uuid, "arguments": away.arguments}
        try:
            told = await self._peers.ask(there, "send_home", {**question, "check": check})
        except NotFound:
            return False
        while told.get("state") == "running":
            told = await self._peers.ask(there, "send_home", {"uuid": away.uuid, "job": told["job"]})
        if not check and told.get("state") != "succeeded":
            raise OperationFailed(told["msg"])
        return True

    def _result(self, own: t.Sequence[Change], vms: t.Sequence[Result], failed: int, msg: str) -> Result:
        changes = [*(change.as_data() for change in own), *of_all({"changes": (), **vm} for vm in vms)]
        if failed:
            raise OperationFailed(msg, changes=changes, vms=vms)
        return {
            "changed": bool(changes),
            "msg": msg,
            "changes": changes,
            "diff": {
                "before": {change["path"]: change["old"] for change in reversed(changes)},
                "after": {change["path"]: change["new"] for change in changes},
            },
            "maintenance": self._label.maintenance and dict(self._label.maintenance),
            "vms": list(vms),
        }


def _needs(guest: Guest, verdicts: t.Iterable[Verdict]) -> str:
    """What it would take where it can go."""
    disks = max(sum(space["needed"] for space in verdict.takes.values()) for verdict in verdicts) >> 20
    return f"{guest.memory} MiB of memory{f', {disks} MiB for disks' if disks else ''}"


def _said(step: Step) -> str:
    """What is done to a machine, and why not more."""
    if step.destination:
        return f"To {step.destination}."
    return f"{'Shut down' if step.request else 'Left here'}: {step.why}"


async def _alone(work: t.Awaitable[Result]) -> Result:
    """Where one hypervisor does not answer, the others may."""
    try:
        return await work
    except Unavailable as error:
        raise OperationFailed(error.message, changes=error.changes) from error
