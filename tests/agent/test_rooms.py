# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several contacts in one chat room: who is obeyed there, and who is not."""

from __future__ import annotations

import asyncio
import secrets
import typing as t

import pytest
from archipel_agent.features import rooms
from client import Client, connected, error_of
from grants import STRANGER, grant, withdraw_all
from slixmpp import JID
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from world import TEST_UUID, World, contact_of, machine

HV1 = "hv1@xmpp.test/hv1"
SERVICE = "conference.xmpp.test"
OTHER_UUID = "3f0b6f5e-8d5c-4f58-9a8e-0f4a2f1a7c11"
OWNER = "http://jabber.org/protocol/muc#owner"
ADMIN = "http://jabber.org/protocol/muc#admin"
DATA = "jabber:x:data"
OPEN = {"membersonly": "0"}


class Room:
    """A room, and one who is in it: ``said`` is what the others say, as nickname and words."""

    def __init__(self, jid: str, person: Client, nick: str) -> None:
        self.jid = jid
        self.person = person
        self.said: list[tuple[str, str]] = []
        self.there: set[str] = set()
        self._news = asyncio.Event()
        self._nick = nick
        person.add_event_handler("message", self._message)
        person.add_event_handler("presence", self._presence)

    def _message(self, message: t.Any) -> None:
        who = message["from"]
        if message["type"] == "groupchat" and who.bare == self.jid and who.resource != self._nick:
            self.said.append((who.resource, message["body"]))
            self._news.set()

    def _presence(self, presence: t.Any) -> None:
        who = presence["from"]
        if who.bare == self.jid and presence["type"] != "error":
            (self.there.discard if presence["type"] == "unavailable" else self.there.add)(who.resource)
            self._news.set()

    async def until(self, found: t.Callable[[], t.Any]) -> t.Any:
        async with asyncio.timeout(45):
            while not (result := found()):
                self._news.clear()
                await self._news.wait()
            return result

    async def enter(self) -> None:
        presence = self.person.make_presence(pto=JID(f"{self.jid}/{self._nick}"))
        ET.SubElement(presence.xml, f"{{{rooms.MUC}}}x")
        presence.send()
        await self.until(lambda: self._nick in self.there)

    def answers(self, nick: str) -> list[str]:
        return [text for who, text in self.said if who == nick]

    def say(self, text: str) -> None:
        self.person.make_message(JID(self.jid), text, mtype="groupchat").send()

    async def asks(self, text: str, *nicks: str) -> list[str]:
        """What those answer."""
        before = len(self.said)
        self.say(text)

        def answered() -> dict[str, str]:
            return dict(self.said[before:])

        await self.until(lambda: set(nicks) <= set(answered()))
        return [answered()[nick] for nick in nicks]

    async def configure(self, **settings: str) -> None:
        form = ET.Element(f"{{{DATA}}}x", {"type": "submit"})
        kind = {"FORM_TYPE": f"{rooms.MUC}#roomconfig"}
        for name, value in {**kind, **{f"muc#roomconfig_{key}": value for key, value in settings.items()}}.items():
            ET.SubElement(ET.SubElement(form, f"{{{DATA}}}field", {"var": name}), f"{{{DATA}}}value").text = value
        query = ET.Element(f"{{{OWNER}}}query")
        query.append(form)
        await self._order(query)

    async def affiliate(self, jid: str, affiliation: str) -> None:
        query = ET.Element(f"{{{ADMIN}}}query")
        ET.SubElement(query, f"{{{ADMIN}}}item", {"jid": jid, "affiliation": affiliation})
        await self._order(query)

    async def throw_out(self, nick: str) -> None:
        query = ET.Element(f"{{{ADMIN}}}query")
        ET.SubElement(query, f"{{{ADMIN}}}item", {"nick": nick, "role": "none"})
        await self._order(query)

    async def _order(self, query: ET.Element) -> None:
        iq = self.person.make_iq_set(ito=JID(self.jid))
        iq.append(query)
        await iq.send(timeout=10)


