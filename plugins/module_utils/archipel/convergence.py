# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Bringing a machine to what a task asks for.

First the whole plan is made, then it is run: check mode is the plan without the run, so it tells just what the run
would change.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import time
import typing as t

from . import belongings, cloud_init, definition, disks, given, storage, xmltree
from .blocks import Block, gib
from .connection import doing
from .definition import Definition, Difference
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidArgument, InvalidDefinition, NotFound
from .host import canonical_uuid
from .lifecycle import ACTIVE, ENDING, LEADS_TO, REACHED, RESTART, RUNNING, SAVED, VERBS, needs_configuration
from .live import REFUSALS, SILENT, Later, Live, Operation
from .machine import WAIT_TIMEOUT, Machine
from .plan import Plan
from .storage import GIB

if t.TYPE_CHECKING:
    from .host import Host

Apply = t.Literal["live", "config", "restart"]
WaitForIp = t.Literal["no", "yes", "lease", "agent", "arp"]


@dataclasses.dataclass(frozen=True)
class Removal:
    """What becomes of a machine's belongings when it is removed."""

    remove_volumes: str = "none"
    keep_nvram: bool = False
    keep_tpm: bool = False


@dataclasses.dataclass(frozen=True)
class Desired:
    """What a task asks of one machine.

    ``gone`` are devices that are not to be there, by their list's key; of the lists in ``complete`` no others than the
    definition's are to be there. ``existing``: whether the task is about a machine that is there
    and makes none.
    """

    name: str | None
    uuid: str | None
    state: str = "present"
    definition: Definition = definition.NOTHING
    xml: str | None = None
    force: bool = False
    apply: str = "live"
    autostart: bool | None = None
    force_after: int | None = None
    removal: Removal = Removal()
    gone: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]] = dataclasses.field(default_factory=dict)
    complete: frozenset[str] = frozenset()
    existing: bool = False
    shrink: bool = False
    wait: bool = True
    wait_timeout: int = WAIT_TIMEOUT
    wait_for_ip: str = "no"


def converge(hypervisor: Host, desired: Desired, *, check: bool, brief: bool = False) -> dict[str, t.Any]:
    """``changed, msg, changes, diff, restart_required, restart_reasons, volumes_kept, vm``; an error has what was
    changed before it. ``brief``: of the machine name, UUID and state are enough.
    """
    work = Convergence(hypervisor, desired, check=check)
    work.make()
    if not check:
        work.plan.run()
    try:
        return work.result(brief=brief)
    except ArchipelError as error:
        error.changes = [change.as_data() for change in work.plan.done]
        raise


