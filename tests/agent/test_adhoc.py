# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of ad-hoc commands, for programs and for people."""

from __future__ import annotations

import typing as t

import pytest
from archipel.hypervisor import ACTIONS
from client import COMMANDS, Client, error_of
from slixmpp import JID
from slixmpp.exceptions import IqError
from world import TEST_UUID, World, contact_of

HV1 = "hv1@xmpp.test/hv1"


async def test_a_program_gets_data_and_people_a_sentence(world: World) -> None:
    """An action with a JSON container is answered by a container with the result, and a note in the first person."""
    async with world.agent(), world.person() as admin:
        answer = await admin.command(HV1, "vm_info", json_text="{}")
        assert answer.get("status") == "completed"
        assert answer.find(f"{{{COMMANDS}}}note").text == "test: running"
        result = await admin.call(HV1, "vm_info")
        assert [(vm["name"], vm["state"]) for vm in result["vms"]] == [("test", "running")]


async def test_the_commands_are_listed(world: World) -> None:
    """Disco lists to an administrator what they may call: all but what is between hypervisors."""
    async with world.agent() as agent, world.person() as admin:
        assert await admin.commands(HV1) == {*ACTIONS, "job"}
        machine = await contact_of(agent)
        assert {"state", "info", "xml", "start", "shutdown", "destroy", "migrate"} <= await admin.commands(machine)


async def test_a_command_describes_itself(world: World) -> None:
    """Disco info of a command's node says what it does."""
    async with world.agent(), world.person() as admin:
        info = await admin.plugin["xep_0030"].get_info(JID(HV1), node="vm_info", cached=False)
        assert ("automation", "command-node") in {identity[:2] for identity in info["disco_info"]["identities"]}
        assert COMMANDS in info["disco_info"]["features"]


class Conversation:
    """A person's client: what it does with slixmpp's own ad-hoc plugin."""

    def __init__(self, person: Client, jid: str, node: str) -> None:
        self.person, self.jid, self.node = person, jid, node
        self.session = ""

    async def step(self, action: str, form: t.Any = None) -> t.Any:
        answer = await self.person.plugin["xep_0050"].send_command(
            JID(self.jid), self.node, action=action, payload=form, sessionid=self.session or None
        )
        self.session = answer["command"]["sessionid"]
        return answer["command"]

    def filled(self, **values: t.Any) -> t.Any:
        form = self.person.plugin["xep_0004"].make_form("submit")
        for name, value in values.items():
            form.add_field(name, value=value)
        return form


async def test_a_person_without_arguments_is_answered_at_once(world: World) -> None:
    """An action without arguments runs at once, and its result is a form that people can read."""
    async with world.agent() as agent, world.person() as admin:
        command = await Conversation(admin, await contact_of(agent), "state").step("execute")
        assert command["status"] == "completed"
        assert command["notes"][0][1].startswith("I am test. I am running on hv1")
        assert command["form"]["values"]["state"] == "running"


async def test_a_person_fills_in_a_form(world: World) -> None:
    """An action with arguments first asks for them by a form, which derives from the declaration."""
    async with world.agent(), world.person() as admin:
        conversation = Conversation(admin, HV1, "vm")
        asked = await conversation.step("execute")
        fields = asked["form"].get_fields()
        assert asked["status"] == "executing"
        assert fields["state"]["type"] == "list-single"
        assert fields["xml"]["type"] == "text-multi"
        assert (fields["force"]["type"], fields["force"]["value"]) == ("boolean", False)
        answer = await conversation.step(
            "complete", conversation.filled(name="test", state="destroyed", wait_timeout="20", uuid="", definition="")
        )
        assert answer["status"] == "completed"
        assert (await admin.call(HV1, "vm_info"))["vms"][0]["state"] == "shutoff"
        await admin.call(HV1, "vm", {"name": "test", "state": "running"})


async def test_a_session_can_be_cancelled(world: World) -> None:
    """Cancel ends a session; what is sent to it afterwards is refused."""
    async with world.agent(), world.person() as admin:
        conversation = Conversation(admin, HV1, "vm")
        await conversation.step("execute")
        assert (await conversation.step("cancel"))["status"] == "canceled"
        with pytest.raises(IqError, match="bad-request"):
            await conversation.step("complete", conversation.filled(name="test"))


async def test_a_session_belongs_to_who_began_it(world: World) -> None:
    """Another resource cannot go on with somebody's form."""
    async with world.agent(), world.person() as admin, world.person(resource="other") as other:
        begun = Conversation(admin, HV1, "vm")
        await begun.step("execute")
        taken = Conversation(other, HV1, "vm")
        taken.session = begun.session
        with pytest.raises(IqError, match="bad-request"):
            await taken.step("complete", taken.filled(name="test", state="destroyed"))


async def test_nobody_opens_forms_without_end(world: World) -> None:
    """The number of open forms of one JID is bounded."""
    async with world.agent(), world.person() as admin:
        for _attempt in range(16):
            await Conversation(admin, HV1, "vm").step("execute")
        with pytest.raises(IqError, match="service-unavailable"):
            await Conversation(admin, HV1, "vm").step("execute")


async def test_an_unknown_argument_is_named(world: World) -> None:
    """An unknown argument is refused, and the nearest one named."""
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm", {"nam": "test"})
        assert failed.value.condition == "bad-request"
        error = error_of(failed.value)
        assert error["code"] == "invalid_argument"
        assert "'nam'" in error["msg"]
        assert "name" in error["msg"]


async def test_a_wrong_type_is_named(world: World) -> None:
    """An argument of the wrong type is refused, and nothing is changed."""
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm", {"name": "test", "state": "destroyed", "wait": "perhaps"})
        assert error_of(failed.value)["msg"].startswith("wait: 'perhaps' is not of type bool")
        assert (await admin.call(HV1, "vm_info"))["vms"][0]["state"] == "running"


async def test_an_unknown_machine_is_named(world: World) -> None:
    """A machine that is not here is answered by item-not-found, and named."""
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm", {"name": "nosuch", "state": "running"})
        assert failed.value.condition == "item-not-found"
        assert "nosuch" in error_of(failed.value)["msg"]


async def test_an_unknown_action_is_not_there(world: World) -> None:
    """An action that does not exist is item-not-found; the nearest that one may call is named."""
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm_inf")
        assert failed.value.condition == "item-not-found"
        assert "vm_info" in error_of(failed.value)["msg"]


async def test_a_definition_goes_over_the_wire(world: World) -> None:
    """A machine is defined, changed and undefined over XMPP; the second time nothing changes."""
    async with world.agent(), world.person() as admin:
        wanted = {"name": "defined", "state": "present", "definition": {"memory": 64, "vcpus": 1}}
        first = await admin.call(HV1, "vm", wanted)
        assert first["changed"] is True
        assert (await admin.call(HV1, "vm", wanted))["changed"] is False
        gone = await admin.call(HV1, "vm", {"name": "defined", "state": "absent"})
        assert gone["changed"] is True
        assert [vm["uuid"] for vm in (await admin.call(HV1, "vm_info"))["vms"]] == [TEST_UUID]
