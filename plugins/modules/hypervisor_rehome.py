#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hypervisor_rehome
short_description: Bring machines of a dead hypervisor up on others
version_added: 0.2.0
description:
  - Has other hypervisors take over the managed machines of one that is dead, as they were last defined there, and
    starts those that ran. Their disks have to be on shared or replicated storage, under the same path or in the same
    pool.
  - Only behind a O(fence), that is where it is stated that the hypervisor is off. Machines that run twice destroy their
    disks.
  - Each machine is claimed by one hypervisor only. What has been re-homed stays so when the task runs again; the dead
    hypervisor finds out when it comes back, and gives those machines up.
  - A hypervisor that starts its machines by itself at boot starts them before its agent can look. Where hypervisors are
    to be re-homed, set C(agent_guard_autostart) of the role C(agent). Of one that is not known to have it, the task
    warns; no fence keeps people from turning a hypervisor on.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows where each machine was and is.
options:
  name:
    description:
      - Name of the hypervisor that is dead.
    type: str
    required: true
  machines:
    description:
      - Names, patterns or UUIDs of the machines that are meant; all by default.
    type: list
    elements: str
    default: ['*']
  destinations:
    description:
      - Names of the hypervisors that may take machines over; by default all that answer
        and are not in maintenance.
      - Each machine that is to be started goes where the most memory is left by the index, the largest first.
    type: list
    elements: str
  state:
    description:
      - V(as_before) starts the machines that were running or paused by the index, V(running) all, V(present) none.
    type: str
    choices: [as_before, present, running]
    default: as_before
  fence:
    description:
      - How it is certain that the hypervisor is off. The platform keeps it, with the account that said so, until the
        hypervisor is back; as long as it stands, it need not be given again.
      - Whatever is given, nothing is done if the hypervisor's agent answers.
    type: dict
    suboptions:
      confirmed_by:
        description:
          - Who has seen that it is off, or has cut it off from its storage.
        type: str
      command:
        description:
          - A command, on the controller, that cuts its power and ends with 0 only if that is done. It is not run in
            check mode, nor where a fence stands already.
        type: list
        elements: str
      timeout:
        description:
          - How many seconds the command may take.
        type: int
        default: 60
  max_parallel:
    description:
      - How many machines are brought up at the same time.
    type: int
    default: 4
  wait_timeout:
    description:
      - How many seconds to wait for each machine.
    type: int
    default: 300
  hypervisor:
    description:
      - Not of use here; taken so that defaults of the action group can be shared.
    type: str
notes:
  - The account is the platform's administrator, who owns the nodes with the fences and the index.
  - A machine's contact gets another password, because the one it had is on the dead hypervisor. That takes ejabberd's
    C(mod_configure), which the role C(ejabberd) has.
  - What is under a disk's path at the destination is taken for the disk. A copy that an earlier migration has left
    there is an old one.
seealso:
  - module: archipel.orchestrator.vm_migrate
  - module: archipel.orchestrator.vm_park
"""

EXAMPLES = r"""
- name: See what would come up where
  archipel.orchestrator.hypervisor_rehome:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: hv9
    fence:
      confirmed_by: nobody yet
  check_mode: true

- name: Somebody has pulled the plug of hv9
  archipel.orchestrator.hypervisor_rehome:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: hv9
    fence:
      confirmed_by: Ada, in the server room

- name: Cut hv9's power by its management board, and bring the web servers up on two others
  archipel.orchestrator.hypervisor_rehome:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: hv9
    machines: [web*]
    destinations: [hv1]
    fence:
      command: [ipmitool, -I, lanplus, -H, hv9-board, -f, /etc/ipmi.password, chassis, power, 'off']
"""

RETURN = r"""
msg:
  description: What was or would be done, in a sentence, with the first failures.
  type: str
  returned: always
fence:
  description: The fence, if it was or would be set by this task; null if one stood, or none was needed.
  type: dict
  returned: success
changes:
  description: Each change by itself, with the machine's name before it.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: For example C(web1.hypervisor) or C(web1.state).
      type: str
    old:
      description: What was there.
      type: str
    new:
      description: What is there now.
      type: str
    scope:
      description: V(config) or V(live).
      type: str
vms:
  description: What became of each machine, by name.
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
    hypervisor:
      description: Name of the hypervisor that has it, or was to have it; null for none.
      type: str
    changed:
      description: Whether anything was or would be changed.
      type: bool
    msg:
      description: What was or would be done, or why it failed.
      type: str
    error:
      description: "Of one that failed: C(code) is the kind of failure, then C(msg), and C(changes) before it."
      type: dict
warnings:
  description: What of the machines was not kept, or stays on the dead hypervisor, and what may happen when it is back.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import HYPERVISOR_REHOME
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(HYPERVISOR_REHOME)


if __name__ == "__main__":
    main()
