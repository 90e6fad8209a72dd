# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One disk, medium or interface: the machine converges to it by the code that its lists use. What happens to a machine
that runs is tested on real ones; the test driver plugs nothing."""

from __future__ import annotations

import typing as t

import pytest
from archipel.errors import ArchipelError, Conflict, InvalidArgument, InvalidDefinition, NotFound
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS, Hypervisor

Run = t.Callable[..., dict[str, t.Any]]
ISO = "/srv/installer.iso"


@pytest.fixture(autouse=True)
def web1(vm: Run) -> None:
    vm(name="web1", memory=64, disks=[{"pool": "default", "size": 1}, {"device": "cdrom"}],
       networks=[{"network": "default", "mac": "52:54:00:00:00:01"}])  # fmt: skip


@pytest.fixture
def one(run: Run) -> Run:
    """An action of one device, its keys beside the arguments, as its module has them."""

    def one(action: str, **untrusted: t.Any) -> dict[str, t.Any]:
        inner = {"vm_disk": "disk", "vm_nic": "interface"}.get(action)
        beside = {argument.name for argument in ACTIONS[action].arguments} - {inner}
        arguments = {key: untrusted.pop(key) for key in beside if key in untrusted}
        return run(action, name="web1", **arguments, **({inner: untrusted} if inner else {}))

    return one


@pytest.fixture
def cycle(one: Run) -> Run:
    """One task, four times: check and real, first and again."""

    def cycle(action: str, **task: t.Any) -> dict[str, t.Any]:
        planned, done, told_again, again = (one(action, check=check, **task) for check in (True, False, True, False))
        assert done["changed"]
        assert (planned["changes"], planned["diff"]) == (done["changes"], done["diff"])
        for result in (told_again, again):
            assert (result["changed"], result["changes"]) == (False, [])
        return done

    return cycle


def changed(result: dict[str, t.Any]) -> list[tuple[str, t.Any, t.Any]]:
    return [(c["path"], c["old"], c["new"]) for c in result["changes"]]


def test_the_twelve_steps_of_a_disk(cycle: Run) -> None:
    """Its volume is made on the way, and goes with it where it was made for the machine."""
    made = cycle("vm_disk", target="vdb", pool="default", size=1)
    assert [path for path, _old, _new in changed(made)] == ["volumes[default/web1-vdb.qcow2]", "disks[vdb]"]
    assert (made["disk"]["target"], made["disk"]["path"]) == ("vdb", "/var/lib/libvirt/images/web1-vdb.qcow2")
    altered = cycle("vm_disk", target="vdb", cache="none")
    assert changed(altered) == [("disks[vdb].cache", None, "none")]
    assert altered["disk"]["cache"] == "none"
    gone = cycle("vm_disk", target="vdb", state="absent", remove_volumes="owned")
    assert [(path, new) for path, _old, new in changed(gone)] == [
        ("disks[vdb]", None),
        ("volumes[default/web1-vdb.qcow2]", None),
    ]
    assert gone["disk"] is None


def test_the_volume_of_a_disk_stays_unless_it_is_to_go(one: Run, hypervisor: Hypervisor) -> None:
    """By default it does, and what was not made for the machine does in any case."""
    pool = hypervisor.connection.handle.storagePoolLookupByName("default")
    one("vm_disk", target="vdb", pool="default", size=1)
    one("vm_disk", target="vdb", state="absent")
    assert "web1-vdb.qcow2" in pool.listVolumes()
    pool.createXML("<volume><name>theirs.img</name><capacity>1048576</capacity></volume>")
    one("vm_disk", pool="default", vol="theirs.img")
    gone = one("vm_disk", pool="default", vol="theirs.img", state="absent", remove_volumes="owned")
    assert gone["volumes_kept"] == [
        {"path": "/var/lib/libvirt/images/theirs.img", "reason": "it was not made for this machine"}
    ]
    assert "theirs.img" in pool.listVolumes()


def test_the_volume_of_a_disk_that_still_runs_stays(one: Run, vm: Run, hypervisor: Hypervisor) -> None:
    """Until the machine starts again it writes to it."""
    one("vm_disk", target="vdb", pool="default", size=1)
    vm(name="web1", state="running")
    for check in (True, False):
        gone = one("vm_disk", target="vdb", state="absent", remove_volumes="owned", check=check)
        assert [path for path, _old, _new in changed(gone)] == ["disks[vdb]"]
        assert gone["restart_required"]
        path = "/var/lib/libvirt/images/web1-vdb.qcow2"
        assert gone["volumes_kept"] == [{"path": path, "reason": "web1 has it until it starts again"}]
    assert hypervisor.connection.handle.storageVolLookupByPath(path).name() == "web1-vdb.qcow2"


@pytest.mark.parametrize(
    ("task", "error", "reason"),
    [
        ({"size": 1, "pool": "default"}, InvalidArgument, "name the disk by its target, its path, or its volume"),
        ({"target": "vdx", "cache": "none"}, InvalidDefinition, "There is no disk vdx"),
        ({"target": "vdx", "size": 1}, InvalidDefinition, "size needs the pool in which the volume is to be made"),
        ({"path": "/a", "pool": "default"}, InvalidDefinition, "two places"),
        ({"target": "vdb", "pool": "nowhere", "size": 1}, NotFound, "There is no storage pool 'nowhere'"),
        ({"target": "vdb", "pool": "default", "vol": "missing"}, NotFound, "there is no volume 'missing'"),
    ],
)
def test_a_disk_that_cannot_be_meant_is_refused(
    one: Run, task: dict[str, t.Any], error: type[ArchipelError], reason: str
) -> None:
    """With what is missing."""
    with pytest.raises(error, match=reason):
        one("vm_disk", **task)


def test_a_disk_is_not_made_smaller(one: Run) -> None:
    """A typing error would cost the data."""
    with pytest.raises(InvalidDefinition, match=r"disks\[vdb\].size: it has 2 GiB, and a disk that is made smaller"):
        one("vm_disk", target="vdb", pool="default", size=2) and one("vm_disk", target="vdb", size=1)


def test_the_twelve_steps_of_a_medium(cycle: Run) -> None:
    """Into the empty drive, another in its place, and out."""
    put = cycle("vm_media", path=ISO)
    assert changed(put) == [("disks[sda].path", None, ISO)]
    assert (put["disk"]["target"], put["disk"]["path"]) == ("sda", ISO)
    assert changed(cycle("vm_media", path="/srv/b.iso")) == [("disks[sda].path", ISO, "/srv/b.iso")]
    out = cycle("vm_media", state="ejected")
    assert changed(out) == [("disks[sda].path", "/srv/b.iso", "")]


def test_which_drive_is_meant(one: Run, vm: Run) -> None:
    """Where several can be, it has to be named."""
    vm(name="web1", disks=[{"device": "cdrom", "target": "sdb", "path": ISO}])
    assert not one("vm_media", path=ISO)["changed"]
    assert one("vm_media", path="/srv/b.iso")["disk"]["target"] == "sda"
    with pytest.raises(Conflict, match="web1 has media in sd., sd.; name the drive"):
        one("vm_media", state="ejected")
    assert changed(one("vm_media", state="ejected", target="sdb")) == [("disks[sdb].path", ISO, "")]


def test_a_machine_without_a_drive_says_so(run: Run) -> None:
    """And how to get one."""
    with pytest.raises(Conflict, match="off has no drive for media; give it one"):
        run("vm_media", name="off", path=ISO)
    assert not run("vm_media", name="off", state="ejected")["changed"]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({}, "name the medium"),
        ({"pool": "default"}, "name the medium"),
        ({"state": "ejected", "path": ISO}, "to eject, name the drive"),
    ],
)
def test_a_medium_that_cannot_be_meant_is_refused(one: Run, task: dict[str, t.Any], reason: str) -> None:
    """With what to say instead."""
    with pytest.raises(InvalidArgument, match=reason):
        one("vm_media", **task)


def test_the_twelve_steps_of_an_interface(cycle: Run) -> None:
    """A new one's address follows from what it is, so check mode tells it."""
    made = cycle("vm_nic", network="other")
    assert made["nic"]["network"] == "other"
    assert made["nic"]["mac"] == made["changes"][0]["new"]["mac"]
    altered = cycle("vm_nic", network="other", model="e1000")
    assert [path for path, _old, _new in changed(altered)] == ["networks[0].model"]
    gone = cycle("vm_nic", network="other", state="absent")
    assert [path for path, _old, _new in changed(gone)] == [f"networks[{made['nic']['mac']}]"]
    assert [nic["mac"] for nic in gone["vm"]["networks"]] == ["52:54:00:00:00:01"]


