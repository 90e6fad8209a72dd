# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Moving a disk's data to another volume: in another pool, in another format, while its machine runs or is off.

Of a machine that runs QEMU makes the copy (virDomainBlockCopy), until both images are the same and the machine goes
over to the new one; of one that is off libvirt's storage does (virStorageVolCreateXMLFrom). Either copies all that the
machine sees, so the new image lies on no other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os.path
import typing as t

from . import belongings, images, storage, xmltree
from .actions import Progress
from .blocks import Block, gib
from .connection import doing, libvirt
from .disks import PATH
from .domain_job import INTERVAL
from .elements import Change
from .errors import (
    ArchipelError,
    Conflict,
    InvalidArgument,
    InvalidDefinition,
    NotFound,
    OperationFailed,
    Unavailable,
    Unsupported,
)
from .plan import Plan
from .pool import holds_files

if t.TYPE_CHECKING:
    from .machine import Machine

WAIT_TIMEOUT = 3600
_WRITTEN: t.Final = ("qcow2", "raw")  # QEMU writes others for exchange only
# What a volume's name may end with to say its format.
_SUFFIXES: t.Final = storage.IMAGES | {"raw", "img"}


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a task asks for; what it does not name stays as it is."""

    target: str
    pool: str | None
    vol: str | None
    format: str | None
    remove_volumes: str
    wait_timeout: int

    @classmethod
    def of(cls, disk: t.Mapping[str, t.Any], remove_volumes: str, wait_timeout: int) -> Asked:
        """``disk`` as a task names it. What else a disk can be is not changed in the same task: half of it would be
        done before the copy, which may take hours, and half after it."""
        places = {key: disk.get(key) for key in ("pool", "vol", "format")}
        others = sorted(disk.keys() - places.keys() - {"target"})
        if others:
            raise InvalidArgument(f"move: {', '.join(others)} cannot be given beside it; change that in a task before.")
        if not disk.get("target") or not any(places.values()):
            raise InvalidArgument("move: name the disk by its target, and the pool, vol or format that it is to have.")
        if places["format"] not in (None, *_WRITTEN):
            raise InvalidArgument(f"move: the format is {' or '.join(_WRITTEN)}, not {places['format']!r}.")
        return cls(disk["target"], **places, remove_volumes=remove_volumes, wait_timeout=wait_timeout)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an image is or is to be. ``pool`` is empty of one in no active pool."""

    pool: str
    name: str
    path: str
    format: str


def relocate(machine: Machine, asked: Asked, *, check: bool, progress: Progress) -> dict[str, t.Any]:
    """The result is that of ``convergence.converge``. Whatever goes wrong, the machine has its disk, and the copy that
    was not finished is removed."""
    work = _Work(machine, asked, progress)
    there = work.node(machine.document()) is not None
    if not there and not check:
        raise NotFound(f"{machine.name} has no disk {asked.target}.")
    if there:
        work.make(check=check)
    else:
        named = {key: value for key, value in dataclasses.asdict(asked).items() if key in ("pool", "vol", "format")}
        work.plan.add([Change(f"disks[{asked.target}]", None, named)], _nothing)
    if not check:
        work.plan.run()
    result = work.plan.result(machine.name, check=check)
    msg = result["msg"] if there else f"{machine.name} has no disk {asked.target} yet. {result['msg']}"
    try:
        vm = machine.describe()
    except ArchipelError as error:
        error.changes = [change.as_data() for change in work.plan.done]
        raise
    return {
        **result,
        "msg": msg,
        "restart_required": False,
        "restart_reasons": [],
        "volumes_kept": work.kept,
        "vm": vm,
    }


