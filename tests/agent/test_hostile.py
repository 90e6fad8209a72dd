# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input that means harm, or is broken: it is refused, nothing changes, and the agent serves on."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import typing as t

import pytest
from archipel.actions import Action
from archipel.errors import ArchipelError
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS
from archipel_agent import wire
from archipel_agent.doors import adhoc, chat
from archipel_agent.libvirt_link import LANES
from archipel_agent.pubsub import payload_of
from client import COMMANDS, Client, error_of
from hypothesis import given, settings
from hypothesis import strategies as st
from noise import STRANGE, Noise
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from world import TEST_UUID, World, contact_of, machine

HV1 = "hv1@xmpp.test/hv1"
BOMB = """<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><domain type='test'><name>&c;</name></domain>"""
BROKEN = (
    "",
    "{",
    "[]",
    '"vm"',
    "NaN",
    '{"name": NaN}',
    '{"name": "a", "name": "b"}',
    "[" * 100_000,
    '{"name": ' + "[" * 40 + "]" * 40 + "}",
    '{"limit": ' + "9" * 10_000 + "}",
    json.dumps({"name": "x" * 300_000}) * 3,
)
OUTSIDE = "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain type='test'><name>&a;</name></domain>"


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:12])
async def test_broken_json_is_refused(world: World, text: str) -> None:
    """JSON that is broken, ambiguous, too deep or no object is a bad request, and the next request is answered."""
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError) as failed:
            await admin.command(HV1, "vm_info", json_text=text)
        assert failed.value.condition == "bad-request"
        assert (await admin.call(HV1, "hypervisor_info"))["changed"] is False


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:12])
def test_a_published_item_of_broken_json_is_an_empty_one(text: str) -> None:
    """Of what other hypervisors publish, as of what is asked."""
    item = ET.Element("item")
    ET.SubElement(item, f"{{{wire.JSON}}}json").text = text
    assert payload_of(item) == {}


@pytest.mark.parametrize(
    "xml",
    ["<domain", "<html/>", BOMB, OUTSIDE, "<domain type='test'><name>../../etc</name></domain>"],
    ids=["malformed", "no domain", "bomb", "outside entity", "path as name"],
)
async def test_harmful_xml_is_refused(world: World, xml: str) -> None:
    """XML that is malformed, grows, or reads files is refused, and nothing is defined."""
    async with world.agent() as agent, world.person() as admin:
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm", {"state": "present", "xml": xml})
        assert failed.value.condition == "bad-request"
        assert "root:" not in error_of(failed.value)["msg"]
        assert [state.name for state in agent.link.machines.values()] == ["test"]


async def test_a_name_with_template_characters_is_only_a_name(world: World) -> None:
    """Braces in a machine's name and description come back as they are, at every door."""
    name, uuid = "{{ 7 * 7 }}{name} %s", "3f0b6f5e-8d5c-4f58-9a8e-0f4a2f1a7c11"
    async with world.agent() as agent, world.person() as admin:
        await admin.call(HV1, "vm", {"state": "present", "xml": machine(name, uuid, description="{msg} {0}")})
        contact = await contact_of(agent, uuid)
        assert (await admin.says(contact, "how are you")).startswith(f"I am {name}. I am shutoff")
        assert (await admin.call(contact, "state"))["name"] == name
        assert name in await admin.says(HV1, "list")
        await admin.call(HV1, "vm", {"name": name, "state": "absent"})


async def test_a_form_with_unknown_or_repeated_fields_is_refused(world: World) -> None:
    """A submitted form may hold each argument once, and nothing else."""
    async with world.agent(), world.person() as admin:
        for fields in (("name", "name"), ("name", "nosuch")):
            iq = admin.make_iq_set(ito=HV1)  # type: ignore[arg-type]
            command = ET.SubElement(iq.xml, f"{{{COMMANDS}}}command", {"node": "vm", "action": "execute"})
            form = ET.SubElement(command, "{jabber:x:data}x", {"type": "submit"})
            for name in fields:
                field = ET.SubElement(form, "{jabber:x:data}field", {"var": name})
                ET.SubElement(field, "{jabber:x:data}value").text = "test"
            with pytest.raises(IqError, match="bad-request"):
                await iq.send()


