# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants as tests give them, to an account that has no other right, and take them back."""

from __future__ import annotations

import typing as t

from client import Client
from world import World

ROLES, PERMISSIONS = "/archipel/roles", "/archipel/permissions"
STRANGER = "stranger@xmpp.test"
EVERYWHERE: t.Final = {"platform": True}


async def withdraw_all(world: World) -> None:
    async with world.person() as admin:
        for node in (ROLES, PERMISSIONS):
            await admin.empty(node)


async def told(admin: Client, item: str, *, new: bool = True, hypervisors: t.Collection[str] = ("hv1",)) -> None:
    """Return when the agents have said that they took over what stands under that name."""

    def said() -> bool:
        events = [e for e in admin.events("rights") if e["item"] == item and (e["new"] is not None) == new]
        return {event["hypervisor"] for event in events} >= set(hypervisors)

    await admin.until(said)


async def grant(admin: Client, name: str, **what: t.Any) -> None:
    await admin.publish(PERMISSIONS, name, {"jid": STRANGER, "scope": EVERYWHERE, **what})
    await told(admin, name)


async def withdraw(admin: Client, name: str) -> None:
    admin.published.clear()
    await admin.plugin["xep_0060"].retract("pubsub.xmpp.test", PERMISSIONS, name, notify=True)
    await told(admin, name, new=False)
