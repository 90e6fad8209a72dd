# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's schedules go where the machine goes, whoever moved it: not lost and not run twice, whichever side dies
when (docs/protocol.md, Schedules that move)."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
import typing as t

import slixmpp
from archipel.actions import action
from archipel.errors import ArchipelError, InvalidArgument, OperationFailed, Unavailable
from archipel.host import canonical_uuid

from ..authority import PEER
from ..database import durably
from ..entity import Result
from ..libvirt_link import Link, MachineState
from ..recurrence import instant
from .events import now
from .orders import Order, Schedule
from .peers import Peers
from .timetable import Timetable

log = logging.getLogger(__name__)

# A machine that has gone may not have settled where it is: seconds between attempts. After them the clock asks.
PAUSES: t.Final = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
# Tokens that are remembered: who offers a second time does so before so many others have.
REMEMBERED: t.Final = 10_000


class Succession:
    """Both sides: ``hand_over`` of the one that a machine has left, ``inherit`` of the one where it is."""

    def __init__(self, timetable: Timetable, link: Link, peers: Peers) -> None:
        self._timetable = timetable
        self._store = timetable.store
        self._link = link
        self._peers = peers
        self._following: dict[str, asyncio.Task[None]] = {}
        self._handing = asyncio.Lock()
        link.changed.append(self._changed)
        link.switched.append(self._switched)

    # What a peer asks of us

    @action(permission=PEER, changes=False, name="inherit", says="{msg}")
    async def answer_inherit(
        self,
        *,
        uuid: t.Annotated[str, "UUID of the machine."],
        token: t.Annotated[str, "What this attempt is known by; the same again has the same answer."],
        schedules: t.Annotated[list[dict] | None, "The machine's schedules; none, if it has none."] = None,
    ) -> Result:
        """Take over the schedules of a machine that has come from a peer."""
        uuid = canonical_uuid(uuid)
        inherited = [_bound(uuid, untrusted) for untrusted in schedules or ()]
        database = self._store.database
        row = database.execute("SELECT taken FROM inherited WHERE token = ?", (token,)).fetchone()
        taken = bool(row["taken"]) if row else self._timetable.is_here(uuid)
        if row is None:
            with durably(self._store.database):
                database.execute("INSERT INTO inherited VALUES (?, ?, ?)", (token, taken, now()))
                database.execute(
                    "DELETE FROM inherited WHERE token NOT IN (SELECT token FROM inherited ORDER BY time DESC LIMIT ?)",
                    (REMEMBERED,),
                )
                for schedule in inherited if taken else ():
                    there = self._store.get(schedule.key)
                    # What somebody has made here since then stays; what we had before the machine left does not.
                    if there is None or there.leaving:
                        self._store.put(schedule)
            self._timetable.wake()
        msg = f"The schedules of {uuid} are {'' if taken else 'not '}{self._link.name}'s."
        return {"changed": False, "msg": msg, "taken": taken}

    # What we ask of peers

    def follow(self, uuid: str) -> None:
        if uuid not in self._following and self._to_go(uuid):
            task = asyncio.get_running_loop().create_task(self._follow(uuid), name=f"schedules of {uuid}")
            self._following[uuid] = task
            task.add_done_callback(lambda _task: self._following.pop(uuid, None))

    def _changed(self, old: MachineState | None, new: MachineState | None) -> None:
        state = new or old
        assert state is not None
        self.follow(state.uuid)

    def _switched(self) -> None:
        if self._link.reachable:
            for uuid in {schedule.machine for schedule in self._store.all("machine != ''")}:
                self.follow(uuid)

    async def _follow(self, uuid: str) -> None:
        for pause in PAUSES:
            await asyncio.sleep(pause)
            if not self._to_go(uuid):
                return
            try:
                await self.hand_over(uuid)
            except Unavailable as error:
                log.debug("the schedules of %s stay for now: %s", uuid, error.message)

    def _to_go(self, uuid: str) -> list[Schedule]:
        """What is to be handed over; what runs goes when it has ended."""
        here = self._link.reachable and self._timetable.is_here(uuid)
        found = self._store.all("machine = ?", uuid)
        return [
            schedule
            for schedule in found
            if (schedule.leaving or not here) and not (schedule.last and schedule.last["outcome"] == "running")
        ]

    async def hand_over(self, uuid: str) -> str | None:
        async with self._handing:
            await self._settle(uuid)
            if not self._to_go(uuid):
                return None
            there, silent = await self._where(uuid)
            for name in there:
                self._mark(self._to_go(uuid), name, secrets.token_hex(16))
                await self._settle(uuid)
                if not self._to_go(uuid):
                    return None
            if silent:
                raise Unavailable(f"The machine is not on {self._link.name}, and {', '.join(silent)} cannot be asked.")
            return f"The machine is neither on {self._link.name} nor on another hypervisor."

    async def _settle(self, uuid: str) -> None:
        """Offer what is marked until there is an answer: before that it is neither ours nor theirs."""
        marked: dict[tuple[str, str], list[Schedule]] = {}
        for schedule in self._to_go(uuid):
            if schedule.leaving and schedule.token:
                marked.setdefault((schedule.leaving, schedule.token), []).append(schedule)
        for (name, token), schedules in marked.items():
            told = [{key: getattr(s, key) for key in _TOLD} | {"order": dataclasses.asdict(s.order)} for s in schedules]
            try:
                answer = await self._peers.ask(name, "inherit", {"uuid": uuid, "token": token, "schedules": told})
            except (Unavailable, OperationFailed) as error:
                # It may have been taken over before that failed.
                raise Unavailable(f"The schedules of the machine go to {name}. {error.message}") from None
            except ArchipelError as error:
                log.warning("%s does not take over the schedules of %s: %s", name, uuid, error.message)
                answer = {"taken": False}
            if answer.get("taken") is True:
                self._drop(token)
                log.info("%s has taken over %d schedules of %s", name, len(schedules), uuid)
            else:
                self._mark(schedules, None, None)

    def _mark(self, schedules: t.Iterable[Schedule], leaving: str | None, token: str | None) -> None:
        with durably(self._store.database):
            for schedule in schedules:
                self._store.database.execute(
                    "UPDATE schedules SET leaving = ?, token = ? WHERE machine = ? AND name = ?",
                    (leaving, token, *schedule.key),
                )

    def _drop(self, token: str) -> None:
        with durably(self._store.database):
            self._store.database.execute("DELETE FROM schedules WHERE token = ?", (token,))

    async def _where(self, uuid: str) -> tuple[list[str], list[str]]:
        """The peers that know the machine, and those that cannot be asked."""
        names = [slixmpp.JID(jid).local for jid in self._peers.jids]
        asked = await asyncio.gather(
            *(self._peers.ask(name, "destination", {"uuid": uuid}) for name in names), return_exceptions=True
        )
        there = [
            name for name, answer in zip(names, asked, strict=True) if isinstance(answer, dict) and answer["present"]
        ]
        silent = [name for name, answer in zip(names, asked, strict=True) if isinstance(answer, Unavailable)]
        return there, silent


_TOLD: t.Final = ("name", "machine_name", "author", "next", "last")


def _bound(uuid: str, untrusted: t.Mapping[str, t.Any]) -> Schedule:
    """A schedule as a peer tells it, which is trusted to tell the author: it could as well ask libvirt itself."""
    try:
        order = Order(**untrusted["order"])
        author = slixmpp.JID(untrusted["author"]).bare
        told = {key: untrusted[key] for key in _TOLD if key != "author"}
        if not author or not isinstance(told["name"], str):
            raise ValueError
        if told["next"] is not None:
            instant(told["next"], "next")
    except (ArchipelError, KeyError, TypeError, ValueError, slixmpp.InvalidJID):
        raise InvalidArgument("schedules: one of them is none; does the peer have the same version?") from None
    return Schedule(machine=uuid, author=author, order=order, **told)
