# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of a dead hypervisor: what is kept of them, who takes them over, and what it finds when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import pathlib
import typing as t

import libvirt
import pytest
from archipel_agent.config import Guard
from archipel_agent.features import definitions, index, rehoming
from client import Client, error_of
from slixmpp.exceptions import IqError
from world import Daemon, World, contact_of, machine

HV1, HV2 = "hv1@xmpp.test/hv1", "hv2@xmpp.test/hv2"
UUID = "7d0a2c51-6f0b-4a86-9f0d-5f8a1f6c0d21"
XML = machine("lost", UUID)
DISK = "<disk type='file'><source file='/srv/lost.img'/><target dev='vda' bus='virtio'/></disk>"
NODES: t.Final = (definitions.NODE, rehoming.FENCES, rehoming.NODE, index.NODE)
CLAIM: t.Final = f"hv1:{UUID}"


@contextlib.asynccontextmanager
async def platform(world: World) -> t.AsyncIterator[Client]:
    """An administrator, and nothing in the nodes."""
    async with world.person() as admin:
        for node in NODES:
            await admin.empty(node)
        yield admin
        for node in NODES:
            await admin.empty(node)


@contextlib.asynccontextmanager
async def dead(world: World, libvirtd: Daemon, admin: Client, xml: str = XML) -> t.AsyncIterator[t.Any]:
    """hv1 has defined a machine and died; its libvirt, where the machine still is."""
    with contextlib.closing(libvirt.open(libvirtd.uri)) as beside:
        async with world.agent(libvirt=world.config(uri=libvirtd.uri).libvirt):
            await admin.call(HV1, "vm", {"xml": xml, "autostart": True})
            await items(admin, definitions.NODE, lambda found: found.get(UUID, {}).get("autostart"))
        yield beside


async def items(admin: Client, node: str, fits: t.Callable[[dict[str, t.Any]], t.Any]) -> dict[str, t.Any]:
    """What is in a node, as soon as it fits."""
    while not fits(found := await admin.items(node)):
        # ejabberd answers; nobody is told when an agent has nothing more to do.
        await asyncio.sleep(0.05)
    return found


async def fence(admin: Client, name: str = "f1") -> str:
    """What an administrator's task writes."""
    await admin.publish(rehoming.FENCES, "hv1", {"hypervisor": "hv1", "fence": name})
    return name


async def rehome(admin: Client, **arguments: t.Any) -> dict[str, t.Any]:
    return await admin.call(HV2, "rehome", {"uuid": UUID, "source": "hv1", **arguments})


async def refusal(admin: Client, **arguments: t.Any) -> tuple[str, str]:
    with pytest.raises(IqError) as failed:
        await rehome(admin, **arguments)
    error = error_of(failed.value)
    return error["code"], error["msg"]


async def remove(admin: Client) -> None:
    await admin.call(HV2, "vm", {"name": "lost", "state": "absent", "force": True})


async def test_definitions_follow_their_machines(world: World, libvirtd: Daemon) -> None:
    """Also where libvirt says nothing of a change, and to where they move; those of foreign machines are not kept."""
    async with platform(world) as admin, world.agent(libvirt=world.config(uri=libvirtd.uri).libvirt):
        foreign = machine("foreign", UUID.replace("7d", "9d"))
        with contextlib.closing(libvirt.open(libvirtd.uri)) as beside:
            beside.defineXML(foreign)
            await admin.call(HV1, "vm", {"xml": XML})
            found = await items(admin, definitions.NODE, lambda found: found)
            assert [*found] == [UUID]
            assert (found[UUID]["name"], found[UUID]["hypervisor"], found[UUID]["autostart"]) == ("lost", "hv1", False)
            await admin.call(HV1, "vm", {"name": "lost", "autostart": True})
            await items(admin, definitions.NODE, lambda found: found[UUID]["autostart"])
            xml = beside.lookupByName("lost").XMLDesc().replace("<vcpu placement='static'>1<", "<vcpu>2<")
            beside.defineXML(xml)
            await items(admin, definitions.NODE, lambda found: ">2</vcpu>" in found[UUID]["xml"])
            beside.lookupByName("lost").undefine()
            await items(admin, definitions.NODE, lambda found: not found)


