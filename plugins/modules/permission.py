#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: permission
short_description: Grants, who may do what and where
version_added: 0.1.0
description:
  - A grant gives somebody a role, or single permissions, somewhere. Nothing is ever denied, what nobody grants is not
    allowed.
  - Grants stand in the node C(/archipel/permissions), which only the platform's administrator writes. Every agent takes
    a change over at once; a job that is under way goes on.
  - A right to a machine does not reach what is the hypervisor's. Who has no more than that makes no machine, and gives
    one no devices, files or networks.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows the grant before and after.
options:
  name:
    description:
      - Name of the grant, a word.
    type: str
    required: true
  state:
    description:
      - Whether there is to be such a grant.
    type: str
    choices:
      - present
      - absent
    default: present
  jid:
    description:
      - Whom it is for, an account. With O(state=present), one of O(jid), O(group) and O(domain) is needed.
    type: str
  group:
    description:
      - Whom it is for, the members of a group of contacts, by its label.
      - The hypervisors must see the group. Let their accounts be members of a group that displays it, see
        M(archipel.orchestrator.xmpp_group).
    type: str
  domain:
    description:
      - Whom it is for, every account of a domain.
    type: str
  role:
    description:
      - The role that they get. With O(state=present), either O(role) or O(permissions) is needed.
      - C(viewer) may look; C(operator) may also start and stop machines, use their consoles and call them into chat
        rooms; C(owner) may do whatever machines can be asked; C(administrator) may do everything. Others are made by
        M(archipel.orchestrator.role).
    type: str
  permissions:
    description:
      - Permissions and actions that they get, as in M(archipel.orchestrator.role).
    type: list
    elements: str
  scope:
    description:
      - Where. With O(state=present), exactly one of its keys is needed.
    type: dict
    suboptions:
      platform:
        description:
          - Everywhere; V(true) is all that it can be.
        type: bool
      site:
        description:
          - The hypervisors of a site, and their machines.
        type: str
      hypervisor:
        description:
          - A hypervisor, by its name, and its machines.
        type: str
      tag:
        description:
          - Hypervisors that have the tag, with their machines, and machines that have it.
        type: str
      machine:
        description:
          - A machine, by its UUID, wherever it runs.
        type: str
seealso:
  - module: archipel.orchestrator.role
  - module: archipel.orchestrator.permission_info
"""

EXAMPLES = r"""
- name: Alice starts and stops the machines of one hypervisor
  archipel.orchestrator.permission:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: alice-hv1
    jid: alice@example.org
    role: operator
    scope:
      hypervisor: hv1

- name: The people of the web see and restart what is tagged so
  archipel.orchestrator.permission:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: web
    group: Web people
    permissions: [view, lifecycle]
    scope:
      tag: web

- name: Alice has left
  archipel.orchestrator.permission:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: alice-hv1
    state: absent
"""

RETURN = r"""
msg:
  description: What was or would be changed.
  type: str
  returned: always
changes:
  description: The change, if there is one.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: The name of the grant.
      type: str
    old:
      description: What was there; null for nothing.
      type: raw
    new:
      description: What is there now; null for nothing.
      type: raw
    scope:
      description: Always V(live), it takes effect at once.
      type: str
permission:
  description: The grant as it is, or would be, in the words of the options.
  type: dict
  returned: success
  contains:
    name:
      description: Name of the grant.
      type: str
    state:
      description: V(present) or V(absent).
      type: str
    scope:
      description: Where it holds.
      type: dict
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import PERMISSION
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(PERMISSION)


if __name__ == "__main__":
    main()
