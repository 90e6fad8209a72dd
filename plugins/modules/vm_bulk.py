#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_bulk
short_description: Ask the same of many virtual machines
version_added: 0.2.0
description:
  - Brings machines to a state, or has an action done to each of them. Which machines is said by name, pattern, UUID,
    tag or state, and over XMPP on as many hypervisors as wanted; thousands in one task.
  - Each hypervisor gets one request, and does its part of it with O(max_parallel) machines at a time.
  - The task fails if anything fails. What became of each machine is in RV(vms) then too.
  - Who has rights to some machines only reaches those. Machines of others that fit a pattern, a tag or a state are
    left out; one that is named is told as missing.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_bulk
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
options:
  hypervisors:
    description:
      - Names or patterns of the hypervisors whose machines are meant. By default it is O(hypervisor) alone.
      - Only with O(via=xmpp), as are O(sites), O(max_parallel_total) and O(timeout).
    type: list
    elements: str
  sites:
    description:
      - Only hypervisors that stand at one of these sites; without O(hypervisors), all of those.
    type: list
    elements: str
  max_parallel_total:
    description:
      - How many machines are at it at the same time on all hypervisors together. It is divided among the hypervisors
        beforehand; where there are more of them than that, so many are asked at a time, each for one machine at a time.
    type: int
  timeout:
    description:
      - How many seconds to wait for each hypervisor. What is not done by then goes on there.
    type: int
    default: 3600
attributes:
  check_mode:
    description: Tells what the run would change, without changing it.
    support: partial
    details:
      - Of actions that have no check mode of their own, like C(reboot), nothing is told. States have one.
  diff_mode:
    details:
      - Shows it by machine.
notes:
  - When O(max_fail_percentage) stops a hypervisor, those that have not been asked yet are not asked.
seealso:
  - module: archipel.orchestrator.vm
  - module: archipel.orchestrator.schedule
"""

EXAMPLES = r"""
- name: All machines that are tagged web are on, ten at a time on each hypervisor
  archipel.orchestrator.vm_bulk:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisors: ['*']
    tags: [web]
    state: running
    max_parallel: 10

- name: What runs gets a snapshot, until one of ten has failed
  archipel.orchestrator.vm_bulk:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    machines: [web*, db*]
    states: [running]
    action: vm_snapshot
    arguments:
      snapshot: before-update
    max_fail_percentage: 10

- name: The machines of an inventory group shut down, by force after two minutes
  archipel.orchestrator.vm_bulk:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisors: [hv1]
    machines: "{{ groups['tag_test'] | default([]) | map('extract', hostvars, 'archipel_uuid') | list + ['test-*'] }}"
    state: shutdown
    arguments:
      force_after: 120
  register: stopped

- name: Machines of the task's host are off
  archipel.orchestrator.vm_bulk:
    machines: [lab-*]
    state: destroyed
"""

RETURN = r"""
msg:
  description: What was or would be changed, in a sentence, with the first failures.
  type: str
  returned: always
counts:
  description: How many machines were C(selected), and of them C(changed), C(unchanged), C(failed), C(not_tried).
  type: dict
  returned: always
missing:
  description: What O(machines) names and no hypervisor has.
  type: list
  elements: str
  returned: always
hypervisors:
  description: The counts of each hypervisor by C(name), and why it C(stopped), or the C(error) that it answered.
  type: list
  elements: dict
  returned: always
changes:
  description: Each change by itself, in the words that a task uses, with the machine's name before it.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: What changed, for example C(web1.state).
      type: str
    old:
      description: What was there; null for nothing.
      type: raw
    new:
      description: What is there now; null for nothing.
      type: raw
    scope:
      description: V(live) for what took effect at once, V(config) for what the definition says from now on.
      type: str
vms:
  description: What became of each machine, by hypervisor and name.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    hypervisor:
      description: Name of its hypervisor.
      type: str
    changed:
      description: Whether anything was or would be changed.
      type: bool
    msg:
      description: What was or would be done, or why it failed.
      type: str
    changes:
      description: Its changes, where there are any.
      type: list
      elements: dict
    restart_reasons:
      description: What waits for its next start, where anything does.
      type: list
      elements: str
    error:
      description: "Of one that failed: C(code) is the kind of failure, then C(msg), and C(changes) before it."
      type: dict
    not_tried:
      description: That it was not asked any more.
      type: bool
    result:
      description: What an action that changes nothing answered.
      type: dict
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import BULK
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.hypervisor import Hypervisor


def main() -> None:
    run_action(Hypervisor, "vm_bulk", more=BULK)


if __name__ == "__main__":
    main()