class Convergence:
    """The way from what there is to what is asked for: ``make`` it, run its ``plan``, and tell the ``result``."""

    def __init__(self, hypervisor: Host, desired: Desired, *, check: bool) -> None:
        self.hypervisor = hypervisor
        self.handle = hypervisor.connection.handle
        self.desired = desired
        self.check = check
        self.not_yet: list[str] = []  # what another task may make before this one runs
        self.plan = Plan()
        self.later: list[Later] = []
        self.kept: list[dict[str, str]] = []
        self.final_state = "absent"
        self.given = xmltree.parse(desired.xml, "domain") if desired.xml is not None else None
        self.uuid = canonical_uuid(desired.uuid) if desired.uuid else None
        self.name, self.uuid = self._identity()
        self.machine = hypervisor.find(name=self.name, uuid=self.uuid)
        self.missing = self.machine is None
        self.old_state = self._state()

    def _identity(self) -> tuple[str | None, str | None]:
        name, uuid = self.desired.name, self.uuid
        if self.given is None:
            return name, uuid
        if self.desired.definition:
            raise InvalidDefinition(
                f"xml is a whole definition; {', '.join(self.desired.definition.values)} cannot be given beside it."
            )
        written_name, written_uuid = xmltree.read(self.given, "name"), xmltree.read(self.given, "uuid")
        written_uuid = canonical_uuid(written_uuid) if written_uuid else None
        for key, asked, written in (("name", name, written_name), ("uuid", uuid, written_uuid)):
            if asked and written and asked != written:
                raise InvalidDefinition(
                    f"The XML's {key} is {written!r}, the task's is {asked!r}; give one, or the same."
                )
        return name or written_name, uuid or written_uuid

    def _state(self) -> str:
        """As libvirt tells it, or SAVED, or absent."""
        if self.machine is None:
            return "absent"
        state = self.machine.status[0]
        return SAVED if state == "shutoff" and self.machine.saved else state

    @property
    def _who(self) -> str:
        return str(self.name or (self.machine.name if self.machine else self.uuid))

    # -- the plan

    def make(self) -> None:
        if self.desired.state == "absent":
            self._plan_removal()
            return
        if self.given is not None:
            self._plan_given()
        elif self.machine is not None:
            if self.desired.definition or self.desired.gone or self.desired.complete:
                self._plan_changes(self.machine)
        elif self._can_be_made():
            self._plan_new()
        else:
            self._plan_nobody()
        self._plan_autostart()
        self._plan_state(self._plan_restart())
        self._plan_address()

    # -- of what goes

    def _plan_removal(self) -> None:
        machine = self.machine
        if machine is None:
            return
        with doing(f"Look at {machine.name}"):
            persistent = machine.domain.isPersistent()
            snapshots = machine.domain.snapshotNum()
        if not self.desired.force:
            for there, text in (
                (self.old_state in ACTIVE, f"is {self.old_state}; shut it down first"),
                (self.old_state == SAVED, "has saved memory (managed save); start it, or discard that"),
                (snapshots, f"has {snapshots} snapshots; delete them first"),
            ):
                if there:
                    raise Conflict(f"{machine.name} {text}, or use force: true.")
        documents = [machine.document(inactive=True), machine.document()]
        state = self.old_state
        if state in ACTIVE or state == "crashed":
            off = "shutoff" if persistent else "absent"
            timeout = self.desired.wait_timeout
            change = Change("state", state, off, "live")
            self.plan.add([change], lambda: machine.destroy(wait=True, wait_timeout=timeout))
            state = off
        if persistent:
            keep = self.desired.removal
            self.plan.add(
                [Change("state", state, "absent")],
                lambda: machine.undefine(keep_nvram=keep.keep_nvram, keep_tpm=keep.keep_tpm),
            )
        self._plan_volumes(machine, documents)

    def _plan_volumes(self, machine: Machine, documents: list[t.Any], disks: t.Sequence[t.Any] = ()) -> None:
        which = self.desired.removal.remove_volumes
        if which == "none":
            return
        going, self.kept = belongings.judge(self.hypervisor, machine.uuid, documents, which, disks)
        for volume in going:
            if self.desired.state == "absent":
                self.plan.add([volume.removal], volume.remove)
            elif volume.path in self._held(machine):
                self._keep(machine, volume)
            else:
                changes = [volume.removal]
                self.plan.add(changes, functools.partial(self._remove_from, machine, volume, changes))

    def _remove_from(self, machine: Machine, volume: belongings.Volume, changes: list[Change]) -> None:
        """Delete a volume that a disk of the machine was, unless its guest system has not let go of it."""
        if volume.path in [disks.PATH.read(disk) for disk in machine.document().iterfind("devices/disk")]:
            self._keep(machine, volume)
            changes.clear()
            return
        volume.remove()
        machine.own(volume.pool, volume.name, owned=False)

    def _keep(self, machine: Machine, volume: belongings.Volume) -> None:
        self.kept.append({"path": volume.path, "reason": f"{machine.name} has it until it starts again"})

    def _held(self, machine: Machine) -> list[str | None]:
        """The volumes of disks that stay in what runs though the configuration has them no more."""
        waiting = {later.change.path for later in self.later}
        nodes = self._document(machine).iterfind("devices/disk") if waiting else ()
        return [disks.PATH.read(n) for n in nodes if f"disks[{xmltree.read(n, 'target/@dev')}]" in waiting]

    # -- of a definition given whole

    def _plan_given(self) -> None:
        name = self.name or (self.machine and self.machine.name)
        if not name:
            raise InvalidDefinition("The XML has no <name>; give it, or the name beside it.")
        xmltree.write(self.given, "name", name)
        if self.uuid:
            xmltree.write(self.given, "uuid", self.uuid)
        current = self.machine.document(inactive=True, secure=True) if self.machine else None
        node = given.complete(self.given, current, self.hypervisor.machine_types(self.given))
        if current is None:
            changes = [Change("state", "absent", "shutoff")]
        else:
            changes = given.compare(node, current)
            with doing(f"Look at {name}"):
                if not t.cast(Machine, self.machine).domain.isPersistent():
                    changes.append(Change("persistent", False, True))
        if self._keeps_running:
            self.later += [Later(c, "a whole definition is read when the machine starts") for c in changes]
        if changes:
            self.plan.add(changes, lambda: self._define(node))

    # -- of a machine that is not there yet

    def _can_be_made(self) -> bool:
        return "memory" in self.desired.definition.values and not self.desired.existing

    def _plan_nobody(self) -> None:
        """In check mode another task may make the machine before this one runs; then this is what is left to do."""
        desired = self.desired
        if not self.check:
            who = self.name or self.uuid
            if desired.existing:
                raise NotFound(f"There is no machine {who!r} on {self.hypervisor.name}; make it first (module vm).")
            if not desired.definition:
                raise NotFound(
                    f"There is no machine {who!r} on {self.hypervisor.name}, and nothing says what it is to be made of"
                    " (memory, disks … or xml)."
                )
            if not self.name:
                raise InvalidDefinition("A new machine needs a name.")
            raise InvalidDefinition(f"{self.name} is new and needs memory, in MiB.")
        values = desired.definition.values
        changes = [Change(key, None, value) for key, value in values.items() if key not in definition.LISTS]
        for key in definition.LISTS:
            for i, item in enumerate(values.get(key, ())):
                label = next((item[k] for k in ("target", "vol", "path", "mac", "network", "bridge") if item.get(k)), i)
                changes.append(Change(f"{key}[{label}]", None, dict(item)))
        if changes:
            self.plan.add(changes, _nothing)

    def _plan_new(self) -> None:
        values = self.desired.definition.values
        if not self.name:
            raise InvalidDefinition("A new machine needs a name.")
        defaults: dict[str, t.Any] = self.hypervisor.defaults(values.get("type"), values.get("arch"))
        defaults.update({key: values[key] for key in ("type", "arch", "machine") if key in values})
        offers = self.hypervisor.domain_capabilities(defaults["type"], defaults["arch"], defaults.get("machine"))
        node = definition.new(self.name, self.uuid, defaults, values, offers)
        self._refuse_missing(values, node)
        resolved = self._resolve(values, node)
        changes = [Change("state", "absent", "shutoff")]
        changes += [Change(key, None, value) for key, value in values.items()]
        definition.apply(node, resolved)
        definition.METADATA.write(node, values.get("metadata", {}))
        self.plan.add(changes, lambda: self._define(node))

    # -- of a machine that is there

    @property
    def _keeps_running(self) -> bool:
        """Whether what runs now runs on after the task, so that it has to change itself."""
        return self.old_state in (*ACTIVE, SAVED) and self.desired.state not in ENDING

    def _plan_changes(self, machine: Machine) -> None:
        with doing(f"Look at {machine.name}"):
            persistent = bool(machine.domain.isPersistent())
        node = self._document(machine, inactive=persistent)
        self._refuse_missing(self.desired.definition.values, node)
        resolved = self._resolve(self.desired.definition.values, node)
        self._name_interfaces(machine, resolved, node)
        configured = self._compare(node, resolved) if persistent else []
        for difference in configured:
            if difference.key == "disks" and difference.index is not None and difference.fate == "added":
                # Where it runs it is to have the name that it has in the configuration.
                resolved["disks"][difference.index]["target"] = difference.label
        waiting = {change.path: change for difference in configured for change in difference.changes}
        operations = self._plan_live(machine, resolved, waiting, node)
        if not persistent and self.later:
            raise Conflict(
                f"{machine.name} is transient: it has no configuration that could be changed, and"
                f" {self.later[0].change.path} cannot while it runs: {self.later[0].why}."
            )
        refused: list[Change] = []
        for operation in operations:
            beside = any(change.path in waiting for change in operation.changes)
            changes = [dataclasses.replace(waiting.pop(c.path, c), scope="live") for c in operation.changes]
            self.plan.add(changes, functools.partial(self._operate, operation, changes, refused, beside=beside))
        if configured:
            left = list(waiting.values())
            self.plan.add(left, functools.partial(self._configure, machine, resolved))
        self._plan_metadata(machine, node)
        if "cloud_init" in self.desired.definition.values and self.old_state not in ACTIVE:
            self._plan_old_seed(machine, node, resolved)
        removed = [d.node for d in configured if d.key == "disks" and d.fate == "removed"]
        if removed:
            self._plan_volumes(machine, [node], removed)

    def _plan_old_seed(self, machine: Machine, node: t.Any, resolved: t.Mapping[str, t.Any]) -> None:
        """A seed that another one took the place of may hold secrets. One that a running machine has in its drive stays
        until the machine goes."""
        old, new = cloud_init.old(node), resolved["disks"][-1]["path"]
        pool = storage.pool_of(self.handle, old) if old and old != new else None
        name = (old or "").rpartition("/")[2]
        if pool is not None and (pool, name) in belongings.noted(node):
            path = t.cast(str, old)
            self.plan.add([Change(f"volumes[{pool}/{name}]", {"format": "iso"}, None)], lambda: self._delete(path))
            self.plan.add([], functools.partial(machine.own, pool, name, owned=False))

    def _delete(self, path: str) -> None:
        with doing(f"Delete {path}"), contextlib.suppress(NotFound):
            self.handle.storageVolLookupByPath(path).delete(0)

    def _plan_live(
        self, machine: Machine, resolved: t.Mapping[str, t.Any], waiting: t.Mapping[str, Change], configured: t.Any
    ) -> list[Operation]:
        """What can be done to the machine as it runs. What cannot is noted, also where it has been in the configuration
        for long."""
        if not self._keeps_running:
            return []
        if self.old_state == SAVED:
            self.later += [Later(c, "the machine goes on from its saved memory") for c in waiting.values()]
            return []
        node = self._document(machine)
        live = Live(
            machine, node, state=self.old_state, timeout=self.desired.wait_timeout, force=self.desired.force
        )  # fmt: skip
        for difference in self._compare(node, _completed(resolved, configured, node)):
            difference.changes = [c for c in difference.changes if c.path in waiting or not _settled(c)]
            if self.desired.apply == "config":
                self.later += [Later(change, "the configuration alone was to change") for change in difference.changes]
            elif difference.changes:
                live.sort(difference)
        most = {xmltree.read(document, "memory") for document in (node, configured)}
        for later in live.later:
            # A machine that has just been started comes to its memory when its guest system is there, and one whose
            # guest system does not care would not after another start either.
            if later.why != SILENT or later.change.path in waiting or len(most) > 1:
                self.later.append(later)
        return live.operations

    def _compare(self, node: t.Any, resolved: t.Mapping[str, t.Any]) -> list[Difference]:
        return definition.compare(node, resolved, gone=self._gone(node), complete=self.desired.complete)

    def _gone(self, node: t.Any) -> dict[str, list[dict[str, t.Any]]]:
        """The devices that are to go, each by what tells it from all others."""
        keys = {"disks": "target", "networks": "mac"}
        return {
            key: [
                {keys[key]: part.read(device)[keys[key]]}
                for part in [definition.LISTS[key]]
                for item in items
                for device in node.findall(part.path)
                if not part.compare(device, item)
            ]
            for key, items in self.desired.gone.items()
        }

    def _name_interfaces(self, machine: Machine, resolved: dict[str, t.Any], node: t.Any) -> None:
        """A task about one interface means the one that is connected so, or a new one; it takes none from elsewhere.
        The address of a new one is made of what it is, so that check mode tells the one that the run gives it."""
        if not self.desired.existing:
            return
        for i, item in enumerate(resolved.get("networks", ())):
            if "mac" not in item:
                part = definition.LISTS["networks"]
                place = {key: item[key] for key in ("type", "network", "bridge", "source") if key in item}
                there = next((d for d in node.iterfind(part.path) if not part.compare(d, place)), None)
                mac = None if there is None else xmltree.read(there, "mac/@address")
                resolved["networks"][i] = {**item, "mac": mac or _address(machine.uuid, place)}

    def _document(self, machine: Machine, *, inactive: bool = False) -> t.Any:
        node = machine.document(inactive=inactive, secure=True)
        for source in node.iterfind("devices/disk[@type='volume']/source"):
            # libvirt does not read the path here; it is for those who name the disk by it.
            with contextlib.suppress(ArchipelError):
                path, _kind = storage.find_volume(self.handle, source.get("pool"), source.get("volume"))
                source.set("file", path)
        return node

    def _operate(self, operation: Operation, changes: list[Change], refused: list[Change], *, beside: bool) -> None:
        """Change what runs. What is refused is left to the configuration, and said."""
        try:
            operation.run(beside)
        except REFUSALS as error:
            self.later += [Later(change, error.message.rstrip(".")) for change in changes]
            changes[:] = [dataclasses.replace(change, scope="config") for change in changes] if beside else []

    def _configure(self, machine: Machine, resolved: t.Mapping[str, t.Any]) -> None:
        """Write what the configuration still lacks: some of it came there with what was done live."""
        node = self._document(machine, inactive=True)
        if definition.apply(node, resolved, gone=self._gone(node), complete=self.desired.complete):
            self._define(node)

    def _plan_metadata(self, machine: Machine, node: t.Any) -> None:
        values = self.desired.definition.values
        changes = definition.metadata_changes(node, values)
        if changes:
            live = [dataclasses.replace(c, scope="live") for c in changes] if self.old_state in ACTIVE else changes
            self.plan.add(live, lambda: machine.set_metadata(values["metadata"]))

    def _refuse_missing(self, values: t.Mapping[str, t.Any], node: t.Any) -> None:
        """What this host cannot have is refused before anything is done."""
        definition.refuse_pins(values, node)
        if "machine" in values:
            self.hypervisor.refuse_machine(values["machine"], node)
        offers = self.hypervisor.offers(node)
        if offers is not None:
            definition.refuse_missing(values, offers)

    # -- names of this host in place of names that mean them

    def _resolve(self, values: t.Mapping[str, t.Any], node: t.Any) -> dict[str, t.Any]:
        """Volumes' paths, machine types' canonical names. Plans the volumes that are missing or too small."""
        resolved = dict(values)
        if "machine" in resolved:
            there = xmltree.read(node, "os/type/@machine") if self.machine else None
            types = self.hypervisor.machine_types(node)
            resolved["machine"] = definition.machine_type(resolved["machine"], there, types)
        if "networks" in values:
            resolved["networks"] = list(values["networks"])
        if "disks" in values:
            resolved["disks"] = [self._resolve_disk(disk, i, node) for i, disk in enumerate(values["disks"])]
        if "cloud_init" in values:
            resolved["disks"] = [*resolved.get("disks", ()), self._resolve_seed(values["cloud_init"], resolved, node)]
        return resolved

    def _resolve_seed(
        self, wanted: t.Mapping[str, t.Any], resolved: t.Mapping[str, t.Any], node: t.Any
    ) -> dict[str, t.Any]:
        """The drive with cloud-init's seed. Plans the seed, where there is none that says the same."""
        seed = cloud_init.seed(self._who, wanted)
        pool = wanted.get("pool") or self._first_pool(resolved, node)
        path, kind = storage.find_volume(self.handle, pool, seed.name)
        if kind is None:
            until = time.monotonic() + self.desired.wait_timeout
            self._plan_made(
                pool, seed.name, {"format": "iso"}, lambda: seed.store(self.handle, pool, until=until), node
            )
        return cloud_init.disk(node, path)

    def _first_pool(self, resolved: t.Mapping[str, t.Any], node: t.Any) -> str:
        """The pool of the machine's first disk."""
        for disk in resolved.get("disks", ()):
            if "pool" in disk:
                return str(disk["pool"])
        paths = [disk.get("path") for disk in resolved.get("disks", ())]
        paths += [disks.PATH.read(disk) for disk in node.iterfind("devices/disk")]
        found = next((pool for pool in (storage.pool_of(self.handle, path) for path in paths if path) if pool), None)
        if found is None:
            raise InvalidDefinition("cloud_init.pool: name the pool for the seed; no disk of the machine is in one.")
        return found

    def _resolve_disk(self, disk: dict[str, t.Any], index: int, node: t.Any) -> dict[str, t.Any]:
        there = disks.DISK.pair(node.findall("devices/disk"), [disk])[0] if "target" in disk or "path" in disk else None
        if "pool" not in disk or (there is not None and "vol" not in disk):
            # A pool alone says where a new volume is to be made; a disk that is there has its own.
            disk = {key: value for key, value in disk.items() if key != "pool"}
            if "size" in disk:
                if there is None:
                    raise InvalidDefinition(f"disks[{index}]: size needs the pool in which the volume is to be made.")
                self._plan_growth(xmltree.read(there, "target/@dev"), disks.PATH.read(there), disk["size"])
            return dict(disk)
        pool, volume = disk["pool"], self._volume_name(disk, index)
        if self.check and storage.find_pool(self.handle, pool) is None:
            # Another task may make it; then the volume is not there either.
            path, kind = f"{pool}/{volume}", None
        else:
            path, kind = storage.find_volume(self.handle, pool, volume)
        if kind is None and "size" not in disk and self.check and disk.get("vol"):
            # Another task may make it; of which format is not known yet.
            self.not_yet.append(f"There is no volume {volume} in pool {pool} yet.")
            kind = disk.get("format", "qcow2")
        elif kind is None and "size" not in disk:
            raise NotFound(
                f"disks[{index}]: there is no volume {volume!r} in pool {pool}; name its size in GiB to make it."
            )
        elif kind is None:
            kind = disk.get("format", "qcow2")
            self._plan_volume(pool, volume, disk["size"], kind, node)
        elif "size" in disk:
            attached = next((d for d in node.iterfind("devices/disk") if disks.PATH.read(d) == path), None)
            target = None if attached is None else xmltree.read(attached, "target/@dev")
            self._plan_growth(target, path, disk["size"])
        return {**disk, "path": path, disks.FOUND: kind}

    def _volume_name(self, disk: t.Mapping[str, t.Any], index: int) -> str:
        if disk.get("vol"):
            return str(disk["vol"])
        name = str(self.name or (self.machine and self.machine.name))
        if self.desired.existing:
            # One disk alone has no place in a list to be named by.
            return f"{name}-{disk['target']}.{disk.get('format', 'qcow2')}"
        return disks.default_volume(name, index, disk)

    def _plan_volume(self, pool: str, name: str, size: int, kind: str, node: t.Any) -> None:
        create = functools.partial(storage.create_volume, self.handle, pool, name, size=size, format=kind)
        self._plan_made(pool, name, {"size": size, "format": kind}, create, node)

    def _plan_made(
        self, pool: str, name: str, told: dict[str, t.Any], create: t.Callable[[], t.Any], node: t.Any
    ) -> None:
        """Make a volume that is the machine's own."""
        machine, made = self.machine, []
        if machine is None:
            belongings.note(node, pool, name)

        def make() -> None:
            made.append(create())
            if machine is not None:
                machine.own(pool, name)

        def unmake() -> None:
            made[0].delete(0)
            if machine is not None:
                machine.own(pool, name, owned=False)

        self.plan.add([Change(f"volumes[{pool}/{name}]", None, told)], make, unmake)

    def _plan_growth(self, target: str | None, path: str | None, size: int) -> None:
        """``target``: of a disk of the machine; without, the volume at ``path`` is nobody's or will be its disk."""
        block = Block(self.handle, self.machine, target, path, running=self.old_state in ACTIVE)
        capacity, wanted = block.capacity, size * GIB
        if wanted == capacity:
            return
        label = f"disks[{target}]" if target else f"volumes[{path}]"
        if wanted < capacity and not self.desired.shrink:
            raise InvalidDefinition(
                f"{label}.size: it has {gib(capacity)} GiB, and a disk that is made smaller loses data. Name at least"
                " its size, or shrink it while the machine is off (module vm_disk, force: true)."
            )
        change = Change(f"{label}.size", gib(capacity), size, "live" if block.busy else "config")
        block.refuse(shrink=wanted < capacity)
        self.plan.add([change], lambda: block.resize(wanted))

    # -- what comes after

    def _define(self, node: t.Any) -> None:
        with doing(f"Define {xmltree.read(node, 'name')}"):
            self.machine = Machine(self.hypervisor, self.handle.defineXML(xmltree.serialise(node)))

    def _plan_autostart(self) -> None:
        wanted = self.desired.autostart
        if wanted is None:
            return
        old = False
        if self.machine is not None:
            with doing(f"Look at {self.machine.name}"):
                old = bool(self.machine.domain.autostart())
        if wanted != old:
            self.plan.add([Change("autostart", old, wanted)], lambda: self._set_autostart(wanted))

    def _set_autostart(self, wanted: bool) -> None:
        with doing(f"Set autostart of {self._who}"):
            t.cast(Machine, self.machine).domain.setAutostart(int(wanted))

    def _plan_restart(self) -> str:
        """With apply: restart, that what waits for a start gets one. The state that the machine is in then."""
        begin = "shutoff" if self.missing else self.old_state
        if self.desired.apply != "restart" or not self._keeps_running:
            return begin
        needed = bool(self.later)
        verbs = RESTART.get(begin, ())
        changes = self._changes_of(begin, verbs) if needed else []

        def run() -> None:
            # What is refused while it is done may need one that could not be foreseen.
            if self.later:
                changes[:] = self._changes_of(begin, verbs)
                for verb in verbs:
                    self._run_verb(verb, wait=True)
                self.later.clear()

        self.plan.add(changes, run)
        if needed and self.check:
            self.later.clear()
        return LEADS_TO[verbs[-1]] if needed and verbs else begin

    @staticmethod
    def _changes_of(begin: str, verbs: t.Iterable[str]) -> list[Change]:
        states = [begin, *(LEADS_TO[verb] for verb in verbs)]
        return [Change("state", old, new, "live") for old, new in zip(states, states[1:])]

    def _plan_state(self, begin: str) -> None:
        asked = self.desired.state
        verbs = VERBS[asked].get(begin, ())
        wanted = REACHED.get(asked)
        there = {wanted, "blocked"} if wanted == "running" else {wanted, SAVED} if wanted == "shutoff" else {wanted}
        if wanted and not verbs and begin not in there:
            raise Conflict(f"{self._who} is {begin}; it cannot become {wanted} from there.")
        if self.machine is not None and needs_configuration(verbs) and not self.machine.condition.persistent:
            raise Conflict(f"{self._who} is transient and gone when it is off; it cannot become {asked}.")
        for verb, change in zip(verbs, self._changes_of(begin, verbs)):
            # What comes next needs that it has happened.
            wait = self.desired.wait or verb != verbs[-1]
            self.plan.add([change], functools.partial(self._run_verb, verb, wait=wait))
        self.final_state = LEADS_TO[verbs[-1]] if verbs else begin

    def _run_verb(self, verb: str, *, wait: bool) -> None:
        more = {"force_after": self.desired.force_after} if verb == "shutdown" and wait else {}
        getattr(self.machine, verb)(wait=wait, wait_timeout=self.desired.wait_timeout, **more)

    def _plan_address(self) -> None:
        source = self.desired.wait_for_ip
        if source == "no":
            return
        if self.final_state not in RUNNING:
            raise InvalidArgument(
                f"wait_for_ip: {self._who} is to be {self.final_state}, and has no address then; use state: running."
            )
        source, timeout = "any" if source == "yes" else source, self.desired.wait_timeout
        self.plan.add([], lambda: t.cast(Machine, self.machine).await_address(source, timeout))

    # -- the result

    def result(self, *, brief: bool) -> dict[str, t.Any]:
        result = self.plan.result(self._who, check=self.check)
        if self.missing and self.check and result["changed"] and not self._can_be_made() and self.given is None:
            self.not_yet.insert(0, f"{self._who} is not there yet.")
        result["msg"] = " ".join([*self.not_yet, result["msg"]])
        reasons = [f"{change.path} waits for the next start: {why}." for change, why in self.later]
        return {
            **result,
            "restart_required": bool(reasons),
            "restart_reasons": reasons,
            "volumes_kept": self.kept,
            "vm": self._vm(brief=brief),
        }

    def _vm(self, *, brief: bool) -> dict[str, t.Any]:
        source = {"no": "none", "yes": "any"}.get(self.desired.wait_for_ip, self.desired.wait_for_ip)
        if self.machine is not None:
            with contextlib.suppress(NotFound):
                if brief:
                    return {"name": self.machine.name, "uuid": self.machine.uuid, "state": self.machine.status[0]}
                return self.machine.describe(addresses=source)
        return {
            "name": self.name or (self.machine and self.machine.name),
            "uuid": self.uuid or (self.machine and self.machine.uuid),
            "state": "absent",
        }


def _completed(resolved: t.Mapping[str, t.Any], configured: t.Any, running: t.Any) -> dict[str, t.Any]:
    """With all that the configuration says of the devices that the running machine does not have: the task may name
    less than it takes to plug one in."""
    completed = dict(resolved)
    for key in ("disks", "networks"):
        part, items = definition.LISTS[key], resolved.get(key, ())
        there, runs = (part.pair(node.findall(part.path), items) for node in (configured, running))
        completed[key] = [
            item if device is None or live is not None else {**_told(part.read(device)), **item}
            for item, device, live in zip(items, there, runs)
        ]
    return completed


def _told(values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in values.items() if value is not None}


def _settled(change: Change) -> bool:
    """Whether libvirt has put something of its own in the place of what was asked, when the machine started."""
    return change.path == "cpu.mode" and (change.old, change.new) == ("custom", "host-model")


def _address(uuid: str, place: t.Mapping[str, str]) -> str:
    """A MAC address of QEMU's range."""
    digest = hashlib.sha256(repr((uuid, sorted(place.items()))).encode()).hexdigest()
    return "52:54:00:" + ":".join(digest[i : i + 2] for i in (0, 2, 4))


def _nothing() -> None:
    """What only check mode can plan."""
