# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from archipel import xmltree
from archipel.errors import (
    Conflict,
    Forbidden,
    InvalidArgument,
    InvalidDefinition,
    NotFound,
    OperationFailed,
    Unsupported,
)
from archipel.pool import KINDS, PoolDefinition

Run = t.Callable[..., dict[str, t.Any]]
ISO = {"target": "/srv/iso"}


def paths(result: dict[str, t.Any]) -> list[str]:
    return [change["path"] for change in result["changes"]]


def test_a_pool_comes_changes_and_goes(run: Run) -> None:
    """Check mode tells what the run does, and a second run does nothing."""
    for asked in (
        {"state": "active", "autostart": True, "build": True, "definition": ISO},
        {"state": "inactive", "autostart": False, "definition": {"target": "/srv/other"}},
        {"state": "absent"},
    ):
        told = run("pool", name="iso", check=True, **asked)
        done = run("pool", name="iso", **asked)
        assert told["changed"]
        assert (told["changes"], told["diff"]) == (done["changes"], done["diff"])
        assert not run("pool", name="iso", check=True, **asked)["changed"]
        assert not run("pool", name="iso", **asked)["changed"]
    assert run("pool_info", name="iso")["pools"] == []


def test_autostart_counts_whatever_the_state(run: Run) -> None:
    """The nearest peer ignores autostart beside state=active."""
    assert run("pool", name="default", state="active", autostart=True)["pool"]["autostart"]
    assert not run("pool", name="default", state="inactive", autostart=False)["pool"]["autostart"]
    assert run("pool", name="default", autostart=True)["changed"]


def test_present_leaves_a_pool_active_or_inactive(run: Run) -> None:
    assert run("pool", name="default", state="present")["pool"]["active"]
    run("pool", name="default", state="inactive")
    assert not run("pool", name="default", state="present")["pool"]["active"]


def test_removing_an_inactive_pool_in_check_mode_removes_nothing(run: Run) -> None:
    """The nearest peer does it with networks."""
    run("pool", name="default", state="inactive")
    assert run("pool", name="default", state="absent", check=True)["changed"]
    assert [pool["name"] for pool in run("pool_info")["pools"]] == ["default"]


def test_a_pool_is_known_by_its_uuid_too(run: Run) -> None:
    uuid = run("pool_info", name="default")["pools"][0]["uuid"]
    assert [pool["name"] for pool in run("pool_info", uuid=uuid.upper())["pools"]] == ["default"]
    assert run("pool", uuid=uuid, state="inactive")["pool"]["name"] == "default"
    with pytest.raises(Conflict, match=f"has the UUID {uuid}"):
        run("pool", name="default", uuid="00000000-0000-4000-8000-000000000001")
    run("pool", name="iso", definition=ISO)
    with pytest.raises(Conflict, match=f"not {uuid}; give one of them"):
        run("pool", name="iso", uuid=uuid)
    with pytest.raises(Conflict, match="cannot be called nobody too"):
        run("pool", name="nobody", uuid=uuid)


def test_a_new_pool_gets_the_uuid_that_is_asked(run: Run) -> None:
    uuid = "00000000-0000-4000-8000-000000000001"
    assert run("pool", name="iso", uuid=uuid, definition=ISO)["pool"]["uuid"] == uuid


def test_what_is_not_named_is_not_compared(run: Run) -> None:
    run("pool", name="iso", definition={**ISO, "permissions": {"mode": "0711"}})
    assert not run("pool", name="iso", definition={"type": "dir"})["changed"]
    assert paths(run("pool", name="iso", definition={"permissions": {"mode": "755"}})) == ["permissions.mode"]


def test_a_pool_that_is_not_there_yet_passes_check_mode(run: Run) -> None:
    """An earlier task of the play would have made it."""
    told = run("pool", name="later", state="active", check=True)
    assert paths(told) == ["state", "state"]
    assert "not there yet" in told["msg"]
    with pytest.raises(NotFound, match="nothing says what it is to be made of"):
        run("pool", name="later", state="active")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({}, "name"),
        ({"name": "a/b"}, "a/b"),
        ({"name": "x", "definition": {"target": "relative"}}, "must be absolute"),
        ({"name": "x", "definition": {"tagret": "/x"}}, "Did you mean target"),
        ({"name": "x", "definition": {"type": "dri"}}, "dir"),
        ({"name": "x", "definition": {"type": "netfs", "target": "/x"}}, "needs source.hosts and source.dir"),
        ({"name": "x", "definition": {**ISO, "permissions": {"mode": "888"}}}, "'0750'"),
        ({"name": "x", "definition": {**ISO, "permissions": {"owner": -1}}}, "too small"),
        ({"name": "x", "definition": {**ISO, "source": {"username": "u"}}}, "go together"),
        (
            {"name": "x", "definition": {**ISO, "source": {"username": "u", "credential": "c"}}},
            "has no username and credential",
        ),
        ({"name": "x", "definition": {"type": "mpath"}, "build": True}, "leave build out"),
        ({"name": "x", "xml": "<pool type='dir'><name>y</name></pool>"}, "'y'"),
        ({"name": "x", "xml": "<pool/>", "definition": ISO}, "cannot be given beside it"),
        ({"name": "x", "remove_contents": True}, "absent"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, asked: dict[str, t.Any], complaint: str) -> None:
    with pytest.raises((InvalidArgument, InvalidDefinition, Unsupported), match=complaint):
        run("pool", **asked)
    assert [pool["name"] for pool in run("pool_info")["pools"]] == ["default"]


