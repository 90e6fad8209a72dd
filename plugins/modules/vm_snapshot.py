#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_snapshot
short_description: Take, remove and go back to snapshots of machines
version_added: 0.2.0
description:
  - Takes a snapshot of a virtual machine, describes it anew, goes back to it, or removes snapshots by name, by pattern,
    by number and by age.
  - An internal snapshot lies inside the machine's images, which have to be qcow2. Of a running machine it has the
    memory, and the machine stands still while that is written.
  - For an external snapshot the images stay as they are, and the machine goes on in new ones beside them. It can do
    without the memory, and with O(quiesce=true) the guest agent freezes the file systems for the moment that it takes.
  - Going back to an external snapshot needs libvirt 9.9 (Debian 13). The libvirt 9.0 of Debian 12 takes and removes
    them, and they can be cloned (M(archipel.orchestrator.vm_clone)). libvirt leaves some images behind when it goes
    back.
  - All snapshots of a machine are of one kind. libvirt would take both, but then it cannot remove an external one above
    an internal one, and going back to the internal one would change images under those that lie on them.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_snapshot
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows which snapshots come and go.
seealso:
  - module: archipel.orchestrator.vm_snapshot_info
  - module: archipel.orchestrator.vm_clone
"""

EXAMPLES = r"""
- name: A snapshot before the upgrade
  archipel.orchestrator.vm_snapshot:
    name: web1
    snapshot: before-upgrade
    description: Debian 12, all is well

- name: The upgrade went wrong
  archipel.orchestrator.vm_snapshot:
    name: web1
    snapshot: before-upgrade
    state: reverted

- name: One each night, of which a week's and at least three are kept
  archipel.orchestrator.vm_snapshot:
    name: web1
    snapshot: nightly-%Y-%m-%d
    among: nightly-*
    keep: 3
    keep_days: 7

- name: All of the nightly ones go
  archipel.orchestrator.vm_snapshot:
    name: web1
    snapshot: nightly-*
    state: absent

- name: The one before the upgrade goes, and all that go back to it, over XMPP
  archipel.orchestrator.vm_snapshot:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1
    snapshot: before-upgrade
    state: absent
    children: remove
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
      description: What changed, for example C(snapshots[before-upgrade]) or C(reverted).
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
snapshot:
  description: The snapshot as it is now, or in check mode would be; null for none. What is not known yet is null.
  type: dict
  returned: success
  contains:
    vm:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    name:
      description: Name of the snapshot.
      type: str
    description:
      description: What people say about it; empty for nothing.
      type: str
    parent:
      description: The snapshot that it goes back to; null for none.
      type: str
    children:
      description: The snapshots that go back to it, the oldest first.
      type: list
      elements: str
    current:
      description: Whether the machine goes on from it.
      type: bool
    state:
      description: State of the machine when it was taken, in libvirt's words; V(disk-snapshot) of one that ran,
        without memory.
      type: str
    time:
      description: When it was taken, in UTC (ISO 8601).
      type: str
    kind:
      description: V(internal) or V(external).
      type: str
    memory:
      description: Whether the machine's memory is part of it.
      type: bool
    memory_path:
      description: File with the memory of an external one; null for none.
      type: str
    disks:
      description: The machine's disks, each with C(target) and C(kind), and of an external one C(path) and C(format).
      type: list
      elements: dict
vm:
  description: The machine.
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
      description: Its state, in libvirt's words.
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.snapshots import Snapshots


def main() -> None:
    run_action(Snapshots, "vm_snapshot")


if __name__ == "__main__":
    main()
