# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who, without a connection; the connection itself is tested in tests/integration."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.archipel.orchestrator.plugins.plugin_utils import xmpp
from archipel import errors

ACCOUNT = xmpp.Account("admin@xmpp.test/ansible", "secret")


def test_contacts_have_their_jids() -> None:
    assert ACCOUNT.hypervisor("hv1") == "hv1@xmpp.test/hv1"
    assert ACCOUNT.machine("u", "hv1") == "u@xmpp.test/hv1"
    assert ACCOUNT.bare == "admin@xmpp.test"


@pytest.mark.parametrize("name", ["", "hv1@elsewhere", "a/b", "a b", "{{ x }}@y", "a'b"])
def test_a_name_cannot_lead_to_another_server(name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="cannot be the name"):
        ACCOUNT.hypervisor(name)


@pytest.mark.parametrize("jid", ["admin", "@xmpp.test", "admin@", "a@b@c"])
def test_an_account_is_a_jid(jid: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="is not a JID"):
        xmpp.Account(jid, "secret")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(ACCOUNT)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slixmpp", None)
    xmpp._slixmpp.cache_clear()
    with pytest.raises(errors.Unavailable, match="pip install slixmpp"):
        xmpp.Client(ACCOUNT).ping(["xmpp.test"])
    xmpp._slixmpp.cache_clear()
