# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook ``doctor``: nothing to say of a platform that is well, and what is wrong where it is not."""

from __future__ import annotations

import pytest

from lab.steps import LabError
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

DOCTOR = "archipel.orchestrator.doctor"
COMMAND = "/opt/archipel/venv/bin/archipel-doctor"


def test_a_platform_that_is_well_has_nothing_to_mend(platform: Story) -> None:
    assert platform.playbook(DOCTOR) == {"xmpp1": 0, "hv1": 0, "hv2": 0}


def test_what_is_wrong_is_told_where_it_is_seen(platform: Story) -> None:
    """An agent is off: its own host says so, and so does its peer's. A server is off: everybody says so."""
    platform.on("hv2", "systemctl stop archipel-agent")
    try:
        with pytest.raises(LabError) as told:
            platform.playbook(DOCTOR)
    finally:
        platform.on("hv2", "systemctl start archipel-agent")
    assert "The agent is not online as hv2@" in str(told.value)
    assert "hv2: hv2 is not online; does its agent run?" in str(told.value)

    platform.on("xmpp1", "systemctl stop ejabberd")
    try:
        with pytest.raises(LabError) as told:
            platform.playbook(DOCTOR)
    finally:
        platform.on("xmpp1", "systemctl start ejabberd")
        for name in ("hv1", "hv2"):
            # Agents come back by themselves, slower and slower.
            platform.on(name, f"timeout 240 sh -c 'until {COMMAND} >/dev/null; do sleep 0.5; done'")
    assert "ejabberd does not run: see journalctl" in str(told.value)
    assert str(told.value).count("cannot be reached") >= 2
