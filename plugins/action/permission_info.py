# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module permission_info."""

from __future__ import annotations

import typing as t

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import PERMISSION_INFO
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.action import PlatformAction, harmless
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client


class ActionModule(PlatformAction):
    """The action of the hypervisor's agent."""

    def module_options(self) -> t.Mapping[str, t.Any]:
        return PERMISSION_INFO

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        asked = {key: parameters[key] for key in ("jid", "name", "uuid") if parameters[key]}
        return harmless(client.execute(client.account.hypervisor(hypervisor), "permission_info", asked))
