# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module vm_screenshot."""

from __future__ import annotations

from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.console import Consoles
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.screenshot import Screenshot


class ActionModule(Screenshot):
    """The action vm_screenshot of a hypervisor, and the picture on the controller."""

    owner = Consoles
