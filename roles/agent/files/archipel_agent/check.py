# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``--check``: all that is wrong with a configuration, before the agent is started with it."""

from __future__ import annotations

import asyncio
import pathlib
import typing as t

from archipel.connection import Connection
from archipel.errors import ArchipelError

from .config import Config, ConfigError, load
from .features.push import Unusable, services_of
from .session import LoginFailed, Server, Session, trust


def faults(path: pathlib.Path, *, connect: bool = True) -> list[str]:
    """A sentence for each fault: of the file and, unless ``connect`` is false, of what it names."""
    try:
        config = load(path)
    except ConfigError as error:
        return error.faults
    unusable = _push(config)
    if not connect:
        return unusable
    return [*unusable, *_libvirt(config), *asyncio.run(_xmpp(config))]


def _push(config: Config) -> list[str]:
    found = []
    for wants in config.push:
        try:
            services_of(wants)
        except Unusable as fault:
            found.append(f"push: {fault}")
    return found


def _libvirt(config: Config) -> list[str]:
    try:
        with Connection(config.libvirt.uri):
            return []
    except ArchipelError as error:
        return [error.message]


async def _xmpp(config: Config) -> list[str]:
    session = account(config, "check")
    try:
        await session.log_in()
    except LoginFailed as failure:
        return [str(failure)]
    await session.close()
    return []


def account(
    config: Config, resource: str, jid: str | None = None, password: t.Callable[[], str] | None = None
) -> Session:
    """A session of the hypervisor's account under another resource than the agent's own, which may be running; or of
    another account."""
    xmpp = config.xmpp
    server = Server(xmpp.domain, xmpp.hosts, xmpp.port, trust(xmpp.ca_file), asyncio.Semaphore(1), xmpp.max_stanza_size)
    return Session(f"{jid or xmpp.jid}/{resource}", password or xmpp.password, server)
