# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions of managed machines in the node ``/archipel/definitions``: what a machine was, should its hypervisor die.

One item for each, without passwords, written when it has changed. libvirt tells of most changes by an event; what it
tells of by none is seen when all are looked at again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sqlite3
import typing as t

from archipel import parking
from archipel.errors import ArchipelError, InvalidArgument, NotFound, Unavailable
from archipel.hypervisor import Hypervisor
from slixmpp.exceptions import IqError

from ..libvirt_link import ARRIVING, LEFT, Link, MachineState
from ..pubsub import PubSub
from .events import Events, now

log = logging.getLogger(__name__)

NODE: t.Final = "/archipel/definitions"
# Definitions have some kilobytes each, and a page is one stanza.
PAGE: t.Final = 50
LOOK_AGAIN: t.Final = 600.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
# Whoever starts a thousand machines waits for that, and not for a look at their definitions.
AFTER_ACTIONS: t.Final = 1.0


@dataclasses.dataclass(frozen=True)
class Definition:
    """A machine as its hypervisor last had it: ``without`` says in words what is not kept."""

    uuid: str
    name: str
    hypervisor: str
    without: tuple[str, ...]
    xml: str
    autostart: bool

    @classmethod
    def bind(cls, untrusted: t.Mapping[str, t.Any]) -> Definition | None:
        """None where it is none: publishers are hypervisors, but perhaps of another version."""
        keys = ("uuid", "name", "hypervisor", "xml")
        texts = {key: text for key in keys if isinstance(text := untrusted.get(key), str)}
        without = untrusted.get("without")
        if len(texts) < len(keys) or not isinstance(without, list):
            return None
        return cls(**texts, without=tuple(map(str, without)), autostart=untrusted.get("autostart") is True)

    def as_data(self) -> dict[str, t.Any]:
        return {**dataclasses.asdict(self), "without": list(self.without)}


class Definitions:
    def __init__(self, link: Link, pubsub: PubSub, events: Events, database: sqlite3.Connection) -> None:
        self._link = link
        self._pubsub = pubsub
        # What was here when the agent last ran may be gone by now.
        self._dirty = {row["item"] for row in database.execute("SELECT item FROM published")} - {
            f"hypervisor:{link.name}"
        }
        self._there: dict[str, Definition | None] = {}
        self._pauses: dict[str, float] = {}
        self._later: asyncio.TimerHandle | None = None
        link.changed.append(self._changed)
        link.touched.append(self._mark)
        link.switched.append(self.resync)
        events.heard.append(self._heard)

    def resync(self) -> None:
        """Compare anew with what the server has."""
        self._there.clear()
        self._mark(*self._link.machines)

    async def run(self) -> None:
        """Look at all of them now and then."""
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            self._mark(*self._link.machines)

    def _changed(self, old: MachineState | None, new: MachineState | None) -> None:
        # Whether it runs is no part of what it is.
        if old is None or new is None or _standing(old) != _standing(new):
            self._mark(t.cast(MachineState, new or old).uuid)

    def _heard(self, event: t.Mapping[str, t.Any]) -> None:
        # libvirt has no event for autostart, nor for every change of a configuration.
        if event["type"] == "changed" and (here := self._link.machines.keys() & set(event["subjects"])):
            self._dirty.update(here)
            if self._later is None:
                self._later = asyncio.get_running_loop().call_later(AFTER_ACTIONS, self._look)

    def _look(self) -> None:
        self._later = None
        self._mark()

    def _mark(self, *uuids: str) -> None:
        self._dirty.update(uuids)
        if self._link.reachable:
            self._pubsub.wake(self)

    async def flush(self) -> None:
        if not self._link.reachable:
            return
        try:
            while self._dirty:
                page = sorted(self._dirty)[:PAGE]
                # What changes from here on is to be looked at once more.
                self._dirty.difference_update(page)
                try:
                    await self._write(page)
                except BaseException:
                    self._dirty.update(page)
                    raise
        except ArchipelError as error:
            log.debug("definitions wait for libvirt: %s", error)

    async def _write(self, page: t.Sequence[str]) -> None:
        found = await self._link.perform("reads", lambda hypervisor: _definitions(hypervisor, page))
        unknown = [uuid for uuid in found if uuid not in self._there]
        if unknown:
            there = await self._pubsub.items(NODE, unknown)
            self._there.update({uuid: Definition.bind(there.get(uuid, {})) for uuid in unknown})
        for uuid, definition in found.items():
            if definition is None:
                await self._retract(uuid)
            elif definition != self._there[uuid]:
                await self._publish(definition)

    async def _publish(self, definition: Definition) -> None:
        """The server lets nobody but an item's author rewrite it; a machine's former hypervisor retracts its own."""
        try:
            await self._pubsub.publish(NODE, definition.uuid, {**definition.as_data(), "updated": now()})
        except IqError as error:
            if error.condition != "forbidden":
                raise
            pause = self._pauses[definition.uuid] = min(
                self._pauses.get(definition.uuid, SHORTEST_PAUSE / 2) * 2, LONGEST_PAUSE
            )
            asyncio.get_running_loop().call_later(pause, self._mark, definition.uuid)
        else:
            self._pauses.pop(definition.uuid, None)
            self._there[definition.uuid] = definition

    async def _retract(self, uuid: str) -> None:
        # The item may be another hypervisor's by now.
        current = Definition.bind((await self._pubsub.items(NODE, [uuid])).get(uuid, {}))
        if current is not None and current.hypervisor == self._link.name:
            await self._pubsub.retract(NODE, uuid)
        self._there.pop(uuid, None)
        self._pauses.pop(uuid, None)


def _standing(state: MachineState) -> tuple[t.Any, ...]:
    return state.name, state.managed, state.persistent, state.arriving, state.left


def _definitions(hypervisor: Hypervisor, uuids: t.Iterable[str]) -> dict[str, Definition | None]:
    """By UUID; None for those that are not here or not managed. Those that arrive, or cannot be looked at, are left
    out."""
    found: dict[str, Definition | None] = {}
    for uuid in uuids:
        try:
            machine = hypervisor.machine(uuid=uuid)
            condition = machine.condition
            status = (condition.state, condition.reason)
            if status == ARRIVING:
                continue
            found[uuid] = None
            if status != LEFT and condition.persistent and machine.managed:
                kept = parking.kept(machine, condition)
                found[uuid] = Definition(
                    uuid, kept.name, hypervisor.name, tuple(kept.without), kept.xml, kept.autostart
                )
        except (InvalidArgument, NotFound):
            found[uuid] = None
        except Unavailable:
            raise
        except ArchipelError as error:
            log.warning("the definition of %s is not kept: %s", uuid, error.message)
    return found
