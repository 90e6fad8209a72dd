# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done later: what people want, the schedule of it, and how schedules are kept."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sqlite3
import typing as t

from archipel.errors import InvalidArgument
from archipel.selection import Selector

from ..recurrence import Cron, Once, Rule, instant, written

Key = tuple[str, str]
# What is no later than this is in time: an agent that restarts takes a moment, and nothing comes more often.
IN_TIME = datetime.timedelta(seconds=60)


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


_TIMES: t.Final = ("at", "cron", "rrule")


def ordered(old: Order | None, given: t.Mapping[str, t.Any], now: datetime.datetime) -> Order:
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
