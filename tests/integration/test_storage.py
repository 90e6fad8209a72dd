# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools, volumes and secrets: both ways on the test driver, by libvirt on its own drivers of storage and secrets."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import pathlib
import threading
import typing as t

import pytest
from playbook import assert_cycle, cycle
from test_examples import examples

POOL = "archipel.orchestrator.pool"
POOL_INFO = "archipel.orchestrator.pool_info"
VOLUME = "archipel.orchestrator.volume"
VOLUME_INFO = "archipel.orchestrator.volume_info"
SECRET = "archipel.orchestrator.secret"
VM = "archipel.orchestrator.vm"
UUID = "5b1f5f7e-1c2d-4e3f-8a9b-0c1d2e3f4a5b"
VALUE = "correct horse battery staple"

CREATE = {
    POOL: {"name": "iso", "uuid": UUID, "state": "active", "autostart": True, "build": True, "target": "/srv/iso"}
}
CHANGE = {POOL: {"name": "iso", "state": "inactive", "autostart": False, "permissions": {"mode": "0711"}}}
DELETE = {POOL: {"uuid": UUID, "state": "absent"}}


@pytest.fixture
def on_its_own_driver(platform: t.Any, over: t.Callable[[str], t.Any]) -> t.Callable[..., list[dict[str, t.Any]]]:
    """Tasks by libvirt, on one of its drivers that belong to no hypervisor."""

    def play(driver: str, *tasks: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        uri = f"{driver}+unix:///session?socket={platform.libvirtd.socket}"
        return t.cast(
            "list[dict[str, t.Any]]", over("libvirt").play(*tasks, defaults={"uri": uri, "hypervisor": "hv1"})
        )

    return play


@pytest.fixture
def images(
    platform: t.Any, on_its_own_driver: t.Callable[..., list[dict[str, t.Any]]]
) -> t.Iterator[dict[str, pathlib.Path]]:
    """Pools of real storage: default and iso, as the examples have them."""
    directories = {name: platform.libvirtd.directory / name for name in ("default", "iso")}
    pools = [{"name": name, "target": str(where)} for name, where in directories.items()]
    on_its_own_driver("storage", *({POOL: {**pool, "state": "active", "build": True}} for pool in pools))
    yield directories
    gone = on_its_own_driver(
        "storage", *({POOL: {"name": name, "state": "absent", "remove_contents": True}} for name in directories)
    )
    assert all(result["changed"] for result in gone), gone


def test_a_pool_comes_changes_and_goes_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """Check mode tells what the run does, a second run does nothing, and the ways differ in nothing."""
    steps = [*cycle(CREATE, CHANGE, DELETE), CREATE, {POOL_INFO: {"name": "i*"}}, DELETE]
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    assert_cycle(by_libvirt[:12])
    assert_cycle(over_xmpp[:12])
    assert over_xmpp == by_libvirt
    (told,) = by_libvirt[13]["pools"]
    assert (told["state"], told["autostart"], told["target"]) == ("running", True, "/srv/iso")


def test_a_volume_comes_and_goes_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """The nearest peer's volumes with unit='MiB' fail."""
    pool = {"name": "disks", "state": "active", "target": "/srv/disks"}
    create = {VOLUME: {"pool": "disks", "name": "a.qcow2", "size": "512MiB"}}
    linked = {VOLUME: {"pool": "disks", "name": "b.qcow2", "backing": {"vol": "a.qcow2"}}}
    delete = {VOLUME: {"pool": "disks", "name": "b.qcow2", "state": "absent"}}
    steps = [
        {POOL: pool},
        *cycle(create, linked, delete),
        {VOLUME_INFO: {"pool": "disks"}},
        {POOL: {"name": "disks", "state": "absent", "remove_contents": True}},
    ]
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    assert_cycle(by_libvirt[1:13])
    assert_cycle(over_xmpp[1:13])
    for pool_result in (by_libvirt[0], over_xmpp[0]):
        del pool_result["pool"]["uuid"]
    assert [result.get("pool", {}).pop("uuid", None) for result in (by_libvirt[-1], over_xmpp[-1])]
    assert over_xmpp == by_libvirt
    assert [volume["capacity"] for volume in by_libvirt[13]["volumes"]] == [512 << 20]


def test_a_play_passes_check_mode_from_nothing(ansible: t.Any) -> None:
    """A pool, a volume and a copy of it, none of which is there yet."""
    steps = (
        CREATE,
        {VOLUME: {"pool": "iso", "name": "a.qcow2", "size": 1}},
        {VOLUME: {"pool": "iso", "name": "b.qcow2", "source": {"vol": "a.qcow2"}}},
        {VOLUME: {"pool": "iso", "name": "c.qcow2", "backing": {"vol": "a.qcow2"}, "size": 2}},
        {POOL: {"name": "iso", "state": "active"}},
    )
    results = ansible.play(*({**step, "check_mode": True} for step in steps))
    assert [(result["failed"], result["changed"]) for result in results] == [(False, True)] * 5, results
    (told,) = ansible.play({POOL_INFO: {"name": "iso"}})
    assert told["pools"] == []


REFUSED = (
    ({POOL: {"name": "x", "tagret": "/x"}}, "tagret"),
    ({POOL: {"target": "/x"}}, "name"),
    ({POOL: {"name": "x", "type": "netfs", "target": "/x"}}, "source.hosts"),
    ({POOL: {"name": "nobody", "state": "active"}}, "nobody"),
    ({VOLUME: {"pool": "default-pool", "name": "x", "size": "much"}}, "much"),
    ({VOLUME: {"pool": "default-pool", "name": "../x", "size": 1}}, "../x"),
    ({VOLUME: {"pool": "default-pool", "name": "x", "content": {"url": "file:///etc/passwd"}}}, "file:///etc/passwd"),
    ({SECRET: {"usage": "x", "value": VALUE}}, "usage_type"),
    ({SECRET: {"usage_type": "ceph", "usage": "x", "value": VALUE}}, "not supported by the connection driver"),
)


def test_bad_input_is_refused_in_the_same_words_both_ways(over: t.Callable[[str], t.Any]) -> None:
    tasks = [task for task, _complaint in REFUSED]
    by_libvirt, over_xmpp = over("libvirt").play(*tasks), over("xmpp").play(*tasks)
    for (task, complaint), here, there in zip(REFUSED, by_libvirt, over_xmpp, strict=True):
        assert here["failed"], task
        assert not here["changed"]
        assert complaint in here["msg"]
        assert (there["failed"], there["msg"]) == (True, here["msg"])
    assert VALUE not in str(by_libvirt + over_xmpp)


def test_files_of_a_hypervisor_are_nobodys_business_over_xmpp(over: t.Callable[[str], t.Any]) -> None:
    """Its agent allows no directory unless its configuration does."""
    upload = {VOLUME: {"pool": "default-pool", "name": "x", "content": {"path": "/etc/passwd"}}}
    download = {VOLUME: {"pool": "default-pool", "name": "y", "size": 1, "download": "/tmp/y"}}
    for result in over("xmpp").play(upload, download, {**upload, "check_mode": True}):
        assert result["failed"]
        assert "this agent reads and writes files nowhere" in result["msg"]
    (info,) = over("xmpp").play({VOLUME_INFO: {}})
    assert info["volumes"] == []


def test_a_volume_comes_grows_and_goes_on_real_storage(
    images: dict[str, pathlib.Path], on_its_own_driver: t.Callable[..., list[dict[str, t.Any]]]
) -> None:
    create = {VOLUME: {"pool": "default", "name": "a.qcow2", "size": "512MiB"}}
    change = {VOLUME: {"pool": "default", "name": "a.qcow2", "size": 1, "download": f"{images['iso']}/copy"}}
    delete = {VOLUME: {"pool": "default", "name": "a.qcow2", "state": "absent", "wipe": True}}
    assert_cycle(on_its_own_driver("storage", *cycle(create, change, delete)))


def test_a_secret_comes_changes_and_goes_and_its_value_is_never_told(
    over: t.Callable[[str], t.Any], platform: t.Any, on_its_own_driver: t.Callable[..., list[dict[str, t.Any]]]
) -> None:
    ceph = {"usage_type": "ceph", "usage": "client.hv1"}
    create = {SECRET: {**ceph, "uuid": UUID, "value": VALUE}}
    change = {SECRET: {**ceph, "description": "for Ceph", "value": f"{VALUE}!"}}
    results = on_its_own_driver("secret", *cycle(create, change, {SECRET: {**ceph, "state": "absent"}}))
    assert_cycle(results)
    assert [change["path"] for change in results[5]["changes"]] == ["description", "value"]
    assert VALUE not in str(results)
    ansible = over("libvirt")
    said = ansible.run(
        [{"hosts": "hv1", "gather_facts": False, "tasks": [{SECRET: {**create[SECRET], "uri": "test:///default"}}]}],
        "-vvv",
        "--diff",
    )
    assert "not supported by the connection driver" in said
    # ansible-playbook may tell the task's own lines, where people write a variable.
    assert VALUE not in said.replace(f'"value": "{VALUE}"', "")
    over("xmpp").play(create)
    for file in platform.directory.glob("**/agent*"):
        assert VALUE.encode() not in (file.read_bytes() if file.is_file() else b"")


# The examples of volume and secret, where the rest of their world is


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: t.Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def world(tmp_path: pathlib.Path) -> t.Iterator[dict[str, str]]:
    """What examples name, and what there is instead: an image in the web, a file to read and one to write."""
    (tmp_path / "downloads").mkdir()
    (tmp_path / "backup").mkdir()
    (tmp_path / "downloads/rescue.iso").write_bytes(os.urandom(4096))
    image = os.urandom(65536)
    (tmp_path / "debian-13.qcow2").write_bytes(image)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True).start()
    yield {
        "https://images.example.org": f"http://127.0.0.1:{server.server_port}",
        hashlib.sha256(b"").hexdigest(): hashlib.sha256(image).hexdigest(),
        "/srv/downloads": f"{tmp_path}/downloads",
        "/srv/backup": f"{tmp_path}/backup",
    }
    server.shutdown()
    server.server_close()