@pytest.fixture
def world(world: World) -> t.Iterator[World]:
    """One whose nodes grant nothing afterwards."""
    yield world
    asyncio.run(withdraw_all(world))


async def made(person: Client, **settings: str) -> Room:
    """A new room of this person's, who is ``boss`` in it."""
    room = Room(f"r{secrets.token_hex(4)}@{SERVICE}", person, "boss")
    await room.enter()
    await room.configure(**settings)
    return room


async def asked(person: Client, contact: str, room: Room) -> None:
    """Have a contact come into an open room."""
    await person.call(contact, "join", {"room": room.jid})


async def test_several_machines_answer_in_one_room_with_one_voice_each(world: World) -> None:
    """To its nickname one answers, to `all` each does, once; what is said to nobody is not for them."""
    async with world.agent() as agent, world.person() as admin:
        await admin.call(HV1, "vm", {"state": "present", "xml": machine("web1", OTHER_UUID)})
        room = await made(admin, **OPEN)
        for uuid in (TEST_UUID, OTHER_UUID):
            answer = await admin.says(await contact_of(agent, uuid), f"join {room.jid}")
            assert answer.startswith(f"I am in {room.jid} now, as ")
        await asked(admin, HV1, room)
        assert {"test", "web1", "hv1"} <= room.there
        assert (await room.asks("web1: How are you?", "web1"))[0].startswith("I am web1. I am shutoff")
        room.say("how are you")
        room.say("start")
        room.said.clear()
        how = await room.asks("All: how are you?", "test", "web1", "hv1")
        assert [text.split(".")[0].split(",")[0] for text in how] == ["I am test", "I am web1", "I am hv1"]
        await room.asks("@web1 pause", "web1")
        assert sorted(nick for nick, _text in room.said) == ["hv1", "test", "web1", "web1"]
        assert await admin.says(HV1, f"leave {room.jid}") == f"I have left {room.jid}."
        await room.until(lambda: "hv1" not in room.there)


async def test_a_room_for_members_is_entered_when_one_is_invited(world: World) -> None:
    """The room's own invitation makes the machine a member; who may not have it come invites in vain."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as stranger:
        contact = await contact_of(agent)
        room = await made(admin)
        assert "it is for its members" in await admin.says(contact, f"join {room.jid.split('@')[0]}")
        theirs = await made(stranger)
        for inviter, where in ((stranger, theirs), (admin, room)):
            message = inviter.make_message(JID(where.jid))
            x = ET.SubElement(message.xml, f"{{{rooms.USER}}}x")
            ET.SubElement(x, f"{{{rooms.USER}}}invite", {"to": contact.split("/")[0]})
            message.send()
        await room.until(lambda: "test" in room.there)
        assert "test" not in theirs.there
        assert [r["room"] for r in (await admin.call(contact, "rooms"))["rooms"]] == [room.jid]


async def test_a_person_invites_a_machine(world: World) -> None:
    """An invitation from somebody's own client (XEP-0249) is an order to come, and is answered to them."""
    async with world.agent() as agent, world.person() as admin:
        room = await made(admin, **OPEN)
        message = admin.make_message(JID(await contact_of(agent)), "Do come in!")
        ET.SubElement(message.xml, "{jabber:x:conference}x", {"jid": room.jid})
        message.send()
        await room.until(lambda: "test" in room.there)
        assert await admin.until(lambda: [body for _who, body in admin.heard if body.startswith("I am in")])
        assert len(admin.heard) == 1


