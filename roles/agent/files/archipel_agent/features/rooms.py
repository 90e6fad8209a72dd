# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chat rooms (XEP-0045) that a contact is in, and who is in them with it.

Which ones is kept in bookmarks (XEP-0048) of the contact's own account, so they are a machine's wherever it runs. Only
rooms of the platform's own server are entered, and only those that tell who their occupants are: rights are those of
accounts, and anybody can take any nickname. That a room's word is the server's, and not somebody's whose account looks
like a room, is known by its domain.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import typing as t

import slixmpp
from archipel.actions import MACHINE, action, actions_of
from archipel.errors import ArchipelError, Conflict, InvalidArgument, NotFound, OperationFailed, Unavailable
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from ..entity import Result
from ..wire import DISCO_INFO, PING, clean

if t.TYPE_CHECKING:
    from ..contact import Contact

log = logging.getLogger(__name__)

MUC: t.Final = "http://jabber.org/protocol/muc"
USER: t.Final = f"{MUC}#user"
BOOKMARKS: t.Final = "storage:bookmarks"
PRIVATE: t.Final = "jabber:iq:private"
TIMEOUT = 20
# A room that was restarted does not tell who was in it (XEP-0410): seconds until that is noticed.
LOOK_AFTER = 300.0
# Status codes (XEP-0045, 15.6): it is we; thrown out; out by an error of the service; anonymous from now on.
SELF, THROWN_OUT, BY_ERROR, ANONYMOUS = "110", {"301", "307", "321", "322"}, "333", {"173", "174"}
REASONS: t.Final = {
    "registration-required": "it is for its members. Make {me} one of them, or invite it",
    "not-authorized": "it has a password",
    "forbidden": "{me} is banned from it",
    "service-unavailable": "it is full",
    "conflict": "my names are taken there",
}

Name = t.Annotated[str, "The room, `name` or `name@conference.<domain>`."]


@dataclasses.dataclass
class Room:
    """A room that we are in, or about to enter. ``occupants`` are full JIDs by nickname; ``entered`` gets an empty
    string, or the condition of the error."""

    nick: str
    entered: asyncio.Future[str]
    occupants: dict[str, slixmpp.JID] = dataclasses.field(default_factory=dict)


