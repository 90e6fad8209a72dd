# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module hypervisor_info."""

from __future__ import annotations

from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.overview import Overview
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.hypervisor import HypervisorAction


class ActionModule(HypervisorAction):
    """The action hypervisor_info of a hypervisor."""

    owner = Overview
