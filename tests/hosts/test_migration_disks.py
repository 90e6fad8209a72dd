# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves of a machine with a disk of its own, which lies on an image that both hypervisors have."""

from __future__ import annotations

import json
import typing as t

import pytest

from lab.plan import host
from lab.steps import LabError
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

HYPERVISORS: t.Final = ("hv1", "hv2")
VM, MIGRATE = "archipel.orchestrator.vm", "archipel.orchestrator.vm_migrate"
COMMAND: t.Final = "archipel.orchestrator.entity_command"

OWN: t.Final = "own1"
OWN_OCTET: t.Final = 112
IMAGES: t.Final = "/var/lib/libvirt/images"
BASE: t.Final = f"{IMAGES}/own-base.qcow2"
DISK_OF_ITS_OWN: t.Final = f"{IMAGES}/{OWN}.qcow2"
FAST: t.Final = f"/srv/fast/{OWN}.qcow2"
OFF: t.Final = "off1"
OFF_OCTET: t.Final = 113
ROOT_OFF, DATA_OFF = f"{IMAGES}/{OFF}.qcow2", f"{IMAGES}/{OFF}.raw"


@pytest.fixture(scope="module")
def own(platform: Story, tiny: t.Callable[..., dict[str, t.Any]]) -> t.Iterator[t.Callable[[], int]]:
    """What its page shows, wherever it is. hv2 has a pool `fast` and a network `quiet`, hv1 has neither."""
    base = f"qemu-img create -q -f qcow2 {BASE} 64M && qemu-io -c 'write -P 7 0 8M' {BASE} && chmod 644 {BASE}"
    for hv in HYPERVISORS:
        platform.on(hv, base)
    top = f"qemu-img create -q -f qcow2 -F qcow2 -b {BASE} {DISK_OF_ITS_OWN}"
    platform.on("hv1", f"{top} && qemu-io -c 'write -P 8 16M 4M' {DISK_OF_ITS_OWN} && virsh -q pool-refresh default")
    pool = "mkdir -p /srv/fast && virsh -q pool-define-as fast dir --target /srv/fast && virsh -q pool-start fast"
    platform.on("hv2", f"{pool} && virsh -q pool-refresh default")
    disk = {"path": DISK_OF_ITS_OWN, "format": "qcow2"}
    platform.module("hv1", VM, via="xmpp", state="running", disks=[disk], **tiny(OWN, OWN_OCTET))
    yield lambda: platform.count(address=f"{platform.lab.network}.{OWN_OCTET}")
    for hv in HYPERVISORS:
        platform.module(hv, VM, via="libvirt", name=OWN, state="absent", force=True)
        platform.on(hv, f"rm -f {IMAGES}/own* {FAST} && virsh -q pool-refresh default")
    platform.on("hv2", "virsh -q pool-destroy fast && virsh -q pool-undefine fast")


def take(story: Story, via: str, source: str, destination: str, *, name: str = OWN, **how: t.Any) -> dict[str, t.Any]:
    """Move the machine with its disks."""
    if via == "libvirt":
        how["destination_uri"] = f"qemu+tls://{story.lab.address(host(destination))}/system"
    return story.module(source, MIGRATE, via=via, name=name, destination=destination, **how)


def patterns(story: Story, hypervisor: str, path: str) -> None:
    """Fail unless the image there has what was written on both layers, whatever else the machine wrote."""
    story.on(
        hypervisor, f"qemu-io -U -r -c 'read -P 7 1M 1M' -c 'read -P 8 16M 4M' {path} | grep -v 'verification failed'"
    )


def test_the_pre_flight_tells_all_that_it_finds(platform: Story, own: t.Callable[[], int]) -> None:
    """Nothing has moved and nothing was made when it is told."""
    counted = own()
    platform.on("hv2", f"mv {BASE} {BASE}.away && virsh -q pool-refresh default")
    for via in ("xmpp", "libvirt"):
        with pytest.raises(LabError) as failed:
            take(platform, via, "hv1", "hv2", copy_storage="incremental", network_map={"br0": "br7"})
        assert f"{BASE} is not on hv2, and the incremental copy is to lie on it" in str(failed.value)
        assert "hv2 has no bridge br7" in str(failed.value)
    platform.on("hv2", f"mv {BASE}.away {BASE} && virsh -q pool-refresh default")
    assert "own1.qcow2" not in platform.on("hv2", f"ls {IMAGES}")
    assert own() > counted


