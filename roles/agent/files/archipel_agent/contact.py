# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A contact: an entity at the end of a session, with its doors and its presence."""

from __future__ import annotations

import asyncio
import logging
import typing as t

import slixmpp
from archipel.host import UUID
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .authority import Authority
from .dispatch import Dispatcher
from .doors.adhoc import AdhocDoor
from .doors.chat import ChatDoor
from .entity import Entity, Presence
from .features.rooms import Rooms
from .session import Session
from .wire import PING

log = logging.getLogger(__name__)


class Contact:
    """``present`` says what the contact's presence is now; it is asked at each ``refresh``. ``host`` is the
    contact of a machine's hypervisor."""

    def __init__(
        self,
        entity: Entity,
        session: Session,
        dispatcher: Dispatcher,
        authority: Authority,
        present: t.Callable[[], Presence],
        rooms: Rooms,
        host: Contact | None = None,
    ) -> None:
        self.entity = entity
        self.host: Contact = host or self
        self.session = session
        self.rooms = rooms
        self._dispatcher = dispatcher
        self._authority = authority
        self._present = present
        self._told: Presence | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.doors = (AdhocDoor(self, dispatcher), ChatDoor(self, dispatcher))
        session.started.append(self._started)
        rooms.attach(self)
        session.client.add_event_handler("presence_subscribe", self._subscribe)
        session.client.register_handler(Callback("ping", MatchXPath(f"{{jabber:client}}iq/{{{PING}}}ping"), _pong))

    def refresh(self) -> None:
        """Send the presence, if it has changed."""
        presence = self._present()
        if self.session.online.is_set() and presence != self._told:
            self._told = presence
            self.session.client.send_presence(pshow=presence.show or None, pstatus=presence.status)

    def is_one_of_us(self, jid: slixmpp.JID) -> bool:
        """Whether that is the account of a machine or a hypervisor of this platform, which never means us."""
        own = self.session.jid
        names = self._authority.peers | {own.bare, f"{self.host.entity.key}@{own.domain}"}
        return jid.bare in names or (jid.domain == own.domain and bool(UUID.fullmatch(jid.local)))

    def spawn(self, work: t.Coroutine[t.Any, t.Any, None]) -> None:
        """Answer a stanza without keeping the stream waiting."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Give the requests that are under way so long to be answered."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _started(self) -> None:
        self._told = None
        self.refresh()

    def _subscribe(self, presence: t.Any) -> None:
        """Whoever has rights here may see how we are; others are refused."""
        who: slixmpp.JID = presence["from"]
        allowed = who.bare in self._authority.peers or bool(self._dispatcher.visible(self.entity, who))
        if not allowed:
            log.warning("%s may not subscribe to the presence of %s", who.bare, self.entity.name)
        self.session.client.send_presence(pto=who.bare, ptype="subscribed" if allowed else "unsubscribed")


def _pong(iq: t.Any) -> None:
    """XEP-0199: whoever can send us an IQ knows that we are there."""
    if iq["type"] == "get":
        iq.reply().send()
