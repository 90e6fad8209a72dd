# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import time
import typing as t

import libvirt
import pytest
from archipel import xmltree
from archipel.errors import Conflict, InvalidArgument, NotFound, Unsupported
from archipel.hypervisor import MACHINE_ACTIONS, Hypervisor
from archipel.snapshots import Tree, describe

Run = t.Callable[..., dict[str, t.Any]]
DAY = 86400


@pytest.fixture
def names(run: Run) -> t.Callable[..., list[str]]:
    """Names of a machine's snapshots, parents first."""
    return lambda name="running": [each["name"] for each in run("vm_snapshot_info", name=name)["snapshots"]]


@pytest.fixture
def take(run: Run) -> Run:
    return lambda snapshot, name="running", **more: run("vm_snapshot", name=name, snapshot=snapshot, **more)


@pytest.fixture
def aged(hypervisor: Hypervisor, take: Run) -> t.Callable[[str, int], None]:
    """A snapshot of so many days ago."""

    def aged(snapshot: str, days: int) -> None:
        take(snapshot)
        domain = hypervisor.machine("running").domain
        text = domain.snapshotLookupByName(snapshot).getXMLDesc()
        text = re.sub("(?<=<creationTime>)[0-9]+", str(int(time.time()) - days * DAY), text)
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
        domain.snapshotCreateXML(text, flags)

    return aged


def test_a_snapshot_is_taken_once(take: Run) -> None:
    """What check mode tells is what is done, and the second time nothing is."""
    told, done, again = (take("before", description="All is well", check=check) for check in (True, False, False))
    assert told["changes"] == done["changes"] == [
        {
            "path": "snapshots[before]", "old": None, "scope": "live",
            "new": {"kind": "internal", "memory": True, "description": "All is well"},
        }
    ]  # fmt: skip
    assert told["diff"] == done["diff"]
    assert (told["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert done["snapshot"] == again["snapshot"]
    assert told["snapshot"].keys() == done["snapshot"].keys()
    assert told["snapshot"]["time"] is None


def test_a_snapshot_is_told_whole(take: Run) -> None:
    """Its time as the field writes times; what it has of the machine; where it stands among the others."""
    take("first")
    told = take("second", description=" Two ")["snapshot"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told.pop("time"))
    assert told == {
        "vm": "running", "uuid": "aaaaaaaa-0000-4000-8000-000000000001", "name": "second", "description": "Two",
        "parent": "first", "children": [], "current": True, "state": "running", "memory": True, "kind": "internal",
        "memory_path": None, "disks": [],
    }  # fmt: skip


def test_one_of_a_machine_that_is_off_has_no_memory(take: Run) -> None:
    """And asking for it is a conflict, before anything is done."""
    with pytest.raises(Conflict, match="has no memory"):
        take("before", "off", memory=True)
    told = take("before", "off")["snapshot"]
    assert (told["state"], told["memory"]) == ("shutoff", False)


def test_a_description_can_be_changed(take: Run, names: t.Callable[..., list[str]]) -> None:
    """Of any snapshot; what the machine goes on from stays what it was."""
    take("first", description="One")
    take("second")
    told, done, again = (take("first", description="Uno", check=check) for check in (True, False, False))
    assert told["changes"] == done["changes"]
    assert done["changes"][0] == {
        "path": "snapshots[first].description", "old": "One", "new": "Uno", "scope": "config",
    }  # fmt: skip
    assert not again["changed"]
    assert (again["snapshot"]["description"], again["snapshot"]["current"]) == ("Uno", False)
    assert names() == ["first", "second"]


@pytest.mark.parametrize(("asked", "complaint"), [({"memory": False}, "memory True"), ({"kind": "external"}, "kind")])
def test_one_that_is_there_and_is_another_is_a_conflict(take: Run, asked: dict[str, t.Any], complaint: str) -> None:
    """A snapshot cannot be made into what it is not."""
    take("before")
    with pytest.raises(Conflict, match=complaint):
        take("before", **asked)


def test_its_name_may_have_the_time_in_it(take: Run) -> None:
    """The same all year, so the second run of the year takes none."""
    years = {time.gmtime().tm_year}
    done = take("yearly-%Y")
    assert done["snapshot"]["name"] in {f"yearly-{year}" for year in years | {time.gmtime().tm_year}}
    assert done["changed"]
    assert not take(done["snapshot"]["name"])["changed"]


@pytest.mark.parametrize("name", ["", "a/b", ".a", "-a", " a", "a\nb", "x" * 101])
def test_what_cannot_be_a_name_is_refused(take: Run, name: str) -> None:
    """It becomes a part of file names."""
    with pytest.raises(InvalidArgument, match="cannot be a snapshot's name"):
        take(name)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"state": "absent", "memory": True}, "memory goes with state present"),
        ({"state": "reverted", "keep": 1}, "keep goes with state present or absent"),
        ({"children": "remove"}, "children goes with state absent"),
        ({"then": "paused"}, "then goes with state reverted"),
        ({"keep": 1}, "among"),
        ({"among": "*"}, "among"),
        ({"keep": -1, "among": "*"}, "too small"),
        ({"quiesce": True, "memory": True}, "quiesce"),
    ],
)
def test_what_has_no_meaning_together_is_refused(take: Run, asked: dict[str, t.Any], complaint: str) -> None:
    """Instead of being ignored."""
    with pytest.raises(InvalidArgument, match=complaint):
        take("before", **asked)


