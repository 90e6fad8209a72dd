# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who finds room where, when a hypervisor is to be emptied."""

from __future__ import annotations

import typing as t

from archipel.connection import Connection
from archipel.hypervisor import Hypervisor
from archipel.placement import Guest, Room, Verdict, guests, place

FREE: t.Final = Verdict(None)
XML: t.Final = (
    "<domain type='test'><name>idle</name><memory unit='MiB'>64</memory><os><type arch='i686'>hvm</type></os></domain>"
)


def going(**memory: int) -> list[Guest]:
    """The largest first, as `guests` has them."""
    return sorted((Guest(name, name, "running", each) for name, each in memory.items()), key=lambda g: -g.memory)


def placed(who: list[Guest], rooms: dict[str, int], **said: Verdict) -> dict[str, str]:
    """`said` are other verdicts than that there is room: ``web1_hv2``."""
    verdicts = {(g.uuid, name): said.get(f"{g.uuid}_{name}", FREE) for g in who for name in rooms}
    return place(who, [Room(name, memory) for name, memory in rooms.items()], verdicts)


def copy(needed: int, available: int) -> Verdict:
    return Verdict(None, {"default": {"needed": needed, "available": available}})


def test_the_load_is_spread() -> None:
    assert placed(going(a=4, b=3, c=2), {"hv2": 10, "hv3": 9}) == {"a": "hv2", "b": "hv3", "c": "hv2"}


def test_where_somebody_would_be_left_over_one_is_filled_after_the_other() -> None:
    """Spread, a and b would leave room for one more."""
    who = going(a=5, b=5, c=4, d=4)
    assert placed(who, {"hv2": 10, "hv3": 8}) == {"a": "hv2", "b": "hv2", "c": "hv3", "d": "hv3"}
    # The largest does not fit anywhere, and keeps nobody else out.
    assert placed(going(huge=99, a=1), {"hv2": 10}) == {"a": "hv2"}


def test_who_may_not_go_somewhere_goes_elsewhere_or_nowhere() -> None:
    no = Verdict("hv2 has no network lan.")
    assert placed(going(a=1), {"hv2": 10, "hv3": 5}, a_hv2=no) == {"a": "hv3"}
    assert placed(going(a=1), {"hv2": 10}, a_hv2=no) == {}


def test_disks_share_the_space_of_a_pool() -> None:
    """Each alone would have room; and who is off needs memory nowhere."""
    each = {"a_hv2": copy(60, 100), "b_hv2": copy(60, 100)}
    assert placed(going(a=0, b=0), {"hv2": 0}, **each) == {"a": "hv2"}
    assert placed(going(a=0, b=0), {"hv2": 0, "hv3": 0}, **each) == {"a": "hv2", "b": "hv3"}


def test_a_machine_that_is_off_needs_no_memory(connection: Connection) -> None:
    """libvirt tells how much those may have that are on."""
    hypervisor = Hypervisor(connection, "hv1")
    domain = connection.handle.defineXML(XML)
    assert Guest(domain.UUIDString(), "idle", "shutoff", 0) in guests(hypervisor)
    domain.create()
    assert Guest(domain.UUIDString(), "idle", "running", 64) in guests(hypervisor)
    domain.destroy()
    domain.undefine()
