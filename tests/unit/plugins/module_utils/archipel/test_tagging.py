# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import libvirt
import pytest
from archipel import tags, xmltree
from archipel.connection import Connection
from archipel.errors import InvalidArgument, NotFound, Unsupported
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS, Hypervisor

Run = t.Callable[..., dict[str, t.Any]]
ELEMENT = f"<t:tags xmlns:t='{xmltree.TAGS_NAMESPACE}'><t:tag name='foreign'/></t:tags>"


@pytest.fixture
def told(run: Run) -> t.Callable[[str], list[str]]:
    """A machine's tags, as vm_info tells them."""
    return lambda name: run("vm_info", name=name)["vms"][0]["tags"]


@pytest.mark.parametrize(
    ("machine", "scope"), [("running", "live"), ("off", "config"), ("paused", "live"), ("transient", "live")]
)
def test_tags_are_added_removed_and_set(run: Run, told: t.Any, machine: str, scope: str) -> None:
    """Check mode tells what the run does, and a second run does nothing; on or off, with a configuration or without."""
    steps: list[tuple[dict[str, t.Any], list[str]]] = [
        ({"tags": ["web", "geneva"]}, ["geneva", "web"]),
        ({"tags": ["web", "db"], "tags_mode": "add"}, ["db", "geneva", "web"]),
        ({"tags": ["geneva", "nosuch"], "tags_mode": "remove"}, ["db", "web"]),
        ({"tags": ["web", "web", "x"], "tags_mode": "set"}, ["web", "x"]),
        ({"tags": [], "tags_mode": "set"}, []),
    ]
    before: list[str] = []
    for asked, after in steps:
        plan, done, again = (run("vm_tags", name=machine, **asked, check=check) for check in (True, False, False))
        assert plan["changes"] == done["changes"] == [{"path": "tags", "old": before, "new": after, "scope": scope}]
        assert (plan["changed"], done["changed"], again["changed"]) == (True, True, False)
        assert plan["vms"] == done["vms"] == again["vms"]
        assert told(machine) == done["vms"][0]["tags"] == after
        before = after


def test_several_machines_are_tagged_in_one_request(run: Run, told: t.Any) -> None:
    """By names and patterns, each answered for; where one is not there, none is tagged."""
    with pytest.raises(NotFound, match="no machine 'nobody' on hv1; nothing was tagged"):
        run("vm_tags", names=["off", "nobody"], tags=["web"])
    assert told("off") == []
    run("vm_tags", name="off", tags=["web"])
    done = run("vm_tags", names=["off", "run*", "*ved"], tags=["web"])
    assert [change["path"] for change in done["changes"]] == ["running.tags", "saved.tags"]
    assert [(vm["name"], vm["tags"]) for vm in done["vms"]] == [(n, ["web"]) for n in ("off", "running", "saved")]
    assert not run("vm_tags", names=["none*"], tags=["web"])["changed"]


def test_a_machine_that_is_yet_to_be_made_is_tagged_in_check_mode(run: Run) -> None:
    """So that a play that makes and tags it passes; without check mode it is not found."""
    plan = run("vm_tags", name="later", tags=["web"], check=True)
    assert plan["changes"] == [{"path": "tags", "old": [], "new": ["web"], "scope": "config"}]
    assert plan["vms"] == [{"name": "later", "uuid": None, "tags": ["web"]}]
    with pytest.raises(NotFound):
        run("vm_tags", name="later", tags=["web"])