def test_without_memory_libvirt_takes_external_ones_of_what_runs(take: Run) -> None:
    """It is said before it is tried."""
    with pytest.raises(Conflict, match="kind: external"):
        take("before", memory=False)


def test_they_are_told_as_a_tree(take: Run, run: Run) -> None:
    """Going back and taking another makes a branch."""
    for name in ("a", "b", "c"):
        take(name)
    take("a", state="reverted")
    take("d")
    told = run("vm_snapshot_info", name="running")
    assert [(s["name"], s["parent"], s["children"], s["current"]) for s in told["snapshots"]] == [
        ("a", None, ["b", "d"], False),
        ("b", "a", ["c"], False),
        ("c", "b", [], False),
        ("d", "a", [], True),
    ]
    spoken = MACHINE_ACTIONS["snapshots"].sentence(told).split("\n")
    assert [line.split(":")[0] for line in spoken] == ["a", "  b", "    c", "  d"]
    assert spoken[3].endswith("(I go on from here)")


def test_a_long_line_of_them_is_a_tree_too(hypervisor: Hypervisor, run: Run) -> None:
    """However many there are, none asks too much of Python's stack."""
    domain = hypervisor.machine("off").domain
    for number in range(1200):
        domain.snapshotCreateXML(f"<domainsnapshot><name>s{number:04}</name></domainsnapshot>")
    told = run("vm_snapshot_info", name="off")
    assert [each["name"] for each in told["snapshots"]] == [f"s{number:04}" for number in range(1200)]
    assert Tree(hypervisor.machine("off")).descendants("s0000")[0] == "s1199"


def test_machines_and_snapshots_are_chosen_by_patterns(take: Run, run: Run) -> None:
    """Of all machines, of one, or of those that fit; a machine that is not there has none."""
    take("nightly-1")
    take("nightly-1", "off")
    take("other", "off")

    def chosen(**asked: t.Any) -> list[tuple[str, str]]:
        return [(each["vm"], each["name"]) for each in run("vm_snapshot_info", **asked)["snapshots"]]

    assert chosen() == [("off", "nightly-1"), ("off", "other"), ("running", "nightly-1")]
    assert chosen(snapshot="nightly-*") == [("off", "nightly-1"), ("running", "nightly-1")]
    assert chosen(name="o*", snapshot="other") == [("off", "other")]
    assert chosen(uuid="aaaaaaaa-0000-4000-8000-000000000001") == [("running", "nightly-1")]
    assert chosen(name="nobody") == []


