# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host and its machines are doing: what is made of counters, and what the test driver tells."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from archipel import health
from archipel.errors import InvalidArgument, Unsupported
from archipel.health import Entry, Look, Usage, usage_of_machines
from archipel.hypervisor import Hypervisor

Run = t.Callable[..., dict[str, t.Any]]
MIB = 1 << 20
USAGE = Usage("web1", cpu=10**9, memory=64 * MIB, resident=32 * MIB, disk_read=0, disk_write=0, net_in=0, net_out=0)


def after(seconds: float, **changed: t.Any) -> dict[str, t.Any]:
    """What is told of a machine whose counters are so after that time."""
    looks = (
        Look(when, 0, 0, {"u": usage})
        for when, usage in ((5, USAGE), (5 + seconds, dataclasses.replace(USAGE, **changed)))
    )
    return usage_of_machines(*looks)["u"]


def test_what_is_told_is_the_difference_over_the_time() -> None:
    told = after(2, cpu=2 * 10**9, disk_read=4096, disk_write=512, net_in=100, net_out=7)
    assert told == {
        "cpu": 50.0, "memory": 64, "resident": 32, "disk_read": 2048, "disk_write": 256, "net_in": 50, "net_out": 4,
    }  # fmt: skip


def test_several_cpus_are_more_than_a_hundred_percent() -> None:
    assert after(1, cpu=5 * 10**9)["cpu"] == 400.0


def test_a_machine_that_was_started_anew_has_no_rate_yet() -> None:
    """Its counters begin at nothing; the difference would be negative."""
    assert after(2, cpu=1)["cpu"] is None


def test_what_the_driver_does_not_tell_is_none() -> None:
    assert after(2, disk_read=None)["disk_read"] is None
    assert after(2, resident=None)["resident"] is None


def test_a_machine_that_was_not_on_before_has_no_rates() -> None:
    told = usage_of_machines(Look(1, 0, 0, {}), Look(2, 0, 0, {"u": USAGE}))["u"]
    assert (told["cpu"], told["net_in"], told["memory"]) == (None, None, 64)


@pytest.fixture
def machines(vm: Run) -> None:
    for name, state in (("web1", "running"), ("web2", "paused"), ("web3", "present"), ("db1", "running")):
        vm(name=name, memory=64, state=state)


@pytest.mark.usefixtures("machines")
def test_machines_that_are_on_and_fit_are_told(run: Run) -> None:
    told = run("hypervisor_info", vms=["web*"])["vms"]
    assert [(vm["name"], vm["memory"], vm["history"]) for vm in told] == [("web1", 64, None), ("web2", 64, None)]


@pytest.mark.usefixtures("machines")
def test_health_is_told_where_it_is_asked_for(run: Run) -> None:
    plain, asked = run("hypervisor_info"), run("hypervisor_info", health=True)
    assert (plain["hypervisor"].pop("health"), plain["hypervisor"]["history"], plain["vms"]) == (None, None, None)
    told = asked["hypervisor"].pop("health")
    assert plain == asked
    assert told["memory_total"] == asked["hypervisor"]["memory"]
    assert 0 <= told["memory_used"] <= told["memory_total"]
    assert len(told["load"]) == 3
    assert told["uptime"] > 0
    assert "/" in [system["path"] for system in told["filesystems"]]


def test_the_host_of_another_is_not_looked_at_from_here(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Load, swap, uptime and file systems would be those of the wrong one."""
    monkeypatch.setattr(hypervisor.connection, "uri", "qemu+ssh://elsewhere/system")
    told, _vms = health.examine(hypervisor, ())
    assert [told[key] for key in ("load", "swap_total", "uptime", "filesystems")] == [None] * 4
    assert told["memory_total"] > 0


class Memory:
    """A record of two entries."""

    def since(self, minutes: int) -> list[Entry]:
        return [Entry(f"at {minute}", {"cpu": minute}, {"gone": {"cpu": minute}}) for minute in (minutes, 0)]


def test_the_past_is_told_where_somebody_keeps_it(run: Run, hypervisor: Hypervisor) -> None:
    with pytest.raises(Unsupported, match="kept by the agent; ask for it with via: xmpp"):
        run("hypervisor_info", history=5)
    hypervisor.record = Memory()
    told = run("hypervisor_info", history=5)
    assert told["hypervisor"]["history"] == [{"time": "at 5", "cpu": 5}, {"time": "at 0", "cpu": 0}]
    assert told["vms"] is None


@pytest.mark.parametrize("minutes", [0, -1, 7 * 24 * 60 + 1])
def test_a_past_that_nobody_keeps_is_refused(run: Run, minutes: int) -> None:
    with pytest.raises(InvalidArgument, match=f"history: {minutes} is not possible"):
        run("hypervisor_info", history=minutes)
