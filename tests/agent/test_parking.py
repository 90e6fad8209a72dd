# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are on no hypervisor: parked by one, brought back by one, whatever is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import typing as t

import libvirt
import pytest
from archipel.errors import Conflict
from archipel_agent import database
from archipel_agent.daemon import Agent
from archipel_agent.features.parking import NODE
from client import Client, error_of
from slixmpp.exceptions import IqError
from world import Daemon, World, contact_of, machine

HV1, HV2 = "hv1@xmpp.test/hv1", "hv2@xmpp.test/hv2"
UUID = "7d0a2c51-6f0b-4a86-9f0d-5f8a1f6c0d11"
XML = machine("idle", UUID)
KEPT = {"uuid": UUID, "name": "idle", "since": "2026-01-01T00:00:00Z", "without": [], "autostart": True, "xml": XML}


@contextlib.asynccontextmanager
async def stage(world: World, libvirtd: Daemon) -> t.AsyncIterator[tuple[Agent, Agent, Client]]:
    """Two hypervisors whose machines are not the same ones, and nothing parked."""
    here = world.config(uri=libvirtd.uri).libvirt
    async with world.person() as admin:
        await empty(admin)
        async with world.agent(libvirt=here) as hv1, world.agent("hv2") as hv2:
            yield hv1, hv2, admin
            for hypervisor in (HV1, HV2):
                with contextlib.suppress(IqError):
                    await admin.call(hypervisor, "vm", {"name": "idle", "state": "absent"})


async def empty(admin: Client) -> None:
    """What earlier tests have left would keep machines from coming back."""
    for node in (NODE, "/archipel/machines"):
        await admin.empty(node)


async def park(admin: Client, hypervisor: str, **arguments: t.Any) -> dict[str, t.Any]:
    return await admin.call(hypervisor, "vm_park", {"name": "idle", **arguments})


async def refusal(admin: Client, hypervisor: str, **arguments: t.Any) -> tuple[str, str]:
    with pytest.raises(IqError) as failed:
        await park(admin, hypervisor, **arguments)
    error = error_of(failed.value)
    return error["code"], error["msg"]


async def parked(admin: Client, hypervisor: str = HV1) -> list[str]:
    return [vm["name"] for vm in (await admin.call(hypervisor, "vm_park_info"))["vms"]]


async def items(admin: Client, fits: t.Callable[[dict[str, t.Any]], bool]) -> dict[str, t.Any]:
    """What is in the node, as soon as it fits."""
    while not fits(found := await admin.items(NODE)):
        # ejabberd answers; nobody is told when an agent has nothing more to do.
        await asyncio.sleep(0.05)
    return found


async def test_a_machine_comes_back_on_another_hypervisor(world: World, libvirtd: Daemon) -> None:
    """With its UUID, tags, owner and contact; in between it is nowhere, and the platform knows it."""
    async with stage(world, libvirtd) as (hv1, hv2, admin):
        await admin.call(HV1, "vm", {"xml": XML})
        await admin.call(HV1, "vm_tags", {"name": "idle", "tags": ["web"]})
        await contact_of(hv1, UUID)
        assert (await park(admin, HV1, check=True))["changes"][0]["new"] == "parked"
        assert await parked(admin) == []

        done = await park(admin, HV1)
        assert (done["vm"]["hypervisor"], done["vm"]["state"]) == (None, "parked")
        assert UUID not in await admin.items("/archipel/machines")
        for hypervisor in (HV1, HV2):
            assert not (await admin.call(hypervisor, "vm_info", {"name": "idle"}))["vms"]
            assert await parked(admin, hypervisor) == ["idle"]
            assert (await park(admin, hypervisor))["changed"] is False

        assert (await park(admin, HV2, state="present", check=True))["changed"] is True
        back = await park(admin, HV2, state="present")
        assert back["changes"] == [{"path": "state", "old": "parked", "new": "shutoff", "scope": "config"}]
        assert (await park(admin, HV2, state="present"))["changed"] is False
        (vm,) = (await admin.call(HV2, "vm_info", {"name": "idle"}))["vms"]
        assert (vm["uuid"], vm["tags"], vm["managed"]) == (UUID, ["web"], True)
        assert hv2.link.machines[UUID].owner == "admin@xmpp.test"
        assert (await admin.items("/archipel/machines"))[UUID]["hypervisor"] == "hv2"
        await contact_of(hv2, UUID)
        await items(admin, lambda found: not found)


