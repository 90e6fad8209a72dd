# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of a dead hypervisor come up here; or this one was it, and finds out (docs/protocol.md, Re-homing).

An administrator writes the fence, one item for the hypervisor that is dead, into a node that hypervisors only read. Who
takes one of its machines over writes a claim, an item that the server then lets nobody else write. A hypervisor that is
back says so before it looks at the claims, and who claims looks for that afterwards: one of the two sees the other,
whatever the order.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import typing as t

from archipel import parking
from archipel.actions import SECRET, action
from archipel.elements import Change
from archipel.errors import ArchipelError, Conflict, InvalidArgument, NotFound, Unavailable
from archipel.host import canonical_uuid
from archipel.hypervisor import Hypervisor
from archipel.lifecycle import RUNNING
from archipel.plan import Plan
from archipel.rehoming import give_up, to_start
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import ET

from ..accounts import Accounts
from ..config import Guard
from ..entity import Result
from ..libvirt_link import Link
from ..pubsub import EVENT, PubSub
from ..session import Session
from . import definitions
from .definitions import Definition
from .events import Events

log = logging.getLogger(__name__)

FENCES: t.Final = "/archipel/fences"
NODE: t.Final = "/archipel/rehomed"
# A file system keeps the locks of a client that is gone for a while: GlusterFS 42 s, NFSv4 90 s.
LOCKS_GO: t.Final = 150.0
LOCK_PAUSE: t.Final = 3.0
# In the words of QEMU, virtlockd and sanlock.
LOCKED: t.Final = re.compile(r"\block\b")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A machine of ``source`` is ``hypervisor``'s from now on; ``done`` when it is defined there."""

    uuid: str
    source: str
    hypervisor: str
    fence: str
    done: bool

    @classmethod
    def bind(cls, untrusted: t.Mapping[str, t.Any]) -> Claim | None:
        """None where it is none."""
        keys = ("uuid", "source", "hypervisor", "fence")
        texts = {key: text for key in keys if isinstance(text := untrusted.get(key), str)}
        return cls(**texts, done=untrusted.get("done") is True) if len(texts) == len(keys) else None

    @property
    def item(self) -> str:
        return f"{self.source}:{self.uuid}"

    def as_data(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


def back(hypervisor: str) -> str:
    """The item by which a hypervisor says that it is back behind a fence."""
    return f"hypervisor:{hypervisor}"


class Rehoming:
    """``guard`` is the setting: where machines are held back at boot until it is known whether they may start."""

    def __init__(
        self,
        link: Link,
        session: Session,
        pubsub: PubSub,
        events: Events,
        accounts: Accounts,
        guard: Guard | None,
    ) -> None:
        self._link = link
        self._pubsub = pubsub
        self._events = events
        self._accounts = accounts
        self._guard = guard
        # Whether machines of this hypervisor are being claimed by others.
        self._waits = False
        # One at a time: what is claimed and what is given up do not change under one another.
        self._lock = asyncio.Lock()
        session.started.append(lambda: pubsub.wake(self))
        link.switched.append(lambda: pubsub.wake(self))
        pubsub.listen(self._heard)

    @action(permission="rehome", changes=True, says="{msg}")
    async def rehome(
        self,
        *,
        uuid: t.Annotated[str, "UUID of the machine."],
        source: t.Annotated[str, "Name of the dead hypervisor."],
        fence: t.Annotated[str, "Which fence this one is behind; of no use in check mode."] = "",
        start: t.Annotated[bool, "Start the machine when it is here."] = True,
        password: t.Annotated[str | None, "Password of the machine's account, where it was set anew.", SECRET] = None,
        check: t.Annotated[bool, "Only tell what would change."] = False,
    ) -> Result:
        """Take over a machine of a dead hypervisor behind a fence, as it was last defined there."""
        wanted = canonical_uuid(uuid)
        try:
            async with self._lock:
                return await self._rehome(wanted, source, fence, start=start, password=password, check=check)
        except (IqError, IqTimeout) as error:
            raise Unavailable(
                f"{NODE} and the like cannot be read or written: {error.format()}. The playbook site makes them."
            ) from error
        finally:
            self._pubsub.wake(self)

    async def _rehome(
        self, uuid: str, source: str, fence: str, *, start: bool, password: str | None, check: bool
    ) -> Result:
        here = self._link.name
        if source == here:
            raise InvalidArgument(f"source: {here} is this hypervisor itself.")
        ours = Claim(uuid, source, here, fence, done=True)
        mine = Claim.bind((await self._pubsub.items(NODE, [ours.item])).get(ours.item, {})) == ours
        state = await self._link.perform("reads", lambda hypervisor: _state(hypervisor, uuid))
        plan, name = Plan(), uuid
        without: tuple[str, ...] = ()
        if mine and state is not None:
            name = self._link.machines[uuid].name if uuid in self._link.machines else uuid
        else:
            definition = await self._definition(uuid, source)
            name, without = definition.name, definition.without
            if state is not None:
                raise Conflict(f"{name} is here on {here} already, {state}, and nobody has re-homed it. Look there.")
            await self._refuse(definition)
            plan.add([Change("hypervisor", source, here)], lambda: None)
            if not check:
                await self._take_over(definition, dataclasses.replace(ours, done=False), password)
            state = "shutoff"
        if start and state not in RUNNING:
            plan.add([Change("state", state, "running", "live")], lambda: None)
            if not check:
                await self._start(uuid, plan)
        vm = {"name": name, "uuid": uuid, "hypervisor": here, "state": "running" if start else state}
        return {**plan.result(name, check=check), "vm": vm, "warnings": list(without)}

    async def _start(self, uuid: str, plan: Plan) -> None:
        """Start it, as soon as the storage has let go of what the dead hypervisor had locked."""
        end = asyncio.get_running_loop().time() + LOCKS_GO
        while True:
            try:
                await self._link.perform("changes", lambda hypervisor: hypervisor.machine(uuid=uuid).start())
                return
            except ArchipelError as error:
                if not LOCKED.search(error.message) or asyncio.get_running_loop().time() > end:
                    error.changes = [change.as_data() for change in plan.changes[:-1]]
                    raise
                log.info("%s waits for the storage: %s", uuid, error.message)
            await asyncio.sleep(LOCK_PAUSE)

    async def _definition(self, uuid: str, source: str) -> Definition:
        found = Definition.bind((await self._pubsub.items(definitions.NODE, [uuid])).get(uuid, {}))
        if found is None or (found.uuid, found.hypervisor) != (uuid, source):
            raise NotFound(
                f"Nobody has kept what {uuid} was on {source}: there is no such item in {definitions.NODE}. Definitions"
                " of managed machines are kept."
            )
        return found

    async def _refuse(self, definition: Definition) -> None:
        """What would fail, or harm, said before anything is done."""
        here = self._link.name
        namesake = await self._link.perform("reads", lambda hypervisor: hypervisor.find(name=definition.name))
        if namesake is not None:
            raise Conflict(f"{here} has another machine called {definition.name}.")
        missing = await self._link.perform("reads", lambda hypervisor: parking.missing(hypervisor, definition.xml))
        if missing:
            raise Conflict(
                f"{definition.name} needs {', '.join(missing)}, in no active pool of {here}. Only what is on shared or"
                " replicated storage can be re-homed; start and refresh the pool, or choose another destination."
            )

    async def _take_over(self, definition: Definition, claim: Claim, password: str | None) -> None:
        fences = await self._pubsub.items(FENCES, [claim.source])
        if not claim.fence or fences.get(claim.source, {}).get("fence") != claim.fence:
            raise Conflict(
                f"{claim.source} is not behind the fence {claim.fence!r}. Fence it first (hypervisor_rehome)."
            )
        try:
            await self._pubsub.publish(NODE, claim.item, claim.as_data())
        except IqError as error:
            if error.condition != "forbidden":
                raise
            raise Conflict(f"Another hypervisor has claimed {definition.name}, or is about to.") from None
        try:
            if (await self._back(claim.source)).get("fence") == claim.fence:
                raise Conflict(f"{claim.source} has come back behind this fence, and has {definition.name}.")
            if password is not None:
                self._accounts.note(claim.uuid, password)
            await self._link.perform(
                "changes", lambda h: parking.define(h, definition.xml, autostart=definition.autostart)
            )
        except ArchipelError:
            await self._pubsub.retract(NODE, claim.item)
            raise
        await self._pubsub.publish(NODE, claim.item, {**claim.as_data(), "done": True})

    async def _back(self, hypervisor: str) -> dict[str, t.Any]:
        item = back(hypervisor)
        return (await self._pubsub.items(NODE, [item])).get(item, {})

    # What is left to do

    def _heard(self, event: ET.Element) -> None:
        for items in event.iter(f"{{{EVENT}}}items"):
            ids = {item.get("id") or "" for item in items}
            hosts = any(id_.startswith(back("")) for id_ in ids)
            if (items.get("node") == FENCES and self._link.name in ids) or (
                items.get("node") == NODE and (hosts or self._waits)
            ):
                self._pubsub.wake(self)

    async def flush(self) -> None:
        """End what was begun here, and find out whether this hypervisor was fenced."""
        for node in (FENCES, NODE):
            await self._pubsub.subscribe(node)
        if not self._link.reachable:
            return
        async with self._lock:
            there = await self._pubsub.payloads(NODE)
            claims = [claim for payload in there.values() if (claim := Claim.bind(payload)) is not None]
            try:
                for claim in claims:
                    if claim.hypervisor == self._link.name:
                        await self._settle(claim, there.get(back(claim.source), {}))
                if await self._returned(there.get(back(self._link.name), {})):
                    await self._release()
            except ArchipelError as error:
                log.warning("what became of re-homed machines is not known: %s", error.message)

    async def _settle(self, claim: Claim, source: t.Mapping[str, t.Any]) -> None:
        """A claim of ours: as far as it was carried out, and no longer than its fence stands."""
        if claim.done and (source.get("fence"), source.get("settled")) == (claim.fence, True):
            await self._pubsub.retract(NODE, claim.item)
        elif not claim.done:
            here = await self._link.perform("reads", lambda hypervisor: _state(hypervisor, claim.uuid))
            if here is None:
                await self._pubsub.retract(NODE, claim.item)
            else:
                await self._pubsub.publish(NODE, claim.item, {**claim.as_data(), "done": True})

    async def _returned(self, said: t.Mapping[str, t.Any]) -> bool:
        """Whether nothing of a fence is left for this hypervisor to do; what others have taken over, goes."""
        name = self._link.name
        fence = (await self._pubsub.items(FENCES, [name])).get(name, {}).get("fence")
        if not isinstance(fence, str) or (said.get("fence") == fence and said.get("settled") is True):
            return True
        if said.get("fence") != fence:
            log.warning("%s was fenced; machines that others have taken over are given up", name)
            # Before we look at the claims: from here on nobody claims any more.
            await self._pubsub.publish(NODE, back(name), {"hypervisor": name, "fence": fence, "settled": False})
        found = map(Claim.bind, (await self._pubsub.payloads(NODE)).values())
        claims = [claim for claim in found if claim is not None and (claim.source, claim.fence) == (name, fence)]
        taken = [claim.uuid for claim in claims if claim.done]
        gone = await self._link.perform("changes", lambda hypervisor: _give_up(hypervisor, taken))
        if gone:
            self._events.publish("rehomed", fence=fence, machines=gone)
        self._waits = len(taken) < len(claims)
        if self._waits:
            # We hear of it when they are done, or taken back.
            log.warning("%d machines are being claimed by others at this moment; they wait", len(claims) - len(taken))
            return False
        await self._pubsub.publish(NODE, back(name), {"hypervisor": name, "fence": fence, "settled": True})
        return True

    async def run(self) -> None:
        """Start what is held back, without the server's word, when it has been away for as long as is stated."""
        if self._guard is not None and self._guard.start_without_server > 0:
            await asyncio.sleep(self._guard.start_without_server)
            await self._link.up.wait()
            async with self._lock:
                if self._guard.held.exists():
                    log.warning("nobody could be asked whether this hypervisor was fenced; its machines start")
                    await self._release()
        await asyncio.Event().wait()

    async def _release(self) -> None:
        """Start the machines that libvirt would have started at boot, had it not been kept from it."""
        if self._guard is None or not self._guard.held.exists():
            return
        await self._link.perform("changes", _start_held)
        self._guard.held.unlink(missing_ok=True)


def _state(hypervisor: Hypervisor, uuid: str) -> str | None:
    found = hypervisor.find(uuid=uuid)
    return found.status[0] if found is not None else None


def _start_held(hypervisor: Hypervisor) -> None:
    for machine in to_start(hypervisor):
        try:
            machine.start(wait=False)
        except ArchipelError as error:
            log.warning("%s does not start with its hypervisor: %s", machine.name, error.message)


def _give_up(hypervisor: Hypervisor, uuids: t.Iterable[str]) -> list[str]:
    """Which of them were here."""
    machines = [machine for uuid in uuids if (machine := hypervisor.find(uuid=uuid)) is not None]
    for machine in machines:
        log.warning("%s has another home by now; it is turned off here and its definition goes", machine.name)
        give_up(machine)
    return [machine.uuid for machine in machines]
