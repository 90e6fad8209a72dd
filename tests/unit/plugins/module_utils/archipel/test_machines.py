# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import sys
import threading
import typing as t

import libvirt
import pytest
from archipel.actions import actions_of
from archipel.definition import PARTS
from archipel.errors import InvalidArgument, NotFound, OperationFailed
from archipel.hypervisor import ACTIONS, Hypervisor
from archipel.machines import Machines

Run = t.Callable[..., dict[str, t.Any]]
ALL = {"running", "off", "paused", "saved", "transient", "crashed"}
ARGUMENTS = {"vm": {"name": "off"}, "vm_import": {"name": "*"}, "vm_info": {}}


def named(result: dict[str, t.Any]) -> set[str]:
    return {vm["name"] for vm in result["vms"]}


def test_a_machine_is_told_whole(run: Run) -> None:
    """Identity, state, definition, in numbers that are numbers."""
    told = run("vm_info", name="running")["vms"][0]
    assert told["uuid"] == "aaaaaaaa-0000-4000-8000-000000000001"
    assert (told["state"], told["id"], told["memory"], told["vcpus"]) == ("running", 1, 64, 2)
    assert (told["persistent"], told["autostart"], told["managed"]) == (True, False, False)
    assert told["metadata"] == {"title": "", "description": "", "location": ""}
    assert told["hypervisor"] == "hv1"
    assert run("vm_info", name="off")["vms"][0]["id"] is None


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ALL),
        ({"name": "off"}, {"off"}),
        ({"name": "nobody"}, set()),
        ({"name": "*a*"}, {"paused", "saved", "transient", "crashed"}),
        ({"name": "?ff"}, {"off"}),
        ({"name": "OFF"}, set()),
        ({"names": ["off", "run*"]}, {"off", "running"}),
        ({"names": []}, set()),
        ({"name": "saved", "names": ["off"]}, {"off", "saved"}),
        ({"state": ["running"]}, {"running", "transient"}),
        ({"state": ["paused", "shutoff"]}, {"paused", "off", "saved"}),
        ({"state": ["pmsuspended"]}, set()),
        ({"uuid": "AAAAAAAA-0000-4000-8000-000000000002"}, {"off"}),
        ({"uuid": "aaaaaaaa000040008000000000000002", "state": ["running"]}, set()),
        ({"uuid": "aaaaaaaa-0000-4000-8000-000000000002", "name": "running"}, set()),
        ({"uuid": "aaaaaaaa-0000-4000-8000-0000000000ff"}, set()),
    ],
)
def test_machines_are_selected(run: Run, asked: dict[str, t.Any], found: set[str]) -> None:
    """By names and patterns, of which any is to fit, by state, by UUID in any form."""
    assert named(run("vm_info", **asked)) == found


def test_a_name_with_signs_of_a_pattern_is_found(vm: Run, run: Run) -> None:
    """A name means itself, whatever its signs mean in a pattern."""
    vm(name="web[1]", memory=16)
    assert named(run("vm_info", name="web[1]")) == {"web[1]"}
    assert run("vm_import", name="web[1]", state="absent")["changed"]


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 7])
@pytest.mark.parametrize("more", [{}, {"state": ["running", "shutoff"]}])
def test_pages_are_complete_and_without_duplicates(run: Run, limit: int, more: dict[str, t.Any]) -> None:
    """Each continues after the last machine of the one before; the last says that it is."""
    pages = [run("vm_info", limit=limit, **more)]
    while pages[-1]["next"]:
        assert len(pages[-1]["vms"]) == limit
        pages.append(run("vm_info", limit=limit, after=pages[-1]["next"].upper(), **more))
    together = [vm["uuid"] for page in pages for vm in page["vms"]]
    assert together == sorted(vm["uuid"] for vm in run("vm_info", **more)["vms"])


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_has_room_for_a_machine(run: Run, limit: int) -> None:
    """Another limit is refused."""
    with pytest.raises(InvalidArgument, match="limit"):
        run("vm_info", limit=limit)


