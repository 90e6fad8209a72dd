# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

import libvirt
import pytest
from archipel import lifecycle
from archipel.actions import actions_of
from archipel.errors import Conflict, InvalidArgument, OperationFailed
from archipel.hypervisor import MACHINE_ACTIONS, Hypervisor
from archipel.machine import Machine

# What is declared of a machine itself. What its hypervisor has for it is tested with the thing that it is about.
OWN = sorted(actions_of(Machine, "machine"))
BEGIN = ("running", "off", "paused", "transient", "crashed")


@pytest.fixture
def machine(hypervisor: Hypervisor, request: pytest.FixtureRequest) -> Machine:
    return hypervisor.machine(request.param)


def act(machine: Machine, name: str, **untrusted: t.Any) -> dict[str, t.Any]:
    result: dict[str, t.Any] = MACHINE_ACTIONS[name].function(machine, **MACHINE_ACTIONS[name].bind(untrusted))
    return result


@pytest.mark.parametrize("machine", BEGIN, indirect=True)
@pytest.mark.parametrize("name", OWN)
def test_each_action_in_each_state_is_done_or_refused_with_a_reason(machine: Machine, name: str) -> None:
    """A result can be sent and said; a refusal is a Conflict that says what to do. Nothing else comes out."""
    old = machine.status[0]
    refusal = None
    try:
        result = act(machine, name)
    except Conflict as error:
        refusal = error.message
    if refusal is not None:
        assert machine.status[0] == old
        assert refusal.startswith(machine.name)
        return
    assert json.loads(json.dumps(result)) == result
    assert MACHINE_ACTIONS[name].sentence(result).strip()
    if MACHINE_ACTIONS[name].changes:
        assert result["state"] in lifecycle.STATES
        assert result["changed"] == (name in ("reboot", "reset") or result["state"] != old)


@pytest.mark.parametrize("machine", ["running", "off", "paused"], indirect=True)
@pytest.mark.parametrize("name", ["start", "shutdown", "destroy", "pause", "resume", "save"])
def test_again_changes_nothing(machine: Machine, name: str) -> None:
    """What is so already is said to be."""
    try:
        act(machine, name)
    except Conflict:
        return
    again = act(machine, name)
    assert (again["changed"], again["changes"]) == (False, [])
    assert "already" in MACHINE_ACTIONS[name].sentence(again)


@pytest.mark.parametrize("machine", ["paused"], indirect=True)
def test_a_paused_machine_cannot_hear(machine: Machine) -> None:
    """Its request to shut down would wait for ever."""
    with pytest.raises(Conflict, match="resume it first"):
        act(machine, "shutdown")
    assert act(machine, "start")["changes"] == [{"path": "state", "old": "paused", "new": "running", "scope": "live"}]


@pytest.mark.parametrize("machine", ["transient"], indirect=True)
def test_a_transient_machine_is_gone_when_it_is_off(machine: Machine) -> None:
    """That is no error, and it has shut down."""
    result = act(machine, "shutdown")
    assert result["state"] == "shutoff"
    assert MACHINE_ACTIONS["shutdown"].sentence(result) == "I have shut down."


def test_a_sentence_does_not_claim_what_was_only_asked_for() -> None:
    """Without waiting a machine may still run."""
    asked = {"changed": True, "state": "running"}
    assert MACHINE_ACTIONS["shutdown"].sentence(asked) == "I am shutting down."
    assert MACHINE_ACTIONS["start"].sentence({"changed": True, "state": "shutoff"}) == "I am starting."


@pytest.mark.parametrize("machine", ["running"], indirect=True)
def test_it_tells_how_it_is(machine: Machine) -> None:
    """In the first person, with its size."""
    told = act(machine, "state")
    assert (
        MACHINE_ACTIONS["state"].sentence(told)
        == "I am running. I am running on hv1, with 64 MiB of memory and 2 vCPUs."
    )
    assert act(machine, "info")["vm"] == machine.describe()
    assert "<name>running</name>" in act(machine, "xml")["xml"]


