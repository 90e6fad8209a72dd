# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long actions as jobs: begun at once, followed by whoever asks, kept in the database over a restart."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import logging
import secrets
import sqlite3
import typing as t

from archipel.actions import ASKER, Action, Progress, Unsettled, action, shown
from archipel.errors import ArchipelError, Conflict, NotFound, OperationFailed, Unsupported

from ..database import durably
from ..entity import Entity, Result
from .events import Deed, Events, now

log = logging.getLogger(__name__)

LONGEST_WAIT = 50
# Progress is written and published when it has moved by so much, or says something else.
STEP = 0.05
KEPT = 1000

Work = t.Callable[[Progress], t.Awaitable[Result]]


@dataclasses.dataclass
class Job:
    """``entity`` is a key as in Entity; ``subjects`` are the keys of what the job changes. Of a running job ``result``
    is what its work has promised."""

    id: str
    action: str
    kind: str
    entity: str
    author: str
    door: str
    arguments: dict[str, t.Any]
    subjects: tuple[str, ...]
    state: str = "running"
    text: str = "begun"
    fraction: float | None = None
    started: str = dataclasses.field(default_factory=now)
    ended: str | None = None
    result: Result | None = None
    error: dict[str, t.Any] | None = None

    def as_data(self) -> dict[str, t.Any]:
        return {
            "id": self.id,
            "action": self.action,
            "entity": self.entity,
            "author": self.author,
            "state": self.state,
            "progress": {"text": self.text, "fraction": self.fraction},
            "started": self.started,
            "ended": self.ended,
            "result": self.result if self.state == "succeeded" else None,
            "error": self.error,
        }


def _sentence(job: t.Mapping[str, t.Any]) -> str:
    if job["state"] == "running":
        return f"The job {job['id']} ({job['action']}) is running: {job['progress']['text']}."
    why = job["error"]["msg"] if job["error"] else job["progress"]["text"]
    return f"The job {job['id']} ({job['action']}) has {job['state']}: {why}"


Inquiry = t.Callable[[Job, Progress], t.Awaitable[Result]]

_COLUMNS: t.Final = tuple(field.name for field in dataclasses.fields(Job))
_AS_JSON: t.Final = ("arguments", "subjects", "result", "error")


