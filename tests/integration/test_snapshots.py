# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots by tasks, over libvirt and over XMPP, on the same libvirtd."""

from __future__ import annotations

import typing as t

import pytest
from playbook import assert_cycle, cycle

VM = "archipel.orchestrator.vm"
SNAPSHOT = "archipel.orchestrator.vm_snapshot"
INFO = "archipel.orchestrator.vm_snapshot_info"
UUID = "7b8e0a52-6f0c-4e0a-9a51-3d2b7c1e9f10"

TAKE = {SNAPSHOT: {"name": "snap1", "snapshot": "before", "description": "All is well"}}
DESCRIBE = {SNAPSHOT: {"name": "snap1", "snapshot": "before", "description": "All was well"}}
REMOVE = {SNAPSHOT: {"name": "snap1", "snapshot": "before", "state": "absent"}}


@pytest.fixture(scope="module", autouse=True)
def snap1(over: t.Callable[[str], t.Any]) -> t.Iterator[None]:
    ansible = over("libvirt")
    ansible.play({VM: {"name": "snap1", "uuid": UUID, "memory": 64, "state": "running"}})
    yield
    ansible.play({VM: {"name": "snap1", "state": "absent", "force": True}})


def timeless(results: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Results without what differs from run to run: when a snapshot was taken."""
    for result in results:
        for told in (result.get("snapshot"), *(change["old"] for change in result.get("changes", ()))):
            if isinstance(told, dict):
                told.pop("time", None)
        result.pop("diff", None)
    return results


def test_a_snapshot_comes_changes_and_goes_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """Check mode tells what the run does, a second run does nothing, and the ways differ in nothing."""
    steps = cycle(TAKE, DESCRIBE, REMOVE)
    by_libvirt = over("libvirt").play(*steps)
    assert_cycle(by_libvirt)
    over_xmpp = over("xmpp").play(*steps)
    assert_cycle(over_xmpp)
    assert timeless(over_xmpp) == timeless(by_libvirt)


def test_a_machine_goes_back_to_what_it_was(ansible: t.Any) -> None:
    """Each time it is a change, and check mode says so."""
    revert = {SNAPSHOT: {"name": "snap1", "snapshot": "up", "state": "reverted"}}
    _take, _off, told, done, again, paused, info, gone = ansible.play(
        {SNAPSHOT: {"name": "snap1", "snapshot": "up"}},
        {VM: {"name": "snap1", "state": "destroyed"}},
        {**revert, "check_mode": True},
        revert,
        revert,
        {SNAPSHOT: {"name": "snap1", "snapshot": "up", "state": "reverted", "then": "paused"}},
        {"archipel.orchestrator.vm_info": {"name": "snap1"}},
        {SNAPSHOT: {"name": "snap1", "snapshot": "*", "state": "absent"}},
    )
    assert told["changes"] == done["changes"] == [{"path": "reverted", "old": None, "new": "up", "scope": "live"}]
    assert (told["vm"]["state"], done["vm"]["state"]) == ("shutoff", "running")
    assert again["changed"]
    assert paused["vm"]["state"] == info["vms"][0]["state"] == "paused"
    assert gone["changed"]
    ansible.play({VM: {"name": "snap1", "state": "running"}})


def test_they_are_told_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """By machine and by pattern, in check mode too."""
    take = [{SNAPSHOT: {"name": "snap1", "snapshot": name}} for name in ("n-1", "n-2")]
    ask = ({INFO: {"name": "snap1"}}, {INFO: {"name": "sn*", "snapshot": "n-2"}, "check_mode": True}, {INFO: {}})
    remove = {SNAPSHOT: {"name": "snap1", "snapshot": "n-*", "state": "absent"}}
    by_libvirt = over("libvirt").play(*take, *ask)[2:]
    over_xmpp = over("xmpp").play(*ask, remove)[:3]
    assert over_xmpp == by_libvirt
    assert [(each["name"], each["parent"]) for each in by_libvirt[0]["snapshots"]] == [("n-1", None), ("n-2", "n-1")]
    assert by_libvirt[0]["snapshots"][0]["children"] == ["n-2"]
    assert [each["name"] for each in by_libvirt[1]["snapshots"]] == ["n-2"]


def test_a_play_from_nothing_passes_in_check_mode(ansible: t.Any) -> None:
    """A machine that is not there yet gets its snapshot, and goes back to it."""
    make = {VM: {"name": "notyet", "memory": 64, "state": "running"}}
    take = {SNAPSHOT: {"name": "notyet", "snapshot": "before"}}
    back = {SNAPSHOT: {"name": "notyet", "snapshot": "before", "state": "reverted"}}
    gone = {SNAPSHOT: {"name": "notyet", "snapshot": "before", "state": "absent"}}
    results = ansible.play(*[{**task, "check_mode": True} for task in (make, take, back, gone)], take)
    assert [result["failed"] for result in results] == [False, False, False, False, True]
    assert [result["changed"] for result in results] == [True, True, True, False, False]
    assert "not there yet" in results[1]["msg"]
    assert "no machine 'notyet'" in results[4]["msg"]


REFUSED = (
    ({"name": "snap1", "snapshot": "a/b"}, "a/b"),
    ({"name": "snap1", "snapshot": "before", "keep": 3}, "among"),
    ({"name": "snap1", "snapshot": "before", "state": "absent", "quiesce": True}, "quiesce"),
    ({"name": "snap1", "snapshot": "before", "memory": False}, "kind: external"),
    ({"name": "snap1", "snapshot": "nothing", "state": "reverted"}, "has no snapshot"),
    ({"name": "snap1", "snapshot": "before", "state": "gone"}, "gone"),
)


def test_what_cannot_be_is_refused_in_the_same_words_both_ways(over: t.Callable[[str], t.Any]) -> None:
    tasks = [{SNAPSHOT: arguments} for arguments, _complaint in REFUSED]
    by_libvirt, over_xmpp = over("libvirt").play(*tasks), over("xmpp").play(*tasks)
    for (_arguments, complaint), here, there in zip(REFUSED, by_libvirt, over_xmpp, strict=True):
        assert here["failed"]
        assert complaint in here["msg"]
        assert there["msg"] == here["msg"]
