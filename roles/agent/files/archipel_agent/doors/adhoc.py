# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of ad-hoc commands (XEP-0050): JSON containers for programs, forms for people.

slixmpp's own plugin keeps the session of each one-step command for ever and leaves access control to handlers; this
door keeps sessions only of forms that wait to be filled in, and those for ten minutes.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
import typing as t

import slixmpp
from archipel.actions import Action
from archipel.errors import ArchipelError, InvalidRequest, OperationFailed, Unavailable, UnknownAction
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath
from slixmpp.xmlstream.tostring import tostring

from .. import __version__, wire
from ..dispatch import Dispatcher, Request
from ..entity import Result
from .choices import choices, decisive

if t.TYPE_CHECKING:
    from ..contact import Contact

log = logging.getLogger(__name__)

NAME: t.Final = "adhoc"
SESSION_LIFETIME = 600.0
SESSIONS_OF_ONE = 16
# What surrounds an answer: addresses and id of the IQ.
ENVELOPE = 8192

# Error code → condition and type (docs/protocol.md).
CONDITIONS: t.Final[dict[str, tuple[str, str]]] = {
    "invalid_request": ("bad-request", "modify"),
    "invalid_argument": ("bad-request", "modify"),
    "invalid_definition": ("bad-request", "modify"),
    "unknown_action": ("item-not-found", "cancel"),
    "not_found": ("item-not-found", "cancel"),
    "forbidden": ("forbidden", "auth"),
    "conflict": ("conflict", "cancel"),
    "unsupported": ("feature-not-implemented", "cancel"),
    "unavailable": ("service-unavailable", "wait"),
    "libvirt_missing": ("service-unavailable", "wait"),
    "wait_timeout": ("remote-server-timeout", "wait"),
}
FEATURES: t.Final = (wire.COMMANDS, wire.DATA, wire.DISCO_INFO, wire.DISCO_ITEMS, wire.JSON, wire.PING)


@dataclasses.dataclass(frozen=True)
class FormSession:
    """A form that was given out. It belongs to the full JID that asked for it.

    ``given`` is what earlier forms brought; ``more`` says that another one follows.
    """

    id: str
    who: slixmpp.JID
    action: Action
    until: float
    given: t.Mapping[str, t.Any]
    more: bool


