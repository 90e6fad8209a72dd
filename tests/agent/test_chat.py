# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of chat: what a person writes in any client, and what must not be answered."""

from __future__ import annotations

import pytest
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS
from archipel_agent.doors import chat
from client import Client
from slixmpp.xmlstream import ET
from world import TEST_UUID, World, contact_of

HV1 = "hv1@xmpp.test/hv1"


async def test_a_machine_says_how_it_is(world: World) -> None:
    """A machine answers `how are you` in the first person, however it is written."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        for question in ("how are you", "How are you?", "  how   are you ?", "Hello, can you please state, thanks!"):
            assert (await admin.says(machine, question)).startswith("I am test. I am running on hv1")


async def test_a_machine_does_what_it_is_told(world: World) -> None:
    """A phrase of a changing action changes, and the answer says so; said twice, it says that nothing changed."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        assert await admin.says(machine, "pause") == "I am paused now."
        assert await admin.says(machine, "freeze") == "I was paused already."
        assert await admin.says(machine, "Could you continue, please?") == "I am running again."


async def test_what_cannot_be_undone_is_asked_back(world: World) -> None:
    """It is done when the same client's next message is yes, and not when anything else is."""
    async with world.agent() as agent, world.person() as admin, world.person(resource="other") as other:
        machine = await contact_of(agent)
        for between in ("how are you", "no", "help", "yess"):
            assert "Say yes" in await admin.says(machine, "destroy")
            await admin.says(machine, between)
            assert "no question open" in await admin.says(machine, "yes")
            assert agent.link.machines[TEST_UUID].state == "running"
        await admin.says(machine, "destroy")
        assert await admin.says(machine, "No.") == "Then I leave it."
        assert "Say yes" in await admin.says(machine, "please power off!")
        assert "no question open" in await other.says(machine, "yes")
        assert await admin.says(machine, "Yes, please.") == "I have been turned off."
        assert "no question open" in await admin.says(machine, "yes")
        assert await admin.says(machine, "start") == "I am running now."


async def test_a_word_to_many_machines_is_asked_back(world: World) -> None:
    """The question repeats who is meant; what came of all of them is told when it is done."""
    async with world.agent() as agent, world.person() as admin:
        question = await admin.says(HV1, "power off all te*")
        assert question == "That is for each of my machines that fits te*, at once. Say yes to have it done."
        assert agent.link.machines[TEST_UUID].state == "running"
        assert "has begun as job" in await admin.says(HV1, "yes")
        await admin.until(lambda: any("Of 1 machine 1 changed" in text for sender, text in admin.heard if sender))
        assert agent.link.machines[TEST_UUID].state == "shutoff"


async def test_a_question_does_not_stand_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yes to a question that is too old does nothing."""
    monkeypatch.setattr(chat, "QUESTION_STANDS", 0)
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        assert "Say yes" in await admin.says(machine, "reset")
        assert "no question open" in await admin.says(machine, "yes")


def test_whatever_takes_something_away_for_good_asks_back() -> None:
    """What of all that there are words for does so, and what is asked of many at once."""
    asking = {action.name for action in (*MACHINE_ACTIONS.values(), *ACTIONS.values()) if action.asks}
    assert asking == {"destroy", "reset", "revert", "forget", "vm_bulk"}


async def test_a_program_is_not_asked_back(world: World) -> None:
    """A question is for people in a chat."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        assert (await admin.call(machine, "destroy"))["changed"] is True
        assert (await admin.call(machine, "start"))["changed"] is True


async def test_part_of_what_an_action_tells_can_be_asked_for(world: World) -> None:
    """A phrase may ask for less than its action tells, in units that people use."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        assert await admin.says(machine, "memory") == "I have 8 GiB of memory."
        assert await admin.says(machine, "vcpus") == "I have 2 vCPUs."
        assert await admin.says(machine, "disks") == "vda: disk, /guest/diskimage1"
        assert await admin.says(machine, "networks") == "aa:bb:cc:dd:ee:ff: network default"
        assert await admin.says(machine, "Where are you?") == "I am on hv1. My address is 192.168.122.3."
        assert "of which" in await admin.says(HV1, "memory")
        assert (await admin.says(HV1, "how long are you up?")).startswith("I am up for ")
        assert "My load is" in await admin.says(HV1, "load")


async def test_a_snapshot_may_be_left_without_a_name(world: World) -> None:
    """`take a snapshot` names it after the time; a name of several words is put in quotes."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        for words in ("take a snapshot", 'take a snapshot called "before the upgrade"'):
            before = len(admin.heard)
            await admin.says(machine, words)
            await admin.until(lambda before=before: len(admin.heard) == before + 2)
        names = [told["name"] for told in (await admin.call(machine, "snapshots"))["snapshots"]]
        assert "before the upgrade" in names
        assert len(names) == 2
        for name in names:
            job = (await admin.call(machine, "forget", {"snapshot": name}))["job"]
            assert (await agent.jobs.ended(job)).state == "succeeded"