@pytest.mark.parametrize("machine", ["running"], indirect=True)
def test_its_xml_has_no_passwords(machine: Machine) -> None:
    """Whoever may view may not know them."""
    xml = machine.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    graphics = "<graphics type='vnc' passwd='letmein1'/></devices>"
    machine.hypervisor.connection.handle.defineXML(xml.replace("</devices>", graphics))
    assert "letmein1" in machine.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    assert "letmein1" not in act(machine, "xml", inactive=True)["xml"]


@pytest.mark.parametrize("machine", ["running"], indirect=True)
@pytest.mark.parametrize("source", ["none", "lease", "agent", "arp"])
def test_addresses_that_nobody_knows_are_none(machine: Machine, source: str) -> None:
    """A driver without is no failure."""
    assert isinstance(machine.addresses(source), list)


@pytest.mark.parametrize("machine", ["crashed"], indirect=True)
def test_a_crash_ends_the_wait(machine: Machine) -> None:
    """What cannot be reached any more is not waited for."""
    with pytest.raises(OperationFailed, match="crashed has crashed"):
        machine._reached(("shutoff",))
    assert machine._reached(("crashed",))


@pytest.mark.parametrize("machine", ["running"], indirect=True)
def test_metadata_is_written_at_once_and_for_good(machine: Machine) -> None:
    """Into what runs and into the configuration; what is not named stays; an empty text takes away."""
    machine.set_metadata({"title": "A", "description": "B", "location": "C"})
    machine.set_metadata({"title": "", "location": "D"})
    for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
        xml = machine.domain.XMLDesc(flags)
        assert "<title>" not in xml
        assert "<description>B</description>" in xml
        assert "<archipel:location>D</archipel:location>" in xml


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATED, "migrated"),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR, "ioerror"),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, "crashed"),
        (libvirt.VIR_DOMAIN_SHUTDOWN, libvirt.VIR_DOMAIN_SHUTDOWN_USER, "user"),
        (libvirt.VIR_DOMAIN_PMSUSPENDED, 0, "unknown"),
        (libvirt.VIR_DOMAIN_NOSTATE, 0, "unknown"),
        (libvirt.VIR_DOMAIN_RUNNING, 99, "unknown"),
        (99, 0, "unknown"),
    ],
)
def test_reasons_are_libvirts_words(state: int, reason: int, word: str) -> None:
    """One that a newer libvirt has is unknown."""
    assert lifecycle.reason_name(state, reason) == word


def test_states_are_libvirts_words() -> None:
    """In the order of virDomainState."""
    for number, name in enumerate(lifecycle.STATES):
        assert getattr(libvirt, f"VIR_DOMAIN_{name.upper()}") == number
        assert lifecycle.state_name(number) == name
    assert lifecycle.state_name(99) == "nostate"


def test_an_address_that_comes_without_an_event_is_noticed(hypervisor: Hypervisor, monkeypatch: t.Any) -> None:
    """libvirt tells of no lease; it is asked each second."""
    machine = hypervisor.machine("running")
    answers = iter([[], [], [{"address": "192.0.2.1"}]])
    monkeypatch.setattr(Machine, "addresses", lambda _machine, _source: next(answers))
    machine.await_address("lease", 10)
    assert next(answers, None) is None


def test_who_is_off_gets_no_address(hypervisor: Hypervisor) -> None:
    """Nobody waits for it to the end."""
    with pytest.raises(Conflict, match="off is shutoff and gets no address"):
        hypervisor.machine("off").await_address("any", 60)


def test_a_shutdown_that_is_forced_needs_somebody_who_waits(hypervisor: Hypervisor) -> None:
    """Or nobody would find out."""
    with pytest.raises(InvalidArgument, match="force_after: who does not wait"):
        hypervisor.machine("running").shutdown(wait=False, force_after=1)
