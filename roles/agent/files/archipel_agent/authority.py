# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what, and where: one predicate, asked for every door, for listing as for running. The default is no.

``why`` is the predicate: the reasons why somebody may do something, of which one is enough.
"""

from __future__ import annotations

import collections
import typing as t

import slixmpp
from archipel.actions import ASKER, PEER, Action
from archipel.rights import ROLES, Grant, Place, Role

from .libvirt_link import MachineState

Permissions = t.AbstractSet[str]
Arguments = t.Mapping[str, t.Any] | None

ADMINISTRATOR: t.Final = "administrator by the agent's configuration"
PEERS: t.Final = "peer by the agent's configuration"
OWNER: t.Final = "owner of the machine"


class Authority:
    """Administrators and peers are named in the agent's configuration, everybody else by grants."""

    def __init__(self, administrators: t.Iterable[str], peers: t.Iterable[str]) -> None:
        self.administrators: frozenset[str] = frozenset()
        self.peers: frozenset[str] = frozenset()
        # Bare JID to the labels of the groups that it is in.
        self.groups: t.Mapping[str, t.AbstractSet[str]] = {}
        self.roles: dict[str, Permissions] = dict(ROLES)
        self.grants: dict[str, Grant] = {}
        self._by_who: dict[tuple[str, str], dict[str, Grant]] = collections.defaultdict(dict)
        self.replace(administrators, peers)

    def replace(self, administrators: t.Iterable[str], peers: t.Iterable[str]) -> None:
        # A JID object has the prepared form (RFC 7622), in which stanzas' senders come too.
        self.administrators = frozenset(slixmpp.JID(jid).bare for jid in administrators)
        self.peers = frozenset(slixmpp.JID(jid).bare for jid in peers)

    def set_role(self, name: str, role: Role | None) -> None:
        """Take a role over, or forget it; ready-made ones stay what they are."""
        if role is None:
            self.roles.pop(name, None)
        else:
            self.roles[name] = role.permissions
        self.roles.update(ROLES)

    def set_grant(self, name: str, grant: Grant | None) -> None:
        """Take a grant over, or forget it."""
        old = self.grants.pop(name, None)
        if old is not None:
            del self._by_who[old.kind, old.who][name]
        if grant is not None:
            self.grants[name] = grant
            self._by_who[grant.kind, grant.who][name] = grant

    def may(self, who: slixmpp.JID, action: Action, place: Place, arguments: Arguments = None) -> bool:
        """``who`` is the sender as the server stamped it on the stanza."""
        return next(self.why(who, action, place, arguments), None) is not None

    def why(self, who: slixmpp.JID, action: Action, place: Place, arguments: Arguments = None) -> t.Iterator[str]:
        """By what they may do that there; nothing, when they may not. Without arguments, whether they may with some."""
        if action.permission == PEER:
            yield from [PEERS] * (who.bare in self.peers)
            return
        if who.bare in self.administrators:
            yield ADMINISTRATOR
        wanted = {action.name, *action.permissions(arguments)}
        if place.owner == who.bare and (action.permission == ASKER or wanted & ROLES["owner"]):
            yield OWNER
        for grant in self.grants_of(who):
            if grant.reaches(place) and (action.permission == ASKER or wanted & self.permissions(grant)):
                yield f"grant {grant.name}"

    def administers(self, who: slixmpp.JID, place: Place) -> bool:
        """Whether they are an administrator there, by the configuration or by a grant."""
        grants = (grant for grant in self.grants_of(who) if grant.role == "administrator" and grant.reaches(place))
        return who.bare in self.administrators or next(grants, None) is not None

    def touched(self, who: slixmpp.JID, machines: t.Iterable[MachineState]) -> list[MachineState]:
        """Of the machines to which grants, or being their owner, can give a right, one of each sort."""
        grants = list(self.grants_of(who))
        named, tags = ({grant.where for grant in grants if grant.scope == scope} for scope in ("machine", "tag"))
        found: dict[t.Any, MachineState] = {}
        for machine in machines:
            sort = (machine.uuid if machine.uuid in named else "", machine.tags & tags, machine.owner == who.bare)
            if any(sort):
                found.setdefault(sort, machine)
        return list(found.values())

    def grants_of(self, who: slixmpp.JID) -> t.Iterator[Grant]:
        """All that are for them, wherever they reach."""
        for kind, names in (("jid", (who.bare,)), ("domain", (who.domain,)), ("group", self.groups.get(who.bare, ()))):
            for name in names:
                yield from self._by_who.get((kind, name), {}).values()

    def permissions(self, grant: Grant) -> Permissions:
        """What it gives; nothing, while nobody knows its role."""
        return grant.permissions if grant.role is None else self.roles.get(grant.role, frozenset())
