# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions that are run later, once or again and again, with the rights that their author has then.

A schedule is kept in the database with the time at which it is due next. That it runs is written down before it does,
so it runs once at most, whatever happens meanwhile. How it follows a machine is in ``succession.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import json
import logging
import sqlite3
import typing as t

import slixmpp
from archipel.actions import HIDDEN, action, find, shown
from archipel.elements import Change
from archipel.errors import ArchipelError, Conflict, Forbidden, InvalidArgument, NotFound, Unavailable, UnknownAction
from archipel.host import canonical_uuid
from archipel.hypervisor import MACHINE_ACTIONS
from archipel.machines import Selector, fits
from archipel.plan import Plan

from ..database import durably
from ..dispatch import Dispatcher, Request
from ..entity import Entity, Result, asker
from ..libvirt_link import Link, MachineState
from ..machine_entity import MachineEntity
from ..recurrence import Cron, Once, Rule, instant, written
from .events import Events
from .jobs import Job, Jobs

log = logging.getLogger(__name__)

DOOR: t.Final = "schedule"
Key = tuple[str, str]
# Of one author; of names and texts in characters, of arguments as JSON.
MOST, LONGEST_NAME, LONGEST_ARGUMENTS = 200, 100, 16_384
# What is no later than this is in time: an agent that restarts takes a moment, and nothing comes more often.
IN_TIME = datetime.timedelta(seconds=60)
# The clock may be set, so it is looked at again after so many seconds.
LOOK_AGAIN = 30.0
MACHINES_AT_ONCE = 4
UPCOMING = 10
TOLD = 100
# From good to bad: a run of many machines is what its worst one is.
OUTCOMES: t.Final = ("succeeded", "missed", "lost", "failed", "refused")


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be done, to whom and when, as people write it. Of ``at``, ``cron`` and ``rrule`` one is given.

    Machines that fit ``machines``, ``tags`` and ``states``, as far as they are given, are looked for when it runs.
    """

    action: str = ""
    arguments: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    machines: list[str] = dataclasses.field(default_factory=list)
    tags: list[str] = dataclasses.field(default_factory=list)
    states: list[str] = dataclasses.field(default_factory=list)
    at: str | None = None
    cron: str | None = None
    rrule: str | None = None
    start: str | None = None
    timezone: str = "UTC"
    misfire: str = "run"
    grace: int = 3600
    enabled: bool = True

    @property
    def selects(self) -> bool:
        return bool(self.selector)

    @property
    def selector(self) -> Selector:
        return Selector(self.machines or None, self.tags, self.states or None)

    def after(self, when: datetime.datetime) -> datetime.datetime | None:
        """The next time; it may take a second to find, or InvalidArgument."""
        if self.at is not None:
            return Once(instant(self.at, "at")).after(when)
        if self.cron is not None:
            return Cron(self.cron, self.timezone).after(when)
        assert self.rrule is not None
        assert self.start is not None
        return Rule(self.rrule, instant(self.start, "start"), self.timezone).after(when)

    @property
    def patience(self) -> datetime.timedelta:
        """A run that comes later than this is not made."""
        return max(IN_TIME, datetime.timedelta(seconds=self.grace if self.misfire == "run" else 0))


_TIMES: t.Final = ("at", "cron", "rrule")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """``machine`` is the UUID of the one machine that it is about, and with which it moves; empty for none. ``leaving``
    is the hypervisor to which it is being handed over, ``token`` what this attempt is known by."""

    machine: str
    name: str
    machine_name: str
    author: str
    order: Order
    next: str | None = None
    last: dict[str, t.Any] | None = None
    leaving: str | None = None
    token: str | None = None

    @property
    def key(self) -> Key:
        return self.machine, self.name

    def as_data(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "machine": self.machine or None,
            "machine_name": self.machine_name or None,
            "author": self.author,
            **dataclasses.asdict(self.order),
            "next": self.next,
            "last": self.last,
            "leaving": self.leaving,
        }


_COLUMNS: t.Final = ("machine", "name", "machine_name", "author", "definition", "next", "last", "leaving", "token")


def from_row(row: t.Mapping[str, t.Any]) -> Schedule:
    return Schedule(
        **{key: row[key] for key in ("machine", "name", "machine_name", "author", "next", "leaving", "token")},
        order=Order(**json.loads(row["definition"])),
        last=json.loads(row["last"] or "null"),
    )


class Store:
    """The schedules in the database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def all(self, where: str = "1", *values: t.Any) -> list[Schedule]:
        rows = self.database.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM schedules WHERE {where} ORDER BY machine_name, name", values
        )
        return [from_row(dict(row)) for row in rows]

    def get(self, key: Key) -> Schedule | None:
        return next(iter(self.all("machine = ? AND name = ?", *key)), None)

    def put(self, schedule: Schedule) -> None:
        values = {
            **{name: getattr(schedule, name) for name in _COLUMNS if name not in ("definition", "last")},
            "definition": json.dumps(dataclasses.asdict(schedule.order)),
            "last": json.dumps(schedule.last) if schedule.last else None,
        }
        marks = ", ".join("?" * len(_COLUMNS))
        self.database.execute(
            f"INSERT OR REPLACE INTO schedules ({', '.join(_COLUMNS)}) VALUES ({marks})",
            [values[name] for name in _COLUMNS],
        )

    def remove(self, key: Key) -> None:
        self.database.execute("DELETE FROM schedules WHERE machine = ? AND name = ?", key)


