# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as contacts: which have one, their accounts, their presence, and what happens in two places."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sqlite3

import pytest
from archipel_agent import database
from archipel_agent.daemon import Agent
from client import Client
from slixmpp.exceptions import IqError
from world import DOMAIN, TEST_UUID, Daemon, World, contact_of, machine

HV1, HV2 = "hv1@xmpp.test/hv1", "hv2@xmpp.test/hv2"
OTHER_UUID = "5c5a1a0a-1d62-4b7e-8a53-5a0d2f5f6f01"


async def watch(admin: Client, jid: str) -> None:
    """See the contact's presence from now on."""
    bare = jid.split("/")[0]
    admin.send_presence_subscription(bare)
    await admin.saw(jid, "available")


async def test_presence_follows_libvirt(world: World) -> None:
    """Running is available, paused is away, off is xa; whoever changed it."""
    async with world.agent() as agent, world.person() as admin:
        jid = await contact_of(agent)
        await watch(admin, jid)
        # Beside the agent, as virsh does it.
        domain = await agent.link.perform("reads", lambda hypervisor: hypervisor.machine(uuid=TEST_UUID).domain)
        await asyncio.to_thread(domain.suspend)
        await admin.saw(jid, "away", "paused: user")
        await asyncio.to_thread(domain.resume)
        await admin.saw(jid, "available", "running")
        await asyncio.to_thread(domain.destroy)
        await admin.saw(jid, "xa", "shutoff")
        before = len(admin.seen)
        await asyncio.to_thread(domain.create)
        await admin.saw(jid, "available", "running", after=before)


async def test_a_reboot_does_not_blink(world: World) -> None:
    """A machine that stops and starts within a moment is not shown as off."""
    async with world.agent() as agent, world.person() as admin:
        jid = await contact_of(agent)
        await watch(admin, jid)
        domain = await agent.link.perform("reads", lambda hypervisor: hypervisor.machine(uuid=TEST_UUID).domain)
        await asyncio.to_thread(lambda: (domain.destroy(), domain.create()))
        await admin.call(jid, "pause")
        await admin.saw(jid, "away")
        assert not [seen for seen in admin.seen if seen[0] == jid and seen[1] == "xa"]
        await admin.call(jid, "resume")


async def test_only_managed_machines_are_contacts(world: World) -> None:
    """With `managed`, a machine becomes a contact by being adopted, and ceases to be one by being let go."""
    async with world.agent(contacts="managed") as agent, world.person() as admin:
        await admin.call(HV1, "vm_info")
        assert agent.contacts.contacts == {}
        await admin.call(HV1, "vm_import", {"name": "test"})
        jid = await contact_of(agent)
        await watch(admin, jid)
        await admin.call(HV1, "vm_import", {"name": "test", "state": "absent"})
        await admin.saw(jid, "unavailable")


async def test_a_machine_that_is_undefined_logs_out(world: World) -> None:
    """A contact comes with its machine's definition and goes with it, and the index with them."""
    async with world.agent() as agent, world.person() as admin:
        xml = machine("short", OTHER_UUID, title="A short life")
        await admin.call(HV1, "vm", {"state": "present", "xml": xml})
        jid = await contact_of(agent, OTHER_UUID)
        wanted = ("/archipel/machines", OTHER_UUID)
        item = await admin.until(lambda: next((i for n, key, i in admin.published if (n, key) == wanted), None))
        assert {**item, "updated": None} == {
            "kind": "machine", "uuid": OTHER_UUID, "name": "short", "hypervisor": "hv1", "state": "shutoff",
            "managed": True, "tags": [], "memory": 64, "vcpus": 1, "title": "A short life", "description": "",
            "addresses": [], "updated": None,
        }  # fmt: skip
        admin.send_presence_subscription(jid.split("/")[0])
        await admin.saw(jid, "xa", "shutoff")
        await admin.call(HV1, "vm", {"name": "short", "state": "absent"})
        await admin.saw(jid, "unavailable")
        while OTHER_UUID in await admin.items("/archipel/machines"):
            await asyncio.sleep(0.05)


async def test_passwords_are_kept_to_oneself(world: World) -> None:
    """Accounts' passwords are random and in a file for the agent's user only."""
    async with world.agent() as agent:
        await contact_of(agent)
        file = agent.config.state_dir / "agent.db"
        for part in file.parent.glob("agent.db*"):
            assert os.stat(part).st_mode & 0o077 == 0
        (password,) = agent.database.execute("SELECT password FROM accounts").fetchone()
        assert len(password) >= 32


async def test_an_account_is_kept_over_a_restart(world: World) -> None:
    """The agent logs a machine in again with the account that it made."""
    async with world.agent() as agent:
        await contact_of(agent)
    async with world.agent() as agent:
        await contact_of(agent)


async def test_a_server_that_forgot_the_account_gets_it_anew(world: World) -> None:
    """When the account is gone from the server, the agent makes it again."""
    async with world.agent() as agent:
        await contact_of(agent)
    world.server.api("unregister", user=TEST_UUID, host=DOMAIN)
    async with world.agent() as agent:
        await contact_of(agent)


async def test_contact_lists_keep_a_machine_that_moves(world: World, libvirtd: Daemon) -> None:
    """Who sees a machine on one hypervisor sees it on the next one, without asking again."""
    async with world.agent("hv1", uri=libvirtd.uri) as source, world.person() as admin:
        await watch(admin, await contact_of(source))
        async with world.agent("hv2") as target:
            source.contacts.set_policy("none")
            await admin.call(HV1, "vm", {"name": "test", "state": "destroyed"})
            await admin.saw(await contact_of(target), "available", "running")


