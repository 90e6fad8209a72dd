# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools, volumes and secrets of a host that QEMU's machines use: what runs on them, and what goes wrong."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import threading
import typing as t

import pytest

from lab.plan import Lab, host
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

POOL, VOLUME, VOLUME_INFO, SECRET, VM = (
    f"archipel.orchestrator.{name}" for name in ("pool", "volume", "volume_info", "secret", "vm")
)
DIRECTORY: t.Final = "/srv/storage"
SMALL: t.Final = "/srv/small"
NAME: t.Final = "chain1"
SAFE: t.Final = "00000000-0000-4000-8000-000000000011"
PASSPHRASE: t.Final = "correct horse battery staple"
LOGIN: t.Final = "00000000-0000-4000-8000-000000000012"
IQN: t.Final = "iqn.2026-01.org.example"
# The kernel has no part in it: tgt is a target, libiscsi an initiator of its own, in libvirtd and in QEMU.
TARGETS: t.Final = f"""
apt-get -qq update
apt-get -qq install --no-install-recommends tgt libvirt-daemon-driver-storage-iscsi-direct qemu-block-extra
systemctl restart libvirtd
tgtadm --lld iscsi --op new --mode account --user hv1 --password '{PASSPHRASE}'
number=1
for name in open closed; do
    truncate --size 32M /srv/$name
    tgtadm --lld iscsi --op new --mode target --tid $number --targetname {IQN}:$name
    tgtadm --lld iscsi --op new --mode logicalunit --tid $number --lun 1 --backing-store /srv/$name
    tgtadm --lld iscsi --op bind --mode target --tid $number --initiator-address ALL
    number=$((number + 1))
done
tgtadm --lld iscsi --op bind --mode account --tid 2 --user hv1
"""
MIB: t.Final = 1 << 20
Play = t.Callable[..., list[dict[str, t.Any]]]


