# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When something happens: once, by cron's five fields, or by a recurrence rule of RFC 5545.

Both kinds of rules speak of the time on a wall clock in some zone. A time that the clocks skip comes as much later
(02:30 is 03:30, as RFC 5545 §3.3.5 reads it), one that they show twice counts the first time.
"""

from __future__ import annotations

import datetime
import re
import typing as t
import zoneinfo

from archipel.errors import InvalidArgument
from dateutil import rrule

UTC: t.Final = datetime.UTC
MONTHS: t.Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS: t.Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Of cron's fields: what it is called, its least and its greatest value, and names from the least on.
FIELDS: t.Final[tuple[tuple[str, int, int, tuple[str, ...]], ...]] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 7, DAYS),
)
# Steps of which so many make no difference to the rest of the rule.
STEPS: t.Final = {
    "MINUTELY": datetime.timedelta(minutes=1),
    "HOURLY": datetime.timedelta(hours=1),
    "DAILY": datetime.timedelta(days=1),
    "WEEKLY": datetime.timedelta(weeks=1),
}
PARTS: t.Final = frozenset(
    (
        "FREQ",
        "INTERVAL",
        "COUNT",
        "UNTIL",
        "WKST",
        "BYSETPOS",
        "BYMONTH",
        "BYMONTHDAY",
        "BYYEARDAY",
        "BYWEEKNO",
        "BYDAY",
    )
) | {"BYHOUR", "BYMINUTE"}
LONGEST: t.Final = 500
MOST: t.Final = 10_000
EARLIEST_YEAR: t.Final = 2000
# dateutil looks for a time that never comes until the year 9999, which takes seconds. Our calendar repeats itself each
# 400 years to the day of the week, so it is asked about a time from which it is not far to there.
SHIFT: t.Final = 7600


class Once:
    """A single instant."""

    def __init__(self, when: datetime.datetime) -> None:
        self._when = when

    def after(self, instant: datetime.datetime) -> datetime.datetime | None:
        return self._when if self._when > instant else None


class Recurrence:
    """The instants at which a rule of wall clock times happens."""

    def __init__(self, zone: str) -> None:
        try:
            self._zone = zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidArgument(f"timezone: {zone[:80]!r} is no zone of the IANA's, like Europe/Berlin.") from None
        self._end: datetime.datetime | None = None

    def after(self, instant: datetime.datetime) -> datetime.datetime | None:
        """The first time after an instant, in UTC; None if there is none. It takes up to a second."""
        since = _shifted(instant.astimezone(self._zone).replace(tzinfo=None), SHIFT)
        try:
            for wall in self._rule(since).xafter(since):
                found = _shifted(wall, -SHIFT).replace(tzinfo=self._zone).astimezone(UTC)
                if self._end is not None and found > self._end:
                    return None
                if found > instant:
                    return found
        except ValueError as error:
            # Some contradictions dateutil finds only when it looks for a time.
            raise InvalidArgument(f"rrule: {error}") from None
        return None

    def _rule(self, since: datetime.datetime) -> rrule.rrule | rrule.rruleset:
        """All wall clock times after ``since`` are in it."""
        raise NotImplementedError


class Cron(Recurrence):
    """Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday). When both days are named, either
    will do, as cron has it."""

    def __init__(self, text: str, zone: str) -> None:
        super().__init__(zone)
        words = text[:LONGEST].lower().split()
        if len(words) != len(FIELDS):
            raise InvalidArgument(f"cron: {text[:80]!r} has {len(words)} fields and needs 5, as in 30 2 * * mon-fri.")
        minutes, hours, days, months, weekdays = (
            _field(word, *field) for word, field in zip(words, FIELDS, strict=True)
        )
        self._times: dict[str, t.Any] = {"byminute": minutes, "byhour": hours, "bymonth": months, "bysecond": 0}
        self._days: list[dict[str, t.Any]] = []
        if len(days) < 31 or len(set(weekdays) | {7}) == 8:
            self._days.append({"bymonthday": days})
        if len(set(weekdays) | {7}) < 8:
            # Monday is 0 to dateutil.
            self._days.append({"byweekday": sorted({(day - 1) % 7 for day in weekdays})})

    def _rule(self, since: datetime.datetime) -> rrule.rruleset:
        midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
        rules = rrule.rruleset()
        for days in self._days:
            rules.rrule(rrule.rrule(rrule.DAILY, dtstart=midnight, **self._times, **days))
        return rules


class Rule(Recurrence):
    """A RRULE; ``start`` is its DTSTART, by which what the rule does not say is filled in."""

    def __init__(self, text: str, start: datetime.datetime, zone: str) -> None:
        super().__init__(zone)
        if len(text) > LONGEST:
            raise InvalidArgument(f"rrule: it is longer than {LONGEST} characters.")
        parts = dict(part.partition("=")[::2] for part in text.upper().removeprefix("RRULE:").strip(";").split(";"))
        _check_parts(parts)
        if "UNTIL" in parts:
            self._end = _until(parts.pop("UNTIL"), self._zone)
        self._start = _shifted(start.astimezone(self._zone).replace(tzinfo=None, microsecond=0), SHIFT)
        self._text = ";".join(f"{name}={value}" for name, value in parts.items())
        step = STEPS.get(parts["FREQ"])
        # A rule that counts has to be followed from its start.
        self._step = None if step is None or "COUNT" in parts else step * int(parts.get("INTERVAL", 1))
        try:
            self._rule(self._start)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise InvalidArgument(f"rrule: {text!r} is no recurrence rule of RFC 5545: {error}") from None

    def _rule(self, since: datetime.datetime) -> rrule.rrule:
        start = self._start
        if self._step is not None and since > start:
            start += (since - start) // self._step * self._step
        return t.cast(rrule.rrule, rrule.rrulestr(self._text, dtstart=start))


def instant(untrusted: str, argument: str) -> datetime.datetime:
    """The instant that a text names, to the second: ISO 8601 with a zone."""
    try:
        found = datetime.datetime.fromisoformat(untrusted)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidArgument(
            f"{argument}: {untrusted[:80]!r} is no time with a zone, as 2026-05-01T02:30:00+02:00 or …Z."
        )
    if not EARLIEST_YEAR < found.year < 9999 - SHIFT:
        raise InvalidArgument(f"{argument}: {untrusted[:80]!r} is too far away.")
    return found.astimezone(UTC).replace(microsecond=0)


def written(when: datetime.datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shifted(when: datetime.datetime, years: int) -> datetime.datetime:
    return when.replace(year=when.year + years)


def _field(word: str, name: str, least: int, greatest: int, names: tuple[str, ...]) -> list[int]:
    """The values that a field of cron's stands for."""
    values: set[int] = set()
    for part in word.split(","):
        found = re.fullmatch(r"(?:\*|(\w{1,3})(?:-(\w{1,3}))?)(?:/(\d{1,2}))?", part, re.ASCII)
        try:
            if found is None:
                raise ValueError
            first, last, step = found.groups()
            begin = least if first is None else _number(first, least, names)
            end = _number(last, least, names) if last else greatest if first is None or step else begin
            if not least <= begin <= end <= greatest or step == "0":
                raise ValueError
        except ValueError:
            raise InvalidArgument(f"cron: {part[:80]!r} is no {name}; it is {least} to {greatest}, or *.") from None
        values.update(range(begin, end + 1, int(step or 1)))
    return sorted(values)


