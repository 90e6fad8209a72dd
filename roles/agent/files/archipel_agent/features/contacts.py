# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines are contacts, their accounts, and their presence."""

from __future__ import annotations

import asyncio
import functools
import logging
import typing as t

import slixmpp
from archipel.lifecycle import RUNNING
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import ET

from ..accounts import Accounts
from ..authority import Authority
from ..contact import Contact
from ..dispatch import Dispatcher
from ..entity import Presence
from ..libvirt_link import Link, MachineState
from ..machine_entity import MachineEntity
from ..session import Server, Session
from .events import Events
from .jobs import Job, Jobs
from .peers import Peers
from .rooms import Rooms

log = logging.getLogger(__name__)

REGISTER: t.Final = "jabber:iq:register"
TIMEOUT = 20
# A reboot arrives as stopped and then started; what is over in this time is not shown.
SETTLE = 0.25
# After a migration two sessions of a machine overlap for a moment; longer, and the machine is in two places.
GRACE = 5.0
# A machine that arrives may still be active at its source when its account is asked for: seconds between attempts.
HANDOVER_PAUSES: t.Final = (0.1, 0.2, 0.5, 1, 2, 4)


class Contacts:
    """``policy`` is the setting ``contacts``: ``managed``, ``all`` or ``none``."""

    def __init__(
        self,
        policy: str,
        link: Link,
        server: Server,
        hypervisor: Contact,
        accounts: Accounts,
        *,
        peers: Peers,
        jobs: Jobs,
        events: Events,
        dispatcher: Dispatcher,
        authority: Authority,
    ) -> None:
        self.contacts: dict[str, Contact] = {}
        self._policy = policy
        self._link = link
        self._server = server
        self._hypervisor = hypervisor
        self._accounts = accounts
        self._peers = peers
        self._jobs = jobs
        self._events = events
        self._dispatcher = dispatcher
        self._authority = authority
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._elsewhere = accounts.elsewhere()
        # The hypervisor's presence counts its machines; a thousand changes in a moment are one to tell.
        self._hypervisor_refresh: asyncio.TimerHandle | None = None
        # Other resources of a machine's own JID that are online: it seems to be there too.
        self._others: dict[str, dict[str, asyncio.TimerHandle | None]] = {}
        link.changed.append(self._changed)
        link.switched.append(self._switched)
        jobs.told.append(self._job_told)

    def set_policy(self, policy: str) -> None:
        self._policy = policy
        for uuid in set(self._link.machines) | set(self._lives):
            self._decide(uuid)

    async def close(self) -> None:
        """Log all machines out."""
        for life in list(self._lives.values()):
            life.cancel()
        endings = [*self._lives.values(), *self._ending]
        self._lives.clear()
        if endings:
            await asyncio.wait(endings, timeout=5)

    # What happens

    def _changed(self, old: MachineState | None, new: MachineState | None) -> None:
        state = new or old
        assert state is not None
        self._decide(state.uuid)
        if self._hypervisor_refresh is None:
            self._hypervisor_refresh = asyncio.get_running_loop().call_later(SETTLE, self._refresh_hypervisor)
        contact = self.contacts.get(state.uuid)
        if contact is None:
            return
        if new is not None and old is not None and new.name != old.name:
            contact.rooms.renamed()
        if new is not None and new.state == "shutoff" and old is not None and old.state in (*RUNNING, "shutdown"):
            asyncio.get_running_loop().call_later(SETTLE, contact.refresh)
        else:
            contact.refresh()

    def _refresh_hypervisor(self) -> None:
        self._hypervisor_refresh = None
        self._hypervisor.refresh()

    def _switched(self) -> None:
        self._hypervisor.refresh()
        for uuid in self._elsewhere - set(self._link.machines):
            self._decide(uuid)
        for contact in self.contacts.values():
            contact.refresh()

    def _job_told(self, job: Job) -> None:
        for uuid in job.subjects:
            if uuid in self.contacts:
                self.contacts[uuid].refresh()
            if job.ended is not None and uuid in self._link.machines:
                # libvirt has no event for a machine that moves while it is off, nor for a definition that goes with it.
                self._link.look(uuid)

    def _decide(self, uuid: str) -> None:
        """Bring the contact of a machine up, or take it down."""
        state = self._link.machines.get(uuid)
        if state is not None and state.left:
            self._mark_elsewhere(uuid, elsewhere=True)
        elif uuid in self._elsewhere and (state is None or state.state in RUNNING):
            # It is ours again; or it is not here at all, and would be ours if it were defined again.
            self._mark_elsewhere(uuid, elsewhere=False)
        wanted = state is not None and self._wants(state)
        if wanted and uuid not in self._lives:
            assert state is not None
            self._lives[uuid] = asyncio.get_running_loop().create_task(self._live(state), name=f"contact {uuid}")
            self._lives[uuid].add_done_callback(_tell_fault)
        elif not wanted and uuid in self._lives:
            life = self._lives.pop(uuid)
            life.cancel()
            self._ending.add(life)
            life.add_done_callback(self._ending.discard)

    def _wants(self, state: MachineState) -> bool:
        if self._policy == "none" or (self._policy == "managed" and not state.managed):
            return False
        if state.arriving:
            # It has a contact at its source until it runs here; and if this is the source, it has it still.
            return state.uuid in self._lives
        return state.uuid not in self._elsewhere

    def _mark_elsewhere(self, uuid: str, *, elsewhere: bool) -> None:
        (self._elsewhere.add if elsewhere else self._elsewhere.discard)(uuid)
        self._accounts.mark(uuid, elsewhere=elsewhere)

    # One machine's contact

    async def _live(self, state: MachineState) -> None:
        uuid = state.uuid
        jid = f"{uuid}@{self._server.domain}/{self._link.name}"
        if self._accounts.registered(uuid) is None:
            await self._come_by_account(uuid)
        session = Session(jid, lambda: self._accounts.password(uuid), self._server, one_of_many=True)
        session.mend = lambda: self._own(uuid)
        rooms = Rooms(self._server.domain)
        entity = MachineEntity(self._link, state, rooms)
        present = functools.partial(self._presence, entity)
        contact = Contact(entity, session, self._dispatcher, self._authority, present, rooms, self._hypervisor)
        session.client.add_event_handler("presence_available", lambda p: self._other(uuid, p["from"], online=True))
        for show in ("away", "xa", "dnd", "chat"):
            session.client.add_event_handler(f"presence_{show}", lambda p: self._other(uuid, p["from"], online=True))
        session.client.add_event_handler("presence_unavailable", lambda p: self._other(uuid, p["from"], online=False))
        session.ended.append(lambda: self._forget_others(uuid))
        self.contacts[uuid] = contact
        try:
            await session.run()
        finally:
            del self.contacts[uuid]
            self._forget_others(uuid)
            await contact.drain(1)
            await session.close()

    def _presence(self, entity: MachineEntity) -> Presence:
        others = [where for where, timer in self._others.get(entity.key, {}).items() if timer is None]
        if others:
            return Presence("dnd", f"split brain: I am also on {', '.join(sorted(others))}")
        presence = entity.presence()
        job = self._jobs.changing(entity.key)
        return Presence("dnd", job.text) if job is not None and self._link.reachable else presence

    # Two places

    def _other(self, uuid: str, who: slixmpp.JID, *, online: bool) -> None:
        contact = self.contacts.get(uuid)
        if contact is None or who.bare != contact.session.jid.bare or who.resource == contact.session.jid.resource:
            return
        others = self._others.setdefault(uuid, {})
        if online and who.resource not in others:
            timer = asyncio.get_running_loop().call_later(GRACE, self._split, uuid, who.resource)
            others[who.resource] = timer
        elif not online and who.resource in others:
            gone = others.pop(who.resource)
            if gone is not None:
                gone.cancel()
            contact.refresh()

    def _split(self, uuid: str, where: str) -> None:
        self._others[uuid][where] = None
        hypervisors = sorted([self._link.name, where])
        log.error("the machine %s is online from %s at once", uuid, " and ".join(hypervisors))
        self._events.publish("split_brain", uuid=uuid, hypervisors=hypervisors)
        if uuid in self.contacts:
            self.contacts[uuid].refresh()

    def _forget_others(self, uuid: str) -> None:
        for timer in self._others.pop(uuid, {}).values():
            if timer is not None:
                timer.cancel()

    # Accounts

    async def _come_by_account(self, uuid: str) -> None:
        for pause in HANDOVER_PAUSES:
            if await self._own(uuid):
                return
            await asyncio.sleep(pause)
        log.error(
            "the account %s@%s exists and no peer gives its password. If the machine is nowhere else, remove the"
            " account (ejabberdctl unregister %s %s); the agent then makes it anew.",
            uuid, self._server.domain, uuid, self._server.domain,
        )  # fmt: skip

    async def _own(self, uuid: str) -> bool:
        """Register the account with our password, or get its password from a peer."""
        session = self._hypervisor.session
        await session.online.wait()
        iq = session.client.make_iq_set(ito=self._server.domain)
        password = self._accounts.password(uuid)
        iq.append(registration(uuid, password))
        try:
            async with self._server.gate:
                await iq.send(timeout=TIMEOUT)
        except IqTimeout:
            return False
        except IqError as error:
            if error.condition != "conflict":
                log.error("the server refuses an account for %s: %s. Is this hypervisor one of those that may"
                          " register machines?", uuid, error.format())  # fmt: skip
                return False
            given = await self._peers.handover(uuid)
            if given is None or given == self._accounts.password(uuid):
                return False
            password = given
        self._accounts.note(uuid, password)
        self._elsewhere.discard(uuid)
        return True


def registration(name: str, password: str) -> ET.Element:
    query = ET.Element(f"{{{REGISTER}}}query")
    ET.SubElement(query, f"{{{REGISTER}}}username").text = name
    ET.SubElement(query, f"{{{REGISTER}}}password").text = password
    return query


def _tell_fault(life: asyncio.Task[None]) -> None:
    if not life.cancelled() and (fault := life.exception()) is not None:
        log.error("the %s has ended by a fault of the agent", life.get_name(), exc_info=fault)
