# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module hypervisor_rehome."""

from __future__ import annotations

import typing as t

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import HYPERVISOR_REHOME
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.action import PlatformAction, harmless
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.rehoming import Rehoming
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client


class ActionModule(PlatformAction):
    def module_options(self) -> t.Mapping[str, t.Any]:
        return HYPERVISOR_REHOME

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        told = Rehoming(client, parameters, self.show_progress).run(check=self._task.check_mode)
        return {**harmless(told), "failed": told["failed"]}