async def test_a_machine_comes_up_behind_a_fence_and_only_there(world: World, libvirtd: Daemon) -> None:
    """With its account, whose password is set anew; asked again, nothing changes."""
    async with platform(world) as admin, dead(world, libvirtd, admin), world.agent("hv2") as hv2:
        plan = await rehome(admin, check=True)
        code, said = await refusal(admin, fence="f1")
        assert (code, said[:31]) == ("conflict", "hv1 is not behind the fence 'f1")
        assert not await admin.items(rehoming.NODE)
        name = await fence(admin)
        world.server.api("change_password", user=UUID, host="xmpp.test", newpass="another")
        done = await rehome(admin, fence=name, password="another")
        assert [(change["path"], change["old"], change["new"]) for change in done["changes"]] == [
            ("hypervisor", "hv1", "hv2"),
            ("state", "shutoff", "running"),
        ]
        assert plan["changes"] == done["changes"]
        assert (await admin.items(rehoming.NODE))[CLAIM]["done"] is True
        assert (await rehome(admin, fence=name))["changed"] is False
        # What the dead one wrote only the nodes' owner can take away; then the new home speaks for the machine.
        for node in (definitions.NODE, index.NODE):
            await admin.plugin["xep_0060"].retract("pubsub.xmpp.test", node, UUID)
            await items(admin, node, lambda found: found.get(UUID, {}).get("hypervisor") == "hv2")
        await contact_of(hv2, UUID)
        await remove(admin)


async def test_what_cannot_come_up_is_refused_and_claimed_by_nobody(world: World, libvirtd: Daemon) -> None:
    """Its disk is not here; it was never kept; another one has its name."""
    disk = XML.replace("</domain>", f"<devices>{DISK}</devices></domain>")
    async with platform(world) as admin, dead(world, libvirtd, admin, disk), world.agent("hv2"):
        name = await fence(admin)
        code, said = await refusal(admin, fence=name)
        assert (code, "lost needs /srv/lost.img, in no active pool of hv2" in said) == ("conflict", True)
        assert (await refusal(admin, fence=name, uuid=UUID.replace("7d", "5d")))[0] == "not_found"
        await admin.call(HV2, "vm", {"xml": machine("lost", UUID.replace("7d", "8d"))})
        assert await refusal(admin, fence=name) == ("conflict", "hv2 has another machine called lost.")
        assert not await admin.items(rehoming.NODE)
        await remove(admin)


async def test_one_hypervisor_has_it(world: World, libvirtd: Daemon) -> None:
    """Who comes second is refused by the server, and so is who comes after the dead one is back."""
    async with platform(world) as admin, dead(world, libvirtd, admin), world.agent("hv2"):
        name = await fence(admin)
        async with world.person("hv1", resource="beside") as other:
            await other.publish(rehoming.NODE, CLAIM, {})
            code, said = await refusal(admin, fence=name)
            assert (code, said[:30]) == ("conflict", "Another hypervisor has claimed")
            await other.plugin["xep_0060"].retract("pubsub.xmpp.test", rehoming.NODE, CLAIM)
            await other.publish(rehoming.NODE, rehoming.back("hv1"), {"hypervisor": "hv1", "fence": name})
            code, said = await refusal(admin, fence=name)
            assert (code, said[:17]) == ("conflict", "hv1 has come back")
            assert [*await admin.items(rehoming.NODE)] == [rehoming.back("hv1")]
            await other.plugin["xep_0060"].retract("pubsub.xmpp.test", rehoming.NODE, rehoming.back("hv1"))


