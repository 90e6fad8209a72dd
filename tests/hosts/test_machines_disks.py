# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk's data goes to another pool and into another format, while QEMU runs its machine and while it is off. What is
in it is compared with what was in it at the beginning. Each test needs those before."""

from __future__ import annotations

import typing as t

import pytest

from lab.story import Story

pytestmark = pytest.mark.timeout(600)

POOL, VM, VM_DISK, VOLUME_INFO = (f"archipel.orchestrator.{name}" for name in ("pool", "vm", "vm_disk", "volume_info"))
Task = dict[str, t.Any]
Result = dict[str, t.Any]
Play = t.Callable[..., list[Result]]

IMAGES: t.Final = "/var/lib/libvirt/images"
OTHER: t.Final = "/srv/other"
TIGHT: t.Final = "/srv/tight"
MOVED1: Task = {"name": "moved1", "type": "qemu", "memory": 64, "cpu": {"model": "qemu64"}}
STATES: t.Final = [{VM: {"name": "moved1", "state": state}} for state in ("running", "destroyed")]


def to(target: str = "vda", **asked: t.Any) -> Task:
    return {VM_DISK: {"name": "moved1", "target": target, "move": True, "remove_volumes": "owned", **asked}}


def ok(results: t.Iterable[Result]) -> None:
    assert [result["msg"] for result in results if result["failed"]] == []


@pytest.fixture(scope="module", params=["libvirt", "xmpp"])
def via(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def moved1(platform: Story, play: Play) -> t.Iterator[None]:
    """A machine that is off, with data in a disk of its own, and one that lies on a base; a pool beside the first one,
    and one of 16 MiB."""
    platform.on("hv1", f"mkdir -p {OTHER} {TIGHT} && mount -t tmpfs -o size=16m tmpfs {TIGHT}")
    pools = [
        {POOL: {"name": name, "type": "dir", "target": target, "state": "active"}}
        for name, target in (("other", OTHER), ("tight", TIGHT))
    ]
    ok(play("xmpp", *pools, {VM: {**MOVED1, "disks": [{"pool": "default", "size": 1}]}}))
    platform.on(
        "hv1",
        f"cd {IMAGES} && qemu-io -c 'write -P 0x5a 10M 20M' -c 'write -P 0xa5 900M 1M' moved1.qcow2"
        " && qemu-img convert -O raw moved1.qcow2 /srv/reference.raw"
        " && qemu-img convert -O qcow2 moved1.qcow2 moved1-base.qcow2"
        " && qemu-img create -q -f qcow2 -F qcow2 -b moved1-base.qcow2 moved1-top.qcow2"
        # Far smaller than what is in it.
        " && tr '\\0' x </dev/zero | head -c 40M >/srv/x && qemu-img convert -c -O qcow2 /srv/x moved1-packed.qcow2",
    )
    disks = [{"target": f"vd{letter}", "pool": "default", "vol": f"moved1-{name}.qcow2"}
             for letter, name in (("b", "top"), ("c", "packed"))]  # fmt: skip
    ok(play("xmpp", {VM: {**MOVED1, "disks": disks}}))
    yield
    ok(play("xmpp", {VM: {"name": "moved1", "state": "absent", "force": True, "remove_volumes": "all"}},
            *({POOL: {"name": name, "state": "absent"}} for name in ("other", "tight"))))  # fmt: skip
    platform.on("hv1", f"umount {TIGHT}; rm -rf {OTHER} {TIGHT} /srv/reference.raw /srv/x {IMAGES}/moved1-*")


def images(story: Story) -> dict[str, str]:
    """The images of the machine, as it is configured, by target."""
    lines = story.on("hv1", "virsh -q domblklist --inactive moved1").splitlines()
    return dict(line.split() for line in lines)


def same(story: Story, path: str) -> bool:
    """Whether there is in the image what was in the first one."""
    return "identical" in story.on("hv1", f"qemu-img compare -U {path} /srv/reference.raw")


def test_a_disk_goes_elsewhere_and_back(platform: Story, play: Play, via: str) -> None:
    """Off and running, to another pool and into another format, each as it was told beforehand; what is done once is
    done, in what runs and in the configuration. The old volume is gone."""
    steps = [
        to(pool="other", format="raw"),
        STATES[0],
        to(pool="default", format="qcow2"),
        to(format="raw", vol="moved1-data", pool="default"),
        to(vol="moved1.qcow2", pool="default", format="qcow2"),
        STATES[1],
    ]
    checks = (True, False, False) if via == "xmpp" else (False,)
    results = play(via, *({**step, "check_mode": check} for step in steps for check in checks))
    ok(results)
    for i in range(0, len(results), len(checks)):
        told, real, again = (results[i], *results[i + 1 : i + 3]) if via == "xmpp" else (results[i], results[i], None)
        assert real["changed"]
        assert told["changes"] == real["changes"]
        assert again is None or (again["changed"], again["changes"]) == (False, [])
    moves = [results[len(checks) * n + len(checks) // 2] for n in (0, 2, 3, 4)]
    assert [(move["disk"]["path"], move["disk"]["format"]) for move in moves] == [
        (f"{OTHER}/moved1.raw", "raw"),
        (f"{IMAGES}/moved1.qcow2", "qcow2"),
        (f"{IMAGES}/moved1-data", "raw"),
        (f"{IMAGES}/moved1.qcow2", "qcow2"),
    ]
    assert [[(c["path"], c["scope"]) for c in move["changes"]] for move in moves[:2]] == [
        [("volumes[other/moved1.raw]", "config"), ("disks[vda].path", "config"), ("disks[vda].format", "config"),
         ("volumes[default/moved1.qcow2]", "config")],
        [("volumes[default/moved1.qcow2]", "config"), ("disks[vda].path", "live"), ("disks[vda].format", "live"),
         ("volumes[other/moved1.raw]", "config")],
    ]  # fmt: skip
    assert images(platform)["vda"] == f"{IMAGES}/moved1.qcow2"
    assert same(platform, f"{IMAGES}/moved1.qcow2")
    assert platform.on("hv1", f"ls {OTHER}; ls {IMAGES} | grep -c moved1-data || true") == "0"
    assert "compat: 1.1" in platform.on("hv1", f"qemu-img info {IMAGES}/moved1.qcow2")


def test_a_copy_that_does_not_fit_leaves_all_as_it_was(platform: Story, play: Play, via: str) -> None:
    """Off and running: it seems to fit, being compressed. It is said what is left of the pool, and nothing is left in
    it."""
    before = images(platform)
    off, _start, running, _stop, left = play(
        via,
        to("vdc", pool="tight", format="raw"),
        STATES[0],
        to("vdc", pool="tight"),
        STATES[1],
        {VOLUME_INFO: {"pool": "tight"}},
    )
    assert "o space left on device" in off["msg"], off
    assert "QEMU could not copy vdc of moved1 to /srv/tight/moved1-packed.qcow2." in running["msg"], running
    assert "The pool tight has" in running["msg"]
    for failed in (off, running):
        assert (failed["failed"], failed["changes"]) == (True, [])
    assert left["volumes"] == []
    assert images(platform) == before


def test_what_a_disk_was_based_on_is_in_the_copy(platform: Story, play: Play) -> None:
    """It lies on nothing any more, and the base is not the machine's to delete."""
    start, moved = play("xmpp", STATES[0], to("vdb", pool="other"))
    ok((start, moved))
    assert moved["volumes_kept"] == [
        {"path": f"{IMAGES}/moved1-top.qcow2", "reason": "it was not made for this machine"}
    ]
    assert "backing" not in platform.on("hv1", f"qemu-img info -U {OTHER}/moved1-top.qcow2")
    assert same(platform, f"{OTHER}/moved1-top.qcow2")


