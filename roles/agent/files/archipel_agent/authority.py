# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: one predicate, asked for every door, for listing as for running. The default is no."""

from __future__ import annotations

import typing as t

import slixmpp
from archipel.actions import Action

PEER: t.Final = "peer"


class Authority:
    """Administrators may everything but what is between hypervisors; peers may that and nothing else."""

    def __init__(self, administrators: t.Iterable[str], peers: t.Iterable[str]) -> None:
        self.administrators: frozenset[str] = frozenset()
        self.peers: frozenset[str] = frozenset()
        self.replace(administrators, peers)

    def replace(self, administrators: t.Iterable[str], peers: t.Iterable[str]) -> None:
        # A JID object has the prepared form (RFC 7622), in which stanzas' senders come too.
        self.administrators = frozenset(slixmpp.JID(jid).bare for jid in administrators)
        self.peers = frozenset(slixmpp.JID(jid).bare for jid in peers)

    def may(self, who: slixmpp.JID, action: Action) -> bool:
        """``who`` is the sender as the server stamped it on the stanza."""
        return who.bare in (self.peers if action.permission == PEER else self.administrators)

    def knows(self, who: slixmpp.JID) -> bool:
        """Whether that JID may see how this contact is."""
        return who.bare in self.administrators or who.bare in self.peers
