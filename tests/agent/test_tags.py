# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags of machines and hypervisors, and where a hypervisor stands, as the agent knows and tells them."""

from __future__ import annotations

import asyncio

import libvirt
from archipel import xmltree
from archipel_agent.daemon import Agent
from world import TEST_UUID, World


async def tagged(agent: Agent, *names: str) -> None:
    """Return when the agent knows the machine by these tags."""
    known = asyncio.Event()
    agent.link.changed.append(lambda _old, _new: known.set())
    while agent.link.machines[TEST_UUID].tags != frozenset(names):
        await known.wait()
        known.clear()


async def test_tags_that_others_write_are_known(world: World) -> None:
    """The agent follows libvirt's event, whoever wrote the element; what cannot be a tag is none."""
    async with world.agent() as agent:
        domain = await agent.link.perform("reads", lambda hypervisor: hypervisor.machine(uuid=TEST_UUID).domain)

        async def write(element: str | None) -> None:
            where = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
            about = (libvirt.VIR_DOMAIN_METADATA_ELEMENT, element, xmltree.TAGS_PREFIX, xmltree.TAGS_NAMESPACE)
            await asyncio.to_thread(domain.setMetadata, *about, where)

        await tagged(agent)
        await write("<tags><tag name='web'/><tag name='no tag'/><tag name='geneva'/></tags>")
        await tagged(agent, "geneva", "web")
        await write(None)
        await tagged(agent)


async def test_the_index_tells_where_a_hypervisor_stands(world: World) -> None:
    """By the site of its configuration; without one, by none."""
    for site in ("geneva", None):
        async with world.agent(site=site) as agent, world.person() as admin:
            own = "hypervisor:hv1"
            await agent.index.refresh(own)
            assert (await admin.items("/archipel/machines"))[own]["site"] == site