class Rooms:
    """Of one contact, which ``attach`` names."""

    def __init__(self, domain: str) -> None:
        self.service = f"conference.{domain}"
        self._inside: dict[str, Room] = {}
        self._entering = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._contact: Contact
        self._client: slixmpp.ClientXMPP

    def attach(self, contact: Contact) -> None:
        self._contact, self._client = contact, contact.session.client
        contact.session.started.append(lambda: contact.spawn(self._return()))
        contact.session.ended.append(self._ended)
        for path, handler in (
            ("presence", self._presence),
            (f"message/{{{USER}}}x", self._changed),
        ):
            self._client.register_handler(Callback(f"rooms: {path}", MatchXPath(f"{{jabber:client}}{path}"), handler))

    # What we can be asked

    @action(
        permission="room",
        changes=True,
        concerns="room",
        phrases=("join {room}", "join room {room}", "come into {room}", "enter {room}"),
        says=lambda r: f"I am in {r['room']} {'now' if r['changed'] else 'already'}, as {r['nick']}.",
    )
    async def join(self, *, room: Name) -> Result:
        """Enter a chat room, and stay in it until asked to leave. In there people talk to several contacts at once;
        each does what the speaker's own account may."""
        jid = self._bound(room)
        async with self._entering:
            there = jid in self._inside
            if not there:
                await self._enter(jid)
            try:
                kept = await self._keep(jid, wanted=True)
            except ArchipelError:
                if not there:
                    self._depart(jid)
                raise
        self._look_later()
        return {"changed": kept or not there, "room": jid, "nick": self._inside[jid].nick}

    @action(
        permission="room",
        changes=True,
        concerns="room",
        phrases=("leave {room}", "leave room {room}", "go out of {room}"),
        says=lambda r: f"I have left {r['room']}." if r["changed"] else f"I am not in {r['room']}.",
    )
    async def leave(self, *, room: Name) -> Result:
        """Leave a chat room for good."""
        jid = self._bound(room)
        async with self._entering:
            kept = await self._keep(jid, wanted=False)
            there = jid in self._inside
            if there:
                self._depart(jid)
        return {"changed": kept or there, "room": jid}

    @action(
        permission="view",
        changes=False,
        concerns="room",
        phrases=("rooms", "which rooms are you in"),
        says=lambda r: "\n".join(f"{room['room']}, as {room['nick']}" for room in r["rooms"]) or "I am in no room.",
    )
    async def rooms(self) -> Result:
        """Tell which chat rooms this contact is in."""
        return {"changed": False, "rooms": [{"room": jid, "nick": room.nick} for jid, room in self._inside.items()]}

    def _bound(self, untrusted: str) -> str:
        name = untrusted.removeprefix("xmpp:").removesuffix("?join")
        try:
            jid = slixmpp.JID(name if "@" in name else f"{name}@{self.service}")
        except slixmpp.InvalidJID:
            raise InvalidArgument(f"room: {untrusted[:80]!r} cannot be a room's name.") from None
        if jid.domain != self.service or not jid.local or jid.resource:
            raise InvalidArgument(f"room: {untrusted[:80]!r} is none of {self.service}, and I enter no others.")
        return jid.bare

    # Who is there

    def nick(self, jid: slixmpp.JID) -> str | None:
        """What we are called in the room of this occupant; None where we are not."""
        room = self._inside.get(jid.bare)
        return room.nick if room is not None and room.entered.done() else None

    def speaker(self, jid: slixmpp.JID) -> slixmpp.JID | None:
        """The account behind a nickname, as the room tells it; None where it does not."""
        room = self._inside.get(jid.bare)
        return room.occupants.get(jid.resource) if room is not None else None

    # In and out

    async def _enter(self, jid: str) -> None:
        await self._refuse_anonymous(jid)
        if condition := await self._be_called(jid, {}):
            self._inside.pop(jid, None)
            why = REASONS.get(condition, f"the server says {condition}").format(me=self._contact.session.jid.bare)
            raise Conflict(f"I cannot enter {jid}: {why}.")

    async def _be_called(self, jid: str, occupants: dict[str, slixmpp.JID]) -> str:
        """Enter under our name, or, inside, change to it (XEP-0045, 7.6); the condition of the error, if any."""
        condition = ""
        for occupant in self._ours(jid):
            presence = self._client.make_presence(pto=occupant)
            ET.SubElement(ET.SubElement(presence.xml, f"{{{MUC}}}x"), f"{{{MUC}}}history", {"maxstanzas": "0"})
            room = Room(occupant.resource, asyncio.get_running_loop().create_future(), occupants)
            self._inside[jid] = room
            presence.send()
            try:
                condition = await asyncio.wait_for(asyncio.shield(room.entered), TIMEOUT)
            except TimeoutError:
                condition = "remote-server-timeout"
            if condition != "conflict":
                break
        return condition

    def _ours(self, jid: str) -> tuple[slixmpp.JID, slixmpp.JID]:
        """What we can be called in a room: a machine's name is no secret, so somebody else may be called so."""
        name, key = clean(self._contact.entity.name), self._contact.entity.key
        return _occupant(jid, name, key), _occupant(jid, f"{name} {key}", key)

    def renamed(self) -> None:
        """The contact has another name now."""
        self._contact.spawn(self._rename())

    async def _rename(self) -> None:
        async with self._entering:
            for jid, was in list(self._inside.items()):
                condition = await self._be_called(jid, was.occupants)
                if condition and jid in self._inside:
                    self._inside[jid] = was
                    log.warning("%s stays %s in %s: %s", self._contact.entity.name, was.nick, jid, condition)

    async def _refuse_anonymous(self, jid: str) -> None:
        query = ET.Element(f"{{{DISCO_INFO}}}query")
        try:
            answer = await self._ask("get", jid, query)
        except IqError as error:
            if error.condition == "item-not-found":
                raise NotFound(f"There is no room {jid}. Make it with your client, and ask me again.") from None
            raise OperationFailed(f"I cannot look at {jid}: the server says {error.condition}.") from None
        if not any(feature.get("var") == "muc_nonanonymous" for feature in answer.iter(f"{{{DISCO_INFO}}}feature")):
            raise Conflict(
                f"I do not enter {jid}: it does not tell me who speaks there, and anybody can take anybody's name. Its"
                " owner can let everyone see real JIDs."
            )

    def _depart(self, jid: str) -> None:
        room = self._inside.pop(jid)
        self._client.send_presence(pto=_occupant(jid, room.nick, self._contact.entity.key), ptype="unavailable")

    def _presence(self, presence: t.Any) -> None:
        who: slixmpp.JID = presence["from"]
        room = self._inside.get(who.bare)
        if room is None:
            return
        if presence["type"] == "error":
            _settle(room, presence["error"]["condition"])
            return
        told = presence.xml.find(f"{{{USER}}}x")
        if told is None:
            return
        codes = _codes(told)
        if presence["type"] != "unavailable":
            item = told.find(f"{{{USER}}}item")
            real = None if item is None else jid_of(item.get("jid"))
            if real is not None:
                room.occupants[who.resource] = real
            if SELF in codes:
                _settle(room, "")
            return
        room.occupants.pop(who.resource, None)
        if SELF in codes and who.resource == room.nick:
            del self._inside[who.bare]
            _settle(room, "gone")
            destroyed = told.find(f"{{{USER}}}destroy") is not None
            if destroyed or (codes & THROWN_OUT and BY_ERROR not in codes):
                log.info("%s is out of %s for good", self._contact.entity.name, who.bare)
                self._contact.spawn(self._forget(who.bare))

    def _changed(self, message: t.Any) -> None:
        """A room that becomes anonymous is left."""
        jid = message["from"].full
        if jid in self._inside and _codes(message.xml.find(f"{{{USER}}}x")) & ANONYMOUS:
            self._client.make_message(
                message["from"], "I do not stay where I cannot know who speaks.", mtype="groupchat"
            ).send()
            self._depart(jid)
            self._contact.spawn(self._forget(jid))

    # What is kept

    async def _return(self) -> None:
        """Enter the rooms that we should be in and are not."""
        try:
            async with self._entering:
                for jid in await self._kept():
                    if jid not in self._inside or not await self._is_inside(jid):
                        try:
                            await self._enter(jid)
                        except ArchipelError as error:
                            log.warning("%s: %s", self._contact.entity.name, error.message)
        except (ArchipelError, IqTimeout) as error:
            log.debug("%s does not know its rooms: %s", self._contact.entity.name, error)
        self._look_later()

    async def _is_inside(self, jid: str) -> bool:
        """XEP-0410."""
        try:
            await self._ask("get", _occupant(jid, self._inside[jid].nick, ""), ET.Element(f"{{{PING}}}ping"))
        except IqError as error:
            return error.condition in ("service-unavailable", "feature-not-implemented")
        except Unavailable:
            pass
        return True

    def _look_later(self) -> None:
        if self._inside and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_AFTER, self._look_after)

    def _look_after(self) -> None:
        self._timer = None
        self._contact.spawn(self._return())

    def _ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for room in self._inside.values():
            _settle(room, "gone")
        self._inside.clear()

    async def _forget(self, jid: str) -> None:
        try:
            await self._keep(jid, wanted=False)
        except ArchipelError as error:
            log.warning("%s: %s", self._contact.entity.name, error.message)

    async def _kept(self) -> list[str]:
        """Rooms of ours by the account's bookmarks."""
        return [jid for each in await self._bookmarks() if (jid := each.get("jid", "")).endswith(f"@{self.service}")]

    async def _bookmarks(self) -> ET.Element:
        query = ET.Element(f"{{{PRIVATE}}}query")
        ET.SubElement(query, f"{{{BOOKMARKS}}}storage")
        return await self._store("get", query)

    async def _keep(self, jid: str, *, wanted: bool) -> bool:
        """Whether that is new."""
        storage = await self._bookmarks()
        there = [each for each in storage if each.get("jid") == jid]
        if bool(there) == wanted:
            return False
        for each in there:
            storage.remove(each)
        if wanted:
            ET.SubElement(storage, f"{{{BOOKMARKS}}}conference", {"jid": jid, "autojoin": "true"})
        query = ET.Element(f"{{{PRIVATE}}}query")
        query.append(storage)
        await self._store("set", query)
        return True

    async def _store(self, kind: t.Literal["get", "set"], query: ET.Element) -> ET.Element:
        try:
            answer = await self._ask(kind, None, query)
        except IqError as error:
            why = "Has the server private storage (XEP-0049)?"
            raise OperationFailed(f"My rooms cannot be kept: the server says {error.condition}. {why}") from None
        found = answer.find(f"{{{PRIVATE}}}query/{{{BOOKMARKS}}}storage")
        return ET.Element(f"{{{BOOKMARKS}}}storage") if found is None else found

    async def _ask(self, kind: t.Literal["get", "set"], to: t.Any, element: ET.Element) -> ET.Element:
        iq = self._client.make_iq(itype=kind, ito=to)
        iq.append(element)
        try:
            return (await iq.send(timeout=TIMEOUT)).xml
        except IqTimeout:
            raise Unavailable("The XMPP server does not answer me; ask again.") from None


# As machines have them: a right to one of them is enough.
ACTIONS: t.Final = {
    name: dataclasses.replace(each, concerns=MACHINE) for name, each in actions_of(Rooms, "machine").items()
}


def _settle(room: Room, condition: str) -> None:
    if not room.entered.done():
        room.entered.set_result(condition)


def _codes(told: ET.Element) -> set[str]:
    return {status.get("code", "") for status in told.iter(f"{{{USER}}}status")}


def jid_of(untrusted: str | None) -> slixmpp.JID | None:
    """None for what is none."""
    try:
        return slixmpp.JID(untrusted) if untrusted else None
    except slixmpp.InvalidJID:
        return None


def _occupant(room: str, nick: str, otherwise: str) -> slixmpp.JID:
    """Not every name can be a nickname."""
    try:
        return slixmpp.JID(f"{room}/{nick}")
    except slixmpp.InvalidJID:
        return slixmpp.JID(f"{room}/{otherwise}")
