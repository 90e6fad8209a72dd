# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, or needs nothing, before anything moves. The moving itself needs two hosts."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import typing as t

import pytest
from archipel import migration, preflight, storage, xmltree
from archipel.connection import Connection, libvirt
from archipel.errors import (
    ArchipelError,
    Conflict,
    InvalidArgument,
    NotFound,
    OperationFailed,
    Unavailable,
    Unsupported,
)
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS, Hypervisor
from archipel.machine import Machine
from archipel.migration import QUESTIONS
from archipel.snapshots import Knowledge, Tree

Run = t.Callable[..., dict[str, t.Any]]
EMPTY = "<node/>"
ELSEWHERE = """<node><domain type="test"><name>{name}</name><uuid>aaaaaaaa-0000-4000-8000-00000000000{number}</uuid>
<memory>1024</memory><os><type>hvm</type></os></domain></node>"""


class Hv2:
    """Knows of one other hypervisor, as an agent's peers do."""

    def __init__(self, state: str | None = None) -> None:
        self.state = state

    def destination(self, name: str, machine: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        if name != "hv2":
            raise Unavailable(f"{name} does not answer.")
        return {"hypervisor": "hv2", "uri": "nonsense:///", "present": self.state is not None, "state": self.state}

    def call(self, name: str, question: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Both are this process: it answers as the other's agent would."""
        with Connection("test:///default") as connection:
            return QUESTIONS[question](Hypervisor(connection, name), arguments)

    @contextlib.contextmanager
    def expected(self, name: str, machine: t.Mapping[str, t.Any]) -> t.Iterator[None]:
        assert machine["uuid"]
        yield


@pytest.fixture
def there(tmp_path: pathlib.Path) -> t.Callable[[str], str]:
    """The URI of another host of the test driver."""

    def there(node: str) -> str:
        (tmp_path / "there.xml").write_text(node)
        return f"test://{tmp_path / 'there.xml'}"

    return there


def test_a_machine_is_where_it_is_to_go(run: Run) -> None:
    """Nothing changes, in check mode and for real, first and again."""
    for check in (True, False, False):
        result = run("vm_migrate", name="running", destination="hv1", check=check)
        assert (result["changed"], result["changes"]) == (False, [])
        assert result["msg"] == "running is on hv1 already."
        assert result["vm"] == {
            "name": "running", "uuid": "aaaaaaaa-0000-4000-8000-000000000001", "hypervisor": "hv1", "state": "running",
        }  # fmt: skip


def test_a_machine_that_is_there_and_not_here_has_moved(run: Run, there: t.Callable[[str], str]) -> None:
    """The second run of a task finds it at its destination."""
    uri = there(ELSEWHERE.format(name="web1", number=9))
    for identity in ({"name": "web1"}, {"uuid": "AAAAAAAA-0000-4000-8000-000000000009"}):
        result = run("vm_migrate", destination="hv2", destination_uri=uri, **identity)
        assert not result["changed"]
        assert (result["vm"]["hypervisor"], result["vm"]["state"]) == ("hv2", "running")


@pytest.mark.parametrize(
    ("task", "error", "reason"),
    [
        ({"name": "running"}, InvalidArgument, "Name the destination"),
        ({"destination": "hv2"}, InvalidArgument, "Name the machine"),
        ({"name": "running", "destination": "hv2"}, InvalidArgument, "How libvirt reaches hv2 is not known here"),
        ({"name": "nobody", "destination": "hv1"}, NotFound, "no machine 'nobody' on hv1"),
        ({"name": "running", "destination_uri": "nonsense:///"}, Unavailable, "nonsense:///"),
    ],
)
def test_what_is_not_said_or_not_known(run: Run, task: dict[str, t.Any], error: type[Exception], reason: str) -> None:
    """The message says what to give."""
    with pytest.raises(error, match=reason):
        run("vm_migrate", **task)


def test_a_machine_that_is_nowhere(run: Run, there: t.Callable[[str], str]) -> None:
    """Both places are named."""
    with pytest.raises(NotFound, match="neither on hv1 nor on hv2"):
        run("vm_migrate", name="nobody", destination="hv2", destination_uri=there(EMPTY))


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"name": "off"}, "off is shutoff; only a running machine moves live"),
        ({"name": "running", "live": False}, "running is running; shut it down first"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_what_libvirt_cannot_move(
    run: Run, there: t.Callable[[str], str], task: dict[str, t.Any], reason: str, check: bool
) -> None:
    """It is said before anything moves, in check mode too."""
    with pytest.raises(Conflict, match=reason):
        run("vm_migrate", destination="hv2", destination_uri=there(EMPTY), check=check, **task)


def test_snapshots_stay_where_they_are(run: Run, hypervisor: Hypervisor, there: t.Callable[[str], str]) -> None:
    """So a machine that has some does too."""
    hypervisor.machine("running").domain.snapshotCreateXML("<domainsnapshot/>")
    with pytest.raises(Conflict, match="running has snapshots"):
        run("vm_migrate", name="running", destination="hv2", destination_uri=there(EMPTY))


@pytest.mark.parametrize("check", [True, False])
def test_a_machine_whose_disks_are_copied_while_it_runs_keeps_no_snapshots(
    run: Run, hypervisor: Hypervisor, there: t.Callable[[str], str], check: bool
) -> None:
    """They are inside of its disks, and would not be inside of the copies. One that is off does, and it is told so."""
    hypervisor.machine("running").domain.snapshotCreateXML("<domainsnapshot/>")
    how = {"snapshots": "keep", "copy_storage": "all", "check": check}
    with pytest.raises(Conflict, match="Shut it down and use live: false, or use snapshots: flatten"):
        run("vm_migrate", name="running", destination="hv2", destination_uri=there(EMPTY), **how)


@pytest.mark.parametrize("number", [1, 9])
def test_two_of_one_machine_must_not_be(run: Run, there: t.Callable[[str], str], number: int) -> None:
    """By UUID or by name."""
    uri = there(ELSEWHERE.format(name="running", number=number))
    with pytest.raises(Conflict, match="two of one machine must not be"):
        run("vm_migrate", name="running", destination="hv2", destination_uri=uri)


@pytest.mark.parametrize("state", ["running", "shutoff"])
def test_peers_say_what_is_there(hypervisor: Hypervisor, state: str) -> None:
    """And what they say is believed."""
    hypervisor = Hypervisor(hypervisor.connection, "hv1", Hv2(state))
    migrate = ACTIONS["vm_migrate"].function
    with pytest.raises(Conflict, match="hv2"):
        migrate(hypervisor, name="running", destination="hv2")
    with pytest.raises(Unavailable, match="hv3 does not answer"):
        migrate(hypervisor, name="running", destination="hv3")


def test_a_plan_tells_what_would_move(hypervisor: Hypervisor) -> None:
    """Check mode: from where to where, and what stays behind."""
    hypervisor = Hypervisor(hypervisor.connection, "hv1", Hv2())
    machine = MACHINE_ACTIONS["migrate"]
    plan = machine.function(hypervisor.machine("running"), destination="hv2", check=True)
    assert plan["changes"] == [{"path": "hypervisor", "old": "hv1", "new": "hv2", "scope": "live"}]
    assert machine.sentence(plan) == "running would move from hv1 to hv2."


def test_a_failed_move_says_where_the_machine_is(hypervisor: Hypervisor) -> None:
    """The test driver cannot move machines: it stays, and the error says so."""
    hypervisor = Hypervisor(hypervisor.connection, "hv1", Hv2())
    with pytest.raises(ArchipelError, match=r"running could not be moved: .* It is running on hv1\."):
        MACHINE_ACTIONS["migrate"].function(hypervisor.machine("running"), destination="hv2")


# -- the pre-flight: each of these is found by the destination's own code, there another host of the test driver

DISK = """<disk type="file" device="disk"><driver name="qemu" type="qcow2"/>
<source file="/var/lib/libvirt/images/{name}"/><target dev="{target}" bus="virtio"/></disk>"""
NETWORK = (
    """<network><name>{name}</name><bridge name="virbr7"/><ip address="10.9.8.1" netmask="255.255.255.0"/></network>"""
)
POOL = '<pool type="dir"><name>{name}</name><target><path>{path}</path></target></pool>'


@pytest.fixture
def moving(run: Run, hypervisor: Hypervisor) -> t.Callable[..., dict[str, t.Any]]:
    """A machine of that devices' XML, of which a migration is planned or made."""

    def moving(devices: str, *, check: bool = True, **task: t.Any) -> dict[str, t.Any]:
        handle = hypervisor.connection.handle
        xml = f"""<domain type="test"><name>mover</name><memory>1024</memory><os><type>hvm</type></os>
        <devices>{devices}</devices></domain>"""
        handle.createXML(xml)
        return run("vm_migrate", name="mover", destination="hv2", check=check, **task)

    return moving


def volume(hypervisor: Hypervisor, name: str, mib: int) -> None:
    pool = hypervisor.connection.handle.storagePoolLookupByName("default")
    pool.createXML(f'<volume><name>{name}</name><capacity unit="MiB">{mib}</capacity></volume>')


@contextlib.contextmanager
def default_host() -> t.Iterator[tuple[str, t.Any]]:
    """The host of the test driver whose state all connections of this process share, and its pool."""
    uri = "test:///default"
    with Connection(uri) as connection:
        pool = connection.handle.storagePoolLookupByName("default-pool")
        yield uri, pool
        for name in pool.listVolumes():
            pool.storageVolLookupByName(name).delete()


def findings(result: dict[str, t.Any]) -> set[tuple[str, str]]:
    return {(finding["what"], finding["severity"]) for finding in result["findings"]}


def test_all_that_stands_in_the_way_is_told_at_once(
    moving: t.Callable[..., dict[str, t.Any]], hypervisor: Hypervisor, there: t.Callable[[str], str]
) -> None:
    """With the remedy of each."""
    volume(hypervisor, "mover.qcow2", 8)
    network = '<interface type="network"><source network="lan"/></interface>'
    with pytest.raises(Conflict) as failed:
        moving(
            DISK.format(name="mover.qcow2", target="vda") + network,
            destination_uri=there(EMPTY),
            copy_storage="all",
        )
    said = failed.value.message
    assert said.startswith("mover cannot move to hv2: (1) ")
    assert "has no active pool at /var/lib/libvirt/images for the copy of vda. Make it there (module pool)" in said
    assert "has no network lan. Make it there (module network), or name another by network_map." in said


def test_a_plan_maps_networks_and_pools(
    moving: t.Callable[..., dict[str, t.Any]], hypervisor: Hypervisor, there: t.Callable[[str], str]
) -> None:
    """What takes another's place is looked for at the destination, and told as a change."""
    volume(hypervisor, "mover.qcow2", 8)
    uri = there(f"<node>{NETWORK.format(name='office')}{POOL.format(name='fast', path='/srv/fast')}</node>")
    devices = DISK.format(name="mover.qcow2", target="vda")
    devices += '<interface type="network"><mac address="52:54:00:00:00:01"/><source network="default"/></interface>'
    plan = moving(
        devices,
        destination_uri=uri,
        copy_storage="all",
        network_map={"default": "office"},
        storage_map={"default": "fast"},
    )
    assert [(change["path"], change["old"], change["new"]) for change in plan["changes"]] == [
        ("hypervisor", "hv1", "hv2"),
        ("networks[52:54:00:00:00:01].network", "default", "office"),
        ("disks[vda].pool", "default", "fast"),
    ]
    assert plan["left_behind"] == ["/var/lib/libvirt/images/mover.qcow2"]


@pytest.mark.parametrize(
    ("task", "error", "reason"),
    [
        ({"network_map": {"nosuch": "office"}}, Conflict, "no interface in nosuch; it has some in: none"),
        ({"storage_map": {"nosuch": "fast"}, "copy_storage": "all"}, Conflict, "no disk in a pool nosuch"),
        ({"storage_map": {"default": "fast"}}, Conflict, "Only disks that are copied get another pool"),
        ({"storage_map": {"default": 7}}, InvalidArgument, "storage_map: 'default' needs the name"),
        ({"parallel_connections": 0}, InvalidArgument, "at least 1"),
        ({"post_copy": True, "parallel_connections": 2}, Conflict, "use one of them"),
        ({"remove_source_volumes": "all"}, InvalidArgument, "only disks that were copied"),
    ],
)
def test_options_that_have_no_meaning(
    moving: t.Callable[..., dict[str, t.Any]],
    there: t.Callable[[str], str],
    task: dict[str, t.Any],
    error: type[Exception],
    reason: str,
) -> None:
    with pytest.raises(error, match=reason):
        moving("", destination_uri=there(EMPTY), **task)


def test_a_full_pool_has_no_room(moving: t.Callable[..., dict[str, t.Any]], hypervisor: Hypervisor) -> None:
    """The pools of the test driver have 100 GiB."""
    pool = hypervisor.connection.handle.storagePoolLookupByName("default")
    xml = "<volume><name>{}</name><capacity unit='GiB'>60</capacity><allocation unit='GiB'>60</allocation></volume>"
    pool.createXML(xml.format("mover.qcow2"))
    with default_host() as (uri, other):
        other.createXML(xml.format("huge"))
        with pytest.raises(Conflict, match="has 40960 MiB left, and the disks of mover take 61440 MiB"):
            moving(
                DISK.format(name="mover.qcow2", target="vda"),
                destination_uri=uri,
                copy_storage="all",
                storage_map={"default": other.name()},
            )


@pytest.mark.parametrize(("severity", "place"), [("error", "/var/lib/libvirt/images"), ("warning", "/srv/elsewhere")])
def test_a_disk_that_both_should_share(
    moving: t.Callable[..., dict[str, t.Any]], there: t.Callable[[str], str], severity: str, place: str
) -> None:
    """What a pool would show and does not is missing; what no pool shows cannot be seen."""
    uri = there(f"<node>{POOL.format(name='default', path=place)}</node>")
    disk = DISK.format(name="mover.qcow2", target="vda")
    if severity == "error":
        with pytest.raises(
            Conflict, match="mover.qcow2 is not on .*; where the two share no storage, use copy_storage"
        ):
            moving(disk, destination_uri=uri)
    else:
        assert ("disks[vda]", "warning") in findings(moving(disk, destination_uri=uri))


@pytest.mark.parametrize(
    ("changed", "live", "copied", "reason"),
    [
        (100.0, True, False, None),
        (100.0, True, True, "is the same on both sides, and a disk that they share is not copied over itself"),
        (60.0, True, True, "vda is in the way"),
        (60.0, True, False, "Where the two share no storage, use copy_storage: all."),
        (60.0, False, False, "remove it there (module volume) and use copy_storage: all."),
        (None, True, False, None),
    ],
)
def test_a_file_of_the_same_name_is_no_shared_disk(
    hypervisor: Hypervisor, changed: float | None, live: bool, copied: bool, reason: str | None
) -> None:
    """Nor is a shared disk a leftover, whatever was found of it. The test driver does not tell files apart."""
    disks = (preflight.Copied("vda", 8, 8),) if copied else ()
    needs = preflight.Needs("<domain/>", live, False, disks, preflight.source_of(hypervisor))
    here = {"vda": storage.Identity("/srv/mover.qcow2", changed=100.0)}
    in_the_way = [preflight.Finding("disks[vda]", "warning", "vda is in the way").as_data()] if copied else []
    answer = {"findings": in_the_way, "identities": {"vda": {"path": "/srv/mover.qcow2", "changed": changed}}}
    told = [finding.msg for finding in preflight.judge(needs, answer, here, here)]
    assert len(told) == (reason is not None)
    assert not reason or reason in told[0]


def test_an_incremental_copy_is_not_laid_over_what_is_there(
    moving: t.Callable[..., dict[str, t.Any]], hypervisor: Hypervisor
) -> None:
    """What it does not write would show through; a whole copy leaves nothing of it."""
    volume(hypervisor, "mover.qcow2", 8)
    chain = "<backingStore type='file'><format type='raw'/><source file='/srv/base.raw'/></backingStore></disk>"
    disk = DISK.format(name="mover.qcow2", target="vda").replace("</disk>", chain)
    with default_host() as (uri, other):
        other.createXML("<volume><name>mover.qcow2</name><capacity>8388608</capacity></volume>")
        task = {"destination_uri": uri, "storage_map": {"default": other.name()}}
        with pytest.raises(Conflict, match="mover.qcow2 is on hv2 already; remove it there"):
            moving(disk, copy_storage="incremental", **task)
        hypervisor.machine("mover").domain.destroy()
        assert ("disks[vda]", "warning") in findings(moving(disk, copy_storage="all", **task))


def test_media_that_are_not_there_are_ejected_if_asked(
    moving: t.Callable[..., dict[str, t.Any]], there: t.Callable[[str], str]
) -> None:
    """Otherwise they hold the machine back."""
    uri = there(f"<node>{POOL.format(name='default', path='/var/lib/libvirt/images')}</node>")
    medium = """<disk type="file" device="cdrom"><source file="/var/lib/libvirt/images/setup.iso"/>
    <target dev="sda" bus="sata"/><readonly/></disk>"""
    plan = moving(medium, destination_uri=uri, media="eject")
    assert plan["changes"][1:] == [
        {"path": "disks[sda].path", "old": "/var/lib/libvirt/images/setup.iso", "new": None, "scope": "live"}
    ]


def test_snapshots_are_removed_first_if_asked(run: Run, hypervisor: Hypervisor, there: t.Callable[[str], str]) -> None:
    """And the plan says so."""
    hypervisor.machine("running").domain.snapshotCreateXML("<domainsnapshot><name>before</name></domainsnapshot>")
    task = {"name": "running", "destination": "hv2", "destination_uri": there(EMPTY), "snapshots": "flatten"}
    plan = run("vm_migrate", check=True, **task)
    assert [change["path"] for change in plan["changes"]] == ["snapshots[before]", "hypervisor"]
    assert hypervisor.machine("running").domain.snapshotNum() == 1
    with pytest.raises(ArchipelError, match="could not be moved") as failed:
        run("vm_migrate", **task)
    assert [change["path"] for change in failed.value.changes] == ["snapshots[before]"]
    assert hypervisor.machine("running").domain.snapshotNum() == 0


def test_saved_memory_does_not_move(run: Run, there: t.Callable[[str], str]) -> None:
    with pytest.raises(Conflict, match="saved has saved memory"):
        run("vm_migrate", name="saved", destination="hv2", destination_uri=there(EMPTY), live=False)


def test_volumes_made_for_a_move_that_fails_are_removed(
    moving: t.Callable[..., dict[str, t.Any]], hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test driver cannot move machines: nothing is left on the other side."""
    volume(hypervisor, "mover.qcow2", 8)
    discarded = []
    discard = QUESTIONS["discard"]
    monkeypatch.setitem(QUESTIONS, "discard", lambda host, given: discarded.append(given) or discard(host, given))
    with default_host() as (uri, other):
        with pytest.raises(ArchipelError, match=r"mover could not be moved: .* It is running on hv1\.$"):
            moving(
                DISK.format(name="mover.qcow2", target="vda"),
                check=False,
                destination_uri=uri,
                copy_storage="all",
                storage_map={"default": other.name()},
            )
        assert discarded == [{"volumes": [[other.name(), "mover.qcow2"]]}]
        assert other.listVolumes() == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"type": "kvm"}, ("type", "error", "runs no machines of the type kvm")),
        ({"host_uuid": True}, ("host_uuid", "error", "the same host UUID")),
        ({"libvirt": 999_001_002}, ("version", "warning", "older than 999.1.2 of hv1")),
        ({"hostdev": True}, ("host_devices[0000:06:12.5]", "error", "use live: false")),
    ],
)
def test_what_the_destination_finds(hypervisor: Hypervisor, change: dict[str, t.Any], found: tuple[str, ...]) -> None:
    """What the test driver's two hosts cannot differ in is told to it as another source would."""
    machine = hypervisor.machine("running")
    document = machine.document()
    document.set("type", change.get("type", "test"))
    if "hostdev" in change:
        address = {"domain": "0x0000", "bus": "0x06", "slot": "0x12", "function": "0x5"}
        node = xmltree.element("hostdev", mode="subsystem", type="pci")
        node.append(xmltree.element("source"))
        node[0].append(xmltree.element("address", **address))
        document.find("devices").append(node)
    source = preflight.source_of(hypervisor)
    if "host_uuid" in change:
        hypervisor.capabilities.find("host").append(xmltree.element("uuid"))
        hypervisor.capabilities.find("host/uuid").text = "aaaaaaaa-0000-4000-8000-00000000000a"
        source = dataclasses.replace(source, uuid="aaaaaaaa-0000-4000-8000-00000000000a")
    source = dataclasses.replace(source, libvirt=change.get("libvirt", source.libvirt))
    needs = preflight.Needs(xmltree.serialise(document), True, False, (), source)
    told = preflight.inspect(hypervisor, preflight.Needs.bind(needs.as_data()))["findings"]
    assert [(f["what"], f["severity"]) for f in told] == [found[:2]]
    assert found[2] in told[0]["msg"]


# -- machines that are off


def move_to(uri: str) -> migration.Move:
    return migration.Move(None, uri, True, "none", None, None, None, True, 60)


@pytest.fixture
def branched(hypervisor: Hypervisor) -> t.Any:
    """A domain that is off and goes on from the younger of two snapshots that both go back to a third."""
    domain = hypervisor.machine("off").domain
    for name in ("clean", "first", "second"):
        domain.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>")
        if name == "first":
            domain.revertToSnapshot(domain.snapshotLookupByName("clean"))
    return domain


def test_a_machine_that_is_off_takes_its_snapshots_along(run: Run, hypervisor: Hypervisor, branched: t.Any) -> None:
    """As the same tree, and it goes on from the same one."""
    names = ("clean", "first", "second")
    described = [branched.snapshotLookupByName(name).getXMLDesc() for name in names]
    with default_host() as (uri, other):
        task = {"name": "off", "destination": "hv2", "destination_uri": uri, "live": False, "snapshots": "keep"}
        plan = run("vm_migrate", check=True, **task)
        assert hypervisor.find(name="off")
        done = run("vm_migrate", **task)
        assert done["changes"] == plan["changes"]
        arrived = other.connect().lookupByName("off")
        assert [arrived.snapshotLookupByName(name).getXMLDesc() for name in names] == described
        assert arrived.snapshotCurrent().getName() == "second"
        assert hypervisor.find(name="off") is None
        arrived.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)


@pytest.mark.parametrize("where", ["source", "destination"])
def test_the_snapshots_of_a_move_are_where_the_machine_is(hypervisor: Hypervisor, branched: t.Any, where: str) -> None:
    """Whatever libvirt had forgotten of them by then, and as often as it is told."""
    names = ("clean", "first", "second")
    described = [branched.snapshotLookupByName(name).getXMLDesc() for name in names]
    known = dataclasses.asdict(Knowledge.of(Tree(hypervisor.machine("off"))))
    vm = {"name": "off", "uuid": branched.UUIDString()}
    promise = {"result": {"vm": vm}, "snapshots": {"here": known, "there": known}}
    with default_host() as (uri, other):
        domain = branched if where == "source" else other.connect().defineXML(branched.XMLDesc())
        # The test driver has nothing of a snapshot but what it knows of it.
        branched.snapshotLookupByName("second").delete()
        for _again in range(2):
            migration.restore(hypervisor, move_to(uri), promise)
            assert [domain.snapshotLookupByName(name).getXMLDesc() for name in names] == described
            assert domain.snapshotCurrent().getName() == "second"
        assert branched.snapshotNum() == (3 if where == "source" else 2)
        if where == "destination":
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)


