#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: permission_info
short_description: What somebody may do, and by what
version_added: 0.1.0
description:
  - Asks a hypervisor's agent what an account may do to all of the hypervisor, or to one of its machines, and by which
    grants. It is the answer by which the agent itself goes.
  - Everybody may ask for himself; what others may is told to administrators.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
options:
  jid:
    description:
      - The account, by default O(xmpp_jid).
    type: str
  name:
    description:
      - Name of a machine of O(hypervisor). Without one it is about all of the hypervisor.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
seealso:
  - module: archipel.orchestrator.permission
  - module: archipel.orchestrator.role
"""

EXAMPLES = r"""
- name: What may Alice do to web1, and why
  archipel.orchestrator.permission_info:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    jid: alice@example.org
    name: web1
  register: alice
"""

RETURN = r"""
msg:
  description: The answer in a sentence.
  type: str
  returned: success
jid:
  description: The account.
  type: str
  returned: success
groups:
  description: The groups that it is in, as far as the hypervisor sees them.
  type: list
  elements: str
  returned: success
uuid:
  description: UUID of the machine; null where it is about the hypervisor.
  type: str
  returned: success
actions:
  description: What it may do.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The action.
      type: str
    permission:
      description: The permission that it asks for.
      type: str
    by:
      description: What allows it, a grant for example; each of them is enough.
      type: list
      elements: str
      sample: [grant alice-hv1]
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import PERMISSION_INFO
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(PERMISSION_INFO)


if __name__ == "__main__":
    main()