def test_of_a_definition_those_parts_are_told_that_are_asked_for(run: Run) -> None:
    """The others are left out; none are told of where none is asked for."""
    (whole,), (disks,), (none,) = (run("vm_info", name="running", **more)["vms"]
                                   for more in ({}, {"parts": ["disks"]}, {"parts": []}))  # fmt: skip
    assert none == {key: value for key, value in whole.items() if key not in PARTS}
    assert disks == {**none, "disks": whole["disks"]}


def test_what_is_told_of_all_is_what_each_tells(run: Run, hypervisor: Hypervisor) -> None:
    """The bulk of libvirt's answers is put together rightly."""
    hypervisor.machine("off").domain.setAutostart(1)
    for told in run("vm_info")["vms"]:
        assert told == hypervisor.machine(uuid=told["uuid"]).describe()


def test_what_libvirt_is_asked_grows_with_the_machines_alone(run: Run, hypervisor: Hypervisor) -> None:
    """The peer looks through all of them for each: info of 1,000 machines takes 29 s."""
    xml = "<domain type='test'><name>m{}</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    asked = [0]

    def note(_frame: object, event: str, what: t.Any) -> None:
        asked[-1] += event == "c_call" and what.__module__ == "libvirtmod"

    for number in range(40):
        hypervisor.connection.handle.defineXML(xml.format(number))
        if number + 1 in (20, 40):
            asked.append(0)
            sys.setprofile(note)
            try:
                told = run("vm_info", name="m*")["vms"]
            finally:
                sys.setprofile(None)
            assert len(told) == number + 1
    _before, twenty, forty = asked
    assert 0 < forty - twenty < 20 * 12


def test_machines_that_go_and_come_are_no_error(run: Run, vm: Run, hypervisor: Hypervisor) -> None:
    """While they are told of, others start, stop and vanish."""
    over = threading.Event()
    xml = hypervisor.machine("transient").domain.XMLDesc()
    handle = hypervisor.connection.handle

    def come_and_go() -> None:
        while not over.is_set():
            handle.lookupByName("transient").destroy()
            handle.createXML(xml)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _round in range(50):
            assert named(run("vm_info")) >= ALL - {"transient"}
            assert run("hypervisor_info")["hypervisor"]["machines"]["total"] in (5, 6)
            assert not run("vm_import", name="*", state="absent")["changed"]
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("name", sorted(ALL))
def test_adopting_and_letting_go(run: Run, hypervisor: Hypervisor, name: str) -> None:
    """Running or off, in check mode and for real, and again: the machine does not notice."""
    machine = hypervisor.machine(name)
    before = (machine.status, machine.domain.ID())
    for state, managed in (("present", True), ("absent", False)):
        planned = run("vm_import", name=name, state=state, check=True)
        assert machine.managed is not managed
        done = run("vm_import", name=name, state=state)
        assert machine.managed is managed
        assert done["changes"] == [{"path": f"{name}.managed", "old": not managed, "new": managed, "scope": "config"}]
        assert {**planned, "msg": ""} == {**done, "msg": ""}
        assert run("vm_import", name=name, state=state)["changed"] is False
        assert run("vm_info", name=name)["vms"][0]["managed"] is managed
    assert (machine.status, machine.domain.ID()) == before


def test_adopting_leaves_what_others_wrote(run: Run, hypervisor: Hypervisor) -> None:
    """Metadata of other programs, title and description."""
    domain = hypervisor.machine("off").domain
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<theirs a='1'/>", "them", "urn:them", flags)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "Theirs", None, None, flags)
    before = domain.XMLDesc()
    run("vm_import", name="off")
    assert "urn:them" in domain.XMLDesc()
    run("vm_import", name="off", state="absent")
    assert domain.XMLDesc() == before