async def test_a_machine_that_goes_back_and_forth_leaves_nothing_behind(world: World, libvirtd: Daemon) -> None:
    """Also where it comes back to where it was."""
    async with stage(world, libvirtd) as (_hv1, _hv2, admin):
        await admin.call(HV1, "vm", {"xml": XML})
        for source, destination in ((HV1, HV1), (HV1, HV2), (HV2, HV1)):
            assert (await park(admin, source))["changed"] is True
            assert (await park(admin, destination, state="present"))["changed"] is True
        await items(admin, lambda found: not found)


async def test_a_parked_machine_needs_no_longer_who_parked_it(world: World, libvirtd: Daemon) -> None:
    """That agent is away, and tidies up when it comes back."""
    here = world.config(uri=libvirtd.uri).libvirt
    async with world.person() as admin, world.agent("hv2"):
        await empty(admin)
        async with world.agent(libvirt=here):
            await admin.call(HV1, "vm", {"xml": XML})
            await park(admin, HV1)
        assert (await park(admin, HV2, state="present"))["changed"] is True
        assert await parked(admin, HV2) == []
        assert len(await admin.items(NODE)) == 2
        async with world.agent(libvirt=here):
            await items(admin, lambda found: not found)
        await admin.call(HV2, "vm", {"name": "idle", "state": "absent"})


async def test_one_hypervisor_at_a_time_brings_back(world: World, libvirtd: Daemon) -> None:
    """The server keeps the second one out; and when the first one gives up, it may."""
    async with stage(world, libvirtd) as (agent, _hv2, admin), world.person("hv2", resource="beside") as other:
        await admin.call(HV1, "vm", {"xml": XML})
        await park(admin, HV1)
        (item,) = await admin.items(NODE)
        # What hv1 has read before that, it has to find out when it claims.
        found = await agent.parking._parked("idle", None)
        await other.publish(NODE, f"{item}:claim", {"uuid": UUID, "hypervisor": "hv2", "done": False})
        with pytest.raises(Conflict, match="Another hypervisor brings idle back"):
            await agent.parking._claim(found)
        assert (await refusal(admin, HV1, state="present"))[0] == "not_found"
        await other.plugin["xep_0060"].retract("pubsub.xmpp.test", NODE, f"{item}:claim")
        assert (await park(admin, HV1, state="present"))["changed"] is True


async def test_what_would_be_two_of_one_machine_is_refused(world: World, libvirtd: Daemon) -> None:
    """It was defined again meanwhile; or another one has its name."""
    async with stage(world, libvirtd) as (_hv1, _hv2, admin):
        await admin.call(HV1, "vm", {"xml": XML})
        await park(admin, HV1)
        await admin.call(HV1, "vm", {"xml": XML})
        while UUID not in await admin.items("/archipel/machines"):
            await asyncio.sleep(0.05)
        code, said = await refusal(admin, HV2, state="present")
        assert (code, "is on hv1; two of one machine must not be" in said) == ("conflict", True)
        await admin.call(HV1, "vm", {"name": "idle", "state": "absent"})
        while UUID in await admin.items("/archipel/machines"):
            await asyncio.sleep(0.05)
        await admin.call(HV2, "vm", {"xml": machine("idle", UUID.replace("7d", "8d"))})
        code, said = await refusal(admin, HV2, name=None, uuid=UUID, state="present")
        assert (code, said) == ("conflict", "hv2 has another machine called idle.")