@pytest.mark.parametrize(("children", "left"), [("promote", ["a", "c", "d"]), ("remove", ["a"]), ("only", ["a", "b"])])
def test_what_goes_back_to_one_that_is_removed(
    take: Run, names: t.Callable[..., list[str]], children: str, left: list[str]
) -> None:
    """It is kept, removed too, or removed alone."""
    for name in ("a", "b", "c", "d"):
        take(name)
    asked: dict[str, t.Any] = {"state": "absent", "children": children}
    told, done, again = (take("b", check=check, **asked) for check in (True, False, False))
    assert told["changes"] == done["changes"]
    assert not again["changed"]
    assert names() == left


def test_a_pattern_removes_all_that_it_fits(take: Run, names: t.Callable[..., list[str]]) -> None:
    """And a name with signs of a pattern means itself."""
    for name in ("nightly-1", "other", "nightly-2", "nightly-[x]"):
        take(name)
    assert len(take("nightly-[x]", state="absent")["changes"]) == 1
    assert len(take("nightly-*", state="absent")["changes"]) == 2
    assert names() == ["other"]


def test_the_newest_are_kept(take: Run, names: t.Callable[..., list[str]]) -> None:
    """The one that is taken counts; what is not among them is not touched; the removed ones are told beforehand."""
    for name in ("other", "n-1", "n-2", "n-3"):
        take(name)
    told, done, again = (take("n-4", keep=2, among="n-*", check=check) for check in (True, False, False))
    assert [change["path"] for change in told["changes"]] == ["snapshots[n-4]", "snapshots[n-1]", "snapshots[n-2]"]
    assert [c["path"] for c in done["changes"]] == [c["path"] for c in told["changes"]]
    assert not again["changed"]
    assert names() == ["other", "n-3", "n-4"]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({"keep_days": 5}, ["today"]),
        ({"keep_days": 15}, ["ten", "today"]),
        ({"keep": 2}, ["ten", "today"]),
        ({"keep": 1, "keep_days": 25}, ["twenty", "ten", "today"]),
        ({"keep": 0}, []),
    ],
)
def test_they_are_kept_by_number_and_by_age(
    aged: t.Callable[[str, int], None],
    take: Run,
    names: t.Callable[..., list[str]],
    asked: dict[str, t.Any],
    left: list[str],
) -> None:
    """Whatever one of the two rules keeps, stays."""
    for name, days in (("thirty", 30), ("twenty", 20), ("ten", 10)):
        aged(name, days)
    take("today")
    take("*", state="absent", **asked)
    assert names() == left


@pytest.mark.parametrize(
    ("before", "then", "state"),
    [
        ("running", "as_it_was", "running"),
        ("running", "paused", "paused"),
        ("off", "as_it_was", "shutoff"),
        ("off", "running", "running"),
        ("paused", "as_it_was", "paused"),
    ],
)
def test_a_machine_goes_back(take: Run, run: Run, before: str, then: str, state: str) -> None:
    """To the state that it had, or to another one that was asked for; each time it is a change."""
    take("first", before)
    take("second", before)
    run("vm", name=before, state="destroyed")
    for _time in range(2):
        told, done = (take("first", before, state="reverted", then=then, check=check) for check in (True, False))
        assert told["changes"] == done["changes"]
        assert done["changed"]
        assert done["vm"]["state"] == state
        assert done["snapshot"]["current"]


def test_going_back_to_what_is_not_there_names_what_is(take: Run) -> None:
    take("before")
    with pytest.raises(NotFound, match="it has: before"):
        take("after", state="reverted")


