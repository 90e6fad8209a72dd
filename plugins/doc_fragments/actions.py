# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that are actions of a hypervisor. Written by tests/checks/doc_fragments.py, not by hand."""

from __future__ import annotations


class ModuleDocFragment:
    """One fragment per action, from its declaration in module_utils/archipel."""

    VM_SCREENSHOT = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  screen:
    description:
      - Which of the machine's screens, from 0.
    type: int
    default: 0
  max_size:
    description:
      - KiB that the picture has at most, up to 2048. A larger one is made of every second pixel each way, every third
        ….
    type: int
    default: 1024
"""

    VM_SENDKEY = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  keys:
    description:
      - 'Keys to press one after another, by Linux''s names with or without V(KEY_), in any case; those that are pressed
        together are joined by a plus: V(ctrl+alt+delete). In a codeset other than V(linux) they are numbers.'
    type: list
    elements: str
  text:
    description:
      - Text to type instead, on a keyboard of the US layout; a new line is the key enter.
    type: str
  codeset:
    description:
      - The codeset of the keys, as libvirt calls it.
    type: str
    default: linux
    choices:
      - linux
      - xt
      - atset1
      - atset2
      - atset3
      - osx
      - xt_kbd
      - usb
      - win32
      - qnum
  holdtime:
    description:
      - Milliseconds for which each is held.
    type: int
    default: 50
"""

    VM_CONSOLE_INFO = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  access_for:
    description:
      - 'Let somebody in: give VNC and SPICE a new random password that is valid for so many seconds, and tell it. The
        password before it is no longer valid.'
    type: int
"""

    VM_INFO = r"""
options:
  name:
    description:
      - Name of a machine, or a pattern like web*.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  names:
    description:
      - Names or patterns, of which any is to fit.
    type: list
    elements: str
  state:
    description:
      - States, of which any is to fit.
    type: list
    choices:
      - nostate
      - running
      - blocked
      - paused
      - shutdown
      - shutoff
      - crashed
      - pmsuspended
    elements: str
  addresses:
    description:
      - Where to ask for the machines' addresses.
    type: str
    default: none
    choices:
      - none
      - lease
      - agent
      - arp
  limit:
    description:
      - Tell of so many machines at most; next continues.
    type: int
  after:
    description:
      - UUID after which to continue.
    type: str