def instead(value: t.Any, world: t.Mapping[str, str]) -> t.Any:
    if isinstance(value, dict):
        return {key: instead(item, world) for key, item in value.items()}
    for old, new in world.items():
        value = value.replace(old, new) if isinstance(value, str) else value
    return value


@pytest.mark.usefixtures("images")
def test_documented_examples_of_volumes_run(
    world: dict[str, str], on_its_own_driver: t.Callable[..., list[dict[str, t.Any]]]
) -> None:
    tasks = [instead(task, world) for task in examples("volume", "example.org")]
    for task, result in zip(tasks, on_its_own_driver("storage", *tasks), strict=True):
        assert (result["failed"], result["changed"]) == (False, True), (task["name"], result["msg"])


def test_documented_examples_of_secrets_run(on_its_own_driver: t.Callable[..., list[dict[str, t.Any]]]) -> None:
    values = {"ceph_key": "AQAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAA==", "safe_passphrase": VALUE}
    tasks = [{**task, "vars": values} for task in examples("secret", "example.org")]
    tasks.append({SECRET: {"uuid": "7a91dc24-b072-43c4-98fb-4b2415322b0f", "state": "absent"}})
    for result in on_its_own_driver("secret", *tasks):
        assert (result["failed"], result["changed"]) == (False, True), result
