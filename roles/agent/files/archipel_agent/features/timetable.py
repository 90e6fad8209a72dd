# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is due is run, with the rights that its author has then.

A schedule is kept with the time at which it is due next. That it runs is written down before it does, so it runs once
at most, whatever happens meanwhile. How it follows a machine is in ``succession.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
import sqlite3
import typing as t

import slixmpp
from archipel.errors import ArchipelError, Forbidden, NotFound, Unavailable, UnknownAction

from ..database import durably
from ..dispatch import Dispatcher, Request
from ..entity import Entity
from ..libvirt_link import Link, MachineState
from ..machine_entity import MachineEntity
from ..recurrence import instant, written
from .events import Events
from .jobs import Job, Jobs
from .orders import Key, Schedule, Store

log = logging.getLogger(__name__)

DOOR: t.Final = "schedule"
# The clock may be set, so it is looked at again after so many seconds.
LOOK_AGAIN = 30.0
MACHINES_AT_ONCE = 4
TOLD = 100
# From good to bad: a run of many machines is what its worst one is.
OUTCOMES: t.Final = ("succeeded", "missed", "lost", "failed", "refused")


class Follower(t.Protocol):
    """Who hands schedules over to where their machines have gone."""

    def follow(self, uuid: str) -> None:
        """Do so, if the machine is here no longer."""

    async def hand_over(self, uuid: str) -> str | None:
        """None when they have gone there; otherwise why not. Unavailable when that cannot be found out now."""


