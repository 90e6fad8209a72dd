# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes of a machine while QEMU runs it, what does not, and what goes with it. Each test needs those before."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml

from lab.story import Story

pytestmark = pytest.mark.timeout(600)

NETWORK, POOL, VM, VM_DISK, VM_MEDIA, VM_NIC = (
    f"archipel.orchestrator.{name}" for name in ("network", "pool", "vm", "vm_disk", "vm_media", "vm_nic")
)
Task = dict[str, t.Any]
Result = dict[str, t.Any]
Play = t.Callable[..., list[Result]]

PLUGINS: t.Final = pathlib.Path(__file__).resolve().parents[2] / "plugins/modules"
IMAGES: t.Final = "/var/lib/libvirt/images"
MAC: t.Final = "52:54:00:00:02:02"
NVRAM: t.Final = "/var/lib/libvirt/qemu/nvram/deaf1_VARS.fd"
LIVE1: Task = {
    "name": "live1",
    "state": "running",
    "type": "qemu",
    "memory": 160,
    "max_memory": 256,
    "vcpus": 1,
    "max_vcpus": 3,
    "cpu": {"model": "qemu64"},
    "boot": {
        "kernel": f"{IMAGES}/vmlinuz",
        "initrd": f"{IMAGES}/initrd.gz",
        "kernel_args": "console=ttyS0 quiet address=dhcp",
    },
    "disks": [{"pool": "default", "size": 1}, {"device": "cdrom"}],
    "networks": [{"network": "live", "mac": "52:54:00:00:02:01"}],
    "wait_for_ip": "lease",
    "wait_timeout": 180,
}
# Its firmware is nothing at all, so it hears no button, and has variables of its own.
DEAF1: Task = {
    "name": "deaf1",
    "state": "running",
    "type": "qemu",
    "memory": 64,
    "cpu": {"model": "qemu64"},
    "boot": {
        "loader": f"{IMAGES}/nothing.fd",
        "loader_type": "pflash",
        "loader_readonly": True,
        "nvram_template": f"{IMAGES}/nothing.fd",
    },
}

# It opens its drive, and with that locks it. QEMU's virtio-scsi, because Debian's cloud kernel has no other.
LOCKED1: t.Final = f"""
<domain type='qemu'>
  <name>locked1</name><memory unit='MiB'>128</memory><vcpu>1</vcpu><cpu mode='custom'><model>qemu64</model></cpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type><kernel>{IMAGES}/vmlinuz</kernel><initrd>{IMAGES}/initrd.gz</initrd>
    <cmdline>console=ttyS0 quiet address=10.56.1.1/24 hold=/dev/sr0</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type='scsi' model='virtio-scsi'/>
    <disk type='file' device='cdrom'>
      <source file='{IMAGES}/one.iso'/><target dev='sda' bus='scsi'/><readonly/>
    </disk>
    <serial type='pty'/>
  </devices>
</domain>"""


def on_live1(module: str, **arguments: t.Any) -> Task:
    return {module: {"name": "live1", **arguments}}


# Each changes something of a machine that runs.
STEPS: t.Final[dict[str, Task]] = {
    "more memory": on_live1(VM, memory=224),
    "less memory": on_live1(VM, memory=160),
    "too much memory": on_live1(VM, memory=512),
    "more vcpus": on_live1(VM, memory=160, max_memory=256, vcpus=2),
    "disk": on_live1(VM_DISK, target="vdb", pool="default", size=1),
    "larger disk": on_live1(VM_DISK, target="vdb", size=2),
    "slower disk": on_live1(VM_DISK, target="vdb", total_bytes_sec=10_000_000),
    "other cache": on_live1(VM_DISK, target="vdb", cache="none"),
    "no disk": on_live1(VM_DISK, target="vdb", state="absent", remove_volumes="owned"),
    "sata disk": on_live1(VM_DISK, target="sdb", bus="sata", pool="default", size=1),
    "no sata disk": on_live1(VM_DISK, target="sdb", state="absent", remove_volumes="owned"),
    "medium": on_live1(VM_MEDIA, path=f"{IMAGES}/one.iso"),
    "other medium": on_live1(VM_MEDIA, pool="default", vol="two.iso"),
    "no medium": on_live1(VM_MEDIA, state="ejected"),
    "nic": on_live1(VM_NIC, mac=MAC, network="live"),
    "cable out": on_live1(VM_NIC, mac=MAC, link_state="down"),
    "nic elsewhere": on_live1(VM_NIC, mac=MAC, bridge="br0", link_state="up"),
    "no nic": on_live1(VM_NIC, mac=MAC, state="absent"),
    "nics": on_live1(VM, networks=[*LIVE1["networks"], {"network": "live"}]),
    "one nic": on_live1(VM, networks=LIVE1["networks"], networks_remove_unmanaged=True),
    "fewer vcpus": on_live1(VM, vcpus=1),
    "restart": on_live1(VM, vcpus=1, apply="restart"),
}