def test_snapshots_of_a_machine_that_is_nowhere_are_named(hypervisor: Hypervisor, branched: t.Any) -> None:
    """Their data lies in its disks."""
    known = dataclasses.asdict(Knowledge.of(Tree(hypervisor.machine("off"))))
    vm = {"name": "gone", "uuid": "aaaaaaaa-0000-4000-8000-00000000000e"}
    promise = {"result": {"vm": vm}, "snapshots": {"here": known, "there": known}}
    with default_host() as (uri, _other), pytest.raises(NotFound) as failed:
        migration.restore(hypervisor, move_to(uri), promise)
    assert "(clean, first, second)" in failed.value.message


def test_a_machine_that_its_source_does_not_let_go_is_not_at_the_destination(
    run: Run, hypervisor: Hypervisor, branched: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays with all its snapshots."""

    def refuse(_machine: Machine, **_how: bool) -> None:
        raise OperationFailed("It cannot be undefined.")

    monkeypatch.setattr(Machine, "undefine", refuse)
    with default_host() as (uri, other):
        with pytest.raises(OperationFailed, match="cannot be undefined"):
            run("vm_migrate", name="off", destination_uri=uri, live=False, snapshots="keep")
        assert [domain.name() for domain in other.connect().listAllDomains()] == ["test"]
    assert branched.snapshotNum() == 3


@pytest.fixture
def off(run: Run, hypervisor: Hypervisor) -> t.Callable[..., dict[str, t.Any]]:
    """A machine of that XML that is off, of which a migration with its disks is made."""

    def off(inside: str, **task: t.Any) -> dict[str, t.Any]:
        identity = "<name>sleeper</name><uuid>aaaaaaaa-0000-4000-8000-00000000000f</uuid>"
        hypervisor.connection.handle.defineXML(f"<domain type='test'>{identity}<memory>1024</memory>{inside}</domain>")
        return run("vm_migrate", name="sleeper", destination="hv2", live=False, **{"copy_storage": "all", **task})

    return off


def test_what_does_not_go_along_while_a_machine_is_off(
    off: t.Callable[..., dict[str, t.Any]], hypervisor: Hypervisor
) -> None:
    """All is told at once, with the remedy."""
    volume(hypervisor, "sleeper.qcow2", 8)
    disks = DISK.format(name="sleeper.qcow2", target="vda") + DISK.format(name="../elsewhere.raw", target="vdb")
    with default_host() as (uri, other):
        other.createXML("<volume><name>sleeper.qcow2</name><capacity>8388608</capacity></volume>")
        with pytest.raises(Conflict) as failed:
            off(
                f"<os firmware='efi'><type>hvm</type></os><devices>{disks}"
                "<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm></devices>",
                destination_uri=uri,
                storage_map={"default": other.name()},
            )
    for remedy in (
        "firmware's variables of sleeper would not go along while it is off. Start it and move it live",
        "TPM's state of sleeper would not go along while it is off. Start it and move it live",
        "elsewhere.raw is in no active storage pool, so it is copied only while sleeper runs. Make a pool",
        "sleeper.qcow2 is on hv2 already; remove it there (module volume)",
    ):
        assert remedy in failed.value.message


def test_a_disk_that_lies_on_another_goes_as_what_it_is(
    off: t.Callable[..., dict[str, t.Any]], hypervisor: Hypervisor
) -> None:
    """Where both sides have the other."""
    pool = hypervisor.connection.handle.storagePoolLookupByName("default")
    pool.createXML(
        "<volume><name>sleeper.qcow2</name><capacity>8388608</capacity><target><format type='qcow2'/></target>"
        "<backingStore><path>/var/lib/libvirt/images/base.qcow2</path><format type='qcow2'/></backingStore></volume>"
    )
    devices = f"<os><type>hvm</type></os><devices>{DISK.format(name='sleeper.qcow2', target='vda')}</devices>"
    with default_host() as (uri, other):
        task = {"destination_uri": uri, "storage_map": {"default": other.name()}, "check": True}
        with pytest.raises(Conflict, match=r"lies on .*base.qcow2. Where both sides have that, use copy_storage: incr"):
            off(devices, **task)
        assert ("disks[vda]", "warning") in findings(off(devices, copy_storage="incremental", **task))


def test_of_a_copy_that_fails_nothing_is_left(off: t.Callable[..., dict[str, t.Any]], hypervisor: Hypervisor) -> None:
    """The volumes of the test driver have no content."""
    volume(hypervisor, "sleeper.qcow2", 8)
    devices = f"<os><type>hvm</type></os><devices>{DISK.format(name='sleeper.qcow2', target='vda')}</devices>"
    with default_host() as (uri, other):
        with pytest.raises(Unsupported, match="Copy sleeper.qcow2 to the destination"):
            off(devices, destination_uri=uri, storage_map={"default": other.name()})
        assert other.listVolumes() == []
    assert hypervisor.machine("sleeper").status[0] == "shutoff"
