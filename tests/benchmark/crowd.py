# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain slixmpp clients that log in and stay: what the agent's contacts are compared with.

``crowd.py DOMAIN PASSWORD HOST PORT CA_FILE NAME...``
"""

from __future__ import annotations

import asyncio
import sys

from client import Client


async def stay(domain: str, password: str, host: str, port: str, ca_file: str, *names: str) -> None:
    # As many logins at once as the agent has.
    gate = asyncio.Semaphore(16)

    async def log_in(name: str) -> Client:
        async with gate:
            client = Client(f"{name}@{domain}/crowd", password, ca_file)
            started = client.wait_until("session_start", 60)
            client.connect(host, int(port))
            await started
            client.send_presence()
            return client

    clients = await asyncio.gather(*map(log_in, names))
    await asyncio.gather(*(client.disconnected for client in clients), asyncio.Event().wait())


if __name__ == "__main__":
    asyncio.run(stay(*sys.argv[1:]))
