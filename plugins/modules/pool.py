#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool
short_description: Storage pools of a hypervisor
version_added: 0.2.0
description:
  - Defines, changes, starts, stops and removes a storage pool of libvirt.
  - Only what is named is compared and changed. An active pool takes over a changed definition when it is stopped and
    started; the result says that a restart is needed, and why.
  - Data are never overwritten, and stay when a pool goes, unless their removal is asked for.

author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.pool
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.pool_info
  - module: archipel.orchestrator.volume
  - module: archipel.orchestrator.secret
  - name: Storage pool XML
    description: What libvirt can do beyond these options.
    link: https://libvirt.org/formatstorage.html
"""

EXAMPLES = r"""
- name: A directory for ISO images, also after the next boot
  archipel.orchestrator.pool:
    name: iso
    state: active
    autostart: true
    build: true
    target: /srv/iso
    permissions:
      mode: "0755"

- name: What others have put there is seen
  archipel.orchestrator.pool:
    name: iso
    refresh: true

- name: The pool moves to another directory, at once
  archipel.orchestrator.pool:
    name: iso
    target: /srv/media
    apply: restart

- name: A directory of a file server
  archipel.orchestrator.pool:
    name: shared
    type: netfs
    target: /srv/shared
    source:
      hosts: [nas.example.org]
      dir: /export/machines
      format: nfs

- name: A volume group
  archipel.orchestrator.pool:
    name: fast
    type: logical
    source:
      name: vg0

- name: A pool of Ceph, with the key in a secret
  archipel.orchestrator.pool:
    name: ceph
    type: rbd
    source:
      hosts: [mon1.example.org, "mon2.example.org:6789"]
      name: machines
      username: hv1
      credential: 7a91dc24-b072-43c4-98fb-4b2415322b0f

- name: The pool is gone, its data stay
  archipel.orchestrator.pool:
    name: iso
    state: absent

- name: The file server's pool is gone
  archipel.orchestrator.pool:
    name: shared
    state: absent
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
      description: What changed, for example C(target) or C(permissions.mode).
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
  description: Whether the active pool differs from what its configuration says now.
  type: bool
  returned: success
restart_reasons:
  description: What differs.
  type: list
  elements: str
  returned: success
pool:
  description: The pool as it is now. Of one that is not there, its C(name), C(uuid) and C(state).
  type: dict
  returned: success
  contains:
    name:
      description: Name of the pool.
      type: str
    uuid:
      description: UUID of the pool.
      type: str
    state:
      description: Its state, in libvirt's words, for example V(running) or V(inactive); V(absent) where there is none.
      type: str
    active:
      description: Whether it is started.
      type: bool
    persistent:
      description: Whether its definition stays when it is stopped.
      type: bool
    autostart:
      description: Whether it becomes active with its hypervisor.
      type: bool
    capacity:
      description: Size in bytes; null of a pool that is not active, like the next three.
      type: int
    allocation:
      description: Bytes that are in use.
      type: int
    available:
      description: Bytes that are free.
      type: int
    volume_count:
      description: How many volumes it has.
      type: int
    type:
      description: Kind of storage.
      type: str
    target:
      description: Where the volumes appear on the hypervisor.
      type: str
    source:
      description: Where the storage comes from, in the keys of M(archipel.orchestrator.pool).
      type: dict
    permissions:
      description: Mode, owner and group of the directory.
      type: dict
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.pools import Pools


def main() -> None:
    run_action(Pools, "pool")


if __name__ == "__main__":
    main()