def test_an_interface_elsewhere_is_left_alone(one: Run) -> None:
    """It is moved by its address only."""
    assert len(one("vm_nic", network="other")["vm"]["networks"]) == 2
    moved = one("vm_nic", mac="52:54:00:00:00:01", network="other")
    assert changed(moved) == [("networks[0].network", "default", "other")]
    assert not one("vm_nic", network="default", state="absent")["changed"]


@pytest.mark.parametrize("action", ["vm_disk", "vm_media", "vm_nic"])
def test_a_machine_that_is_not_there_yet_is_no_failure_in_check_mode(run: Run, action: str) -> None:
    """It says so; for real it says what to do."""
    task = {
        "vm_disk": {"disk": {"target": "vdb", "pool": "default", "size": 1}},
        "vm_media": {"path": ISO},
        "vm_nic": {"interface": {"network": "default"}},
    }[action]
    planned = run(action, name="new", check=True, **task)
    assert planned["changed"]
    assert planned["msg"].startswith("new is not there yet. new: would change ")
    with pytest.raises(NotFound, match=r"There is no machine 'new' on hv1; make it first"):
        run(action, name="new", **task)


def test_a_machines_own_contact_has_them_as_verbs(hypervisor: Hypervisor) -> None:
    """Nobody has to say which machine is meant."""
    machine = hypervisor.machine("web1")

    def ask(name: str, **untrusted: t.Any) -> dict[str, t.Any]:
        declared = MACHINE_ACTIONS[name]
        result: dict[str, t.Any] = declared.function(machine, **declared.bind(untrusted))
        assert declared.sentence(result).startswith("web1: changed")
        return result

    assert ask("media", path=ISO)["disk"]["path"] == ISO
    assert ask("eject")["disk"]["path"] is None
    assert ask("disk", disk={"target": "vdb", "path": "/a.qcow2"})["disk"]["path"] == "/a.qcow2"
    assert ask("nic", interface={"network": "other"})["nic"]["network"] == "other"


def test_what_waits_for_the_next_start_is_said_at_every_run(one: Run, run: Run, vm: Run) -> None:
    """For as long as the machine runs without it, also when the configuration has had it for long."""
    vm(name="web1", state="running")
    for first in (True, False):
        result = one("vm_nic", network="other")
        assert result["changed"] == first
        assert result["restart_required"]
        (reason,) = result["restart_reasons"]
        assert (
            reason
            == "networks[0] waits for the next start: machines of the type test keep their devices while they run."
        )
    assert not one("vm_nic", mac="52:54:00:00:00:01")["restart_required"]
    vm(name="web1", state="restarted")
    assert not one("vm_nic", network="other")["restart_required"]
