# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may not: they see nothing, nothing runs, and it is told."""

from __future__ import annotations

import json
import logging

import pytest
from archipel_agent.__main__ import OneLine
from client import Client
from slixmpp import JID
from slixmpp.exceptions import IqError
from test_every_action import BETWEEN_HYPERVISORS
from world import TEST_UUID, World, contact_of

HV1 = "hv1@xmpp.test/hv1"


async def refusals(admin: Client) -> list[tuple[str, str, str]]:
    """Who was refused what, and at which door; as soon as there are any since this person came."""
    await admin.until(lambda: admin.events("refused"))
    return [(e["who"], e["action"], e["door"]) for e in admin.events("refused")]


async def test_a_stranger_sees_no_commands(world: World) -> None:
    """Disco lists nothing to a JID without rights."""
    async with world.agent() as agent, world.person("stranger") as stranger:
        assert await stranger.commands(HV1) == set()
        assert await stranger.commands(await contact_of(agent)) == set()


async def test_a_stranger_runs_nothing(world: World) -> None:
    """A command that exists is answered to a stranger as one that does not, nothing runs, and an event tells it."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as stranger:
        machine = await contact_of(agent)
        texts = []
        for node in ("destroy", "nosuch"):
            with pytest.raises(IqError) as failed:
                await stranger.call(machine, node)
            assert failed.value.condition == "item-not-found"
            texts.append(failed.value.text.replace(node, "…"))
        assert texts[0] == texts[1]
        assert agent.link.machines[TEST_UUID].state == "running"
        assert ("stranger@xmpp.test", "destroy", "adhoc") in await refusals(admin)


async def test_a_stranger_gets_no_form(world: World) -> None:
    """Not even the form of a command is given to who may not call it."""
    async with world.agent(), world.person("stranger") as stranger:
        with pytest.raises(IqError, match="item-not-found"):
            await stranger.command(HV1, "vm")
        with pytest.raises(IqError, match="item-not-found"):
            await stranger.plugin["xep_0030"].get_info(JID(HV1), node="vm", cached=False)


async def test_a_stranger_is_not_answered_in_chat(world: World) -> None:
    """A stranger's words get no answer and do nothing; a phrase among them leaves an event."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as stranger:
        machine = await contact_of(agent)
        for text in ("help", "hello", "destroy"):
            stranger.send_message(JID(machine), text, mtype="chat")
        assert ("stranger@xmpp.test", "destroy", "chat") in await refusals(admin)
        assert stranger.heard == []
        assert agent.link.machines[TEST_UUID].state == "running"


async def test_a_stranger_does_not_see_presence(world: World) -> None:
    """A stranger's subscription is refused; an administrator's is accepted, and shows how the machine is."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as stranger:
        machine = await contact_of(agent)
        bare = machine.split("/")[0]
        stranger.send_presence_subscription(bare)
        await stranger.saw(bare, "unsubscribed")
        admin.send_presence_subscription(bare)
        await admin.saw(machine, "available", "running")
        assert not any(seen[0] == machine for seen in stranger.seen)


async def test_an_event_tells_who_changed_what(world: World) -> None:
    """Each change leaves an event with who, what, how, and what came of it."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        await admin.call(machine, "pause")
        await admin.says(machine, "resume")
        with pytest.raises(IqError):
            await admin.call(machine, "resume", {"wait": "no"})
        await admin.call(machine, "state")

        def changes() -> list[tuple[str, ...]]:
            keys = ("action", "entity", "who", "door", "outcome")
            return [tuple(event[key] for key in keys) for event in admin.events("changed")]

        who = (TEST_UUID, "admin@xmpp.test")
        assert await admin.until(lambda: changes() if len(changes()) == 2 else None) == [
            ("pause", *who, "adhoc", "changed"),
            ("resume", *who, "chat", "changed"),
        ]


async def test_no_name_forges_a_line_of_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What is written of a change is a line of JSON, whatever it was done to; all else that is logged is a line too."""
    caplog.set_level(logging.INFO, "archipel_agent.audit")
    hostile = "web\nINFO archipel_agent.audit: {}\u2028\x1b"
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError):
            await admin.call(HV1, "vm", {"name": hostile, "state": "running"})
    written = [OneLine().format(record) for record in caplog.records if record.name == "archipel_agent.audit"]
    assert not any(sign in line for line in written for sign in "\n\u2028\x1b")
    assert [json.loads(line)["subjects"] for line in written] == [[hostile]]
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s is here", (hostile,), None)
    assert OneLine().format(record) == "web\\nINFO archipel_agent.audit: {}\\u2028\\x1b is here"


async def test_administrators_do_not_act_as_peers(world: World) -> None:
    """What hypervisors ask each other, passwords among it, is not for administrators, and peers may nothing else."""
    async with world.agent(), world.person() as admin, world.person("hv2", resource="hv2") as peer:
        with pytest.raises(IqError, match="item-not-found"):
            await admin.call(HV1, "handover", {"uuid": TEST_UUID})
        assert await peer.commands(HV1) == BETWEEN_HYPERVISORS
        with pytest.raises(IqError, match="item-not-found"):
            await peer.call(HV1, "vm_info")
        answer = await peer.call(HV1, "destination", {"uuid": TEST_UUID})
        assert (answer["uri"], answer["present"], answer["state"]) == ("qemu+tls://hv1.test/system", True, "running")


async def test_strangers_register_no_accounts(world: World) -> None:
    """The server makes accounts for hypervisors only, and only of names that are UUIDs."""
    for who, name in (("stranger", TEST_UUID), ("admin", TEST_UUID), ("hv1", "mallory")):
        async with world.person(who) as person:
            request = person.make_iq_set(ito="xmpp.test")
            request["register"]["username"] = name
            request["register"]["password"] = "guessed"
            with pytest.raises(IqError, match="forbidden|not-allowed"):
                await request.send()
    assert {TEST_UUID, "mallory"}.isdisjoint(world.server.registered())


async def test_the_nodes_are_closed_to_strangers(world: World) -> None:
    """Index and events can be read by those with an affiliation only."""
    async with world.person("stranger") as stranger:
        for node in ("/archipel/machines", "/archipel/events"):
            with pytest.raises(IqError, match="not-allowed|forbidden"):
                await stranger.items(node)