SOURCES: t.Final = {
    "hosts": ["mon1", "mon2:6789", "[fd00::1]:3260"],
    "dir": "/export",
    "name": "vg0",
    "devices": ["/dev/sdx"],
    "adapter": "scsi_host1",
    "format": "auto",
    "initiator": "iqn.2026-01.org.example:hv1",
    "username": "admin",
    "credential": "00000000-0000-4000-8000-000000000007",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_made_of_what_it_needs(run: Run, kind: str) -> None:
    """What was written is read again, and is no change."""
    needs = {need.rpartition(".")[2] for need in KINDS[kind].needs} - {"target"}
    source = {key: SOURCES[key] for key in sorted(needs)}
    if KINDS[kind].auth:
        source |= {key: SOURCES[key] for key in ("username", "credential")}
    asked = {"type": kind, **({"source": source} if source else {})}
    if "target" in KINDS[kind].needs and not KINDS[kind].target:
        asked["target"] = "/srv/x"
    run("pool", name="x", definition=asked)
    again = run("pool", name="x", definition=asked)
    assert not again["changed"]
    assert {key: again["pool"]["source"][key] for key in source} == source


def test_every_attribute_is_exercised() -> None:
    assert {attribute.key for attribute in PoolDefinition.groups["source"][0].attributes} == SOURCES.keys()


def test_hosts_have_ports_where_they_are_not_usual(run: Run) -> None:
    source = {"hosts": ["mon1", "mon2:6789", "[fd00::1]", "[fd00::2]:6789"], "name": "rbd"}
    pool = run("pool", name="ceph", definition={"type": "rbd", "source": source})["pool"]
    assert pool["source"]["hosts"] == ["mon1", "mon2:6789", "fd00::1", "[fd00::2]:6789"]
    assert not run("pool", name="ceph", definition={"source": source})["changed"]
    fewer = run("pool", name="ceph", definition={"source": {"hosts": ["mon1"]}})
    assert fewer["changes"][0]["new"] == ["mon1"]


XML = "<pool type='dir'><name>iso</name><target><path>{}</path></target></pool>"


def test_a_pool_made_from_xml_is_the_same_at_the_second_run(run: Run) -> None:
    assert run("pool", xml=XML.format("/srv/iso"))["changed"]
    assert not run("pool", xml=XML.format("/srv/iso"))["changed"]
    changed = run("pool", xml=XML.format("/srv/other"))
    assert (paths(changed), changed["pool"]["target"]) == (["target/path"], "/srv/other")


def test_a_list_in_xml_is_compared_as_a_whole(run: Run) -> None:
    xml = "<pool type='rbd'><name>c</name><source>{}<name>rbd</name></source></pool>"
    both, one = (xml.format("".join(f"<host name='{host}'/>" for host in hosts)) for hosts in (("a", "b"), ("a",)))
    run("pool", xml=both)
    assert not run("pool", xml=both)["changed"]
    assert paths(run("pool", xml=one)) == ["source/host"]
    assert run("pool_info", name="c")["pools"][0]["source"]["hosts"] == ["a"]


def test_devices_that_stay_keep_what_is_known_of_them() -> None:
    node = xmltree.parse_trusted("<pool><source><device path='/dev/sda' part_separator='no'/></source></pool>")
    PoolDefinition({"source": {"devices": ["/dev/sdb", "/dev/sda"]}}).write(node)
    assert [dict(device.attrib) for device in node.iter("device")] == [
        {"path": "/dev/sdb"},
        {"path": "/dev/sda", "part_separator": "no"},
    ]


def test_pools_are_told_in_numbers(run: Run) -> None:
    (told,) = run("pool_info", name="def*")["pools"]
    assert (told["capacity"], told["state"], told["volume_count"]) == (107374182400, "running", 0)
    run("pool", name="default", state="inactive")
    (told,) = run("pool_info")["pools"]
    assert (told["capacity"], told["state"], told["volume_count"]) == (None, "inactive", None)


# On libvirt's own storage driver


def test_a_pool_is_built_and_filled_with_what_others_put_there(store: t.Any) -> None:
    """What others make is seen after a refresh, which is no change."""
    (store.directory / "foreign.img").write_bytes(bytes(4096))
    assert store.run("volume_info")["volumes"] == []
    assert not store.run("pool", name=store.pool, refresh=True)["changed"]
    assert [volume["name"] for volume in store.run("volume_info")["volumes"]] == ["foreign.img"]
    assert store.run("pool_info")["pools"][0]["permissions"]["mode"] == "0755"


def test_a_pool_that_cannot_start_says_what_was_done(store: t.Any) -> None:
    """Its definition stays, since it was asked for too."""
    with pytest.raises(OperationFailed, match="No such file or directory") as failure:
        store.run("pool", name="nowhere", state="active", definition={"target": str(store.directory / "nowhere")})
    assert [change["path"] for change in failure.value.changes] == ["state", "target"]
    assert not store.run("pool_info", name="nowhere")["pools"][0]["active"]


def test_a_pool_that_cannot_be_built_is_not_defined(store: t.Any) -> None:
    (store.directory / "file").touch()
    with pytest.raises((OperationFailed, Conflict, Forbidden)) as failure:
        store.run("pool", name="bad", build=True, definition={"target": str(store.directory / "file/below")})
    assert failure.value.changes == []
    assert store.run("pool_info", name="bad")["pools"] == []


def test_what_is_on_a_device_is_not_overwritten(store: t.Any) -> None:
    """The second time there is a file system."""
    store.volume("device", size="8MiB", format="raw")
    device = store.directory / "device"
    asked = {"name": "ext", "build": True, "definition": {
        "type": "fs", "target": str(store.directory / "mounted"),
        "source": {"devices": [str(device)], "format": "ext4"},
    }}  # fmt: skip
    assert paths(store.run("pool", **asked))[-1] == "built"
    written = device.read_bytes()
    assert b"\x53\xef" in written[1024:2048]  # the magic number of ext2 and its successors
    store.run("pool", name="ext", state="absent")
    with pytest.raises((Conflict, OperationFailed), match="Build the storage pool ext: .*ext4"):
        store.run("pool", **asked)
    assert device.read_bytes() == written
    assert store.run("pool_info", name="ext")["pools"] == []


def test_an_active_pool_takes_a_changed_definition_over_when_it_restarts(store: t.Any) -> None:
    other = store.directory / "other"
    other.mkdir(mode=0o777)
    asked = {"name": store.pool, "definition": {"target": str(other)}}
    told = store.run("pool", check=True, **asked)
    done = store.run("pool", **asked)
    assert told["changes"] == done["changes"]
    assert done["restart_required"]
    assert "target" in done["restart_reasons"][0]
    assert done["pool"]["target"] == str(store.directory)
    again = store.run("pool", **asked)
    assert not again["changed"]
    restarted = store.run("pool", name=store.pool, definition={"target": str(store.directory)}, apply="restart")
    assert [(change["old"], change["new"]) for change in restarted["changes"]][::2] == [
        ("active", "inactive"),
        ("inactive", "active"),
    ]
    assert not restarted["restart_required"]


def test_data_stay_when_a_pool_goes(store: t.Any) -> None:
    store.volume("kept.qcow2", size="1MiB")
    store.run("pool", name=store.pool, state="absent")
    assert (store.directory / "kept.qcow2").exists()


def test_a_pool_goes_with_its_contents_where_that_is_asked(store: t.Any) -> None:
    store.volume("a.qcow2", size="1MiB")
    store.volume("b.img", size="1MiB", format="raw")
    told = store.run("pool", name=store.pool, state="absent", remove_contents=True, check=True)
    assert (store.directory / "a.qcow2").exists()
    done = store.run("pool", name=store.pool, state="absent", remove_contents=True)
    assert told["changes"] == done["changes"]
    assert paths(done) == ["volumes[images/a.qcow2]", "volumes[images/b.img]", "state", "target", "state"]
    assert not store.directory.exists()
    assert not store.run("pool", name=store.pool, state="absent", remove_contents=True)["changed"]


def test_contents_that_nobody_can_see_are_not_removed(store: t.Any) -> None:
    store.run("pool", name=store.pool, state="inactive")
    with pytest.raises(Conflict, match="is not active"):
        store.run("pool", name=store.pool, state="absent", remove_contents=True)


def test_contents_that_a_machine_needs_are_not_removed(run: Run, vm: Run) -> None:
    run("volume", pool="default", name="web1.qcow2", definition={"size": 1})
    vm(name="web1", memory=64, disks=[{"pool": "default", "vol": "web1.qcow2"}])
    with pytest.raises(Conflict, match="used by web1; nothing was deleted"):
        run("pool", name="default", state="absent", remove_contents=True)
    assert run("pool_info", name="default")["pools"][0]["volume_count"] == 1


def test_what_is_left_of_a_failed_removal_is_told(store: t.Any) -> None:
    """libvirt deletes a directory only when it is empty."""
    store.volume("a.qcow2", size="1MiB")
    (store.directory / "sub").mkdir()
    (store.directory / "sub/file").touch()
    with pytest.raises(OperationFailed, match="Delete the volume sub of pool images") as failure:
        store.run("pool", name=store.pool, state="absent", remove_contents=True)
    assert [change["path"] for change in failure.value.changes] == ["volumes[images/a.qcow2]"]
    assert store.run("pool_info")["pools"][0]["active"]
