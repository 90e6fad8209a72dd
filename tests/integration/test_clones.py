# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones by tasks, over libvirt and over XMPP, on the same libvirtd."""

from __future__ import annotations

import typing as t

import pytest
from playbook import assert_cycle, cycle

VM = "archipel.orchestrator.vm"
CLONE = "archipel.orchestrator.vm_clone"
UUID = "0d7a4f86-35d0-4a07-8f6e-5c1de8a7b1c2"
TWIN = "0d7a4f86-35d0-4a07-8f6e-5c1de8a7b1c3"

MAKE = {CLONE: {"name": "mould", "clone": "cast", "clone_uuid": TWIN}}
CHANGE = {VM: {"name": "cast", "memory": 128}}
REMOVE = {VM: {"name": "cast", "state": "absent", "remove_volumes": "owned"}}


@pytest.fixture(scope="module", autouse=True)
def mould(over: t.Callable[[str], t.Any]) -> t.Iterator[None]:
    """A machine that is off, with a disk and an interface."""
    disk = {"pool": "default-pool", "vol": "mould.qcow2", "size": 1, "format": "qcow2"}
    ansible = over("libvirt")
    networks = [{"network": "default"}]
    (made,) = ansible.play({VM: {"name": "mould", "uuid": UUID, "memory": 64, "disks": [disk], "networks": networks}})
    assert not made["failed"], made
    yield
    ansible.play({VM: {"name": "mould", "state": "absent", "remove_volumes": "owned"}})


def plain(results: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Results without what libvirt draws by lot: the clone's MAC address."""
    for result in results:
        for interface in result.get("vm", {}).get("networks", ()):
            assert interface.pop("mac")
    return results


def test_a_clone_comes_changes_and_goes_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """Check mode tells what the run does, a second run does nothing, and the ways differ in nothing."""
    steps = cycle(MAKE, CHANGE, REMOVE)
    by_libvirt = over("libvirt").play(*steps)
    assert_cycle(by_libvirt)
    over_xmpp = over("xmpp").play(*steps)
    assert_cycle(over_xmpp)
    assert plain(over_xmpp) == plain(by_libvirt)
    made = by_libvirt[1]
    assert (made["vm"]["uuid"], made["vm"]["state"]) == (TWIN, "shutoff")
    assert made["vm"]["disks"][0]["path"].endswith("/cast.qcow2")


def test_a_play_from_nothing_passes_in_check_mode(ansible: t.Any) -> None:
    """A machine that is not there yet gets a snapshot, and clones that lie on it."""
    make = {VM: {"name": "notyet", "memory": 64}}
    take = {"archipel.orchestrator.vm_snapshot": {"name": "notyet", "snapshot": "v1", "kind": "external"}}
    clone = {CLONE: {"name": "notyet", "clone": "one", "snapshot": "v1", "linked": True}}
    results = ansible.play(*[{**task, "check_mode": True} for task in (make, take, clone)], clone)
    assert [result["failed"] for result in results] == [False, False, False, True]
    assert "not there yet" in results[2]["msg"]
    assert "no machine 'notyet'" in results[3]["msg"]


REFUSED = (
    ({"name": "mould", "clone": "a/b"}, "a/b"),
    ({"name": "mould", "clone": "mould"}, "of itself"),
    ({"name": "mould", "clone": "cast", "linked": True}, "external snapshot"),
    ({"name": "mould", "clone": "cast", "snapshot": "v1"}, "has no snapshot"),
    ({"name": "mould", "clone": "cast", "pool": "nowhere"}, "nowhere"),
    ({"name": "test", "clone": "cast"}, "is running"),
)


def test_what_cannot_be_is_refused_in_the_same_words_both_ways(over: t.Callable[[str], t.Any]) -> None:
    tasks = [{CLONE: arguments} for arguments, _complaint in REFUSED]
    by_libvirt, over_xmpp = over("libvirt").play(*tasks), over("xmpp").play(*tasks)
    for (_arguments, complaint), here, there in zip(REFUSED, by_libvirt, over_xmpp, strict=True):
        assert here["failed"]
        assert complaint in here["msg"]
        assert there["msg"] == here["msg"]
