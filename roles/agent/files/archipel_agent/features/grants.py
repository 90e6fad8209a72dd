# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and grants, as the nodes ``/archipel/roles`` and ``/archipel/permissions`` have them (docs/protocol.md).

The nodes are read when the session comes up, and followed by their events from then on. The last copy is in the
database: while the server is away, what it said last holds. An item that cannot be read grants nothing.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sqlite3
import typing as t

import slixmpp
from archipel.errors import ArchipelError, InvalidArgument
from archipel.rights import Grant, Role
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from ..authority import Authority
from ..pubsub import PUBSUB, PubSub
from ..session import Session
from ..wire import JSON, read_json
from .events import Events

log = logging.getLogger(__name__)

ROLES: t.Final = "/archipel/roles"
PERMISSIONS: t.Final = "/archipel/permissions"
NODES: t.Final = (ROLES, PERMISSIONS)
EVENT: t.Final = f"{PUBSUB}#event"
MOST = 10_000
LARGEST = 16_384  # characters; a grant has some hundred

Item = Role | Grant


class Grants:
    def __init__(
        self, authority: Authority, session: Session, pubsub: PubSub, database: sqlite3.Connection, events: Events
    ) -> None:
        self._authority = authority
        self._pubsub = pubsub
        self._database = database
        self._events = events
        self._known: dict[str, dict[str, Item]] = {node: {} for node in NODES}
        # Counts what has happened to the nodes, so that what is read meanwhile is read again.
        self._happened = 0
        for row in database.execute("SELECT node, item, payload FROM rights").fetchall():
            self._take(row["node"], row["item"], _bound(row["node"], row["item"], json.loads(row["payload"])))
        session.started.append(lambda: pubsub.wake(self))
        path = MatchXPath(f"{{jabber:client}}message/{{{EVENT}}}event")
        session.client.register_handler(Callback("rights", path, self._heard))

    async def flush(self) -> None:
        """Subscribe, and read the nodes whole."""
        for node in NODES:
            await self._pubsub.subscribe(node)
            while True:
                before = self._happened
                there = {item.get("id", ""): item async for item in self._pubsub.every_item(node)}
                if before == self._happened:
                    break
            for name in self._known[node].keys() - there.keys():
                self._set(node, name, None)
            for name, item in there.items():
                self._set(node, name, item)

    def _heard(self, message: t.Any) -> None:
        # A subscriber to pubsub believes the service alone: anyone may send a message that looks like this.
        if message["from"] != self._pubsub.service or message["type"] == "error":
            return
        for happened in message.xml.find(f"{{{EVENT}}}event"):
            node = happened.get("node")
            if node not in NODES:
                continue
            self._happened += 1
            if happened.tag in (f"{{{EVENT}}}purge", f"{{{EVENT}}}delete"):
                for name in list(self._known[node]):
                    self._set(node, name, None)
            elif happened.tag == f"{{{EVENT}}}items":
                for item in happened:
                    gone = item.tag == f"{{{EVENT}}}retract"
                    self._set(node, item.get("id", ""), None if gone else item)

    def _set(self, node: str, name: str, item: ET.Element | None) -> None:
        """Take over what the server has under that name; None is nothing."""
        new = None if item is None else self._read(node, name, item)
        old = self._known[node].get(name)
        if new == old:
            return
        self._take(node, name, new)
        data = None if new is None else new.as_data()
        if data is None:
            self._database.execute("DELETE FROM rights WHERE node = ? AND item = ?", (node, name))
        else:
            self._database.execute("INSERT OR REPLACE INTO rights VALUES (?, ?, ?)", (node, name, json.dumps(data)))
        self._events.rights(node, name, None if old is None else old.as_data(), data)

    def _read(self, node: str, name: str, item: ET.Element) -> Item | None:
        container = item.find(f"{{{JSON}}}json")
        try:
            if container is None or len(container.text or "") > LARGEST:
                raise InvalidArgument(f"a JSON container (XEP-0335) of at most {LARGEST} characters is needed.")
            if name not in self._known[node] and len(self._known[node]) >= MOST:
                raise InvalidArgument(f"there are {MOST} items before it, and no more are read.")
            return _bind(node, name, read_json(container))
        except ArchipelError as error:
            log.warning("%s has an item %r that grants nothing: %s", node, name[:80], error.message)
            return None

    def _take(self, node: str, name: str, item: Item | None) -> None:
        if item is None:
            self._known[node].pop(name, None)
        else:
            self._known[node][name] = item
        if node == ROLES:
            self._authority.set_role(name, t.cast("Role | None", item))
        else:
            self._authority.set_grant(name, t.cast("Grant | None", item))


def _bind(node: str, name: str, untrusted: t.Any) -> Item:
    if node == ROLES:
        return Role.bind(name, untrusted)
    grant = Grant.bind(name, untrusted)
    if grant.kind != "jid":
        return grant
    try:
        # In the prepared form (RFC 7622), as senders come.
        return dataclasses.replace(grant, who=slixmpp.JID(grant.who).bare)
    except slixmpp.InvalidJID:
        raise InvalidArgument(f"{grant.who!r} is no JID.") from None


def _bound(node: str, name: str, data: t.Any) -> Item | None:
    """From the database; what an agent of another version wrote may not be a grant to this one."""
    try:
        return _bind(node, name, data)
    except InvalidArgument as error:
        log.warning("a kept item %r of %s grants nothing: %s", name[:80], node, error.message)
        return None
