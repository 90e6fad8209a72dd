# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags of machines and hypervisors, and where a hypervisor stands, as the agent knows and tells them."""

from __future__ import annotations

import asyncio

import libvirt
from archipel import xmltree
from archipel_agent.config import Coordinates
from archipel_agent.daemon import Agent
from client import Client
from world import TEST_UUID, World, contact_of, machine

HV1 = "hv1@xmpp.test/hv1"


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


async def test_a_tagged_machine_is_known_by_its_tags_in_the_index(world: World) -> None:
    """Once the request is answered the agent knows, and so does whoever reads the index."""
    async with world.person() as admin:
        # What another hypervisor's agent has left there is its own for a while.
        await admin.empty("/archipel/machines")
    async with world.agent() as agent, world.person() as admin:
        jid = await contact_of(agent)
        await admin.call(HV1, "vm_tags", {"names": ["te*"], "tags": ["web", "geneva"]})
        await tagged(agent, "geneva", "web")
        assert "untag <tags>" in await admin.says(jid, "help")
        assert await admin.says(jid, "untag geneva,nosuch") == "test: changed tags."
        await tagged(agent, "web")
        await admin.until(lambda: (TEST_UUID, ["web"]) in told_tags(admin))
        assert (await admin.items("/archipel/machines"))[TEST_UUID]["tags"] == ["web"]


def told_tags(person: Client) -> list[tuple[str, list[str]]]:
    """Items of the index that have been published since this person came, with their tags."""
    return [(id_, item["tags"]) for node, id_, item in person.published if node == "/archipel/machines"]


async def test_a_definition_from_elsewhere_does_not_tag(world: World) -> None:
    """Who may define a machine cannot come under another grant by it."""
    foreign = f"<metadata><t:tags xmlns:t='{xmltree.TAGS_NAMESPACE}'><t:tag name='foreign'/></t:tags></metadata>"
    async with world.agent() as agent, world.person() as admin:
        await admin.call(HV1, "vm_tags", {"uuid": TEST_UUID, "tags": ["web"]})
        xml = (await admin.call(HV1, "vm", {"name": "test"}))["vm"]["uuid"]
        xml = machine("test", xml).replace("</domain>", f"{foreign}</domain>")
        assert (await admin.call(HV1, "vm", {"xml": xml}))["changed"]
        await tagged(agent, "web")


async def test_a_hypervisor_keeps_its_tags_over_a_restart(world: World) -> None:
    """In its database, and in its item of the index, which has its site as well."""
    own = "hypervisor:hv1"
    place = Coordinates(46.2, 6.15)
    async with world.agent(site="geneva", coordinates=place) as agent, world.person() as admin:
        assert await admin.says(HV1, "tag yourself ssd,fast") == "hv1: changed tags."
        await admin.until(lambda: (own, ["fast", "ssd"]) in told_tags(admin))
        item = (await admin.items("/archipel/machines"))[own]
        assert (item["site"], item["coordinates"]) == ("geneva", {"latitude": 46.2, "longitude": 6.15})
        assert not (await admin.call(HV1, "hypervisor_tags", {"tags": ["ssd"]}))["changed"]
    async with world.agent() as agent, world.person() as admin:
        told = (await admin.call(HV1, "hypervisor_info"))["hypervisor"]
        assert (told["site"], told["tags"]) == (None, ["fast", "ssd"])
        await agent.index.refresh(own)
        item = (await admin.items("/archipel/machines"))[own]
        assert (item["site"], item["tags"]) == (None, ["fast", "ssd"])
