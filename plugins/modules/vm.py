#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm
short_description: Definition and state of a virtual machine
version_added: 0.1.0
description:
  - Brings a machine to a definition and a state. Only what the task names is compared and changed.
  - The definition is given by keys, or whole as libvirt's domain XML in O(xml).
  - A running machine runs on when its definition changes. What libvirt can change while it runs is changed at once.
    Memory and vCPUs within their maxima, disks and network interfaces that are plugged in or taken out, media, link
    states and networks, sizes and rates of disks. What cannot waits for the next start; RV(restart_required) tells so
    at every run until then, and RV(restart_reasons) why. O(apply) chooses otherwise.
  - What is deleted with a machine is what O(remove_volumes) says. Media, shared, read-only and backing files and what
    another machine uses stay, whatever is asked; RV(volumes_kept) names them.
  - In check mode a machine or a pool that another task would make is no failure.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    details:
      - Where only the guest system knows (whether it gives back memory or lets go of a disk), the run can find that it
        does not; then the change's C(scope) is C(config) instead of C(live).
seealso:
  - module: archipel.orchestrator.vm_info
  - module: archipel.orchestrator.vm_import
  - module: archipel.orchestrator.vm_migrate
"""

EXAMPLES = r"""
- name: A machine runs
  archipel.orchestrator.vm:
    name: web1
    state: running
    memory: 1024
    vcpus: 2
    disks:
      - pool: default
        size: 10
    networks:
      - network: default
    metadata:
      title: Web server

- name: The same over XMPP, from the controller
  archipel.orchestrator.vm:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1
    state: running
    memory: 1024
    vcpus: 2

- name: A machine boots by EFI what is signed, has a TPM and a screen, and is told by cloud-init who it is
  archipel.orchestrator.vm:
    name: web3
    state: running
    memory: 2048
    boot:
      secure_boot: true
    tpm: {}
    graphics:
      type: vnc
    disks:
      - pool: default
        vol: web3.qcow2
    networks:
      - network: default
    cloud_init:
      user_data: |
        #cloud-config
        hostname: web3

- name: A machine boots a kernel of the hypervisor
  archipel.orchestrator.vm:
    name: tiny
    state: running
    memory: 128
    boot:
      kernel: /var/lib/libvirt/images/vmlinuz
      initrd: /var/lib/libvirt/images/initrd.gz
      kernel_args: console=ttyS0

- name: A machine is as a file says
  archipel.orchestrator.vm:
    xml: "{{ lookup('ansible.builtin.file', 'web2.xml') }}"

- name: A machine shuts down, as its guest system sees fit
  archipel.orchestrator.vm:
    name: web1
    state: shutdown
    wait_timeout: 300

- name: It is turned off hard when it has not shut down after a minute
  archipel.orchestrator.vm:
    name: web1
    state: shutdown
    force_after: 60

- name: A machine with room to grow runs, and has an address
  archipel.orchestrator.vm:
    name: web2
    state: running
    memory: 1024
    max_memory: 4096
    vcpus: 1
    max_vcpus: 4
    autostart: true
    networks:
      - network: default
    wait_for_ip: lease

- name: It has more memory while it runs, and is restarted if that is not possible
  archipel.orchestrator.vm:
    name: web2
    memory: 4096
    apply: restart

- name: It has these disks and no others
  archipel.orchestrator.vm:
    name: web1
    disks:
      - target: vda
    disks_remove_unmanaged: true

- name: All web servers start with their hypervisor
  archipel.orchestrator.vm:
    names: ["web*"]
    autostart: true

- name: A machine is gone, though it may run, with the volumes that were made for it
  archipel.orchestrator.vm:
    name: web1
    state: absent
    force: true
    remove_volumes: owned
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
      description: What changed, for example C(memory) or C(disks[vda].size).
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
restart_required:
  description: Whether the running machine differs, in what the task names, from what it will be when it starts again.
  type: bool
  returned: success
restart_reasons:
  description: What differs, and why it waits.
  type: list
  elements: str
  returned: success
volumes_kept:
  description: "With O(remove_volumes): what was not deleted, each with C(path) and C(reason)."
  type: list
  elements: dict
  returned: success, for one machine
vms:
  description: With O(names), each machine with C(name), C(uuid), C(state), C(changed), C(msg), C(changes),
    C(restart_required) and C(restart_reasons).
  type: list
  elements: dict
  returned: success, with O(names)
vm:
  description:
    - The machine after the change. One that is absent, or would be made, has name, UUID and state.
    - Its definition is in the keys that this module takes; a part that it does not have is null.
  type: dict
  returned: success, for one machine
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
      description: V(running), V(blocked), V(paused), V(shutdown), V(shutoff), V(crashed), V(pmsuspended), or V(absent).
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
      description: Memory in MiB that the machine has.
      type: int
    max_memory:
      description: Memory in MiB that it can be given while it runs.
      type: int
    vcpus:
      description: Number of virtual CPUs that the machine has.
      type: int
    max_vcpus:
      description: Number of virtual CPUs that it can be given while it runs.
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
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.machines import Machines


def main() -> None:
    run_action(Machines, "vm")


if __name__ == "__main__":
    main()
