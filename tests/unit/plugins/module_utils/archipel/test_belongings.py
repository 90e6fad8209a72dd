# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes with a machine that is removed, and what stays whatever is asked."""

from __future__ import annotations

import typing as t

import pytest
from archipel import belongings, xmltree
from archipel.hypervisor import Hypervisor

Run = t.Callable[..., dict[str, t.Any]]
IMAGES = "/var/lib/libvirt/images"


@pytest.fixture
def pool(hypervisor: Hypervisor) -> t.Any:
    return hypervisor.connection.handle.storagePoolLookupByName("default")


@pytest.fixture
def volume(pool: t.Any) -> t.Callable[..., str]:
    """A volume that nobody made for a machine; its path."""

    def volume(name: str, base: str | None = None) -> str:
        backing = f"<backingStore><path>{base}</path><format type='qcow2'/></backingStore>" if base else ""
        made = pool.createXML(
            f"<volume><name>{name}</name><capacity>1048576</capacity><target><format type='qcow2'/></target>{backing}"
            "</volume>"
        )
        return str(made.path())

    return volume


@pytest.fixture
def remove(vm: Run) -> Run:
    """Remove web1, after check mode has told the same."""

    def remove(which: str, **more: t.Any) -> dict[str, t.Any]:
        asked = {"name": "web1", "state": "absent", "remove_volumes": which, **more}
        planned, done, again = vm(**asked, check=True), vm(**asked), vm(**asked)
        assert (planned["changes"], planned["volumes_kept"]) == (done["changes"], done["volumes_kept"])
        assert not again["changed"]
        return done

    return remove


def kept(result: dict[str, t.Any]) -> dict[str, str]:
    return {each["path"].rpartition("/")[2]: each["reason"] for each in result["volumes_kept"]}


def test_nothing_but_the_machine_goes_unless_it_is_asked_for(vm: Run, remove: Run, pool: t.Any) -> None:
    """Its volume is there for the next one of that name."""
    vm(name="web1", memory=16, disks=[{"pool": "default", "size": 1}])
    assert [change["path"] for change in remove("none")["changes"]] == ["state"]
    assert pool.listVolumes() == ["web1.qcow2"]


def test_owned_is_what_was_made_for_the_machine(
    vm: Run, remove: Run, pool: t.Any, volume: t.Callable[..., str]
) -> None:
    """At the start or later, and nothing that was there before it."""
    path = volume("theirs.qcow2")
    vm(name="web1", memory=16, disks=[{"pool": "default", "size": 1}, {"path": path}])
    vm(name="web1", disks=[{"pool": "default", "vol": "later.qcow2", "size": 2}])
    gone = remove("owned")
    assert [(c["path"], c["old"]) for c in gone["changes"][1:]] == [
        ("volumes[default/web1.qcow2]", {"size": 1}),
        ("volumes[default/later.qcow2]", {"size": 2}),
    ]
    assert kept(gone) == {"theirs.qcow2": "it was not made for this machine"}
    assert pool.listVolumes() == ["theirs.qcow2"]


def test_a_volume_whose_making_was_taken_back_is_nobodys(vm: Run, hypervisor: Hypervisor) -> None:
    """The note of it goes with it."""
    vm(name="web1", memory=16)
    with pytest.raises(Exception, match="Create volume"):
        vm(name="web1", disks=[{"pool": "default", "vol": v, "size": s} for v, s in (("a", 1), ("b", 1 << 33))])
    node = hypervisor.machine("web1").document(inactive=True)
    assert belongings.noted(node) == []


def test_what_is_not_the_machines_own_stays_whatever_is_asked(
    vm: Run, remove: Run, pool: t.Any, volume: t.Callable[..., str]
) -> None:
    """Media, shared and read-only volumes, backing files, another machine's, and what is in no pool."""
    names = ("own", "iso", "shared", "fixed", "base", "other")
    paths = {name: volume(name) for name in names}
    volume("clone", base=paths["base"])
    vm(
        name="web1",
        memory=16,
        disks=[
            {"path": paths["own"]},
            {"path": paths["iso"], "device": "cdrom", "bus": "ide"},
            {"path": paths["shared"], "shareable": True},
            {"path": paths["fixed"], "readonly": True},
            {"path": paths["base"]},
            {"path": paths["other"]},
            {"path": "/srv/outside.img"},
        ],
    )
    vm(name="off", disks=[{"path": paths["other"]}])
    gone = remove("all")
    assert [change["path"] for change in gone["changes"]] == ["state", "volumes[default/own]"]
    assert kept(gone) == {
        "iso": "it is a medium",
        "shared": "it is shared",
        "fixed": "it is read-only",
        "base": "default/clone is based on it",
        "other": "off uses it",
        "outside.img": "it is no volume of an active pool",
    }
    assert sorted(pool.listVolumes()) == ["base", "clone", "fixed", "iso", "other", "shared"]


def test_a_base_goes_with_all_that_is_based_on_it(
    vm: Run, remove: Run, pool: t.Any, volume: t.Callable[..., str]
) -> None:
    """What is on top goes first."""
    base = volume("base")
    top = volume("top", base=base)
    vm(name="web1", memory=16, disks=[{"path": base}, {"path": top}])
    assert [change["path"] for change in remove("all")["changes"]] == [
        "state",
        "volumes[default/top]",
        "volumes[default/base]",
    ]


def test_what_another_machines_disk_is_based_on_stays(
    vm: Run, remove: Run, pool: t.Any, volume: t.Callable[..., str]
) -> None:
    """Though it names only what is on top."""
    base = volume("base")
    vm(name="off", disks=[{"path": volume("top", base=base)}])
    vm(name="web1", memory=16, disks=[{"path": base}])
    assert kept(remove("all")) == {"base": "off uses it"}
    assert "base" in pool.listVolumes()


def test_the_install_iso_of_two_machines_survives_the_removal_of_one(
    vm: Run, remove: Run, pool: t.Any, volume: t.Callable[..., str]
) -> None:
    """community.libvirt's virt_install deletes it."""
    iso = {"path": volume("debian.iso"), "device": "cdrom", "bus": "ide"}
    for name in ("web1", "web2"):
        vm(name=name, memory=16, disks=[{"pool": "default", "size": 1}, iso], state="running")
    remove("all", force=True)
    assert sorted(pool.listVolumes()) == ["debian.iso", "web2.qcow2"]


def test_a_volume_that_is_gone_already_is_no_failure(vm: Run, remove: Run, pool: t.Any) -> None:
    """There is nothing left to delete."""
    vm(name="web1", memory=16, disks=[{"pool": "default", "size": 1}])
    pool.storageVolLookupByName("web1.qcow2").delete(0)
    gone = remove("owned")
    assert [change["path"] for change in gone["changes"]] == ["state"]


def test_notes_are_written_once_and_taken_back() -> None:
    """Beside what else our element says."""
    node = xmltree.parse_trusted("<domain><metadata/></domain>")
    for _time in range(2):
        belongings.note(node, "default", "a.qcow2")
    belongings.note(node, "default", "b.qcow2")
    assert belongings.noted(node) == [("default", "a.qcow2"), ("default", "b.qcow2")]
    belongings.note(node, "default", "a.qcow2", owned=False)
    assert belongings.noted(node) == [("default", "b.qcow2")]
