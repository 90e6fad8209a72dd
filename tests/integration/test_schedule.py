# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules as tasks write them."""

from __future__ import annotations

import typing as t

import pytest
from playbook import assert_cycle, cycle

SCHEDULE = "archipel.orchestrator.schedule"
INFO = "archipel.orchestrator.schedule_info"


@pytest.fixture
def xmpp(over: t.Callable[[str], t.Any]) -> t.Any:
    return over("xmpp")


def test_a_schedule_comes_changes_and_goes(xmpp: t.Any) -> None:
    of_machine = {"name": "nightly", "machine": "test"}
    create = {SCHEDULE: {**of_machine, "action": "info", "rrule": "FREQ=DAILY;BYHOUR=2", "timezone": "Europe/Berlin"}}
    change = {SCHEDULE: {**of_machine, "cron": "0 3 * * *", "grace": 60, "arguments": {"addresses": "none"}}}
    results = xmpp.play(*cycle(create, change, {SCHEDULE: {**of_machine, "state": "absent"}}))
    assert_cycle(results)
    assert results[1]["schedule"]["author"] == "admin@xmpp.test"
    assert [change["path"] for change in results[5]["changes"]] == ["arguments", "cron", "rrule", "grace"]
    assert results[9]["schedule"] is None


def test_what_is_due_is_done_and_told(xmpp: t.Any) -> None:
    soon = "{{ '%Y-%m-%dT%H:%M:%SZ' | strftime(now().strftime('%s') | int + 3, utc=true) }}"
    made, told, _gone = xmpp.play(
        {SCHEDULE: {"name": "once", "action": "info", "machines": ["te*"], "at": soon}},
        {
            INFO: {"name": "on*"},
            "until": "(result_1.schedules | first).last.ended | default('', true) | length > 0",
            "delay": 1,
            "retries": 60,
        },
        {SCHEDULE: {"name": "once", "state": "absent"}},
    )
    assert made["changed"]
    (schedule,) = told["schedules"]
    assert (schedule["next"], schedule["last"]["outcome"]) == (None, "succeeded")
    assert [result["name"] for result in schedule["last"]["results"]] == ["test"]


REFUSED: t.Final = (
    ({}, "action: it must be given"),
    ({"action": "vm_infos"}, "Did you mean vm_info"),
    ({"action": "vm_info", "cron": "* *"}, "has 2 fields"),
    ({"action": "vm_info", "timezone": "Berlin"}, "no zone"),
    ({"action": "state", "machine": "nosuch"}, "is not on hv1"),
    ({"action": "vm_info", "every": "day"}, "Unsupported parameters"),
)


def test_what_cannot_be_is_refused_and_nothing_is_kept(xmpp: t.Any) -> None:
    tasks = [{SCHEDULE: {"name": "x", "cron": "0 0 * * *", **options}} for options, _complaint in REFUSED]
    *results, told = xmpp.play(*tasks, {INFO: {"name": "x"}})
    for (_options, complaint), result in zip(REFUSED, results, strict=True):
        assert result["failed"]
        assert complaint in result["msg"]
    assert told["schedules"] == []
