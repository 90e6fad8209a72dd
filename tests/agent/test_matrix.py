# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every declared action, at every door, for every ready-made role and for none: who may runs it, who may not does not
see it, and both leave a line of audit. A new action is in it by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import typing as t

import pytest
from archipel.actions import ASKER, PERMISSIONS, Action
from archipel.rights import ROLES
from archipel_agent.doors.chat import match
from client import Client
from grants import STRANGER, grant, withdraw_all
from slixmpp import JID
from slixmpp.exceptions import IqError
from test_every_action import HV1, HYPERVISOR, MACHINE, as_form, declared, outcome, reset
from world import World, contact_of

REFUSED: t.Final = {"unknown_action", "forbidden"}
Line = tuple[str, str, str]  # what became of it, action, door


@pytest.fixture
def world(world: World) -> t.Iterator[World]:
    """One whose nodes grant nothing afterwards."""
    yield world
    asyncio.run(withdraw_all(world))


def test_every_permission_is_one_of_the_declared() -> None:
    """An action that asks for a permission that nobody can grant would be nobody's."""
    actions = [*declared("machine").values(), *declared("hypervisor").values()]
    assert {action.permission for action in actions} == set(PERMISSIONS)


@pytest.mark.parametrize("role", ["none", *ROLES])
async def test_each_action_for_each_role_at_each_door(
    world: World, caplog: pytest.LogCaptureFixture, role: str
) -> None:
    """What a role gives is listed and runs, or fails for a reason of its own; nothing else is listed or runs."""
    caplog.set_level(logging.INFO, "archipel_agent.audit")
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        machine = await contact_of(agent)
        assert set(declared("hypervisor")) == set(agent.hypervisor.entity.actions)
        if role != "none":
            await grant(admin, "matrix", role=role)
        wanted: set[Line] = set()
        for contact, kind, table in ((machine, "machine", MACHINE), (HV1, "hypervisor", HYPERVISOR)):
            actions = declared(kind)
            allowed = {name for name, action in actions.items() if gives(role, action)}
            assert await person.commands(contact) == allowed
            for door in ("program", "form"):
                await reset(agent, admin)
                for name, (arguments, _expected) in table.items():
                    ask = Client.call if door == "program" or name not in allowed else as_form
                    came = await outcome(ask(person, contact, name, arguments))
                    assert bool(REFUSED & set(came)) == (name not in allowed), (door, name, came)
                    await agent.jobs.drain(20)
                    if name not in allowed:
                        wanted.add(("refused", name, "adhoc"))
                        if door == "form":
                            with pytest.raises(IqError, match="item-not-found"):
                                await person.command(contact, name)
                    elif actions[name].changes:
                        wanted.add(("changed", name, "adhoc"))
            await reset(agent, admin)
            wanted |= await chat(person, contact, actions, allowed)
        while missing := wanted - audited(caplog):
            # The agent tells nobody when it has understood a message that it does not answer.
            await asyncio.sleep(0.05)
        assert not missing


def gives(role: str, action: Action) -> bool:
    return role != "none" and (action.permission == ASKER or bool(action.permissions() & ROLES[role]))


async def chat(person: Client, contact: str, actions: t.Mapping[str, Action], allowed: t.Collection[str]) -> set[Line]:
    """Say a phrase of each action; return what the audit must hold."""
    visible = {name: actions[name] for name in allowed}
    said = [(a, re.sub(r"{(\w+)}", "hv1", phrase.text)) for a in actions.values() for phrase in a.phrases[:1]]
    wanted: set[Line] = set()
    for action, text in said:
        if action.name in allowed:
            if action.asks:
                assert "Say yes" in await person.says(contact, text)
                text = "yes"
            before = len(person.heard)
            answer = await person.says(contact, text)
            assert "do not understand" not in answer
            if action.long and "has begun" in answer:
                # The end of the job is told too.
                await person.until(lambda before=before: len(person.heard) == before + 2)
            if action.changes:
                wanted.add(("changed", action.name, "chat"))
    for action, text in said:
        # The same words may mean something that they may.
        if action.name not in allowed and match(visible, text) is None:
            person.send_message(JID(contact), text, mtype="chat")
            wanted.add(("refused", action.name, "chat"))
    return wanted


def audited(caplog: pytest.LogCaptureFixture) -> set[Line]:
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "archipel_agent.audit"]
    return {(line["type"], line["action"], line["door"]) for line in lines if line.get("who") == STRANGER}
