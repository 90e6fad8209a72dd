# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short campaign (lab/campaign.py): moves while agents, libvirtd, QEMU and the server are killed."""

from __future__ import annotations

import sys

import pytest

from lab.campaign import Campaign, faults_in
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

SEED = 17161
FAULTS_IN_TURN = (
    "agent killed",
    "way between hypervisors cut",
    "libvirtd killed",
    "QEMU killed",
    "ejabberd killed",
    "power cut",
)


def test_every_machine_is_on_one_side_with_its_disk(platform: Story, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        report = Campaign(platform, SEED, machines=2).run(FAULTS_IN_TURN, pause=(3, 6))
        print(f"  seed {SEED}: {report.told()}", file=sys.stderr)
    assert report.wrong == []
    assert sum(report.faults.values()) == len(FAULTS_IN_TURN)


@pytest.mark.parametrize(
    ("numbers", "damaged"),
    [
        (range(1, 6), False),
        (range(1000, 1256), False),
        ([*range(1001, 1256), 999], True),
        ([1, 2, 4], True),
        ([], True),
    ],
)
def test_a_damaged_disk_is_told_from_a_good_one(numbers: list[int], damaged: bool) -> None:
    """The guest's numbers, as they are on its disk: the last 256, and none missing."""
    assert bool(faults_in("".join(f"{number:<511}\n" for number in numbers))) is damaged
