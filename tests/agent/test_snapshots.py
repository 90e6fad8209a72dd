# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots in the words of people, and a contact that is what its machine is after going back."""

from __future__ import annotations

import typing as t

from archipel_agent.daemon import Agent
from client import Client
from world import World, contact_of

HV1 = "hv1@xmpp.test/hv1"


async def told(person: Client, jid: str, text: str) -> str:
    """What the contact says at the end of a long action, some time after it has begun. What it asks back is meant."""
    before = len(person.heard)
    if (await person.says(jid, text)).endswith("Say yes to have it done."):
        before += 1
        await person.says(jid, "yes")
    await person.until(lambda: len(person.heard) == before + 2)
    return t.cast(str, person.heard[-1][1])


async def bare(agent: Agent, person: Client) -> str:
    """The contact of a machine without snapshots."""
    jid = await contact_of(agent)
    await ended(person, await person.call(jid, "forget", {"snapshot": "*"}))
    return jid


async def ended(person: Client, begun: dict[str, t.Any]) -> None:
    """Return when the job has ended well."""
    job = await person.call(HV1, "job", {"id": begun["job"], "wait": 20})
    assert job["state"] == "succeeded", job["error"]


async def test_a_machine_is_what_it_was_after_going_back(world: World) -> None:
    """Running, paused and off are seen by who watches, as libvirt tells them."""
    async with world.agent() as agent, world.person() as admin:
        jid = await bare(agent, admin)
        admin.send_presence_subscription(jid.split("/")[0])
        await admin.saw(jid, "available", "running")
        assert await told(admin, jid, "take a snapshot called up") == "I have taken the snapshot up."
        await admin.call(jid, "destroy")
        await admin.saw(jid, "xa", "shutoff")
        await told(admin, jid, "snapshot down")
        before = len(admin.seen)
        assert await told(admin, jid, "revert to up") == "I am back at up, and running."
        await admin.saw(jid, "available", "running", after=before)
        assert await told(admin, jid, "go back to down") == "I am back at down, and shutoff."
        await admin.saw(jid, "xa", "shutoff", after=before)
        await ended(admin, await admin.call(jid, "revert", {"snapshot": "up", "then": "paused"}))
        await admin.saw(jid, "away", "paused", after=before)
        assert (await admin.says(jid, "how are you")).startswith("I am test. I am paused")
        await ended(admin, await admin.call(jid, "revert", {"snapshot": "up"}))


async def test_a_machine_tells_of_its_snapshots_and_forgets_them(world: World) -> None:
    """As a tree; one that is not there is not forgotten."""
    async with world.agent() as agent, world.person() as admin:
        jid = await bare(agent, admin)
        assert await admin.says(jid, "snapshots") == "I have no snapshots."
        await told(admin, jid, "snapshot one")
        await told(admin, jid, "snapshot two")
        one, two = (await admin.says(jid, "list snapshots")).split("\n")
        assert one.startswith("one: running, 2")
        assert two.startswith("  two: running, 2")
        assert two.endswith("(I go on from here)")
        assert await told(admin, jid, "forget the snapshot two") == "I have forgotten it."
        assert await told(admin, jid, "forget the snapshot two") == "I have no such snapshot."
        assert "has no snapshot 'two'; it has: one" in await told(admin, jid, "revert to two")


async def test_a_machine_is_asked_by_verbs(world: World) -> None:
    """What is a state to the module is said by the verb; its form has what is left to say."""
    async with world.agent() as agent:
        jid = await contact_of(agent)
        names = {verb: {a.name for a in agent.contacts.contacts[jid.split("@")[0]].entity.actions[verb].arguments}
                 for verb in ("snapshot", "revert", "forget")}  # fmt: skip
        assert names["revert"] == {"snapshot", "then", "force", "wait_timeout", "check"}
        assert "quiesce" in names["snapshot"]
        assert "state" not in names["snapshot"] | names["forget"]
