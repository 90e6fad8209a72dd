# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action ``vm``: check mode equals the run, a second run changes nothing, a failure says what was changed."""

from __future__ import annotations

import threading
import typing as t

import libvirt
import pytest
from archipel import lifecycle
from archipel.connection import Connection
from archipel.convergence import Convergence, Desired, converge
from archipel.definition import Definition
from archipel.errors import (
    ArchipelError,
    Conflict,
    InvalidArgument,
    InvalidDefinition,
    NotFound,
    Unavailable,
    WaitTimeout,
)
from archipel.hypervisor import Hypervisor
from archipel.lifecycle import Asked
from archipel.plan import Step

from tests.integration.libvirtd import Libvirtd

Run = t.Callable[..., dict[str, t.Any]]

WEB1: dict[str, t.Any] = {
    "name": "web1",
    "memory": 64,
    "vcpus": 2,
    "disks": [{"pool": "default", "size": 1}, {"path": "/srv/a.iso", "device": "cdrom"}],
    "networks": [{"network": "default"}, {"network": "other", "mac": "52:54:00:AA:BB:CC"}],
    "boot": {"devices": ["cdrom", "hd"]},
    "metadata": {"title": "The first", "description": "Two\nlines\n", "location": "Lab <1>"},
}
PIN2: dict[str, t.Any] = {"cputune": {"vcpupin": {"2": "0"}}}
UUID = "bbbbbbbb-0000-4000-8000-00000000000a"
XML = f"""<domain type='test'><name>web1</name><uuid>{UUID}</uuid><memory unit='MiB'>64</memory>
<os><type>hvm</type></os>{{}}</domain>"""
DEVICES = """<devices><disk type='file'><source file='/a.img'/><target dev='vda'/></disk>
<interface type='network'><source network='default'/></interface></devices>"""


def everything(hypervisor: Hypervisor) -> dict[str, tuple[str, int]]:
    """All that libvirt has: machines with their definitions and states, volumes."""
    handle = hypervisor.connection.handle
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE
    found = {d.name(): (d.XMLDesc(flags), d.state()[0]) for d in handle.listAllDomains()}
    for pool in handle.listAllStoragePools():
        found.update({f"{pool.name()}/{volume}": ("", 0) for volume in pool.listVolumes()})
    return found