class _Work:
    """One disk on its way."""

    def __init__(self, machine: Machine, asked: Asked, progress: Progress) -> None:
        self.machine = machine
        self.handle = machine.hypervisor.connection.handle
        self.asked = asked
        self.progress = progress
        self.plan = Plan()
        self.kept: list[dict[str, str]] = []
        self.who = f"{asked.target} of {machine.name}"
        with doing(f"Look at {machine.name}"):
            self.running = bool(machine.domain.isActive())
        self.made: t.Any = None

    def node(self, document: t.Any) -> t.Any:
        """The disk in the machine's definition; None where it is not there."""
        disks = document.iterfind("devices/disk")
        return next((disk for disk in disks if xmltree.read(disk, "target/@dev") == self.asked.target), None)

    # -- the plan

    def make(self, *, check: bool) -> None:
        document = self.machine.document()
        image = self._image(document)
        old = self._place(image)
        new = self._destination(old, check=check)
        if (new.path, new.format) == (old.path, old.format):
            return
        if new.path == old.path:
            raise Conflict(f"{self.who} cannot become {new.format} in its place, {old.path}; name another vol.")
        self._refuse(document, old)
        begun = self._begun(document, new)
        if begun:
            self.made = storage.volume_at(self.handle, new.path)
            self.plan.add([], _nothing, self._drop)
        else:
            self._plan_volume(old, new, check=check)
        own = functools.partial(self.machine.own, new.pool, new.name)
        self.plan.add([], own, functools.partial(own, owned=False))
        scope = "live" if self.running else "config"
        keys = [key for key in ("path", "format") if getattr(old, key) != getattr(new, key)]
        changes = [Change(f"disks[{self.asked.target}].{k}", getattr(old, k), getattr(new, k), scope) for k in keys]
        if self.running:
            self.plan.add(changes, functools.partial(self._mirror, new, begun=begun))
            self.plan.add([], functools.partial(self._configure, old, new))
        else:
            self.plan.add(changes, functools.partial(self._configure, old, new))
        self._plan_removal(old, document)

    def _image(self, document: t.Any) -> images.Image:
        """The disk's image, where it is one that can be copied."""
        found = images.written(self.handle, document)
        image = next((image for image in found if image.target == self.asked.target), None)
        if image is None:
            raise Unsupported(f"{self.who} is no disk that the machine writes to, and is not moved.")
        if image.shared:
            raise Conflict(f"{self.who} is shared; other machines would go on with the old image.")
        if image.path is None or image.node.find("source/encryption") is not None:
            raise Unsupported(f"{self.who} is {'encrypted' if image.path else 'in the network'}, and is not moved.")
        return image

    def _place(self, image: images.Image) -> Place:
        path = t.cast(str, image.path)
        volume = storage.volume_at(self.handle, path)
        if volume is None:
            return Place("", os.path.basename(path), path, image.format)
        return Place(storage.pool_of(self.handle, path) or "", volume.name(), path, image.format)

    def _destination(self, old: Place, *, check: bool) -> Place:
        asked = self.asked
        pool = asked.pool or old.pool
        if not pool:
            raise InvalidArgument(f"{old.path} is in no active storage pool; name the pool that it is to be in.")
        if check and storage.find_pool(self.handle, pool) is None:
            # Another task may make it.
            name = asked.vol or _name(old.name, asked.format or old.format)
            return Place(pool, name, f"{pool}/{name}", asked.format or old.format)
        with doing(f"Look at storage pool {pool}"):
            files = holds_files(storage.pool(self.handle, pool))
        if not files and asked.format not in (None, "raw"):
            raise InvalidDefinition(f"format: the pool {pool} holds raw data, no {asked.format} files.")
        format = asked.format or (old.format if files else "raw")
        name = asked.vol or (
            old.name if (pool, format) == (old.pool, old.format) else _name(old.name, format if files else None)
        )
        return Place(pool, name, storage.find_volume(self.handle, pool, name)[0], format)

    def _refuse(self, document: t.Any, old: Place) -> None:
        """What would fail, or harm, said before anything is copied."""
        machine = self.machine
        with doing(f"Look at {machine.name}"):
            held = machine.domain.snapshotNum()
            with contextlib.suppress(libvirt.libvirtError):
                held = held or machine.domain.listAllCheckpoints()
        if held:
            raise Conflict(
                f"{machine.name} has snapshots or checkpoints, of which {old.path} is a part; they would not go with"
                " it. Delete them first (module vm_snapshot)."
            )
        if not self.running:
            if machine.saved:
                raise Conflict(f"{machine.name} has saved memory, which knows {old.path}; start it, or discard that.")
            if not old.pool:
                raise Conflict(
                    f"{old.path} is in no active storage pool, so libvirt can copy it only while the machine runs. Make"
                    f" a pool of {os.path.dirname(old.path)} (module pool), or start the machine."
                )
            return
        kind = document.get("type")
        if kind not in images.VIRTUAL:
            raise Conflict(f"Machines of the type {kind} keep their disks while they run; shut {machine.name} down.")
        configured = self.node(machine.document(inactive=True))
        if configured is None or images.path_of(self.handle, configured) != old.path:
            raise Conflict(f"{self.who} is another one from the next start on; restart the machine first.")

    def _begun(self, document: t.Any, new: Place) -> bool:
        """Whether QEMU is copying there already, since whoever began it was cut off from libvirt."""
        mirror = self.node(document).find("mirror")
        return mirror is not None and PATH.read(mirror) == new.path

    def _plan_volume(self, old: Place, new: Place, *, check: bool) -> None:
        capacity = Block(self.handle, self.machine, self.asked.target, old.path, running=self.running).capacity
        if not check or storage.find_pool(self.handle, new.pool) is not None:
            where = storage.pool(self.handle, new.pool)
            if storage.lookup(where, new.name) is not None:
                raise Conflict(
                    f"There is a volume {new.name} in pool {new.pool} already. It may be of an interrupted move; look"
                    " at it, and remove it (module volume, state: absent), or name another vol."
                )
            self._refuse_full(where, old, capacity)
        told = {"size": gib(capacity), "format": new.format}
        change = Change(f"volumes[{new.pool}/{new.name}]", None, told)
        self.plan.add([change], functools.partial(self._store, old, new, capacity), self._drop)

    def _refuse_full(self, where: t.Any, old: Place, capacity: int) -> None:
        volumes = belongings.Volumes(self.machine.hypervisor)
        chain = [volume for volume in map(volumes.at, volumes.chain(old.path)) if volume is not None]
        with doing(f"Look at storage pool {where.name()}"):
            taken = sum(volume.handle.info()[2] for volume in chain)
            needed = min(taken, capacity) if holds_files(where) else capacity
            available = where.info()[3]
        if needed > available:
            raise Conflict(
                f"The pool {where.name()} has {available >> 20} MiB left, and {self.who} takes {needed >> 20} MiB."
                " Nothing was copied. Make room, or name another pool."
            )

    def _plan_removal(self, old: Place, document: t.Any) -> None:
        if self.asked.remove_volumes == "none":
            self.kept = [{"path": old.path, "reason": "nothing was said of it (remove_volumes)"}]
            return
        machine = self.machine
        going, self.kept = belongings.judge(
            machine.hypervisor, machine.uuid, [document], self.asked.remove_volumes, [self.node(document)]
        )
        for volume in going:
            self.plan.add([volume.removal], volume.remove)
            self.plan.add([], functools.partial(machine.own, volume.pool, volume.name, owned=False))

    # -- what is done

    def _store(self, old: Place, new: Place, capacity: int) -> None:
        """Make the new volume; of a machine that is off with all that is in the old one."""
        where = storage.pool(self.handle, new.pool)
        with doing(f"Make the volume {new.name} in pool {new.pool}"):
            node = storage.document(new.name, capacity, new.format if holds_files(where) else None)
            if self.running:
                self.made = where.createXML(xmltree.serialise(node), 0)
                return
        self.progress(f"copying {old.path} to {new.path}")
        with doing(f"Copy {old.path} to {new.path}"):
            origin = self.handle.storageVolLookupByPath(old.path)
            self.made = where.createXMLFrom(xmltree.serialise(node), origin, 0)

    def _drop(self) -> None:
        with doing("Remove the copy"):
            self.made.delete(0)

    def _mirror(self, new: Place, *, begun: bool) -> None:
        machine, target = self.machine, self.asked.target
        flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
        with machine.hypervisor.connection.watch(machine.domain, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2) as watch:
            if not begun:
                with doing(f"Copy {self.who} to {new.path}"):
                    machine.domain.blockCopy(target, xmltree.serialise(_copy_of(new)), {}, flags)
            try:
                watch.until(
                    functools.partial(self._same, new),
                    self.asked.wait_timeout,
                    otherwise=f"{self.who} was not copied to {new.path}.",
                    every=INTERVAL,  # libvirt has no event for how far it is
                )
                with doing(f"Let {machine.name} go over to {new.path}"):
                    machine.domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
            except Unavailable as error:
                error.message += " QEMU may be copying on; the same task awaits that copy and ends it."
                raise
            except ArchipelError:
                with contextlib.suppress(libvirt.libvirtError):
                    machine.domain.blockJobAbort(target, 0)
                raise

    def _same(self, new: Place) -> bool:
        """Whether the copy is whole, so that from now on each write goes to both images."""
        node = self.node(self.machine.document())
        mirror = None if node is None else node.find("mirror")
        if mirror is None:
            raise OperationFailed(f"QEMU could not copy {self.who} to {new.path}.{self._room(new)}")
        with contextlib.suppress(libvirt.libvirtError):
            job = self.machine.domain.blockJobInfo(self.asked.target, 0)
            if job and job.get("end"):
                fraction = min(job["cur"] / job["end"], 1.0)
                self.progress(f"copying {self.asked.target} to {new.path}, {fraction:.0%}", fraction)
        return mirror.get("ready") == "yes"

    def _room(self, new: Place) -> str:
        """The likeliest reason; QEMU's own does not come through libvirt."""
        with contextlib.suppress(ArchipelError, libvirt.libvirtError):
            where = storage.pool(self.handle, new.pool)
            where.refresh()
            return f" The pool {new.pool} has {where.info()[3] >> 20} MiB left."
        return ""

    def _configure(self, old: Place, new: Place) -> None:
        """Have the disk in the configuration, where libvirt has not put it there itself."""
        machine = self.machine
        with doing(f"Look at {machine.name}"):
            if not machine.domain.isPersistent():
                return  # undefined while it was running: there is nothing but what runs
            if not self.running and machine.domain.isActive():
                raise Conflict(
                    f"{machine.name} was started while {old.path} was copied, and goes on with that; the copy is not"
                    " of one moment."
                )
        document = machine.document(inactive=True, secure=True)
        node = self.node(document)
        there = None if node is None else images.path_of(self.handle, node)
        if there == new.path:
            return
        if there != old.path:
            raise Conflict(f"{self.who} was changed meanwhile; its configuration has {there or 'no such disk'}.")
        PATH.write(node, new.path)
        xmltree.write(node, "driver/@type", new.format)
        with doing(f"Define {machine.name}"):
            self.handle.defineXML(xmltree.serialise(document))


def _copy_of(new: Place) -> t.Any:
    """The disk that virDomainBlockCopy is to make, of which it reads no more than source and format."""
    node = xmltree.element("disk", type="file")
    PATH.write(node, new.path)
    xmltree.write(node, "driver/@type", new.format)
    return node


def _name(old: str, format: str | None) -> str:
    """``web1.qcow2`` as ``web1.raw``, and ``web1`` where it is no file."""
    stem, _dot, suffix = old.rpartition(".")
    stem = stem if stem and suffix in _SUFFIXES else old
    return f"{stem}.{format}" if format else stem


def _nothing() -> None:
    """What is done already, or what only check mode can plan."""
