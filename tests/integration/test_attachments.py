# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single disks, media and interfaces of a machine, several machines at once, and a play from nothing, both ways."""

from __future__ import annotations

import typing as t

import pytest
from playbook import assert_cycle, cycle

VM, VM_DISK, VM_MEDIA, VM_NIC = (f"archipel.orchestrator.{name}" for name in ("vm", "vm_disk", "vm_media", "vm_nic"))
POOL = "default-pool"
UUID = "3c1b1a5e-8a5f-4f4e-9d36-0c5d1e2f3a51"
ATTACHED = {VM: {"name": "attached", "uuid": UUID, "memory": 64, "disks": [{"device": "cdrom"}]}}
GONE = {VM: {"name": "attached", "state": "absent"}}

Task = dict[str, t.Any]


@pytest.mark.parametrize(
    ("create", "change", "delete"),
    [
        pytest.param(
            {VM_DISK: {"name": "attached", "target": "vdb", "pool": POOL, "size": 1}},
            {VM_DISK: {"name": "attached", "target": "vdb", "cache": "none"}},
            {VM_DISK: {"name": "attached", "target": "vdb", "state": "absent", "remove_volumes": "owned"}},
            id="vm_disk",
        ),
        pytest.param(
            {VM_DISK: {"name": "attached", "target": "vdb", "pool": POOL, "size": 1}},
            {VM_DISK: {"name": "attached", "target": "vdb", "format": "raw", "move": True, "remove_volumes": "owned"}},
            {VM_DISK: {"name": "attached", "target": "vdb", "state": "absent", "remove_volumes": "owned"}},
            id="vm_disk, moved",
        ),
        pytest.param(
            {VM_MEDIA: {"name": "attached", "path": "/srv/one.iso"}},
            {VM_MEDIA: {"name": "attached", "path": "/srv/two.iso"}},
            {VM_MEDIA: {"name": "attached", "state": "ejected"}},
            id="vm_media",
        ),
        pytest.param(
            {VM_NIC: {"name": "attached", "network": "default"}},
            {VM_NIC: {"name": "attached", "network": "default", "model": "e1000e"}},
            {VM_NIC: {"name": "attached", "network": "default", "state": "absent"}},
            id="vm_nic",
        ),
    ],
)
def test_one_device_comes_changes_and_goes_the_same_both_ways(
    over: t.Callable[[str], t.Any], create: Task, change: Task, delete: Task
) -> None:
    """The twelve steps; the ways differ in nothing."""
    results = {}
    for way in ("libvirt", "xmpp"):
        made, *steps, gone = over(way).play(ATTACHED, *cycle(create, change, delete), GONE)
        assert made["changed"], made
        assert_cycle(steps)
        assert gone["changed"], gone
        results[way] = steps
    assert results["xmpp"] == results["libvirt"]


def test_a_play_from_nothing_passes_in_check_mode(ansible: t.Any) -> None:
    """Each task tells what it would change, and that the machine is not there yet."""
    steps: list[Task] = [
        {VM: {"name": "nothing", "memory": 64, "disks": [{"pool": POOL, "size": 1}, {"device": "cdrom"}]}},
        {VM: {"name": "nothing", "state": "running"}},
        {VM_DISK: {"name": "nothing", "target": "vdb", "pool": POOL, "size": 1}},
        {VM_MEDIA: {"name": "nothing", "path": "/srv/one.iso"}},
        {VM_NIC: {"name": "nothing", "network": "default"}},
        {"archipel.orchestrator.vm_snapshot": {"name": "nothing", "snapshot": "first"}},
        {VM: {"name": "nothing", "autostart": True, "memory": 128}},
    ]
    results = ansible.play(*({**step, "check_mode": True} for step in steps))
    for step, result in zip(steps, results, strict=True):
        assert not result["failed"], (step, result["msg"])
        assert result["changed"], step
    assert "nothing" not in str([vm["name"] for vm in ansible.play({"archipel.orchestrator.vm_info": {}})[0]["vms"]])


def test_several_machines_are_brought_to_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """One task, each answered for; one that fails is named, and the others are done."""
    names = ["many1", "many2", "many3"]
    uuids = [{VM: {"name": name, "uuid": UUID[:-1] + name[-1], "memory": 64}} for name in names]
    steps: list[Task] = [
        *uuids,
        {VM: {"names": [*names[:2], "many3"], "memory": 96, "state": "running"}},
        {VM: {"names": ["many*"], "memory": 96, "state": "running"}},
        {VM: {"names": ["many1", "nobody", "many2"], "state": "shutdown"}},
        {VM: {"names": ["many*"], "state": "absent", "force": True}},
    ]
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    changed, again, failed, gone = by_libvirt[3:]
    assert [vm["name"] for vm in changed["vms"]] == names
    assert (changed["changed"], again["changed"]) == (True, False)
    assert failed["failed"]
    assert failed["msg"].startswith("1 of 3 failed. There is no machine 'nobody'")
    assert [change["path"] for change in failed["changes"]] == ["many1.state", "many2.state"]
    assert [vm["state"] for vm in gone["vms"]] == ["absent"] * 3
    assert over_xmpp == by_libvirt
