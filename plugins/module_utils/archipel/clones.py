# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Clones: machines made like another one, with an identity and disks of their own.

A full clone has copies of the disks, a linked one has images that hold only what differs and lie on what an external
snapshot has left unchanged. What is inside the disks is not touched: host name, host keys and machine-id are still the
other machine's, until cloud-init or the person changes them.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import os.path
import time
import typing as t
import uuid as uuids

from . import belongings, cloud_init, definition, disks, images, storage, tags, xmltree
from .actions import NO_PROGRESS, Names, OfMachine, Progress, Result, action, always
from .connection import doing, libvirt
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidArgument, NotFound, Unsupported, WaitTimeout
from .host import MAX_NAME, Check, Host, Name, Uuid, canonical_uuid
from .machine import Machine
from .plan import Plan
from .pool import holds_files
from .snapshots import Tree

WAIT_TIMEOUT = 3600


class Clones(Host):
    """What can be asked of a hypervisor about making machines like others."""

    @action(
        permission="define",
        changes=True,
        long=True,
        says="{msg}",
        reaches=always,  # there is one machine more
        phrases=("clone {name} as {clone}",),
        of_machine=OfMachine(
            "clone",
            phrases=("clone yourself as {clone}", "clone as {clone}"),
            says=lambda r: (
                f"I have been cloned as {r['vm']['name']}. Inside, it still has my host name and keys."
                if r["changed"]
                else r["msg"]
            ),
        ),
    )
    def vm_clone(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        clone: t.Annotated[str, "Name of the new machine. Where it is there already, nothing changes."],
        clone_uuid: t.Annotated[t.Optional[str], "UUID of the new machine; a new one by default."] = None,
        linked: t.Annotated[
            bool,
            "Make images that hold only what differs, on those that the external O(snapshot) has left unchanged. That"
            " snapshot then cannot be removed before the clone.",
        ] = False,
        snapshot: t.Annotated[
            t.Optional[str],
            "Clone the machine as it was at this external snapshot, without its memory; then it may be running. By"
            " default it has to be off.",
            Names("snapshot", of="name"),
        ] = None,
        pool: t.Annotated[
            t.Optional[str],
            "Storage pool for the new disks; by default each is in the pool of the one it is made of.",
            Names("pool"),
        ] = None,
        wait_timeout: t.Annotated[
            int, "Seconds after which no further disk is copied, and those that were are removed."
        ] = WAIT_TIMEOUT,
        check: Check = False,
        progress: Progress = NO_PROGRESS,
    ) -> Result:
        """Make a machine like another one, with disks, UUID and MAC addresses of its own. It is not started."""
        if not clone or "/" in clone or not clone.isprintable() or clone != clone.strip() or len(clone) > MAX_NAME:
            raise InvalidArgument(f"clone: {clone[:60]!r} cannot be a machine's name (printable, no slash).")
        asked = Asked(clone, canonical_uuid(clone_uuid) if clone_uuid else None, linked, snapshot, pool)
        there = self.find(name=clone, uuid=asked.uuid)
        source = self.find(name=name, uuid=uuid) if check or there else self.machine(name, uuid)
        if there is not None:
            return _already(there, source)
        if source is None:
            return _foretold(asked, name, uuid)
        work = _Work(self, source, asked, time.monotonic() + wait_timeout, progress)
        work.make(check=check)
        if not check:
            work.plan.run()
        return work.result(check=check)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a task asks for."""

    name: str
    uuid: str | None
    linked: bool
    snapshot: str | None
    pool: str | None


@dataclasses.dataclass(frozen=True)
class Copy:
    """A disk to be: the volume that it is made of, and the one that it will be."""

    image: images.Image
    origin: t.Any
    pool: str
    name: str
    format: str
    needs: int  # bytes that it takes from its pool at once


def _already(there: Machine, source: Machine | None) -> Result:
    """The result where the clone is there; it says in what it is no longer like its source."""
    if source is not None and source.uuid == there.uuid:
        raise InvalidArgument(f"clone: {there.name} cannot be a clone of itself; give the new machine another name.")
    differing = _differences(source, there) if source is not None else []
    result = Plan().result(there.name, check=False)
    if source is not None and differing:
        result["msg"] = f"{there.name} is there already; it differs from {source.name} in {', '.join(differing)}."
    else:
        result["msg"] = f"{there.name} is there already."
    return {**result, "vm": there.describe(), "source": source and source.name, "shared": []}


def _differences(source: Machine, there: Machine) -> list[str]:
    """In what of their size and kind two machines differ; not in what makes each the one that it is."""

    def facts(machine: Machine) -> dict[str, t.Any]:
        node = machine.document(inactive=True)
        # The seed of one's own does not count.
        drives = len(node.findall("devices/disk")) - (cloud_init.old(node) is not None)
        counts = {"disks": drives, "networks": len(node.findall("devices/interface"))}
        return {**definition.DOMAIN.read(node), **counts}

    ours, theirs = facts(source), facts(there)
    return [key for key in ours if ours[key] != theirs[key]]


def _foretold(asked: Asked, name: str | None, uuid: str | None) -> Result:
    """What check mode tells of a machine that an earlier task would have made."""
    plan = Plan()
    plan.add([Change("state", "absent", "shutoff"), Change("source", None, name or uuid)], lambda: None)
    result = plan.result(f"{asked.name}, of {name or uuid}, which is not there yet,", check=True)
    vm = {"name": asked.name, "uuid": asked.uuid, "state": "absent"}
    return {**result, "vm": vm, "source": name or uuid, "shared": []}


class _Work:
    """One clone on its way."""

    def __init__(self, host: Host, source: Machine, asked: Asked, end: float, progress: Progress) -> None:
        self.host = host
        self.handle = host.connection.handle
        self.source = source
        self.asked = asked
        self.end = end
        self.progress = progress
        self.plan = Plan()
        self.shared: list[str] = []
        self.copies: list[Copy] = []
        self.made: dict[str, t.Any] = {}  # target → virStorageVol
        self.node: t.Any = None
        self.clone: Machine | None = None

    def make(self, *, check: bool) -> None:
        changes = [Change("state", "absent", "shutoff"), Change("source", None, self.source.name)]
        origin = self._origin(check=check)
        if origin is None:
            self.plan.add(changes, lambda: None)
            return
        document, frozen = origin
        self.node = _identified(copy.deepcopy(document), self.source, self.asked)
        self._look_at_disks(frozen)
        self._refuse_full_pools()
        for number, each in enumerate(self.copies, 1):
            told = {"format": each.format, "from": each.image.path}
            step = functools.partial(self._store, each, number)
            self.plan.add(
                [Change(f"volumes[{each.pool}/{each.name}]", None, told)], step, functools.partial(self._drop, each)
            )
        nvram = self.node.find("os/nvram")
        if nvram is not None:
            self._plan_nvram(nvram)
        self.plan.add(changes, self._define)

    # -- what it is made of

    def _origin(self, *, check: bool) -> tuple[t.Any, t.Collection[str] | None] | None:
        """The definition to begin from and, of a snapshot, the targets that it has left unchanged. None in check mode
        for a snapshot that an earlier task would have taken."""
        asked, who = self.asked, self.source.name
        if asked.snapshot is None:
            if asked.linked:
                raise Conflict(
                    f"{who} writes to its disks, and what a linked clone lies on must not change. Take an external"
                    " snapshot of it (vm_snapshot, kind: external), and name that as snapshot."
                )
            state = self.source.status[0]
            with doing(f"Look at {who}"):
                saved = self.source.domain.hasManagedSaveImage() if self.source.domain.isPersistent() else 0
            if state != "shutoff" or saved:
                raise Conflict(
                    f"{who} {'has saved memory' if saved else f'is {state}'}, so its disks are of no one moment. Shut"
                    " it down first, or take an external snapshot (vm_snapshot, kind: external), and name that."
                )
            return self.source.document(inactive=True, secure=True), None
        tree = Tree(self.source)
        found = tree.get(asked.snapshot)
        if found is None:
            if check:
                return None
            known = ", ".join(tree.snapshots) or "none"
            raise NotFound(f"{who} has no snapshot {asked.snapshot!r}; it has: {known}.")
        if not found.external:
            raise Conflict(
                f"The snapshot {found.name} of {who} is an internal one, and libvirt cannot read what is inside of"
                " images. Go back to it and clone the machine while it is off, or take an external one."
            )
        with doing(f"Read the snapshot {found.name} of {who}"):
            node = xmltree.parse_trusted(found.handle.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE))
        inactive = node.find("inactiveDomain")
        document = inactive if inactive is not None else node.find("domain")
        document.tag = "domain"
        return document, {disk["target"] for disk in found.told["disks"] if disk["kind"] == "external"}

    def _look_at_disks(self, frozen: t.Collection[str] | None) -> None:
        """What is to be copied; media, and what other machines use or this one may only read, is shared."""
        who = self.source.name
        written = {image.target: image for image in images.written(self.handle, self.node) if not image.shared}
        for node in self.node.iterfind("devices/disk"):
            target = xmltree.read(node, "target/@dev") or ""
            if node.get("device") == "lun":
                raise Unsupported(f"{who}: {target} is a LUN, of which there can be no copy. Detach it first.")
            if target not in written:
                self.shared += filter(None, [disks.PATH.read(node)])
                continue
            if frozen is not None and target not in frozen:
                raise Conflict(
                    f"{who}: the snapshot {self.asked.snapshot} has not left {target} unchanged, so there is nothing to"
                    " clone it from. Take an external one of all disks."
                )
            self.copies.append(self._copy_of(written[target], len(self.copies)))

    def _copy_of(self, image: images.Image, index: int) -> Copy:
        who = self.source.name
        if image.path is None or image.node.find(".//encryption") is not None:
            what = "in the network" if image.path is None else "encrypted"
            raise Unsupported(f"{who}: {image.target} is {what}, and libvirt makes no copy of it. Detach it first.")
        origin = storage.volume_at(self.handle, image.path)
        if origin is None:
            raise Conflict(
                f"{who}: the image of {image.target}, {image.path}, is in no active storage pool, so libvirt cannot"
                f" copy it. Make a pool of {os.path.dirname(image.path)} (module pool)."
            )
        with doing(f"Look at the volume {image.path}"):
            where = (
                storage.pool(self.handle, self.asked.pool) if self.asked.pool else origin.storagePoolLookupByVolume()
            )
            files = holds_files(where)
            _kind, _capacity, allocation = origin.info()
        if self.asked.linked and not files:
            raise Unsupported(
                f"The pool {where.name()} holds no files, and linked clones are files. Name another pool."
            )
        kind = "qcow2" if self.asked.linked else image.format if files else "raw"
        name = disks.default_volume(self.asked.name, index, {"format": kind}) if files else f"{self.asked.name}-{index}"
        if storage.lookup(where, name) is not None:
            raise Conflict(
                f"There is a volume {name} in pool {where.name()} already, and no machine {self.asked.name}. It may be"
                " of a clone that was interrupted; look at it, and remove it (module volume, state: absent)."
            )
        return Copy(image, origin, where.name(), name, kind, 0 if self.asked.linked else allocation)

    def _refuse_full_pools(self) -> None:
        for name in dict.fromkeys(each.pool for each in self.copies):
            needed = sum(each.needs for each in self.copies if each.pool == name)
            where = storage.pool(self.handle, name)
            with contextlib.suppress(libvirt.libvirtError):
                where.refresh()
            with doing(f"Look at storage pool {name}"):
                available = where.info()[3]
            if needed > available:
                raise Conflict(
                    f"The pool {name} has {available >> 20} MiB left, and the disks of {self.source.name} take"
                    f" {needed >> 20} MiB. Nothing was copied. Make room, name another pool, or link the clone."
                )

    # -- what is done

    def _store(self, each: Copy, number: int) -> None:
        if time.monotonic() > self.end:
            raise WaitTimeout(
                f"{self.asked.name}: its time was over before {each.name} was copied; nothing is left of it."
            )
        verb = "linking" if self.asked.linked else "copying"
        total = sum(other.needs for other in self.copies)
        done = sum(other.needs for other in self.copies[: number - 1])
        self.progress(f"{verb} {each.name}, {number} of {len(self.copies)}", done / total if total else None)
        with doing(f"Make the volume {each.name} in pool {each.pool}"):
            where = storage.pool(self.handle, each.pool)
            node = storage.document(each.name, each.origin.info()[1], each.format if holds_files(where) else None)
            if self.asked.linked:
                xmltree.write(node, "backingStore/path", each.image.path)
                xmltree.write(node, "backingStore/format/@type", each.image.format)
                made = where.createXML(xmltree.serialise(node), 0)
            else:
                made = where.createXMLFrom(xmltree.serialise(node), each.origin, 0)
        self.made[each.image.target] = made
        disks.PATH.write(each.image.node, made.path())
        xmltree.write(each.image.node, "driver/@type", each.format)
        belongings.note(self.node, each.pool, each.name)

    def _drop(self, each: Copy) -> None:
        with doing(f"Remove the volume {each.name}"):
            self.made[each.image.target].delete(0)

    def _plan_nvram(self, nvram: t.Any) -> None:
        """The variables of its firmware are a file that libvirt would make anew, without boot entries and keys."""
        old = (nvram.text or "").strip() or xmltree.read(nvram, "source/@file")
        if not old:
            return
        new = f"{os.path.dirname(old)}/{self.asked.name}_VARS{os.path.splitext(old)[1]}"
        xmltree.write(nvram, "source", None)
        nvram.attrib.pop("type", None)
        nvram.text = None

        def store() -> None:
            with _reachable(self.handle, old) as origin:
                if origin is None:
                    return  # a machine that never was on has none
                node = xmltree.element("volume")
                for path, value in (("name", os.path.basename(new)), ("capacity", str(origin.info()[1])),
                                    ("target/format/@type", nvram.get("format", "raw"))):  # fmt: skip
                    xmltree.write(node, path, value)
                with doing(f"Copy the firmware's variables to {new}"):
                    origin.storagePoolLookupByVolume().createXMLFrom(xmltree.serialise(node), origin, 0)
                nvram.text = new

        def drop() -> None:
            if nvram.text:
                with _reachable(self.handle, new) as made:
                    if made is not None:
                        made.delete(0)

        self.plan.add([], store, drop)

    def _define(self) -> None:
        self.progress(f"defining {self.asked.name}")
        uuid = self.asked.uuid or str(uuids.uuid4())
        xmltree.write(self.node, "uuid", uuid)
        for entry in self.node.iterfind("sysinfo/system/entry[@name='uuid']"):
            entry.text = uuid  # libvirt wants it to be the same
        with doing(f"Define {self.asked.name}"):
            self.clone = Machine(self.host, self.handle.defineXML(xmltree.serialise(self.node)))

    def result(self, *, check: bool) -> Result:
        vm: Result = {"name": self.asked.name, "uuid": self.asked.uuid, "state": "absent"}
        if self.clone is not None:
            try:
                vm = self.clone.describe()
            except ArchipelError as error:
                error.changes = [change.as_data() for change in self.plan.done]
                raise
        made = self.plan.result(self.asked.name, check=check)
        made["msg"] = f"{self.asked.name} {'would be' if check else 'is'} a clone of {self.source.name}."
        return {**made, "vm": vm, "source": self.source.name, "shared": self.shared}


def _identified(node: t.Any, source: Machine, asked: Asked) -> t.Any:
    """The definition of the clone, but for its disks and UUID: what would make it the other machine is taken away."""
    xmltree.write(node, "name", asked.name)
    xmltree.write(node, "uuid", None)
    node.attrib.pop("id", None)
    for interface in node.iterfind("devices/interface"):
        xmltree.write(interface, "mac", None)
        xmltree.write(interface, "target", None)
    genid = node.find("genid")
    if genid is not None:
        genid.text = None  # libvirt makes a new one
    for vsock in node.iterfind("devices/vsock/cid"):
        vsock.attrib.pop("address", None)
        vsock.set("auto", "yes")
    for graphics in node.iterfind("devices/graphics"):
        if graphics.get("port") is not None:
            graphics.set("autoport", "yes")
        for name in ("port", "tlsPort", "websocket"):
            if graphics.get(name) is not None:
                graphics.set(name, "-1")
    for channel in node.iterfind("devices/channel[@type='unix']"):
        xmltree.write(channel, "source", None)  # libvirt has a place of its own for each machine
    for device in node.iterfind("devices/*"):
        log = device.find("log")
        if log is not None:
            path = log.get("file", "").replace(source.name, asked.name)
            device.remove(log) if path == log.get("file") else log.set("file", path)
    _forget_seed(node)
    tags.keep(node, None)
    xmltree.write(node, "metadata/archipel:machine?", "")
    for pool, name in belongings.noted(node):
        belongings.note(node, pool, name, owned=False)
    return node


def _forget_seed(node: t.Any) -> None:
    """cloud-init is not to take the clone for the machine that the seed was made for."""
    seed = cloud_init.old(node)
    for disk in node.findall("devices/disk[@device='cdrom']"):
        if seed is not None and disks.PATH.read(disk) == seed:
            disk.getparent().remove(disk)


@contextlib.contextmanager
def _reachable(handle: t.Any, path: str) -> t.Iterator[t.Any]:
    """The volume at a path, though its directory may be no pool: then it is one for as long as the block runs."""
    found = storage.volume_at(handle, path)
    if found is not None:
        yield found
        return
    node = xmltree.element("pool", type="dir")
    xmltree.write(node, "name", f"archipel-{uuids.uuid4().hex[:12]}")
    xmltree.write(node, "target/path", os.path.dirname(path))
    with doing(f"Look into {os.path.dirname(path)}"):
        pool = handle.storagePoolCreateXML(xmltree.serialise(node), 0)
    try:
        yield storage.volume_at(handle, path)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            pool.destroy()