class Follower(t.Protocol):
    """Who hands schedules over to where their machines have gone."""

    def follow(self, uuid: str) -> None:
        """Do so, if the machine is here no longer."""

    async def hand_over(self, uuid: str) -> str | None:
        """None when they have gone there; otherwise why not. Unavailable when that cannot be found out now."""


class Schedules:
    """``now`` tells the time."""

    def __init__(self, database: sqlite3.Connection, link: Link, jobs: Jobs, events: Events) -> None:
        self.store = Store(database)
        self.now: t.Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
        # What runs, or waits for its machine.
        self._busy: set[Key] = set()
        self._link = link
        self._jobs = jobs
        self._events = events
        self._wake = asyncio.Event()
        # Between finding out when a schedule is due next and writing it down nobody else may do so.
        self._planning = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, dispatcher: Dispatcher, hypervisor: Entity, follower: Follower) -> None:
        self._dispatch, self._hypervisor, self._follower = dispatcher, hypervisor, follower
        dispatcher.removed.append(self._forget)

    def _forget(self, machine: MachineState) -> None:
        """The schedules of a machine that is removed go with it, as its owner and its tags do. What a move has left
        behind is not the machine."""
        for schedule in () if machine.arriving or machine.left else self.store.all("machine = ?", machine.uuid):
            log.info("the schedule %s of %s has gone with it", schedule.name, machine.name)
            self.store.remove(schedule.key)
            self._publish(schedule, schedule.next, "removed", f"{machine.name} was removed.")

    def wake(self) -> None:
        """Look again what is due."""
        self._wake.set()

    # What people ask

    @action(permission="schedule", changes=True, concerns="schedule", says="{msg}")
    async def schedule(
        self,
        *,
        name: t.Annotated[str, "Name of the schedule; those of a machine have names of their own."],
        state: t.Annotated[t.Literal["present", "absent"], "Whether there is to be such a schedule."] = "present",
        action: t.Annotated[str | None, "What is to be done; needed for a new one."] = None,
        arguments: t.Annotated[dict[str, t.Any] | None, "Arguments of the action; none of them may be secret."] = None,
        machine: t.Annotated[
            str | None, "Name or UUID of a machine, to which it is done and with which the schedule moves."
        ] = None,
        machines: t.Annotated[
            list[str] | None, "Do it to the machines that then have these names, patterns or UUIDs."
        ] = None,
        tags: t.Annotated[list[str] | None, "Do it to the machines that then have all of these tags."] = None,
        states: t.Annotated[list[str] | None, "Do it to the machines that then are in one of these states."] = None,
        at: t.Annotated[str | None, "Once, at this time with its zone (ISO 8601)."] = None,
        cron: t.Annotated[str | None, "Minute, hour, day of the month, month and day of the week."] = None,
        rrule: t.Annotated[str | None, "Recurrence rule (RFC 5545), at least a minute apart."] = None,
        start: t.Annotated[str | None, "From when O(rrule) counts, with its zone; by default, now."] = None,
        timezone: t.Annotated[str | None, "Zone of O(cron) and O(rrule), like Europe/Berlin; by default UTC."] = None,
        misfire: t.Annotated[
            t.Literal["run", "skip"] | None,
            "What was due while it could not be run: V(run) it once, if it is not later than O(grace), or V(skip) it."
            " By default V(run).",
        ] = None,
        grace: t.Annotated[int | None, "Seconds by which a run may come late; by default 3600."] = None,
        enabled: t.Annotated[bool | None, "Whether it runs; by default it does."] = None,
        check: t.Annotated[bool, "Only tell what would change."] = False,
    ) -> Result:
        """Have an action run later, once or again and again, with the rights that you have then.

        What is not given stays as it is. Without a machine it is an action of the hypervisor.
        """
        given = {
            "action": action, "arguments": arguments, "machines": machines, "tags": tags, "states": states, "at": at,
            "cron": cron, "rrule": rrule, "start": start, "timezone": timezone, "misfire": misfire, "grace": grace,
            "enabled": enabled,
        }  # fmt: skip
        async with self._planning:
            old = self._find(name, machine, check=check, make=state == "present")
            if state == "absent":
                return self._remove(old, name, check=check)
            order = _ordered(old.order if old.author else None, given, self.now())
            return await self._make(old, order, check=check)

    @action(
        permission="view",
        changes=False,
        concerns="schedule",
        phrases=("what is planned",),
        says=lambda result: _listed(result["schedules"]),
    )
    async def schedule_info(
        self,
        *,
        name: t.Annotated[str | None, "Name or pattern of schedules; by default, all."] = None,
        machine: t.Annotated[str | None, "Only those of this machine, by name or UUID."] = None,
        upcoming: t.Annotated[int, "How many of the next times to tell; at most 10."] = 1,
    ) -> Result:
        """Tell about schedules: when they are due, and what came of the last run."""
        found = [
            schedule
            for schedule in self.store.all()
            if (name is None or fits(schedule.name, name))
            and (machine is None or machine.lower() == schedule.machine or machine == schedule.machine_name)
        ]
        told = []
        for schedule in found:
            times = await asyncio.to_thread(_upcoming, schedule, min(max(upcoming, 1), UPCOMING))
            told.append({**schedule.as_data(), "upcoming": times})
        return {"changed": False, "schedules": told}

    def _find(self, name: str, machine: str | None, *, check: bool, make: bool) -> Schedule:
        """The schedule that there is, or one without an author that could be."""
        if not 0 < len(name.strip()) <= LONGEST_NAME:
            raise InvalidArgument(f"name: a name of 1 to {LONGEST_NAME} characters is needed.")
        if machine is None:
            return self.store.get(("", name)) or Schedule("", name, "", "", Order())
        there = next((m for m in self._link.machines.values() if machine in (m.name, m.uuid)), None)
        there = there or self._link.machines.get(machine.lower())
        if there is not None:
            return self.store.get((there.uuid, name)) or Schedule(there.uuid, name, there.name, "", Order())
        kept = self.store.all("name = ? AND (machine_name = ? OR machine = ?)", name, machine, machine.lower())
        if kept and not make:
            return kept[0]
        if make and not check:
            raise NotFound(f"machine: {machine[:80]!r} is not on {self._link.name}; a schedule is made where it is.")
        uuid = canonical_uuid(machine) if len(machine) == 36 else "-"
        return Schedule(uuid, name, machine, "", Order())

    def _remove(self, old: Schedule, name: str, *, check: bool) -> Result:
        plan = Plan()
        if old.author:
            plan.add([Change("state", "present", "absent")], lambda: self.store.remove(old.key))
        if not check:
            plan.run()
        return {**plan.result(f"The schedule {name}", check=check), "schedule": None}

    async def _make(self, old: Schedule, order: Order, *, check: bool) -> Result:
        who = asker.get()
        begin = dataclasses.asdict(old.order) if old.author else dict.fromkeys(dataclasses.asdict(order))
        wanted = dataclasses.asdict(order)
        changes = [Change(key, begin[key], wanted[key]) for key in wanted if begin[key] != wanted[key]]
        if begin["rrule"] != wanted["rrule"]:
            # A new rule may count from now, which is another moment in check mode.
            changes = [change for change in changes if change.path != "start"]
        if not old.author:
            changes = [Change("state", "absent", "present"), *(c for c in changes if c.new not in (None, [], {}))]
        new = dataclasses.replace(old, order=order)
        if changes:
            self._examine(new, who)
            self._refuse_too_many(old, who)
            following = await asyncio.to_thread(order.after, self.now())
            if following is None and order.enabled:
                raise InvalidArgument("at, cron, rrule: the time is over, or never comes.")
            due = written(following) if following is not None and order.enabled else None
            new = dataclasses.replace(new, author=who.bare, next=due, leaving=None, token=None)
        plan = Plan()
        plan.add(changes, lambda: self._put(new))
        if not check and changes:
            plan.run()
        return {**plan.result(f"The schedule {old.name}", check=check), "schedule": new.as_data()}

    def _put(self, schedule: Schedule) -> None:
        there = self.store.get(schedule.key)
        with durably(self.store.database):
            self.store.put(dataclasses.replace(schedule, last=there.last if there else None))
        self.wake()

    def _examine(self, schedule: Schedule, who: slixmpp.JID) -> None:
        """Whether the action can be kept, and they may run it where it is meant now."""
        order = schedule.order
        if schedule.machine and order.selects:
            raise InvalidArgument("machine: a schedule is about one machine, or about those that fit when it runs.")
        actions = MACHINE_ACTIONS if schedule.machine or order.selects else self._hypervisor.actions
        for entity in self._targets(schedule):
            self._dispatch.examine(Request(entity, who, DOOR, order.action, order.arguments))
        declared = find(actions, order.action)
        if declared.name == DOOR:
            raise InvalidArgument("action: a schedule makes no schedules.")
        if len(json.dumps(order.arguments)) > LONGEST_ARGUMENTS:
            raise InvalidArgument(f"arguments: they are longer than {LONGEST_ARGUMENTS} characters.")
        if HIDDEN in json.dumps(shown(declared.bind(order.arguments)), default=str):
            raise InvalidArgument(
                "arguments: what is secret is not kept, so it cannot be in a schedule. Have the action run by a task."
            )

    def _refuse_too_many(self, old: Schedule, who: slixmpp.JID) -> None:
        if old.author != who.bare and len(self.store.all("author = ?", who.bare)) >= MOST:
            raise Conflict(f"You have {MOST} schedules on {self._link.name}; remove some of them.")

    def _targets(self, schedule: Schedule) -> list[Entity]:
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

    # What the time asks

    async def run(self) -> None:
        """Run what is due, until cancelled."""
        for schedule in self.store.all():
            if schedule.last and schedule.last["outcome"] == "running":
                self._spawn(schedule, self._look_into(schedule))
        while True:
            await self._link.up.wait()
            self._wake.clear()
            async with self._planning:
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
        async with self._planning:
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
        targets = self._targets(schedule)
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