def told(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """What check mode and the real run have to agree on."""
    return {key: result[key] for key in ("changed", "changes", "diff", "restart_required", "restart_reasons")}


@pytest.fixture
def cycle(vm: Run, hypervisor: Hypervisor) -> Run:
    """One task, four times: check and real, first and again."""

    def cycle(**task: t.Any) -> dict[str, t.Any]:
        before = everything(hypervisor)
        planned = vm(check=True, **task)
        assert everything(hypervisor) == before
        done = vm(**task)
        assert done["changed"]
        assert told(planned) == told(done)
        after = everything(hypervisor)
        for check in (True, False):
            again = vm(check=check, **task)
            assert (again["changed"], again["changes"]) == (False, [])
            assert again["msg"].endswith("is as asked.")
        assert everything(hypervisor) == after
        return done

    return cycle


def changed(result: dict[str, t.Any]) -> list[tuple[str, t.Any, t.Any, str]]:
    return [(c["path"], c["old"], c["new"], c["scope"]) for c in result["changes"]]


def test_the_twelve_steps(cycle: Run) -> None:
    """Create, change and delete; each in check mode and for real, the first time and again."""
    made = cycle(**WEB1, state="running")
    assert made["vm"]["state"] == "running"
    assert made["diff"]["before"]["state"] == "absent"
    assert made["diff"]["after"]["state"] == "running"
    assert changed(made)[0] == ("volumes[default/web1.qcow2]", None, {"size": 1, "format": "qcow2"}, "config")

    altered = cycle(name="web1", memory=128, metadata={"title": "Renamed"}, state="running")
    assert changed(altered) == [("memory", 64, 128, "config"), ("metadata.title", "The first", "Renamed", "live")]
    assert altered["restart_required"]
    assert [reason.partition(" ")[0] for reason in altered["restart_reasons"]] == ["memory"]

    gone = cycle(name="web1", state="absent", force=True)
    assert changed(gone) == [("state", "running", "shutoff", "live"), ("state", "shutoff", "absent", "config")]
    assert gone["vm"]["state"] == "absent"


def test_a_new_machine_is_what_was_asked_for(vm: Run) -> None:
    """And is managed, with what people say about it."""
    told = vm(**WEB1)["vm"]
    assert (told["name"], told["memory"], told["vcpus"], told["state"]) == ("web1", 64, 2, "shutoff")
    assert told["managed"]
    assert told["metadata"] == {"title": "The first", "description": "Two\nlines", "location": "Lab <1>"}
    assert [disk["path"] for disk in told["disks"]] == ["/var/lib/libvirt/images/web1.qcow2", "/srv/a.iso"]
    assert [n["network"] for n in told["networks"]] == ["default", "other"]
    assert told["networks"][1]["mac"] == "52:54:00:aa:bb:cc"
    assert told["boot"]["devices"] == ["cdrom", "hd"]


@pytest.mark.parametrize("asked", [state for state in t.get_args(Asked) if state not in ("absent", "saved")])
def test_every_state_from_nothing(vm: Run, asked: str) -> None:
    """A machine that is not there yet is planned as it will be run."""
    state = lifecycle.REACHED.get(asked, "shutoff")
    planned, made = (vm(name="new", memory=16, state=asked, check=check) for check in (True, False))
    assert told(planned) == told(made)
    assert made["vm"]["state"] == made["diff"]["after"]["state"] == state
    assert vm(name="new", memory=16, state=asked)["changed"] == (asked in AGAIN)


# What has been done can be done again.
AGAIN = {"restarted", "reset"}
NO_WAY = {("crashed", "paused"), ("crashed", "saved"), ("off", "saved"), ("transient", "saved"),
          ("transient", "restarted")}  # fmt: skip


@pytest.mark.parametrize("begin", ["running", "off", "paused", "saved", "transient", "crashed"])
@pytest.mark.parametrize("asked", [state for state in t.get_args(Asked) if state not in ("present", "absent")])
def test_every_state_from_every_state(vm: Run, hypervisor: Hypervisor, begin: str, asked: str) -> None:
    """It is reached, as planned, and then nothing is left to do."""
    wanted = {"saved": "shutoff"}.get(asked, lifecycle.REACHED[asked])
    old = hypervisor.machine(begin).status[0]
    if (begin, asked) in NO_WAY:
        with pytest.raises(Conflict, match=f"{begin} is .* it cannot become {asked}"):
            vm(name=begin, state=asked, check=True)
        return
    planned = vm(name=begin, state=asked, check=True)
    done = vm(name=begin, state=asked)
    assert told(planned) == told(done)
    assert done["changed"] == (old != wanted or asked in AGAIN)
    gone = begin == "transient" and wanted == "shutoff"
    assert done["vm"]["state"] == ("absent" if gone else wanted)
    assert gone or hypervisor.machine(begin).saved == (asked == "saved" or (begin == "saved" and wanted == "shutoff"))
    if not gone:
        assert vm(name=begin, state=asked)["changed"] == (asked in AGAIN)


@pytest.mark.parametrize("asked", [state for state in t.get_args(Asked) if state not in ("present", "absent")])
@pytest.mark.parametrize("begin", [*lifecycle.STATES, lifecycle.SAVED])
def test_every_state_that_libvirt_tells_has_a_way_or_a_refusal(asked: str, begin: str) -> None:
    """The way's last verb leads to the state that is asked for, and each verb is one of the machine's."""
    verbs = lifecycle.VERBS[asked].get(begin, ())
    if verbs:
        assert lifecycle.LEADS_TO[verbs[-1]] == lifecycle.REACHED[asked]
        assert all(verb in lifecycle.LEADS_TO for verb in verbs)
    elif begin != "nostate":
        reached = {"running": {"running", "blocked"}, "shutoff": {"shutoff", "saved"}}
        there = reached.get(lifecycle.REACHED[asked], {lifecycle.REACHED[asked]})
        no_way = {"paused": {"crashed", "shutdown", "pmsuspended"}, "reset": {"shutdown"},
                  "saved": {"crashed", "shutdown", "pmsuspended", "shutoff"}}  # fmt: skip
        assert begin in there | no_way.get(asked, set())


def test_only_what_is_named_is_compared(vm: Run) -> None:
    """MACs, addresses, and everything that the task does not speak of, stay."""
    before = vm(**WEB1)["vm"]
    after = vm(name="web1", vcpus=3, networks=[{"network": "default", "model": "e1000"}])["vm"]
    assert after["vcpus"] == 3
    assert after["networks"][0] == {**before["networks"][0], "model": "e1000"}
    assert {**after, "vcpus": 2, "max_vcpus": 2, "networks": before["networks"]} == before


@pytest.mark.parametrize("identity", [{"uuid": UUID}, {"uuid": UUID.upper()}, {"uuid": UUID.replace("-", "")}])
def test_a_machine_is_found_by_uuid_in_any_form(vm: Run, identity: dict[str, str]) -> None:
    """Upper case or without dashes, alone or beside the name."""
    vm(name="web1", memory=16, **identity)
    assert vm(**identity, memory=32)["changed"]
    assert not vm(name="web1", memory=32, **identity)["changed"]
    assert vm(**identity, state="absent")["vm"] == {"name": "web1", "uuid": UUID, "state": "absent"}
    assert vm(**identity, state="absent")["vm"] == {"name": None, "uuid": UUID, "state": "absent"}


@pytest.mark.parametrize(
    "name", ["{{ 7 * 7 }}", "${HOME}", "%(name)s", "{name}", "a'b\"c<&>", "größe", "web 1", "; rm -rf *", "--help"]
)
def test_odd_names_pass_as_they_are(cycle: Run, run: Run, name: str) -> None:
    """Templates, shell and XML mean nothing here."""
    made = cycle(name=name, memory=16, disks=[{"pool": "default", "size": 1}], metadata={"title": name})
    assert (made["vm"]["name"], made["vm"]["metadata"]["title"]) == (name, name)
    assert made["vm"]["disks"][0]["path"] == f"/var/lib/libvirt/images/{name}.qcow2"
    assert run("vm_info", name=name)["vms"][0]["name"] == name
    cycle(name=name, state="absent")


@pytest.mark.parametrize("name", ["a/b", "../a", "a\nb", "a\x00b", "a\x1b[0m", " a", "a ", "x" * 256, "a\ud800"])
def test_impossible_names_are_refused(vm: Run, name: str) -> None:
    """Before anything is asked of libvirt."""
    with pytest.raises(InvalidArgument, match=r"cannot be a machine's name|no text has"):
        vm(name=name, memory=16)


@pytest.mark.parametrize("uuid", ["web1", "bbbbbbbb", UUID + "0", "{" + UUID + "}", "*"])
def test_what_is_no_uuid_is_refused(vm: Run, run: Run, uuid: str) -> None:
    """By every action that takes one."""
    for action, more in (("vm", {}), ("vm_info", {}), ("vm_import", {}), ("vm_migrate", {"destination": "hv2"})):
        with pytest.raises(InvalidArgument, match="is not a UUID"):
            run(action, uuid=uuid, **more)


@pytest.mark.parametrize(
    ("task", "error", "reason"),
    [
        ({}, InvalidArgument, "Name the machine"),
        ({"uuid": UUID, "memory": 16}, InvalidDefinition, "needs a name"),
        ({"name": "off", "uuid": UUID, "memory": 16}, Conflict, "mean two machines"),
        ({"name": "transient", "memory": 128}, Conflict, "transient is transient.* memory cannot while it runs"),
        ({"name": "off", "state": "saved"}, Conflict, "off is shutoff; it cannot become saved"),
        ({"name": "new", "memory": 16, "type": "kvm"}, ArchipelError, "runs no machines of the type kvm"),
        ({"name": "new", "memory": 16, "arch": "s390x"}, ArchipelError, "runs no machines of the architecture s390x"),
        ({"name": "new", "memory": 16, "disks": [{"pool": "default"}]}, NotFound, "name its size in GiB"),
        ({"name": "new", "memory": 16, "vcpus": 2, **PIN2}, InvalidDefinition, "no virtual CPU 2; .* from 0 to 1"),
        ({"name": "off", "vcpus": 1, **PIN2}, InvalidDefinition, "no virtual CPU 2; .* from 0 to "),
        ({"name": "running", "state": "absent"}, Conflict, "running is running; shut it down first"),
        ({"name": "paused", "state": "absent"}, Conflict, "paused is paused; shut it down first"),
        ({"name": "saved", "state": "absent"}, Conflict, "saved has saved memory"),
        ({"name": "transient", "state": "absent"}, Conflict, "shut it down first, or use force: true"),
    ],
)
def test_what_cannot_be_done_is_refused_in_check_mode_too(
    vm: Run, hypervisor: Hypervisor, task: dict[str, t.Any], error: type[ArchipelError], reason: str
) -> None:
    """The same error, and nothing changed."""
    before = everything(hypervisor)
    for check in (True, False):
        with pytest.raises(error, match=reason) as raised:
            vm(**task, check=check)
        assert raised.value.changes == []
    assert everything(hypervisor) == before


def test_what_another_task_would_make_is_no_failure_in_check_mode(vm: Run, hypervisor: Hypervisor) -> None:
    """Neither a machine nor a pool; for real they have to be there."""
    before = everything(hypervisor)
    for task, error, reason in (
        ({"name": "new", "state": "running"}, NotFound, "There is no machine 'new' on hv1, and nothing says"),
        ({"name": "new", "vcpus": 1}, InvalidDefinition, "new is new and needs memory"),
        ({"name": "new", "memory": 16, "disks": [{"pool": "none", "size": 1}]}, NotFound, "there are: default"),
    ):
        assert vm(**task, check=True)["changed"]
        with pytest.raises(error, match=reason):
            vm(**task)
    assert everything(hypervisor) == before
    planned = vm(name="new", state="running", autostart=True, check=True)
    assert planned["msg"] == "new is not there yet. new: would change autostart, state."
    assert planned["vm"] == {"name": "new", "uuid": None, "state": "absent"}


def test_a_volume_that_an_earlier_task_would_make_is_planned_with(vm: Run, run: Run) -> None:
    """As it is when that has made it; only where it is named, and in check mode alone."""
    task = {"name": "new", "memory": 16, "disks": [{"pool": "default", "vol": "later.qcow2"}]}
    planned = vm(**task, check=True)
    assert planned["msg"].startswith("There is no volume later.qcow2 in pool default yet. new: would change")
    with pytest.raises(NotFound, match="no volume 'later.qcow2' in pool default; name its size"):
        vm(**task)
    run("volume", pool="default", name="later.qcow2", definition={"size": 1})
    assert vm(**task)["changes"] == planned["changes"]


@pytest.mark.parametrize("name", ["running", "paused", "saved", "off", "crashed"])
def test_force_removes_what_is_in_the_way(cycle: Run, name: str) -> None:
    """Running or with saved memory, it is gone."""
    assert cycle(name=name, state="absent", force=True)["vm"]["state"] == "absent"


def test_force_removes_snapshots_metadata(vm: Run, cycle: Run, hypervisor: Hypervisor) -> None:
    """Which stand in the way of removal otherwise."""
    hypervisor.machine("off").domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>")
    with pytest.raises(Conflict, match="off has 1 snapshots"):
        vm(name="off", state="absent")
    cycle(name="off", state="absent", force=True)


def test_a_transient_machine_is_absent_when_it_is_off(cycle: Run) -> None:
    """There is nothing to undefine."""
    done = cycle(name="transient", state="absent", force=True)
    assert changed(done) == [("state", "running", "absent", "live")]


def test_volumes_are_taken_back_when_the_definition_fails(vm: Run, hypervisor: Hypervisor) -> None:
    """libvirt refuses the machine after its volume was made: nothing is left behind, and nothing is said to be."""
    before = everything(hypervisor)
    broken = {**WEB1, "boot": {}, "disks": [{"pool": "default", "size": 1, "target": "vda"}] * 2}
    with pytest.raises(ArchipelError, match="Define web1") as raised:
        vm(**broken)
    assert raised.value.changes == []
    assert everything(hypervisor) == before


def test_a_volume_that_cannot_be_made_takes_back_the_ones_before(vm: Run, hypervisor: Hypervisor) -> None:
    """The pool has no room for the second."""
    before = everything(hypervisor)
    with pytest.raises(ArchipelError, match="Create volume"):
        vm(name="web1", memory=16, disks=[{"pool": "default", "size": 1}, {"pool": "default", "size": 1 << 33}])
    assert everything(hypervisor) == before


def test_a_failure_says_what_was_changed_before_it(vm: Run, hypervisor: Hypervisor) -> None:
    """The test driver cannot remove firmware variables: such a machine has been turned off when that comes out."""
    loader = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/CODE.fd</loader><nvram>/tmp/VARS.fd</nvram></os>"
    vm(xml=XML.format("").replace("</os>", loader), state="running")
    with pytest.raises(ArchipelError, match="Undefine web1") as raised:
        vm(name="web1", state="absent", force=True)
    assert raised.value.changes == [{"path": "state", "old": "running", "new": "shutoff", "scope": "live"}]
    assert hypervisor.machine("web1").status[0] == "shutoff"


def test_a_volume_that_is_there_is_used(vm: Run, run: Run, hypervisor: Hypervisor) -> None:
    """And belongs to whoever made it: it is not made again and not a change."""
    vm(**WEB1)
    vm(name="web1", state="absent")
    assert "default/web1.qcow2" in everything(hypervisor)
    again = vm(**WEB1)
    assert not any(change["path"].startswith("volumes") for change in again["changes"])


def test_a_disk_that_names_its_volume_is_found_by_it(vm: Run, hypervisor: Hypervisor) -> None:
    """A foreign machine's disk of type volume is the one that pool and vol, or its path, mean."""
    vm(name="web1", memory=16, disks=[{"pool": "default", "size": 1}])
    vm(name="web1", state="absent")
    source = "<source pool='default' volume='web1.qcow2'/>"
    vm(xml=XML.format(f"<devices><disk type='volume'>{source}<target dev='vda'/></disk></devices>"))
    place = {"pool": "default", "vol": "web1.qcow2"}
    assert not vm(name="web1", disks=[place])["changed"]
    assert changed(vm(name="web1", disks=[{**place, "cache": "none"}])) == [
        ("disks[vda].cache", None, "none", "config")
    ]
    assert not vm(name="web1", disks=[{"path": "/var/lib/libvirt/images/web1.qcow2"}])["changed"]
    assert "volume='web1.qcow2'" in hypervisor.machine("web1").domain.XMLDesc()


def test_stopping_and_changing_needs_no_restart(vm: Run) -> None:
    """A machine that is off afterwards begins with the new definition."""
    result = vm(name="running", memory=32, state="shutdown")
    assert not result["restart_required"]
    assert (result["vm"]["memory"], result["vm"]["state"]) == (32, "shutoff")


def test_without_waiting_the_request_is_enough(vm: Run) -> None:
    """wait: false returns when libvirt has taken the request."""
    assert vm(name="off", state="running", wait=False)["changed"]


def test_the_sentence_names_the_machine_and_what_changed(vm: Run) -> None:
    """In check mode in the conditional, each thing once."""
    assert vm(name="new", memory=16, state="running", check=True)["msg"] == "new: would change state, memory."
    assert vm(name="new", memory=16, state="running")["msg"] == "new: changed state, memory."
    assert vm(uuid=UUID, state="absent")["msg"] == f"{UUID} is as asked."


def test_what_libvirt_can_change_at_once_is_live(cycle: Run) -> None:
    """Memory and vCPUs within what the machine was started with; beyond that it says so at every run."""
    cycle(name="web1", memory=64, max_memory=128, vcpus=1, max_vcpus=2, state="running")
    assert changed(cycle(name="web1", memory=96, vcpus=2)) == [("memory", 64, 96, "live"), ("vcpus", 1, 2, "live")]
    beyond = cycle(name="web1", memory=256)
    assert changed(beyond) == [("memory", 96, 256, "config")]
    assert beyond["restart_reasons"] == [
        "memory waits for the next start: the machine was started with at most 128 MiB."
    ]


def test_what_waits_is_said_at_every_run_until_the_machine_starts_again(vm: Run) -> None:
    """Also by a task that changes nothing, whoever changed the configuration; not by one that speaks of something
    else."""
    vm(name="web1", memory=64, state="running")
    vm(name="web1", cpu={"model": "qemu64"})
    again = vm(name="web1", cpu={"model": "qemu64"}, check=True)
    assert not again["changed"]
    assert again["restart_reasons"] == [
        f"cpu.{key} waits for the next start: it is read when the machine starts." for key in ("mode", "model")
    ]
    assert not vm(name="web1", memory=64)["restart_required"]
    assert vm(name="web1", state="restarted")["changed"]
    assert not vm(name="web1", cpu={"model": "qemu64"})["restart_required"]


@pytest.mark.parametrize("begin", ["running", "paused"])
def test_a_restart_is_made_where_it_is_needed_and_asked_for(cycle: Run, begin: str) -> None:
    """The machine is in the state that it was in; a change that needs none gets none."""
    restarted = cycle(name=begin, cpu={"model": "qemu64"}, apply="restart")
    states = [c["new"] for c in restarted["changes"] if c["path"] == "state"]
    assert states == {"running": ["shutoff", "running"], "paused": ["running", "shutoff", "paused"]}[begin]
    assert not restarted["restart_required"]
    assert changed(cycle(name=begin, memory=32, apply="restart")) == [("memory", 64, 32, "live")]


def test_the_configuration_alone_changes_where_that_is_asked(vm: Run, cycle: Run) -> None:
    """Then even what could be changed at once waits, until a task asks for it."""
    vm(name="web1", memory=64, max_memory=128, state="running")
    waiting = cycle(name="web1", memory=96, apply="config")
    assert changed(waiting) == [("memory", 64, 96, "config")]
    assert waiting["restart_required"]
    assert changed(cycle(name="web1", memory=96)) == [("memory", 64, 96, "live")]


def test_a_saved_machine_goes_on_as_it_was(cycle: Run) -> None:
    """What is changed meanwhile waits until it is started without its saved memory."""
    reasons = cycle(name="saved", memory=32)["restart_reasons"]
    assert reasons == ["memory waits for the next start: the machine goes on from its saved memory."]


@pytest.mark.parametrize("key", ["disks", "networks"])
def test_devices_that_are_not_named_stay_unless_they_are_to_go(cycle: Run, vm: Run, key: str) -> None:
    """By default they are left alone."""
    vm(**WEB1)
    named = {"disks": {"path": "/srv/a.iso"}, "networks": {"network": "other"}}[key]
    assert not vm(name="web1", **{key: [named]})["changed"]
    gone = cycle(name="web1", **{key: [named], f"{key}_remove_unmanaged": True})
    assert [c["new"] for c in gone["changes"]] == [None]
    assert len(gone["vm"][key]) == 1


def test_autostart_is_part_of_what_is_asked(cycle: Run) -> None:
    """Of a new machine too."""
    assert cycle(name="web1", memory=16, autostart=True)["vm"]["autostart"] is True
    assert changed(cycle(name="web1", autostart=False)) == [("autostart", True, False, "config")]


def test_an_address_is_waited_for(vm: Run) -> None:
    """The test driver leases at once; one that never comes is a timeout that says what was done before it."""
    made = vm(name="web1", memory=16, state="running", networks=[{"network": "default"}], wait_for_ip="yes")
    assert made["vm"]["addresses"][0]["source"] == "lease"
    with pytest.raises(WaitTimeout, match="web2 has no address yet, by lease, agent or arp. Waited 1 s") as raised:
        vm(name="web2", memory=16, state="running", wait_for_ip="yes", wait_timeout=1)
    assert [change["path"] for change in raised.value.changes] == ["state", "memory", "state"]
    with pytest.raises(InvalidArgument, match="wait_for_ip: off is to be shutoff, and has no address then"):
        vm(name="off", wait_for_ip="lease")


def test_who_is_undefined_under_a_task_is_not_found(hypervisor: Hypervisor) -> None:
    """And what was done before is said."""
    work = Convergence(hypervisor, Desired("off", None, state="running", autostart=True), check=False)
    work.make()
    work.plan.steps.insert(1, Step([], hypervisor.machine("off").domain.undefine))
    with pytest.raises(NotFound, match="Ask for the state of off: Domain not found") as raised:
        work.plan.run()
    assert [change["path"] for change in raised.value.changes] == ["autostart"]


def test_a_libvirtd_that_goes_during_a_wait_is_said_to_have_gone() -> None:
    """With what was done before; nobody waits for the end of the time."""
    daemon = Libvirtd()
    daemon.start()
    try:
        with Connection(daemon.uri) as connection:
            stop = threading.Timer(1, daemon.halt)
            stop.start()
            with pytest.raises(Unavailable, match="was lost while waiting. new has no address yet") as raised:
                converge(
                    Hypervisor(connection, "hv1"),
                    Desired("new", None, state="running", definition=Definition({"memory": 16}), wait_for_ip="agent"),
                    check=False,
                )
            stop.join()
        assert [change["path"] for change in raised.value.changes] == ["state", "memory", "state"]
    finally:
        daemon.stop()


# -- a whole definition as XML


def test_the_twelve_steps_with_xml(cycle: Run) -> None:
    """The same XML twice changes nothing, whatever libvirt added the first time."""
    made = cycle(xml=XML.format(DEVICES), state="running")
    assert (made["vm"]["uuid"], made["vm"]["managed"]) == (UUID, True)
    altered = cycle(xml=XML.format(DEVICES.replace("/a.img", "/b.img")))
    assert changed(altered) == [("devices/disk[vda]/source/@file", "/a.img", "/b.img", "config")]
    assert altered["vm"]["networks"][0]["mac"] == made["vm"]["networks"][0]["mac"]
    cycle(xml=XML.format(""), state="absent", force=True)


def test_the_same_xml_twice_keeps_the_macs(vm: Run) -> None:
    """The peer: defining the same XML twice changes the MAC every time."""
    first, second = (vm(xml=XML.format(DEVICES)) for _time in range(2))
    assert not second["changed"]
    assert [n["mac"] for n in second["vm"]["networks"]] == [n["mac"] for n in first["vm"]["networks"]]


def test_a_disk_taken_out_of_the_xml_is_noticed(cycle: Run) -> None:
    """And one put in."""
    cycle(xml=XML.format(DEVICES))
    result = cycle(xml=XML.format(""))
    assert {c["path"].partition("[")[0] for c in result["changes"]} == {"devices/disk", "devices/interface"}
    assert result["vm"]["disks"] == []
    assert len(cycle(xml=XML.format(DEVICES))["vm"]["disks"]) == 1


def test_xml_needs_no_uuid_and_no_name_of_its_own(cycle: Run) -> None:
    """The task's name stands for both; the machine keeps its UUID."""
    xml = "<domain type='test'><memory>1024</memory><os><type>hvm</type></os></domain>"
    uuid = cycle(name="new", xml=xml)["vm"]["uuid"]
    assert cycle(name="new", xml=xml.replace("1024", "2048"))["vm"]["uuid"] == uuid
    assert cycle(uuid=uuid, xml=xml)["vm"]["name"] == "new"


def test_xml_makes_a_transient_machine_persistent(cycle: Run, hypervisor: Hypervisor) -> None:
    """It says all that there is to define."""
    xml = hypervisor.machine("transient").domain.XMLDesc()
    assert changed(cycle(xml=xml)) == [("persistent", False, True, "config")]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"xml": XML.format(""), "name": "web2"}, "The XML's name is 'web1', the task's is 'web2'"),
        ({"xml": XML.format(""), "uuid": UUID.replace("a", "c")}, "The XML's uuid is"),
        ({"xml": XML.format(""), "memory": 16}, "xml is a whole definition; memory cannot be given beside it"),
        ({"xml": "<domain type='test'/>", "uuid": UUID}, "The XML has no <name>"),
        ({"xml": "<domain"}, "not well-formed"),
        ({"xml": "", "name": "off"}, "not well-formed"),
        ({"xml": "<network/>"}, "a <domain> is needed"),
        ({"xml": "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain>&a;</domain>"}, "document type declaration"),
        ({"xml": "<domain type='test'><name>n</name></domain>"}, "Define n"),
    ],
)
def test_xml_that_cannot_be_meant_is_refused(vm: Run, task: dict[str, t.Any], reason: str) -> None:
    """With what contradicts what, or what is wrong with it."""
    with pytest.raises(ArchipelError, match=reason):
        vm(**task)


def test_the_xmls_uuid_in_another_case_is_the_same(vm: Run) -> None:
    """As it is in the task."""
    vm(xml=XML.format(""))
    assert not vm(xml=XML.format("").replace(UUID, UUID.upper()), uuid=UUID)["changed"]
