#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_import
short_description: Adopt virtual machines that were made by other means
version_added: 0.1.0
description:
  - Takes domains that other tools made into the management by Archipel, or lets them go. Running machines run on.
  - A machine that is managed has a contact in the platform, unless its hypervisor's agent is configured otherwise.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_import
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows which machines are or were managed.
seealso:
  - module: archipel.orchestrator.vm
  - module: archipel.orchestrator.vm_info
"""

EXAMPLES = r"""
- name: A machine made with virt-install gets a contact
  archipel.orchestrator.vm_import:
    name: legacy

- name: All machines of the hypervisor are managed
  archipel.orchestrator.vm_import:
    name: "*"

- name: A machine is let go, and runs on
  archipel.orchestrator.vm_import:
    name: legacy
    state: absent
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
vms:
  description: The machines that the task named.
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
    state:
      description: Its state, in libvirt's words.
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.machines import Machines


def main() -> None:
    run_action(Machines, "vm_import")


if __name__ == "__main__":
    main()