class Timetable:
    """``now`` tells the time. Between finding out when a schedule is due next and writing it down whoever does so holds
    ``planning``."""

    def __init__(self, database: sqlite3.Connection, link: Link, jobs: Jobs, events: Events) -> None:
        self.store = Store(database)
        self.now: t.Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
        self.planning = asyncio.Lock()
        # What runs, or waits for its machine.
        self._busy: set[Key] = set()
        self._link = link
        self._jobs = jobs
        self._events = events
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, dispatcher: Dispatcher, hypervisor: Entity, follower: Follower) -> None:
        self._dispatch, self._hypervisor, self._follower = dispatcher, hypervisor, follower
        dispatcher.removed.append(self._forget)

    def wake(self) -> None:
        """Look again what is due."""
        self._wake.set()

    def targets(self, schedule: Schedule) -> list[Entity]:
        """Whom it is about at this moment."""
        if not schedule.machine and not schedule.order.selects:
            return [self._hypervisor]
        here = [machine for machine in self._link.machines.values() if self.is_here(machine.uuid)]
        if schedule.machine:
            meant = [machine for machine in here if machine.uuid == schedule.machine]
        else:
            meant = schedule.order.selector.choose(here)[0]
        return [MachineEntity(self._link, machine) for machine in meant]

    def is_here(self, uuid: str) -> bool:
        """Whether this hypervisor speaks for the machine."""
        machine = self._link.machines.get(uuid)
        return machine is not None and not machine.arriving and not machine.left

    def _forget(self, machine: MachineState) -> None:
        """The schedules of a machine that is removed go with it, as its owner and its tags do. What a move has left
        behind is not the machine."""
        for schedule in () if machine.arriving or machine.left else self.store.all("machine = ?", machine.uuid):
            log.info("the schedule %s of %s has gone with it", schedule.name, machine.name)
            self.store.remove(schedule.key)
            self._publish(schedule, schedule.next, "removed", f"{machine.name} was removed.")

    async def run(self) -> None:
        """Run what is due, until cancelled."""
        for schedule in self.store.all():
            if schedule.last and schedule.last["outcome"] == "running":
                self._spawn(schedule, self._look_into(schedule))
        while True:
            await self._link.up.wait()
            self._wake.clear()
            async with self.planning:
                for schedule in self._due():
                    # Meanwhile it may have gone to where its machine is.
                    if self.store.get(schedule.key) == schedule:
                        await self._begin(schedule)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()

    async def drain(self, seconds: float) -> None:
        """Give what runs so long to end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _due(self) -> list[Schedule]:
        return [schedule for schedule in self.store.all("next <= ?", written(self.now())) if schedule.order.enabled]

    def _pause(self) -> float:
        upcoming = [
            instant(s.next, "next") for s in self.store.all("next IS NOT NULL") if s.key not in self._busy and s.next
        ]
        pauses = [(when - self.now()).total_seconds() for when in upcoming]
        return max(0.0, min([LOOK_AGAIN, *pauses]))

    async def _begin(self, schedule: Schedule) -> None:
        assert schedule.next is not None
        if schedule.key in self._busy:
            if schedule.last and schedule.last["outcome"] == "running":
                await self._advance(schedule)
                self._publish(schedule, schedule.next, "missed", "The run before it has not ended.")
        elif schedule.leaving or (schedule.machine and not self.is_here(schedule.machine)):
            self._spawn(schedule, self._miss_machine(schedule))
        elif (due := await self._bearable(schedule)) is None:
            await self._miss(schedule, "Nobody could run it in time.")
        else:
            begun = await self._advance(schedule, _last(due, "running", written(self.now())))
            if begun is not None:
                self._spawn(begun, self._perform(begun))

    async def _bearable(self, schedule: Schedule) -> str | None:
        """The first of the times that are over which is not too long ago."""
        assert schedule.next is not None
        before = self.now() - schedule.order.patience - datetime.timedelta(seconds=1)
        if instant(schedule.next, "next") > before:
            return schedule.next
        later = await asyncio.to_thread(schedule.order.after, before)
        return written(later) if later is not None and later <= self.now() else None

    async def _advance(self, schedule: Schedule, last: dict[str, t.Any] | None = None) -> Schedule | None:
        """Write down when it is due next, and what became or is to become of this time. None when it has gone."""
        following = await asyncio.to_thread(schedule.order.after, self.now())
        there = self.store.get(schedule.key)
        if there is None or there.next != schedule.next:
            return None
        there = dataclasses.replace(there, next=written(following) if following else None, last=last or there.last)
        with durably(self.store.database):
            self.store.put(there)
        return there

    async def _miss(self, schedule: Schedule, why: str) -> None:
        assert schedule.next is not None
        due = schedule.next
        log.warning("the schedule %s of %s is missed: %s", schedule.name, due, why)
        await self._advance(schedule, {**_last(due, "missed", written(self.now())), "msg": why})
        self._publish(schedule, due, "missed", why)

    async def _miss_machine(self, schedule: Schedule) -> None:
        """Its machine is somewhere else, and the schedule should be there too; or it is nowhere."""
        assert schedule.next is not None
        last_chance = instant(schedule.next, "next") + schedule.order.patience
        try:
            why = await self._follower.hand_over(schedule.machine)
        except Unavailable as error:
            if self.now() <= last_chance:
                await asyncio.sleep(LOOK_AGAIN)
                return
            why = error.message
        async with self.planning:
            there = self.store.get(schedule.key)
            if why is not None and there is not None and there.next == schedule.next:
                await self._miss(there, why)

    def _spawn(self, schedule: Schedule, work: t.Coroutine[t.Any, t.Any, None]) -> None:
        self._busy.add(schedule.key)

        async def follow() -> None:
            try:
                await work
            except Exception:
                log.exception("the schedule %s failed by a fault of the agent", schedule.name)
            finally:
                self._busy.discard(schedule.key)
                self.wake()

        task = asyncio.get_running_loop().create_task(follow(), name=f"schedule {schedule.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # A run

    async def _perform(self, schedule: Schedule) -> None:
        assert schedule.last is not None
        targets = self.targets(schedule)
        turns = asyncio.Semaphore(MACHINES_AT_ONCE)

        async def one(entity: Entity) -> dict[str, t.Any]:
            async with turns:
                told = {"entity": entity.key, "name": entity.name, "job": None}
                outcome, msg = await self._run(schedule, entity, told)
                told.update(outcome=outcome, msg=msg[:500])
                return told

        results = await asyncio.gather(*(one(entity) for entity in targets))
        self._end(schedule, results)

    async def _run(self, schedule: Schedule, entity: Entity, told: dict[str, t.Any]) -> tuple[str, str]:
        order = schedule.order
        request = Request(entity, slixmpp.JID(schedule.author), DOOR, order.action, order.arguments)
        try:
            declared, result = await self._dispatch(request)
        except (UnknownAction, Forbidden) as error:
            if isinstance(error, UnknownAction) and order.action not in entity.actions:
                return "failed", error.message
            return "refused", f"{schedule.author} may not run {order.action} on {entity.name}."
        except ArchipelError as error:
            return "failed", error.message
        if not declared.long:
            return "succeeded", str(result.get("msg") or declared.sentence(result))
        told["job"] = result["job"]
        self._note(schedule.key, {**told, "outcome": "running", "msg": result["msg"]})
        return _ended(await self._jobs.ended(result["job"]))

    def _note(self, key: Key, result: dict[str, t.Any]) -> None:
        """Write down which job is at work, for the next run of the agent to look into it."""
        schedule = self.store.get(key)
        if schedule is not None and schedule.last is not None:
            results = [*schedule.last["results"], result][:TOLD]
            self.store.put(dataclasses.replace(schedule, last={**schedule.last, "results": results}))

    async def _look_into(self, schedule: Schedule) -> None:
        """What became of a run that the last run of the agent has not seen the end of."""
        assert schedule.last is not None
        results = []
        for told in schedule.last["results"]:
            try:
                outcome, msg = _ended(await self._jobs.ended(told["job"]))
            except NotFound as error:
                outcome, msg = "lost", error.message
            results.append({**told, "outcome": outcome, "msg": msg[:500]})
        if not results:
            msg = "The agent ended while it ran, and cannot find out what became of it."
            results = [{"entity": schedule.machine or self._hypervisor.key, "outcome": "lost", "msg": msg}]
        self._end(schedule, results)

    def _end(self, begun: Schedule, results: list[dict[str, t.Any]]) -> None:
        assert begun.last is not None
        worst = max(results, key=lambda told: OUTCOMES.index(told["outcome"]), default=None)
        outcome = worst["outcome"] if worst else "succeeded"
        msg = worst["msg"] if worst else "No machine fits."
        if len(results) > 1:
            counts = {word: sum(told["outcome"] == word for told in results) for word in OUTCOMES}
            msg = ", ".join(f"{word}: {count}" for word, count in counts.items() if count) + f". {msg}"
        schedule = self.store.get(begun.key)
        if schedule is not None and schedule.last is not None and schedule.last["due"] == begun.last["due"]:
            ended = {**schedule.last, "ended": written(self.now()), "outcome": outcome, "msg": msg}
            self.store.put(dataclasses.replace(schedule, last={**ended, "results": results[:TOLD]}))
        self._publish(begun, begun.last["due"], outcome, msg)
        if begun.machine:
            self._follower.follow(begun.machine)

    def _publish(self, schedule: Schedule, due: str | None, outcome: str, msg: str) -> None:
        self._events.publish(
            "schedule",
            schedule={
                "name": schedule.name,
                "machine": schedule.machine or None,
                "action": schedule.order.action,
                "author": schedule.author,
                "due": due,
                "outcome": outcome,
                "msg": msg,
            },
        )


def _last(due: str, outcome: str, started: str) -> dict[str, t.Any]:
    return {"due": due, "started": started, "ended": None, "outcome": outcome, "msg": "", "results": []}


def _ended(job: Job) -> tuple[str, str]:
    return job.state if job.state in OUTCOMES else "lost", job.text
