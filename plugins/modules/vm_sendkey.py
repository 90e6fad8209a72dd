#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_sendkey
short_description: Press keys on a machine's keyboard
version_added: 0.2.0
description:
  - Presses keys, or types a text, on the keyboard of a virtual machine that is on.
  - Nothing tells whether the machine has understood. Each run presses the keys once more.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_sendkey
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    description: Tells which keys would be pressed, without pressing them.
  diff_mode:
    details:
      - Shows the keys, but not a text, which may be a password.
seealso:
  - module: archipel.orchestrator.vm_console_info
  - module: archipel.orchestrator.vm_screenshot
"""

EXAMPLES = r"""
- name: What people press first
  archipel.orchestrator.vm_sendkey:
    name: web1
    keys: [ctrl+alt+delete]

- name: Log in, over XMPP
  archipel.orchestrator.vm_sendkey:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1
    text: "root\n"
    holdtime: 20
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
      description: V(keys) or V(text).
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
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.console import Consoles


def main() -> None:
    run_action(Consoles, "vm_sendkey")


if __name__ == "__main__":
    main()
