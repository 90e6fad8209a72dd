# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Moving a machine to another hypervisor, peer to peer: the two libvirt daemons do it, whoever asked may go away."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import typing as t

from . import definition
from .actions import Progress
from .connection import Connection, doing, libvirt, translated
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidArgument, NotFound, OperationFailed
from .lifecycle import ACTIVE, RUNNING, state_name

if t.TYPE_CHECKING:
    from .machine import Machine

WAIT_TIMEOUT = 3600
PROGRESS_INTERVAL = 0.5

Destination = t.Annotated[t.Optional[str], "Name of the hypervisor to move to."]
DestinationUri = t.Annotated[
    t.Optional[str],
    "libvirt URI of the destination, as the source's libvirtd reaches it. Through agents it follows from the name.",
]
Live = t.Annotated[bool, "Move a running machine without stopping it. Without, the machine must be off."]
CopyStorage = t.Annotated[
    t.Literal["none", "all", "incremental"],
    "Copy the disks: not at all (shared storage), whole, or on top of a backing file that both sides have.",
]
Bandwidth = t.Annotated[t.Optional[int], "MiB per second at most."]
MaxDowntime = t.Annotated[t.Optional[int], "Milliseconds that the machine may stand still at most."]
Tls = t.Annotated[
    t.Optional[bool], "Encrypt memory and disks on their way by QEMU's own TLS. By default as the URI does (qemu+tls)."
]
UndefineSource = t.Annotated[bool, "Take the definition off the source afterwards."]
WaitTimeout = t.Annotated[int, "Seconds after which the move is aborted; the machine then stays where it was."]
Check = t.Annotated[bool, "Only tell what would change."]


@dataclasses.dataclass(frozen=True)
class Move:
    """What was asked for."""

    destination: str | None
    destination_uri: str | None
    live: bool
    copy_storage: str
    bandwidth: int | None
    max_downtime: int | None
    tls: bool | None
    undefine_source: bool
    wait_timeout: int


