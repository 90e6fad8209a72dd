# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cron and RRULE: the times that they name, where clocks change, and what does not come to an end."""

from __future__ import annotations

import datetime
import itertools
import time
import typing as t

import pytest
from archipel.errors import InvalidArgument
from archipel_agent.recurrence import Cron, Recurrence, Rule, instant, written

BERLIN = "Europe/Berlin"
START = instant("2026-01-01T09:15:30Z", "start")


def times(rule: Recurrence, since: str, count: int) -> list[str]:
    """The next times in UTC, to the minute."""

    def following() -> t.Iterator[datetime.datetime]:
        when = instant(since, "since")
        while (found := rule.after(when)) is not None:
            yield found
            when = found

    return [written(when).removesuffix(":00Z").removesuffix("Z") for when in itertools.islice(following(), count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 2 * * *", ["2026-03-01T02:30", "2026-03-02T02:30"]),
        ("*/20 8-9 * * *", ["2026-03-01T08:00", "2026-03-01T08:20", "2026-03-01T08:40", "2026-03-01T09:00"]),
        ("0 0 1 jan,JUL *", ["2026-07-01T00:00", "2027-01-01T00:00"]),
        ("0 12 * * sun", ["2026-03-01T12:00", "2026-03-08T12:00"]),
        ("0 12 * * 7", ["2026-03-01T12:00", "2026-03-08T12:00"]),
        ("0 12 * * mon-fri", ["2026-03-02T12:00", "2026-03-03T12:00"]),
        ("0 0 13 * fri", ["2026-03-06T00:00", "2026-03-13T00:00", "2026-03-20T00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("5/25 0 1 4 *", ["2026-04-01T00:05", "2026-04-01T00:30", "2026-04-01T00:55"]),
    ],
)
def test_cron_names_the_times_that_cron_does(text: str, expected: list[str]) -> None:
    assert times(Cron(text, "UTC"), "2026-03-01T00:00:00Z", len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FREQ=DAILY;INTERVAL=2", ["2026-03-02T09:15:30", "2026-03-04T09:15:30"]),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=-1;BYHOUR=6", ["2026-03-30T06:15:30", "2026-04-27T06:15:30"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH", ["2026-03-10T09:15:30", "2026-03-12T09:15:30", "2026-03-24T09:15:30"]),
        ("FREQ=DAILY;COUNT=60", ["2026-03-01T09:15:30"]),
        ("FREQ=DAILY;UNTIL=20260302", ["2026-03-01T09:15:30"]),
        ("rrule:freq=yearly;until=20280101t000000z;", ["2027-01-01T09:15:30"]),
        ("FREQ=MINUTELY;INTERVAL=7", ["2026-03-01T00:01:30", "2026-03-01T00:08:30"]),
    ],
)
def test_a_rule_goes_on_from_its_start(text: str, expected: list[str]) -> None:
    assert times(Rule(text, START, "UTC"), "2026-03-01T00:00:00Z", len(expected)) == expected


def test_a_rule_that_ends_has_no_next_time() -> None:
    for text in ("FREQ=DAILY;COUNT=3", "FREQ=DAILY;UNTIL=20260110T000000Z"):
        assert Rule(text, START, "UTC").after(instant("2026-03-01T00:00:00Z", "since")) is None


def test_a_time_that_the_clocks_skip_comes_later() -> None:
    """On 2026-03-29 there is no 02:30 in Berlin: the clocks go from 02:00 to 03:00."""
    expected = ["2026-03-28T01:30", "2026-03-29T01:30", "2026-03-30T00:30"]
    assert times(Cron("30 2 * * *", BERLIN), "2026-03-28T00:00:00Z", 3) == expected
    start = instant("2026-03-01T02:30:00+01:00", "start")
    assert times(Rule("FREQ=DAILY", start, BERLIN), "2026-03-28T00:00:00Z", 3) == expected


def test_what_the_clocks_skip_is_not_done_twice() -> None:
    """At each half hour: 02:30 is 03:30 on that day, and that is there already."""
    expected = ["2026-03-29T00:30", "2026-03-29T01:00", "2026-03-29T01:30", "2026-03-29T02:00"]
    assert times(Cron("*/30 * * * *", BERLIN), "2026-03-29T00:00:00Z", 4) == expected


def test_a_time_that_the_clocks_show_twice_counts_once() -> None:
    """On 2026-10-25 02:30 in Berlin comes twice: the clocks go from 03:00 to 02:00."""
    expected = ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]
    assert times(Cron("30 2 * * *", BERLIN), "2026-10-24T00:00:00Z", 3) == expected
    assert times(Cron("30 2 * * *", BERLIN), "2026-10-25T00:40:00Z", 1) == ["2026-10-26T01:30"]
    assert times(Cron("30 2 * * *", BERLIN), "2026-10-25T01:10:00Z", 1) == ["2026-10-26T01:30"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("* * * *", "has 4 fields"),
        ("60 * * * *", "'60' is no minute"),
        ("* 5-3 * * *", "'5-3' is no hour"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("* * * foo *", "'foo' is no month"),
        ("* * ² * *", "is no day of the month"),
    ],
)
def test_what_is_no_cron_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Cron(text, "UTC")
    assert complaint in refused.value.message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("FREQ=SECONDLY", "FREQ is needed, one of MINUTELY"),
        ("FREQ=MINUTELY;BYSECOND=1,2", "'BYSECOND' is not possible"),
        ("FREQ=MINUTELY;BYSETPOS=2", "BYSETPOS goes with"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is a number from 1"),
        ("FREQ=DAILY;INTERVAL=²", "INTERVAL is a number from 1"),
        ("FREQ=DAILY;COUNT=99999999", "COUNT is a number from 1"),
        ("FREQ=DAILY;UNTIL=soon", "UNTIL 'SOON'"),
        ("FREQ=DAILY;BYHOUR=25", "no recurrence rule"),
        ("FREQ=DAILY;BYDAY=XX", "no recurrence rule"),
        ("FREQ=MINUTELY;INTERVAL=1440;BYHOUR=3", "combination of interval and byhour"),
        ("FREQ=DAILY\nDTSTART:20260101T000000", "FREQ is needed"),
        ("EXDATE:20260101", "is not possible"),
        ("FREQ=DAILY;BYMONTHDAY=" + "1," * 500 + "1", "longer than"),
        ("", "is not possible"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Rule(text, START, "UTC").after(START)
    assert complaint in refused.value.message


@pytest.mark.parametrize("zone", ["Berlin", "../../etc/passwd", "Europe", "", "a\0b"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidArgument, match="timezone"):
        Cron("* * * * *", zone)


@pytest.mark.parametrize("text", ["tomorrow", "2026-05-01T02:30:00", "1999-01-01T00:00:00Z", "9000-01-01T00:00:00Z"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="at: "):
        instant(text, "at")


NEVER = (
    *(
        f"FREQ={frequency};BYMONTH=2;BYMONTHDAY=30"
        for frequency in ("MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY")
    ),
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=7",
    "FREQ=MINUTELY;BYHOUR=1;BYMINUTE=1;BYMONTH=4;BYMONTHDAY=31",
    "FREQ=MINUTELY;INTERVAL=61;BYHOUR=3;BYMINUTE=4;BYMONTH=2;BYMONTHDAY=30",
)


@pytest.mark.parametrize("text", NEVER)
def test_what_never_comes_is_found_out_soon(text: str) -> None:
    """Where dateutil alone would be busy for many seconds, or for ever."""
    begun = time.process_time()
    assert Rule(text, START, "UTC").after(START) is None
    assert time.process_time() - begun < 5


def test_an_old_rule_is_not_followed_from_its_start() -> None:
    begun = time.process_time()
    old = Rule("FREQ=MINUTELY;BYMINUTE=7", instant("2001-01-01T00:00:00Z", "start"), BERLIN)
    assert times(old, "2026-03-01T00:00:00Z", 2) == ["2026-03-01T00:07", "2026-03-01T01:07"]
    assert time.process_time() - begun < 1
