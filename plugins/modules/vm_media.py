#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_media
short_description: A medium in a drive of a virtual machine
version_added: 0.1.0
description:
  - Puts a medium (an ISO image, a block device) into a CD or floppy drive, or takes it out, while the machine runs too.
  - Without O(target) the drive is meant that has the medium, else an empty one, else the only one.
  - The medium itself is never deleted.
  - In check mode a machine that another task would make is no failure.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_media
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    details:
      - Where only the guest system knows whether it lets something go, the run can find that it does not; then the
        change waits for the next start.
seealso:
  - module: archipel.orchestrator.vm
  - module: archipel.orchestrator.vm_disk
  - module: archipel.orchestrator.volume
"""

EXAMPLES = r"""
- name: The installer is in the drive
  archipel.orchestrator.vm_media:
    name: web1
    path: /var/lib/libvirt/images/installer.iso

- name: Another one is, from a pool and in this drive
  archipel.orchestrator.vm_media:
    name: web1
    target: sda
    pool: default
    vol: rescue.iso

- name: It is out, though the guest system has locked the drive
  archipel.orchestrator.vm_media:
    name: web1
    state: ejected
    force: true
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
      description: What changed, for example C(disks[vda].size).
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
  description: Whether the running machine differs from what was asked for until it starts again.
  type: bool
  returned: success
restart_reasons:
  description: What differs, and why it waits.
  type: list
  elements: str
  returned: success
disk:
  description: The drive after the change, in the keys of M(archipel.orchestrator.vm); null where none is meant.
  type: dict
  returned: success
vm:
  description: The machine after the change, as M(archipel.orchestrator.vm) tells it.
  type: dict
  returned: success
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.attachments import Attachments


def main() -> None:
    run_action(Attachments, "vm_media")


if __name__ == "__main__":
    main()
