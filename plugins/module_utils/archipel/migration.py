# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Moving a machine to another hypervisor, peer to peer: the two libvirt daemons do it, whoever asked may go away. What
they do not move of one that is off goes as ``offline.py`` says."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import typing as t
import urllib.parse

from . import belongings, content, images, mapping, offline, preflight, reception, snapshots, storage, xmltree
from .actions import Progress, Unsettled
from .blocks import Block
from .connection import Connection, doing, libvirt, translated
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidArgument, NotFound, OperationFailed
from .host import Host
from .lifecycle import ACTIVE, RUNNING, state_name
from .plan import Plan
from .preflight import Copied, Finding, Needs
from .reception import Wanted

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
AutoConverge = t.Annotated[
    bool, "Slow the machine's CPUs down for as long as it changes its memory faster than that can be moved."
]
PostCopy = t.Annotated[
    bool,
    "Once all memory was moved once, let the machine run on at the destination and fetch what it changed meanwhile. It"
    " ends in any case, but whoever loses the connection in that phase loses the machine's memory.",
]
ParallelConnections = t.Annotated[t.Optional[int], "Move the memory over so many connections at once."]
StorageMap = t.Annotated[
    t.Optional[dict],
    "The storage pool of the destination that takes the place of one of the source, for disks that are copied, as"
    " V({default: fast}).",
]
NetworkMap = t.Annotated[
    t.Optional[dict],
    "The network, bridge or device of the destination that takes the place of one of the source, as V({lan: office}).",
]
SnapshotsThen = t.Annotated[
    t.Literal["refuse", "flatten", "keep"],
    "What becomes of the machine's snapshots, which libvirt does not move: V(refuse) moves no machine that has some,"
    " V(flatten) removes them first, and the machine goes on as it is; V(keep) takes them along, of a running machine"
    " where its disks are on shared storage.",
]
MediaThen = t.Annotated[
    t.Literal["keep", "eject"],
    "What becomes of media that are not at the destination: V(keep) moves no running machine that has some in its"
    " drives, V(eject) leaves those drives empty there.",
]
RemoveSourceVolumes = t.Annotated[
    belongings.Which,
    "Which of the copied disks are removed from the source, when the machine is found at the destination with its"
    " disks; those that were made for this machine, or all. What another machine uses or is based on stays.",
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
    auto_converge: bool = False
    post_copy: bool = False
    parallel_connections: int | None = None
    storage_map: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    network_map: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    snapshots: str = "refuse"
    media: str = "keep"
    remove_source_volumes: str = "none"

    def __post_init__(self) -> None:
        for name in ("storage_map", "network_map"):
            for old, new in getattr(self, name).items():
                if not isinstance(old, str) or not isinstance(new, str) or not new:
                    raise InvalidArgument(f"{name}: {old!r} needs the name of what takes its place there.")
        if self.parallel_connections is not None and self.parallel_connections < 1:
            raise InvalidArgument(f"parallel_connections: {self.parallel_connections} is too small; at least 1.")
        if self.remove_source_volumes != "none" and not (self.undefine_source and self.copy_storage != "none"):
            raise InvalidArgument(
                "remove_source_volumes: only disks that were copied (copy_storage) of a machine that leaves"
                " (undefine_source) can be removed."
            )


class Peers(t.Protocol):
    """Knows the other hypervisors; the agent's is one that asks theirs."""

    def destination(self, name: str, machine: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """``{hypervisor, uri, present, state}`` of the hypervisor called ``name``: its libvirt URI for migrations, and
        whether the machine (``name`` and, if known, ``uuid``) is there. Unavailable when it does not answer."""

    def call(self, name: str, question: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """What the hypervisor called ``name`` answers to one of ``QUESTIONS``, run there."""

    def expected(self, name: str, machine: t.Mapping[str, t.Any]) -> t.ContextManager[None]:
        """Have the hypervisor called ``name`` expect a machine (``name``, ``uuid``, and as ``disks`` the paths of what
        is copied) while a block moves it; Conflict when it does not agree. When the block fails, it does no more, and
        removes what was made of the disks."""


QUESTIONS: t.Final[dict[str, t.Callable[[Host, t.Mapping[str, t.Any]], dict[str, t.Any]]]] = {
    "inspect": lambda host, given: preflight.inspect(host, Needs.bind(given["needs"])),
    "receive": lambda host, given: reception.receive(host, [Wanted.bind(volume) for volume in given["volumes"]]),
    "discard": lambda host, given: reception.discard(host, given["volumes"]),
}


def ask(host: Host, move: Move, question: str, **arguments: t.Any) -> dict[str, t.Any]:
    """What the destination answers: by its agent, or from here where its libvirt is named."""
    if move.destination_uri is None:
        # look has found both.
        peers, destination = t.cast(Peers, host.peers), t.cast(str, move.destination)
        return peers.call(destination, question, arguments)
    with Connection(move.destination_uri) as connection:
        return QUESTIONS[question](Host(connection, move.destination or None), arguments)


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
    return _Passage(machine, move, there, progress).run(check=check)


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


class _Passage:
    """One machine on its way. ``there`` is in the shape of ``Peers.destination``."""

    def __init__(self, machine: Machine, move: Move, there: t.Mapping[str, t.Any], progress: Progress) -> None:
        self.machine = machine
        self.move = move
        self.there = there
        self.progress = progress
        self.host = machine.hypervisor
        self.state = machine.status[0]
        self.document = machine.document(inactive=self.state not in ACTIVE)
        self.places = mapping.places(self.host.connection.handle, self.document, move.storage_map)
        self.findings: list[Finding] = []
        self.ejected: list[str] = []
        self.paths: dict[str, str] = {}  # of the copies, by target
        self.takes: dict[str, dict[str, int]] = {}
        self.flattening = Plan()
        self.tree: list[snapshots.Snapshot] = []  # those that go along
        self.promise: dict[str, t.Any] = {}
        self.made: t.Sequence[t.Any] = ()  # pool and name of the volumes that were made there
        self.removal = belongings.Verdict([], [])

    def run(self, *, check: bool) -> dict[str, t.Any]:
        self._prepare()
        done = self._result(check=check)
        if check:
            return done
        try:
            self.flattening.run()
            self.promise = self._promise(done)
            self.progress.promise(self.promise)
            times = self._move()
        except ArchipelError as error:
            error.changes = [change.as_data() for change in self.flattening.done]
            raise
        return {**conclude(self.host, self.move, self.promise), **times}

    # -- before

    def _prepare(self) -> None:
        """Find out all that stands in the way; Conflict when something does."""
        move = self.move
        self._look_here()
        if move.snapshots == "flatten":
            self.flattening = snapshots.removal_of_all(self.machine, move.wait_timeout, self.progress)
        # Of a machine that is there already, everything there would seem to be in use.
        if not self.there["present"]:
            needs, handle = self._needs(self.copied), self.host.connection.handle
            before = preflight.identities(handle, self.document)
            answer = ask(self.host, move, "inspect", needs=needs.as_data())
            self.findings += preflight.judge(needs, answer, before, preflight.identities(handle, self.document))
            self.ejected, self.paths = answer["missing_media"], answer["paths"]
            # A destination whose agent is older does not tell.
            self.takes = answer.get("takes", {})
        errors = [finding.msg for finding in self.findings if finding.severity == "error"]
        if len(errors) == 1:
            raise Conflict(errors[0])
        if errors:
            listed = " ".join(f"({number}) {msg}" for number, msg in enumerate(errors, 1))
            raise Conflict(f"{self.machine.name} cannot move to {self.there['hypervisor']}: {listed}")
        if move.remove_source_volumes != "none":
            disks = [image.node for image in images.written(self.host.connection.handle, self.document)]
            self.removal = belongings.judge(
                self.host, self.machine.uuid, [self.document], move.remove_source_volumes, disks
            )

    def _tell(self, what: str, msg: str, severity: preflight.Severity = "error") -> None:
        self.findings.append(Finding(what, severity, msg))

    def _look_here(self) -> None:
        """What the source can say."""
        name, move, state, target = self.machine.name, self.move, self.state, self.there["hypervisor"]
        if self.there["present"] and self.there["state"] != "shutoff":
            self._tell(
                "name",
                f"A machine {name} is {self.there['state']} on {target} too; two of one machine must not be."
                " Look there first.",
            )
        elif self.there["present"]:
            self._tell("name", f"{target} has a machine {name} already; undefine the one that is not wanted.")
        if move.live and state not in {*RUNNING, "paused"}:
            self._tell("state", f"{name} is {state}; only a running machine moves live. Use live: false, or start it.")
        if not move.live and state in ACTIVE:
            self._tell("state", f"{name} is {state}; shut it down first, or use live: true.")
        if state not in ACTIVE and self.machine.saved:
            self._tell("state", f"{name} has saved memory, which does not move; start it, or discard that.")
        if move.post_copy and move.parallel_connections:
            self._tell("post_copy", "QEMU has no post_copy over parallel_connections; use one of them.")
        self._look_at_files(name)

    def _look_at_files(self, name: str) -> None:
        move = self.move
        nvram = xmltree.read(self.document, "os/nvram")
        if nvram and not move.live and move.copy_storage == "none":
            self._tell(
                "boot.nvram", f"The firmware's variables, {nvram}, are not copied; copy them yourself.", "warning"
            )
        pools = {place.pool for place in self.places}
        for pool in sorted(move.storage_map.keys() - pools):
            self._tell("storage_map", f"{name} has no disk in a pool {pool}; it has some in: {_listed(pools)}.")
        if move.storage_map and move.copy_storage == "none":
            self._tell("storage_map", "Only disks that are copied get another pool; use copy_storage: all.")
        known = {
            source.get(key)
            for source in self.document.iterfind("devices/interface/source")
            for key in ("network", "bridge", "dev")
        }
        for network in sorted(move.network_map.keys() - known):
            self._tell("network_map", f"{name} has no interface in {network}; it has some in: {_listed(known)}.")
        with doing(f"Look at the snapshots of {name}"):
            held = self.machine.domain.snapshotNum()
        if held and move.snapshots == "refuse":
            self._tell(
                "snapshots",
                f"{name} has snapshots, which libvirt does not move; delete them first, use snapshots: flatten, or"
                " snapshots: keep, while it is off (live: false) or where its disks are on shared storage.",
            )
        elif held and move.snapshots == "keep" and move.live and move.copy_storage != "none":
            self._tell(
                "snapshots",
                f"{name} cannot keep its snapshots, since a live copy of its disks leaves out what is inside of them."
                " Shut it down and use live: false, or use snapshots: flatten.",
            )
        elif held and move.snapshots == "keep":
            self.tree = list(snapshots.Tree(self.machine))
        if self.tree or self.carried:
            self._look_at_door()
        if self.carried:
            self._look_at_cargo(name)

    @property
    def carried(self) -> bool:
        """Whether it is off and has what libvirt does not move of such a machine."""
        return not self.move.live and bool(self.tree or self.move.copy_storage != "none")

    def _look_at_door(self) -> None:
        try:
            with Connection(self.there["uri"]):
                pass
        except ArchipelError as error:
            self._tell(
                "destination_uri",
                f"Snapshots, and the disks of a machine that is off, go over libvirt. {error.message}",
            )

    def _look_at_cargo(self, name: str) -> None:
        with contextlib.suppress(libvirt.libvirtError):
            if self.machine.domain.listAllCheckpoints():
                self._tell("checkpoints", f"{name} has checkpoints, which do not go along; remove them first.")
        if self.move.copy_storage == "none":
            return
        efi = xmltree.read(self.document, "os/@firmware") == "efi" or self.document.find("os/nvram") is not None
        tpm = self.document.find("devices/tpm/backend[@type='emulator']") is not None
        for what, told, there in (("boot.nvram", "firmware's variables", efi), ("tpm", "TPM's state", tpm)):
            if there:
                self._tell(what, f"The {told} of {name} would not go along while it is off. Start it and move it live.")
        volumes = belongings.Volumes(self.host)
        for place in self.places:
            what, volume = f"disks[{place.target}]", volumes.at(place.path or "")
            if volume is None:
                self._tell(
                    what,
                    f"{place.path} is in no active storage pool, so it is copied only while {name} runs. Make a pool of"
                    " its directory (module pool), or start it and move it live.",
                )
            elif volume.based_on and self.move.copy_storage == "all":
                self._tell(
                    what,
                    f"{place.path} lies on {volume.based_on}. Where both sides have that, use copy_storage:"
                    f" incremental; else start {name} and move it live, which copies both as one.",
                )
        copied = {place.path for place in self.places}
        for each in self.tree:
            if set(each.images(self.host.connection.handle).values()) - copied:
                self._tell(
                    "snapshots",
                    f"The snapshot {each.name} of {name} is of a disk that {name} has no more; delete it first (module"
                    " vm_snapshot).",
                )

    @property
    def copied(self) -> list[Copied]:
        """The disks that a copy of the storage takes along: what the machine writes to, and no media."""
        if self.move.copy_storage == "none":
            return []
        volumes = belongings.Volumes(self.host)
        found = []
        for place in self.places:
            if self.carried:
                volume = volumes.at(place.path or "")
                if volume is not None:
                    size, taken = offline.length(volume.handle), volume.handle.info()[2]
                    found.append(Copied(place.target, size, min(taken, size), volume.based_on))
                continue
            capacity = self._capacity(place)
            base = self._base(place.target)[0] if self.move.copy_storage == "incremental" else None
            parts = [place.path or ""] if base else volumes.chain(place.path or "")
            with doing(f"Look at the disks of {self.machine.name}"):
                needed = sum(volume.handle.info()[2] for volume in filter(None, map(volumes.at, parts)))
            found.append(Copied(place.target, capacity, min(needed, capacity), base))
        return found

    def _capacity(self, place: mapping.Place) -> int:
        """In bytes."""
        handle, running = self.host.connection.handle, self.state in ACTIVE
        return Block(handle, self.machine, place.target, place.path, running=running).capacity

    def _base(self, target: str) -> tuple[str | None, str | None]:
        """The backing file of a disk and its format, which libvirt tells of a running machine."""
        disk = mapping.disk(self.document, target)
        base = xmltree.read(disk, "backingStore/source/@file") or xmltree.read(disk, "backingStore/source/@dev")
        return base, xmltree.read(disk, "backingStore/format/@type")

    def _needs(self, copied: t.Sequence[Copied]) -> Needs:
        domain = xmltree.parse_trusted(xmltree.serialise(self.document))
        mapping.connect(domain, self.move.network_map)
        mapping.expect(domain, self.places)
        mapping.eject(domain, self.ejected)
        source, eject = preflight.source_of(self.host), self.move.media == "eject"
        return Needs(xmltree.serialise(domain), self.move.live, eject, tuple(copied), source)

    # -- the result

    def _result(self, *, check: bool) -> dict[str, t.Any]:
        name, source, target = self.machine.name, self.host.name, self.there["hypervisor"]
        scope = "live" if self.move.live else "config"
        changes = [
            *self.flattening.changes,
            Change("hypervisor", source, target, "live"),
            *self._mapped(scope),
            *(volume.removal for volume in self.removal.going),
        ]
        copied = {place.path for place in self.places if self.move.copy_storage != "none" and place.path}
        gone = {volume.path for volume in self.removal.going}
        return {
            "changed": True,
            "msg": f"{name} {'would move' if check else 'has moved'} from {source} to {target}.",
            "changes": [change.as_data() for change in changes],
            "diff": {
                "before": {change.path: change.old for change in reversed(changes)},
                "after": {change.path: change.new for change in changes},
            },
            "source": source,
            "destination": target,
            # libvirt leaves the copied volumes on the source.
            "left_behind": sorted(copied - gone),
            "takes": self.takes,
            "findings": [finding.as_data() for finding in self.findings],
            "vm": {"name": name, "uuid": self.machine.uuid, "hypervisor": target, "state": self.state},
        }

    def _promise(self, done: dict[str, t.Any]) -> dict[str, t.Any]:
        """What ``conclude`` and ``restore`` are to be told, be it by another run of the agent."""
        live = self.tree if self.move.live else []
        return {
            "snapshots": live
            and {
                "here": dataclasses.asdict(snapshots.Knowledge.of(live)),
                "there": dataclasses.asdict(snapshots.Knowledge.of(live, self._adapt)),
            },
            "result": done,
            "remove": self.move.remove_source_volumes,
            "going": {volume.path: volume.removal.path for volume in self.removal.going},
            "document": xmltree.serialise(self.document),
            "needs": self._needs(()).as_data(),
            "disks": [f"disks[{place.target}]" for place in self.places],
        }

    def _mapped(self, scope: str) -> t.Iterator[Change]:
        """What is another one at the destination."""
        for node in self.document.iterfind("devices/interface"):
            source = node.find("source")
            for key in ("network", "bridge", "dev") if source is not None else ():
                if source.get(key) in self.move.network_map:
                    path = f"networks[{xmltree.read(node, 'mac/@address')}].{'source' if key == 'dev' else key}"
                    yield Change(path, source.get(key), self.move.network_map[source.get(key)], scope)
                    break
        for place in self.places:
            if place.new_pool:
                yield Change(f"disks[{place.target}].pool", place.pool, place.new_pool, scope)
        for target in self.ejected:
            node = mapping.disk(self.document, target)
            yield Change(f"disks[{target}].path", images.path_of(self.host.connection.handle, node), None, scope)

    # -- what is done

    def _move(self) -> dict[str, t.Any]:
        """Make volumes there and move it; what was made is removed again when it did not come."""
        machine, move = self.machine, self.move
        if move.destination_uri is not None:
            return self._move_alone()
        told = {"name": machine.name, "uuid": machine.uuid, "disks": sorted(self.paths.values())}
        with t.cast(Peers, self.host.peers).expected(self.there["hypervisor"], told):
            self._receive()
            return self._migrate()

    def _move_alone(self) -> dict[str, t.Any]:
        """Without an agent there."""
        made = self._receive()
        try:
            return self._migrate()
        except ArchipelError as error:
            if made:
                self._discard(made, error)
            raise

    def _receive(self) -> t.Sequence[t.Any]:
        """Have the volumes made; pool and name of those that were not there."""
        if self.move.copy_storage == "none":
            return ()
        volumes = [dataclasses.asdict(volume) for volume in self._volumes()]
        received = ask(self.host, self.move, "receive", volumes=volumes)
        self.paths, self.made = received["paths"], received["made"]
        return self.made

    def _volumes(self) -> t.Iterator[Wanted]:
        formats = {i.target: i.format for i in images.written(self.host.connection.handle, self.document)}
        for place in self.places:
            pool, volume, path = place.new_pool, place.volume, place.path or ""
            if self.carried:
                # What is in it, its format and what it lies on too, comes with its bytes.
                size = offline.length(storage.volume_at(self.host.connection.handle, path))
                yield Wanted(place.target, pool, volume, path, size, "raw")
                continue
            base = self._base(place.target) if self.move.copy_storage == "incremental" else (None, None)
            yield Wanted(place.target, pool, volume, path, self._capacity(place), formats[place.target], *base)

    def _discard(self, made: t.Sequence[t.Any], error: ArchipelError) -> None:
        """Only where the machine is not there: of a move whose end could not be seen, the disks may be in use."""
        where = ", ".join(f"{pool}/{name}" for pool, name in made)
        try:
            if not look(self.move, self.host.peers, self.machine.name, self.machine.uuid)["present"]:
                left = ask(self.host, self.move, "discard", volumes=made)["left"]
                where = ", ".join(left)
        except ArchipelError as why:
            error.message += f" {why.message}"
        if where:
            error.message += f" Left on {self.there['hypervisor']}: {where}."

    def _migrate(self) -> dict[str, t.Any]:
        machine, move = self.machine, self.move
        began = time.monotonic()
        if self.carried:
            self._carry(content.Terms(began + move.wait_timeout, self.progress, None))
            return {"elapsed": round(time.monotonic() - began, 3), "downtime": None}
        with self._forgotten(), _watched(machine, move, self.progress) as watch:
            try:
                machine.domain.migrateToURI3(self.there["uri"], self._parameters(), self._flags())
            except libvirt.libvirtError as error:
                raise _failure(machine, move, error, aborted=watch.aborted) from error
        elapsed = time.monotonic() - began
        return {"elapsed": round(elapsed, 3), "downtime": watch.downtime}

    @contextlib.contextmanager
    def _forgotten(self) -> t.Iterator[None]:
        """libvirt moves no machine of which it knows snapshots: for as long as it is at it, it knows none. Unsettled,
        when it could not be told of them again."""
        why = ""
        try:
            snapshots.forget(self.tree)
            yield
        except ArchipelError as error:
            why = f"{error.message} "
            raise
        finally:
            try:
                restore(self.host, self.move, self.promise)
            except ArchipelError as error:
                raise Unsettled(f"{why}{error.message}") from error

    def _carry(self, terms: content.Terms) -> None:
        handle, move = self.host.connection.handle, self.move
        disks = [
            (storage.volume_at(handle, place.path or ""), self.paths[place.target])
            for place in self.places
            if move.copy_storage != "none"
        ]
        if len(self.made) < len(disks):
            raise Conflict(f"{self.there['hypervisor']} has such volumes already; they are not written over.")
        cargo = offline.Cargo(disks, self._definition(inactive=True), snapshots.Knowledge.of(self.tree, self._adapt))
        offline.carry(
            self.machine,
            cargo,
            self.there["uri"],
            undefine=move.undefine_source,
            bandwidth=move.bandwidth,
            terms=terms,
        )

    def _flags(self) -> int:
        move = self.move
        flags = libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_PERSIST_DEST
        if move.undefine_source:
            flags |= libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        if not move.live:
            return flags | libvirt.VIR_MIGRATE_OFFLINE
        flags |= libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
        if move.copy_storage == "all":
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
        elif move.copy_storage == "incremental":
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC
        if self.there["uri"].startswith("qemu+tls://") if move.tls is None else move.tls:
            flags |= libvirt.VIR_MIGRATE_TLS
        for wanted, flag in (
            (move.auto_converge, libvirt.VIR_MIGRATE_AUTO_CONVERGE),
            (move.post_copy, libvirt.VIR_MIGRATE_POSTCOPY),
            (move.parallel_connections, libvirt.VIR_MIGRATE_PARALLEL),
        ):
            flags |= flag if wanted else 0
        return int(flags)

    def _parameters(self) -> dict[str, t.Any]:
        move = self.move
        parameters: dict[str, t.Any] = {}
        if move.bandwidth is not None:
            parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = move.bandwidth
        if move.live and move.parallel_connections:
            parameters[libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS] = move.parallel_connections
            # Without, QEMU is to verify the certificate of a host without a name, for disks (libvirt 9.0).
            if host := urllib.parse.urlsplit(self.there["uri"]).hostname:
                parameters[libvirt.VIR_MIGRATE_PARAM_TLS_DESTINATION] = host
        if move.storage_map or move.network_map or self.ejected:
            parameters[libvirt.VIR_MIGRATE_PARAM_DEST_XML] = self._definition(inactive=not move.live)
            if move.live and self.machine.condition.persistent:
                parameters[libvirt.VIR_MIGRATE_PARAM_PERSIST_XML] = self._definition(inactive=True)
        return parameters

    def _definition(self, *, inactive: bool) -> str:
        flags = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE
        flags |= libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0
        with doing(f"Read the definition of {self.machine.name}"):
            domain = xmltree.parse_trusted(self.machine.domain.XMLDesc(flags))
        self._adapt(domain)
        return xmltree.serialise(domain)

    def _adapt(self, domain: t.Any) -> None:
        """Make of a definition what it is to be at the destination."""
        mapping.connect(domain, self.move.network_map)
        mapping.store(domain, self.places, self.paths)
        mapping.eject(domain, self.ejected)


def restore(host: Host, move: Move, promise: t.Mapping[str, t.Any]) -> None:
    """Whatever came of a move that was promised, have libvirt know the snapshots that it was made to forget for it,
    where the machine is. What it knows stays as it is, so this may be done again."""
    # The promise of an older agent has none.
    if not (known := promise.get("snapshots")):
        return
    vm = promise["result"]["vm"]
    try:
        here = host.find(uuid=vm["uuid"])
        active = here is not None and here.status[0] in ACTIVE
        there = None if active else look(move, host.peers, vm["name"], vm["uuid"])
        if there and there["present"]:
            with Connection(there["uri"]) as connection, doing(f"Look for {vm['name']} at the destination"):
                domain = connection.handle.lookupByUUIDString(vm["uuid"])
                snapshots.Knowledge(**known["there"]).teach(domain)
        elif here:
            snapshots.Knowledge(**known["here"]).teach(here.domain)
        else:
            raise NotFound(f"It is neither on {host.name} nor at the destination.")
    except ArchipelError as error:
        names = ", ".join(t.cast(str, xmltree.read(xmltree.parse_trusted(xml), "name")) for xml in known["here"]["xml"])
        error.message = f"libvirt was made to forget the snapshots of {vm['name']} ({names}). {error.message}"
        raise


def conclude(host: Host, move: Move, promise: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The result of a move that was promised, when the machine has moved: what is to be removed from its source goes
    once it is found at the destination, and what cannot be verified stays, and is told."""
    done: dict[str, t.Any] = promise["result"]
    if not promise["going"]:
        return done
    source, target = done["source"], done["destination"]
    handle, kept = host.connection.handle, set(promise["going"])
    why = "another machine uses them by now."
    try:
        _refuse_unverified(host, move, promise)
        document = xmltree.parse_trusted(promise["document"])
        disks = [image.node for image in images.written(handle, document)]
        for volume in belongings.judge(host, done["vm"]["uuid"], [document], promise["remove"], disks).going:
            if volume.path in kept:
                volume.remove()
                kept.discard(volume.path)
        # An earlier run may have got so far.
        kept = {path for path in kept if storage.volume_at(handle, path) is not None}
    except ArchipelError as error:
        why = f"{target} could not be verified: {error.message}"
    if not kept:
        return done
    paths = {promise["going"][path] for path in kept}
    return {
        **done,
        "msg": f"{done['msg']} Its disks stay on {source} too, since {why}",
        "changes": [change for change in done["changes"] if change["path"] not in paths],
        "diff": {key: {p: v for p, v in side.items() if p not in paths} for key, side in done["diff"].items()},
        "left_behind": sorted({*done["left_behind"], *kept}),
    }


def _refuse_unverified(host: Host, move: Move, promise: t.Mapping[str, t.Any]) -> None:
    """Conflict, unless the machine is at the destination in the state that it had, and its disks are there."""
    vm, target = promise["result"]["vm"], promise["result"]["destination"]
    now = look(move, host.peers, vm["name"], vm["uuid"])
    if (now["state"] in RUNNING) != (vm["state"] in RUNNING) or not now["present"]:
        raise Conflict(f"{vm['name']} is {now['state'] or 'absent'} on {target}, and was {vm['state']}.")
    answer = ask(host, move, "inspect", needs=promise["needs"])
    unseen = [finding.msg for finding in map(Finding.bind, answer["findings"]) if finding.what in promise["disks"]]
    if unseen:
        raise Conflict(" ".join(unseen))


def _listed(names: t.Iterable[str | None]) -> str:
    return ", ".join(sorted(filter(None, names))) or "none"


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
    if error.get_error_code() == libvirt.VIR_ERR_OPERATION_ABORTED:
        return OperationFailed(f"{machine.name} was not moved: somebody aborted it. {remains}")
    if error.get_error_code() == libvirt.VIR_ERR_MIGRATE_UNSAFE and move.copy_storage == "none":
        remains = f"If its disks are not on storage that both sides share, use copy_storage: all. {remains}"
    if move.post_copy and "not supported" in str(error.get_error_message()):
        remains = f"post_copy needs the sysctl vm.unprivileged_userfaultfd=1 on both hypervisors. {remains}"
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
        switching = self.move.post_copy
        domain = self.machine.domain
        while not self._over.wait(PROGRESS_INTERVAL):
            # Between the phases of a migration there is nothing to read or to set, and after it no domain.
            if not limited:
                with contextlib.suppress(libvirt.libvirtError):
                    domain.migrateSetMaxDowntime(self.move.max_downtime)
                    limited = True
            with contextlib.suppress(libvirt.libvirtError):
                stats = domain.jobStats()
                self._tell(stats)
                if switching and stats.get(libvirt.VIR_DOMAIN_JOB_MEMORY_ITERATION, 0) > 1:
                    domain.migrateStartPostCopy()
                    switching = False
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
