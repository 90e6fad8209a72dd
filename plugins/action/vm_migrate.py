# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module vm_migrate."""

from __future__ import annotations

from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.moves import Moves
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.hypervisor import HypervisorAction


class ActionModule(HypervisorAction):
    """The action vm_migrate of a hypervisor."""

    owner = Moves
