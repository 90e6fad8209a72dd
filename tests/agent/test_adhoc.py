# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of ad-hoc commands, for programs and for people."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from archipel.actions import PEER
from archipel_agent.doors import choices
from client import COMMANDS, Client, error_of
from slixmpp import JID
from slixmpp.exceptions import IqError
from world import TEST_UUID, World, contact_of, machine

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
        of_hypervisor = agent.hypervisor.entity.actions.values()
        assert await admin.commands(HV1) == {action.name for action in of_hypervisor if action.permission != PEER}
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


def options(form: t.Any, name: str) -> list[str]:
    """What there is to choose from in that field."""
    return [option["value"] for option in form.get_fields()[name].get_options()]


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
            "complete", conversation.filled(name="test", state="destroyed", wait_timeout="20", uuid="", autostart="")
        )
        assert answer["status"] == "completed"
        assert (await admin.call(HV1, "vm_info"))["vms"][0]["state"] == "shutoff"
        await admin.call(HV1, "vm", {"name": "test", "state": "running"})


async def test_a_form_says_what_it_asks_for(world: World) -> None:
    """Fields have words for labels, the whole help beside them, and their defaults; nothing in them is Ansible's."""
    async with world.agent(), world.person() as admin:
        fields = (await Conversation(admin, HV1, "vm").step("execute"))["form"].get_fields()
        assert (fields["wait_timeout"]["label"], fields["wait_timeout"]["value"]) == ("Seconds to wait at most", "120")
        assert all(
            field["desc"] and "V(" not in field["desc"] and "O(" not in field["desc"] for field in fields.values()
        )


async def test_a_form_offers_what_there_is(world: World) -> None:
    """Machines, pools and networks of the host are choices where one that exists is meant, and told of elsewhere."""
    async with world.agent() as agent, world.person() as admin:
        asked = await Conversation(admin, HV1, "vm_screenshot").step("execute")
        assert options(asked["form"], "name") == ["test"]
        fields = (await Conversation(admin, HV1, "vm").step("execute"))["form"].get_fields()
        assert fields["name"]["type"] == "text-single"
        assert fields["name"]["desc"] == "Name of the machine. There is test."
        of_machine = await Conversation(admin, await contact_of(agent), "clone").step("execute")
        assert options(of_machine["form"], "pool") == ["default-pool"]


async def test_a_second_form_follows_where_the_first_decides_what_it_offers(world: World) -> None:
    """First which machine, then which of its snapshots; the next step is the usual one, and complete is enough."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        job = (await admin.call(machine, "snapshot", {"snapshot": "here"}))["job"]
        await agent.jobs.ended(job)
        conversation = Conversation(admin, HV1, "vm_clone")
        asked = await conversation.step("execute")
        assert asked["status"] == "executing"
        assert asked["actions"] == {"next", "complete"}
        assert set(asked["form"].get_fields()) == {"name"}
        asked = await conversation.step("next", conversation.filled(name="test"))
        assert asked["actions"] == {"complete"}
        assert "name" not in asked["form"].get_fields()
        assert options(asked["form"], "snapshot") == ["here"]
        answer = await conversation.step("complete", conversation.filled(clone="twin", check="1"))
        assert answer["notes"][0][1].startswith("vm_clone has begun as job")
        of_machine = await Conversation(admin, machine, "revert").step("execute")
        assert options(of_machine["form"], "snapshot") == ["here"]
        once = Conversation(admin, HV1, "vm_snapshot")
        await once.step("execute")
        answer = await once.step("complete", once.filled(name="test", snapshot="here", state="absent"))
        assert answer["status"] == "completed"
        for left in (agent.jobs.changing(TEST_UUID),):
            assert left is None or (await agent.jobs.ended(left.id)).state == "succeeded"


async def test_a_definition_is_asked_for_by_its_keys(world: World) -> None:
    """Each has a field of its own, so that nobody has to write JSON for a disk; what is wrong in one is named."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        conversation = Conversation(admin, machine, "disk")
        fields = (await conversation.step("execute"))["form"].get_fields()
        assert fields["disk.size"]["desc"].startswith("Size in GiB")
        assert [option["value"] for option in fields["disk.pool"].get_options()] == ["default-pool"]
        with pytest.raises(IqError) as failed:
            await conversation.step("complete", conversation.filled(**{"disk.target": "vdx", "disk.size": "much"}))
        assert "disk.size: 'much' cannot be read as int" in error_of(failed.value)["msg"]
        conversation = Conversation(admin, machine, "disk")
        await conversation.step("execute")
        values = {"disk.target": "vdx", "disk.path": "/srv/form.qcow2", "disk.readonly": "yes", "check": "1"}
        job = (
            (await conversation.step("complete", conversation.filled(**values)))["notes"][0][1].split()[-1].rstrip(".")
        )
        ended = await agent.jobs.ended(job)
        assert ended.result is not None
        assert "disks[vdx]" in ended.result["changes"][0]["path"]
        assert ended.result["changes"][0]["new"]["readonly"] is True


async def test_what_is_left_as_it_is_is_neither_yes_nor_no(world: World) -> None:
    """A truth without a default is a choice of two that need not be made; one with a default is a boolean."""
    async with world.agent(), world.person() as admin:
        fields = (await Conversation(admin, HV1, "vm").step("execute"))["form"].get_fields()
        assert fields["autostart"]["type"] == "list-single"
        assert [option["value"] for option in fields["autostart"].get_options()] == ["yes", "no"]
        assert not fields["autostart"]["value"]
        assert fields["check"]["type"] == "boolean"


async def test_too_much_to_choose_from_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that nobody would look through is not sent, and neither is one that takes too long to make."""
    async with world.agent(), world.person() as admin:
        for name in ("MOST", "PATIENCE"):
            with monkeypatch.context() as patched:
                patched.setattr(choices, name, 0)
                fields = (await Conversation(admin, HV1, "vm_screenshot").step("execute"))["form"].get_fields()
                assert fields["name"]["type"] == "text-single"
        other = machine("other", "3f0b6f5e-8d5c-4f58-9a8e-0f4a2f1a7c12")
        await admin.call(HV1, "vm", {"state": "present", "xml": other})
        limited = dataclasses.replace(choices.LISTINGS["machine"], arguments={"limit": 1})
        monkeypatch.setitem(choices.LISTINGS, "machine", limited)
        fields = (await Conversation(admin, HV1, "vm_screenshot").step("execute"))["form"].get_fields()
        assert fields["name"]["type"] == "text-single"
        await admin.call(HV1, "vm", {"name": "other", "state": "absent"})


async def test_nobody_is_offered_what_they_may_not_see(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices are asked for by who fills the form in, and who may not look at pools opens the form all the same."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        visible = agent.dispatcher.visible
        monkeypatch.setattr(
            agent.dispatcher,
            "visible",
            lambda entity, who: {name: a for name, a in visible(entity, who).items() if name != "pool_info"},
        )
        fields = (await Conversation(admin, machine, "clone").step("execute"))["form"].get_fields()
        assert fields["pool"]["type"] == "text-single"
        assert fields["pool"]["required"] is False


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
