#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_park_info
short_description: Tell which machines are parked
version_added: 0.2.0
description:
  - Tells about the machines of the platform that are on no hypervisor, because they are parked. Any hypervisor knows.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
options:
  name:
    description:
      - Name of the machine. By default, it tells of all.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
seealso:
  - module: archipel.orchestrator.vm_park
"""

EXAMPLES = r"""
- name: Which machines are parked
  archipel.orchestrator.vm_park_info:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
"""

RETURN = r"""
vms:
  description: The parked machines, by name.
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
      description: Name of the hypervisor that parked it.
      type: str
    since:
      description: When that was, in UTC.
      type: str
    without:
      description: What of the machine is not kept, or stays on the hypervisor that parked it.
      type: list
      elements: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import VM_PARK_INFO
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(VM_PARK_INFO)


if __name__ == "__main__":
    main()
