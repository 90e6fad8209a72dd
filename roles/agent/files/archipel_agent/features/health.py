# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host and its machines have used: measured now and then, kept in rings in the database."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import pathlib
import sqlite3
import time
import typing as t
import zlib

from archipel.errors import ArchipelError
from archipel.health import Entry, Look, look, usage_of_host, usage_of_machines
from archipel.hypervisor import Hypervisor

from ..libvirt_link import Link

log = logging.getLogger(__name__)


class Ring(t.NamedTuple):
    """Seconds between measurements, and seconds for which they are kept. ``disks``: QEMU is asked too."""

    every: float
    kept: float
    disks: bool


# For a chart of the last hour, and one of the last week. 1,000 machines take 30 kB of the database each time.
RINGS: t.Final = (Ring(30, 3600, disks=False), Ring(600, 7 * 24 * 3600, disks=True))

Rows = list[tuple[int, float, str, bytes]]


class Health:
    """A Record for the core; ``run`` goes on measuring.

    A ring's measurement is the difference to its own last one, so that nothing between them is lost.
    """

    def __init__(self, database: sqlite3.Connection, path: pathlib.Path) -> None:
        self._database = database
        self._path = path
        self._rings = RINGS
        self._looks: dict[Ring, Look] = {}

    async def run(self, link: Link) -> None:
        """Measure until cancelled."""
        finest = min(ring.every for ring in self._rings)
        link.switched.append(self._looks.clear)
        while True:
            await link.up.wait()
            begun = time.monotonic()
            try:
                self._keep(await link.perform("reads", self._measure))
            except ArchipelError as error:
                log.debug("not measured: %s", error.message)
            except (OSError, sqlite3.Error) as error:
                # A chart with a hole is better than no agent.
                log.warning("not measured: %s", error)
            await asyncio.sleep(max(begun + finest - time.monotonic(), 0.01))

    def _measure(self, hypervisor: Hypervisor) -> Rows:
        """In a worker thread: a row for each ring whose turn it is."""
        now = time.monotonic()
        looks = dict(self._looks)
        # A turn may come a little early.
        due = [ring for ring in self._rings if ring not in looks or now - looks[ring].when > 0.95 * ring.every]
        after = look(hypervisor, disks=any(ring.disks for ring in due))
        self._looks.update(dict.fromkeys(due, after))
        stamp = round(time.time() * 1000)
        return [
            (
                stamp,
                ring.every,
                json.dumps(usage_of_host(hypervisor, looks[ring], after)),
                zlib.compress(json.dumps(usage_of_machines(looks[ring], after)).encode()),
            )
            for ring in due
            if ring in looks
        ]

    def _keep(self, rows: Rows) -> None:
        for stamp, every, host, vms in rows:
            self._database.execute("INSERT OR REPLACE INTO health VALUES (?, ?, ?, ?)", (stamp, every, host, vms))
            kept = next(ring.kept for ring in self._rings if ring.every == every)
            self._database.execute("DELETE FROM health WHERE every = ? AND time < ?", (every, stamp - kept * 1000))

    def since(self, minutes: int) -> list[Entry]:
        """The finest that there is of each time. In any thread, so by a connection of its own."""
        begin = (time.time() - 60 * minutes) * 1000
        with contextlib.closing(sqlite3.connect(self._path)) as database:
            rows = database.execute(
                "SELECT time, host, vms FROM health AS measured WHERE time >= ? AND NOT EXISTS"
                " (SELECT 1 FROM health WHERE every < measured.every AND time <= measured.time) ORDER BY time",
                (begin,),
            ).fetchall()
        return [Entry(_written(stamp), json.loads(host), json.loads(zlib.decompress(vms))) for stamp, host, vms in rows]


def _written(stamp: int) -> str:
    when = datetime.datetime.fromtimestamp(stamp / 1000, datetime.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
