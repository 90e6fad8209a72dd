#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hypervisor_tags
short_description: Tags of a hypervisor
version_added: 0.1.0
description:
  - Adds tags to a hypervisor, takes them away, or replaces them. The inventory plugin makes a group of each, and grants
    can name them.
  - Its agent keeps them, so it is asked with O(via=xmpp). libvirt has no place for them; O(via=libvirt) is refused.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.hypervisor_tags
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows the tags before and after.
seealso:
  - module: archipel.orchestrator.vm_tags
  - module: archipel.orchestrator.hypervisor_info
"""

EXAMPLES = r"""
- name: A hypervisor has fast disks
  archipel.orchestrator.hypervisor_tags:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    tags: [nvme]
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
      description: V(tags).
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
      description: V(live), for it takes effect at once.
      type: str
tags:
  description: The hypervisor's tags after the change, in order.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.tagging import Tagging


def main() -> None:
    run_action(Tagging, "hypervisor_tags")


if __name__ == "__main__":
    main()
