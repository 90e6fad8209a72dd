#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: role
short_description: Roles that grants give
version_added: 0.1.0
description:
  - A role is a name for some permissions. M(archipel.orchestrator.permission) gives it to people.
  - Roles stand in the node C(/archipel/roles), which only the platform's administrator writes. Every agent takes a
    change over at once.
  - C(viewer), C(operator), C(owner) and C(administrator) are ready-made and cannot be changed.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows the role before and after.
options:
  name:
    description:
      - Name of the role, a word.
    type: str
    required: true
  state:
    description:
      - Whether there is to be such a role. Grants of a role that is gone give nothing.
    type: str
    choices:
      - present
      - absent
    default: present
  permissions:
    description:
      - What it allows. A permission is V(view), V(lifecycle), V(console), V(snapshot), V(define), V(migrate),
        V(storage), V(network), V(secret), V(tags) or V(schedule); the documentation page of actions says which action
        asks for which.
      - The name of an action is that action alone.
      - Needed with O(state=present).
    type: list
    elements: str
  description:
    description:
      - What it is for.
    type: str
seealso:
  - module: archipel.orchestrator.permission
  - module: archipel.orchestrator.permission_info
"""

EXAMPLES = r"""
- name: The night shift may look, start and stop
  archipel.orchestrator.role:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: night-shift
    permissions: [view, lifecycle]
    description: Keeps things running until the morning

- name: There is no night shift any more
  archipel.orchestrator.role:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: night-shift
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
      description: The name of the role.
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
role:
  description: The role as it is, or would be.
  type: dict
  returned: success
  contains:
    name:
      description: Name of the role.
      type: str
    state:
      description: V(present) or V(absent).
      type: str
    permissions:
      description: What it allows.
      type: list
      elements: str
    description:
      description: What it is for.
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import ROLE
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(ROLE)


if __name__ == "__main__":
    main()
