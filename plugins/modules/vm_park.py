#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_park
short_description: Machines that are on no hypervisor for a while
version_added: 0.2.0
description:
  - Takes the definition of a machine off its hypervisor, and brings it back on any. The platform keeps it meanwhile,
    with the machine's UUID, name, tags, owner and autostart; its contact is gone until then.
  - Disks stay where they are. Brought back on another hypervisor, a machine finds those that are on shared storage.
  - Only a machine that is off, without saved memory and without snapshots can be parked. Passwords in its definition
    are not kept.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows the machine's state before and after.
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  state:
    description:
      - V(parked) takes the machine's definition off the O(hypervisor). A machine that is parked already, by whichever
        hypervisor, stays so.
      - V(present) brings it back, on the O(hypervisor). A machine that is there already stays as it is.
    type: str
    choices: [parked, present]
    default: parked
  force:
    description:
      - Bring the machine back though files of its disks are not found in the hypervisor's active pools.
    type: bool
    default: false
seealso:
  - module: archipel.orchestrator.vm_park_info
  - module: archipel.orchestrator.vm_migrate
"""

EXAMPLES = r"""
- name: Nobody needs web1 for now
  archipel.orchestrator.vm_park:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1

- name: It is needed again, and hv2 has room
  archipel.orchestrator.vm_park:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv2
    name: web1
    state: present
"""

RETURN = r"""
msg:
  description: What was or would be changed, in a sentence.
  type: str
  returned: always
changes:
  description: The change, if there is one.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: V(state).
      type: str
    old:
      description: V(shutoff) or V(parked).
      type: str
    new:
      description: V(parked) or V(shutoff).
      type: str
    scope:
      description: V(config).
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
      description: Name of the hypervisor that it is on; null for none.
      type: str
    state:
      description: Its state, V(parked) or in libvirt's words.
      type: str
warnings:
  description: What of the machine is not kept, or stays on the hypervisor that parked it.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import VM_PARK
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(VM_PARK)


if __name__ == "__main__":
    main()