@pytest.mark.parametrize("via", ["xmpp", "libvirt"])
def test_its_disk_is_copied_on_top_of_the_image_that_both_have(
    platform: Story, own: t.Callable[[], int], via: str
) -> None:
    """Only what is in the upper layer; the source keeps nothing of it."""
    counted = own()
    how = {"copy_storage": "incremental", "remove_source_volumes": "all", "auto_converge": True}
    for source, destination in (("hv1", "hv2"), ("hv2", "hv1")):
        done = take(platform, via, source, destination, **how)
        assert done["left_behind"] == []
        assert DISK_OF_ITS_OWN not in platform.on(source, f"ls {IMAGES}/*")
        assert BASE in platform.on(source, f"ls {IMAGES}/*")
        info = platform.on(destination, f"qemu-img info -U --output=json {DISK_OF_ITS_OWN}")
        assert json.loads(info)["backing-filename"] == BASE
        assert json.loads(info)["actual-size"] < 8 << 20
        patterns(platform, destination, DISK_OF_ITS_OWN)
    assert own() > counted


def test_its_disk_goes_into_another_pool(platform: Story, own: t.Callable[[], int]) -> None:
    """Over several connections; and back by post-copy. The definition names the new place at its next start, too."""
    counted = own()
    there = {"copy_storage": "all", "storage_map": {"default": "fast"}, "remove_source_volumes": "all"}
    take(platform, "xmpp", "hv1", "hv2", parallel_connections=2, **there)
    patterns(platform, "hv2", FAST)
    assert f"source file='{FAST}'" in platform.on("hv2", f"virsh dumpxml --inactive {OWN}")
    back = {"copy_storage": "all", "storage_map": {"fast": "default"}, "remove_source_volumes": "all"}
    take(platform, "libvirt", "hv2", "hv1", **back)
    patterns(platform, "hv1", DISK_OF_ITS_OWN)
    assert platform.on("hv2", "ls /srv/fast") == ""
    assert own() > counted


def test_it_is_aborted_by_another_task_and_runs_on_where_it_was(platform: Story, own: t.Callable[[], int]) -> None:
    """The job says so, and nothing is left on the other side."""
    counted = own()
    slow = {"name": OWN, "destination": "hv2", "copy_storage": "all", "bandwidth": 1}
    begun = platform.module("hv1", COMMAND, action="vm_migrate", arguments=slow, wait=False)["result"]
    moving = f"virsh domjobinfo {OWN} | grep -q '^Job type: *Unbounded'"
    platform.on("hv1", f'timeout 120 sh -c "until {moving}; do sleep 0.1; done"')
    platform.module("hv1", COMMAND, action="abort", arguments={"id": begun["job"]})
    job = platform.module("hv1", COMMAND, action="job", arguments={"id": begun["job"], "wait": 40})["result"]
    assert job["state"] == "failed"
    assert "somebody aborted it. It is running on hv1" in job["error"]["msg"]
    assert platform.on("hv2", f"virsh list --all --name && ls {IMAGES}").count(OWN) == 0
    assert own() > counted


@pytest.fixture(scope="module")
def off(platform: Story, own: t.Callable[[], int], tiny: t.Callable[..., dict[str, t.Any]]) -> t.Iterator[list[str]]:
    """A machine on hv1 that is off, with an image that has two snapshots inside and a raw one that is mostly holes; the
    SHA-256 of both."""
    for command in (
        f"qemu-img create -q -f qcow2 {ROOT_OFF} 64M && qemu-io -c 'write -P 1 0 1M' {ROOT_OFF}",
        f"truncate -s 1G {DATA_OFF} && qemu-io -f raw -c 'write -P 5 8M 192M' {DATA_OFF}",
        "virsh -q pool-refresh default",
    ):
        platform.on("hv1", command)
    disk = {"path": ROOT_OFF, "format": "qcow2"}
    platform.module("hv1", VM, via="xmpp", state="present", disks=[disk], **tiny(OFF, OFF_OCTET))
    for name, pattern in (("clean", 2), ("later", 3)):
        write = f"qemu-io -c 'write -P {pattern} 0 1M' {ROOT_OFF}"
        platform.on("hv1", f"virsh -q snapshot-create-as {OFF} {name} && {write}")
    # libvirt takes no snapshots inside of a machine with a raw image.
    platform.on("hv1", f"virsh -q attach-disk {OFF} {DATA_OFF} vdb --subdriver raw --config")
    yield checksums(platform, "hv1", ROOT_OFF, DATA_OFF)
    for hv in HYPERVISORS:
        undefined = f"virsh -q undefine --snapshots-metadata {OFF}"
        platform.on(hv, f"{undefined}; rm -f {IMAGES}/{OFF}.* && virsh -q pool-refresh default")


