#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hypervisor_info
short_description: What a hypervisor is
version_added: 0.1.0
description:
  - Tells what a hypervisor is and how many machines it has in which state.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.hypervisor_info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
seealso:
  - module: archipel.orchestrator.vm_info
"""

EXAMPLES = r"""
- name: What the task's host is
  archipel.orchestrator.hypervisor_info:
  register: here

- name: The same over XMPP
  archipel.orchestrator.hypervisor_info:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
"""

RETURN = r"""
hypervisor:
  description: The hypervisor.
  type: dict
  returned: success
  contains:
    name:
      description: Its name in the platform.
      type: str
    hostname:
      description: Its host name.
      type: str
    uri:
      description: libvirt's URI of it.
      type: str
    type:
      description: libvirt's driver, for example V(QEMU).
      type: str
    uuid:
      description: UUID of the host.
      type: str
    version:
      description: Version of the hypervisor itself.
      type: str
    libvirt_version:
      description: Version of libvirt.
      type: str
    arch:
      description: Architecture.
      type: str
    cpus:
      description: Number of CPUs.
      type: int
    cpu_mhz:
      description: Clock of the CPUs.
      type: int
    sockets:
      description: CPU sockets of a NUMA node.
      type: int
    cores:
      description: Cores of a socket.
      type: int
    threads:
      description: Threads of a core.
      type: int
    memory:
      description: Memory in MiB.
      type: int
    machines:
      description: Number of machines by state, and as C(total).
      type: dict
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action


def main() -> None:
    run_action("hypervisor_info")


if __name__ == "__main__":
    main()
