# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request after another over a stream that is open: to an agent, and between two plain clients in two processes.

A ping (XEP-0199) is the least that XMPP can do; what an action takes longer is the agent's part and libvirt's.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import typing as t

import slixmpp
from client import Client, connected
from measure import Figure, Table, Way, compare
from stage import NAME, PATIENCE, Stage, online

MACHINES: t.Final = 20
REQUESTS: t.Final = 500
HALF: t.Final = Figure("half of the answers are there within", "ms")
MOST: t.Final = Figure("99 of 100 answers are there within", "ms")


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES, managed=True, running=True) as host,
        stage.server() as server,
        stage.agent(host, server, contacts="managed"),
        stage.crowd(server, [server.register("person").partition("@")[0]]),
    ):
        online(server, 1 + MACHINES + 1)
        machine = host.connection.lookupByName(host.names[0]).UUIDString()
        domain = server.domain

        def ask(request: t.Callable[[Client], t.Awaitable[t.Any]]) -> dict[Figure, float]:
            async def times() -> list[float]:
                taken = []
                async with asyncio.timeout(PATIENCE), connected(server, "admin") as client:
                    for _request in range(REQUESTS):
                        began = time.perf_counter()
                        await request(client)
                        taken.append((time.perf_counter() - began) * 1000)
                return taken

            cuts = statistics.quantiles(asyncio.run(times()), n=100)
            return {HALF: cuts[49], MOST: cuts[98]}

        def call(jid: str, action: str, **arguments: t.Any) -> dict[Figure, float]:
            return ask(lambda client: client.call(jid, action, arguments))

        return compare(
            [
                Way(
                    "ping between plain clients",
                    lambda: ask(
                        lambda client: client.plugin["xep_0199"].send_ping(slixmpp.JID(f"person@{domain}/crowd"))
                    ),
                    yardstick=True,
                ),
                Way("state of a machine", lambda: call(f"{machine}@{domain}/{NAME}", "state")),
                Way("vm_info of one machine", lambda: call(f"{NAME}@{domain}/{NAME}", "vm_info", uuid=machine)),
            ],
            rounds,
        )
