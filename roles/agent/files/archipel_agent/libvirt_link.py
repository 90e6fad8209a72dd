# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The link to libvirt: three connections, their workers, and the table of machines that events keep.

libvirt's event loop runs in a thread of its own (``archipel.connection``); what happens there crosses into asyncio by
``call_soon_threadsafe``. Calls run in worker threads, in lanes that do not block one another: libvirtd serves five
requests of a connection at once, and a call that waits for a machine must not keep a look at another one waiting. A
thread is never cancelled; what it waits for ends by libvirt's own means.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import random
import typing as t

from archipel import tags, xmltree
from archipel.connection import Connection, libvirt
from archipel.errors import ArchipelError, Unavailable
from archipel.health import Record
from archipel.hypervisor import Hypervisor
from archipel.lifecycle import reason_name, state_name
from archipel.migration import Peers
from archipel.rights import Place
from archipel.tags import Label

log = logging.getLogger(__name__)

# Changes may each wait for a machine's events; looks are short.
LANES: t.Final = {"reads": 4, "changes": 16, "jobs": 4}
# A look at a socket of this host costs nothing.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0

# States, each with its reason, in which another hypervisor speaks for the machine.
ARRIVING: t.Final = ("paused", "migration")
LEFT: t.Final = ("shutoff", "migrated")

T = t.TypeVar("T")


@dataclasses.dataclass(frozen=True)
class MachineState:
    """What events tell of a machine. ``state`` and ``reason`` are libvirt's words, ``owner`` is a bare JID."""

    uuid: str
    name: str
    state: str
    reason: str
    managed: bool
    persistent: bool
    tags: frozenset[str]
    owner: str | None

    @property
    def arriving(self) -> bool:
        """Being received by a migration, or in its last moment of being sent: it does not run here."""
        return (self.state, self.reason) == ARRIVING

    @property
    def left(self) -> bool:
        """Its definition stayed, the machine moved away."""
        return (self.state, self.reason) == LEFT


