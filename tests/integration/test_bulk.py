# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same asked of many machines in one task, both ways."""

from __future__ import annotations

import typing as t

from playbook import assert_cycle, cycle

VM, VM_BULK = "archipel.orchestrator.vm", "archipel.orchestrator.vm_bulk"
UUID = "4d2c2b6f-8a5f-4f4e-9d36-0c5d1e2f3a"

Task = dict[str, t.Any]


def made(*names: str) -> list[Task]:
    """Machines that are off, always the same ones."""
    return [{VM: {"name": name, "uuid": f"{UUID}{name[-2:]}", "memory": 64}} for name in names]


def gone(*names: str) -> Task:
    return {VM: {"names": list(names), "state": "absent", "force": True}}


def test_many_are_asked_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """The twelve steps; the ways differ in nothing."""
    steps: list[Task] = [
        *made("mass11", "mass12"),
        *cycle(
            {VM_BULK: {"machines": ["mass1*"], "state": "running"}},
            {VM_BULK: {"machines": ["mass1*"], "action": "vm_tags", "arguments": {"tags": ["web"]}}},
            {VM_BULK: {"machines": ["mass11", "mass12"], "state": "absent", "arguments": {"force": True}}},
        ),
    ]
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    assert_cycle(by_libvirt[2:])
    assert over_xmpp == by_libvirt


def test_what_fails_is_told_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """The task fails with what became of each machine, who was not asked any more and who is not there."""
    steps: list[Task] = [
        *made("mass21", "mass22"),
        {VM_BULK: {"machines": ["mass2*"], "action": "pause", "max_fail_percentage": 0, "max_parallel": 1}},
        {VM_BULK: {"machines": ["mass21", "mass29"], "action": "vm_tags", "arguments": {"tags": []}}},
        {VM_BULK: {"state": "running"}},
        gone("mass21", "mass22"),
    ]
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    stopped, missing, nobody = by_libvirt[2:5]
    assert stopped["failed"]
    assert [vm.get("not_tried", False) for vm in stopped["vms"]] == [False, True]
    assert "mass21 is shutoff" in stopped["msg"]
    assert (missing["failed"], missing["missing"], missing["counts"]["selected"]) == (True, ["mass29"], 1)
    assert "say which machines" in nobody["msg"]
    assert over_xmpp == by_libvirt


def test_each_hypervisor_is_asked_for_its_part(over: t.Callable[[str], t.Any]) -> None:
    """One that is not there fails the task, after the others have done their part; a site names hypervisors too."""
    xmpp, libvirt = over("xmpp"), over("libvirt")
    running = {"machines": ["mass3*"], "state": "running"}
    _one, _two, absent, again, elsewhere, _gone = xmpp.play(
        *made("mass31", "mass32"),
        {VM_BULK: {**running, "hypervisors": ["hv1", "hv9"], "max_parallel_total": 4}},
        {VM_BULK: {**running, "hypervisors": ["hv*"], "sites": ["lab-1"], "max_parallel_total": 1}},
        {VM_BULK: {**running, "sites": ["lab-9"]}},
        gone("mass31", "mass32"),
    )
    assert (absent["failed"], absent["counts"]["changed"]) == (True, 2)
    assert [(each["name"], "error" in each) for each in absent["hypervisors"]] == [("hv1", False), ("hv9", True)]
    assert "hv9: hv9@" in absent["msg"]
    assert (again["failed"], again["counts"]["unchanged"]) == (False, 2)
    assert elsewhere["msg"] == "There is no hypervisor * at lab-9 on the platform."
    (refused,) = libvirt.play({VM_BULK: {**running, "hypervisors": ["*"]}})
    assert refused["msg"] == "hypervisors: that goes with via: xmpp."
