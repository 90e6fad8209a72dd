#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_clone
short_description: Make a machine like another one
version_added: 0.2.0
description:
  - Makes a virtual machine like another one, with a name, a UUID, MAC addresses, firmware variables and disks of its
    own. It is not started. Where there is a machine of that name already, nothing changes.
  - A full clone has copies of the disks. A linked one has images that hold only what differs; it is made at once, and
    lies on what an external snapshot (M(archipel.orchestrator.vm_snapshot)) has left unchanged. That snapshot can then
    not be removed before the clone.
  - A machine is cloned while it is off, or, while it runs, as it was at an external snapshot.
  - Media, and disks that several machines use or that the machine may only read, are shared and not copied. A CD with a
    cloud-init seed is taken out, a TPM is new and empty, and displays get ports of their own.
  - When a disk cannot be copied, those that were are removed. libvirt cannot abort the copying of a disk.
notes:
  - What is inside the disks is not touched. Host name, SSH host keys, machine-id and whatever else the system has made
    for itself are the other machine's. In a system with cloud-init give the clone C(cloud_init) by
    M(archipel.orchestrator.vm) before its first start; it then has a name and makes its keys anew. In others run
    virt-sysprep, or do it by hand.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_clone
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows which volumes and machine would come.
seealso:
  - module: archipel.orchestrator.vm
  - module: archipel.orchestrator.vm_snapshot
"""

EXAMPLES = r"""
- name: A copy of a machine that is off
  archipel.orchestrator.vm_clone:
    name: golden
    clone: web2

- name: A snapshot that leaves the disks of the golden machine unchanged
  archipel.orchestrator.vm_snapshot:
    name: golden
    snapshot: v1
    kind: external

- name: Machines that lie on it
  archipel.orchestrator.vm_clone:
    name: golden
    snapshot: v1
    linked: true
    clone: "{{ item }}"
  loop: [web3, web4, web5]

- name: Each of them is somebody
  archipel.orchestrator.vm:
    name: "{{ item }}"
    state: running
    cloud_init: {}
  loop: [web3, web4, web5]

- name: A copy in another pool, over XMPP
  archipel.orchestrator.vm_clone:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: golden
    clone: web6
    pool: fast
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
      description: What changed, for example C(state) or C(volumes[default/web2.qcow2]).
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
source:
  description: Name of the machine that it is made of; null where that is no longer there.
  type: str
  returned: success
shared:
  description: Files and devices that both machines use from then on.
  type: list
  elements: str
  returned: success
vm:
  description: The clone, as M(archipel.orchestrator.vm_info) tells of it; in check mode what is known of it.
  type: dict
  returned: success
  contains:
    name:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    state:
      description: Its state, in libvirt's words; V(absent) in check mode.
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.clones import Clones


def main() -> None:
    run_action(Clones, "vm_clone")


if __name__ == "__main__":
    main()
