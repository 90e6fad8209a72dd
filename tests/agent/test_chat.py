# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of chat: what a person writes in any client, and what must not be answered."""

from __future__ import annotations

from client import Client
from slixmpp.xmlstream import ET
from world import TEST_UUID, World, contact_of

HV1 = "hv1@xmpp.test/hv1"


async def test_a_machine_says_how_it_is(world: World) -> None:
    """A machine answers `how are you` in the first person, however it is written."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        for question in ("how are you", "How are you?", "  how   are you ?"):
            assert (await admin.says(machine, question)).startswith("I am test. I am running on hv1")


async def test_a_machine_does_what_it_is_told(world: World) -> None:
    """A phrase of a changing action changes, and the answer says so; said twice, it says that nothing changed."""
    async with world.agent() as agent, world.person() as admin:
        machine = await contact_of(agent)
        assert await admin.says(machine, "destroy") == "I have been turned off."
        assert await admin.says(machine, "destroy") == "I was off already."
        assert await admin.says(machine, "start") == "I am running now."


async def test_help_lists_what_one_may_say(world: World) -> None:
    """`help` lists the phrases of the contact that is asked."""
    async with world.agent() as agent, world.person() as admin:
        assert "shutdown – Ask the machine to shut down" in await admin.says(await contact_of(agent), "help")
        assert "job <id> – " in await admin.says(HV1, "help")


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
