# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one path of every request: find the action, may this JID?, bind, lock if it changes, run, answer.

Doors translate what they receive into a request, and what comes back into an answer. What an asker may not call does
not exist for them: it is answered as an unknown action is, and leaves an event.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import time
import typing as t
import weakref

import slixmpp
from archipel.actions import ASKER, MACHINE, NO_PROGRESS, Action, Progress, always, find
from archipel.errors import ArchipelError, Conflict, Forbidden, Unavailable

from .authority import Authority
from .entity import Entity, Result, asker
from .features.events import Deed, Events
from .features.jobs import Job, Jobs
from .libvirt_link import LANES, MachineState

# Requests of one JID that are under way, whatever they do.
MAX_IN_FLIGHT = 256
# A stranger who knocks without end leaves one event in so many seconds for each action and door.
REFUSALS_APART = 10.0


@dataclasses.dataclass(frozen=True)
class Request:
    """``who`` is the sender as the server stamped it. ``text``: the arguments came as strings."""

    entity: Entity
    who: slixmpp.JID
    door: str
    untrusted_action: str
    untrusted_arguments: t.Mapping[str, t.Any]
    text: bool = False


# What may be told of a result.
Filter = t.Callable[[Result], Result]


def _all_of_it(result: Result) -> Result:
    return result


def _of_machines(action: Action) -> bool:
    """Whether a right to a machine can be enough."""
    return action.concerns == MACHINE and action.reaches is not always


def _states(changes: t.Iterable[t.Mapping[str, t.Any]]) -> t.Iterator[tuple[str, str, str]]:
    """Of machines' states that changed, whose (empty where there is one machine), from what and to what."""
    for change in changes:
        whose, _dot, what = change["path"].rpartition(".")
        if what == "state":
            yield whose, change["old"], change["new"]


def _to_remove(entity: Entity, action: Action, arguments: dict[str, t.Any]) -> t.Collection[MachineState]:
    """The machines here that are to be absent, whatever else is named with them."""
    if arguments.get("state") != "absent":
        return ()
    subjects = {*entity.subjects(action, arguments)}
    return entity.meant(action, arguments) or [machine for machine in entity.within() if machine.uuid in subjects]


