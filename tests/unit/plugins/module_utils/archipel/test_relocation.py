# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk's data goes elsewhere. The test driver copies within one pool, and nothing of what runs: the rest is tested on
real machines."""

from __future__ import annotations

import typing as t

import pytest
from archipel import belongings, relocation, xmltree
from archipel.actions import NO_PROGRESS
from archipel.errors import ArchipelError, Conflict, InvalidArgument, NotFound, Unsupported
from archipel.hypervisor import Hypervisor
from archipel.machine import Machine
from archipel.plan import Step

Run = t.Callable[..., dict[str, t.Any]]
IMAGES: t.Final = "/var/lib/libvirt/images"


@pytest.fixture(autouse=True)
def web1(vm: Run) -> None:
    """A machine that is off, with a disk of its own, another one, and a drive."""
    disks = [
        {"target": "vda", "pool": "default", "size": 1},
        {"target": "vdb", "path": "/srv/b.qcow2"},
        {"device": "cdrom"},
    ]
    vm(name="web1", memory=64, disks=disks)


@pytest.fixture
def move(run: Run) -> Run:
    """Move a disk of web1, vda unless another one is named."""
    beside = ("state", "apply", "remove_volumes", "check")

    def move(**untrusted: t.Any) -> dict[str, t.Any]:
        given = {key: untrusted.pop(key) for key in beside if key in untrusted}
        return run("vm_disk", name="web1", move=True, disk={"target": "vda", **untrusted}, **given)

    return move


def volumes(run: Run) -> dict[str, str]:
    return {volume["name"]: volume["format"] for volume in run("volume_info", pool="default")["volumes"]}


def paths(result: dict[str, t.Any]) -> list[str]:
    return [change["path"] for change in result["changes"]]


def test_a_disk_is_converted_once(move: Run, run: Run, hypervisor: Hypervisor) -> None:
    """What check mode tells is what is done, and the second time nothing is; the old volume goes where it may."""
    told, done, told_again, again = (
        move(format="raw", remove_volumes="owned", check=check) for check in (True, False, True, False)
    )
    assert (told["changes"], told["diff"]) == (done["changes"], done["diff"])
    assert done["changes"] == [
        {
            "path": "volumes[default/web1.raw]",
            "old": None,
            "new": {"size": 1, "format": "raw"},
            "scope": "config",
        },
        {"path": "disks[vda].path", "old": f"{IMAGES}/web1.qcow2", "new": f"{IMAGES}/web1.raw", "scope": "config"},
        {"path": "disks[vda].format", "old": "qcow2", "new": "raw", "scope": "config"},
        {"path": "volumes[default/web1.qcow2]", "old": {"size": 1}, "new": None, "scope": "config"},
    ]
    assert (done["disk"]["path"], done["disk"]["format"]) == (f"{IMAGES}/web1.raw", "raw")
    for result in (told_again, again):
        assert (result["changed"], result["changes"]) == (False, [])
    assert volumes(run) == {"web1.raw": "raw"}
    assert belongings.noted(hypervisor.machine("web1").document(inactive=True)) == [("default", "web1.raw")]


def test_the_old_volume_stays_unless_it_is_to_go(move: Run, run: Run) -> None:
    """And the result says so; as the machine's own it goes with the machine."""
    kept = move(vol="data", pool="default")["volumes_kept"]
    assert kept == [{"path": f"{IMAGES}/web1.qcow2", "reason": "nothing was said of it (remove_volumes)"}]
    assert volumes(run) == {"web1.qcow2": "qcow2", "data": "qcow2"}
    run("vm", name="web1", state="absent", remove_volumes="owned")
    assert volumes(run) == {}


def test_what_was_not_made_for_the_machine_stays(move: Run, run: Run, vm: Run) -> None:
    """Though it was asked to go as far as it is the machine's own."""
    run("volume", pool="default", name="theirs.qcow2", definition={"size": 1, "format": "qcow2"})
    vm(name="web1", disks=[{"target": "vdc", "pool": "default", "vol": "theirs.qcow2"}])
    moved = move(target="vdc", format="raw", remove_volumes="owned")
    assert moved["volumes_kept"] == [{"path": f"{IMAGES}/theirs.qcow2", "reason": "it was not made for this machine"}]
    assert "theirs.qcow2" in volumes(run)


def test_without_being_told_no_data_moves(run: Run) -> None:
    """A task that names the pool and the format of a disk that is there has never copied it, and does not now."""
    disk = {"target": "vda", "pool": "default", "format": "raw", "size": 1}
    assert paths(run("vm_disk", name="web1", disk=disk, check=True)) == ["disks[vda].format"]


