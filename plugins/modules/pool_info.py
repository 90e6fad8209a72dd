#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_info
short_description: Storage pools and what is free in them
version_added: 0.2.0
description:
  - Tells what a hypervisor's storage pools are made of, whether they are active, and how full they are.

author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.pool_info
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.pool
  - module: archipel.orchestrator.volume_info
"""

EXAMPLES = r"""
- name: All pools, and what is free in them
  archipel.orchestrator.pool_info:

- name: Pools by a pattern
  archipel.orchestrator.pool_info:
    name: iso*
"""

RETURN = r"""
pools:
  description: The pools, by name.
  type: list
  elements: dict
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
    run_action(Pools, "pool_info")


if __name__ == "__main__":
    main()
