#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_migrate
short_description: Move a virtual machine to another hypervisor
version_added: 0.1.0
description:
  - Moves a machine from the task's hypervisor to another one, running or not. A machine that is there already stays.
  - The two libvirt daemons move it between themselves. It is on exactly one side at any time.
  - The disks and snapshots of a machine that is off are sent by whoever runs the task, O(hypervisor)'s agent over XMPP,
    through a connection to the destination's libvirt.
  - Over XMPP the hypervisors' agents find each other by O(destination); over libvirt alone give O(destination_uri).
  - Before anything moves, the destination looks at what the machine needs, in check mode too. All that forbids the move
    is told at once, each with its remedy; what does not is in RV(findings).
  - Of a running machine that keeps its snapshots (O(snapshots=keep)) libvirt knows none while it moves. Over XMPP they
    come back whoever is killed meanwhile; over libvirt alone they do not, if the task's process is.
  - Volumes for disks that are copied are made at the destination, and removed again when the machine does not come.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_migrate
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows the hypervisor before and after.
seealso:
  - module: archipel.orchestrator.vm
  - module: archipel.orchestrator.vm_info
"""

EXAMPLES = r"""
- name: A machine moves while it runs, with its disks
  archipel.orchestrator.vm_migrate:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1
    destination: hv2
    copy_storage: all

- name: What would speak against it, with the pools and networks of the other hypervisor
  archipel.orchestrator.vm_migrate:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1
    destination: hv2
    copy_storage: all
    storage_map: {default: fast}
    network_map: {lan: office}
    remove_source_volumes: owned
  check_mode: true

- name: A machine that changes much of its memory is moved all the same
  archipel.orchestrator.vm_migrate:
    name: db1
    destination_uri: qemu+tls://hv2.example.org/system
    copy_storage: incremental
    auto_converge: true
    bandwidth: 500
    media: eject
    snapshots: flatten

- name: A machine that is off goes with its disks and the snapshots inside of them
  archipel.orchestrator.vm_migrate:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: archive1
    destination: hv2
    live: false
    copy_storage: all
    snapshots: keep
    remove_source_volumes: owned

- name: A machine on shared storage moves by libvirt alone
  archipel.orchestrator.vm_migrate:
    name: web1
    destination_uri: qemu+tls://hv2.example.org/system

- name: A running machine on shared storage takes its snapshots along
  archipel.orchestrator.vm_migrate:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1
    destination: hv2
    snapshots: keep
"""

RETURN = r"""
msg:
  description: What was or would be changed, in a sentence.
  type: str
  returned: always
changes:
  description: Each change by itself, in the words that a task uses. After a failure, what had been changed before it.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: What changed, for example C(memory) or C(disks[vda].size).
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
source:
  description: Name of the hypervisor that the machine came from.
  type: str
  returned: changed
destination:
  description: Name of the hypervisor that the machine is on now.
  type: str
  returned: changed
left_behind:
  description: Files of disks that were copied and are still on the source.
  type: list
  elements: str
  returned: changed
takes:
  description: For each storage pool of the destination the bytes that are C(needed) by copied disks, and C(available).
  type: dict
  returned: changed
findings:
  description: What the pre-flight found that does not forbid the move.
  type: list
  elements: dict
  returned: changed
  contains:
    what:
      description: Key of the definition that it is about, for example C(disks[vda]), or what else.
      type: str
    severity:
      description: V(warning); what is an error is told as the task's failure.
      type: str
    msg:
      description: What was found, and what to do.
      type: str
vm:
  description: The machine.
  type: dict
  returned: success
  contains:
    name:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    hypervisor:
      description: Name of the hypervisor that it is on.
      type: str
    state:
      description: Its state, in libvirt's words.
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.moves import Moves


def main() -> None:
    run_action(Moves, "vm_migrate")


if __name__ == "__main__":
    main()
