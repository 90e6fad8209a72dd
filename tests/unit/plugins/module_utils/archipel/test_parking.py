# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a machine that is parked, what keeps it from being parked, and what it needs to come back."""

from __future__ import annotations

import typing as t

import pytest
from archipel import parking, xmltree
from archipel.errors import Conflict
from archipel.hypervisor import Hypervisor
from archipel.machine import Machine

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def web1(vm: Run, hypervisor: Hypervisor) -> Machine:
    vm(name="web1", memory=16, disks=[{"pool": "default", "size": 1}], graphics={"type": "vnc"})
    return hypervisor.machine("web1")


def test_a_machine_comes_back_as_it_was(web1: Machine, hypervisor: Hypervisor) -> None:
    """Also with its volume, tags, owner and autostart."""
    web1.domain.setAutostart(1)
    web1.tag(("web",))
    web1.give("owner@example.org")
    kept = parking.export(web1)
    assert kept.without == []
    parking.let_go(web1, kept)
    assert hypervisor.find(name="web1") is None
    assert parking.missing(hypervisor, kept.xml) == []
    assert parking.export(parking.define(hypervisor, kept.xml, autostart=kept.autostart)) == kept
    assert kept.autostart
    assert "owner@example.org" in kept.xml


def test_what_is_not_kept_is_said(web1: Machine, hypervisor: Hypervisor) -> None:
    """And a password is not kept."""
    node = web1.document(inactive=True)
    xmltree.write(node, "devices/graphics/@passwd", "verysecret")
    xmltree.write(node, "os/@firmware", "efi")
    machine = parking.define(hypervisor, xmltree.serialise(node), autostart=False)
    kept = parking.export(machine)
    assert "verysecret" not in kept.xml
    assert [text.split()[1] for text in kept.without] == ["passwords", "variables"]


@pytest.mark.parametrize(
    ("verbs", "why"),
    [
        (("start",), "is running; shut it down first"),
        (("start", "save"), "has saved memory"),
        (("snapshot",), "has 1 snapshots"),
    ],
)
def test_what_more_than_a_definition_would_have_to_be_kept_of_is_refused(
    web1: Machine, verbs: tuple[str, ...], why: str
) -> None:
    for verb in verbs:
        if verb == "snapshot":
            web1.domain.snapshotCreateXML("<domainsnapshot/>")
        else:
            getattr(web1, verb)()
    with pytest.raises(Conflict, match=why):
        parking.export(web1)


def test_what_was_changed_after_it_was_written_down_stays(web1: Machine, hypervisor: Hypervisor) -> None:
    kept = parking.export(web1)
    web1.tag(("late",))
    with pytest.raises(Conflict, match="changed meanwhile"):
        parking.let_go(web1, kept)
    assert hypervisor.find(name="web1") is not None


def test_disks_that_are_not_there_are_named(hypervisor: Hypervisor) -> None:
    """By path, and by pool and volume; an empty drive needs nothing."""
    xml = (
        "<domain><devices><disk device='cdrom'/><disk><source file='/srv/a.img'/></disk>"
        "<disk><source pool='default' volume='b'/></disk><disk><source pool='nosuch' volume='c'/></disk>"
        "<disk type='network'><source protocol='rbd' name='pool/d'/></disk></devices></domain>"
    )
    assert parking.missing(hypervisor, xml) == ["/srv/a.img", "default/b", "nosuch/c"]