class Dispatcher:
    """``removed`` are called with each machine that somebody has removed from here, as it was before."""

    def __init__(self, authority: Authority, jobs: Jobs, events: Events) -> None:
        self.removed: list[t.Callable[[MachineState], None]] = []
        self._authority = authority
        self._jobs = jobs
        self._events = events
        self._in_flight: collections.Counter[str] = collections.Counter()
        self._turns: dict[tuple[str, str], asyncio.Semaphore] = {}
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._refused: dict[tuple[str, str, str, str], float] = {}

    def visible(self, entity: Entity, who: slixmpp.JID) -> dict[str, Action]:
        """The actions of an entity that this JID may call, be it for one of its machines only."""
        return self._visible(entity, who, entity.actions)

    def _visible(self, entity: Entity, who: slixmpp.JID, actions: t.Mapping[str, Action]) -> dict[str, Action]:
        may, here = self._authority.may, entity.here
        allowed = {name for name, action in actions.items() if may(who, action, here)}
        left = {name: action for name, action in actions.items() if name not in allowed and _of_machines(action)}
        if left:
            places = [entity.place(machine) for machine in self._authority.touched(who, entity.within())]
            allowed |= {name for name, action in left.items() if any(may(who, action, place) for place in places)}
        return {name: action for name, action in actions.items() if name in allowed}

    def find(self, entity: Entity, who: slixmpp.JID, untrusted_name: str, door: str) -> Action:
        """The action of that name; UnknownAction if there is none, or none for this JID."""
        if untrusted_name in entity.actions:
            if found := self._visible(entity, who, {untrusted_name: entity.actions[untrusted_name]}):
                return found[untrusted_name]
            self.refuse(Deed(untrusted_name, entity.key, (), who.bare, door))
        return find(self.visible(entity, who), untrusted_name)

    def reached(
        self,
        entity: Entity,
        who: slixmpp.JID,
        action: Action,
        arguments: dict[str, t.Any],
        machines: t.Collection[MachineState],
    ) -> list[MachineState]:
        """Of these machines those to which they may do that, each by itself."""
        may = functools.partial(self._authority.may, who, action, arguments=arguments)
        if may(entity.here):
            return list(machines)
        return [] if action.reaches(arguments) else [m for m in machines if may(entity.place(m))]

    def _permit(self, request: Request, action: Action, arguments: dict[str, t.Any]) -> Filter:
        """Forbidden, when they may call the action, but not for what they ask. What they may be told of the result."""
        entity, may = request.entity, functools.partial(self._authority.may, request.who, action, arguments=arguments)
        if action.permission == ASKER or may(entity.here):
            return _all_of_it
        if action.lists:
            theirs = {machine.uuid for machine in entity.within() if may(entity.place(machine))}
            return lambda result: {**result, action.lists: [i for i in result[action.lists] if i["uuid"] in theirs]}
        meant = entity.meant(action, arguments)
        if meant and len(self.reached(entity, request.who, action, arguments, meant)) == len(meant):
            return _all_of_it
        deed = Deed(action.name, entity.key, entity.subjects(action, arguments), request.who.bare, request.door)
        self.refuse(deed)
        raise Forbidden(
            f"You may run {action.name} here for some machines only: name them, and ask for nothing that reaches beyond"
            " them, as new machines, devices, files and networks of the hypervisor do."
        )

    async def __call__(self, request: Request) -> tuple[Action, Result]:
        """The action that was meant, and its result; or an ArchipelError."""
        asking = asker.set(request.who)
        try:
            return await self._answer(request)
        finally:
            asker.reset(asking)

    def examine(self, request: Request) -> tuple[Action, dict[str, t.Any], Filter]:
        """What is asked for, bound, when they may; or an ArchipelError."""
        action = self.find(request.entity, request.who, request.untrusted_action, request.door)
        arguments = action.bind(request.untrusted_arguments, text=request.text)
        return action, arguments, self._permit(request, action, arguments)

    async def _answer(self, request: Request) -> tuple[Action, Result]:
        action, arguments, told = self.examine(request)
        with self._counted(request.who.bare):
            if action.long:
                return action, self.begin(request, action, arguments)
            return action, told(await self._run(request, action, arguments))

    async def end_of(self, id: str) -> Job:
        """The job that a long action has begun, when it has ended."""
        return await self._jobs.ended(id)

    async def _run(self, request: Request, action: Action, arguments: dict[str, t.Any]) -> Result:
        if not action.changes:
            async with self._turn(request, action):
                return await request.entity.run(action, arguments, NO_PROGRESS)
        subjects = request.entity.subjects(action, arguments)
        self._refuse_busy(subjects)
        outcome = "failed"
        try:
            async with self._locked(subjects), self._turn(request, action):
                # A job may have begun while this waited for its turn.
                self._refuse_busy(subjects)
                result = await self._perform(request, action, arguments, NO_PROGRESS)
            outcome = "unchanged" if arguments.get("check") or not result["changed"] else "changed"
        except ArchipelError as error:
            outcome = error.code
            raise
        finally:
            deed = Deed(action.name, request.entity.key, subjects, request.who.bare, request.door)
            self._events.outcome(deed, outcome)
        return result

    def begin(self, request: Request, action: Action, arguments: dict[str, t.Any]) -> Result:
        """Begin a long action, for somebody who may; its job."""
        subjects = request.entity.subjects(action, arguments)
        self._refuse_busy(subjects)

        async def work(progress: t.Any) -> Result:
            async with self._locked(subjects):
                return await self._perform(request, action, arguments, progress)

        job = self._jobs.begin(request.entity, action, arguments, subjects, request.who.bare, request.door, work)
        return {"changed": False, "job": job.id, "msg": f"{action.name} has begun as job {job.id}."}

    async def _perform(
        self, request: Request, action: Action, arguments: dict[str, t.Any], progress: Progress
    ) -> Result:
        """Run what changes something. Who makes a machine by it owns that, also where something else failed."""
        name, changes = arguments.get("clone") or arguments.get("name"), []
        going = _to_remove(request.entity, action, arguments)
        try:
            result = await request.entity.run(action, arguments, progress)
            name, changes = result.get("vm", {}).get("name", name), result.get("changes", [])
            return result
        except ArchipelError as error:
            changes = error.changes
            raise
        finally:
            if action.concerns == MACHINE and not arguments.get("check"):
                for whose, old, new in _states(changes):
                    if old == "absent" and (made := whose or name):
                        await request.entity.give(made, request.who.bare)
                    if new == "absent":
                        self._tell_removed(machine for machine in going if whose in ("", machine.name))

    def _tell_removed(self, machines: t.Iterable[MachineState]) -> None:
        for machine in machines:
            for callback in self.removed:
                callback(machine)

    def refuse(self, deed: Deed) -> None:
        """Leave an event of what they may not, and asked for all the same."""
        key, now = (deed.who, deed.entity, deed.action, deed.door), time.monotonic()
        if now - self._refused.get(key, -REFUSALS_APART) < REFUSALS_APART:
            return
        self._refused = {k: when for k, when in self._refused.items() if now - when < REFUSALS_APART}
        self._refused[key] = now
        self._events.refused(deed)

    def _refuse_busy(self, subjects: t.Iterable[str]) -> None:
        for subject in subjects:
            job = self._jobs.changing(subject)
            if job is not None:
                raise Conflict(f"The job {job.id} ({job.action}) is at work there: {job.text}. Wait for its end.")

    @contextlib.contextmanager
    def _counted(self, who: str) -> t.Iterator[None]:
        if self._in_flight[who] >= MAX_IN_FLIGHT:
            raise Unavailable(f"{MAX_IN_FLIGHT} of your requests are under way; wait for answers before you ask more.")
        self._in_flight[who] += 1
        try:
            yield
        finally:
            self._in_flight[who] -= 1
            if not self._in_flight[who]:
                del self._in_flight[who]
                for key in [key for key in self._turns if key[0] == who]:
                    del self._turns[key]

    def _turn(self, request: Request, action: Action) -> contextlib.AbstractAsyncContextManager[t.Any]:
        """Nobody has all workers of a lane, so that somebody else's request finds one."""
        lane = request.entity.lane(action)
        if lane is None:
            return contextlib.nullcontext()
        key = (request.who.bare, lane)
        return self._turns.setdefault(key, asyncio.Semaphore(LANES[lane] - 1))

    @contextlib.asynccontextmanager
    async def _locked(self, subjects: t.Sequence[str]) -> t.AsyncIterator[None]:
        """Hold what an action changes, in the order of ``subjects``, which is sorted: so two never wait for each
        other."""
        async with contextlib.AsyncExitStack() as held:
            for subject in subjects:
                lock = self._locks.setdefault(subject, asyncio.Lock())
                await held.enter_async_context(lock)
            yield
