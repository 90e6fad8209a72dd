# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags of machines, both ways, and of the hypervisor, which only its agent keeps."""

from __future__ import annotations

import typing as t

from playbook import assert_cycle, cycle

VM, VM_INFO, VM_TAGS, HYPERVISOR_TAGS = (
    f"archipel.orchestrator.{name}" for name in ("vm", "vm_info", "vm_tags", "hypervisor_tags")
)
UUID = "3c1b1a5e-8a5f-4f4e-9d36-0c5d1e2f3a6"
NAMES = ("tagged1", "tagged2")
MADE = [{VM: {"name": name, "uuid": f"{UUID}{name[-1]}", "memory": 64}} for name in NAMES]
GONE = {VM: {"names": list(NAMES), "state": "absent"}}

Task = dict[str, t.Any]


def test_machines_are_tagged_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """The twelve steps, of one machine and of several; the ways differ in nothing."""
    steps: list[Task] = [
        *MADE,
        *cycle(
            {VM_TAGS: {"name": "tagged1", "tags": ["web", "customer:acme"]}},
            {VM_TAGS: {"name": "tagged1", "tags": ["db"], "tags_mode": "set"}},
            {VM_TAGS: {"name": "tagged1", "tags": ["db"], "tags_mode": "remove"}},
        ),
        *cycle(
            {VM_TAGS: {"names": ["tagged*"], "tags": ["web", "customer:acme"]}},
            {VM_TAGS: {"names": ["tagged1", "tagged2"], "tags": ["db", "web"], "tags_mode": "set"}},
            {VM_TAGS: {"names": ["tagged*"], "tags": [], "tags_mode": "set"}},
        ),
        {VM_TAGS: {"name": "tagged2", "tags": ["web"]}},
        {VM_INFO: {"names": ["tagged*"], "tags": ["web"]}},
        {VM_TAGS: {"name": "tagged2", "tags": ["no tag"]}},
        {VM_TAGS: {"tags": ["web"]}},
        GONE,
    ]
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    assert_cycle(by_libvirt[2:14])
    assert_cycle(by_libvirt[14:26])
    _tagged, found, refused, nobody, _gone = by_libvirt[26:]
    assert [(vm["name"], vm["tags"]) for vm in found["vms"]] == [("tagged2", ["web"])]
    assert "'no tag' cannot be a tag" in refused["msg"]
    assert nobody["msg"].startswith("Name the machine")
    assert over_xmpp == by_libvirt


def test_a_hypervisor_is_tagged_by_its_agent(over: t.Callable[[str], t.Any]) -> None:
    """The twelve steps; libvirt refuses, and says who can."""
    steps = cycle(
        {HYPERVISOR_TAGS: {"tags": ["nvme"]}},
        {HYPERVISOR_TAGS: {"tags": ["fast", "ssd"], "tags_mode": "set"}},
        {HYPERVISOR_TAGS: {"tags": ["fast", "ssd"], "tags_mode": "remove"}},
    )
    _cleared, *results = over("xmpp").play({HYPERVISOR_TAGS: {"tags": [], "tags_mode": "set"}}, *steps)
    assert_cycle(results)
    (refused,) = over("libvirt").play(steps[0])
    assert refused["failed"]
    assert "no place for tags of hv1 itself; its agent keeps them" in refused["msg"]