"""

    VM = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  state:
    description:
      - What the machine is to be.
    type: str
    default: present
    choices:
      - present
      - absent
      - running
      - shutdown
      - destroyed
      - paused
  type:
    description:
      - Hypervisor type, for example V(kvm), V(qemu), V(test). By default the best that the host has.
    type: str
  memory:
    description:
      - Memory in MiB. Within O(max_memory) it changes while the machine runs.
    type: int
  max_memory:
    description:
      - The most memory in MiB that the machine can be given while it runs. By default what O(memory) says.
    type: int
  vcpus:
    description:
      - Number of virtual CPUs. Within O(max_vcpus) it grows while the machine runs.
    type: int
  max_vcpus:
    description:
      - The most virtual CPUs that the machine can be given while it runs. By default what O(vcpus) says.
    type: int
  arch:
    description:
      - Architecture, by default the host's.
    type: str
  machine:
    description:
      - Machine type, for example V(q35).
    type: str
  cpu:
    description:
      - The virtual CPU.
    type: dict
    suboptions:
      mode:
        description:
          - How the CPU is chosen.
        type: str
        choices:
          - custom
          - host-model
          - host-passthrough
          - maximum
      model:
        description:
          - Name of the CPU model for O(cpu.mode=custom).
        type: str
  boot:
    description:
      - How the machine boots.
    type: dict
    suboptions:
      kernel:
        description:
          - Kernel on the hypervisor to boot directly.
        type: str
      initrd:
        description:
          - Initial RAM disk for O(boot.kernel).
        type: str
      kernel_args:
        description:
          - Command line for O(boot.kernel).
        type: str
      devices:
        description:
          - 'Devices to boot from, in order: V(hd), V(cdrom), V(network), V(fd).'
        type: list
        elements: str
        choices:
          - hd
          - cdrom
          - network
          - fd
  metadata:
    description:
      - What people say about the machine. Applied to a running machine at once.
    type: dict
    suboptions:
      title:
        description:
          - A short title, one line.
        type: str
      description:
        description:
          - A description.
        type: str
      location:
        description:
          - Where the machine belongs, in words of one's own.
        type: str
  disks:
    description:
      - Disks and media. Disks that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      target:
        description:
          - Name of the disk in the machine, for example C(vda).
        type: str
      path:
        description:
          - File or block device of the disk on the hypervisor.
        type: str
      pool:
        description:
          - Storage pool that holds the volume O(disks[].vol).
        type: str
      vol:
        description:
          - Volume in O(disks[].pool). By default it is named after the machine.
        type: str
      size:
        description:
          - Size in GiB of a volume that is made if it is missing.
        type: int
      format:
        description:
          - Format of the file, for example V(qcow2) or V(raw).
        type: str
      device:
        description:
          - Kind of device.
        type: str
        choices:
          - disk
          - cdrom
          - floppy
          - lun
      bus:
        description:
          - Bus, for example V(virtio), V(sata), V(scsi).
        type: str
      cache:
        description:
          - Cache mode.
        type: str
        choices:
          - default
          - none
          - writethrough
          - writeback
          - directsync
          - unsafe
      serial:
        description:
          - Serial number that the machine sees.
        type: str
      readonly:
        description:
          - Whether the machine may only read it.
        type: bool
      shareable:
        description:
          - Whether several machines use it at once.
        type: bool
      boot_order:
        description:
          - Place in the order of boot devices.
        type: int
  networks:
    description:
      - Network interfaces. Interfaces that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - Kind of connection; follows from O(networks[].network) or O(networks[].bridge).
        type: str
        choices:
          - network
          - bridge
          - user
          - ethernet
      network:
        description:
          - Virtual network to connect to.
        type: str
      bridge:
        description:
          - Bridge of the hypervisor to connect to.
        type: str
      mac:
        description:
          - MAC address; libvirt chooses one by default.
        type: str
      model:
        description:
          - Model of the device, for example V(virtio) or V(e1000e).
        type: str
      boot_order:
        description:
          - Place in the order of boot devices.
        type: int
  xml:
    description:
      - The whole definition as libvirt's domain XML.
    type: str
  force:
    description:
      - Turn off what runs and drop saved memory and snapshots, where absent asks for it.
    type: bool
    default: false
  wait:
    description:
      - Return only when it has happened.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 120
"""

    VM_IMPORT = r"""
options:
  name:
    description:
      - Name of a domain, or a pattern like web*.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  state:
    description:
      - Whether it is to be managed.
    type: str
    default: present
    choices:
      - present
      - absent
"""

    VM_MIGRATE = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  destination:
    description:
      - Name of the hypervisor to move to.
    type: str
  destination_uri:
    description:
      - libvirt URI of the destination, as the source's libvirtd reaches it. Through agents it follows from the name.
    type: str
  live:
    description:
      - Move a running machine without stopping it. Without, the machine must be off.
    type: bool
    default: true
  copy_storage:
    description:
      - 'Copy the disks: not at all (shared storage), whole, or on top of a backing file that both sides have.'
    type: str
    default: none
    choices:
      - none
      - all
      - incremental
  bandwidth:
    description:
      - MiB per second at most.
    type: int
  max_downtime:
    description:
      - Milliseconds that the machine may stand still at most.
    type: int
  tls:
    description:
      - Encrypt memory and disks on their way by QEMU's own TLS. By default as the URI does (qemu+tls).
    type: bool
  undefine_source:
    description:
      - Take the definition off the source afterwards.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds after which the move is aborted; the machine then stays where it was.
    type: int
    default: 3600
"""

    HYPERVISOR_INFO = r"""
options: {}
"""
