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

from archipel.actions import action
from archipel.errors import ArchipelError, InvalidArgument, NotFound, Unavailable
from archipel.host import canonical_uuid
from archipel.hypervisor import Hypervisor
from slixmpp.exceptions import IqError, IqTimeout

from .. import __version__
from ..authority import PEER
from ..entity import Result
from ..libvirt_link import ARRIVING, LEFT, Link, MachineState
from ..pubsub import PubSub
from .events import now
from .label import Label

log = logging.getLogger(__name__)

NODE: t.Final = "/archipel/machines"
PAGE = 100
# An item that another hypervisor holds is tried again after a tenth of the time that it has been held.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 60.0
# A machine gets its address some time after its start, and libvirt says nothing of it: seconds between looks.
LOOKS_FOR_ADDRESS: t.Final = (2, 4, 8, 16, 32, 64, 128)
ADDRESS_SOURCE: t.Final = "lease"
COPIED: t.Final = ("name", "state", "managed", "tags", "memory", "vcpus", "addresses")


class Index:
    """``guarded`` says whether machines are held back at boot until it is known whether they may start."""

    def __init__(
        self,
        link: Link,
        jid: str,
        label: Label,
        pubsub: PubSub,
        database: sqlite3.Connection,
        *,
        guarded: bool,
    ) -> None:
        self._link = link
        self._jid = jid
        self._guarded = guarded
        self._pubsub = pubsub
        self._database = database
        self._own = f"hypervisor:{link.name}"
        self._dirty: set[str] = set()
        # What the server has of ours, without `updated`; to be read when it may have become another.
        self._there: dict[str, dict[str, t.Any]] = {}
        self._stale = True
        self._looks: dict[str, asyncio.TimerHandle] = {}
        # Items of ours that another hypervisor still holds: since when, and when we try again.
        self._held: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self._flushing = asyncio.Lock()
        link.changed.append(self._changed)
        link.switched.append(self.resync)
        label.changed.append(lambda: self._mark(self._own))

    @action(permission=PEER, changes=False, name="takeover", says="{msg}")
    async def answer_takeover(self, *, uuid: t.Annotated[str, "UUID of the machine."]) -> Result:
        """Look again at a machine that a peer has let go, and put it into the index if it is here."""
        item = canonical_uuid(uuid)
        try:
            await self.refresh(item)
        except (IqError, IqTimeout) as error:
            raise Unavailable(f"{self._link.name} cannot write the index: {error.format()}") from error
        indexed = self._there.get(item, {}).get("hypervisor") == self._link.name
        msg = f"By the index {item} is {'' if indexed else 'not '}on {self._link.name}."
        return {"changed": False, "msg": msg, "indexed": indexed}

    async def refresh(self, item: str) -> None:
        """Look again and write what differs, now; what the server refuses is tried again later."""
        self._no_longer_held(item)
        self._mark(item)
        await self.flush()

    def resync(self) -> None:
        """Begin anew: read what the server has, and mend it; at any moment, also while it is being written."""
        self._stale = True
        if self._link.reachable:
            self._pubsub.wake(self)

    def _changed(self, old: MachineState | None, new: MachineState | None) -> None:
        state = new or old
        assert state is not None
        self._no_longer_held(state.uuid)
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
        if state is not None and state.state == "running" and not self._there.get(uuid, {}).get("addresses"):
            self._mark(uuid)
            self._look_later(uuid, pauses)

    async def flush(self) -> None:
        if not self._link.reachable:
            # What the server has stays as it is; it is mended when libvirt can tell again.
            return
        async with self._flushing:
            try:
                while self._stale or self._dirty:
                    if self._stale:
                        await self._read()
                    await self._write_page(sorted(self._dirty)[:PAGE])
            except ArchipelError as error:
                log.debug("the index waits for libvirt: %s", error)

    async def _write_page(self, items: t.Sequence[str]) -> None:
        # What changes from here on is to be looked at once more.
        self._dirty.difference_update(items)
        try:
            for item, payload in (await self._describe(items)).items():
                await self._write(item, payload)
        except BaseException:
            self._dirty.update(items)
            raise

    async def _read(self) -> None:
        known = {row["item"] for row in self._database.execute("SELECT item FROM published")}
        wanted = sorted(known | set(self._link.machines) | {self._own})
        there: dict[str, dict[str, t.Any]] = {}
        self._stale = False
        try:
            for page in _pages(wanted):
                there.update(await self._pubsub.items(NODE, page))
        except BaseException:
            self._stale = True
            raise
        for payload in there.values():
            payload.pop("updated", None)
        self._there = there
        self._dirty.update(wanted)

    async def _describe(self, items: t.Sequence[str]) -> dict[str, dict[str, t.Any] | None]:
        uuids = [item for item in items if item != self._own]
        found = await self._link.perform("reads", lambda hypervisor: _machines(hypervisor, uuids))
        if self._own in items:
            found[self._own] = await self._link.perform("reads", self._hypervisor)
        return found

    def _hypervisor(self, hypervisor: Hypervisor) -> dict[str, t.Any]:
        told = hypervisor.hypervisor_info()["hypervisor"]
        return {
            "kind": "hypervisor",
            "name": hypervisor.name,
            "jid": self._jid,
            **{key: told[key] for key in ("site", "coordinates", "maintenance", "tags", "hostname")},
            **{key: told[key] for key in ("type", "cpus", "memory", "libvirt_version")},
            "agent_version": __version__,
            "guard": self._guarded,
            "machines": told["machines"]["total"],
        }

    async def _write(self, item: str, payload: dict[str, t.Any] | None) -> None:
        there = self._there.get(item)
        if payload is not None and there != payload:
            self._database.execute("INSERT OR IGNORE INTO published VALUES (?)", (item,))
            if await self._publish(item, {**payload, "updated": now()}):
                self._there[item] = payload
        elif payload is None:
            # The item may be another hypervisor's by now.
            current = (await self._pubsub.items(NODE, [item])).get(item)
            if current is not None and current.get("hypervisor") == self._link.name:
                await self._pubsub.retract(NODE, item)
            self._no_longer_held(item)
            self._there.pop(item, None)
            self._database.execute("DELETE FROM published WHERE item = ?", (item,))

    async def _publish(self, item: str, payload: t.Mapping[str, t.Any]) -> bool:
        """Whether the item is ours now. ejabberd lets only the author of an item, or the node's owner, write it again;
        after a migration the source retracts it, and tells us where an action moved the machine."""
        try:
            await self._pubsub.publish(NODE, item, payload)
        except IqError as error:
            if error.condition != "forbidden":
                raise
            current = (await self._pubsub.items(NODE, [item])).get(item)
            if current is not None:
                self._try_later(item, current.get("hypervisor"))
                return False
            # It was retracted this moment.
            await self._pubsub.publish(NODE, item, payload)
        self._no_longer_held(item)
        return True

    def _try_later(self, item: str, holder: t.Any) -> None:
        loop = asyncio.get_running_loop()
        since = self._held[item][0] if item in self._held else loop.time()
        self._no_longer_held(item)
        pause = max(SHORTEST_PAUSE, (loop.time() - since) / 10)
        if pause > LONGEST_PAUSE:
            pause = LONGEST_PAUSE
            log.warning(
                "the index says that %s is on %s, which does not take it back. If that hypervisor is gone, retract the"
                " item of %s as the node's owner.", item, holder, NODE,
            )  # fmt: skip
        self._held[item] = (since, loop.call_later(pause, self._mark, item))

    def _no_longer_held(self, item: str) -> None:
        if item in self._held:
            self._held.pop(item)[1].cancel()


