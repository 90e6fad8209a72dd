# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other hypervisors: what this one asks them, and what it answers them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import typing as t

import slixmpp
from archipel import xmltree
from archipel.actions import Unsettled, action
from archipel.errors import (
    ArchipelError,
    Conflict,
    InvalidArgument,
    NotFound,
    OperationFailed,
    Unavailable,
    Unsupported,
    from_data,
)
from archipel.hypervisor import Hypervisor
from archipel.lifecycle import ACTIVE
from archipel.migration import QUESTIONS
from archipel.preflight import Finding
from slixmpp.exceptions import IqError, IqTimeout

from ..accounts import Accounts
from ..authority import PEER
from ..entity import Result
from ..libvirt_link import ARRIVING, LEFT, Link
from ..session import Session
from ..wire import COMMANDS, JSON, command_element, json_element, read_json

log = logging.getLogger(__name__)

TIMEOUT = 10


def _told(result: t.Mapping[str, t.Any]) -> str:
    return "\n".join(finding["msg"] for finding in result["findings"]) or "Nothing speaks against it."


Uuid = t.Annotated[str, "UUID of the machine."]


class Peers:
    """``jids`` are the other hypervisors' accounts, ``leaving`` the UUIDs of machines that are being sent to one, and
    ``returning`` what it is told besides of those that are to come back. ``closed`` says why a machine of that UUID is
    not received here now, where there is a reason. The core calls ``destination``, ``expected`` and ``call`` from its
    worker threads."""

    def __init__(self, jids: t.Iterable[str], migration_uri: str | None, accounts: Accounts) -> None:
        self.jids = tuple(jids)
        self.migration_uri = migration_uri
        self.leaving: set[str] = set()
        self.returning: dict[str, dict[str, t.Any]] = {}
        self.closed: t.Callable[[str], str | None] = lambda uuid: None
        self._accounts = accounts
        self._link: Link | None = None
        self._session: Session | None = None
        self._loop = asyncio.get_running_loop()

    def attach(self, link: Link, session: Session) -> None:
        self._link, self._session = link, session

    # What peers ask of us

    @action(permission=PEER, changes=False, name="destination", says="{hypervisor} takes machines at {uri}.")
    async def answer_destination(
        self,
        *,
        name: t.Annotated[str | None, "Name of the machine that is to come."] = None,
        uuid: t.Annotated[str | None, "UUID of the machine that is to come."] = None,
    ) -> Result:
        """Tell a peer where this hypervisor receives machines, and whether one is here already."""
        assert self._link is not None
        if self.migration_uri is None:
            raise Unsupported(f"{self._link.name} receives no machines: libvirt.migration_uri is not set there.")
        state = await self._link.perform("reads", lambda hypervisor: _state_of(hypervisor, name, uuid))
        return {
            "changed": False,
            "hypervisor": self._link.name,
            "uri": self.migration_uri,
            "present": state is not None,
            "state": state,
        }

    @action(permission=PEER, changes=False, name="handover", says="The account is yours.")
    async def answer_handover(self, *, uuid: Uuid) -> Result:
        """Give a peer the password of a machine's account, when the machine is active here no longer."""
        assert self._link is not None
        state = await self._link.perform("reads", lambda hypervisor: _state_of(hypervisor, None, uuid))
        if state in ACTIVE:
            raise Conflict(f"The machine {uuid} is {state} on {self._link.name}.")
        password = self._accounts.registered(uuid)
        if password is None:
            raise NotFound(f"{self._link.name} does not know the account of {uuid}.")
        log.info("the account of %s is handed over", uuid)
        return {"changed": False, "password": password}

    @action(permission=PEER, changes=False, name="inspect", says=_told)
    async def answer_inspect(
        self, *, needs: t.Annotated[dict[str, t.Any], "The machine, and what only its source knows of it."]
    ) -> Result:
        """Tell a peer what here speaks against a machine that is to come."""
        answer = await self._answer("reads", "inspect", {"needs": needs})
        uuid = xmltree.read(xmltree.parse(needs["xml"], "domain"), "uuid")
        if why := self.closed(uuid or ""):
            answer["findings"].insert(0, Finding("hypervisor", "error", why).as_data())
        return answer

    @action(permission=PEER, changes=True, name="receive", says="{paths}")
    async def answer_receive(
        self, *, volumes: t.Annotated[list[dict], "The volumes into which its disks are to be copied."]
    ) -> Result:
        """Make volumes for a machine that comes from a peer, those that are not here yet."""
        return await self._answer("changes", "receive", {"volumes": volumes})

    async def _answer(self, lane: str, question: str, given: dict[str, t.Any]) -> Result:
        assert self._link is not None
        return await self._link.perform(lane, lambda hypervisor: QUESTIONS[question](hypervisor, given))

    # What we ask of peers

    def destination(self, name: str, machine: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """What the hypervisor called ``name`` says to a machine (``name``, ``uuid``) that is to go there."""
        return self.call(name, "destination", {key: machine[key] for key in ("name", "uuid") if machine.get(key)})

    @contextlib.contextmanager
    def expected(self, name: str, machine: t.Mapping[str, t.Any]) -> t.Iterator[None]:
        """Have the hypervisor called ``name`` expect a machine (``name``, ``uuid``, ``disks``) that is moved in the
        block. Unsettled, when that failed and the machine does not clearly go on here."""
        uuid = machine["uuid"]
        self.leaving.add(uuid)
        try:
            # An older agent does not know these words.
            self.call(name, "expect", {**machine, **self.returning.get(uuid, {})})
            try:
                yield
            except ArchipelError as error:
                stays = asyncio.run_coroutine_threadsafe(self._stays(name, uuid), self._loop).result()
                if isinstance(error, Unsettled) or not stays:
                    raise Unsettled(error.message) from error
                asyncio.run_coroutine_threadsafe(self.settle(name, uuid, moved=False), self._loop).result()
                raise
        finally:
            self.leaving.discard(uuid)

    async def _stays(self, name: str, uuid: str) -> bool:
        """Whether a machine that was to be moved to the hypervisor called ``name`` clearly goes on here, or is off and
        not there."""
        assert self._link is not None
        try:
            status = await self._link.perform("reads", lambda hypervisor: hypervisor.machine(uuid=uuid).status)
            if status[0] in ACTIVE:
                return status != ARRIVING
            return status != LEFT and not (await self.ask(name, "destination", {"uuid": uuid}))["present"]
        except ArchipelError:
            return False

    def call(self, name: str, question: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """What the hypervisor called ``name`` answers, for a worker thread."""
        asked = asyncio.run_coroutine_threadsafe(self.ask(name, question, arguments), self._loop)
        try:
            return asked.result(TIMEOUT + 5)
        except concurrent.futures.TimeoutError:
            raise Unavailable(f"{name} does not answer.") from None

    async def settle(self, name: str, uuid: str, *, moved: bool) -> None:
        """Tell the hypervisor called ``name`` what has become of a machine that it expects. When it does not hear, it
        asks (``whereabouts``)."""
        try:
            await self.ask(name, "settle", {"uuid": uuid, "moved": moved})
        except ArchipelError as error:
            log.warning("%s is not told what became of %s, and will ask: %s", name, uuid, error.message)

    async def handover(self, uuid: str) -> str | None:
        """The password of the machine's account, from the first peer that gives it."""
        calls = [self.ask(slixmpp.JID(jid).local, "handover", {"uuid": uuid}) for jid in self.jids]
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(answer, dict):
                return str(answer["password"])
            log.debug("no account of %s from a peer: %s", uuid, answer)
        return None

    def _jid(self, name: str) -> slixmpp.JID:
        for jid in map(slixmpp.JID, self.jids):
            if jid.local == name:
                return slixmpp.JID(f"{jid.bare}/{name}")
        known = ", ".join(slixmpp.JID(jid).local for jid in self.jids) or "none"
        raise InvalidArgument(f"{name!r} is no hypervisor that is known here; known are: {known}.")

    async def ask(self, name: str, action: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Run an action of the hypervisor called ``name``."""
        assert self._session is not None
        jid = self._jid(name)
        if not self._session.online.is_set():
            raise Unavailable(f"{jid.local} cannot be asked: there is no connection to the XMPP server.")
        return await ask(self._session, jid, action, arguments)


async def ask(session: Session, jid: slixmpp.JID, action: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Run an action of another hypervisor's contact."""
    iq = session.client.make_iq_set(ito=jid)
    command = command_element(action, action="execute")
    command.append(json_element(arguments))
    iq.append(command)
    try:
        answer = await iq.send(timeout=TIMEOUT)
    except IqTimeout:
        raise Unavailable(f"{jid.local} does not answer; does its agent run?") from None
    except IqError as error:
        container = error.iq["error"].xml.find(f"{{{JSON}}}json")
        if container is not None:
            raise from_data(t.cast("dict[str, t.Any]", read_json(container))) from None
        if error.condition in ("service-unavailable", "recipient-unavailable", "remote-server-not-found"):
            raise Unavailable(f"{jid.local} is not online; does its agent run?") from None
        raise OperationFailed(f"{jid.local} refused {action}: {error.format()}. Is this one among its peers?") from None
    container = answer.xml.find(f"{{{COMMANDS}}}command/{{{JSON}}}json")
    result = read_json(container) if container is not None else None
    if not isinstance(result, dict):
        raise OperationFailed(f"{jid.local} answered {action} with nothing that can be read.")
    return result


def _state_of(hypervisor: Hypervisor, name: str | None, uuid: str | None) -> str | None:
    """The state of the machine with that UUID or, failing that, of that name; None when it is not here."""
    found = hypervisor.find(uuid=uuid) if uuid else None
    if found is None and name:
        found = hypervisor.find(name=name)
    return found.status[0] if found else None