def _number(word: str, least: int, names: tuple[str, ...]) -> int:
    return names.index(word) + least if word in names else int(word)


def _check_parts(parts: t.Mapping[str, str]) -> None:
    """What RFC 5545 would allow and nobody needs: more often than each minute, and what takes long to find out."""
    for name in parts:
        if name not in PARTS:
            raise InvalidArgument(f"rrule: {name[:80]!r} is not possible; there are {', '.join(sorted(PARTS))}.")
    frequency = parts.get("FREQ")
    if frequency not in (*STEPS, "MONTHLY", "YEARLY"):
        raise InvalidArgument(f"rrule: FREQ is needed, one of {', '.join(STEPS)}, MONTHLY, YEARLY.")
    if "BYSETPOS" in parts and frequency in STEPS:
        raise InvalidArgument("rrule: BYSETPOS goes with MONTHLY and YEARLY.")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not (parts[name].isascii() and parts[name].isdigit() and 0 < int(parts[name]) <= MOST):
            raise InvalidArgument(f"rrule: {name} is a number from 1 to {MOST}.")


def _until(text: str, zone: zoneinfo.ZoneInfo) -> datetime.datetime:
    """RFC 5545 has it in UTC, or as a date or time of the zone's wall clock."""
    for form in ("%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S", "%Y%m%d"):
        try:
            found = datetime.datetime.strptime(text, form)
        except ValueError:
            continue
        return found.replace(tzinfo=UTC if form.endswith("Z") else zone).astimezone(UTC)
    raise InvalidArgument(f"rrule: UNTIL {text[:20]!r} is no time like 20261231T220000Z.")