def _pages(items: t.Sequence[str]) -> t.Iterator[t.Sequence[str]]:
    return (items[i : i + PAGE] for i in range(0, len(items), PAGE))


def _machines(hypervisor: Hypervisor, uuids: t.Iterable[str]) -> dict[str, dict[str, t.Any] | None]:
    """Their items by UUID; None for those that are not here, or for which another hypervisor speaks; those that cannot
    be looked at, or that arrive, are left out."""
    found: dict[str, dict[str, t.Any] | None] = {}
    for uuid in uuids:
        try:
            told = hypervisor.machine(uuid=uuid).describe(addresses=ADDRESS_SOURCE)
        except (InvalidArgument, NotFound):
            found[uuid] = None
            continue
        except Unavailable:
            raise
        except ArchipelError as error:
            log.warning("the index does not follow %s: %s", uuid, error.message)
            continue
        if (told["state"], told["reason"]) == ARRIVING:
            # Or it is taken back to memory that was kept (a snapshot, a managed save), which to libvirt is the same.
            # Whoever speaks for it does so until it runs.
            continue
        if (told["state"], told["reason"]) == LEFT:
            found[uuid] = None
            continue
        found[uuid] = {
            "kind": "machine",
            "uuid": uuid,
            "hypervisor": hypervisor.name,
            **{key: told[key] for key in COPIED},
            **{key: told["metadata"][key] for key in ("title", "description")},
        }
    return found
