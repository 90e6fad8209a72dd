# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short campaign (lab/campaign.py): moves while agents, libvirtd, QEMU and the server are killed, and disks full."""

from __future__ import annotations

import re
import sys
import time
import typing as t

import pytest

from lab.campaign import IO_ERROR, Campaign, faults_in
from lab.plan import STORE
from lab.steps import LabError
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

SEED = 17161
FAULTS_IN_TURN = (
    "agent killed",
    "way between hypervisors cut",
    "libvirtd killed",
    "QEMU killed",
    "disk filled",
    "ejabberd killed",
    "power cut",
)


def test_every_machine_is_on_one_side_with_its_disk(platform: Story, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        report = Campaign(platform, SEED, machines=2).run(FAULTS_IN_TURN, pause=(3, 6))
        print(f"  seed {SEED}: {report.told()}", file=sys.stderr)
    assert report.wrong == []
    assert sum(report.faults.values()) == len(FAULTS_IN_TURN)


def test_a_machine_that_has_no_room_says_so_and_goes_on_when_there_is(platform: Story) -> None:
    """QEMU pauses it. Asked to run meanwhile it tells what it lacks, or runs until it writes; nobody waits in vain."""
    campaign = Campaign(platform, SEED, machines=1)
    (name,) = campaign.names
    campaign.prepare()

    def state() -> tuple[str, str]:
        (vm,) = campaign.ask("hv1", "vm_info", name=name)["vms"]
        return vm["state"], vm["reason"]

    def run() -> str:
        try:
            return str(campaign.ask("hv1", "vm", name=name, state="running")["msg"])
        except campaign.Error as error:
            return str(error)

    def until(reached: t.Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not reached():
            if time.monotonic() > end:
                raise LabError(f"{name} is {state()} on hv1.")
            time.sleep(0.2)

    platform.on("hv1", f"cat /dev/zero 2>/dev/null >{STORE}/filled || true")
    until(lambda: state() == ("paused", IO_ERROR))
    for said in (run(), run(), run()):
        assert re.search(f"{name}(: changed state| is as asked| is paused by an I/O error)", said)
    platform.on("hv1", f"rm {STORE}/filled")
    until(lambda: "is as asked" in run())
    campaign.inspect()
    assert campaign.report.wrong == []


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