async def test_rights_are_those_of_the_account_and_not_of_the_nickname(world: World) -> None:
    """Who is called like the administrator, after whoever had that name, may what he may himself: look, not destroy."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as mallory:
        await grant(admin, "look", role="viewer")
        contact, room = await contact_of(agent), await made(admin, **OPEN)
        await asked(admin, contact, room)
        false = Room(room.jid, mallory, "admin")
        await false.enter()
        assert "did nothing" in (await false.asks("test: pause", "test"))[0]
        assert (await false.asks("test: how are you", "test"))[0].startswith("I am test. I am running")
        await room.until(lambda: len(room.answers("test")) == 2)
        assert "I am paused" in (await room.asks("test: pause", "test"))[0]
        for kind, who in (("refused", STRANGER), ("changed", "admin@xmpp.test")):
            told = await admin.until(lambda kind=kind: [e["who"] for e in admin.events(kind) if e["action"] == "pause"])
            assert told == [who]


async def test_an_account_that_looks_like_a_room_is_none(world: World) -> None:
    """Presence and messages of an account are the account's, whatever they tell of somebody else's being behind it."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger", resource="admin") as mallory:
        contact = await contact_of(agent)
        with pytest.raises(IqError) as failed:
            await admin.call(contact, "join", {"room": STRANGER})
        assert "none of conference.xmpp.test" in error_of(failed.value)["msg"]
        presence = mallory.make_presence(pto=JID(contact))
        x = ET.SubElement(presence.xml, f"{{{rooms.USER}}}x")
        ET.SubElement(x, f"{{{rooms.USER}}}item", {"jid": "admin@xmpp.test/test", "role": "moderator"})
        presence.send()
        mallory.make_message(JID(contact), "test: pause", mtype="groupchat").send()
        invitation = mallory.make_message(JID(contact))
        x = ET.SubElement(invitation.xml, f"{{{rooms.USER}}}x")
        ET.SubElement(x, f"{{{rooms.USER}}}invite", {"from": "admin@xmpp.test"})
        invitation.send()
        await mallory.plugin["xep_0199"].send_ping("xmpp.test")
        assert (await admin.says(contact, "how are you")).startswith("I am test. I am running")
        assert not (await admin.call(contact, "rooms"))["rooms"]


async def test_an_anonymous_room_is_not_entered_and_not_stayed_in(world: World) -> None:
    """Where nobody's account is known nobody has rights: it says so, and leaves for good what becomes such a room."""
    async with world.agent() as agent, world.person() as admin:
        contact = await contact_of(agent)
        hidden = await made(admin, membersonly="0", whois="moderators")
        assert "it does not tell me who speaks there" in await admin.says(contact, f"join {hidden.jid}")
        room = await made(admin, **OPEN)
        await asked(admin, contact, room)
        await room.configure(membersonly="0", whois="moderators")
        await room.until(lambda: "test" not in room.there)
        assert not (await admin.call(contact, "rooms"))["rooms"]


async def test_what_cannot_be_undone_is_asked_back_in_the_room(world: World) -> None:
    """Done it is when the same account says yes to the same machine, there."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as stranger:
        await grant(admin, "all", role="administrator")
        contact, room = await contact_of(agent), await made(admin, **OPEN)
        await asked(admin, contact, room)
        other = Room(room.jid, stranger, "other")
        await other.enter()
        assert "Say test: yes" in (await room.asks("test: destroy", "test"))[0]
        assert "no question open" in (await other.asks("test: yes", "test"))[0]
        assert "no question open" in await admin.says(contact, "yes")
        await room.until(lambda: len(room.answers("test")) == 2)
        room.say("yes")
        assert agent.link.machines[TEST_UUID].state == "running"
        assert (await room.asks("test: yes", "test"))[0] == "I have been turned off."


async def test_machines_do_not_talk_to_each_other(world: World) -> None:
    """Also not where a machine's account has rights, by a grant to the whole domain."""
    async with world.agent() as agent, world.person() as admin:
        everybody = {"domain": "xmpp.test", "role": "administrator", "scope": {"platform": True}}
        await admin.publish("/archipel/permissions", "everybody", everybody)
        await admin.call(HV1, "vm", {"state": "present", "xml": machine("web1", OTHER_UUID)})
        contact, room = await contact_of(agent), await made(admin, **OPEN)
        await contact_of(agent, OTHER_UUID)
        for each in (contact, f"{OTHER_UUID}@xmpp.test/hv1", HV1):
            await asked(admin, each, room)
        for speaker in (agent.hypervisor, agent.contacts.contacts[OTHER_UUID]):
            speaker.session.client.make_message(JID(room.jid), "all: how are you", mtype="groupchat").send()
        await room.until(lambda: len(room.said) == 2)
        assert (await room.asks("test: how are you", "test"))[0].startswith("I am test. I am running")
        assert len(room.said) == 3
        await admin.call(HV1, "leave", {"room": room.jid})


