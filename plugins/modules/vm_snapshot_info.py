#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_snapshot_info
short_description: Tell about snapshots of machines
version_added: 0.2.0
description:
  - Tells about the snapshots of virtual machines. They make trees; each snapshot names its parent and its children.
  - A machine that is not there has none.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_snapshot_info
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.vm_snapshot
"""

EXAMPLES = r"""
- name: All snapshots of one machine
  archipel.orchestrator.vm_snapshot_info:
    name: web1
  register: web1

- name: Its nightly ones
  archipel.orchestrator.vm_snapshot_info:
    name: web1
    snapshot: nightly-*

- name: The snapshots of all machines, over XMPP
  archipel.orchestrator.vm_snapshot_info:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
"""

RETURN = r"""
snapshots:
  description: The snapshots; of each machine parents before their children, and the older before the younger.
  type: list
  elements: dict
  returned: success
  contains:
    vm:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    name:
      description: Name of the snapshot.
      type: str
    description:
      description: What people say about it; empty for nothing.
      type: str
    parent:
      description: The snapshot that it goes back to; null for none.
      type: str
    children:
      description: The snapshots that go back to it, the oldest first.
      type: list
      elements: str
    current:
      description: Whether the machine goes on from it.
      type: bool
    state:
      description: State of the machine when it was taken, in libvirt's words; V(disk-snapshot) of one that ran,
        without memory.
      type: str
    time:
      description: When it was taken, in UTC (ISO 8601).
      type: str
    kind:
      description: V(internal) or V(external).
      type: str
    memory:
      description: Whether the machine's memory is part of it.
      type: bool
    memory_path:
      description: File with the memory of an external one; null for none.
      type: str
    disks:
      description: The machine's disks, each with C(target) and C(kind), and of an external one C(path) and C(format).
      type: list
      elements: dict
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.snapshots import Snapshots


def main() -> None:
    run_action(Snapshots, "vm_snapshot_info")


if __name__ == "__main__":
    main()