@pytest.mark.parametrize("kind", ["form", "cancel", "result", ""])
async def test_only_a_form_that_is_submitted_is_a_request(world: World, kind: str) -> None:
    """A form that is cancelled, or sent back as it came, runs nothing, also where nothing in it is needed."""
    async with world.agent() as agent, world.person() as admin:
        contact = await contact_of(agent)
        iq = admin.make_iq_set(ito=contact)  # type: ignore[arg-type]
        command = ET.SubElement(iq.xml, f"{{{COMMANDS}}}command", {"node": "destroy", "action": "execute"})
        ET.SubElement(command, "{jabber:x:data}x", {"type": kind})
        with pytest.raises(IqError, match="bad-request"):
            await iq.send()
        assert agent.link.machines[TEST_UUID].state == "running"


async def test_characters_that_xml_cannot_carry_do_not_end_the_stream(world: World) -> None:
    """An answer that quotes control characters or half a surrogate pair arrives, without them."""
    async with world.agent(), world.person() as admin:
        for name in ("\x00\x1b[31m", "\ud800"):
            with pytest.raises(IqError) as failed:
                await admin.call(HV1, "vm", {"name": name, "state": "running"})
            assert failed.value.condition in ("bad-request", "item-not-found")
        assert (await admin.call(HV1, "hypervisor_info"))["changed"] is False


async def test_an_answer_that_no_stanza_holds_is_refused(world: World) -> None:
    """An answer larger than the server takes is an error that says what to do, and the stream goes on."""
    async with world.agent() as agent, world.person() as admin:
        agent.session.server = type(agent.session.server)(
            **{**vars(agent.session.server), "max_stanza_size": 8192 + 300}
        )
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm_info")
        assert "too large" in error_of(failed.value)["msg"]
        assert (await admin.call(HV1, "vm_info", {"name": "nosuch"}))["vms"] == []


async def test_a_flood_of_one_does_not_stop_others(world: World) -> None:
    """While one JID floods the agent, another one's requests are answered; what is too much is told to come later."""
    async with world.agent(), world.person() as flooder, world.person("hv2", resource="hv2") as other:
        flood = [asyncio.create_task(flooder.call(HV1, "vm_info")) for _call in range(600)]
        answer = await other.call(HV1, "destination", {"name": "test"})
        assert answer["present"] is True
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        refused = [o for o in outcomes if isinstance(o, IqError)]
        assert all(error.condition == "service-unavailable" for error in refused)
        assert len(refused) < len(outcomes)


async def test_long_work_keeps_no_stanza_waiting(world: World) -> None:
    """While libvirt is busy with all the changes and jobs that it is given, questions are answered."""
    done = threading.Event()
    async with world.agent() as agent, world.person() as admin:
        lanes = [lane for lane in ("changes", "jobs") for _worker in range(LANES[lane])]
        work = [asyncio.create_task(agent.link.perform(lane, lambda _hypervisor: done.wait(30))) for lane in lanes]
        try:
            for _question in range(20):
                assert [vm["name"] for vm in (await admin.call(HV1, "vm_info"))["vms"]] == ["test"]
            assert not any(each.done() for each in work)
        finally:
            done.set()
            await asyncio.gather(*work)


async def test_words_of_sql_are_only_words(world: World) -> None:
    """What is asked for by name is looked up by that name, whatever it says, and kept as it is."""
    async with world.agent() as agent, world.person() as admin:
        contact = await contact_of(agent)
        for word in ("' OR '1'='1", "x'; DROP TABLE jobs; --", '" UNION SELECT password FROM accounts --'):
            with pytest.raises(IqError, match="item-not-found"):
                await admin.call(HV1, "job", {"id": word})
            job = (await admin.call(contact, "snapshot", {"snapshot": "a", "description": word, "check": True}))["job"]
            assert (await agent.jobs.ended(job)).arguments["description"] == word
        assert agent.database.execute("SELECT count(*) FROM jobs").fetchone()[0] == 3


async def test_no_definition_has_a_password(world: World) -> None:
    """What is known of a machine's account is in the agent's database, and in nothing that libvirt tells."""
    async with world.agent() as agent, world.person() as admin:
        contact = await contact_of(agent)
        (password,) = agent.database.execute("SELECT password FROM accounts").fetchone()
        told = [await admin.call(contact, name) for name in ("xml", "info", "console")]
        assert password not in json.dumps(
            [*told, await admin.call(HV1, "vm_info"), await admin.items("/archipel/machines")]
        )


async def test_a_form_that_is_sent_again_does_nothing(world: World) -> None:
    """A session ends with its form: who sends the same stanza again is told so."""
    async with world.agent() as agent, world.person() as admin:
        contact = await contact_of(agent)
        session = (await admin.command(contact, "pause")).get("sessionid", "")

        async def submit() -> None:
            iq = admin.make_iq_set(ito=contact)  # type: ignore[arg-type]
            command = {"node": "pause", "sessionid": session, "action": "complete"}
            ET.SubElement(
                ET.SubElement(iq.xml, f"{{{COMMANDS}}}command", command), "{jabber:x:data}x", {"type": "submit"}
            )
            await iq.send()

        await submit()
        await admin.call(contact, "resume")
        with pytest.raises(IqError, match="bad-request"):
            await submit()
        assert (await admin.call(contact, "state"))["state"] == "running"


