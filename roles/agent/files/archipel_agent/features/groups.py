# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in which shared group of contacts, as the hypervisor's own contact list says it.

The server puts the groups that it displays to the hypervisor's account into that list, each contact with the labels of
its groups, and pushes what changes; nobody can put himself there. A push names one group of several, and takes away a
contact that leaves one of them (ejabberd 23.01), so it is a reason to read the list, and no more.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import typing as t

from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from ..authority import Authority
from ..pubsub import TIMEOUT, PubSub
from ..session import Session

ROSTER: t.Final = "jabber:iq:roster"
# The server pushes nothing when a whole group is removed, or displayed to the hypervisors no more.
EVERY = 60.0


class Groups:
    def __init__(self, authority: Authority, session: Session, pubsub: PubSub, database: sqlite3.Connection) -> None:
        self._authority = authority
        self._session = session
        self._pubsub = pubsub
        self._database = database
        self._timer: asyncio.TimerHandle | None = None
        rows = database.execute("SELECT jid, labels FROM groups").fetchall()
        authority.groups = {row["jid"]: frozenset(json.loads(row["labels"])) for row in rows}
        session.started.append(lambda: pubsub.wake(self))
        path = MatchXPath(f"{{jabber:client}}iq/{{{ROSTER}}}query")
        session.client.register_handler(Callback("groups", path, self._pushed))

    def _pushed(self, iq: t.Any) -> None:
        # RFC 6121, 2.1.6: only our own account speaks of our list.
        if iq["type"] == "set" and iq["from"].bare in ("", self._session.jid.bare):
            self._pubsub.wake(self)

    async def flush(self) -> None:
        """Read the list."""
        iq = self._session.client.make_iq_get()
        iq.append(ET.Element(f"{{{ROSTER}}}query"))
        answer = await iq.send(timeout=TIMEOUT)
        found = {}
        for item in answer.xml.iter(f"{{{ROSTER}}}item"):
            labels = {group.text or "" for group in item.iter(f"{{{ROSTER}}}group")}
            if labels:
                found[item.get("jid", "")] = frozenset(labels)
        if found != self._authority.groups:
            self._authority.groups = found
            rows = [(jid, json.dumps(sorted(labels))) for jid, labels in found.items()]
            self._database.execute("BEGIN")
            self._database.execute("DELETE FROM groups")
            self._database.executemany("INSERT INTO groups VALUES (?, ?)", rows)
            self._database.execute("COMMIT")
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._pubsub.wake, self)
