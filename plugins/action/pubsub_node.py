# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module pubsub_node."""

from __future__ import annotations

import typing as t

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import PUBSUB_NODE
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.action import PlatformAction
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.pubsub import Service
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.pubsub_node import Wanted, converge
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client


class ActionModule(PlatformAction):
    def module_options(self) -> t.Mapping[str, t.Any]:
        return PUBSUB_NODE

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        service = Service(client, parameters["service"] or f"pubsub.{client.account.domain}")
        return converge(service, Wanted.bind(parameters), check=self._task.check_mode)
