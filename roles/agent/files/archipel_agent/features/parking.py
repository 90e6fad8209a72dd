# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parked machines: definitions in the node ``/archipel/parked``, on no hypervisor (docs/protocol.md, Parking).

An item is written before the definition is taken off, and says ``left`` only afterwards. Whoever brings the machine
back first writes a second item, the claim. ejabberd lets nobody else write an item of that name, so there is one such
hypervisor; the claim says ``done`` when the machine is defined, and then the author of the first item retracts it, and
the claim's author the claim. What is interrupted in between is looked into by ``flush``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import secrets
import sqlite3
import typing as t

from archipel import parking
from archipel.actions import Phrase, action
from archipel.elements import Change
from archipel.errors import ArchipelError, Conflict, InvalidArgument, NotFound, Unavailable
from archipel.host import canonical_uuid
from archipel.plan import Plan
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import ET

from ..entity import Result
from ..libvirt_link import Link
from ..pubsub import EVENT, PubSub
from ..session import Session
from . import index
from .events import now

log = logging.getLogger(__name__)

NODE: t.Final = "/archipel/parked"
_CLAIM: t.Final = ":claim"

Name = t.Annotated[str | None, "Name of the machine."]
Uuid = t.Annotated[str | None, "UUID of the machine."]


@dataclasses.dataclass(frozen=True)
class Parked:
    """A machine's definition as it is kept: by which hypervisor, since when, and in words what it is without."""

    item: str
    uuid: str
    name: str
    hypervisor: str
    since: str
    without: tuple[str, ...]
    xml: str
    autostart: bool
    left: bool

    @classmethod
    def bind(cls, item: str, untrusted: t.Mapping[str, t.Any]) -> Parked | None:
        """None where it is no such item: publishers are hypervisors, but perhaps of another version."""
        try:
            texts = {key: untrusted[key] for key in ("uuid", "name", "hypervisor", "since", "xml")}
            if not all(isinstance(text, str) for text in texts.values()):
                return None
            return cls(
                item,
                **texts,
                without=tuple(map(str, untrusted["without"])),
                autostart=untrusted["autostart"] is True,
                left=untrusted["left"] is True,
            )
        except (KeyError, TypeError):
            return None

    def as_data(self) -> dict[str, t.Any]:
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "item"}


