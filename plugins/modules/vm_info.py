#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: What virtual machines are
version_added: 0.1.0
description:
  - Tells everything about the machines of a hypervisor, or about those that are named. Thousands in one call.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_info
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.vm_tags
  - module: archipel.orchestrator.vm
  - module: archipel.orchestrator.hypervisor_info
"""

EXAMPLES = r"""
- name: Every machine of the task's host
  archipel.orchestrator.vm_info:
  register: machines

- name: Those that run and are called web, with their addresses, over XMPP
  archipel.orchestrator.vm_info:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web*
    state: [running]
    addresses: lease
  register: web

- name: Which run, and where their disks are
  archipel.orchestrator.vm_info:
    state: [running]
    parts: [disks]

- name: Those that are tagged web as well as production
  archipel.orchestrator.vm_info:
    tags: [web, production]
"""

RETURN = r"""
vms:
  description:
    - The machines, ordered by UUID.
    - Their definitions are in the keys that M(archipel.orchestrator.vm) takes; a part that one does not have is null,
      and one that O(parts) does not name is not there.
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
    id:
      description: libvirt's number of a machine that is on; null for one that is off.
      type: int
    hypervisor:
      description: Name of its hypervisor.
      type: str
    state:
      description: V(running), V(blocked), V(paused), V(shutdown), V(shutoff), V(crashed) or V(pmsuspended).
      type: str
    reason:
      description: libvirt's word for how it came into that state.
      type: str
    persistent:
      description: Whether its definition stays when it is off.
      type: bool
    autostart:
      description: Whether it starts with its hypervisor.
      type: bool
    managed:
      description: Whether it was made or adopted through Archipel.
      type: bool
    tags:
      description: Its tags, in order.
      type: list
      elements: str
    type:
      description: Hypervisor type, for example V(kvm).
      type: str
    arch:
      description: Architecture.
      type: str
    machine:
      description: Machine type.
      type: str
    memory:
      description: Memory in MiB.
      type: int
    vcpus:
      description: Number of virtual CPUs.
      type: int
    cpu:
      description: The virtual CPU.
      type: dict
    boot:
      description: How it boots.
      type: dict
    metadata:
      description: Title, description and location.
      type: dict
    disks:
      description: Its disks.
      type: list
      elements: dict
    networks:
      description: Its network interfaces.
      type: list
      elements: dict
    max_memory:
      description: Memory in MiB that it can be given while it runs.
      type: int
    max_vcpus:
      description: Number of virtual CPUs that it can be given while it runs.
      type: int
    cpuset:
      description: CPUs of the hypervisor that it runs on.
      type: str
    iothreads:
      description: Number of I/O threads.
      type: int
    guest_agent:
      description: Whether there is a channel for QEMU's guest agent.
      type: bool
    cputune:
      description: How much of the host's CPUs the machine gets.
      type: dict
    numatune:
      description: Which of the host's NUMA nodes the machine's memory is on.
      type: dict
    memorybacking:
      description: What the machine's memory is made of.
      type: dict
    memtune:
      description: Limits to the machine's use of the host's memory.
      type: dict
    blkiotune:
      description: How much of the host's disks the machine gets.
      type: dict
    features:
      description: What the machine's board can.
      type: dict
    clock:
      description: The machine's clock.
      type: dict
    events:
      description: What happens at the machine's end.
      type: dict
    pm:
      description: The machine's power management.
      type: dict
    osinfo:
      description: The operating system in the machine.
      type: dict
    graphics:
      description: Where the machine's screen can be seen.
      type: dict
    video:
      description: The video device.
      type: dict
    sound:
      description: The sound card.
      type: dict
    tpm:
      description: The trusted platform module.
      type: dict
    rng:
      description: The source of random numbers.
      type: dict
    watchdog:
      description: The watchdog.
      type: dict
    memballoon:
      description: The device by which the host takes memory back.
      type: dict
    vsock:
      description: Sockets between the host and the guest.
      type: dict
    cloud_init:
      description: The path of its seed, as C(path); null where it has none.
      type: dict
    filesystems:
      description: Directories of the hypervisor that the machine sees.
      type: list
      elements: dict
    host_devices:
      description: Devices of the hypervisor that are given to the machine.
      type: list
      elements: dict
    serial_devices:
      description: Serial ports, in their order.
      type: list
      elements: dict
    console_devices:
      description: Consoles, those of a kind in their order.
      type: list
      elements: dict
    channel_devices:
      description: Channels between the host and the guest.
      type: list
      elements: dict
    input_devices:
      description: Keyboards, mice, tablets.
      type: list
      elements: dict
    addresses:
      description: "Its addresses, where they were asked for: C(address), C(prefix), C(mac), C(source)."
      type: list
      elements: dict
next:
  description: What to give as O(after) for the machines after O(limit); null when these were all.
  type: str
  returned: success
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.machines import Machines


def main() -> None:
    run_action(Machines, "vm_info")


if __name__ == "__main__":
    main()
