# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves of a machine whose disk is on storage that the hypervisors share: GlusterFS, which libvirt knows to be shared.

Each test needs those before it.
"""

from __future__ import annotations

import typing as t

import pytest

from lab.plan import Lab, host
from lab.steps import LabError
from lab.story import Story

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("shared_pool")]

HYPERVISORS: t.Final = ("hv1", "hv2")
NAME: t.Final = "shared1"
DISK: t.Final = f"/srv/shared/{NAME}.qcow2"
OCTET: t.Final = 111
VM, MIGRATE = "archipel.orchestrator.vm", "archipel.orchestrator.vm_migrate"
SNAPSHOT, COMMAND = "archipel.orchestrator.vm_snapshot", "archipel.orchestrator.entity_command"
PARK: t.Final = "archipel.orchestrator.vm_park"


@pytest.fixture(scope="module")
def page(lab: Lab, platform: Story) -> t.Callable[[], int]:
    """What the machine's page shows."""
    return lambda: platform.count(address=f"{lab.network}.{OCTET}")


def where(story: Story, state: str) -> list[str]:
    """The hypervisors that have the machine in that state."""
    return [hv for hv in HYPERVISORS if NAME in story.on(hv, f"virsh list --all --name --state-{state}").split()]


def files(story: Story) -> list[str]:
    """Disk images on both hypervisors, each with its inode number."""
    everything = "find /var/lib/libvirt/images /srv/shared -name '*.qcow2' -printf '%i %p\\n' | sort"
    return [story.on(hv, everything) for hv in HYPERVISORS]


def move(
    story: Story, via: str, source: str, destination: str, *, check: bool = False, **how: t.Any
) -> dict[str, t.Any]:
    """Ask the source for it; who asks libvirt alone says where that reaches the destination."""
    if via == "libvirt":
        how["destination_uri"] = f"qemu+tls://{story.lab.address(host(destination))}/system"
    return story.module(source, MIGRATE, check=check, via=via, name=NAME, destination=destination, **how)


def moves(story: Story, via: str, source: str, destination: str, *, state: str, **how: t.Any) -> None:
    """In check mode and for real, for the first time and again."""
    plan = move(story, via, source, destination, check=True, **how)
    assert plan["changes"] == [{"path": "hypervisor", "old": source, "new": destination, "scope": "live"}]
    assert where(story, state) == [source]
    done = move(story, via, source, destination, **how)
    assert {key: done[key] for key in plan if key != "msg"} == {key: plan[key] for key in plan if key != "msg"}
    assert where(story, state) == [destination]
    assert done["left_behind"] == []
    for check in (True, False):
        again = move(story, via, source, destination, check=check, **how)
        assert (again["changed"], again["changes"]) == (False, [])
    assert where(story, state) == [destination]


def test_a_machine_starts_with_a_disk_on_shared_storage(
    platform: Story, tiny: t.Callable[..., dict[str, t.Any]], page: t.Callable[[], int]
) -> None:
    disk = {"pool": "shared", "size": 1, "format": "qcow2"}
    platform.module("hv1", VM, via="xmpp", state="running", disks=[disk], **tiny(NAME, OCTET))
    assert page() > 0


@pytest.mark.parametrize("via", ["xmpp", "libvirt"])
def test_its_disk_is_not_copied_over_itself(platform: Story, via: str) -> None:
    """Both sides see when it was changed last, and that it is the same."""
    with pytest.raises(LabError, match=f"{DISK} is the same on both sides"):
        move(platform, via, "hv1", "hv2", check=True, copy_storage="all")


@pytest.mark.parametrize("via", ["xmpp", "libvirt"])
def test_it_moves_there_and_back_while_its_page_counts_on(platform: Story, via: str, page: t.Callable[[], int]) -> None:
    counted, had = page(), files(platform)
    moves(platform, via, "hv1", "hv2", state="running")
    moves(platform, via, "hv2", "hv1", state="running")
    assert page() > counted
    assert files(platform) == had
    assert len({line.split()[0] for found in had for line in found.splitlines() if line.endswith(DISK)}) == 1


def test_off_it_moves_there_and_back(platform: Story) -> None:
    platform.module("hv1", VM, via="xmpp", name=NAME, state="destroyed")
    had = files(platform)
    moves(platform, "xmpp", "hv1", "hv2", state="shutoff", live=False)
    moves(platform, "libvirt", "hv2", "hv1", state="shutoff", live=False)
    assert files(platform) == had


def test_parked_it_is_nowhere_and_comes_back_on_the_other_hypervisor(platform: Story) -> None:
    had = files(platform)
    for hypervisor, state, there in (("hv1", "parked", []), ("hv2", "present", ["hv2"])):
        plan = platform.module(hypervisor, PARK, check=True, via="xmpp", name=NAME, state=state)
        done = platform.module(hypervisor, PARK, via="xmpp", name=NAME, state=state)
        again = platform.module(hypervisor, PARK, via="xmpp", name=NAME, state=state)
        assert (plan["changes"], again["changed"]) == (done["changes"], False)
        assert where(platform, "shutoff") == there
    assert files(platform) == had