def test_all_are_adopted_by_one_pattern(run: Run) -> None:
    """Each is named in what changed."""
    result = run("vm_import", name="*")
    assert named(result) == ALL
    assert len(result["changes"]) == 6
    assert result["msg"] == "crashed, off, paused, running, saved, transient adopted."
    assert run("vm_import", name="*")["msg"] == "All are as asked."


def test_a_pattern_may_find_nobody_and_a_name_may_not(run: Run) -> None:
    """Who is named has to be there."""
    assert run("vm_import", name="nobody*")["vms"] == []
    with pytest.raises(NotFound, match="'nobody'"):
        run("vm_import", name="nobody")
    with pytest.raises(InvalidArgument, match="Name the domains"):
        run("vm_import")


def test_names_are_nothing_but_text_in_a_sentence(vm: Run, run: Run) -> None:
    """A name in the form of a placeholder is said as it is."""
    actions = ACTIONS
    made = vm(name="{changed.__class__}", memory=16)
    assert actions["vm"].sentence(made).startswith("{changed.__class__}: changed")
    assert "{changed.__class__}: shutoff" in actions["vm_info"].sentence(run("vm_info"))
    assert "{changed.__class__}" in actions["vm_import"].sentence(run("vm_import", name="*", state="absent"))


# -- several at once


def test_several_machines_are_brought_to_the_same(vm: Run) -> None:
    """By names, also new ones, and by patterns; check mode tells what the run does, and then nothing is left."""
    asked = {"names": ["new", "p*", "off", "off"], "memory": 32, "autostart": True}
    planned, done, again = vm(**asked, check=True), vm(**asked), vm(**asked)
    assert [machine["name"] for machine in done["vms"]] == ["new", "paused", "off"]
    assert (planned["changes"], planned["diff"]) == (done["changes"], done["diff"])
    assert {"path": "off.memory", "old": 64, "new": 32, "scope": "config"} in done["changes"]
    assert {"path": "new.state", "old": "absent", "new": "shutoff", "scope": "config"} in done["changes"]
    assert done["msg"] == "new, paused, off: changed."
    assert (again["changed"], again["msg"]) == (False, "All are as asked.")
    assert [machine["state"] for machine in again["vms"]] == ["shutoff", "paused", "shutoff"]


def test_one_that_fails_does_not_stop_the_others(vm: Run, run: Run) -> None:
    """The task fails, and says what was done."""
    with pytest.raises(OperationFailed, match=r"1 of 3 failed. There is no machine 'nobody' on hv1") as raised:
        vm(names=["off", "nobody", "paused"], state="running")
    assert [change["path"] for change in raised.value.changes] == ["off.state", "paused.state"]
    assert [machine["state"] for machine in run("vm_info", names=["off", "paused"])["vms"]] == ["running"] * 2


def test_several_machines_are_named_by_names_alone(vm: Run) -> None:
    """A pattern that fits nobody means nobody."""
    assert vm(names=["nobody*"], state="running")["vms"] == []
    for more in ({"name": "off"}, {"uuid": "aaaaaaaa-0000-4000-8000-000000000002"}, {"xml": "<domain/>"}):
        with pytest.raises(InvalidArgument, match="names: several machines are named by it alone"):
            vm(names=["off"], **more)


def test_these_are_the_actions_of_machines() -> None:
    """Each of them is said below."""
    assert set(ARGUMENTS) == {name for name, action in actions_of(Machines, "hypervisor").items() if not action.long}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_each_action_has_a_sentence_for_its_result(run: Run, name: str) -> None:
    """Whatever it did, the answer can be said, and it is data that can be sent."""
    action = ACTIONS[name]
    results = [run(name, **ARGUMENTS[name]) for _call in range(2)]
    if name == "vm_info":
        results.append(run(name, name="nobody"))
    if name == "vm":
        results += [
            run(name, name="off", state=state) for state in ("running", "paused", "destroyed", "absent", "absent")
        ]
    for result in results:
        assert action.sentence(result).strip()
        assert json.loads(json.dumps(result)) == result
        assert isinstance(result["changed"], bool)
