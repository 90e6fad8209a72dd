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
  - Tells what a hypervisor is, how many machines it has in which state and, where it is asked, how it and they do.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.hypervisor_info
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.vm_info
"""

EXAMPLES = r"""
- name: What the task's host is
  archipel.orchestrator.hypervisor_info:
  register: here

- name: How it is doing, and what each web server uses
  archipel.orchestrator.hypervisor_info:
    health: true
    vms: [web*]
  register: now

- name: The last hour, which the agent has kept, over XMPP
  archipel.orchestrator.hypervisor_info:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    history: 60
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
    site:
      description: Where it stands, as its agent's configuration says; null with O(via=libvirt).
      type: str
    coordinates:
      description: Where that is, C(latitude) and C(longitude) in degrees; null where nobody says so.
      type: dict
    maintenance:
      description: C(since) when it is in maintenance, and C(by) whom; null when it is not, or with O(via=libvirt).
      type: dict
    tags:
      description: Its own tags, in order; null with O(via=libvirt).
      type: list
      elements: str
    health:
      description: How it is doing; null where that was not asked for.
      type: dict
      contains:
        cpu:
          description: Percent of all CPUs that are busy.
          type: float
        memory_total:
          description: Memory in MiB.
          type: int
        memory_used:
          description: Memory in MiB that is used; buffers and caches are not.
          type: int
        swap_total:
          description: Swap in MiB. Where the hypervisor is asked from elsewhere, this and what follows are null, save
            C(pools).
          type: int
        swap_used:
          description: Swap in MiB that is used.
          type: int
        load:
          description: Load of the last 1, 5 and 15 minutes.
          type: list
          elements: float
        uptime:
          description: Seconds since it was started.
          type: int
        pools:
          description: "The active storage pools: C(name), and C(capacity), C(allocation), C(available) in bytes."
          type: list
          elements: dict
        filesystems:
          description: "The file systems of the pools and the system: C(path), and C(capacity), C(available) in bytes."
          type: list
          elements: dict
    history:
      description: C(cpu), C(memory_total), C(memory_used), C(swap_total), C(swap_used), C(load) at each C(time), oldest
        first; null where it was not asked for.
      type: list
      elements: dict
vms:
  description: The machines that are on and fit O(vms), by name; null where they were not asked for.
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
    cpu:
      description: Percent of one CPU that it uses.
      type: float
    memory:
      description: Memory in MiB that it has now.
      type: int
    resident:
      description: Memory in MiB that it takes of the hypervisor.
      type: int
    disk_read:
      description: Bytes a second that it reads.
      type: int
    disk_write:
      description: Bytes a second that it writes.
      type: int
    net_in:
      description: Bytes a second that it receives.
      type: int
    net_out:
      description: Bytes a second that it sends.
      type: int
    history:
      description: The same at each C(time), oldest first; null where it was not asked for.
      type: list
      elements: dict
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.overview import Overview


def main() -> None:
    run_action(Overview, "hypervisor_info")


if __name__ == "__main__":
    main()