def _ordered(old: Order | None, given: t.Mapping[str, t.Any], now: datetime.datetime) -> Order:
    """What there is, changed as far as something is given."""
    named = {key: value for key, value in given.items() if value is not None}
    times = [key for key in _TIMES if key in named]
    if len(times) > 1 or (old is None and not times):
        raise InvalidArgument(f"at, cron, rrule: one of them is needed, not {' and '.join(times) or 'none'}.")
    if old is None and "action" not in named:
        raise InvalidArgument("action: it must be given for a new schedule.")
    if times:
        named.update({key: None for key in _TIMES if key not in times})
    if named.get("grace", 0) < 0:
        raise InvalidArgument("grace: it is a number of seconds.")
    order = dataclasses.replace(old or Order(), **named)
    if order.rrule is not None and order.start is None:
        order = dataclasses.replace(order, start=written(now))
    return order


def _upcoming(schedule: Schedule, count: int) -> list[str]:
    """The next times; the first of them is known."""
    times = [schedule.next] if schedule.next else []
    while times and len(times) < count:
        following = schedule.order.after(instant(times[-1], "next"))
        if following is None:
            break
        times.append(written(following))
    return times


def _listed(schedules: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    if not schedules:
        return "I have nothing to do later."
    return "\n".join(
        f"{told['name']}: {told['action']}"
        + (f" on {told['machine_name']}" if told["machine"] else "")
        + (f", next at {told['next']}" if told["next"] else ", no more")
        + (f"; the last time it {told['last']['outcome']}" if told["last"] else "")
        for told in schedules
    )
