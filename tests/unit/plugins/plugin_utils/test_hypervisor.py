# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that is an action of a hypervisor."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.archipel.orchestrator.plugins.plugin_utils import hypervisor as controller
from archipel.connection import Connection
from archipel.hypervisor import Hypervisor

NODE = pathlib.Path(__file__).resolve().parents[3] / "data/node.xml"


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 4, 5, 100])
def test_machines_that_do_not_fit_into_one_answer_are_told_of_in_several(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is that of one answer, which ends where the task's limit is."""
    monkeypatch.setattr(controller, "_PAGE", 2)
    with Connection(f"test://{NODE}") as connection:
        asked = Hypervisor(connection, "hv1")
        assert controller._all_pages(asked.vm_info, limit) == asked.vm_info(limit=limit)


def test_a_page_without_room_is_refused_as_it_is_by_a_module() -> None:
    with Connection(f"test://{NODE}") as connection, pytest.raises(controller.errors.InvalidArgument, match="limit"):
        controller._all_pages(Hypervisor(connection, "hv1").vm_info, 0)
