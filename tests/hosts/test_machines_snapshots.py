# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots and clones of machines that QEMU runs. Each test needs those before it."""

from __future__ import annotations

import time
import typing as t
import urllib.error
import urllib.request

import pytest

from lab.plan import Lab
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

VM, SNAPSHOT, INFO, CLONE, POOL, VOLUME = (
    f"archipel.orchestrator.{name}" for name in ("vm", "vm_snapshot", "vm_snapshot_info", "vm_clone", "pool", "volume")
)
SNAP, TWIN = 160, 161
IMAGES: t.Final = "/var/lib/libvirt/images"
# Debian's guest agent with its libraries, beside the tiny guest: the kernel lays one initramfs on the other.
AGENT: t.Final = rf"""
set -e
directory=$(mktemp -d) && cd "$directory" && chown _apt . && mkdir unpacked tree
apt-get -qq download busybox-static qemu-guest-agent
for package in *.deb; do dpkg -x "$package" unpacked; done
cpio() {{ "$directory/unpacked/bin/busybox" cpio "$@" 2>/dev/null; }}
gzip -dc {IMAGES}/initrd.gz | (cd tree && cpio -i init)
agent=unpacked/usr/sbin/qemu-ga
cp --parents -L $(ldd $agent | grep -o '/[^ ]*') $agent tree && mkdir -p tree/var/run
start="until ls /dev/vport*p1; do sleep 0.1; done; /$agent -p /dev/vport*p1 -v -l /www/agent"
sed -i "s|^exec|modprobe virtio_console; ($start) >/dev/null 2>\&1 \&\nexec|" tree/init
(cd tree && find . | cpio -o -H newc) | gzip | cat {IMAGES}/initrd.gz - >{IMAGES}/initrd-agent.gz
"""

Play = t.Callable[..., list[dict[str, t.Any]]]


