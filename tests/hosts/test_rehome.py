# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hypervisor loses power; its machine, whose disk is on shared storage, comes up on the other one. Each test needs
those before it."""

from __future__ import annotations

import json
import time
import typing as t

import pytest

from lab import hosts, lifecycle, network
from lab.plan import XMPP_DOMAIN, Lab, host
from lab.steps import LabError
from lab.story import Story

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("shared_pool")]

VM: t.Final = "archipel.orchestrator.vm"
REHOME: t.Final = "archipel.orchestrator.hypervisor_rehome"
PLAYBOOK: t.Final = "archipel.orchestrator.rehome"
LOST: t.Final = "lost1"
STAYS: t.Final = "stays1"
OCTET: t.Final = 112
HELD: t.Final = "/run/archipel/held"


def running(story: Story, hypervisor: str) -> list[str]:
    return story.on(hypervisor, "virsh list --name").split()


def defined(story: Story, hypervisor: str) -> list[str]:
    return story.on(hypervisor, "virsh list --all --name").split()


def wait(reached: t.Callable[[], bool], what: str, seconds: float = 60) -> None:
    """For what no event tells a test on the outside."""
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds:g} s.")
        time.sleep(0.3)


def rehome(story: Story, *arguments: str, **variables: t.Any) -> dict[str, int]:
    given = json.dumps({"dead": "hv1", "machines": [LOST], **variables})
    return story.playbook(PLAYBOOK, "--extra-vars", given, *arguments)


@pytest.fixture(scope="module")
def guarded(platform: Story) -> Story:
    """Hypervisors whose agents start the machines at boot."""
    platform.playbook("agents", "--extra-vars", json.dumps({"agent_guard_autostart": True}))
    return platform


def test_it_is_not_taken_for_dead_as_long_as_it_answers(
    guarded: Story, lab: Lab, tiny: t.Callable[..., dict[str, t.Any]]
) -> None:
    disk = {"pool": "shared", "size": 1, "format": "qcow2"}
    guarded.module("hv1", VM, via="xmpp", state="running", autostart=True, disks=[disk], **tiny(LOST, OCTET))
    small = {"type": "qemu", "memory": 64, "vcpus": 1}
    guarded.module("hv1", VM, via="xmpp", name=STAYS, state="running", autostart=True, **small)
    assert guarded.count(address=f"{lab.network}.{OCTET}") > 0
    with pytest.raises(LabError, match="is not fenced"):
        rehome(guarded)
    with pytest.raises(LabError, match="answers from hv1, which is not dead"):
        rehome(guarded, confirmed_by="somebody who has not looked")


def test_without_power_it_is_re_homed_once(guarded: Story, lab: Lab) -> None:
    """The cable goes first: nobody is told that connections end, so the server still believes in its sessions."""
    network.set_link(hosts.interface(lab, host("hv1")), up=False)
    hosts.crash(lab, host("hv1"))
    rehome(guarded, "--check", confirmed_by="this test")
    assert "agent_guard_autostart" not in (lab.logs / f"{PLAYBOOK}.log").read_text()
    assert LOST not in defined(guarded, "hv2")
    assert rehome(guarded, confirmed_by="this test") == {"localhost": 1}
    assert guarded.count(address=f"{lab.network}.{OCTET}") > 0
    assert rehome(guarded) == {"localhost": 0}
    assert (LOST in running(guarded, "hv2"), STAYS in defined(guarded, "hv2")) == (True, False)


def test_when_it_is_back_it_starts_nothing_before_it_has_asked(guarded: Story, lab: Lab) -> None:
    """libvirt would have; and then what has another home is gone, the rest starts, and there is one contact."""
    guarded.on("xmpp1", "systemctl stop ejabberd")
    lifecycle.up(lab, [host("hv1")])
    assert guarded.on("hv1", "systemctl is-active archipel-agent libvirtd").split() == ["active", "active"]
    assert guarded.on("hv1", f"ls {HELD}") == HELD
    assert (running(guarded, "hv1"), {LOST, STAYS} - {*defined(guarded, "hv1")}) == ([], set())
    guarded.on("xmpp1", "systemctl start ejabberd")
    wait(lambda: STAYS in running(guarded, "hv1"), f"{STAYS} starts on hv1")
    assert LOST not in defined(guarded, "hv1")
    assert guarded.count(address=f"{lab.network}.{OCTET}") > 0
    uuid = guarded.on("hv2", f"virsh domuuid {LOST}")
    resources = f"ejabberdctl user_resources {uuid} {XMPP_DOMAIN}"
    wait(lambda: guarded.on("xmpp1", resources).split() == ["hv2"], f"{LOST} is a contact once")
    assert guarded.says(LOST, "how are you")[0].endswith("/hv2")


def test_what_was_left_goes(guarded: Story) -> None:
    for hypervisor, name in (("hv1", STAYS), ("hv2", LOST)):
        guarded.module(hypervisor, VM, via="xmpp", name=name, state="absent", force=True)
    assert guarded.on("hv2", f"ls /srv/shared/{LOST}.qcow2")