async def test_help_lists_what_one_may_say(world: World) -> None:
    """`help` lists the phrases of the contact that is asked."""
    async with world.agent() as agent, world.person() as admin:
        assert "shutdown – Ask the machine to shut down" in await admin.says(await contact_of(agent), "help")
        assert "job <id> – " in await admin.says(HV1, "help")


async def test_help_explains_an_action(world: World) -> None:
    """`help` with an action's name, or with a way to say it, tells what it does and what it takes."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        told = await admin.says(machine, "help boot")
        assert told == await admin.says(machine, "help start")
        assert "Say start, or boot, or power on, or run." in told
        assert "wait_timeout – Seconds to wait at most. By default 120." in told
        assert "I ask back before I do it." in await admin.says(machine, "help revert")
        assert "snapshot (needed) – " in await admin.says(machine, "help go back to x")
        assert "no words for it" in await admin.says(HV1, "help pool")
        assert "I know nothing of that. Did you mean pause" in await admin.says(machine, "help pasue")


async def test_what_is_written_wrong_is_not_guessed_but_asked(world: World) -> None:
    """The nearest phrases are named, and nothing is done."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        meant = {"pasue": "pause", "migrat to hv9": "migrate to <destination>", "destory": "destroy", "hlep": "help"}
        for text, told in meant.items():
            assert f"did nothing. Did you mean {told}" in await admin.says(machine, text)
            assert await admin.says(machine, "cpu") == "I have 2 vCPUs."
        assert agent.link.machines[TEST_UUID].state == "running"


async def test_the_word_of_an_argument_is_taken_from_the_phrase(world: World) -> None:
    """A word of the asker's stands for an argument; what is wrong with it is said."""
    async with world.agent(), world.person() as admin:
        assert "There is no job 'abc' here" in await admin.says(HV1, "job abc")


async def test_what_is_not_understood_changes_nothing(world: World) -> None:
    """Anything that is no phrase is answered with a hint, and the machine stays as it is."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        for text in ("please destroy yourself", "destroy; start", "{{ 7*7 }}", "start " * 500):
            assert "did nothing" in await admin.says(machine, text)
            assert agent.link.machines[TEST_UUID].state == "running"
            await admin.says(machine, "how are you")


async def test_two_programs_cannot_keep_each_other_busy(world: World) -> None:
    """Who answers each of our answers with something that is not understood is left alone after three of them."""
    async with world.agent(), world.person() as parrot:
        parrot.add_event_handler("message", lambda message: message.reply(message["body"]).send())
        parrot.send_message(HV1, "are you a parrot?", mtype="chat")
        await parrot.until(lambda: len(parrot.heard) == 3)
        # What is understood is answered still, and after all that came before.
        assert "You can say to me" in await parrot.says(HV1, "help")
        assert sum("I do not understand" in body for _sender, body in parrot.heard) == 3


async def test_only_chat_is_heard(world: World) -> None:
    """Errors, headlines and group messages with a phrase in them are no requests."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        for kind in ("error", "headline", "groupchat"):
            admin.make_message(machine, "destroy", mtype=kind).send()  # type: ignore[arg-type]
        assert (await admin.says(machine, "how are you")).startswith("I am test. I am running")
        assert len(admin.heard) == 1


async def test_a_message_kept_by_the_server_does_nothing(world: World) -> None:
    """What was written to a contact while it was away is not done later: it may not be meant any more."""
    async with world.person() as admin:
        async with world.agent() as agent:
            machine = await contact_of(agent)
        message = admin.make_message(machine.split("/")[0], "destroy", mtype="chat")
        message.send()
        await _served(admin)
        async with world.agent() as agent:
            await contact_of(agent)
            answer = await admin.until(lambda: [body for _sender, body in admin.heard if "I was away" in body])
            assert answer
            assert agent.link.machines[TEST_UUID].state == "running"


async def test_the_thread_of_a_conversation_is_kept(world: World) -> None:
    """An answer belongs to the thread of the question, so clients show both together."""
    async with world.agent(), world.person() as admin:
        threads: list[str] = []
        admin.add_event_handler("message", lambda message: threads.append(message["thread"]))
        question = admin.make_message(HV1, "list", mtype="chat")
        ET.SubElement(question.xml, "{jabber:client}thread").text = "t-1"
        question.send()
        await admin.until(lambda: admin.heard)
        assert threads == ["t-1"]


async def _served(person: Client) -> None:
    """The server has dealt with all that this person sent before."""
    await person.plugin["xep_0199"].send_ping(person.boundjid.domain)


async def test_the_end_of_a_job_is_told_for_a_machine_that_has_gone(world: World) -> None:
    """By its hypervisor, in private, to who began it: as where a machine was asked to move, and has."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        domain = await agent.link.perform("reads", lambda hypervisor: hypervisor.machine(uuid=TEST_UUID).domain)
        async with agent.dispatcher._locked((TEST_UUID,)):
            assert (await admin.says(machine, "migrate to hv2")).startswith("migrate has begun as job")
            domain.destroy()
            domain.undefine()
            await agent.contacts.contacts[TEST_UUID].session.client.disconnected
        (told,) = await admin.until(lambda: [text for who, text in admin.heard if who == HV1])
        assert told.startswith("test: I could not: ")
