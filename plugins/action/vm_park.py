# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module vm_park."""

from __future__ import annotations

import typing as t

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import VM_PARK
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.agent import AgentAction


class ActionModule(AgentAction):
    changing = True

    def module_options(self) -> t.Mapping[str, t.Any]:
        return VM_PARK
