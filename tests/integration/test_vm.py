# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of machines and hypervisors, over libvirt and over XMPP, on the same libvirtd."""

from __future__ import annotations

import typing as t

from playbook import assert_cycle, cycle

UUID = "3c1b1a5e-8a5f-4f4e-9d36-0c5d1e2f3a4b"
VM = "archipel.orchestrator.vm"
XML = """
<domain type='test'>
  <name>from-xml</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type>hvm</type></os>
</domain>
"""

CREATE = {VM: {"name": "web1", "uuid": UUID, "memory": 128, "state": "running", "metadata": {"title": "Web"}}}
CHANGE = {VM: {"name": "web1", "memory": 256, "vcpus": 2, "metadata": {"title": "Web server"}, "state": "shutdown"}}
DELETE = {VM: {"name": "web1", "state": "absent"}}


def told(results: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Results without what differs from run to run: libvirt's number of a running machine."""
    for result in results:
        result.get("vm", {}).pop("id", None)
    return results


def test_a_machine_comes_changes_and_goes_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """Check mode tells what the run does, a second run does nothing, and the ways differ in nothing."""
    steps = cycle(CREATE, CHANGE, DELETE)
    by_libvirt = over("libvirt").play(*steps)
    assert_cycle(by_libvirt)
    over_xmpp = over("xmpp").play(*steps)
    assert_cycle(over_xmpp)
    assert told(over_xmpp) == told(by_libvirt)


def test_a_machine_made_from_xml_is_the_same_at_the_second_run(ansible: t.Any) -> None:
    define = {VM: {"xml": XML.format(uuid=UUID)}}
    change = {VM: {"xml": XML.format(uuid=UUID).replace(">64<", ">96<")}}
    assert_cycle(ansible.play(*cycle(define, change, {VM: {"uuid": UUID, "state": "absent"}})))


def test_every_state_is_reached_and_then_held(ansible: t.Any) -> None:
    # The test driver cannot start a machine paused.
    states = ("present", "running", "paused", "running", "shutdown", "running", "paused", "destroyed")
    steps = [{VM: {"name": "states", "memory": 64, "state": state}} for state in states for _again in range(2)]
    *results, gone = ansible.play(*steps, {VM: {"name": "states", "state": "absent"}})
    assert [result["changed"] for result in results] == [True, False] * len(states)
    reached = {"present": "shutoff", "shutdown": "shutoff", "destroyed": "shutoff"}
    assert [result["vm"]["state"] for result in results[::2]] == [reached.get(state, state) for state in states]
    assert gone["changed"]


def test_info_of_machines_and_of_the_hypervisor_is_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    steps = (
        {"archipel.orchestrator.vm_info": {}},
        {"archipel.orchestrator.vm_info": {"name": "te*", "state": ["running"], "addresses": "lease"}},
        {"archipel.orchestrator.vm_info": {"names": ["nobody", "nothing*"]}},
        {"archipel.orchestrator.vm_info": {"limit": 1}},
        {"archipel.orchestrator.vm_info": {"parts": []}},
        {"archipel.orchestrator.hypervisor_info": {}},
    )
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    everything, named, nobody, limited, brief, hypervisor = by_libvirt
    assert [vm["name"] for vm in named["vms"]] == ["test"]
    assert named["vms"][0] in everything["vms"] or named["vms"][0]["addresses"]
    assert nobody["vms"] == []
    assert len(limited["vms"]) == 1
    assert [vm.items() < whole.items() for vm, whole in zip(brief["vms"], everything["vms"], strict=True)] == [True]
    assert hypervisor["hypervisor"]["name"] == "hv1"
    # What its agent alone knows of it.
    sites, places, tags = (
        [way[-1]["hypervisor"].pop(key) for way in (by_libvirt, over_xmpp)] for key in ("site", "coordinates", "tags")
    )
    assert sites == [None, "lab-1"]
    assert places == [None, {"latitude": 46.2, "longitude": 6.0}]
    assert (tags[0], type(tags[1])) == (None, list)
    assert over_xmpp == by_libvirt


def test_foreign_machines_are_adopted_and_let_go_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """First one, then another beside it, then both again."""
    other = {"name": "test-2", "uuid": "11111111-2222-4333-8444-555555555555"}

    def adopted(name: str, state: str = "present") -> dict[str, t.Any]:
        return {"archipel.orchestrator.vm_import": {"name": name, "state": state}}

    def played(via: str) -> list[dict[str, t.Any]]:
        steps = cycle(adopted("test"), adopted("test*"), adopted("test*", "absent"))
        foreign = ({VM: {**other, "memory": 64}}, adopted(other["name"], "absent"))
        _made, _foreign, *results, gone = over(via).play(*foreign, *steps, {VM: {**other, "state": "absent"}})
        assert gone["changed"]
        return results

    by_libvirt = played("libvirt")
    assert_cycle(by_libvirt)
    assert [change["path"] for change in by_libvirt[5]["changes"]] == ["test-2.managed"]
    assert [change["path"] for change in by_libvirt[9]["changes"]] == ["test.managed", "test-2.managed"]
    assert played("xmpp") == by_libvirt


def test_a_machine_that_is_there_already_does_not_move(ansible: t.Any) -> None:
    (result,) = ansible.play({"archipel.orchestrator.vm_migrate": {"name": "test", "destination": "hv1"}})
    assert not result["failed"], result
    assert not result["changed"]


REFUSED = (
    ({"name": "x", "memry": 1}, "memry"),
    ({"name": "x", "memory": "much"}, "much"),
    ({"name": "x", "state": "runing"}, "runing"),
    ({"name": "x", "memory": -1}, "memory"),
    ({}, "name"),
    ({"name": "a/b", "memory": 64}, "a/b"),
    ({"uuid": "12", "state": "running"}, "12"),
    ({"name": "x", "disks": [{"path": "relative"}], "memory": 64}, "relative"),
    ({"name": "x", "disks": [{"pth": "/x"}], "memory": 64}, "pth"),
    ({"xml": "<domain><name>x</domain>"}, "XML"),
    (
        {"xml": "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><domain><name>&b;</name></domain>"},
        "document type declaration",
    ),
)


def test_bad_input_is_refused_in_the_same_words_both_ways(over: t.Callable[[str], t.Any]) -> None:
    tasks = [{VM: arguments} for arguments, _complaint in REFUSED]
    by_libvirt, over_xmpp = over("libvirt").play(*tasks), over("xmpp").play(*tasks)
    for (_arguments, complaint), here, there in zip(REFUSED, by_libvirt, over_xmpp, strict=True):
        assert here["failed"]
        assert not here["changed"]
        assert complaint in here["msg"]
        assert "Traceback" not in str(here)
        assert there["failed"]
        assert not there["changed"]
        assert there["msg"] == here["msg"]


def test_an_unknown_machine_is_not_found_in_the_same_words_both_ways(over: t.Callable[[str], t.Any]) -> None:
    task = {"archipel.orchestrator.vm_migrate": {"name": "nobody", "destination": "hv1"}}
    (by_libvirt,), (over_xmpp,) = over("libvirt").play(task), over("xmpp").play(task)
    assert by_libvirt["failed"]
    assert "nobody" in by_libvirt["msg"]
    assert over_xmpp["msg"] == by_libvirt["msg"]


def test_a_name_with_template_characters_stays_a_name(ansible: t.Any) -> None:
    """What a hypervisor says is never rendered on the controller."""
    name = "{{ 'ren' ~ 'dered' }}"
    raw = "{% raw %}" + name + "{% endraw %}"
    made, asked, shown, gone = ansible.play(
        {VM: {"name": raw, "memory": 64}},
        {"archipel.orchestrator.vm_info": {"name": raw}},
        {"ansible.builtin.debug": {"msg": "{{ result_1.vms[0].name }} of {{ result_1.vms | map(attribute='name') }}"}},
        {VM: {"name": raw, "state": "absent"}},
    )
    assert made["changed"], made
    assert asked["vms"][0]["name"] == name
    assert name in shown["msg"]
    assert "rendered" not in shown["msg"]
    assert gone["changed"]


def test_a_loop_of_one_task_shares_a_connection(over: t.Callable[[str], t.Any], platform: t.Any) -> None:
    """Each login is a line in the server's log."""
    log = platform.server.directory / "ejabberd.log"
    before = log.read_text().count("Opened c2s session for admin@")
    (result,) = over("xmpp").play(
        {"archipel.orchestrator.vm_info": {"name": "{{ item }}"}, "loop": [f"m{number}" for number in range(20)]}
    )
    assert len(result["results"]) == 20
    assert log.read_text().count("Opened c2s session for admin@") == before + 1
