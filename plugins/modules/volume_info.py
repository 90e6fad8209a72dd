#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_info
short_description: Volumes of storage pools and who uses them
version_added: 0.2.0
description:
  - Tells of the volumes of active pools how large they are, what they are based on, and which machines use them.

author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.volume_info
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.volume
  - module: archipel.orchestrator.pool_info
"""

EXAMPLES = r"""
- name: All volumes
  archipel.orchestrator.volume_info:

- name: The disks in a pool, and which machines use them
  archipel.orchestrator.volume_info:
    pool: default
    name: "*.qcow2"
"""

RETURN = r"""
volumes:
  description: The volumes, by pool and name.
  type: list
  elements: dict
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
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.volumes import Volumes


def main() -> None:
    run_action(Volumes, "volume_info")


if __name__ == "__main__":
    main()