class Lane:
    """A connection with workers of its own."""

    def __init__(self, name: str, workers: int) -> None:
        self.workers = workers
        self.executor = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix=f"libvirt-{name}")
        self.connection: Connection | None = None
        self.hypervisor: Hypervisor | None = None

    def open(self, uri: str, name: str, peers: Peers, exchange: tuple[str, ...], record: Record, label: Label) -> None:
        self.connection = Connection(uri)
        self.connection.open()
        self.hypervisor = Hypervisor(self.connection, name, peers, exchange, record, label)

    def close(self) -> None:
        self.hypervisor = None
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Link:
    """Keeps the lanes open and the table ``machines`` true.

    ``changed(old, new)`` is called for each machine that appears (no old), changes or disappears (no new);
    ``touched(uuid)`` when something else about one may have changed than its state; ``switched()`` when libvirt is lost
    or reached again.
    """

    def __init__(
        self, uri: str, name: str, peers: Peers, exchange: tuple[str, ...], record: Record, label: Label
    ) -> None:
        self.uri = uri
        self.name = name
        self.peers = peers
        self.exchange = exchange
        self.record = record
        self.label = label
        self.machines: dict[str, MachineState] = {}
        self.up = asyncio.Event()
        self.why_not = f"libvirt at {uri} has not been reached yet."
        self.changed: list[t.Callable[[MachineState | None, MachineState | None], None]] = []
        self.touched: list[t.Callable[[str], None]] = []
        self.switched: list[t.Callable[[], None]] = []
        self.lanes = {name: Lane(name, workers) for name, workers in LANES.items()}
        self._lost = asyncio.Event()
        self._registered: list[tuple[t.Any, int]] = []
        self._waiting_events: list[tuple[str, t.Callable[[MachineState], MachineState | None] | None]] | None = None
        self._looks: dict[str, bool] = {}

    @property
    def reachable(self) -> bool:
        return self.up.is_set()

    @property
    def here(self) -> Place:
        """What grants can mean by the hypervisor."""
        return Place(self.name, self.label.site, frozenset(self.label.tags))

    def place(self, machine: MachineState) -> Place:
        """What grants can mean by a machine."""
        here = self.here
        return dataclasses.replace(here, machine=machine.uuid, tags=here.tags | machine.tags, owner=machine.owner)

    async def give(self, name: str, owner: str) -> None:
        """Note whose a new machine is, who is told so by libvirt's event; what fails is logged."""
        try:
            await self.perform("changes", lambda hypervisor: hypervisor.machine(name).give(owner))
        except ArchipelError as error:
            log.warning("%s does not belong to %s, who made it: %s", name, owner, error.message)

    async def perform(self, lane: str, work: t.Callable[[Hypervisor], T]) -> T:
        """Run ``work`` with the lane's hypervisor in one of its threads."""
        hypervisor = self.lanes[lane].hypervisor
        if not self.reachable or hypervisor is None:
            raise Unavailable(f"{self.why_not} The agent goes on trying.")
        return await asyncio.get_running_loop().run_in_executor(
            self.lanes[lane].executor, functools.partial(work, hypervisor)
        )

    async def run(self) -> None:
        """Keep the link open until cancelled."""
        try:
            await self._keep_open()
        finally:
            self.up.clear()
            await self._close()
            for lane in self.lanes.values():
                lane.executor.shutdown(wait=False, cancel_futures=True)

    async def _keep_open(self) -> None:
        """Open, list, wait for the loss, and begin again with growing pauses."""
        pause = SHORTEST_PAUSE
        while True:
            self._lost = asyncio.Event()
            try:
                await self._open()
            except ArchipelError as error:
                if self.why_not != error.message:
                    log.warning("%s The agent goes on trying.", error.message)
                self.why_not = error.message
                await self._close()
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = SHORTEST_PAUSE
            log.info("libvirt at %s is reached; it has %d machines", self.uri, len(self.machines))
            await self._lost.wait()
            self.why_not = f"The connection to libvirt at {self.uri} was lost."
            log.warning("%s The agent goes on trying.", self.why_not)
            self.up.clear()
            self._tell_switched()
            await self._close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        lost = self._lost
        self._waiting_events = []
        for lane in self.lanes.values():
            host = (self.uri, self.name, self.peers, self.exchange, self.record, self.label)
            await loop.run_in_executor(lane.executor, lane.open, *host)
            assert lane.connection is not None
            lane.connection.on_close(functools.partial(_set_soon, loop, lost))
        # Listed after the events are asked for: what happens meanwhile is replayed on top of the list.
        listed = await loop.run_in_executor(self.lanes["reads"].executor, self._register_and_list, loop)
        for uuid in set(self.machines) - set(listed):
            self._put(uuid, None)
        for uuid, state in listed.items():
            self._put(uuid, state)
        self.up.set()
        waiting, self._waiting_events = self._waiting_events, None
        for uuid, derive in waiting:
            self._happened(uuid, derive)
        self._tell_switched()

    async def _close(self) -> None:
        # Not in the lanes' own threads, which may all be inside calls that the close ends.
        await asyncio.to_thread(self._deregister)
        for lane in self.lanes.values():
            await asyncio.to_thread(lane.close)

    def _tell_switched(self) -> None:
        for callback in self.switched:
            callback()

    # In a worker thread

    def _register_and_list(self, loop: asyncio.AbstractEventLoop) -> dict[str, MachineState]:
        connection = self.lanes["reads"].connection
        assert connection is not None
        handle = connection.handle

        def lifecycle(_handle: t.Any, domain: t.Any, event: int, detail: int, _opaque: t.Any) -> None:
            loop.call_soon_threadsafe(self._happened, domain.UUIDString(), _after(event, detail))

        def look(_handle: t.Any, domain: t.Any, *_details: t.Any) -> None:
            loop.call_soon_threadsafe(self._happened, domain.UUIDString(), None)

        for event, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, look),
        ):
            # A driver without metadata events has no metadata either.
            with contextlib.suppress(libvirt.libvirtError):
                self._registered.append((handle, handle.domainEventRegisterAny(None, event, callback, None)))
        try:
            domains = handle.listAllDomains()
        except libvirt.libvirtError as error:
            raise Unavailable(
                f"libvirt at {self.uri} does not list its machines: {error.get_error_message()}."
            ) from error
        found = (_look(domain) for domain in domains)
        return {state.uuid: state for state in found if state is not None}

    def _deregister(self) -> None:
        """A registered callback keeps its connection open for ever. On a lost one the call fails after it let go."""
        registered, self._registered = self._registered, []
        for handle, number in registered:
            with contextlib.suppress(libvirt.libvirtError):
                handle.domainEventDeregisterAny(number)

    # In the event loop

    def _happened(self, uuid: str, derive: t.Callable[[MachineState], MachineState | None] | None) -> None:
        """An event: ``derive`` makes the new state from the old one; None asks libvirt."""
        if self._waiting_events is not None:
            self._waiting_events.append((uuid, derive))
            return
        if derive is None:
            for callback in self.touched:
                callback(uuid)
        known = self.machines.get(uuid)
        if known is not None and derive is not None:
            self._put(uuid, derive(known))
        if known is None or derive is None or uuid in self._looks:
            self.look(uuid)

    def look(self, uuid: str) -> None:
        """Look at a machine; once more, if something happens while we look."""
        if uuid in self._looks:
            self._looks[uuid] = True
            return
        self._looks[uuid] = False
        asyncio.get_running_loop().create_task(self._answer(uuid))

    async def _answer(self, uuid: str) -> None:
        try:
            while True:
                self._looks[uuid] = False
                state = await self.perform("reads", lambda hypervisor: _find(hypervisor, uuid))
                if not self._looks[uuid]:
                    self._put(uuid, state)
                    return
        except ArchipelError:
            # The connection is lost; everything is listed again when it is back.
            log.debug("could not look at %s", uuid)
        finally:
            del self._looks[uuid]

    def _put(self, uuid: str, new: MachineState | None) -> None:
        old = self.machines.get(uuid)
        if new == old:
            return
        if new is None:
            del self.machines[uuid]
        else:
            self.machines[uuid] = new
        for callback in self.changed:
            callback(old, new)


