# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = r"""
name: memory
short_description: Hosts, variables and groups that are known already
description:
  - The least that an inventory plugin can do.
author:
  - Archipel contributors (@archipel-orchestrator)
options:
  plugin:
    description:
      - Must be V(memory).
    type: str
    required: true
  hosts:
    description:
      - File with the variables of each host, as JSON.
    type: path
    required: true
  groups:
    description:
      - File with the hosts of each group, as JSON.
    type: path
    required: true
"""


class InventoryModule(BaseInventoryPlugin):
    NAME = "memory"

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        hosts, groups = (json.loads(pathlib.Path(self.get_option(name)).read_text()) for name in ("hosts", "groups"))
        for host, variables in hosts.items():
            inventory.add_host(host)
            for name, value in variables.items():
                inventory.set_variable(host, name, value)
        for group, members in groups.items():
            inventory.add_group(group)
            for host in members:
                inventory.add_child(group, host)
