#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_tags
short_description: Tags of virtual machines
version_added: 0.1.0
description:
  - Adds tags to one or several machines of a hypervisor, takes them away, or replaces them.
  - Machines are found by their tags with M(archipel.orchestrator.vm_info), and the inventory plugin makes a group of
    each. Grants can name them, so nothing else sets or drops a tag; neither a definition nor a snapshot does. A clone
    begins without any.
  - Tags are kept in the machine's metadata and travel with it. A machine is not adopted by being tagged.
  - In check mode a machine that another task would make is no failure.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_tags
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows the tags before and after.
seealso:
  - module: archipel.orchestrator.hypervisor_tags
  - module: archipel.orchestrator.vm_info
  - plugin: archipel.orchestrator.archipel
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: A machine is a web server of the customer acme
  archipel.orchestrator.vm_tags:
    name: web1
    tags: [web, "customer:acme"]

- name: It has these tags and no others
  archipel.orchestrator.vm_tags:
    name: web1
    tags: [web, production]
    tags_mode: set

- name: Several machines are no longer in maintenance, in one request over XMPP
  archipel.orchestrator.vm_tags:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    names: [web*, test]
    tags: [maintenance]
    tags_mode: remove
"""

RETURN = r"""
msg:
  description: What was or would be changed, in a sentence.
  type: str
  returned: always
changes:
  description: Each change by itself. After a failure, what had been changed before it.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: V(tags), or with O(names) the machine's name and C(.tags).
      type: str
    old:
      description: The tags that were there.
      type: list
      elements: str
    new:
      description: The tags that are there now.
      type: list
      elements: str
    scope:
      description: V(live) for a machine that is on, V(config) for one that is off. Both take effect at once.
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
    tags:
      description: Its tags after the change, in order.
      type: list
      elements: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.tagging import Tagging


def main() -> None:
    run_action(Tagging, "vm_tags")


if __name__ == "__main__":
    main()
