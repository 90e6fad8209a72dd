# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that is an action which only a hypervisor's agent has."""

from __future__ import annotations

import typing as t

from ..module_utils._arguments import CHECK, PLATFORM
from .action import PlatformAction, harmless
from .xmpp import Client


class AgentAction(PlatformAction):
    """The action has the module's name, and the module's options for arguments. ``changing`` ones know check mode.
    ``patience`` is in seconds."""

    changing = False
    patience = 60.0

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        names = self.module_options().keys() - PLATFORM.keys()
        arguments = {name: parameters[name] for name in names if parameters[name] is not None}
        if self.changing:
            arguments[CHECK] = self._task.check_mode
        name = self._task.action.rpartition(".")[2]
        jid, patience = client.account.hypervisor(hypervisor), self.patience
        return harmless(client.run(jid, name, arguments, timeout=patience, progress=self.show_progress))