class Jobs:
    """``told`` is called at each step of a job, its begin and its end included. ``endings`` have, by action, what is
    still to be done with a result before the job has succeeded, which it has whatever becomes of that. ``inquiries``
    know, by action, how to find out what became of work that nobody followed to its end, ``aborts`` how to end a job
    before its time."""

    def __init__(self, database: sqlite3.Connection, events: Events) -> None:
        self.told: list[t.Callable[[Job], None]] = []
        self.endings: dict[str, t.Callable[[Job, Result], t.Awaitable[None]]] = {}
        self.inquiries: dict[str, Inquiry] = {}
        self.aborts: dict[str, t.Callable[[Job], t.Awaitable[None]]] = {}
        self._database = database
        self._events = events
        self._running: dict[str, Job] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # Its id is known to who began it, and to whom it stands in the way.
    @action(permission=ASKER, changes=False, phrases=("job {id}",), says=_sentence)
    async def job(
        self,
        *,
        id: t.Annotated[str, "The job's id, as the long action answered it."],
        wait: t.Annotated[int, "Answer when the job has ended, or after so many seconds; at most 50."] = 0,
    ) -> Result:
        """Tell how far a job is, or how it ended."""
        job = self.get(id)
        if job.state == "running" and wait > 0:
            try:
                async with asyncio.timeout(min(wait, LONGEST_WAIT)):
                    await self._ends[id].wait()
            except TimeoutError:
                pass
            job = self.get(id)
        return {"changed": False, **job.as_data()}

    @action(permission="migrate", changes=True, concerns="job", phrases=("abort {id}",), says="{msg}")
    async def abort(self, *, id: t.Annotated[str, "The job's id."]) -> Result:
        """End a move before its time: the machine stays where it is. Or wait no longer for a machine whose source is
        gone for good."""
        job = self.get(id)
        if job.state != "running":
            raise Conflict(f"The job {id} has {job.state} already.")
        if job.action not in self.aborts:
            raise Unsupported(f"The job {id} is {job.action}, which cannot be aborted.")
        await self.aborts[job.action](job)
        return {"changed": True, "msg": f"The job {id} ({job.action}) is told to end."}

    def get(self, id: str) -> Job:
        if id in self._running:
            return self._running[id]
        row = self._database.execute(f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no job {id[:40]!r} here; jobs are known to the hypervisor that began them.")
        return _from_row(row)

    def changing(self, subject: str) -> Job | None:
        """The running job that changes this."""
        return next((job for job in self._running.values() if subject in job.subjects), None)

    def latest(self, actions: t.Collection[str], subject: str) -> Job | None:
        """The job that was begun last, of these actions, and was to change this, of those that are known."""
        rows = self._database.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE action IN ({_marks(actions)})"
            " AND EXISTS (SELECT 1 FROM json_each(subjects) WHERE value = ?) ORDER BY started DESC, rowid DESC",
            (*actions, subject),
        )
        return next((job for job in map(_from_row, rows) if not job.arguments.get("check")), None)

    async def ended(self, id: str) -> Job:
        if id in self._ends:
            await self._ends[id].wait()
        return self.get(id)

    def begin(
        self,
        entity: Entity,
        action: Action,
        arguments: t.Mapping[str, t.Any],
        subjects: tuple[str, ...],
        author: str,
        door: str,
        work: Work,
    ) -> Job:
        """Start the work and return at once. What is secret in the arguments is in the work alone."""
        job = Job(new_id(), action.name, entity.kind, entity.key, author, door, shown(arguments), subjects)
        self.start(job, work)
        return job

    def look_into_unfinished(self) -> None:
        """Find out what became of the jobs that an earlier run of the agent left running; what no inquiry knows is
        lost."""
        rows = self._database.execute(f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE state = 'running'").fetchall()
        for job in map(_from_row, rows):
            log.warning("looking into the job %s (%s), which the last run left running", job.id, job.action)
            self.start(job, functools.partial(self._inquire, job))

    async def _inquire(self, job: Job, progress: Progress, why: str = "") -> Result:
        try:
            return await self.inquiries.get(job.action, _nobody_knows)(job, progress)
        except OperationFailed as error:
            raise type(error)(f"{error.message} {why}".rstrip(), changes=error.changes) from error

    async def drain(self, seconds: float) -> None:
        """Give running jobs so long to end; the others are looked into by the next run of the agent."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for job in self._running.values():
            log.warning("the job %s (%s) is left running; the next start looks into it", job.id, job.action)

    def start(self, job: Job, work: Work) -> None:
        """Begin a job, once it is written down that it is to be; what cannot be written does not begin."""
        with durably(self._database):
            self._write(job)
        self._running[job.id] = job
        self._ends[job.id] = asyncio.Event()
        self._tell(job)
        task = asyncio.get_running_loop().create_task(self._follow(job, work), name=f"job {job.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, job: Job, work: Work) -> None:
        outcome = "failed"
        progress = _Told(functools.partial(self._progress, job), functools.partial(self._promise, job))
        try:
            try:
                result = await work(progress)
            except Unsettled as unsettled:
                log.warning("looking into the job %s (%s): %s", job.id, job.action, unsettled.message)
                result = await self._inquire(job, progress, unsettled.message)
            job.result = await self._ended_well(job, result)
            changed = job.result["changed"] and not job.arguments.get("check")
            job.state, outcome = "succeeded", "changed" if changed else "unchanged"
            job.text, job.fraction = job.result.get("msg", "done"), 1.0
        except Lost as lost:
            job.state, job.error, job.text, outcome = "lost", lost.as_data(), lost.message, "lost"
        except ArchipelError as error:
            job.state, job.error, job.text, outcome = "failed", error.as_data(), error.message, error.code
        except Exception as error:
            log.exception("the job %s failed by a fault of the agent", job.id)
            job.state, job.error = "failed", OperationFailed(f"The agent failed: {error!r}").as_data()
            job.text = "failed by a fault of the agent"
        if job.state != "succeeded":
            job.result = None
        job.ended = now()
        del self._running[job.id]
        try:
            self._write(job)
        except (TypeError, ValueError) as error:
            log.exception("what came of the job %s cannot be written", job.id)
            why = f"The agent failed: {job.action} has {job.state}, and what came of it cannot be told: {error}."
            job.state, job.result, job.error, job.text = "failed", None, OperationFailed(why).as_data(), why
            outcome = "failed"
            self._write(job)
        self._tell(job)
        self._ends.pop(job.id).set()
        self._events.outcome(Deed(job.action, job.entity, job.subjects, job.author, job.door), outcome)

    async def _ended_well(self, job: Job, result: Result) -> Result:
        """The result, after its ending: the work is done, whatever becomes of what is to follow."""
        try:
            if ending := self.endings.get(job.action):
                await ending(job, result)
        except Exception as error:
            log.exception("the ending of the job %s failed by a fault of the agent", job.id)
            return {**result, "warnings": [*result.get("warnings", ()), f"What follows {job.action} failed: {error!r}"]}
        return result

    def _progress(self, job: Job, text: str, fraction: float | None) -> None:
        if job.state != "running":
            return
        if fraction is not None and job.fraction is not None and abs(fraction - job.fraction) < STEP:
            return
        job.text, job.fraction = text, fraction
        self._write(job)
        self._tell(job)

    async def _promise(self, job: Job, outcome: Result) -> None:
        job.result = outcome
        with durably(self._database):
            self._write(job)

    def _write(self, job: Job) -> None:
        values = [json.dumps(getattr(job, name)) if name in _AS_JSON else getattr(job, name) for name in _COLUMNS]
        columns = ", ".join(_COLUMNS)
        self._database.execute(f"INSERT OR REPLACE INTO jobs ({columns}) VALUES ({_marks(_COLUMNS)})", values)
        if job.ended:
            self._database.execute(
                "DELETE FROM jobs WHERE state != 'running' AND id NOT IN"
                " (SELECT id FROM jobs ORDER BY started DESC LIMIT ?)",
                (KEPT,),
            )

    def _tell(self, job: Job) -> None:
        told = {key: value for key, value in job.as_data().items() if key != "result"}
        # An item of pubsub has its bounds, and there may be many machines.
        told["error"] = job.error and {key: value for key, value in job.error.items() if key != "vms"}
        self._events.publish("job", job=told)
        for callback in self.told:
            callback(job)


class _Told(Progress):
    """Brings what a worker thread tells into the event loop."""

    def __init__(
        self,
        tell: t.Callable[[str, float | None], None],
        keep: t.Callable[[Result], t.Coroutine[t.Any, t.Any, None]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._keep = keep

    def __call__(self, text: str, fraction: float | None = None) -> None:
        self._loop.call_soon_threadsafe(self._tell, text, fraction)

    def promise(self, outcome: Result) -> None:
        asyncio.run_coroutine_threadsafe(self._keep(outcome), self._loop).result()


class Lost(OperationFailed):
    """What became of a job could not be found out."""


def new_id() -> str:
    return secrets.token_hex(8)


async def _nobody_knows(job: Job, _progress: Progress) -> Result:
    raise Lost(f"The agent ended while {job.action} was running, and cannot find out what became of it.")


def _marks(values: t.Collection[str]) -> str:
    return ", ".join("?" * len(values))


def _from_row(row: sqlite3.Row) -> Job:
    job = Job(**{name: json.loads(row[name]) if name in _AS_JSON else row[name] for name in _COLUMNS})
    job.subjects = tuple(job.subjects)
    return job