@pytest.fixture(scope="module")
def snap1(platform: Story, tiny: t.Callable[[str, int], dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
    """Arguments for `vm` of a machine with a disk, a page that counts, and a guest agent."""
    platform.on("hv1", AGENT)
    made = tiny("snap1", SNAP)
    made["boot"] = {**made["boot"], "initrd": f"{IMAGES}/initrd-agent.gz"}
    made["disks"] = [{"pool": "default", "size": 1}]
    platform.module("hv1", VM, via="xmpp", state="running", **made)
    yield made
    for name in ("twin1", "copy1", "snap1"):
        platform.module("hv1", VM, via="xmpp", name=name, state="absent", force=True, remove_volumes="owned")


@pytest.fixture(params=["libvirt", "xmpp"])
def via(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(lab: Lab) -> t.Callable[..., str]:
    """A page of a machine of the tiny guest, as soon as it has that text."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def page(octet: int, name: str = "count", text: str = "") -> str:
        end = time.monotonic() + 60
        while True:
            try:
                with direct.open(f"http://{lab.network}.{octet}/{name}", timeout=1) as answer:
                    said = answer.read().decode()
                if said and text in said:
                    return str(said)
            except OSError:
                pass
            assert time.monotonic() < end, f"{name} of {octet} does not say {text!r}"
            time.sleep(0.1)

    return page


def of(name: str, snapshot: str, **more: t.Any) -> dict[str, t.Any]:
    return {SNAPSHOT: {"name": name, "snapshot": snapshot, **more}}


def ok(results: t.Iterable[dict[str, t.Any]]) -> None:
    for result in results:
        assert not result["failed"], result["msg"]


@pytest.mark.usefixtures("snap1")
def test_a_machine_goes_back_with_its_memory(platform: Story, play: Play, page: t.Any, via: str) -> None:
    """It counts on from where it was, and its contact says what it is."""
    before = int(page(SNAP))
    take = of("snap1", "up", description="It counts")
    told, taken, again = play(via, {**take, "check_mode": True}, take, take)
    ok((told, taken, again))
    assert told["changes"] == taken["changes"]
    assert not again["changed"]
    assert (taken["snapshot"]["kind"], taken["snapshot"]["memory"], taken["snapshot"]["state"]) == (
        "internal", True, "running",
    )  # fmt: skip
    after = int(page(SNAP))
    while int(page(SNAP)) < after + 30:
        time.sleep(0.5)
    back, described, paused = play(
        via,
        of("snap1", "up", state="reverted"),
        of("snap1", "up", description="It has counted"),
        of("snap1", "up", state="reverted", then="paused"),
    )
    ok((back, described, paused))
    assert back["vm"]["state"] == "running"
    assert described["changes"][0]["old"] == "It counts"
    assert platform.says("snap1", "how are you")[1].startswith("I am snap1. I am paused")
    assert platform.says("snap1", "resume")[1] == "I am running again."
    assert before <= int(page(SNAP)) < after + 30
    ok(play(via, of("snap1", "*", state="absent")))


@pytest.mark.usefixtures("snap1")
def test_its_address_is_told_by_its_agent(play: Play, via: str) -> None:
    """On a bridge that no DHCP server of libvirt's knows of; who asks for a lease alone is told that there is none."""
    wait = {VM: {"name": "snap1", "wait_for_ip": "agent", "wait_timeout": 180}}
    told, late = play(via, wait, {VM: {"name": "snap1", "wait_for_ip": "lease", "wait_timeout": 1}})
    ok([told])
    sources = {a["source"] for a in told["vm"]["addresses"] if a["address"].endswith(f".{SNAP}")}
    assert sources == {"agent"}, told["vm"]["addresses"]
    assert "snap1 has no address yet, by lease. Waited 1 s." in late["msg"]


@pytest.mark.usefixtures("snap1")
def test_file_systems_are_frozen_by_the_guest_agent(play: Play, page: t.Any, platform: Story) -> None:
    """Of a running machine, for an external snapshot without its memory; the agent has heard it."""
    connected = "until virsh dumpxml snap1 | grep -q guest_agent.*[^s]connected; do sleep 0.2; done"
    platform.on("hv1", f"timeout 30 sh -c '{connected}'")
    (taken,) = play("xmpp", of("snap1", "quiet", kind="external", quiesce=True))
    ok([taken])
    assert (taken["snapshot"]["state"], taken["snapshot"]["memory"]) == ("disk-snapshot", False)
    assert "due to filesystem freeze" in page(SNAP, "agent", "due to filesystem unfreeze")
    ok(play("xmpp", of("snap1", "quiet", state="absent")))


@pytest.mark.usefixtures("snap1")
def test_external_ones_come_and_go_with_their_files(platform: Story, play: Play) -> None:
    """This libvirt cannot go back to them, and it is said; removing leaves nothing behind, the memory neither."""
    one, two, back, info = play(
        "xmpp",
        of("snap1", "one", kind="external"),
        of("snap1", "two", kind="external", memory=False),
        of("snap1", "one", state="reverted"),
        {INFO: {"name": "snap1"}},
    )
    ok((one, two, info))
    assert back["failed"]
    assert "9.9 and newer can" in back["msg"]
    assert [each["children"] for each in info["snapshots"]] == [["two"], []]
    files = platform.on("hv1", f"ls {IMAGES}").split()
    assert {"snap1.one.vda.qcow2", "snap1.one.memory", "snap1.two.vda.qcow2"} <= set(files)
    gone, again = play("xmpp", of("snap1", "one", state="absent"), of("snap1", "*", state="absent"))
    ok((gone, again))
    left = platform.on("hv1", f"ls {IMAGES}").split()
    assert not [file for file in left if file.startswith(("snap1.one", "snap1.two"))]
    assert platform.on("hv1", "virsh -q domblklist snap1").endswith(f"{IMAGES}/snap1.qcow2")


@pytest.mark.usefixtures("snap1")
def test_the_two_kinds_are_not_mixed(play: Play) -> None:
    """libvirt takes an external one above an internal one, and then can neither remove the one nor go back."""
    results = play(
        "xmpp",
        of("snap1", "inside"),
        of("snap1", "outside", kind="external", memory=False),
        of("snap1", "inside", state="absent"),
        of("snap1", "outside", kind="external", memory=False),
        of("snap1", "inside"),
        of("snap1", "outside", state="absent"),
    )
    assert [result["failed"] for result in results] == [False, True, False, False, True, False]
    assert "snapshots of the other kind, inside" in results[1]["msg"]
    assert "snapshots of the other kind, outside" in results[4]["msg"]


def test_clones_of_a_running_machine_are_others(
    platform: Story, play: Play, page: t.Any, lab: Lab, snap1: dict[str, t.Any], via: str
) -> None:
    """A linked one and a copy, from what a snapshot has left unchanged; the linked one boots and is a contact,
    and the snapshot stays as long as it lies on it."""
    boot = {"boot": {"kernel_args": f"console=ttyS0 quiet address={lab.network}.{TWIN}/24"}}
    link = {CLONE: {"name": "snap1", "clone": "twin1", "snapshot": "base", "linked": True}}
    copy = {CLONE: {"name": "snap1", "clone": "copy1", "snapshot": "base"}}
    running, base, told, linked, again, copied, kept = play(
        via,
        {CLONE: {"name": "snap1", "clone": "twin1"}},
        of("snap1", "base", kind="external", memory=False),
        {**link, "check_mode": True},
        link,
        link,
        copy,
        of("snap1", "base", state="absent"),
    )
    ok((base, told, linked, again, copied))
    assert running["failed"]
    assert "snap1 is running" in running["msg"]
    assert told["changes"] == linked["changes"]
    assert not again["changed"]
    assert kept["failed"]
    assert "what twin1 stands on" in kept["msg"]
    source = platform.on("hv1", "virsh domiflist snap1; virsh domuuid snap1")
    assert linked["vm"]["networks"][0]["mac"] not in source
    assert linked["vm"]["uuid"] not in source
    assert f"{IMAGES}/snap1.qcow2" in platform.on("hv1", f"qemu-img info -U {IMAGES}/twin1.qcow2")
    assert "identical" in platform.on("hv1", f"qemu-img compare -U {IMAGES}/snap1.qcow2 {IMAGES}/copy1.qcow2")
    ok(play(via, {VM: {"name": "twin1", "state": "running", **boot}}))
    assert int(page(TWIN)) > 0
    assert platform.says("twin1", "how are you")[1].startswith("I am twin1. I am running")
    ok(
        play(
            via,
            {VM: {"name": "twin1", "state": "absent", "force": True, "remove_volumes": "owned"}},
            {VM: {"name": "copy1", "state": "absent", "remove_volumes": "owned"}},
            of("snap1", "base", state="absent"),
        )
    )
    left = platform.on("hv1", f"ls {IMAGES}").split()
    assert [name for name in left if name.startswith(("snap1", "twin1", "copy1"))] == ["snap1.qcow2"]


def test_a_pool_that_is_full_leaves_nothing_of_a_clone(platform: Story, play: Play) -> None:
    """A disk that takes more than it seemed to, being compressed: the one that was copied before it is removed."""
    platform.on(
        "hv1",
        "mkdir -p /srv/small && mount -t tmpfs -o size=16m tmpfs /srv/small"
        f" && tr '\\0' x </dev/zero | head -c 40M >/tmp/x"
        f" && qemu-img convert -q -c -O qcow2 /tmp/x {IMAGES}/packed-1.qcow2"
        f" && qemu-img create -q -f qcow2 {IMAGES}/packed.qcow2 1G",
    )
    disks = [{"path": f"{IMAGES}/packed{number}.qcow2"} for number in ("", "-1")]
    try:
        *_made, failed, left = play(
            "libvirt",
            {POOL: {"name": "small", "type": "dir", "target": "/srv/small", "state": "active"}},
            {VM: {"name": "packed", "type": "qemu", "memory": 64, "disks": disks}},
            {CLONE: {"name": "packed", "clone": "unpacked", "pool": "small"}},
            {"archipel.orchestrator.volume_info": {"pool": "small"}},
        )
        ok(_made)
        assert failed["failed"]
        assert "No space left" in failed["msg"]
        assert failed["changes"] == []
        assert left["volumes"] == []
        assert "unpacked" not in platform.on("hv1", "virsh list --all --name")
    finally:
        play(
            "libvirt",
            {VM: {"name": "packed", "state": "absent", "remove_volumes": "all"}},
            {POOL: {"name": "small", "state": "absent"}},
        )
        platform.on("hv1", "umount /srv/small")
