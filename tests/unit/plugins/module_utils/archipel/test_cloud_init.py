# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloud-init's seed in a plan. libvirt's test driver cannot write into volumes, so seeds are made on real hosts."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from archipel import cloud_init, definition, xmltree
from archipel.actions import HIDDEN
from archipel.errors import ArchipelError, InvalidDefinition
from archipel.hypervisor import Hypervisor

Run = t.Callable[..., dict[str, t.Any]]
WEB: dict[str, t.Any] = {
    "name": "web1",
    "memory": 64,
    "disks": [{"pool": "default", "size": 1}],
    "cloud_init": {"user_data": "#cloud-config\npassword: letmein\n"},
}


def seed(**wanted: str) -> cloud_init.Seed:
    return cloud_init.seed("web1", definition.Definition.bind({"cloud_init": wanted}, "").values["cloud_init"])


def test_the_plan_tells_of_the_seed_and_not_what_is_in_it(vm: Run) -> None:
    """It is a volume beside the first disk, named by what it says."""
    planned = vm(check=True, **WEB)
    name = seed(**WEB["cloud_init"]).name
    made = [change for change in planned["changes"] if change["path"] == f"volumes[default/{name}]"]
    assert [change["new"] for change in made] == [{"format": "iso"}]
    assert {"path": "cloud_init", "old": None, "new": {"user_data": HIDDEN}, "scope": "config"} in planned["changes"]
    assert "letmein" not in str(planned)


def test_what_says_something_else_is_another_seed() -> None:
    """And what says the same is the same."""
    one = seed(user_data="a")
    assert seed(user_data="a") == one
    assert len({one.name, seed(user_data="b").name, seed(user_data="a", network_config="c").name}) == 3
    assert cloud_init.seed("web2", {"user_data": "a"}).content != one.content


def test_the_machines_name_is_told_unless_meta_data_say_otherwise() -> None:
    assert b"instance-id: web1\nlocal-hostname: web1\n" in seed().content
    assert b"instance-id" not in seed(meta_data="local-hostname: other\n").content


def test_nothing_is_left_of_a_seed_that_cannot_be_written(vm: Run, hypervisor: Hypervisor) -> None:
    """As here, where the driver has no way to; neither volume stays."""
    pool = hypervisor.connection.handle.storagePoolLookupByName("default")
    before = pool.listVolumes()
    with pytest.raises(ArchipelError, match="Upload a cloud-init seed") as raised:
        vm(**WEB)
    assert raised.value.changes == []
    assert pool.listVolumes() == before


def test_the_pool_is_that_of_the_first_disk_that_is_in_one(vm: Run) -> None:
    """Named, by the disk's path, or not at all."""
    by_path = [{"path": "/elsewhere.img"}, {"path": "/var/lib/libvirt/images/web1.qcow2"}]
    vm(name="other", memory=16, disks=[{"pool": "default", "vol": "web1.qcow2", "size": 1}])
    planned = vm(check=True, **{**WEB, "disks": by_path})
    assert any(change["path"].startswith("volumes[default/web1-seed-") for change in planned["changes"])
    with pytest.raises(InvalidDefinition, match="cloud_init.pool: name the pool"):
        vm(check=True, **{**WEB, "disks": by_path[:1]})


def test_a_seed_that_says_something_else_goes_into_the_same_drive(data: pathlib.Path) -> None:
    """An empty drive, or one with another medium, is left alone."""
    node = xmltree.parse_trusted((data / "defined.xml").read_text())
    assert cloud_init.disk(node, "/p/web1-seed-000000000000.iso") == {
        "device": "cdrom",
        "path": "/p/web1-seed-000000000000.iso",
    }
    definition.apply(node, {"disks": [cloud_init.disk(node, "/p/web1-seed-000000000000.iso")]})
    assert definition.read(node)["cloud_init"] == {"path": "/p/web1-seed-000000000000.iso"}
    differences = definition.apply(node, {"disks": [cloud_init.disk(node, "/p/web1-seed-111111111111.iso")]})
    assert [change.path for change in differences] == ["disks[sdb].path"]
