#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_nic
short_description: A network interface of a virtual machine
version_added: 0.1.0
description:
  - Gives a machine a network interface, changes it, or takes it out. While the machine runs, where libvirt can;
    otherwise RV(restart_required) says what waits for the next start, and RV(restart_reasons) why.
  - An interface is known by its MAC address or, where the task names none, by where it is connected. One that is
    connected elsewhere is left alone; it is moved by its MAC address.
  - A new interface without O(mac) gets an address that follows from the machine and the network.
  - In check mode a machine that another task would make is no failure.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_nic
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    details:
      - Where only the guest system knows whether it lets something go, the run can find that it does not; then the
        change waits for the next start.
seealso:
  - module: archipel.orchestrator.vm
  - module: archipel.orchestrator.network
  - module: archipel.orchestrator.nwfilter
"""

EXAMPLES = r"""
- name: The machine is in the network lab too
  archipel.orchestrator.vm_nic:
    name: web1
    network: lab

- name: The cable of this interface is pulled
  archipel.orchestrator.vm_nic:
    name: web1
    mac: "52:54:00:00:00:01"
    link_state: down

- name: The interface is on a bridge now
  archipel.orchestrator.vm_nic:
    name: web1
    mac: "52:54:00:00:00:01"
    bridge: br0

- name: The machine is no longer in the network lab
  archipel.orchestrator.vm_nic:
    name: web1
    state: absent
    network: lab
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
      description: What changed, for example C(disks[vda].size).
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
restart_required:
  description: Whether the running machine differs from what was asked for until it starts again.
  type: bool
  returned: success
restart_reasons:
  description: What differs, and why it waits.
  type: list
  elements: str
  returned: success
nic:
  description: The interface after the change, in the keys of M(archipel.orchestrator.vm); null where there is none.
  type: dict
  returned: success
vm:
  description: The machine after the change, as M(archipel.orchestrator.vm) tells it.
  type: dict
  returned: success
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.attachments import Attachments


def main() -> None:
    run_action(Attachments, "vm_nic")


if __name__ == "__main__":
    main()
