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
import typing as t

from . import definition, disks, given, storage, xmltree
from .connection import doing, libvirt
from .definition import Definition
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidDefinition, NotFound
from .lifecycle import ACTIVE, LEADS_TO, REACHED, VERBS
from .machine import Machine, canonical_uuid
from .plan import Plan

if t.TYPE_CHECKING:
    from .host import Host


@dataclasses.dataclass(frozen=True)
class Desired:
    """What a task asks of one machine."""

    name: str | None
    uuid: str | None
    state: str
    definition: Definition
    xml: str | None
    force: bool
    wait: bool
    wait_timeout: int


def converge(hypervisor: Host, desired: Desired, *, check: bool) -> dict[str, t.Any]:
    """``changed, msg, changes, diff, restart_required, restart_reasons, vm``; an error has what was changed before."""
    work = _Convergence(hypervisor, desired)
    work.make()
    if not check:
        work.plan.run()
    try:
        return work.result(check=check)
    except ArchipelError as error:
        error.changes = [change.as_data() for change in work.plan.done]
        raise


class _Convergence:
    def __init__(self, hypervisor: Host, desired: Desired) -> None:
        self.hypervisor = hypervisor
        self.handle = hypervisor.connection.handle
        self.desired = desired
        self.plan = Plan()
        self.restart_reasons: list[str] = []
        self.given = xmltree.parse(desired.xml, "domain") if desired.xml is not None else None
        self.uuid = canonical_uuid(desired.uuid) if desired.uuid else None
        self.name, self.uuid = self._identity()
        self.machine = hypervisor.find(name=self.name, uuid=self.uuid)
        self.old_state = self.machine.status[0] if self.machine else "absent"

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

    # -- the plan

    def make(self) -> None:
        if self.desired.state == "absent":
            self._plan_removal()
            return
        if self.given is not None:
            self._plan_given()
        elif self.machine is None:
            self._plan_new()
        elif self.desired.definition:
            self._plan_changes()
        self._plan_state()

    def _plan_removal(self) -> None:
        machine = self.machine
        if machine is None:
            return
        with doing(f"Look at {machine.name}"):
            persistent = machine.domain.isPersistent()
            saved = machine.domain.hasManagedSaveImage() if persistent else 0
            snapshots = machine.domain.snapshotNum()
        if not self.desired.force:
            for there, text in (
                (self.old_state in ACTIVE, f"is {self.old_state}; shut it down first"),
                (saved, "has saved memory (managed save); start it, or discard that"),
                (snapshots, f"has {snapshots} snapshots; delete them first"),
            ):
                if there:
                    raise Conflict(f"{machine.name} {text}, or use force: true.")
        state = self.old_state
        if state in ACTIVE or state == "crashed":
            off = "shutoff" if persistent else "absent"
            timeout = self.desired.wait_timeout
            change = Change("state", state, off, "live")
            self.plan.add([change], lambda: machine.destroy(wait=True, wait_timeout=timeout))
            state = off
        if persistent:
            self.plan.add([Change("state", state, "absent")], lambda: self._undefine(machine))

    def _undefine(self, machine: Machine) -> None:
        node = machine.document(inactive=True)
        flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        # Drivers without firmware variables or checkpoints refuse the flags for them.
        if xmltree.read(node, "os/nvram") is not None:
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        with contextlib.suppress(libvirt.libvirtError):
            if machine.domain.listAllCheckpoints():
                flags |= libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        with doing(f"Undefine {machine.name}"):
            machine.domain.undefineFlags(flags)

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
        self._plan_define(node, changes)

    def _plan_new(self) -> None:
        wanted = self.desired.definition
        if not wanted:
            who = self.name or self.uuid
            raise NotFound(
                f"There is no machine {who!r} on {self.hypervisor.name}, and nothing says what it is to be made of"
                " (memory, disks … or xml)."
            )
        if not self.name:
            raise InvalidDefinition("A new machine needs a name.")
        if "memory" not in wanted.values:
            raise InvalidDefinition(f"{self.name} is new and needs memory, in MiB.")
        values = wanted.values
        defaults = self.hypervisor.defaults(values.get("type"), values.get("arch"))
        node = definition.new(
            self.name, self.uuid, {**defaults, **{k: values[k] for k in ("type", "arch", "machine") if k in values}}
        )
        resolved = self._resolve(values, node)
        changes = [Change("state", "absent", "shutoff")]
        changes += [Change(key, None, value) for key, value in values.items()]
        definition.apply(node, resolved)
        definition.METADATA.write(node, values.get("metadata", {}))
        self._plan_define(node, changes)

    def _plan_changes(self) -> None:
        machine = t.cast(Machine, self.machine)
        with doing(f"Look at {machine.name}"):
            if not machine.domain.isPersistent():
                raise Conflict(f"{machine.name} is transient: it has no configuration that could be changed.")
        node = machine.document(inactive=True, secure=True)
        for source in node.iterfind("devices/disk[@type='volume']/source"):
            # libvirt does not read the path here; it is for those who name the disk by it.
            with contextlib.suppress(ArchipelError):
                path, _kind = storage.find_volume(self.handle, source.get("pool"), source.get("volume"))
                source.set("file", path)
        values = self.desired.definition.values
        self._plan_define(node, definition.apply(node, self._resolve(values, node)))
        metadata = definition.metadata_changes(node, values)
        if metadata:
            live = [dataclasses.replace(c, scope="live") for c in metadata] if self.old_state in ACTIVE else metadata
            self.plan.add(live, lambda: machine.set_metadata(values["metadata"]))

    def _resolve(self, values: t.Mapping[str, t.Any], node: t.Any) -> dict[str, t.Any]:
        """Names of this host put in place of names that mean them: volumes' paths, machine types' canonical names.
        Plans the volumes that are missing."""
        resolved = dict(values)
        if "machine" in resolved:
            there = xmltree.read(node, "os/type/@machine") if self.machine else None
            types = self.hypervisor.machine_types(node)
            resolved["machine"] = definition.machine_type(resolved["machine"], there, types)
        resolved["disks"] = [self._resolve_disk(disk, i) for i, disk in enumerate(values.get("disks", ()))]
        return resolved

    def _resolve_disk(self, disk: dict[str, t.Any], index: int) -> dict[str, t.Any]:
        if "pool" not in disk:
            return disk
        pool = disk["pool"]
        volume = disk.get("vol") or disks.default_volume(
            t.cast(str, self.name or (self.machine and self.machine.name)), index, disk
        )
        path, kind = storage.find_volume(self.handle, pool, volume)
        if kind is None and "size" not in disk:
            raise NotFound(
                f"disks[{index}]: there is no volume {volume!r} in pool {pool}; name its size in GiB to make it."
            )
        if kind is None:
            kind = disk.get("format", "qcow2")
            made: list[t.Any] = []
            self.plan.add(
                [Change(f"volumes[{pool}/{volume}]", None, {"size": disk["size"], "format": kind})],
                lambda: made.append(storage.create_volume(self.handle, pool, volume, size=disk["size"], format=kind)),
                lambda: made[0].delete(0),
            )
        return {**disk, "path": path, disks.FOUND: kind}

    def _plan_define(self, node: t.Any, changes: list[Change]) -> None:
        if not changes:
            return
        if self.old_state in ACTIVE:
            running = self.desired.state in ("present", "running", "paused")
            self.restart_reasons = [
                f"{c.path} is changed in the configuration; the machine runs on with the old one."
                for c in changes
                if running
            ]
        self.plan.add(changes, lambda: self._define(node))

    def _define(self, node: t.Any) -> None:
        with doing(f"Define {xmltree.read(node, 'name')}"):
            self.machine = Machine(self.hypervisor, self.handle.defineXML(xmltree.serialise(node)))

    def _plan_state(self) -> None:
        begin = "shutoff" if self.machine is None else self.old_state
        verbs = VERBS[self.desired.state].get(begin, ())
        wanted = REACHED.get(self.desired.state)
        if wanted and not verbs and begin not in (wanted, "blocked" if wanted == "running" else wanted):
            raise Conflict(f"{self.name} is {begin}; it cannot become {wanted} from there.")
        for verb in verbs:
            change = Change("state", begin, LEADS_TO[verb], "live")
            self.plan.add([change], functools.partial(self._run_verb, verb))
            begin = LEADS_TO[verb]

    def _run_verb(self, verb: str) -> None:
        getattr(self.machine, verb)(wait=self.desired.wait, wait_timeout=self.desired.wait_timeout)

    def result(self, *, check: bool) -> dict[str, t.Any]:
        who = self.name or (self.machine.name if self.machine else self.uuid)
        return {
            **self.plan.result(str(who), check=check),
            "restart_required": bool(self.restart_reasons),
            "restart_reasons": self.restart_reasons,
            "vm": self._vm(),
        }

    def _vm(self) -> dict[str, t.Any]:
        if self.machine is not None:
            with contextlib.suppress(NotFound):
                return self.machine.describe()
        return {
            "name": self.name or (self.machine and self.machine.name),
            "uuid": self.uuid or (self.machine and self.machine.uuid),
            "state": "absent",
        }