class Peers(t.Protocol):
    """Knows the other hypervisors; the agent's is one that asks theirs."""

    def destination(self, name: str, machine: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """``{hypervisor, uri, present, state}`` of the hypervisor called ``name``: its libvirt URI for migrations, and
        whether the machine (``name`` and, if known, ``uuid``) is there. Unavailable when it does not answer."""

    def expected(self, name: str, machine: t.Mapping[str, t.Any]) -> t.ContextManager[None]:
        """Have the hypervisor called ``name`` expect a machine (``name``, ``uuid``, and as ``disks`` the paths of what
        is copied) while a block moves it; Conflict when it does not agree. When the block fails, it does no more."""


def look(move: Move, peers: Peers | None, name: str, uuid: str | None) -> dict[str, t.Any]:
    """Where the machine is to go and whether it is there already, in the shape of ``Peers.destination``."""
    if move.destination_uri is None:
        if move.destination is None:
            raise InvalidArgument("Name the destination, or give its destination_uri.")
        if peers is None:
            raise InvalidArgument(
                f"How libvirt reaches {move.destination} is not known here: give destination_uri,"
                f" for example qemu+tls://{move.destination}/system, or ask by way of the agents (via: xmpp)."
            )
        return peers.destination(move.destination, {"name": name, "uuid": uuid})
    with Connection(move.destination_uri) as connection:
        state = _state(connection.handle, name, uuid)
    target = move.destination or move.destination_uri
    return {"hypervisor": target, "uri": move.destination_uri, "present": state is not None, "state": state}


def _state(handle: t.Any, name: str, uuid: str | None) -> str | None:
    """The state of the machine of that UUID or, failing that, of that name; None when there is none."""
    for lookup, key in ((handle.lookupByUUIDString, uuid), (handle.lookupByName, name)):
        if key is not None:
            with contextlib.suppress(NotFound), doing(f"Look for {key} on the destination"):
                return state_name(lookup(key).state()[0])
    return None


def migrate(machine: Machine, move: Move, *, check: bool, progress: Progress) -> dict[str, t.Any]:
    """Move the machine. Whatever happens, it is on exactly one side afterwards: libvirt resumes it on the source
    unless the destination has confirmed."""
    source = machine.hypervisor.name
    if move.destination == source:
        return already(machine)
    there = look(move, machine.hypervisor.peers, machine.name, machine.uuid)
    if there["hypervisor"] == source:
        return already(machine)
    state = machine.status[0]
    _refuse(machine, move, there, state)
    before, after = {"hypervisor": source}, {"hypervisor": there["hypervisor"]}
    disks = [disk["path"] for disk in _copied(machine)]
    result = {
        "changed": True,
        "msg": f"{machine.name} {'would move' if check else 'has moved'} from {source} to {there['hypervisor']}.",
        "changes": [Change("hypervisor", source, there["hypervisor"], "live").as_data()],
        "diff": {"before": before, "after": after},
        "source": source,
        "destination": there["hypervisor"],
        # libvirt leaves the copied volumes on the source.
        "left_behind": disks if move.copy_storage != "none" else [],
        "vm": {"name": machine.name, "uuid": machine.uuid, "hypervisor": there["hypervisor"], "state": state},
    }
    if check:
        return result
    with _expected(machine, move, there, result["left_behind"]):
        return {**result, **_run(machine, move, there["uri"], state, progress)}


def _expected(
    machine: Machine, move: Move, there: t.Mapping[str, t.Any], disks: list[str]
) -> contextlib.AbstractContextManager[None]:
    """The agreement with the destination, where agents are on both sides."""
    peers = machine.hypervisor.peers
    if peers is None or move.destination_uri is not None:
        return contextlib.nullcontext()
    return peers.expected(there["hypervisor"], {"name": machine.name, "uuid": machine.uuid, "disks": disks})


def already(machine: Machine) -> dict[str, t.Any]:
    """The result where the machine is to move to where it is."""
    where = machine.hypervisor.name
    return unchanged({"name": machine.name, "uuid": machine.uuid, "hypervisor": where, "state": machine.status[0]})


def unchanged(vm: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result where a machine, ``{name, uuid, hypervisor, state}``, is at its destination."""
    where = vm["hypervisor"]
    return {
        "changed": False,
        "msg": f"{vm['name'] or vm['uuid']} is on {where} already.",
        "changes": [],
        "diff": {"before": {"hypervisor": where}, "after": {"hypervisor": where}},
        "destination": where,
        "vm": vm,
    }


def _copied(machine: Machine) -> list[dict[str, t.Any]]:
    """The disks that a copy of the storage takes along: what the machine writes to, and no media."""
    disks = definition.read(machine.document())["disks"]
    return [
        d for d in disks if d["path"] and not d["readonly"] and not d["shareable"] and d["device"] in (None, "disk")
    ]


def _refuse(machine: Machine, move: Move, there: t.Mapping[str, t.Any], state: str) -> None:
    """What would fail, or harm, said before anything moves."""
    target = there["hypervisor"]
    if there["present"] and there["state"] != "shutoff":
        raise Conflict(
            f"A machine {machine.name} is {there['state']} on {target} too; two of one machine must not be."
            " Look there first."
        )
    if there["present"]:
        raise Conflict(f"{target} has a machine {machine.name} already; undefine the one that is not wanted.")
    if move.live and state not in {*RUNNING, "paused"}:
        raise Conflict(f"{machine.name} is {state}; only a running machine moves live. Use live: false, or start it.")
    if not move.live and state in ACTIVE:
        raise Conflict(f"{machine.name} is {state}; shut it down first, or use live: true.")
    if not move.live and move.copy_storage != "none":
        raise Conflict(
            f"{machine.name}: libvirt copies disks of running machines only. Start it and move it live, or copy its"
            " disks by other means and use copy_storage: none."
        )
    with doing(f"Look at the snapshots of {machine.name}"):
        if machine.domain.snapshotNum():
            raise Conflict(f"{machine.name} has snapshots, which libvirt does not move; delete them first.")


def _run(machine: Machine, move: Move, uri: str, state: str, progress: Progress) -> dict[str, t.Any]:
    flags = libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    if move.undefine_source:
        flags |= libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    if move.live:
        flags |= libvirt.VIR_MIGRATE_LIVE
    else:
        flags = (flags | libvirt.VIR_MIGRATE_OFFLINE) & ~libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    if move.copy_storage == "all":
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
    elif move.copy_storage == "incremental":
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC
    if move.live and (uri.startswith("qemu+tls://") if move.tls is None else move.tls):
        flags |= libvirt.VIR_MIGRATE_TLS
    parameters: dict[str, t.Any] = {}
    if move.bandwidth is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = move.bandwidth
    began = time.monotonic()
    with _watched(machine, move, progress) as watch:
        try:
            machine.domain.migrateToURI3(uri, parameters, flags)
        except libvirt.libvirtError as error:
            raise _failure(machine, move, error, aborted=watch.aborted) from error
    elapsed = time.monotonic() - began
    return {"elapsed": round(elapsed, 3), "downtime": watch.downtime}


def _failure(machine: Machine, move: Move, error: t.Any, *, aborted: bool) -> ArchipelError:
    here = machine.hypervisor.name
    try:
        remains = f"It is {machine.status[0]} on {here}."
    except NotFound:
        remains = f"It is not on {here} any more."
    except ArchipelError:
        remains = f"What became of it cannot be asked: libvirt on {here} does not answer."
    if aborted:
        return OperationFailed(
            f"{machine.name} was not moved within {move.wait_timeout} s; the move was aborted. {remains}"
        )
    if error.get_error_code() == libvirt.VIR_ERR_MIGRATE_UNSAFE and move.copy_storage == "none":
        remains = f"If its disks are not on storage that both sides share, use copy_storage: all. {remains}"
    failure = translated(error, f"{machine.name} could not be moved")
    return type(failure)(f"{failure.message} {remains}")


class _JobWatch:
    """Reads a running migration's statistics from another thread, and ends it when its time is over."""

    def __init__(self, machine: Machine, move: Move, progress: Progress) -> None:
        self.machine = machine
        self.move = move
        self.progress = progress
        self.aborted = False
        self.downtime: int | None = None  # milliseconds, as libvirt estimated it last
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"migration-{machine.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        end = time.monotonic() + self.move.wait_timeout
        limited = self.move.max_downtime is None
        domain = self.machine.domain
        while not self._over.wait(PROGRESS_INTERVAL):
            # Between the phases of a migration there is nothing to read or to set, and after it no domain.
            if not limited:
                with contextlib.suppress(libvirt.libvirtError):
                    domain.migrateSetMaxDowntime(self.move.max_downtime)
                    limited = True
            with contextlib.suppress(libvirt.libvirtError):
                self._tell(domain.jobStats())
            if time.monotonic() > end and not self.aborted:
                with contextlib.suppress(libvirt.libvirtError):
                    domain.abortJob()
                    self.aborted = True

    def _tell(self, stats: t.Mapping[str, t.Any]) -> None:
        self.downtime = stats.get(libvirt.VIR_DOMAIN_JOB_DOWNTIME, self.downtime)
        total = stats.get(libvirt.VIR_DOMAIN_JOB_DATA_TOTAL, 0)
        done = stats.get(libvirt.VIR_DOMAIN_JOB_DATA_PROCESSED, 0)
        if total:
            fraction = min(done / total, 1.0)
            self.progress(f"moving, {fraction:.0%}", fraction)


@contextlib.contextmanager
def _watched(machine: Machine, move: Move, progress: Progress) -> t.Iterator[_JobWatch]:
    watch = _JobWatch(machine, move, progress)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
