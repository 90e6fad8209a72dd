# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module role."""

from __future__ import annotations

import typing as t

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import ROLE
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.action import PlatformAction
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.rights import have_role
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client


class ActionModule(PlatformAction):
    def module_options(self) -> t.Mapping[str, t.Any]:
        return ROLE

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        return have_role(client, parameters, check=self._task.check_mode)
