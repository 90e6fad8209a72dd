# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the index says is read as data, whoever wrote it."""

from __future__ import annotations

import threading
import typing as t

import pytest
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.fleet import Fleet, Hypervisor, Machine, gather
from archipel import errors

UUID = "3c1b1a5e-8a5f-4f4e-9d36-0c5d1e2f3a4b"


def machine(**told: t.Any) -> Machine:
    return Machine.read({"uuid": UUID, "name": "web1", "hypervisor": "hv1", "state": "running", **told})


def addresses(*told: str) -> list[dict[str, str]]:
    return [{"address": address} for address in told]


def test_an_address_is_an_address() -> None:
    """What is not one would end as an argument of ssh."""
    told = addresses("-oProxyCommand=x", "10.0.0.300", "", "fd00::7", "10.0.0.7")
    assert machine(addresses=told).addresses == ("10.0.0.7", "fd00::7")


def test_an_address_that_leads_nowhere_else_is_left_out() -> None:
    assert machine(addresses=addresses("127.0.0.1", "fe80::1", "169.254.1.1", "::", "224.0.0.1")).addresses == ()


@pytest.mark.parametrize("told", [None, "10.0.0.1", [None, "x", 1], {"address": "10.0.0.1"}])
def test_addresses_of_another_shape_are_none(told: t.Any) -> None:
    assert machine(addresses=told).addresses == ()


def test_words_and_numbers_are_such() -> None:
    odd = machine(state="{{ 1 }}", memory="512", vcpus=True, managed="yes", title=None)
    assert (odd.state, odd.memory, odd.vcpus, odd.managed, odd.title) == ("nostate", None, None, False, "")


def test_tags_and_sites_are_words() -> None:
    """They become names of groups."""
    assert machine(tags=["web", "{{ 1 }}", 7, None, "a b", "acme:eu"]).tags == ("web", "acme:eu")
    assert machine(tags="web").tags == machine().tags == ()
    told = {"name": "hv1", "site": "geneva", "tags": ["ssd"]}
    assert (Hypervisor.read(told).site, Hypervisor.read(told).tags) == ("geneva", ("ssd",))
    place = {"latitude": 46.2, "longitude": -6}
    assert Hypervisor.read({**told, "coordinates": place}).coordinates == place
    for wrong in ({**place, "longitude": "{{ 1 }}"}, {"latitude": 0}, {**place, "latitude": 1e9}, "geneva"):
        assert Hypervisor.read({**told, "coordinates": wrong}).coordinates is None
    mark = {"since": "2026-01-01T00:00:00Z", "by": "admin@example.org"}
    assert Hypervisor.read({**told, "maintenance": {**mark, "more": 1}}).maintenance == mark
    assert Hypervisor.read({**told, "maintenance": "{{ 1 }}"}).maintenance is None
    assert Hypervisor.read({**told, "site": "{{ 1 }}"}).site is Hypervisor.read({"name": "hv1"}).site is None


@pytest.mark.parametrize("told", [{"uuid": "x"}, {"name": ""}, {"hypervisor": "a@b/c"}, {"hypervisor": "{{ 1 }}"}])
def test_a_machine_without_identity_is_none(told: dict[str, t.Any]) -> None:
    with pytest.raises(ValueError, match="without"):
        machine(**told)


def test_a_fleet_survives_the_cache() -> None:
    hypervisor = Hypervisor("hv1", "hv1.lab", "QEMU", 2, 4096, "9.0.0", ("ssd",), "geneva")
    fleet = Fleet((hypervisor,), (machine(addresses=addresses("10.0.0.7"), tags=["web"]),), ("a warning",))
    assert Fleet.from_data(fleet.as_data()) == fleet


def test_of_two_sources_the_first_tells_of_what_both_know() -> None:
    first, second = Fleet(machines=(machine(name="one"),)), Fleet(machines=(machine(name="two"),))
    assert [found.name for found in (first + second).machines] == ["one"]


def test_a_silent_source_is_not_waited_for() -> None:
    never = threading.Event()
    told = gather({"good": Fleet, "silent": lambda: t.cast(Fleet, never.wait(5))}, timeout=0.1)
    never.set()
    assert told["good"] == Fleet()
    assert isinstance(told["silent"], errors.Unavailable)


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        gather({"faulty": lambda: t.cast(Fleet, 1 / 0)}, timeout=5)
