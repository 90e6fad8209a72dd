#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: What virtual machines are
version_added: 0.1.0
description:
  - Tells everything about the machines of a hypervisor, or about those that are named. Thousands in one call.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
seealso:
  - module: archipel.orchestrator.vm
  - module: archipel.orchestrator.hypervisor_info
"""

EXAMPLES = r"""
- name: Every machine of the task's host
  archipel.orchestrator.vm_info:
  register: machines

- name: Those that run and are called web, with their addresses, over XMPP
  archipel.orchestrator.vm_info:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web*
    state: [running]
    addresses: lease
  register: web
"""

RETURN = r"""
vms:
  description: The machines, ordered by UUID.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    id:
      description: libvirt's number of a machine that is on; null for one that is off.
      type: int
    hypervisor:
      description: Name of its hypervisor.
      type: str
    state:
      description: V(running), V(blocked), V(paused), V(shutdown), V(shutoff), V(crashed) or V(pmsuspended).
      type: str
    reason:
      description: libvirt's word for how it came into that state.
      type: str
    persistent:
      description: Whether its definition stays when it is off.
      type: bool
    autostart:
      description: Whether it starts with its hypervisor.
      type: bool
    managed:
      description: Whether it was made or adopted through Archipel.
      type: bool
    type:
      description: Hypervisor type, for example V(kvm).
      type: str
    arch:
      description: Architecture.
      type: str
    machine:
      description: Machine type.
      type: str
    memory:
      description: Memory in MiB.
      type: int
    vcpus:
      description: Number of virtual CPUs.
      type: int
    cpu:
      description: The virtual CPU, in the keys of M(archipel.orchestrator.vm).
      type: dict
    boot:
      description: How it boots, in the keys of M(archipel.orchestrator.vm).
      type: dict
    metadata:
      description: Title, description and location.
      type: dict
    disks:
      description: Its disks, in the keys of M(archipel.orchestrator.vm).
      type: list
      elements: dict
    networks:
      description: Its network interfaces, in the keys of M(archipel.orchestrator.vm).
      type: list
      elements: dict
    addresses:
      description: "Its addresses, where they were asked for: C(address), C(prefix), C(mac), C(source)."
      type: list
      elements: dict
next:
  description: What to give as O(after) for the machines after O(limit); null when these were all.
  type: str
  returned: success
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action


def main() -> None:
    run_action("vm_info")


if __name__ == "__main__":
    main()
