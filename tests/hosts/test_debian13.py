# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles on Debian 13: a server and one hypervisor, in a lab of their own beside that of the other tests."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from lab import guest, lifecycle
from lab.plan import Lab, host
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

HOSTS: t.Final = ("xmpp1", "hv1")
LIMIT: t.Final = ("--limit", ",".join(HOSTS))


@pytest.fixture(scope="module")
def story13(lab: Lab) -> t.Iterator[Story]:
    first, second, third = lab.network.split(".")
    network = f"{first}.{second}.{int(third) ^ 128}"
    lab13 = dataclasses.replace(lab, name=f"{lab.name[:2]}13", network=network, suite="trixie")
    lifecycle.down(lab13)
    lifecycle.up(lab13, [host(name) for name in HOSTS])
    guest.make(lab13)
    yield Story(lab13)
    lifecycle.down(lab13)


def test_the_platform_is_applied_to_debian_13(story13: Story) -> None:
    assert story13.on("hv1", "cat /etc/debian_version").startswith("13")
    changed = story13.site(*LIMIT)
    assert changed.keys() == set(HOSTS)
    assert all(count > 0 for count in changed.values())


def test_applied_again_it_changes_nothing(story13: Story) -> None:
    assert story13.site(*LIMIT) == dict.fromkeys(HOSTS, 0)


def test_a_machine_runs_there_and_answers(story13: Story) -> None:
    assert story13.machine(*LIMIT)["hv1"] > 0
    assert story13.answer()[1].startswith("I am web1. I am running on hv1")
    assert story13.machine(*LIMIT) == {"hv1": 0}