def test_a_copy_that_takes_too_long_is_given_up(platform: Story, play: Play) -> None:
    """Nothing is left of it, and the machine has its disk."""
    before = images(platform)
    begin(platform)
    (late,) = play("xmpp", to(pool="other", format="raw", wait_timeout=1))
    assert (late["failed"], late["changes"]) == (True, [])
    assert "vda of moved1 was not copied to /srv/other/moved1.raw. Waited 1 s." in late["msg"]
    assert images(platform) == before
    assert platform.on("hv1", f"ls {OTHER}") == "moved1-top.qcow2"
    assert "mirror" not in platform.on("hv1", "virsh dumpxml moved1")


def test_a_copy_goes_on_where_libvirtd_restarts(platform: Story, play: Play) -> None:
    """The same task awaits the one that QEMU has not stopped making, and ends it."""
    begin(platform)
    platform.on("hv1", "systemctl restart libvirtd && virsh -q blockjob moved1 vda --bandwidth 0")
    patient = {"until": "result_0 is succeeded", "retries": 15, "delay": 2}  # the agent finds libvirtd again
    (ended,) = play("xmpp", {**to(pool="other", format="raw"), **patient})
    ok((ended,))
    assert [change["path"] for change in ended["changes"]][:1] == ["disks[vda].path"]
    assert images(platform)["vda"] == ended["disk"]["path"] == f"{OTHER}/moved1.raw"
    assert same(platform, f"{OTHER}/moved1.raw")


def test_a_checkpoint_keeps_its_disk_and_goes_with_its_machine(platform: Story, play: Play) -> None:
    """What changed since is noted in the image, and a copy would not have it."""
    specifications = "--diskspec vda,checkpoint=no --diskspec vdb --diskspec vdc"
    platform.on("hv1", f"virsh -q checkpoint-create-as moved1 first {specifications}")
    kept, gone = play(
        "xmpp",
        to("vdb", pool="default"),
        {VM: {"name": "moved1", "state": "absent", "force": True, "remove_volumes": "owned"}},
    )
    assert (kept["failed"], kept["changes"]) == (True, [])
    assert "moved1 has snapshots or checkpoints" in kept["msg"]
    ok([gone])
    assert "moved1" not in platform.on("hv1", f"virsh list --all --name; ls {OTHER}")


def begin(story: Story) -> None:
    """QEMU copies vda for minutes, as whoever asked for it went away."""
    story.on(
        "hv1",
        "virsh -q vol-create-as other moved1.raw 1G --format raw"
        f" && virsh -q blockcopy moved1 vda {OTHER}/moved1.raw --format raw --reuse-external --transient-job"
        " --bandwidth 65536 --bytes",
    )
