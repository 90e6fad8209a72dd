# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that are pushed to a service on loopback, which answers at once, beside the same posted by Python alone.

The agent sends to one service one event after the other, so that they arrive in order; to several it sends at once.
"""

from __future__ import annotations

import asyncio
import http.client
import http.server
import pathlib
import sys
import threading
import time
import types
import typing as t

from measure import Figure, Table, Way, compare
from stage import ROOT, Stage

EVENTS: t.Final = 300
SERVICES: t.Final = 4
TOOK: t.Final = Figure(f"each of {EVENTS} events", "ms")
EVENT: t.Final = {"type": "lifecycle", "hypervisor": "hv1", "name": "web1", "state": "running", "reason": "booted"}


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_what: t.Any) -> None:
        """Nobody reads it."""


def run(stage: Stage, rounds: int) -> list[Table]:
    sys.path.append(str(ROOT / "roles/agent/files"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        room, port = stage.room(), server.server_port
        ways = [
            Way("posted by Python alone", lambda: {TOOK: _posted(port)}, yardstick=True),
            Way("pushed to one service", lambda: {TOOK: _pushed(room, port, 1)}),
            Way(f"pushed to {SERVICES} services, by event and service", lambda: {TOOK: _pushed(room, port, SERVICES)}),
        ]
        tables = compare(ways, rounds)
        server.shutdown()
    return tables


def _posted(port: int) -> float:
    begun = time.perf_counter()
    for _event in range(EVENTS):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/", b"{}", {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()
    return 1000 * (time.perf_counter() - begun) / EVENTS


def _pushed(room: pathlib.Path, port: int, services: int) -> float:
    from archipel_agent.config import Push
    from archipel_agent.features.push import Pushes

    file = room / "push.urls"
    file.touch(0o600)
    file.write_text(f"json://127.0.0.1:{port}/\n" * services)
    told = types.SimpleNamespace(heard=[], machines={})

    async def play() -> float:
        pushes = Pushes((Push(file),), t.cast(t.Any, told), t.cast(t.Any, told))
        begun = time.perf_counter()
        for _event in range(EVENTS):
            pushes.hear(EVENT)
        work = [asyncio.create_task(pushes.drain(service)) for service in pushes.services]
        await asyncio.gather(*work)
        return 1000 * (time.perf_counter() - begun) / EVENTS / services

    return asyncio.run(play())