async def test_a_claim_that_was_interrupted_is_taken_back(world: World, libvirtd: Daemon) -> None:
    """By its author, when it comes to itself and has no such machine."""
    async with platform(world) as admin, world.person("hv2", resource="earlier") as earlier:
        claim = rehoming.Claim(UUID, "hv1", "hv2", "f1", done=False)
        await earlier.publish(rehoming.NODE, claim.item, claim.as_data())
        async with world.agent("hv2"):
            await items(admin, rehoming.NODE, lambda found: not found)


async def test_the_dead_hypervisor_gives_up_what_others_have(world: World, libvirtd: Daemon) -> None:
    """Though it runs: that is the last line. What nobody has taken stays, and the claims go when all is done."""
    kept = UUID.replace("7d", "6d")
    async with platform(world) as admin, dead(world, libvirtd, admin) as beside, world.agent("hv2"):
        name = await fence(admin)
        await rehome(admin, fence=name)
        beside.lookupByName("lost").create()
        beside.defineXML(machine("kept", kept))
        async with world.agent(libvirt=world.config(uri=libvirtd.uri).libvirt):
            (event,) = await admin.until(lambda: admin.events("rehomed"))
            assert (event["hypervisor"], event["machines"]) == ("hv1", [UUID])
            found = await items(admin, rehoming.NODE, lambda found: [*found] == [rehoming.back("hv1")])
            assert found[rehoming.back("hv1")] == {"hypervisor": "hv1", "fence": name, "settled": True}
            assert [domain.name() for domain in beside.listAllDomains() if domain.name() != "test"] == ["kept"]
        (vm,) = (await admin.call(HV2, "vm_info", {"name": "lost"}))["vms"]
        assert vm["state"] == "running"
        await remove(admin)


@pytest.fixture
def held(tmp_path: pathlib.Path) -> pathlib.Path:
    """libvirt has been kept from starting machines."""
    file = tmp_path / "held"
    file.touch()
    return file


async def until_released(held: pathlib.Path) -> None:
    while held.exists():
        await asyncio.sleep(0.05)


async def test_machines_start_when_it_is_known_that_they_may(
    world: World, libvirtd: Daemon, held: pathlib.Path
) -> None:
    """Those that start with their hypervisor; not those that others have, nor as long as others are claiming some."""
    other = UUID.replace("7d", "6d")
    config = dataclasses.replace(world.config(uri=libvirtd.uri), guard=Guard(held))
    async with platform(world) as admin, dead(world, libvirtd, admin) as beside:
        async with world.agent("hv2"):
            name = await fence(admin)
            await rehome(admin, fence=name)
        beside.defineXML(machine("kept", other)).setAutostart(1)
        claim = rehoming.Claim(other, "hv1", "hv2", name, done=False)
        async with world.person("hv2", resource="beside") as claiming:
            await claiming.publish(rehoming.NODE, claim.item, claim.as_data())
            async with world.running(config) as agent:
                await items(admin, index.NODE, lambda found: found.get("hypervisor:hv1", {}).get("guard") is True)
                await admin.until(lambda: admin.events("rehomed"))
                await agent.rehoming.flush()
                assert (held.exists(), beside.lookupByName("kept").isActive()) == (True, 0)
                await claiming.plugin["xep_0060"].retract("pubsub.xmpp.test", rehoming.NODE, claim.item, notify=True)
                await until_released(held)
                assert beside.lookupByName("kept").isActive()
                with pytest.raises(libvirt.libvirtError):
                    beside.lookupByName("lost")


async def test_without_the_server_machines_wait_as_long_as_is_stated(
    world: World, libvirtd: Daemon, held: pathlib.Path
) -> None:
    config = world.config(uri=libvirtd.uri, guard=Guard(held, start_without_server=1))
    nowhere = dataclasses.replace(config.xmpp, hosts=("127.0.0.1",), port=1)
    with contextlib.closing(libvirt.open(libvirtd.uri)) as beside:
        beside.defineXML(XML).setAutostart(1)
        async with world.running(dataclasses.replace(config, xmpp=nowhere)):
            await until_released(held)
            assert beside.lookupByName("lost").isActive()