async def test_a_password_is_told_to_the_asker_alone(world: World) -> None:
    """The answer to who asks for a console is not for the room."""
    async with world.agent() as agent, world.person() as admin:
        contact, room = await contact_of(agent), await made(admin, **OPEN)
        await asked(admin, contact, room)
        room.say("test: console")
        assert await admin.until(lambda: admin.heard)
        assert not room.said


async def test_history_is_not_obeyed(world: World) -> None:
    """What was said before a machine came does nothing, and who sends such by hand does nothing either."""
    async with world.agent() as agent, world.person() as admin:
        contact, room = await contact_of(agent), await made(admin, **OPEN)
        room.say("test: pause")
        await asked(admin, contact, room)
        late = admin.make_message(JID(room.jid), "test: pause", mtype="groupchat")
        ET.SubElement(late.xml, "{urn:xmpp:delay}delay", {"stamp": "2026-01-01T00:00:00Z"})
        late.send()
        assert (await room.asks("test: how are you", "test"))[0].startswith("I am test. I am running")
        assert len(room.said) == 1


async def test_a_machine_comes_back_into_its_rooms(world: World) -> None:
    """After its agent was away it is there again; thrown out, it stays out."""
    async with world.person() as admin:
        room = await made(admin, **OPEN)
        async with world.agent() as agent:
            await asked(admin, await contact_of(agent), room)
        await room.until(lambda: "test" not in room.there)
        async with world.agent() as agent:
            contact = await contact_of(agent)
            await room.until(lambda: "test" in room.there)
            await room.throw_out("test")
            await room.until(lambda: "test" not in room.there)
            while await agent.contacts.contacts[TEST_UUID].rooms._kept():
                # The agent tells nobody when it has forgotten it.
                await asyncio.sleep(0.05)
            assert not (await admin.call(contact, "rooms"))["rooms"]


async def test_a_taken_nickname_is_no_obstacle(world: World) -> None:
    """Who takes a machine's name is not spoken to as the machine, which has a longer one."""
    async with world.agent() as agent, world.person() as admin, connected(world.server, "stranger") as squatter:
        contact, room = await contact_of(agent), await made(admin, **OPEN)
        await Room(room.jid, squatter, "test").enter()
        nick = f"test {TEST_UUID}"
        assert (await admin.call(contact, "join", {"room": room.jid}))["nick"] == nick
        assert (await room.asks(f"{nick}: how are you", nick))[0].startswith("I am test")


async def test_who_is_given_another_name_answers_to_it(world: World) -> None:
    """Without leaving the room, nor the platform; where somebody there is called so, with the longer name."""
    async with world.agent() as agent, world.person() as admin:
        await admin.call(HV1, "vm", {"state": "present", "xml": machine("web1", OTHER_UUID)})
        contact, room = await contact_of(agent, OTHER_UUID), await made(admin, **OPEN)
        await asked(admin, contact, room)
        stays = agent.contacts.contacts[OTHER_UUID]
        domain = await agent.link.perform("reads", lambda hypervisor: hypervisor.machine(uuid=OTHER_UUID).domain)
        for name, nick in (("web2", "web2"), ("boss", f"boss {OTHER_UUID}")):
            await asyncio.to_thread(domain.rename, name)
            await room.until(lambda nick=nick: nick in room.there)
            assert (await room.asks(f"{nick}: how are you", nick))[0].startswith(f"I am {name}. I am shutoff")
        assert (await admin.call(contact, "rooms"))["rooms"] == [{"room": room.jid, "nick": f"boss {OTHER_UUID}"}]
        assert "web1" not in room.there
        assert agent.contacts.contacts[OTHER_UUID] is stays
