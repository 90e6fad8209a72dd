# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the hypervisor beside its name: its configuration's site and coordinates, its tags, and whether it is
in maintenance."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import typing as t

from archipel.tags import Tags

from ..config import Coordinates
from ..database import durably
from .events import now

TIMEOUT = 10


class Label:
    """A Label for the core, which tags in its worker threads. ``changed`` are called when the tags are others, or
    maintenance begins or ends."""

    def __init__(self, site: str | None, coordinates: Coordinates | None, database: sqlite3.Connection) -> None:
        self.site = site
        self.coordinates: t.Mapping[str, float] | None = (
            None if coordinates is None else dataclasses.asdict(coordinates)
        )
        self.changed: list[t.Callable[[], None]] = []
        self._database = database
        self._loop = asyncio.get_running_loop()
        self.tags: Tags = tuple(row["tag"] for row in database.execute("SELECT tag FROM tags ORDER BY tag"))
        mark = database.execute('SELECT since, "by" FROM maintenance').fetchone()
        self.maintenance: t.Mapping[str, str] | None = None if mark is None else dict(mark)

    def maintain(self, by: str | None) -> None:
        """Be in maintenance from now on, begun by that bare JID, or no more."""
        mark = None if by is None else {"since": now(), "by": by}
        with durably(self._database):
            self._database.execute("DELETE FROM maintenance")
            if mark is not None:
                self._database.execute("INSERT INTO maintenance VALUES (:since, :by)", mark)
        self.maintenance = mark
        self._tell()

    def tag(self, tags: Tags) -> None:
        asyncio.run_coroutine_threadsafe(self._keep(tags), self._loop).result(TIMEOUT)

    async def _keep(self, tags: Tags) -> None:
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute("DELETE FROM tags")
            self._database.executemany("INSERT INTO tags VALUES (?)", [(tag,) for tag in tags])
        self.tags = tags
        self._tell()

    def _tell(self) -> None:
        for callback in self.changed:
            callback()
