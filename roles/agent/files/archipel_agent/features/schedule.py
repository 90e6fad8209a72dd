# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions that are run later, once or again and again: who may have which, as people ask for it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import typing as t

import slixmpp
from archipel.actions import HIDDEN, action, find, shown
from archipel.elements import Change
from archipel.errors import Conflict, InvalidArgument, NotFound
from archipel.host import canonical_uuid
from archipel.hypervisor import MACHINE_ACTIONS
from archipel.plan import Plan
from archipel.selection import fits

from ..database import durably
from ..dispatch import Dispatcher, Request
from ..entity import Entity, Result, asker
from ..libvirt_link import Link
from ..recurrence import instant, written
from .orders import Order, Schedule, ordered
from .timetable import DOOR, Timetable

# Of one author; of names and texts in characters, of arguments as JSON.
MOST, LONGEST_NAME, LONGEST_ARGUMENTS = 200, 100, 16_384
UPCOMING = 10


class Schedules:
    def __init__(self, timetable: Timetable, link: Link) -> None:
        self._timetable = timetable
        self._store = timetable.store
        self._link = link

    def attach(self, dispatcher: Dispatcher, hypervisor: Entity) -> None:
        self._dispatch, self._hypervisor = dispatcher, hypervisor

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
        async with self._timetable.planning:
            old = self._find(name, machine, check=check, make=state == "present")
            if state == "absent":
                return self._remove(old, name, check=check)
            order = ordered(old.order if old.author else None, given, self._timetable.now())
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
            for schedule in self._store.all()
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
            return self._store.get(("", name)) or Schedule("", name, "", "", Order())
        there = next((m for m in self._link.machines.values() if machine in (m.name, m.uuid)), None)
        there = there or self._link.machines.get(machine.lower())
        if there is not None:
            return self._store.get((there.uuid, name)) or Schedule(there.uuid, name, there.name, "", Order())
        kept = self._store.all("name = ? AND (machine_name = ? OR machine = ?)", name, machine, machine.lower())
        if kept and not make:
            return kept[0]
        if make and not check:
            raise NotFound(f"machine: {machine[:80]!r} is not on {self._link.name}; a schedule is made where it is.")
        uuid = canonical_uuid(machine) if len(machine) == 36 else "-"
        return Schedule(uuid, name, machine, "", Order())

    def _remove(self, old: Schedule, name: str, *, check: bool) -> Result:
        plan = Plan()
        if old.author:
            plan.add([Change("state", "present", "absent")], lambda: self._store.remove(old.key))
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
            following = await asyncio.to_thread(order.after, self._timetable.now())
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
        there = self._store.get(schedule.key)
        with durably(self._store.database):
            self._store.put(dataclasses.replace(schedule, last=there.last if there else None))
        self._timetable.wake()

    def _examine(self, schedule: Schedule, who: slixmpp.JID) -> None:
        """Whether the action can be kept, and they may run it where it is meant now."""
        order = schedule.order
        if schedule.machine and order.selects:
            raise InvalidArgument("machine: a schedule is about one machine, or about those that fit when it runs.")
        actions = MACHINE_ACTIONS if schedule.machine or order.selects else self._hypervisor.actions
        for entity in self._timetable.targets(schedule):
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
        if old.author != who.bare and len(self._store.all("author = ?", who.bare)) >= MOST:
            raise Conflict(f"You have {MOST} schedules on {self._link.name}; remove some of them.")


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