def checksums(story: Story, hypervisor: str, *paths: str) -> list[str]:
    return [line.split()[0] for line in story.on(hypervisor, f"sha256sum {' '.join(paths)}").splitlines()]


@pytest.mark.parametrize("cut", ["an abort", "the agent's end"])
def test_a_copy_that_is_cut_leaves_nothing_there(platform: Story, off: list[str], cut: str) -> None:
    """The job says so, and the machine stays where it is with its disks and its snapshots."""
    slow = {
        "name": OFF,
        "destination": "hv2",
        "live": False,
        "copy_storage": "all",
        "snapshots": "keep",
        "bandwidth": 1,
    }
    begun = platform.module("hv1", COMMAND, action="vm_migrate", arguments=slow, wait=False)["result"]
    platform.on("hv2", f'timeout 120 sh -c "until [ \\$(stat -c %b {ROOT_OFF}) -gt 512 ]; do sleep 0.1; done"')
    if cut == "an abort":
        platform.module("hv1", COMMAND, action="abort", arguments={"id": begun["job"]})
    else:
        platform.on("hv1", "systemctl kill -s KILL archipel-agent")
        platform.on("hv1", "timeout 120 sh -c 'until systemctl -q is-active archipel-agent; do sleep 0.2; done'")
    job = platform.module("hv1", COMMAND, action="job", arguments={"id": begun["job"], "wait": 40})["result"]
    assert (job["state"], "was not moved" in job["error"]["msg"]) == ("failed", True)
    assert checksums(platform, "hv1", ROOT_OFF, DATA_OFF) == off
    assert platform.on("hv1", f"virsh snapshot-list {OFF} --name").split() == ["clean", "later"]
    gone = f"virsh list --all --name; ls {IMAGES}"
    assert OFF not in platform.on("hv2", gone)


def test_off_it_goes_with_its_disks_and_with_what_is_inside_of_them(platform: Story, off: list[str]) -> None:
    """Byte for byte, into another pool and back; then it goes back to a snapshot."""
    how = {"name": OFF, "live": False, "copy_storage": "all", "snapshots": "keep", "remove_source_volumes": "all"}
    there = [f"/srv/fast/{path.rsplit('/', 1)[1]}" for path in (ROOT_OFF, DATA_OFF)]
    done = take(platform, "xmpp", "hv1", "hv2", storage_map={"default": "fast"}, **how)
    assert done["left_behind"] == []
    assert checksums(platform, "hv2", *there) == off
    assert int(platform.on("hv2", f"stat -c %b {there[1]}")) * 512 < 256 << 20
    assert OFF not in platform.on("hv1", f"virsh list --all --name; ls {IMAGES}")
    assert platform.on("hv2", f"virsh snapshot-list {OFF} --tree").split() == ["clean", "|", "+-", "later"]
    assert f"'{there[0]}'" in platform.on("hv2", f"virsh snapshot-dumpxml {OFF} clean")
    take(platform, "libvirt", "hv2", "hv1", storage_map={"fast": "default"}, **how)
    assert checksums(platform, "hv1", ROOT_OFF, DATA_OFF) == off
    assert platform.on("hv2", "ls /srv/fast") == ""
    assert platform.on("hv1", f"virsh snapshot-current {OFF} --name") == "later"
    reverted = f"virsh -q snapshot-revert {OFF} clean && qemu-io -r -c 'read -P 1 0 1M' {ROOT_OFF}"
    assert "verification failed" not in platform.on("hv1", reverted)