@pytest.mark.parametrize("tag", ["", " web", "two words", "-x", "a/b", "é", "x" * 65, "web\n", "<tag/>", "*"])
def test_what_cannot_be_a_tag_is_refused(run: Run, told: t.Any, tag: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot be a tag; it has 1 to 64"):
        run("vm_tags", name="off", tags=["good", tag])
    assert told("off") == []


@pytest.mark.parametrize("asked", [{}, {"name": ""}, {"names": ["off"], "name": "off"}])
def test_somebody_has_to_be_named(run: Run, asked: dict[str, t.Any]) -> None:
    """A name that was forgotten tags neither all machines nor the hypervisor."""
    with pytest.raises(InvalidArgument, match="[Nn]ame"):
        run("vm_tags", tags=["web"], **asked)


def test_there_is_a_most_of_tags(run: Run, told: t.Any) -> None:
    many = [f"t{number:02}" for number in range(tags.MOST)]
    run("vm_tags", name="off", tags=many)
    with pytest.raises(InvalidArgument, match="65 are too many; at most 64"):
        run("vm_tags", name="off", tags=["more"])
    assert told("off") == many


def test_tagging_does_not_adopt_and_letting_go_does_not_untag(run: Run, told: t.Any) -> None:
    """A tag says nothing of whose business a machine is."""
    run("vm_tags", name="off", tags=["web"])
    assert not run("vm_info", name="off")["vms"][0]["managed"]
    run("vm_import", name="off")
    run("vm_import", name="off", state="absent")
    assert told("off") == ["web"]


# Nothing but vm_tags changes tags


def test_a_definition_neither_sets_nor_drops_tags(run: Run, vm: Run, hypervisor: Hypervisor, told: t.Any) -> None:
    """Given whole, with tags of its own or with none; nor do attributes and metadata."""
    run("vm_tags", name="off", tags=["web"])
    written = hypervisor.machine("off").document()
    for element in written.findall("metadata"):
        written.remove(element)
    for vcpus, metadata in ((5, ""), (6, f"<metadata>{ELEMENT}</metadata>")):
        xmltree.write(written, "vcpu", str(vcpus))
        xml = xmltree.serialise(written).replace("</domain>", f"{metadata}</domain>")
        done, again = run("vm", xml=xml), run("vm", xml=xml)
        assert [change["path"] for change in done["changes"]] == ["vcpu"]
        assert not again["changed"]
        assert told("off") == ["web"]
    vm(name="off", memory=96, metadata={"title": "Other", "location": "Here"})
    assert told("off") == ["web"]


def test_a_new_machine_begins_without_tags(run: Run, told: t.Any) -> None:
    """Though its definition brings some."""
    run("vm", xml=f"<domain type='test'><name>new</name><memory>65536</memory><os><type>hvm</type></os>"
                  f"<metadata>{ELEMENT}</metadata></domain>")  # fmt: skip
    assert told("new") == []


def test_a_clone_begins_without_tags(run: Run, told: t.Any) -> None:
    """It is another machine: those who may something to its source may nothing to it by that."""
    run("vm_tags", name="off", tags=["web"])
    run("vm_clone", name="off", clone="twin")
    assert told("twin") == []
    assert told("off") == ["web"]


def test_going_back_to_a_snapshot_keeps_the_tags(run: Run, told: t.Any) -> None:
    """A grant that a tag once gave does not come back with the disks."""
    run("vm_tags", name="running", tags=["old"])
    run("vm_snapshot", name="running", snapshot="before")
    run("vm_tags", name="running", tags=["new"], tags_mode="set")
    run("vm_snapshot", name="running", snapshot="before", state="reverted")
    assert told("running") == ["new"]


def test_tags_are_those_of_the_configuration(run: Run, hypervisor: Hypervisor, told: t.Any) -> None:
    """A machine that goes on from saved memory runs with the metadata of that time."""
    run("vm_tags", name="running", tags=["web"])
    hypervisor.machine("running").domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<tags><tag name='old'/></tags>", xmltree.TAGS_PREFIX,
        xmltree.TAGS_NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_LIVE,
    )  # fmt: skip
    assert told("running") == ["web"]


# Finding by tags


def test_machines_are_found_by_all_of_some_tags(run: Run) -> None:
    """Beside the other selectors, and in pages."""
    run("vm_tags", names=["off", "running", "paused"], tags=["web"])
    run("vm_tags", names=["off", "paused"], tags=["geneva"])

    def found(**asked: t.Any) -> set[str]:
        return {vm["name"] for vm in run("vm_info", **asked)["vms"]}

    assert found(tags=["web"]) == {"off", "running", "paused"}
    assert found(tags=["web", "geneva"]) == {"off", "paused"}
    assert found(tags=["web", "geneva"], state=["paused"]) == {"paused"}
    assert found(tags=["web", "Geneva"]) == found(tags=["nosuch"]) == set()
    assert found(tags=[]) == found()
    page = run("vm_info", tags=["web"], limit=2)
    rest = run("vm_info", tags=["web"], limit=2, after=page["next"])
    assert len(page["vms"]) == 2
    assert (len(rest["vms"]), rest["next"]) == (1, None)


def test_a_machine_tags_itself(hypervisor: Hypervisor, told: t.Any) -> None:
    """Its own contact has two verbs, which say which machine is meant."""
    for verb, after in (("tag", ["web"]), ("untag", [])):
        action = MACHINE_ACTIONS[verb]
        assert {argument.name for argument in action.arguments} == {"tags", "check"}
        assert action.function(hypervisor.machine("off"), **action.bind({"tags": "web"}, text=True))["changed"]
        assert told("off") == after


# The hypervisor's own


class Kept:
    """A hypervisor's label, as its agent keeps it."""

    site = "geneva"
    coordinates: t.ClassVar = {"latitude": 46.2, "longitude": 6.15}
    maintenance: t.ClassVar = {"since": "2026-01-01T00:00:00Z", "by": "admin@example.org"}
    tags: tags.Tags = ()

    def tag(self, tags: tags.Tags) -> None:
        self.tags = tags


def test_a_hypervisor_is_tagged_where_somebody_keeps_it(connection: Connection) -> None:
    """With the same convergence; it tells its site and its maintenance, too."""
    host = Hypervisor(connection, "hv1", label=Kept())
    action = ACTIONS["hypervisor_tags"]
    plan, done, again = (
        action.function(host, **action.bind({"tags": ["ssd"], "check": check})) for check in (True, False, False)
    )
    assert plan["changes"] == done["changes"] == [{"path": "tags", "old": [], "new": ["ssd"], "scope": "live"}]
    assert (plan["changed"], done["changed"], again["changed"]) == (True, True, False)
    told = host.hypervisor_info()["hypervisor"]
    assert (told["site"], told["coordinates"], told["tags"]) == ("geneva", Kept.coordinates, ["ssd"])
    assert told["maintenance"] == Kept.maintenance


def test_libvirt_alone_cannot_tag_a_hypervisor(run: Run) -> None:
    """The error says who can; what is not known is null."""
    with pytest.raises(Unsupported, match="no place for tags of hv1 itself; its agent keeps them"):
        run("hypervisor_tags", tags=["ssd"])
    told = run("hypervisor_info")["hypervisor"]
    assert (told["site"], told["coordinates"], told["tags"]) == (None, None, None)
