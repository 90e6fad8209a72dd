# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of machines in the node ``/archipel/machines``: what inventory reads (docs/protocol.md).

One item for each machine that is defined here, and one for the hypervisor. What the server has is read when the
session comes up; from then on only what differs is written.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import typing as t

from archipel.errors import ArchipelError, NotFound, Unavailable
from archipel.hypervisor import Hypervisor
from slixmpp.exceptions import IqError

from .. import __version__
from ..libvirt_link import Link, MachineState
from ..pubsub import PubSub
from .events import now

log = logging.getLogger(__name__)

NODE: t.Final = "/archipel/machines"
PAGE = 100
LONGEST_PAUSE = 60.0
# A machine gets its address some time after its start, and libvirt says nothing of it: seconds between looks.
LOOKS_FOR_ADDRESS: t.Final = (2, 4, 8, 16, 32, 64, 128)
ADDRESS_SOURCE: t.Final = "lease"
COPIED: t.Final = ("name", "state", "managed", "memory", "vcpus", "addresses")


class Index:
    def __init__(self, link: Link, jid: str, pubsub: PubSub, database: sqlite3.Connection) -> None:
        self._link = link
        self._jid = jid
        self._pubsub = pubsub
        self._database = database
        self._own = f"hypervisor:{link.name}"
        self._dirty: set[str] = set()
        # What the server has of ours, without `updated`; None until it has been read.
        self._there: dict[str, dict[str, t.Any]] | None = None
        self._looks: dict[str, asyncio.TimerHandle] = {}
        # Items that another hypervisor still holds: how long we wait before we try again.
        self._forbidden: dict[str, float] = {}
        link.changed.append(self._changed)
        link.switched.append(self.resync)

    def resync(self) -> None:
        """Begin anew: read what the server has, and mend it."""
        self._there = None
        if self._link.reachable:
            self._pubsub.wake(self)

    def _changed(self, old: MachineState | None, new: MachineState | None) -> None:
        state = new or old
        assert state is not None
        self._mark(state.uuid, *([self._own] if old is None or new is None else []))
        if new is not None and new.state == "running" and (old is None or old.state != "running"):
            self._look_later(new.uuid, iter(LOOKS_FOR_ADDRESS))

    def _mark(self, *items: str) -> None:
        self._dirty.update(items)
        self._pubsub.wake(self)

    def _look_later(self, uuid: str, pauses: t.Iterator[int]) -> None:
        pause = next(pauses, None)
        if uuid in self._looks:
            self._looks.pop(uuid).cancel()
        if pause is not None:
            self._looks[uuid] = asyncio.get_running_loop().call_later(pause, self._look, uuid, pauses)

    def _look(self, uuid: str, pauses: t.Iterator[int]) -> None:
        del self._looks[uuid]
        state = self._link.machines.get(uuid)
        if state is not None and state.state == "running" and not (self._there or {}).get(uuid, {}).get("addresses"):
            self._mark(uuid)
            self._look_later(uuid, pauses)

    async def flush(self) -> None:
        if not self._link.reachable:
            # What the server has stays as it is; it is mended when libvirt can tell again.
            return
        try:
            if self._there is None:
                await self._read()
            while self._dirty:
                items = sorted(self._dirty)[:PAGE]
                described = await self._describe(items)
                for item, payload in described.items():
                    await self._write(item, payload)
                self._dirty.difference_update(items)
        except ArchipelError as error:
            log.debug("the index waits for libvirt: %s", error)

    async def _read(self) -> None:
        known = {row["item"] for row in self._database.execute("SELECT item FROM published")}
        wanted = sorted(known | set(self._link.machines) | {self._own})
        there: dict[str, dict[str, t.Any]] = {}
        for page in _pages(wanted):
            there.update(await self._pubsub.items(NODE, page))
        for payload in there.values():
            payload.pop("updated", None)
        self._there = there
        self._dirty.update(wanted)

    async def _describe(self, items: t.Sequence[str]) -> dict[str, dict[str, t.Any] | None]:
        here = [item for item in items if (state := self._link.machines.get(item)) and not state.away]
        found: dict[str, dict[str, t.Any] | None] = dict.fromkeys(set(items) - set(here))
        found.update(await self._link.perform("reads", lambda hypervisor: _machines(hypervisor, here)))
        if self._own in items:
            found[self._own] = await self._link.perform("reads", self._hypervisor)
        return found

    def _hypervisor(self, hypervisor: Hypervisor) -> dict[str, t.Any]:
        told = hypervisor.hypervisor_info()["hypervisor"]
        return {
            "kind": "hypervisor",
            "name": hypervisor.name,
            "jid": self._jid,
            **{key: told[key] for key in ("hostname", "type", "cpus", "memory", "libvirt_version")},
            "agent_version": __version__,
            "machines": told["machines"]["total"],
        }

    async def _write(self, item: str, payload: dict[str, t.Any] | None) -> None:
        assert self._there is not None
        there = self._there.get(item)
        if payload is not None and there != payload:
            self._database.execute("INSERT OR IGNORE INTO published VALUES (?)", (item,))
            try:
                await self._pubsub.publish(NODE, item, {**payload, "updated": now()})
            except IqError as error:
                if error.condition != "forbidden" or not await self._is_of_another(item):
                    raise
                return
            self._there[item] = payload
            self._forbidden.pop(item, None)
        elif payload is None:
            # The item may be another hypervisor's by now.
            current = (await self._pubsub.items(NODE, [item])).get(item)
            if current is not None and current.get("hypervisor") == self._link.name:
                await self._pubsub.retract(NODE, item)
            self._there.pop(item, None)
            self._database.execute("DELETE FROM published WHERE item = ?", (item,))

    async def _is_of_another(self, item: str) -> bool:
        """Whether another hypervisor wrote the item. ejabberd lets only the author of an item, or the node's owner,
        write it again; after a migration the source retracts it, so we try again a little later."""
        current = (await self._pubsub.items(NODE, [item])).get(item)
        if current is None or current.get("hypervisor") in (None, self._link.name):
            return False
        pause = self._forbidden.get(item, 0.125) * 2
        self._forbidden[item] = min(pause, LONGEST_PAUSE)
        if pause > LONGEST_PAUSE:
            log.warning(
                "the index says that %s is on %s, which does not take it back. If that hypervisor is gone, retract the"
                " item of %s as the node's owner.", item, current["hypervisor"], NODE,
            )  # fmt: skip
        asyncio.get_running_loop().call_later(self._forbidden[item], self._mark, item)
        return True


def _pages(items: t.Sequence[str]) -> t.Iterator[t.Sequence[str]]:
    return (items[i : i + PAGE] for i in range(0, len(items), PAGE))


def _machines(hypervisor: Hypervisor, uuids: t.Iterable[str]) -> dict[str, dict[str, t.Any] | None]:
    """Their items by UUID; None for those that are not defined here; those that cannot be looked at are left out."""
    found: dict[str, dict[str, t.Any] | None] = {}
    for uuid in uuids:
        try:
            told = hypervisor.machine(uuid=uuid).describe(addresses=ADDRESS_SOURCE)
        except NotFound:
            found[uuid] = None
            continue
        except Unavailable:
            raise
        except ArchipelError as error:
            log.warning("the index does not follow %s: %s", uuid, error.message)
            continue
        found[uuid] = {
            "kind": "machine",
            "uuid": uuid,
            "hypervisor": hypervisor.name,
            **{key: told[key] for key in COPIED},
            **{key: told["metadata"][key] for key in ("title", "description")},
        }
    return found
