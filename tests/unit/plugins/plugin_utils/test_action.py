# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent answers is a result, not an order to the controller."""

from __future__ import annotations

from ansible_collections.archipel.orchestrator.plugins.plugin_utils.action import harmless


def test_an_answer_sets_no_facts_and_adds_no_hosts() -> None:
    told = {"changed": True, "vms": [], "msg": "done"}
    orders = {
        "ansible_facts": {"ansible_python_interpreter": "/tmp/x"},
        "_ansible_item_result": True,
        "add_host": {"host_name": "x"},
        "failed": False,
        "skipped": True,
    }
    assert harmless({**told, **orders}) == told
