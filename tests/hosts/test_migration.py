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


def test_it_runs_on_from_where_it_is(platform: Story, page: t.Callable[[], int]) -> None:
    """After all these moves; and then it goes, and its disk stays."""
    platform.module("hv2", VM, via="xmpp", name=NAME, state="running")
    assert page() > 0
    platform.module("hv2", VM, via="xmpp", name=NAME, state="absent", force=True)
    assert platform.on("hv1", f"ls {DISK}") == DISK