def done(play: Play, via: str, *tasks: Task) -> list[Result]:
    """What was done by each task: it is what was told beforehand, and what is done once is done. Over XMPP, where that
    takes a quarter of the time; by modules each is done once."""
    if via == "libvirt":
        results = play(via, *tasks)
        assert [(r["failed"], r["changed"]) for r in results] == [(False, True)] * len(tasks), results
        return results
    results = play(via, *({**task, "check_mode": check} for task in tasks for check in (True, False, False)))
    for i in range(0, len(results), 3):
        told, real, again = results[i : i + 3]
        assert [r["failed"] for r in (told, real, again)] == [False] * 3, (told["msg"], real["msg"], again["msg"])
        assert real["changed"], real
        assert told["changes"] == real["changes"]
        assert told["restart_reasons"] == real["restart_reasons"]
        assert (again["changed"], again["changes"]) == (False, []), again
        assert again["restart_reasons"] == real["restart_reasons"]
    return results[1::3]


def changed(result: Result) -> list[tuple[str, str]]:
    return [(change["path"], change["scope"]) for change in result["changes"]]


@pytest.fixture(scope="module")
def host(platform: Story) -> t.Iterator[None]:
    """A network with leases, media, and a flash without anything in it."""
    leases = {"address": "10.56.0.1/24", "dhcp": {"ranges": [{"start": "10.56.0.9", "end": "10.56.0.99"}]}}
    platform.module("hv1", NETWORK, name="live", state="active", bridge="virbr-live", ips=[leases])
    platform.module("hv1", NETWORK, name="lab", state="active", bridge="virbr-lab")
    target = f"{IMAGES}/fast"
    platform.module("hv1", POOL, name="fast", type="dir", target=target, state="active", build=True)
    empty = "truncate -s 1M one.iso two.iso && truncate -s 4M nothing.fd && virsh pool-refresh default"
    platform.on("hv1", f"cd {IMAGES} && {empty}")
    yield
    platform.module(
        "hv1", VM, names=["live1", "deaf1", "short1", "locked1"], state="absent", force=True, remove_volumes="owned"
    )
    for network in ("live", "lab"):
        platform.module("hv1", NETWORK, name=network, state="absent", force=True)


@pytest.fixture(scope="module")
def live1(host: None, play: Play) -> Result:
    """The machine, up and with an address."""
    (made,) = play("xmpp", {VM: LIVE1})
    return made