async def test_a_disk_that_is_not_there_is_told_before(world: World, libvirtd: Daemon) -> None:
    """With what to do; who knows better says force."""
    xml = XML.replace(
        "</domain>",
        "<devices><disk type='file'><source file='/srv/idle.img'/><target dev='vda' bus='virtio'/></disk></devices>"
        "</domain>",
    )
    async with stage(world, libvirtd) as (_hv1, _hv2, admin):
        await admin.call(HV1, "vm", {"xml": xml})
        await park(admin, HV1)
        code, said = await refusal(admin, HV2, state="present")
        assert (code, "/srv/idle.img, in no active pool of hv2. Put it there" in said) == ("conflict", True)
        assert await parked(admin) == ["idle"]
        assert (await park(admin, HV2, state="present", force=True))["changed"] is True


async def test_what_cannot_be_defined_stays_parked(world: World, libvirtd: Daemon) -> None:
    """The claim is taken back, so that another hypervisor may try."""
    async with stage(world, libvirtd) as (_hv1, _hv2, admin), world.person("hv1", resource="beside") as other:
        foreign = XML.replace("type='test'", "type='nosuch'")
        await other.publish(NODE, "a", {**KEPT, "hypervisor": "hv1", "left": True, "xml": foreign})
        with pytest.raises(IqError):
            await park(admin, HV2, state="present")
        await items(admin, lambda found: [*found] == ["a"])
        assert await parked(admin, HV2) == ["idle"]


async def test_who_may_not_define_parks_nothing(world: World, libvirtd: Daemon) -> None:
    """Nor is it told what is parked."""
    async with stage(world, libvirtd), world.person("stranger") as person:
        for action in ("vm_park", "vm_park_info"):
            with pytest.raises(IqError, match="item-not-found"):
                await person.call(HV1, action, {"name": "idle"})


# What the agent of hv1 had written when it was killed, whether the machine is there, and what is there at the end:
# the machine, and by whom it is parked.
LEFT: t.Final = {"a": {**KEPT, "hypervisor": "hv1", "left": True}}
INTERRUPTED: t.Final = {
    "before it was let go": ({"a": {**KEPT, "hypervisor": "hv1", "left": False}}, True, True, []),
    "when it was let go": ({"a": {**KEPT, "hypervisor": "hv1", "left": False}}, False, False, ["idle"]),
    "before it was defined": (
        {**LEFT, "a:claim": {"uuid": UUID, "hypervisor": "hv1", "done": False}}, False, False, ["idle"],
    ),
    "when it was defined": ({**LEFT, "a:claim": {"uuid": UUID, "hypervisor": "hv1", "done": False}}, True, True, []),
    "before it tidied up": ({**LEFT, "a:claim": {"uuid": UUID, "hypervisor": "hv1", "done": True}}, True, True, []),
}  # fmt: skip


@pytest.mark.parametrize("when", INTERRUPTED)
async def test_what_was_interrupted_is_neither_lost_nor_there_twice(world: World, libvirtd: Daemon, when: str) -> None:
    written, defined, there, kept = INTERRUPTED[when]
    config = world.config(uri=libvirtd.uri)
    # The test driver behind a daemon forgets its machines when nobody is connected.
    with contextlib.closing(libvirt.open(libvirtd.uri)) as beside:
        if defined:
            beside.defineXML(XML)
        async with world.person() as admin, world.person("hv1", resource="earlier") as earlier:
            await empty(admin)
            with contextlib.closing(database.connect(config.state_dir / "agent.db")) as noted:
                for item, payload in written.items():
                    noted.execute("INSERT INTO parked VALUES (?)", (item,))
                    await earlier.publish(NODE, item, payload)
            async with world.agent(libvirt=config.libvirt):
                await items(admin, lambda found: not found if there else [*found] == ["a"] and found["a"]["left"])
                assert bool((await admin.call(HV1, "vm_info", {"uuid": UUID}))["vms"]) == there
                assert await parked(admin) == kept
                assert (await park(admin, HV1, state="present"))["changed"] is not there