def _set_soon(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _find(hypervisor: Hypervisor, uuid: str) -> MachineState | None:
    try:
        return _look(hypervisor.connection.handle.lookupByUUIDString(uuid))
    except libvirt.libvirtError:
        return None


def _look(domain: t.Any) -> MachineState | None:
    """The state of a domain; None when it vanished meanwhile."""
    try:
        state, reason = domain.state()
        persistent = bool(domain.isPersistent())
        tagged, owner = tags.of(domain, persistent=persistent)
        return MachineState(
            uuid=domain.UUIDString(),
            name=domain.name(),
            state=state_name(state),
            reason=reason_name(state, reason),
            managed=_is_managed(domain),
            persistent=persistent,
            tags=frozenset(tagged),
            owner=owner,
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise Unavailable(f"Look at a machine: {error.get_error_message()}.") from error


def _is_managed(domain: t.Any) -> bool:
    try:
        domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, xmltree.NAMESPACE)
    except libvirt.libvirtError:
        return False
    return True


def _after(event: int, detail: int) -> t.Callable[[MachineState], MachineState | None] | None:
    """What a lifecycle event (virDomainEventType) makes of a machine's state."""
    word = {
        libvirt.VIR_DOMAIN_EVENT_STARTED: "STARTED",
        libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "SUSPENDED",
        libvirt.VIR_DOMAIN_EVENT_RESUMED: "RESUMED",
        libvirt.VIR_DOMAIN_EVENT_STOPPED: "STOPPED",
        libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "SHUTDOWN",
        libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: "PMSUSPENDED",
        libvirt.VIR_DOMAIN_EVENT_CRASHED: "CRASHED",
        libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "UNDEFINED",
    }.get(event)
    if word is None:
        return None
    reason = _detail(word, detail)
    if reason == "renamed":
        return None

    def derive(old: MachineState) -> MachineState | None:
        if word == "UNDEFINED":
            return dataclasses.replace(old, persistent=False) if old.state not in ("shutoff", "nostate") else None
        if word == "STOPPED" and not old.persistent:
            return None
        if word == "STARTED" and reason == "migrated":
            # It is being received; when it runs here, it is resumed.
            return dataclasses.replace(old, state="paused", reason="migration")
        return dataclasses.replace(old, state=_STATE_AFTER[word], reason=reason)

    return derive


_STATE_AFTER: t.Final = {
    "STARTED": "running",
    "SUSPENDED": "paused",
    "RESUMED": "running",
    "STOPPED": "shutoff",
    "SHUTDOWN": "shutdown",
    "PMSUSPENDED": "pmsuspended",
    "CRASHED": "crashed",
}


# Where the event's word is not the state's.
_REASON_AFTER: t.Final = {("SUSPENDED", "paused"): "user", ("SUSPENDED", "migrated"): "migration"}


@functools.cache
def _detail(word: str, detail: int) -> str:
    """The reason that virDomainGetState will give, from the event's detail."""
    prefix = f"VIR_DOMAIN_EVENT_{word}_"
    names = (name for name, value in vars(libvirt).items() if name.startswith(prefix) and value == detail)
    told = next(names, prefix + "UNKNOWN")[len(prefix) :].lower()
    return _REASON_AFTER.get((word, told), told)
