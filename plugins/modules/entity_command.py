#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: entity_command
short_description: Any action of a hypervisor's or a machine's contact
version_added: 0.1.0
description:
  - Asks a contact of the platform for one of its actions, as an ad-hoc command (XEP-0050).
  - The documentation page of actions lists those that every agent has; extensions of an agent may bring more.
  - Unlike the other modules it does what it is told each time. Whether that changed something is in the result.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    description: Tells what the run would change, without changing it.
    support: partial
    details:
      - Actions that change nothing are run, those with a check of their own are asked to check, all others are skipped.
  diff_mode:
    description: Shows what changed.
    support: partial
    details:
      - Most actions tell nothing that could be shown.
options:
  action:
    description:
      - Name of the action.
    type: str
    required: true
    aliases:
      - command
  arguments:
    description:
      - Arguments of the action.
    type: dict
    default: {}
  machine:
    description:
      - UUID or name of the machine whose contact is asked. By default it is the contact of O(hypervisor).
    type: str
  wait:
    description:
      - Whether to wait for the end of a long action. Without, its result is the id of the job.
    type: bool
    default: true
  timeout:
    description:
      - How many seconds to wait.
    type: int
    default: 300
seealso:
  - module: archipel.orchestrator.vm
  - name: XEP-0050
    description: The standard behind it.
    link: https://xmpp.org/extensions/xep-0050.html
"""

EXAMPLES = r"""
- name: How is web1
  archipel.orchestrator.entity_command:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    machine: web1
    action: state
  register: web1

- name: Web1 starts
  archipel.orchestrator.entity_command:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    machine: 2a5bb1d6-3e0b-4e59-9c4b-0b3c1f6a7d11
    action: start
    arguments:
      wait: false

- name: What machines has hv1
  archipel.orchestrator.entity_command:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    action: vm_info
"""

RETURN = r"""
msg:
  description: What was done, if the action says so.
  type: str
  returned: when the action says so
jid:
  description: JID of the contact that was asked.
  type: str
  returned: success
  sample: hv1@example.org/hv1
result:
  description: What the action answered. Each action has its own.
  type: dict
  returned: success
changes:
  description: What had been changed before a failure.
  type: list
  elements: dict
  returned: failure
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import ENTITY_COMMAND
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(ENTITY_COMMAND)


if __name__ == "__main__":
    main()