class AdhocDoor:
    def __init__(self, contact: Contact, dispatcher: Dispatcher) -> None:
        self._contact = contact
        self._client = contact.session.client
        self._dispatch = dispatcher
        self._sessions: dict[str, FormSession] = {}
        for name, element, handler in (
            ("command", f"{{{wire.COMMANDS}}}command", self._command),
            ("disco info", f"{{{wire.DISCO_INFO}}}query", self._info),
            ("disco items", f"{{{wire.DISCO_ITEMS}}}query", self._items),
        ):
            path = MatchXPath(f"{{jabber:client}}iq/{element}")
            self._client.register_handler(Callback(name, path, handler))

    # Commands

    def _command(self, iq: t.Any) -> None:
        if iq["type"] == "set":
            self._contact.spawn(self._answer(iq))

    async def _answer(self, iq: t.Any) -> None:
        command = iq.xml.find(f"{{{wire.COMMANDS}}}command")
        try:
            answer = await self._execute(iq["from"], command)
            size = len(tostring(answer))
            if size > self._contact.session.server.max_stanza_size - ENVELOPE:
                raise OperationFailed(
                    f"The answer is too large ({size} bytes); ask for less at once, by pages or names."
                )
        except ArchipelError as error:
            _fail(iq, error)
            return
        except Exception:
            log.exception("a command of %s failed by a fault of the agent", iq["from"])
            _fail(iq, OperationFailed("The agent failed; its log says more."))
            return
        reply = iq.reply()
        reply.append(answer)
        reply.send()

    async def _execute(self, who: slixmpp.JID, command: ET.Element) -> ET.Element:
        untrusted_node = command.get("node", "")
        step = command.get("action", "execute")
        container = command.find(f"{{{wire.JSON}}}json")
        form = command.find(f"{{{wire.DATA}}}x")
        if step == "cancel":
            session = self._take(command.get("sessionid"), who, untrusted_node)
            return wire.command_element(untrusted_node, sessionid=session.id, status="canceled")
        if step not in ("execute", "complete", "next"):
            raise InvalidRequest(f"The step {step[:20]!r} is not possible here.")
        if container is not None:
            return await self._run(who, untrusted_node, wire.read_json(container), for_program=True)
        if command.get("sessionid"):
            session = self._take(command.get("sessionid"), who, untrusted_node)
            values = {**session.given, **(wire.read_form(form, session.action) if form is not None else {})}
            if session.more and step != "complete":
                return await self._ask(who, session.action, values)
            return await self._run(who, untrusted_node, values, sessionid=session.id)
        action = self._dispatch.find(self._contact.entity, who, untrusted_node, NAME)
        if form is not None:
            return await self._run(who, untrusted_node, wire.read_form(form, action))
        if not action.arguments:
            return await self._run(who, untrusted_node, {})
        return await self._ask(who, action)

    async def _run(
        self, who: slixmpp.JID, untrusted_node: str, untrusted: t.Any, *, for_program: bool = False, sessionid: str = ""
    ) -> ET.Element:
        request = Request(self._contact.entity, who, NAME, untrusted_node, untrusted, text=not for_program)
        action, result = await self._dispatch(request)
        answer = wire.command_element(action.name, sessionid=sessionid or secrets.token_hex(8), status="completed")
        answer.append(wire.note_element(_sentence(action, result)))
        answer.append(wire.json_element(result) if for_program else wire.result_element(result))
        return answer

    async def _ask(self, who: slixmpp.JID, action: Action, given: t.Mapping[str, t.Any] | None = None) -> ET.Element:
        """The form for an action; the second one, where ``given`` has what the first one asked for."""
        first = [] if given is not None else decisive(action.arguments)
        asked = first or [a for a in action.arguments if given is None or a not in decisive(action.arguments)]
        given = given or {}
        request = Request(self._contact.entity, who, NAME, action.name, given, text=True)
        asked = list(wire.fields_of(asked))
        offered = await choices(self._dispatch, request, self._contact.host.entity, asked, given)
        session = FormSession(
            secrets.token_hex(8), who, action, time.monotonic() + SESSION_LIFETIME, given, bool(first)
        )
        self._forget()
        if sum(1 for other in self._sessions.values() if other.who.bare == who.bare) >= SESSIONS_OF_ONE:
            raise Unavailable(f"You have {SESSIONS_OF_ONE} forms open; complete or cancel one of them.")
        self._sessions[session.id] = session
        answer = wire.command_element(action.name, sessionid=session.id, status="executing")
        answer.append(wire.offers_element(more=session.more))
        answer.append(wire.form_element(action, asked, offered))
        return answer

    def _take(self, id: str | None, who: slixmpp.JID, untrusted_node: str) -> FormSession:
        self._forget()
        session = self._sessions.get(id or "")
        if session is None or session.who != who or session.action.name != untrusted_node:
            raise InvalidRequest("There is no such session; it may have ended. Begin again.")
        del self._sessions[session.id]
        return session

    def _forget(self) -> None:
        now = time.monotonic()
        self._sessions = {id: session for id, session in self._sessions.items() if session.until > now}

    # Disco

    def _info(self, iq: t.Any) -> None:
        if iq["type"] != "get":
            return
        node = iq.xml.find(f"{{{wire.DISCO_INFO}}}query").get("node")
        visible = self._dispatch.visible(self._contact.entity, iq["from"])
        query = ET.Element(f"{{{wire.DISCO_INFO}}}query", {"node": node} if node else {})
        identity = {"category": "automation", "type": "command-node"}
        features: tuple[str, ...] = (wire.COMMANDS, wire.DATA, wire.JSON)
        if not node:
            identity = {"category": "client", "type": "bot", "name": f"Archipel {__version__}"}
            features = FEATURES
        elif node == wire.COMMANDS:
            identity["type"] = "command-list"
        elif node in visible:
            identity["name"] = _title(visible[node])
        else:
            _fail(iq, UnknownAction("There is no such node here."))
            return
        ET.SubElement(query, f"{{{wire.DISCO_INFO}}}identity", identity)
        for feature in features:
            ET.SubElement(query, f"{{{wire.DISCO_INFO}}}feature", {"var": feature})
        reply = iq.reply()
        reply.append(query)
        reply.send()

    def _items(self, iq: t.Any) -> None:
        if iq["type"] != "get":
            return
        node = iq.xml.find(f"{{{wire.DISCO_ITEMS}}}query").get("node")
        query = ET.Element(f"{{{wire.DISCO_ITEMS}}}query", {"node": node} if node else {})
        if node == wire.COMMANDS:
            jid = self._client.boundjid.full
            for action in self._dispatch.visible(self._contact.entity, iq["from"]).values():
                item = {"jid": jid, "node": action.name, "name": _title(action)}
                ET.SubElement(query, f"{{{wire.DISCO_ITEMS}}}item", item)
        reply = iq.reply()
        reply.append(query)
        reply.send()


def _title(action: Action) -> str:
    return action.help.splitlines()[0].rstrip(".")


def _sentence(action: Action, result: Result) -> str:
    return result["msg"] if "job" in result and action.long else action.sentence(result)


def _fail(iq: t.Any, error: ArchipelError) -> None:
    condition, kind = CONDITIONS.get(error.code, ("internal-server-error", "cancel"))
    reply = iq.reply()
    reply["error"]["condition"] = condition
    reply["error"]["type"] = kind
    reply["error"]["text"] = wire.clean(error.message)
    reply["error"].xml.append(wire.json_element(error.as_data()))
    reply.send()