@pytest.fixture
def mixed(hypervisor: Hypervisor, run: Run) -> None:
    """An internal snapshot and above it an external one, which the test driver knows only by being told of it."""
    disk = "<devices><disk type='file'><source file='/old'/><target dev='vda'/></disk></devices>"
    run(
        "vm",
        xml=f"<domain type='test'><name>mixed</name><memory>65536</memory><os><type>hvm</type></os>{disk}</domain>",
    )
    run("vm_snapshot", name="mixed", snapshot="inside")
    domain = hypervisor.machine("mixed").domain
    domain.snapshotCreateXML(
        "<domainsnapshot><name>outside</name><state>shutoff</state><creationTime>1</creationTime>"
        "<parent><name>inside</name></parent><disks><disk name='vda' snapshot='external' type='file'>"
        f"<source file='/new'/></disk></disks>{domain.XMLDesc()}</domainsnapshot>",
        libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE,
    )


@pytest.mark.usefixtures("mixed")
def test_external_ones_are_refused_where_libvirt_cannot_go_back(take: Run) -> None:
    """By what the host says of itself (externalSnapshot in its capabilities); the test driver says nothing."""
    with pytest.raises(Unsupported, match="external"):
        take("outside", "mixed", state="reverted")


@pytest.mark.usefixtures("mixed")
def test_images_do_not_change_under_others(take: Run) -> None:
    """Going back to what is inside of an image would, under the external one that lies on it."""
    with pytest.raises(Conflict, match="external snapshots outside lie on"):
        take("inside", "mixed", state="reverted")


@pytest.mark.usefixtures("mixed")
def test_the_two_kinds_are_not_mixed(take: Run) -> None:
    """libvirt would, and then remove neither."""
    with pytest.raises(Conflict, match="of the other kind, outside"):
        take("another", "mixed")
    with pytest.raises(Conflict, match="of the other kind, inside"):
        take("another", "mixed", kind="external")


@pytest.mark.parametrize(("state", "changed"), [("present", True), ("absent", False), ("reverted", True)])
def test_a_machine_that_is_not_there_yet(take: Run, state: str, changed: bool) -> None:
    """Check mode tells what would be done once it is there; without, it is not found."""
    told = take("before", "nobody", state=state, check=True)
    assert told["changed"] == changed
    assert "not there yet" in told["msg"]
    with pytest.raises(NotFound, match="nobody"):
        take("before", "nobody", state=state)


def test_what_fails_half_way_says_what_was_done(hypervisor: Hypervisor, take: Run, names: t.Any) -> None:
    """A snapshot that somebody else removes meanwhile: those before it are removed, and told."""
    from archipel import snapshots

    for name in ("a", "b", "c"):
        take(name)
    machine = hypervisor.machine("running")
    asked = snapshots.Asked("*", "absent", None, None, None, False, "promote", None, None, None, "as_it_was", False)
    work = snapshots._Work(machine, asked, lambda what: snapshots.domain_job(machine, 10, lambda *_told: None, what))
    work.plan_removal()
    machine.domain.snapshotLookupByName("b").delete(0)
    with pytest.raises(NotFound) as failure:
        work.plan.run()
    assert [change["path"] for change in failure.value.changes] == ["snapshots[c]"]
    assert names() == ["a"]


def test_real_snapshots_of_libvirt_are_described(data: t.Any) -> None:
    """What QEMU's driver writes of an external one: its memory and the images in which the machine goes on."""
    told = describe(xmltree.parse_trusted((data / "snapshot.xml").read_text()))
    assert told == {
        "name": "e3", "description": "", "parent": "e2", "state": "running", "memory": True, "kind": "external",
        "memory_path": "/var/lib/libvirt/images/w.e3.mem", "time": "2026-11-22T17:47:39Z",
        "disks": [
            {"target": "vda", "kind": "external", "path": "/var/lib/libvirt/images/w.e3", "format": "qcow2"},
            {"target": "sda", "kind": "no", "path": None, "format": None},
        ],
    }  # fmt: skip
