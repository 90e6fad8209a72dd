# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines are paused and resumed beside the agent, a hundred times a second; time runs from the call to libvirt until
the one who listens has been told.

A program that listens to libvirt itself is told by libvirtd alone. A person's client is told by the agent through the
server: of what happened, by the node of events, and of the machine's new state, by its contact's presence.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import threading
import time
import typing as t

import libvirt
from archipel.connection import Connection
from client import Client, connected
from measure import Figure, Table, Way, compare
from stage import PATIENCE, Host, Stage

MACHINES: t.Final = 20
EVENTS: t.Final = 500
A_SECOND: t.Final = 100
HALF: t.Final = Figure(f"half of {EVENTS} events are there within", "ms")
MOST: t.Final = Figure(f"99 of 100 of {EVENTS} events are there within", "ms")
NODE: t.Final = "/archipel/events"
# What a paused machine's contact shows (RFC 6121), and a running one's.
SHOWS: t.Final = {"away": "paused", "available": "running"}


class Waits:
    """``taken`` are milliseconds from each change to the moment when somebody has heard of it, in any thread."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self._begun: dict[tuple[str, str], float] = {}
        self._all = threading.Event()

    def heard(self, uuid: str, state: str) -> None:
        begun = self._begun.pop((uuid, state), None)
        if begun is not None:
            self.taken.append((time.perf_counter() - begun) * 1000)
            if len(self.taken) == EVENTS:
                self._all.set()

    def change(self, host: Host) -> None:
        """Pause all machines one after another, then resume them, and so on; return when all has been heard."""
        domains = {domain.UUIDString(): domain for domain in host.connection.listAllDomains()}
        changes = itertools.cycle(itertools.product(("paused", "running"), domains))
        began = time.perf_counter()
        for number, (state, uuid) in enumerate(itertools.islice(changes, EVENTS)):
            time.sleep(max(0, began + number / A_SECOND - time.perf_counter()))
            self._begun[uuid, state] = time.perf_counter()
            (domains[uuid].suspend if state == "paused" else domains[uuid].resume)()
        if not self._all.wait(PATIENCE):
            raise RuntimeError(f"{EVENTS - len(self.taken)} of {EVENTS} events were not heard of.")
        for domain in domains.values():
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()


Listening = t.Callable[[], t.Coroutine[t.Any, t.Any, list[float]]]


class Listener(Client):
    """A person's client that passes on what it is told."""

    tell: t.Callable[[str, str], None] = staticmethod(lambda uuid, state: None)

    def _presence(self, presence: t.Any) -> None:
        super()._presence(presence)
        self.tell(presence["from"].user, SHOWS.get(presence["type"], ""))

    def _publish(self, message: t.Any) -> None:
        before = len(self.published)
        super()._publish(message)
        for _node, _item, event in self.published[before:]:
            self.tell(event.get("uuid", ""), event.get("state", ""))


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES, managed=True, running=True) as host,
        stage.server() as server,
        stage.agent(host, server, contacts="managed"),
        Connection(host.uri) as own,
    ):
        uuids = [domain.UUIDString() for domain in host.connection.listAllDomains()]

        async def libvirt_alone() -> list[float]:
            waits = Waits()

            def lifecycle(_connection: t.Any, domain: t.Any, event: int, *_details: t.Any) -> None:
                state = "paused" if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED else "running"
                waits.heard(domain.UUIDString(), state)

            number = own.handle.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None)
            await asyncio.to_thread(waits.change, host)
            own.handle.domainEventDeregisterAny(number)
            return waits.taken

        async def person(*, presence: bool) -> list[float]:
            waits = Waits()
            async with connected(server, "admin", kind=Listener) as client:
                if presence:
                    for uuid in uuids:
                        client.send_presence_subscription(f"{uuid}@{server.domain}")
                    for uuid in uuids:
                        await client.saw(uuid, "available")
                else:
                    await client.plugin["xep_0060"].subscribe(f"pubsub.{server.domain}", NODE)
                client.tell = waits.heard
                await asyncio.to_thread(waits.change, host)
            return waits.taken

        def way(name: str, listen: Listening, *, yardstick: bool = False) -> Way:
            def measure() -> dict[Figure, float]:
                cuts = statistics.quantiles(asyncio.run(listen()), n=100)
                return {HALF: cuts[49], MOST: cuts[98]}

            return Way(name, measure, yardstick)

        return compare(
            [
                way("libvirt, in Python", libvirt_alone, yardstick=True),
                way("the node of events", lambda: person(presence=False)),
                way("the contact's presence", lambda: person(presence=True)),
            ],
            rounds,
        )
