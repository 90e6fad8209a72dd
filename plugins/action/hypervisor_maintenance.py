# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module hypervisor_maintenance."""

from __future__ import annotations

import typing as t

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import HYPERVISOR_MAINTENANCE
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.agent import AgentAction


class ActionModule(AgentAction):
    changing = True
    # Each move has an end of its own (wait_timeout), and there may be many.
    patience = 24 * 3600.0

    def module_options(self) -> t.Mapping[str, t.Any]:
        return HYPERVISOR_MAINTENANCE
