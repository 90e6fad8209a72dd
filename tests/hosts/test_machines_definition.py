# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said of a machine, said to libvirt with QEMU: taken, kept, and no difference the next time."""

from __future__ import annotations

import base64
import io
import json
import pathlib
import re
import typing as t
import zlib

import pycdlib
import pytest

from lab.story import Story
from tests.attributes import declared, name, samples, task

pytestmark = pytest.mark.timeout(600)

VM, VM_INFO = "archipel.orchestrator.vm", "archipel.orchestrator.vm_info"
Task = dict[str, t.Any]
Result = dict[str, t.Any]
Play = t.Callable[..., list[Result]]

KEPT: t.Final = pathlib.Path(__file__).with_name("kept.py").read_text()
SIZE: t.Final[Task] = {"type": "qemu", "memory": 64}
BASE: t.Final[Task] = {"name": "defined1", **SIZE}
TPM: t.Final = "3c1b1a5e-8a5f-4f4e-9d36-0c5d1e2f3a53"  # its state lies below the machine's UUID
GONE: t.Final[Task] = {"name": "defined1", "state": "absent", "force": True, "remove_volumes": "owned"}
# What this kind of host refuses, and the words in which it does.
REFUSED: t.Final = {
    "domain.type": "does not support virt type 'kvm'",
    "domain.arch": "does not support arch 'aarch64'",
    "domain.machine": "must be model='pci-root'",
    "graphics.tls_port": "TLS is disabled in qemu.conf",
    "disks.sgio": "unfiltered sgio is no longer supported",
    "filesystems.type": "only supports mount filesystem type",
    "host_devices.model": "Unsupported address type 'pci' with mediated device model 'vfio-ccw'",
    "input_devices.model": r"\(non-\)transitional models are not supported for input type=tablet",
}