class Site(http.server.BaseHTTPRequestHandler):
    """An image of 32 MiB that does not shrink. ``halfway`` is called when half of it was sent."""

    IMAGE: t.Final = os.urandom(32 * MIB)
    halfway: t.ClassVar[t.Callable[[], object]] = bool

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.IMAGE)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(self.IMAGE[: 16 * MIB])
            type(self).halfway()
            self.wfile.write(self.IMAGE[16 * MIB :])

    def log_message(self, *_arguments: t.Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def image(lab: Lab) -> t.Iterator[dict[str, str]]:
    """Content that a hypervisor can fetch."""
    server = http.server.ThreadingHTTPServer((lab.gateway, 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "url": f"http://{lab.gateway}:{server.server_port}/image",
        "checksum": hashlib.sha256(Site.IMAGE).hexdigest(),
    }
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", autouse=True)
def pools(platform: Story) -> t.Iterator[None]:
    """A pool with room, and one of 16 MiB."""
    platform.on("hv1", f"mkdir -p {SMALL} && mount -t tmpfs -o size=16m tmpfs {SMALL}")
    yield
    platform.on("hv1", f"virsh -q pool-destroy small; virsh -q pool-undefine small; umount {SMALL}; rm -rf {DIRECTORY}")
    platform.on("hv1", "virsh -q pool-destroy storage; virsh -q pool-undefine storage")


@pytest.mark.parametrize("via", ["libvirt", "xmpp"])
def test_volumes_and_secrets_come_change_and_go(play: Play, image: dict[str, str], via: str) -> None:
    """Twelve steps, of all three at once: an image from the web, an empty disk, and a secret."""
    make = {POOL: {"name": "storage", "state": "active", "build": True, "target": DIRECTORY}}
    create = (
        {VOLUME: {"pool": "storage", "name": "fetched.raw", "content": image, "format": "raw"}},
        {VOLUME: {"pool": "storage", "name": "empty.qcow2", "size": "512MiB"}},
        {SECRET: {"usage_type": "iscsi", "usage": "storage1", "value": PASSPHRASE}},
    )
    change = (
        {VOLUME: {"pool": "storage", "name": "fetched.raw", "content": image, "size": "64MiB"}},
        {VOLUME: {"pool": "storage", "name": "empty.qcow2", "size": 1}},
        {SECRET: {"usage_type": "iscsi", "usage": "storage1", "value": f"{PASSPHRASE}!", "description": "new"}},
    )
    delete = [{module: {k: v for k, v in named.items() if k in ("pool", "name", "usage_type", "usage")}}
              for task in create for module, named in task.items()]  # fmt: skip
    delete = [{module: {**named, "state": "absent"}} for task in delete for module, named in task.items()]
    steps = [{**task, "check_mode": check} for phase in (create, change, delete) for check in (True, False, True, False)
             for task in phase]  # fmt: skip
    made, *results = play(via, make, *steps)
    assert not made["failed"], made
    assert [result["failed"] for result in results] == [False] * 36, [r["msg"] for r in results if r["failed"]]
    for first in range(0, 36, 12):
        told, done, told_again, done_again = (results[first + n : first + n + 3] for n in (0, 3, 6, 9))
        assert [result["changed"] for result in (*told, *done)] == [True] * 6
        assert [result["changed"] for result in (*told_again, *done_again)] == [False] * 6
        assert [result["changes"] for result in told] == [result["changes"] for result in done]
    assert [result["volume"]["capacity"] for result in results[15:17]] == [64 * MIB, 1024 * MIB]
    assert PASSPHRASE not in str(results)


def test_a_full_pool_is_left_as_it_was(platform: Story, play: Play, image: dict[str, str]) -> None:
    """What could not be made whole is gone, whether it was allocated, uploaded or copied."""
    make = {POOL: {"name": "small", "state": "active", "target": SMALL}}
    results = play(
        "xmpp",
        make,
        {VOLUME: {"pool": "small", "name": "full.raw", "format": "raw", "size": "64MiB", "allocation": "full"}},
        {VOLUME: {"pool": "small", "name": "full.qcow2", "size": "64MiB", "allocation": "full"}},
        {VOLUME: {"pool": "small", "name": "fetched.raw", "content": image}},
        {VOLUME: {"pool": "storage", "name": "fetched.raw", "content": image}},
        {VOLUME: {"pool": "small", "name": "copied.qcow2", "source": {"pool": "storage", "vol": "fetched.raw"}}},
        {VOLUME: {"pool": "small", "name": "fits.qcow2", "size": 1}},
        {VOLUME: {"pool": "small", "name": "fits.qcow2", "state": "absent"}},
    )
    full = [results[number] for number in (1, 2, 3, 5)]
    assert [(result["failed"], result["changes"]) for result in full] == [(True, [])] * 4
    assert all("o space left on device" in result["msg"] for result in full), [result["msg"] for result in full]
    assert "The half-made volume small/fetched.raw was removed." in results[3]["msg"]
    assert [result["failed"] for result in (results[4], *results[6:])] == [False] * 3
    assert platform.on("hv1", f"ls -A {SMALL}") == ""


def test_what_a_running_machine_uses_is_left_alone(play: Play, tiny: t.Callable[[str, int], dict[str, t.Any]]) -> None:
    """To the end of its disk's backing chain; force does not help. Off, it is only by force that its disk goes."""
    machine = {**tiny(NAME, 121), "disks": [{"pool": "storage", "vol": "top.qcow2"}]}

    def volume(name: str, **asked: t.Any) -> dict[str, t.Any]:
        return {VOLUME: {"pool": "storage", "name": f"{name}.qcow2", **asked}}

    results = play(
        "xmpp",
        volume("base", size="64MiB"),
        volume("middle", backing={"vol": "base.qcow2"}),
        volume("top", backing={"vol": "middle.qcow2"}),
        {VM: {**machine, "state": "running"}},
        volume("base", state="absent", force=True),
        volume("middle", state="absent"),
        volume("top", state="absent"),
        volume("top", size="128MiB"),
        volume("copy", source={"vol": "top.qcow2"}),
        volume("beside", backing={"vol": "base.qcow2"}),
        {VOLUME_INFO: {"pool": "storage", "name": "*.qcow2"}},
        {POOL: {"name": "storage", "state": "absent", "remove_contents": True}},
        {VM: {"name": NAME, "state": "destroyed"}},
        volume("top", state="absent"),
        {VM: {"name": NAME, "state": "absent"}},
        *(volume(name, state="absent") for name in ("beside", "top", "middle", "base")),
    )
    assert [result["failed"] for result in results] == (
        [False] * 4 + [True] * 5 + [False] * 2 + [True] + [False] + [True] + [False] * 5
    ), [result.get("msg") for result in results]
    for result in results[4:9]:
        assert f"in use by {NAME}, which is running" in result["msg"]
        assert result["changes"] == []
    used = {volume["name"]: (volume["used_by"], len(volume["backing_chain"])) for volume in results[10]["volumes"]}
    assert used == {
        "base.qcow2": ([NAME], 0),
        "beside.qcow2": ([], 1),
        "middle.qcow2": ([NAME], 1),
        "top.qcow2": ([NAME], 2),
    }
    assert f"used by {NAME}; nothing was deleted" in results[11]["msg"]
    assert f"is needed by the machine {NAME}" in results[13]["msg"]


def test_an_encrypted_volume_needs_its_secret(platform: Story, play: Play) -> None:
    safe = {VOLUME: {"pool": "storage", "name": "safe.raw", "size": "16MiB", "encryption": {"credential": SAFE}}}
    secret = {SECRET: {"uuid": SAFE, "usage_type": "volume", "usage": "safe", "value": PASSPHRASE, "private": True}}
    # qemu-img measures how fast it hashes, and now and then fails to on a busy machine.
    patient = {"until": "result_2 is not failed", "retries": 5, "delay": 0}
    without, kept, made, again = play("libvirt", safe, secret, {**safe, **patient}, safe)
    assert "no secret with matching uuid" in without["msg"]
    assert kept["changed"]
    assert (made["volume"]["encryption"], made["volume"]["capacity"]) == ("luks", 16 * MIB)
    assert (again["failed"], again["changed"]) == (False, False)
    assert PASSPHRASE not in platform.on("hv1", "journalctl -u archipel-agent -u libvirtd --no-pager")
    play("libvirt", *({m: {**a, "state": "absent"}} for task in (safe, secret) for m, a in task.items()))


def test_a_target_of_iscsi_is_a_pool_of_disks(
    lab: Lab, platform: Story, play: Play, tiny: t.Callable[[str, int], dict[str, t.Any]]
) -> None:
    """Both ways: one that anybody may use, and one that asks for a login, which only the pool can give."""
    platform.on("hv1", f"set -e; {TARGETS}")
    address = lab.address(host("hv1"))

    def pool(name: str, **login: str) -> dict[str, t.Any]:
        source = {"hosts": [address], "devices": [f"{IQN}:{name}"], "initiator": f"{IQN}:hv1", **login}
        return {"name": name, "type": "iscsi-direct", "state": "active", "source": source}

    def machine(pool: str) -> dict[str, t.Any]:
        uuid = "00000000-0000-4000-8000-000000000013"
        return {**tiny("remote1", 122), "uuid": uuid, "disks": [{"pool": pool, "vol": "unit:0:0:1"}]}

    steps = (
        {SECRET: {"uuid": LOGIN, "usage_type": "iscsi", "usage": "closed", "value": PASSPHRASE}},
        {POOL: pool("open")},
        {POOL: pool("open")},
        {POOL: pool("closed", username="hv1", credential=LOGIN)},
        {POOL: pool("closed", username="hv1", credential=LOGIN)},
        {VOLUME_INFO: {"pool": "closed"}},
        {VM: {**machine("open"), "state": "running"}},
        {VM: {**machine("open"), "state": "running"}},
        {VM: machine("closed")},
        {VM: {"name": "remote1", "state": "absent", "force": True}},
        *({POOL: {"name": name, "state": "absent"}} for name in ("open", "closed")),
        {SECRET: {"uuid": LOGIN, "state": "absent"}},
    )
    for via in ("libvirt", "xmpp"):
        # The agent finds libvirtd again within seconds.
        first = {**steps[0], "until": "result_0 is succeeded", "retries": 15, "delay": 2}
        results = play(via, first, *steps[1:])
        assert [result["failed"] for result in results] == [False] * 8 + [True] + [False] * 4, [
            result["msg"] for result in results if result["failed"]
        ]
        assert [result["changed"] for result in results] == (
            [True, True, False, True, False, False, True, False, False] + [True] * 4
        )
        told = {volume["name"]: volume["path"] for volume in results[5]["volumes"]}
        assert told["unit:0:0:1"].endswith(f"{IQN}:closed-lun-1")
        assert results[6]["vm"]["disks"][0]["path"] == f"iscsi://{address}:3260/{IQN}:open/1"
        assert "asks for a login, which a disk cannot give" in results[8]["msg"]
    platform.on("hv1", "systemctl disable --now --quiet tgt")


def test_an_upload_that_libvirtd_does_not_survive_says_what_is_left(
    platform: Story, play: Play, image: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it was fetched when libvirtd restarts; what is left is told, and taken away when it is asked."""
    monkeypatch.setattr(Site, "halfway", staticmethod(lambda: platform.on("hv1", "systemctl restart libvirtd")))
    task = {"pool": "storage", "name": "torn.raw"}
    torn, told, gone = play(
        "xmpp", {VOLUME: {**task, "content": image}},
        # The agent finds libvirtd again within seconds.
        {VOLUME_INFO: {"name": "torn.raw"}, "until": "result_1 is succeeded", "retries": 15, "delay": 2},
        {VOLUME: {**task, "state": "absent"}},
    )  # fmt: skip
    assert torn["failed"]
    assert not torn["changed"]
    assert "The volume storage/torn.raw is there half-made" in torn["msg"]
    assert [volume["name"] for volume in told["volumes"]] == ["torn.raw"], told
    assert gone["changed"], gone