class Parking:
    def __init__(
        self, link: Link, session: Session, pubsub: PubSub, its_index: index.Index, database: sqlite3.Connection
    ) -> None:
        self._link = link
        self._pubsub = pubsub
        self._index = its_index
        self._database = database
        # One at a time: what is written and what is defined here do not change under one another.
        self._lock = asyncio.Lock()
        session.started.append(lambda: pubsub.wake(self))
        link.switched.append(lambda: pubsub.wake(self))
        pubsub.listen(self._heard)

    @action(
        permission="define",
        changes=True,
        phrases=("park {name}", Phrase("bring back {name}", {"state": "present"})),
        says="{msg}",
    )
    async def vm_park(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        state: t.Annotated[
            t.Literal["parked", "present"],
            "V(parked) takes the definition off this hypervisor, V(present) brings it back, on this hypervisor.",
        ] = "parked",
        force: t.Annotated[bool, "Bring it back though files of its disks are not found here."] = False,
        check: t.Annotated[bool, "Only tell what would change."] = False,
    ) -> Result:
        """Take a machine's definition off every hypervisor, or bring it back. Its disks stay where they are."""
        if not name and not uuid:
            raise InvalidArgument("Name the machine: give its name or its uuid.")
        wanted = canonical_uuid(uuid) if uuid else None
        try:
            async with self._lock:
                here = await self._link.perform("reads", lambda hypervisor: _state(hypervisor, name, wanted))
                if (here is None) == (state == "parked"):
                    return self._unchanged(here or _vm(await self._parked(name, wanted)))
                if here is not None:
                    return await self._park(here["uuid"], check=check)
                return await self._bring_back(await self._parked(name, wanted), force=force, check=check)
        except (IqError, IqTimeout) as error:
            raise _unavailable(error) from error
        finally:
            self._pubsub.wake(self)

    @action(
        permission="view",
        changes=False,
        phrases=("who is parked",),
        says=lambda r: (
            "\n".join(f"{vm['name']}: parked by {vm['hypervisor']} since {vm['since']}" for vm in r["vms"])
            or "Nobody is parked."
        ),
        lists="vms",
    )
    async def vm_park_info(self, *, name: Name = None, uuid: Uuid = None) -> Result:
        """Tell which machines are parked, on the whole platform."""
        wanted = canonical_uuid(uuid) if uuid else None
        try:
            found = await self._find(name, wanted)
        except (IqError, IqTimeout) as error:
            raise _unavailable(error) from error
        told = ("uuid", "name", "hypervisor", "since", "without")
        return {"changed": False, "vms": [{key: parked.as_data()[key] for key in told} for parked in found]}

    async def _find(self, name: str | None, uuid: str | None) -> list[Parked]:
        """The parked machines that fit, without those that are brought back."""
        there = await self._pubsub.payloads(NODE)
        found = [
            Parked.bind(item, payload)
            for item, payload in there.items()
            if not item.endswith(_CLAIM) and item + _CLAIM not in there
        ]
        fitting = [p for p in found if p is not None and name in (None, p.name) and uuid in (None, p.uuid)]
        return sorted(fitting, key=lambda parked: (parked.name, parked.uuid))

    async def _parked(self, name: str | None, uuid: str | None) -> Parked:
        found = await self._find(name, uuid)
        if not found:
            raise NotFound(f"There is no machine {name or uuid!r} on {self._link.name}, and none is parked.")
        if len(found) > 1:
            raise Conflict(f"{len(found)} parked machines are called {name!r}; say which one by its uuid.")
        return found[0]

    @staticmethod
    def _unchanged(vm: t.Mapping[str, t.Any]) -> Result:
        return {**Plan().result(vm["name"], check=False), "vm": vm, "warnings": []}

    @staticmethod
    def _changed(vm: dict[str, t.Any], old: str, new: str, warnings: t.Iterable[str], *, check: bool) -> Result:
        plan = Plan()
        plan.add([Change("state", old, new)], lambda: None)
        return {**plan.result(vm["name"], check=check), "vm": {**vm, "state": new}, "warnings": list(warnings)}

    # Away

    async def _park(self, uuid: str, *, check: bool) -> Result:
        kept = await self._link.perform("changes", lambda hypervisor: parking.export(hypervisor.machine(uuid=uuid)))
        parked = Parked(
            secrets.token_hex(8), uuid, kept.name, self._link.name, now(), tuple(kept.without), kept.xml,
            kept.autostart, left=False,
        )  # fmt: skip
        if not check:
            await self._write(parked.item, parked.as_data())
            await self._link.perform("changes", lambda hypervisor: parking.let_go(hypervisor.machine(uuid=uuid), kept))
            await self._write(parked.item, {**parked.as_data(), "left": True})
            await self._tell_index(uuid)
        return self._changed(_vm(parked), "shutoff", "parked", kept.without, check=check)

    # Back

    async def _bring_back(self, parked: Parked, *, force: bool, check: bool) -> Result:
        await self._refuse(parked, force=force)
        warnings = parked.without if parked.hypervisor != self._link.name else ()
        if not check:
            await self._claim(parked)
            await self._link.perform(
                "changes", lambda hypervisor: parking.define(hypervisor, parked.xml, autostart=parked.autostart)
            )
            await self._write(parked.item + _CLAIM, self._claimed(parked.uuid, done=True))
            await self._tell_index(parked.uuid)
        vm = {**_vm(parked), "hypervisor": self._link.name}
        return self._changed(vm, "parked", "shutoff", warnings, check=check)

    async def _tell_index(self, uuid: str) -> None:
        # What the server refuses now, the index tries again.
        with contextlib.suppress(IqError, IqTimeout):
            await self._index.refresh(uuid)

    async def _refuse(self, parked: Parked, *, force: bool) -> None:
        """What would fail, or harm, said before anything is done."""
        here = self._link.name
        if not parked.left:
            raise Conflict(f"{parked.name} is not parked yet: {parked.hypervisor} has not said that it has let it go.")
        holder = (await self._pubsub.items(index.NODE, [parked.uuid])).get(parked.uuid, {}).get("hypervisor", here)
        if holder != here:
            raise Conflict(f"By the index {parked.name} is on {holder}; two of one machine must not be. Look there.")
        namesake = await self._link.perform("reads", lambda hypervisor: hypervisor.find(name=parked.name))
        if namesake is not None:
            raise Conflict(f"{here} has another machine called {parked.name}.")
        missing = await self._link.perform("reads", lambda hypervisor: parking.missing(hypervisor, parked.xml))
        if missing and not force:
            raise Conflict(
                f"{parked.name} needs {', '.join(missing)}, in no active pool of {here}. Put it there and refresh the"
                f" pool, bring the machine back on {parked.hypervisor}, which had it, or use force: true."
            )

    def _claimed(self, uuid: str, *, done: bool) -> dict[str, t.Any]:
        return {"uuid": uuid, "hypervisor": self._link.name, "done": done}

    async def _claim(self, parked: Parked) -> None:
        claim = parked.item + _CLAIM
        try:
            await self._write(claim, self._claimed(parked.uuid, done=False))
        except IqError as error:
            if error.condition != "forbidden":
                raise
            raise Conflict(f"Another hypervisor brings {parked.name} back at this moment.") from None
        # As long as the item is there, nobody can have claimed it and be done; it may be gone since it was read.
        if not (await self._pubsub.items(NODE, [parked.item])).get(parked.item):
            raise Conflict(f"Another hypervisor has just brought {parked.name} back.")

    # What is left to do

    async def _write(self, item: str, payload: t.Mapping[str, t.Any]) -> None:
        """It is noted before, so that it is looked into whatever happens."""
        self._database.execute("INSERT OR IGNORE INTO parked VALUES (?)", (item,))
        await self._pubsub.publish(NODE, item, payload)

    async def _take_back(self, item: str) -> None:
        await self._pubsub.retract(NODE, item)
        self._forget(item)

    def _forget(self, item: str) -> None:
        self._database.execute("DELETE FROM parked WHERE item = ?", (item,))

    def _ours(self) -> list[str]:
        return [row["item"] for row in self._database.execute("SELECT item FROM parked")]

    def _heard(self, event: ET.Element) -> None:
        items = event.findall(f"{{{EVENT}}}items[@node='{NODE}']/*")
        heard = {(item.get("id") or "").removesuffix(_CLAIM) for item in items}
        if heard & {item.removesuffix(_CLAIM) for item in self._ours()}:
            self._pubsub.wake(self)

    async def flush(self) -> None:
        """End what was begun: each of our items, and the other one that belongs to it."""
        await self._pubsub.subscribe(NODE)
        if not self._link.reachable:
            return
        async with self._lock:
            for ours in self._ours():
                item = ours.removesuffix(_CLAIM)
                there = await self._pubsub.items(NODE, [item, item + _CLAIM])
                try:
                    await self._settle(ours, there.get(item), there.get(item + _CLAIM))
                except ArchipelError as error:
                    log.warning("what became of the parked machine of item %s is not known: %s", item, error.message)

    async def _settle(self, ours: str, parked: dict[str, t.Any] | None, claim: dict[str, t.Any] | None) -> None:
        mine = claim if ours.endswith(_CLAIM) else parked
        if mine is None or mine.get("hypervisor") != self._link.name:
            self._forget(ours)
            return
        here = await self._link.perform("reads", lambda hypervisor: _state(hypervisor, None, mine.get("uuid")))
        if mine is claim:
            if parked is None or not (mine.get("done") or here):
                await self._take_back(ours)
            elif not mine.get("done"):
                await self._write(ours, {**mine, "done": True})
        elif claim is not None and claim.get("done"):
            await self._take_back(ours)
        elif not mine.get("left"):
            if here:
                log.warning("%s was not parked; its definition is still here", mine.get("name"))
                await self._take_back(ours)
            else:
                await self._write(ours, {**mine, "left": True})


def _unavailable(error: IqError | IqTimeout) -> Unavailable:
    return Unavailable(
        f"{NODE} cannot be read or written: {error.format()}. The playbook site makes it, and lets hypervisors publish."
    )


def _state(hypervisor: t.Any, name: str | None, uuid: str | None) -> dict[str, t.Any] | None:
    found = hypervisor.find(name=name, uuid=uuid)
    if found is None:
        return None
    return {"name": found.name, "uuid": found.uuid, "hypervisor": hypervisor.name, "state": found.status[0]}


def _vm(parked: Parked) -> dict[str, t.Any]:
    return {"name": parked.name, "uuid": parked.uuid, "hypervisor": None, "state": "parked"}