@pytest.fixture(params=["libvirt", "xmpp"])
def via(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def nothing_left(platform: Story) -> t.Iterator[None]:
    yield
    platform.module("hv1", VM, **GONE)


def test_each_attribute_is_taken_and_kept(platform: Story) -> None:
    """A machine is made with one value and changed to another; each time the same definition finds nothing left to do.
    What the host refuses, it refuses with a reason."""
    found = [(part, attribute) for part, attribute in declared() if attribute.path and part.key != "metadata"]
    pairs = [[{**SIZE, **task(part, a, value)} for value in samples(a)] for part, a in found]
    asked = base64.b64encode(zlib.compress(json.dumps(pairs).encode())).decode()
    answer = platform.on("hv1", f"/opt/archipel/venv/bin/python - {asked} <<'X'\n{KEPT}\nX")
    refused = {}
    for (part, attribute), results in zip(found, json.loads(answer), strict=True):
        for result in results:
            assert result["again"] == [], name(part, attribute)
            if result["refused"]:
                refused[name(part, attribute)] = result["refused"]
    assert refused.keys() <= REFUSED.keys(), {key: refused[key] for key in refused.keys() - REFUSED.keys()}
    for key, text in refused.items():
        assert re.search(REFUSED[key], text), text
    print(f"{len(found) - len(refused)} attributes are kept, {len(refused)} are refused here")


def test_a_machine_has_secure_boot_and_a_tpm_by_name(play: Play, via: str, platform: Story) -> None:
    """libvirt chooses the files; variables and TPM go with the machine, unless they are to be kept."""
    firmware: Task = {**BASE, "uuid": TPM, "memory": 256, "boot": {"secure_boot": True}, "tpm": {}}
    secure = {**firmware, "state": "running"}
    files = f"cd /var/lib/libvirt && find qemu/nvram swtpm -name 'defined1*' -o -name {TPM}"
    told, made, again, info, kept = play(
        via,
        {VM: secure, "check_mode": True},
        {VM: secure},
        {VM: secure},
        {VM_INFO: {"name": "defined1"}},
        {VM: {**GONE, "keep_nvram": True, "keep_tpm": True}},
    )
    assert told["changes"] == made["changes"]
    assert not again["changed"], again
    (vm,) = info["vms"]
    assert (vm["state"], vm["boot"]["firmware"], vm["tpm"]["version"]) == ("running", "efi", "2.0")
    assert (vm["boot"]["loader_secure"], vm["features"]["smm"]) == (True, True)
    assert "secboot" in vm["boot"]["loader"] or ".ms." in vm["boot"]["loader"]
    assert not kept["failed"]
    assert sorted(platform.on("hv1", files).split()) == ["qemu/nvram/defined1_VARS.fd", f"swtpm/{TPM}"]
    _defined, gone = play(via, {VM: firmware}, {VM: GONE})
    assert not gone["failed"]
    assert platform.on("hv1", files) == ""


def test_what_the_host_cannot_is_refused_with_what_it_can(play: Play) -> None:
    """Before anything is made, in check mode too."""
    wanted = [
        ({"video": {"model": "gop"}}, r"video\.model: gop is not possible on this host; it can: bochs, "),
        ({"cpu": {"model": "Cray-1"}}, r"cpu\.model: Cray-1 is not possible on this host; it can: 486, "),
        ({"cpu": {"mode": "host-passthrough"}}, r"cpu\.mode: .* it can: custom, host-model, maximum"),
        ({"machine": "pc-q35-99.0"}, r"machine: 'pc-q35-99.0' is not possible on hv1 .* q35.* Did you mean pc-q35-"),
        ({"disks": [{"path": "/a.img", "bus": "xen"}]}, r"disks\[0\]\.bus: xen is not possible on this host; it can: "),
    ]
    tasks = [
        {VM: {**BASE, **definition}, "check_mode": check} for definition, _why in wanted for check in (True, False)
    ]
    for i, result in enumerate(play("xmpp", *tasks)):
        assert result["failed"]
        assert re.search(wanted[i // 2][1], result["msg"]), result["msg"]
        assert result["changes"] == []


def test_a_machine_gets_what_people_would_add(play: Play) -> None:
    """Where they do not say otherwise: the newest type, a console, random numbers, the guest agent's channel."""
    _gone, _made, info, seen, _gone = play(
        "xmpp",
        {VM: GONE},
        {VM: BASE},
        {VM_INFO: {"name": "defined1"}},
        {VM: {**BASE, "graphics": {"type": "vnc"}}},
        {VM: GONE},
    )
    (vm,) = info["vms"]
    assert vm["machine"].startswith("pc-q35-")
    assert (vm["guest_agent"], vm["rng"]["model"], vm["console_devices"][0]["type"]) == (True, "virtio", "pty")
    assert (vm["graphics"], vm["video"], vm["tpm"]) == (None, None, None)
    assert not seen["failed"], seen
    assert seen["vm"]["graphics"]["listen"] == "127.0.0.1"


def test_cloud_init_has_its_seed(play: Play, via: str, platform: Story) -> None:
    """A volume with cloud-init's files beside the first disk; another one, where they say something else, and the old
    one is gone. It goes with the machine."""

    def seeded(word: str) -> Task:
        return {
            VM: {
                **BASE,
                "disks": [{"pool": "default", "size": 1}],
                "cloud_init": {"user_data": f"#cloud-config\nhostname: {word}\n", "network_config": "version: 2\n"},
            }
        }

    told, made, again, *_rest = play(via, {**seeded("one"), "check_mode": True}, seeded("one"), seeded("one"))
    assert told["changes"] == made["changes"]
    assert again["changes"] == []
    path = made["vm"]["cloud_init"]["path"]
    assert platform.on("hv1", f"blkid -p -o value -s LABEL {path}") == "cidata"
    disc, found = pycdlib.PyCdlib(), io.BytesIO()
    disc.open_fp(io.BytesIO(base64.b64decode(platform.on("hv1", f"base64 {path}"))))
    disc.get_file_from_iso_fp(found, joliet_path="/user-data")
    assert found.getvalue() == b"#cloud-config\nhostname: one\n"

    told, other, again, removed = play(
        via, {**seeded("two"), "check_mode": True}, seeded("two"), seeded("two"), {VM: GONE}
    )
    assert told["changes"] == other["changes"]
    assert [change["path"] for change in other["changes"]] == [
        f"volumes[default/{other['vm']['cloud_init']['path'].rpartition('/')[2]}]",
        "disks[sda].path",
        f"volumes[default/{path.rpartition('/')[2]}]",
    ]
    assert again["changes"] == []
    assert "hostname" not in str([made["changes"], other["changes"]])
    assert len(removed["changes"]) == 3
    assert "defined1" not in platform.on("hv1", "virsh vol-list default")