async def test_an_account_is_handed_over(world: World, libvirtd: Daemon) -> None:
    """A machine that appears on another hypervisor gets its account from the peer, once it is off there."""
    async with world.agent("hv1", uri=libvirtd.uri) as source, world.person() as admin:
        await contact_of(source)
        async with world.agent("hv2") as target:
            with pytest.raises(IqError, match="conflict"):
                async with world.person("hv2", resource="asks") as peer:
                    await peer.call(HV1, "handover", {"uuid": TEST_UUID})
            source.contacts.set_policy("none")
            await admin.call(HV1, "vm", {"name": "test", "state": "destroyed"})
            assert await contact_of(target) == f"{TEST_UUID}@{DOMAIN}/hv2"
            passwords = {a.database.execute("SELECT password FROM accounts").fetchone()[0] for a in (source, target)}
            assert len(passwords) == 1


async def test_a_machine_in_two_places_says_so(world: World, libvirtd: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hypervisors online with one machine for longer than a handover are a split brain: presence and event."""
    monkeypatch.setattr("archipel_agent.features.contacts.GRACE", 0.5)
    async with world.agent("hv1", uri=libvirtd.uri) as first, world.person() as admin:
        jid = await contact_of(first)
        await watch(admin, jid)
        _give_account(world, first)
        async with world.agent("hv2"):
            await admin.saw(jid, "dnd", "split brain: I am also on hv2")
            await admin.saw(jid.replace("/hv1", "/hv2"), "dnd", "split brain: I am also on hv1")
            event = (await admin.until(lambda: admin.events("split_brain")))[0]
            assert (event["uuid"], event["hypervisors"]) == (TEST_UUID, ["hv1", "hv2"])
            before = len(admin.seen)
        await admin.saw(jid, "available", "running", after=before)


def _give_account(world: World, owner: Agent) -> None:
    """hv2 knows the account, as after a migration."""
    row = owner.database.execute("SELECT uuid, password FROM accounts WHERE uuid = ?", (TEST_UUID,)).fetchone()
    other: sqlite3.Connection = database.connect(world.config("hv2").state_dir / "agent.db")
    other.execute("INSERT INTO accounts (uuid, password, registered) VALUES (?, ?, 1)", tuple(row))
    other.close()


async def test_the_index_is_mended_when_the_agent_comes_back(world: World) -> None:
    """What changed while the agent was away is put right: wrong items are written anew, those of machines that are
    gone are retracted, other hypervisors' are left alone."""
    async with world.person() as admin:
        await admin.empty("/archipel/machines")
    async with world.agent() as agent, world.person() as admin:
        await contact_of(agent)
        while TEST_UUID not in await admin.items("/archipel/machines"):
            await asyncio.sleep(0.05)
        agent.database.execute("INSERT INTO published VALUES ('gone'), ('moved')")
    async with world.person("hv1") as earlier, world.person("hv2") as other:
        await publish(earlier, "gone", {"hypervisor": "hv1"})
        await publish(earlier, TEST_UUID, {"hypervisor": "hv1", "state": "wrong"})
        await publish(other, "moved", {"hypervisor": "hv2"})
    async with world.agent() as agent, world.person() as admin:
        while (await admin.items("/archipel/machines"))[TEST_UUID]["state"] != "running":
            await asyncio.sleep(0.05)
        while "gone" in await admin.items("/archipel/machines"):
            await asyncio.sleep(0.05)
        assert (await admin.items("/archipel/machines"))["moved"]["hypervisor"] == "hv2"


async def test_the_index_follows_a_machine_to_another_hypervisor(world: World, libvirtd: Daemon) -> None:
    """The item of a machine is written by where it is now, as soon as the other hypervisor has taken its own back."""
    async with world.person() as admin:
        await admin.empty("/archipel/machines")
    async with world.agent("hv1", uri=libvirtd.uri), world.person() as admin:
        while (await admin.items("/archipel/machines")).get(TEST_UUID, {}).get("hypervisor") != "hv1":
            await asyncio.sleep(0.05)
        async with world.agent("hv2", contacts="none"):
            while "hypervisor:hv2" not in await admin.items("/archipel/machines"):
                await asyncio.sleep(0.05)
            await admin.call(HV1, "vm", {"name": "test", "state": "absent", "force": True})
            while (await admin.items("/archipel/machines")).get(TEST_UUID, {}).get("hypervisor") != "hv2":
                await asyncio.sleep(0.05)


async def publish(person: Client, item: str, payload: object) -> None:
    from archipel_agent.wire import json_element

    await person.plugin["xep_0060"].publish(
        f"pubsub.{DOMAIN}", "/archipel/machines", item, payload=json_element(payload)
    )


async def test_a_machine_that_has_moved_away_is_not_known_any_longer(world: World) -> None:
    """libvirt tells of its end here, and not that its definition went along; the next one may have its name."""
    async with world.agent(contacts="none") as agent, world.person() as admin:
        left = {"uuid": OTHER_UUID, "name": "web1", "state": "shutoff", "reason": "migrated"}
        agent.link._put(OTHER_UUID, dataclasses.replace(agent.link.machines[TEST_UUID], **left))
        begun = await admin.call(HV1, "vm_migrate", {"name": "web1", "destination": "hv2"})
        assert (await admin.call(HV1, "job", {"id": begun["job"], "wait": 20}))["ended"]
        while OTHER_UUID in agent.link.machines:
            # The agent tells nobody inside its process.
            await asyncio.sleep(0.05)