@pytest.mark.parametrize(
    ("disk", "error", "reason"),
    [
        ({}, InvalidArgument, "the pool, vol or format that it is to have"),
        ({"pool": "default", "cache": "none"}, InvalidArgument, "cache cannot be given beside it"),
        ({"format": "vmdk"}, InvalidArgument, "the format is qcow2 or raw, not 'vmdk'"),
        ({"format": "raw", "state": "absent"}, InvalidArgument, "without state: absent"),
        ({"format": "raw", "apply": "config"}, InvalidArgument, "without state: absent, apply: config"),
        ({"target": "vdx", "format": "raw"}, NotFound, "web1 has no disk vdx"),
        ({"target": "sda", "pool": "default"}, Unsupported, "sda of web1 is no disk that the machine writes to"),
        ({"target": "vdb", "format": "raw"}, InvalidArgument, "in no active storage pool; name the pool"),
        ({"target": "vdb", "pool": "default"}, Conflict, "only while the machine runs. Make a pool of /srv"),
        ({"pool": "nowhere"}, NotFound, "There is no storage pool 'nowhere'"),
        ({"pool": "default", "vol": "web1.qcow2", "format": "raw"}, Conflict, "cannot become raw in its place"),
    ],
)
def test_what_cannot_be_moved_is_refused(
    move: Run, run: Run, disk: dict[str, t.Any], error: type[ArchipelError], reason: str
) -> None:
    """With what to do instead, and before anything is made."""
    with pytest.raises(error, match=reason):
        move(**disk)
    assert volumes(run) == {"web1.qcow2": "qcow2"}


def test_a_disk_that_others_use_is_not_moved(move: Run, vm: Run) -> None:
    """They would go on with the old image, each of the two with half of the data."""
    vm(name="web1", disks=[{"target": "vda", "shareable": True}])
    with pytest.raises(Conflict, match="vda of web1 is shared"):
        move(format="raw")


def test_what_a_snapshot_is_made_of_is_not_moved(move: Run, run: Run) -> None:
    """libvirt would go back to an image that is not the machine's any more."""
    run("vm_snapshot", name="web1", snapshot="first")
    with pytest.raises(Conflict, match="web1 has snapshots or checkpoints"):
        move(format="raw")


def test_saved_memory_knows_where_the_disks_were(move: Run, vm: Run) -> None:
    """It would go on with the old image."""
    vm(name="web1", state="running")
    vm(name="web1", state="saved")
    with pytest.raises(Conflict, match="web1 has saved memory"):
        move(format="raw")


def test_what_runs_is_moved_by_those_who_can(move: Run, vm: Run) -> None:
    """QEMU; the others say what to do."""
    vm(name="web1", state="running")
    with pytest.raises(Conflict, match="Machines of the type test keep their disks while they run; shut web1 down"):
        move(format="raw")


def test_what_another_move_left_is_looked_at_by_a_person(move: Run, run: Run) -> None:
    """Nobody's volume is written over."""
    run("volume", pool="default", name="web1.raw", definition={"size": 1, "format": "raw"})
    with pytest.raises(Conflict, match="There is a volume web1.raw in pool default already"):
        move(format="raw")


def test_a_pool_without_room_is_seen_before_anything_is_copied(move: Run, run: Run, hypervisor: Hypervisor) -> None:
    """It says how much is missing."""
    pool = hypervisor.connection.handle.storagePoolLookupByName("default")
    left = pool.info()[3]
    for name, size in (("large.raw", left // 2 + (1 << 30)), ("all.raw", left // 2 - (1 << 30))):
        pool.createXML(
            f"<volume><name>{name}</name><capacity>{size}</capacity><allocation>{size}</allocation></volume>", 0
        )
    run("vm_disk", name="web1", disk={"target": "vdc", "path": f"{IMAGES}/large.raw", "format": "raw"})
    with pytest.raises(Conflict, match=r"The pool default has 0 MiB left, and vdc of web1 takes \d+ MiB"):
        move(target="vdc", format="qcow2")


def test_the_machine_or_its_disk_may_still_be_made_in_check_mode(move: Run, run: Run) -> None:
    """By an earlier task; so may the pool."""
    nobody = run("vm_disk", name="new", move=True, disk={"target": "vda", "format": "raw"}, check=True)
    assert (nobody["changed"], nobody["msg"].startswith("new is not there yet.")) == (True, True)
    nothing = move(target="vdx", format="raw", check=True)
    assert (nothing["changed"], nothing["msg"].startswith("web1 has no disk vdx yet.")) == (True, True)
    elsewhere = move(pool="later", check=True)
    assert paths(elsewhere) == ["volumes[later/web1.qcow2]", "disks[vda].path"]


def taken_out(machine: Machine) -> None:
    document = machine.document(inactive=True)
    disk = document.find("devices/disk")
    disk.getparent().remove(disk)
    machine.hypervisor.connection.handle.defineXML(xmltree.serialise(document))


@pytest.mark.parametrize(
    ("event", "error", "reason"),
    [
        (lambda machine: machine.domain.create(), Conflict, "web1 was started while .*web1.qcow2 was copied"),
        (lambda machine: machine.domain.undefine(), NotFound, "Domain not found"),
        (taken_out, Conflict, "vda of web1 was changed meanwhile; .* has no such disk"),
    ],
)
def test_what_happens_to_the_machine_meanwhile_leaves_no_copy(
    run: Run, hypervisor: Hypervisor, event: t.Callable[[Machine], t.Any], error: type[ArchipelError], reason: str
) -> None:
    """It was started, undefined, or its disk was taken out, by virsh, say. What is said to be done is nothing."""
    machine = hypervisor.machine("web1")
    work = relocation._Work(machine, relocation.Asked.of({"target": "vda", "format": "raw"}, "owned", 60), NO_PROGRESS)
    work.make(check=False)
    work.plan.steps.insert(1, Step([], lambda: event(machine), lambda: None))
    with pytest.raises(error, match=reason) as failed:
        work.plan.run()
    assert failed.value.changes == []
    assert volumes(run) == {"web1.qcow2": "qcow2"}