@pytest.fixture(scope="module", params=["libvirt", "xmpp"])
def via(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def steps(live1: Result, play: Play, via: str, platform: Story) -> dict[str, Result]:
    """What all steps came to, in one play; a guest that is still booting hears nothing."""
    served(platform)
    return dict(zip(STEPS, done(play, via, *STEPS.values()), strict=True))


def served(story: Story) -> int:
    """What the page of live1 counts, seen from its hypervisor, once it does."""
    (address,) = story.module("hv1", VM, name="live1", wait_for_ip="lease")["vm"]["addresses"]
    ask = (
        f"import urllib.request as r; print(r.urlopen('http://{address['address']}/count', timeout=5).read().decode())"
    )
    return int(story.on("hv1", f'timeout 60 sh -c "until python3 -c \\"{ask}\\" 2>&-; do sleep 0.2; done"'))


def test_the_task_returns_when_the_machine_has_an_address(live1: Result) -> None:
    """By lease; the result has it."""
    (address,) = live1["vm"]["addresses"]
    assert address["address"].startswith("10.56.0.")
    assert (address["source"], address["mac"]) == ("lease", LIVE1["networks"][0]["mac"])


def test_memory_and_vcpus_change_while_it_runs(steps: dict[str, Result]) -> None:
    """Within what it was started with; beyond that, and for fewer vCPUs, it has to start again."""
    for step in ("more memory", "less memory"):
        assert changed(steps[step]) == [("memory", "live")]
        assert not steps[step]["restart_required"]
    assert changed(steps["too much memory"]) == [("memory", "config")]
    assert steps["too much memory"]["restart_reasons"] == [
        "memory waits for the next start: the machine was started with at most 256 MiB."
    ]
    assert changed(steps["more vcpus"]) == [("vcpus", "live"), ("memory", "config"), ("max_memory", "config")]
    assert changed(steps["fewer vcpus"]) == [("vcpus", "config")]
    assert steps["fewer vcpus"]["restart_required"]


def test_a_restart_brings_what_waits(steps: dict[str, Result]) -> None:
    """Gracefully, also what another task has changed before; then nothing waits any more."""
    assert changed(steps["restart"]) == [("state", "live"), ("state", "live")]
    assert not steps["restart"]["restart_required"]
    assert steps["restart"]["vm"]["vcpus"] == 1


def test_disks_come_grow_and_go_while_it_runs(steps: dict[str, Result], platform: Story) -> None:
    """Their volumes with them; what the guest cannot see yet is said."""
    volume = ("volumes[default/live1-vdb.qcow2]", "config")
    assert changed(steps["disk"]) == [volume, ("disks[vdb]", "live")]
    assert steps["larger disk"]["changes"] == [{"path": "disks[vdb].size", "old": 1, "new": 2, "scope": "live"}]
    assert changed(steps["slower disk"]) == [("disks[vdb].total_bytes_sec", "live")]
    assert changed(steps["other cache"]) == [("disks[vdb].cache", "config")]
    assert steps["other cache"]["restart_required"]
    assert changed(steps["no disk"]) == [("disks[vdb]", "live"), volume]
    assert "live1-vdb" not in platform.on("hv1", "virsh vol-list default")


def test_a_disk_that_cannot_be_plugged_waits(steps: dict[str, Result]) -> None:
    """Each run says so; taken out again, nothing is left to wait for."""
    assert changed(steps["sata disk"])[1] == ("disks[sdb]", "config")
    assert steps["sata disk"]["restart_reasons"] == [
        "disks[sdb] waits for the next start: QEMU plugs no disks of the bus sata into what runs."
    ]
    assert not steps["no sata disk"]["restart_required"]


def test_media_are_changed_while_it_runs(steps: dict[str, Result]) -> None:
    """Put in by path or by volume, and out."""
    results = [steps[step] for step in ("medium", "other medium", "no medium")]
    assert [changed(result) for result in results] == [[("disks[sda].path", "live")]] * 3
    assert [result["disk"]["path"] for result in results] == [f"{IMAGES}/one.iso", f"{IMAGES}/two.iso", None]


def test_a_drive_that_the_guest_system_has_locked_is_opened_by_force_alone(
    host: None, play: Play, platform: Story
) -> None:
    """Otherwise it is said what to do, and the medium stays where it is."""
    medium = {VM_MEDIA: {"name": "locked1", "path": f"{IMAGES}/two.iso"}}
    (made,) = play("xmpp", {VM: {"xml": LOCKED1, "state": "running"}})
    assert not made["failed"], made
    locked = "virsh qemu-monitor-command locked1 --hmp info block | grep -q 'Removable device: locked'"
    platform.on("hv1", f'timeout 60 sh -c "until {locked}; do sleep 0.2; done"')
    refused, forced, gone = play(
        "xmpp",
        medium,
        {VM_MEDIA: {**medium[VM_MEDIA], "force": True}},
        {VM: {"name": "locked1", "state": "absent", "force": True}},
    )
    assert (refused["failed"], refused["changes"]) == (True, [])
    assert "The guest system has locked the drive; force: true opens it all the same." in refused["msg"]
    (change,) = forced["changes"]
    assert change == {
        "path": "disks[sda].path",
        "old": f"{IMAGES}/one.iso",
        "new": f"{IMAGES}/two.iso",
        "scope": "live",
    }
    assert not gone["failed"]


def test_interfaces_come_change_and_go_while_it_runs(steps: dict[str, Result]) -> None:
    """Plugged, unplugged by its cable, connected elsewhere, and out."""
    for step in ("nic", "cable out", "nic elsewhere", "no nic"):
        assert {change["scope"] for change in steps[step]["changes"]} == {"live"}
        assert not steps[step]["restart_required"]
    assert steps["nic elsewhere"]["nic"]["bridge"] == "br0"
    assert steps["no nic"]["nic"] is None


def test_an_interface_without_an_address_of_its_own_is_the_same_in_both_definitions(steps: dict[str, Result]) -> None:
    """As vm's list makes it: libvirt chooses one address for what runs and for the configuration."""
    assert changed(steps["nics"]) == [("networks[1]", "live")]
    mac = steps["nics"]["vm"]["networks"][1]["mac"]
    assert changed(steps["one nic"]) == [(f"networks[{mac}]", "live")]


def test_a_disk_that_is_not_there_or_in_use_is_a_failure_that_leaves_nothing(live1: Result, play: Play) -> None:
    """Neither in the machine nor in its configuration."""
    missing, in_use, nothing = play(
        "xmpp",
        on_live1(VM_DISK, target="vdc", path="/nowhere.qcow2"),
        on_live1(VM_DISK, target="vdc", path=f"{IMAGES}/live1.qcow2", format="qcow2"),
        on_live1(VM_DISK, target="vdc", state="absent"),
    )
    assert "No such file or directory" in missing["msg"]
    assert "lock" in in_use["msg"]
    for failed in (missing, in_use):
        assert failed["failed"]
        assert failed["changes"] == []
    assert not nothing["changed"]


def test_saved_it_goes_on_where_it_was(live1: Result, play: Play, platform: Story) -> None:
    """Its page counts on, instead of beginning again."""
    before = served(platform)
    saved, restored = play("xmpp", on_live1(VM, state="saved"), on_live1(VM, state="running"))
    assert changed(saved) == changed(restored) == [("state", "live")]
    assert (saved["vm"]["state"], saved["vm"]["reason"]) == ("shutoff", "saved")
    assert served(platform) > before


@pytest.mark.parametrize("module", ["vm_disk", "vm_media", "vm_nic"])
def test_the_documented_examples_run(live1: Result, play: Play, module: str) -> None:
    """As they are written, but for the names of what this host has."""
    source: dict[str, t.Any] = {}
    exec((PLUGINS / f"{module}.py").read_text().partition("\nfrom ansible_collections")[0], source)
    written = source["EXAMPLES"]
    for theirs, ours in (("web1", "live1"), ("52:54:00:00:00:01", MAC), ("installer", "one"), ("rescue", "two")):
        written = written.replace(theirs, ours)
    tasks = yaml.safe_load(written)
    results = play("xmpp", on_live1(VM_NIC, mac=MAC, network="live"), *tasks, on_live1(VM_NIC, mac=MAC, state="absent"))
    assert [result["failed"] for result in results] == [False] * len(results), results
    assert [result["changed"] for result in results[1:-1]] == [True] * len(tasks), results


def test_who_does_not_listen_is_turned_off_after_a_while(host: None, play: Play, platform: Story) -> None:
    """And the variables of its firmware stay where that is asked."""
    planned, made, off, kept = play(
        "xmpp",
        {VM: DEAF1, "check_mode": True},
        {VM: DEAF1},
        {VM: {"name": "deaf1", "state": "shutdown", "force_after": 2}},
        {VM: {"name": "deaf1", "state": "absent", "keep_nvram": True}},
    )
    assert planned["changes"] == made["changes"]
    assert (off["vm"]["state"], off["vm"]["reason"]) == ("shutoff", "destroyed")
    assert not kept["failed"]
    assert platform.on("hv1", f"test -e {NVRAM} && echo there") == "there"
    made, gone = play("libvirt", {VM: DEAF1}, {VM: {"name": "deaf1", "state": "absent", "force": True}})
    assert not made["failed"], made
    assert not gone["failed"], gone
    assert platform.on("hv1", f"test -e {NVRAM} || echo gone") == "gone"


def test_what_another_uses_stays_whatever_is_asked(host: None, play: Play, platform: Story) -> None:
    """Media and backing files; QEMU's own volumes have them."""
    based = "qemu-img create -q -f qcow2 -F raw -b two.iso top.qcow2 1M && virsh pool-refresh default"
    platform.on("hv1", f"cd {IMAGES} && {based}")
    media = {"device": "cdrom", "path": f"{IMAGES}/one.iso"}
    bases = [{"pool": "default", "size": 1}, {"path": f"{IMAGES}/two.iso", "format": "raw"}, media]
    _made, planned, gone = play(
        "xmpp",
        {VM: {"name": "short1", "type": "qemu", "memory": 64, "disks": bases}},
        {VM: {"name": "short1", "state": "absent", "remove_volumes": "all"}, "check_mode": True},
        {VM: {"name": "short1", "state": "absent", "remove_volumes": "all"}},
    )
    assert planned["changes"] == gone["changes"]
    assert [change["path"] for change in gone["changes"]] == ["state", "volumes[default/short1.qcow2]"]
    assert gone["volumes_kept"] == [
        {"path": f"{IMAGES}/one.iso", "reason": "it is a medium"},
        {"path": f"{IMAGES}/two.iso", "reason": "default/top.qcow2 is based on it"},
    ]
    platform.on("hv1", f"test -e {IMAGES}/one.iso && test -e {IMAGES}/two.iso && rm {IMAGES}/top.qcow2")
