#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: volume
short_description: Volumes of a storage pool
version_added: 0.2.0
description:
  - Makes a volume, empty, from an image, as a copy or based on another one; grows it, and deletes it.
  - Only what is named is compared and changed. A volume in use by a running machine is never touched.
  - A new volume that cannot be made whole, since its pool is full or an image is not what it should be, is taken away
    again.
  - With O(via=xmpp) content does not go through the XMPP server. The hypervisor fetches it from a URL, or reads and
    writes files below the directories that its agent's configuration allows as C(exchange), by default none.

author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.volume
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.volume_info
  - module: archipel.orchestrator.pool
  - module: archipel.orchestrator.vm
"""

EXAMPLES = r"""
- name: A disk of 20 GiB
  archipel.orchestrator.volume:
    pool: default
    name: data.qcow2
    size: 20

- name: It grows
  archipel.orchestrator.volume:
    pool: default
    name: data.qcow2
    size: 30GiB

- name: A small disk of raw data that takes all of its room at once
  archipel.orchestrator.volume:
    pool: default
    name: journal.raw
    size: 512MiB
    format: raw
    allocation: full

- name: An image from the web, on which disks of machines are based
  archipel.orchestrator.volume:
    pool: default
    name: debian-13.qcow2
    content:
      url: https://images.example.org/debian-13.qcow2
      checksum: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

- name: A disk that is based on it
  archipel.orchestrator.volume:
    pool: default
    name: web1.qcow2
    size: 10
    backing:
      vol: debian-13.qcow2

- name: An ISO image that is kept as it is on the host
  archipel.orchestrator.volume:
    pool: iso
    name: rescue.iso
    content:
      path: /srv/downloads/rescue.iso
      update: always

- name: A copy, in a file
  archipel.orchestrator.volume:
    pool: default
    name: data.qcow2
    download: /srv/backup/data.qcow2

- name: The disk is overwritten and deleted
  archipel.orchestrator.volume:
    pool: default
    name: journal.raw
    state: absent
    wipe: true
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
      description: What changed, for example C(size) or C(content).
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
volume:
  description: The volume as it is now. Of one that is not there, its C(name), C(pool) and C(state).
  type: dict
  returned: success
  contains:
    name:
      description: Name of the volume.
      type: str
    pool:
      description: Its storage pool.
      type: str
    path:
      description: Where it is on the hypervisor.
      type: str
    type:
      description: What it is there, for example V(file) or V(block).
      type: str
    format:
      description: Its format, for example V(qcow2) or V(raw).
      type: str
    capacity:
      description: Size in bytes that a machine sees.
      type: int
    allocation:
      description: Bytes that it takes from the pool.
      type: int
    encryption:
      description: How it is encrypted; null if it is not.
      type: str
    backing_chain:
      description: C(path) and C(format) of what the volume is based on, of what that is based on, and so on.
      type: list
      elements: dict
    used_by:
      description: Names of the machines that use it, as disk or media, as a part of a disk's backing chain, or to boot.
      type: list
      elements: str
    state:
      description: V(present) or V(absent).
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.volumes import Volumes


def main() -> None:
    run_action(Volumes, "volume")


if __name__ == "__main__":
    main()