async def test_a_stanza_that_is_too_large_ends_the_stream_of_its_sender_alone(world: World) -> None:
    """The server lets nothing through that is larger than the agent reads."""
    async with world.agent(), world.person() as admin, world.person(resource="large") as large:
        gone = large.wait_until("disconnected", 30)
        large.send_message(HV1, "x" * (5 << 20), mtype="chat")  # type: ignore[arg-type]
        await gone
        assert (await admin.call(HV1, "hypervisor_info"))["changed"] is False


@pytest.mark.parametrize("false", ["admin@xmpp.test/test", "hv2@xmpp.test/hv2", "xmpp.test"])
async def test_nobody_speaks_in_anothers_name(world: World, false: str) -> None:
    """The server ends the stream of who says that he is the administrator, a peer or the server."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as stranger:
        contact, gone = await contact_of(agent), stranger.wait_until("disconnected", 30)
        stranger.send_raw(f"<message to='{contact}' from='{false}' type='chat'><body>pause</body></message>")
        await gone
        assert (await admin.says(contact, "how are you")).startswith("I am test. I am running")


ALL: t.Final = (*ACTIONS.values(), *MACHINE_ACTIONS.values())


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 1 << 32))
def test_a_hundred_thousand_stanzas_are_read_or_refused(seed: int) -> None:
    """Of what comes from outside nothing is bound that was not declared, and nothing fails but by a refusal."""
    source = random.Random(seed)
    noise = Noise(source)
    for _stanza in range(500):
        action = source.choice(ALL)
        command = noise.command(action)
        container, form = command.find(f"{{{wire.JSON}}}json"), command.find(f"{{{wire.DATA}}}x")
        try:
            if container is not None:
                arguments = action.bind(wire.read_json(container))
            else:
                arguments = action.bind(wire.read_form(form, action) if form is not None else {}, text=True)
        except ArchipelError:
            continue
        assert STRANGE not in arguments


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 1 << 32))
def test_whatever_is_said_is_understood_or_not(seed: int) -> None:
    """No words make the door of chat fail, and they mean an action only by its own phrase."""
    source = random.Random(seed)
    noise = Noise(source)
    actions = {action.name: action for action in MACHINE_ACTIONS.values()}
    for _message in range(100):
        words = chat.words_of(noise.words(source.choice(ALL)))
        meant = chat.match(actions, words)
        if meant is not None:
            assert meant.untrusted.keys() <= {argument.name for argument in meant.action.arguments}
    assert isinstance(chat._help_on(actions, words), str)


async def bombard(person: Client, contact: str, actions: t.Sequence[Action], source: random.Random, count: int) -> None:
    """Send so many commands, fifty at a time; all are answered."""
    noise = Noise(source)
    for _batch in range(count // 50):
        sent = []
        for _command in range(50):
            iq = person.make_iq_set(ito=contact)  # type: ignore[arg-type]
            iq.append(noise.command(source.choice(actions)))
            sent.append(iq.send(timeout=30))
        answers = await asyncio.gather(*sent, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {IqError, type(iq)}


async def test_thousands_of_strange_stanzas_change_nothing(world: World) -> None:
    """Over the server, from who may nothing and from who may everything: all are answered, and all is as it was."""
    source = random.Random(4)
    # What takes no argument cannot be asked for with a wrong one.
    of_machine, of_hypervisor = ([a for a in each.values() if a.arguments] for each in (MACHINE_ACTIONS, ACTIONS))
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as stranger:
        contact = await contact_of(agent)
        # The server slows strangers down.
        for person, count in ((stranger, 200), (admin, 1000)):
            await bombard(person, contact, of_machine, source, count)
            await bombard(person, HV1, of_hypervisor, source, count)
        assert stranger.heard == []
        assert admin.events("changed") == []
        assert agent.database.execute("SELECT count(*) FROM jobs").fetchone()[0] == 0
        assert [(state.name, state.state) for state in agent.link.machines.values()] == [("test", "running")]
        for door in (agent.hypervisor.doors[0], agent.contacts.contacts[TEST_UUID].doors[0]):
            assert len(door._sessions) <= adhoc.SESSIONS_OF_ONE
