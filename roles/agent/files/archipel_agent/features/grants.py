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
from archipel.actions import ASKER, Action, action
from archipel.errors import ArchipelError, Forbidden, InvalidArgument, NotFound
from archipel.host import canonical_uuid
from archipel.rights import Grant, Role
from slixmpp.xmlstream import ET

from ..authority import Authority
from ..entity import Result, asker
from ..libvirt_link import Link, MachineState
from ..machine_entity import ACTIONS as MACHINE_ACTIONS
from ..pubsub import EVENT, PubSub
from ..session import Session
from ..wire import JSON, read_json
from .events import Events

log = logging.getLogger(__name__)

ROLES: t.Final = "/archipel/roles"
PERMISSIONS: t.Final = "/archipel/permissions"
NODES: t.Final = (ROLES, PERMISSIONS)
MOST = 10_000
LARGEST = 16_384  # characters; a grant has some hundred

Item = Role | Grant


class Grants:
    def __init__(
        self,
        authority: Authority,
        link: Link,
        session: Session,
        pubsub: PubSub,
        database: sqlite3.Connection,
        events: Events,
    ) -> None:
        self._authority = authority
        self._link = link
        # The hypervisor's, as soon as it is put together.
        self.actions: t.Mapping[str, Action] = {}
        self._pubsub = pubsub
        self._database = database
        self._events = events
        self._known: dict[str, dict[str, Item]] = {node: {} for node in NODES}
        # Counts what has happened to the nodes, so that what is read meanwhile is read again.
        self._happened = 0
        for row in database.execute("SELECT node, item, payload FROM rights").fetchall():
            self._take(row["node"], row["item"], _bound(row["node"], row["item"], json.loads(row["payload"])))
        session.started.append(lambda: pubsub.wake(self))
        pubsub.listen(self._heard)

    @action(permission=ASKER, changes=False, phrases=("what may i do", "what may {jid} do"), says="{msg}")
    async def permission_info(
        self,
        *,
        jid: t.Annotated[
            str | None, "Account that is asked about, by default the asker's. Another's tells administrators only."
        ] = None,
        name: t.Annotated[str | None, "Name of a machine here; without one it is about all of the hypervisor."] = None,
        uuid: t.Annotated[str | None, "UUID of the machine."] = None,
    ) -> Result:
        """Tell what somebody may do here, or to a machine, and by what."""
        me = asker.get()
        administrator = self._authority.administers(me, self._link.here)
        who = me if jid is None else _jid(jid)
        if who.bare != me.bare and not administrator:
            raise Forbidden("You may ask what you may do; what others may is for administrators.")
        place, actions, subject = self._link.here, self.actions, self._link.name
        if name or uuid:
            machine = self._machine(name, uuid)
            place, actions, subject = self._link.place(machine), MACHINE_ACTIONS, machine.name
        by = ((each, list(self._authority.why(who, each, place))) for each in actions.values())
        allowed = [(each, why) for each, why in by if why]
        if (name or uuid) and not allowed and not administrator:
            raise _no_machine(name, uuid)
        told = ", ".join(each.name for each, _why in allowed) or "nothing"
        return {
            "changed": False,
            "msg": f"What {who.bare} may do to {subject}: {told}.",
            "jid": who.bare,
            "groups": sorted(self._authority.groups.get(who.bare, ())),
            "hypervisor": self._link.name,
            "uuid": place.machine,
            "actions": [{"name": each.name, "permission": each.permission, "by": why} for each, why in allowed],
        }

    def _machine(self, name: str | None, uuid: str | None) -> MachineState:
        wanted = canonical_uuid(uuid) if uuid else None
        for machine in self._link.machines.values():
            if name in (None, machine.name) and wanted in (None, machine.uuid):
                return machine
        raise _no_machine(name, uuid)

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

    def _heard(self, event: ET.Element) -> None:
        for happened in event:
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


def _jid(untrusted: str) -> slixmpp.JID:
    try:
        return slixmpp.JID(untrusted)
    except slixmpp.InvalidJID:
        raise InvalidArgument(f"{untrusted[:80]!r} is no JID, like alice@example.org.") from None


def _no_machine(name: str | None, uuid: str | None) -> NotFound:
    return NotFound(f"There is no machine {name or uuid!r} here to which you may do anything.")


def _bind(node: str, name: str, untrusted: t.Any) -> Item:
    if node == ROLES:
        return Role.bind(name, untrusted)
    grant = Grant.bind(name, untrusted)
    if grant.kind != "jid":
        return grant
    # In the prepared form (RFC 7622), as senders come.
    return dataclasses.replace(grant, who=_jid(grant.who).bare)


def _bound(node: str, name: str, data: t.Any) -> Item | None:
    """From the database; what an agent of another version wrote may not be a grant to this one."""
    try:
        return _bind(node, name, data)
    except InvalidArgument as error:
        log.warning("a kept item %r of %s grants nothing: %s", name[:80], node, error.message)
        return None
