# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a session is protected, and that nothing weaker is spoken. Wrong certificates are in test_outages.py."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from archipel_agent.check import account
from archipel_agent.session import LoginFailed
from ejabberd import Ejabberd
from world import World


@pytest.fixture
def old_server(tmp_path: pathlib.Path) -> t.Iterator[Ejabberd]:
    """One whose accounts were made for SCRAM-SHA-1, which is ejabberd's default."""
    server = Ejabberd(tmp_path / "old", hypervisors=["hv1"])
    server.scram = "sha"
    try:
        server.prepare()
        yield server
    finally:
        server.stop()


async def test_sessions_are_of_the_newest_tls_and_prove_the_password_by_sha256(world: World) -> None:
    """Of machines as of hypervisors. Python has no channel binding for TLS 1.3, so the server's PLUS is not taken."""
    async with world.agent() as agent:
        contacts = [agent.session, *(contact.session for contact in agent.contacts.contacts.values())]
        for session in contacts:
            await session.online.wait()
            transport = session.client.transport
            assert transport is not None
            assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
            mechanisms = session.client.plugin["feature_mechanisms"]
            assert mechanisms.mech.name == "SCRAM-SHA-256"
            assert mechanisms.mech_list == {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}


async def test_a_server_that_offers_less_is_told_no_password(world: World, old_server: Ejabberd) -> None:
    """The agent says why it does not log in."""
    config = World(old_server, world.directory).config()
    session = account(config, "test")
    with pytest.raises(LoginFailed, match=r"the server offers no SCRAM-SHA-256, and nothing weaker is spoken here"):
        await session.log_in()
    assert not session.client.plugin["feature_mechanisms"].attempted_mechs
