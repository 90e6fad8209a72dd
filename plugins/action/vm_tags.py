# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module vm_tags."""

from __future__ import annotations

from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.tagging import Tagging
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.hypervisor import HypervisorAction


class ActionModule(HypervisorAction):
    """The action vm_tags of a hypervisor."""

    owner = Tagging