@pytest.fixture(scope="module")
def snapshots(platform: Story, page: t.Callable[[], int]) -> int:
    """It runs on hv2 and has `clean`, of its disk alone, and `hot` with its memory, when its page had shown that."""
    platform.module("hv2", SNAPSHOT, via="xmpp", name=NAME, snapshot="clean")
    platform.module("hv2", VM, via="xmpp", name=NAME, state="running")
    shown = page()
    platform.module("hv2", SNAPSHOT, via="xmpp", name=NAME, snapshot="hot")
    return shown


def tree(story: Story, hypervisor: str) -> str:
    """All that libvirt there knows of the machine's snapshots, parents first, and the name of the current one."""
    names = story.on(hypervisor, f"virsh snapshot-list {NAME} --topological --name").split()
    told = [f"virsh snapshot-dumpxml --security-info {NAME} {name}" for name in names]
    return story.on(hypervisor, " && ".join([*told, f"virsh snapshot-current {NAME} --name"]))


def forgotten(story: Story, hypervisor: str) -> bool:
    """Whether libvirt there has nothing of its snapshots in writing."""
    return story.on(hypervisor, f"ls /var/lib/libvirt/qemu/snapshot/{NAME} 2>/dev/null || :") == ""


@pytest.mark.parametrize(("via", "source", "destination"), [("xmpp", "hv2", "hv1"), ("libvirt", "hv1", "hv2")])
def test_its_snapshots_go_along_while_it_runs(
    platform: Story, snapshots: int, page: t.Callable[[], int], via: str, source: str, destination: str
) -> None:
    counted, had = page(), tree(platform, source)
    assert had.count("<domainsnapshot>") == 2
    with pytest.raises(LabError, match="has snapshots, which libvirt does not move"):
        move(platform, via, source, destination)
    moves(platform, via, source, destination, state="running", snapshots="keep")
    assert tree(platform, destination) == had
    assert forgotten(platform, source)
    assert page() > counted


def test_it_goes_back_to_the_memory_that_it_had_on_another_hypervisor(
    platform: Story, snapshots: int, page: t.Callable[[], int]
) -> None:
    move(platform, "xmpp", "hv2", "hv1", snapshots="keep")
    counted = page()
    platform.module("hv1", SNAPSHOT, via="xmpp", name=NAME, snapshot="hot", state="reverted")
    assert snapshots <= page() < counted


def test_a_move_that_is_not_over_in_time_leaves_them_where_they_are(platform: Story, snapshots: int) -> None:
    had = tree(platform, "hv1")
    with pytest.raises(LabError, match="was not moved within 1 s"):
        move(platform, "xmpp", "hv1", "hv2", snapshots="keep", bandwidth=1, wait_timeout=1)
    assert tree(platform, "hv1") == had
    assert forgotten(platform, "hv2")


@pytest.mark.parametrize(
    ("killed", "then", "stays"),
    [
        ("archipel-agent", "virsh domjobabort {}", True),
        ("libvirtd", "true", True),
        ("archipel-agent", "virsh migrate-setspeed {} 1000", False),
    ],
)
def test_whoever_dies_meanwhile_they_are_where_the_machine_is(
    platform: Story, snapshots: int, killed: str, then: str, stays: bool
) -> None:
    """What became of the move is found out by the next run of the source's agent, or by that which lost its libvirt."""
    had = tree(platform, "hv1")
    slow = {"name": NAME, "destination": "hv2", "snapshots": "keep", "bandwidth": 1}
    begun = platform.module("hv1", COMMAND, action="vm_migrate", arguments=slow, wait=False)["result"]
    moving = f"virsh domjobinfo {NAME} | grep -q '^Job type: *Unbounded'"
    platform.on("hv1", f'timeout 120 sh -c "until {moving}; do sleep 0.1; done"')
    assert forgotten(platform, "hv1")
    process = f"systemctl show -P MainPID {killed}"
    before = platform.on("hv1", process)
    platform.on("hv1", f"kill -KILL {before} && {then.format(NAME)}")
    again = f"[ $({process}) != {before} ] && systemctl -q is-active {killed}"
    platform.on("hv1", f"timeout 120 sh -c 'until {again}; do sleep 0.2; done'")
    job = platform.module("hv1", COMMAND, action="job", arguments={"id": begun["job"], "wait": 50})["result"]
    assert job["state"] == ("failed" if stays else "succeeded")
    here, elsewhere = ("hv1", "hv2") if stays else ("hv2", "hv1")
    assert where(platform, "running") == [here]
    assert tree(platform, here) == had
    assert forgotten(platform, elsewhere)


def test_it_runs_on_from_where_it_is(platform: Story, page: t.Callable[[], int]) -> None:
    """After all these moves; and then it goes, and its disk stays."""
    platform.module("hv2", VM, via="xmpp", name=NAME, state="running")
    assert page() > 0
    platform.module("hv2", VM, via="xmpp", name=NAME, state="absent", force=True)
    assert platform.on("hv1", f"ls {DISK}") == DISK
