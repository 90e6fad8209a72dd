#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_disk
short_description: A disk of a virtual machine
version_added: 0.1.0
description:
  - Gives a machine a disk, changes it, makes it larger, moves its data, or takes it out. While the machine runs, where
    libvirt can; otherwise RV(restart_required) says what waits for the next start, and RV(restart_reasons) why.
  - It is the same as one entry of O(archipel.orchestrator.vm#module:disks), and leaves the others alone.
  - A disk is never made smaller without O(force).
  - Data is copied to another O(pool), or converted to another O(format), with O(move) alone. A task that names the pool
    and the format of a disk in passing, as tasks that make disks do, would otherwise begin to copy a terabyte as soon
    as somebody has put the disk elsewhere.
  - With O(move) the disk is named by its O(target), and nothing else of it changes in the same task. The machine goes
    over to the copy when it is whole; whatever goes wrong before, it keeps the disk that it has, and the copy is
    removed. What the disk was based on is in the copy, too. The old volume stays unless O(remove_volumes) says
    otherwise, as with everything that is deleted here, and RV(volumes_kept) names it. Tasks that name the disk by its
    pool and volume have to name the new ones from then on.
  - A disk of a machine with snapshots, a medium, and a disk that machines share or that is encrypted is not moved.
  - In check mode a machine that another task would make is no failure.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_disk
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
  - module: archipel.orchestrator.vm_media
  - module: archipel.orchestrator.volume
"""

EXAMPLES = r"""
- name: The machine has a second disk, made on the way
  archipel.orchestrator.vm_disk:
    name: web1
    target: vdb
    pool: default
    size: 20

- name: It grows while the machine runs
  archipel.orchestrator.vm_disk:
    name: web1
    target: vdb
    size: 40

- name: Its data goes to another pool and is raw there, while the machine runs
  archipel.orchestrator.vm_disk:
    name: web1
    target: vdb
    pool: fast
    format: raw
    move: true
    remove_volumes: owned

- name: It is gone, and so is the volume that was made for it
  archipel.orchestrator.vm_disk:
    name: web1
    state: absent
    target: vdb
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
volumes_kept:
  description: Volumes of the disk that stay though it is gone or elsewhere.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: Where it is.
      type: str
    reason:
      description: Why it stays.
      type: str
disk:
  description: The disk after the change, in the keys of M(archipel.orchestrator.vm); null where there is none.
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
    run_action(Attachments, "vm_disk")


if __name__ == "__main__":
    main()
