# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The volumes of a hypervisor's storage pools: made, filled, grown, copied, deleted."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
import typing as t

from . import content, storage, xmltree
from .actions import NO_PROGRESS, Names, Progress, Result, action
from .connection import doing, libvirt
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidArgument, InvalidDefinition, NotFound
from .host import Check, Host
from .plan import Plan
from .pool import KINDS
from .selection import fits
from .size import Bytes, Size, about
from .volume import NOTHING, VolumeDefinition, as_backing, describe, format_of

WAIT_TIMEOUT = 3600
# How much larger than asked a volume may become because its storage comes in pieces: LVM's extents and partitions'
# alignment, sectors of files.
_ROUNDING_OF_BLOCKS, _ROUNDING_OF_FILES = 32 << 20, 1 << 12


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a task asks of one volume, beside its definition."""

    pool: str
    name: str
    download: str | None
    wipe: bool
    force: bool
    terms: content.Terms


class Volumes(Host):
    """What can be asked of a hypervisor about volumes."""

    @action(
        permission="view",
        changes=False,
        phrases=("volumes", "volumes in {pool}"),
        says=lambda r: (
            "\n".join(f"{v['pool']}/{v['name']}: {v['format']}, {about(v['capacity'])}" for v in r["volumes"])
            or "I have no such volume."
        ),
        concerns="volume",
    )
    def volume_info(
        self,
        *,
        pool: t.Annotated[t.Optional[str], "Storage pool, or a pattern like iso*."] = None,
        name: t.Annotated[t.Optional[str], "Name of a volume, or a pattern like web*."] = None,
    ) -> Result:
        """Tell everything about volumes of active pools, all of them or those that are named."""
        handle = self.connection.handle
        with doing(f"List the storage pools of {self.name}"):
            active = handle.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
            meant = [each for each in active if pool is None or fits(each.name(), pool)]
            pools = sorted(meant, key=lambda each: each.name())
        machines = storage.users(handle)
        volumes = []
        for where in pools:
            # A pool or a volume may go between the list and the look.
            with contextlib.suppress(NotFound), doing(f"List the volumes of pool {where.name()}"):
                found = [volume for volume in where.listAllVolumes() if name is None or fits(volume.name(), name)]
                for volume in sorted(found, key=lambda volume: volume.name()):
                    with contextlib.suppress(NotFound):
                        volumes.append(describe(handle, volume, where.name(), machines))
        return {"changed": False, "volumes": volumes}

    @action(permission="storage", changes=True, long=True, says="{msg}", concerns="volume")
    def volume(
        self,
        *,
        name: t.Annotated[
            str, "Name of the volume; in a directory it is the file's name.", Names("volume", of="pool", free=True)
        ],
        pool: t.Annotated[str, "Storage pool of the volume.", Names("pool")],
        state: t.Annotated[t.Literal["present", "absent"], "Whether there is to be such a volume."] = "present",
        definition: t.Annotated[
            VolumeDefinition, "What the volume is to be made of; only what is named is compared."
        ] = NOTHING,
        download: t.Annotated[
            t.Optional[str],
            "File that is to hold the volume's content, on the host where the module runs; with O(via=xmpp) on the"
            " hypervisor, below a directory that its agent allows.",
        ] = None,
        wipe: t.Annotated[bool, "Overwrite a volume before it is deleted."] = False,
        force: t.Annotated[
            bool,
            "Also shrink a volume, and delete one that a machine which is off or another volume needs. A volume in use"
            " by a running machine is never touched.",
        ] = False,
        wait_timeout: t.Annotated[int, "Seconds that moving content may take at most."] = WAIT_TIMEOUT,
        check: Check = False,
        progress: Progress = NO_PROGRESS,
    ) -> Result:
        """Bring a volume to a definition. A new one that cannot be made whole is taken away again."""
        if not name or "/" in name or not name.isprintable() or name in (".", ".."):
            raise InvalidArgument(f"name: {name[:60]!r} cannot be a volume's name (printable, no slash).")
        if download is not None and (download[:1] != "/" or state == "absent"):
            raise InvalidArgument("download: an absolute path, of a volume that is present.")
        terms = content.Terms(time.monotonic() + wait_timeout, progress, self.exchange)
        work = _Work(
            self,
            Asked(pool, name, download, wipe, force, terms),
            definition.values,
            absent=state == "absent",
            check=check,
        )
        if state == "absent":
            work.plan_removal()
        else:
            work.plan_presence()
        if not check:
            work.plan.run()
        return work.result(check=check)


class _Work:
    """One volume on its way to what was asked. ``where`` is None where the pool is not there, and in check mode where
    it is not active yet."""

    def __init__(self, host: Host, asked: Asked, values: dict[str, t.Any], *, absent: bool, check: bool) -> None:
        self.handle = host.connection.handle
        self.absent = absent
        self.asked = asked
        self.values = values
        self.check = check
        self.plan = Plan()
        self.who = f"{asked.pool}/{asked.name}"
        self.where = self._pool()
        self.volume: t.Any = storage.lookup(self.where, asked.name) if self.where is not None else None
        with doing(f"Look at storage pool {asked.pool}"):
            node = xmltree.parse_trusted(self.where.XMLDesc()) if self.where is not None else None
        self.files = node is None or node.get("type") not in KINDS or KINDS[node.get("type")].files

    def _pool(self) -> t.Any:
        if self.absent and storage.find_pool(self.handle, self.asked.pool) is None:
            return None
        try:
            return storage.pool(self.handle, self.asked.pool)
        except (Conflict, NotFound):
            if not self.check or self.absent:
                raise
            return None

    # -- deleting

    def plan_removal(self) -> None:
        volume, asked = self.volume, self.asked
        if volume is None:
            return
        self._refuse_in_use("deleted")
        if not asked.force:
            off = sorted({user.name for user in self._users()})
            needed = [*(f"the machine {name}" for name in off), *(f"the volume {name}" for name in self._backs())]
            if needed:
                raise Conflict(
                    f"The volume {self.who} is needed by {', '.join(needed)}, and was not deleted; take it away there,"
                    " or use force: true."
                )
        if asked.wipe:
            wiped = Change("content", "kept", "wiped", "live")
            self._plan(wiped, f"Wipe the volume {self.who}", lambda: volume.wipe(0))
        change = Change("state", "present", "absent", "live")
        self._plan(change, f"Delete the volume {self.who}", lambda: self._delete(volume))

    def _delete(self, volume: t.Any) -> None:
        volume.delete(0)
        self.volume = None

    def _users(self) -> list[storage.User]:
        return storage.users_of(storage.users(self.handle), self.volume, self.asked.pool)

    def _refuse_in_use(self, done: str) -> None:
        """Conflict, where a running machine uses the volume: nothing done here would be known to it."""
        running = sorted({user.name for user in self._users() if user.active})
        if running:
            raise Conflict(
                f"The volume {self.who} is in use by {', '.join(running)}, which is running; it was not {done}."
                " Shut the machine down, or let it do this to its disk itself (vm)."
            )

    def _backs(self) -> list[str]:
        """Volumes of the same pool that are based on this one."""
        found = []
        with doing(f"Look at the volumes of pool {self.asked.pool}"):
            path = self.volume.path()
            for other in self.where.listAllVolumes():
                with contextlib.suppress(libvirt.libvirtError):
                    if xmltree.read(xmltree.parse_trusted(other.XMLDesc()), "backingStore/path") == path:
                        found.append(other.name())
        return sorted(found)

    # -- making and changing

    def plan_presence(self) -> None:
        if self.volume is None:
            self._plan_new()
        else:
            self._plan_changes()
        if self.asked.download is not None:
            self._plan_download(self.asked.download)

    def _plan_new(self) -> None:
        values, how = self.values, [k for k in ("size", "backing", "source", "content") if k in self.values]
        if not how:
            if not self.check:
                raise NotFound(
                    f"There is no volume {self.asked.name!r} in pool {self.asked.pool}; name its size, backing, source"
                    " or content to make it."
                )
            self.plan.add([Change("state", "absent", "present", "live")], _nothing)
            return
        kind = self._new_format()
        changes = [Change("state", "absent", "present", "live")]
        changes += [Change(key, None, _written(value), "live") for key, value in {**values, **kind}.items()]
        make = self._fill if "content" in values else self._copy if "source" in values else self._create
        if "path" in values.get("content", {}):
            self._look_at_file(values["content"]["path"])
        for key in values.keys() & {"backing", "source"}:
            self._look_at_origin(key, values[key])
        self.plan.add(changes, functools.partial(make, kind.get("format")))

    def _new_format(self) -> dict[str, str]:
        """The format of a new volume, where it is not its content that has one."""
        named = self.values.get("format")
        if not self.files and named not in (None, "raw"):
            raise InvalidDefinition(f"format: the pool {self.asked.pool} holds raw data, no {named} files.")
        if "content" in self.values or not self.files:
            return {} if named is None else {"format": named}
        return {"format": named or ("raw" if "encryption" in self.values else "qcow2")}

    def _look_at_file(self, path: str) -> None:
        """What would fail is to fail in check mode too, but for a file that an earlier task would put there."""
        with contextlib.suppress(*((NotFound,) if self.check else ())), content.opened(path, self.asked.terms):
            pass

    def _look_at_origin(self, key: str, named: t.Mapping[str, str]) -> None:
        """Nothing is made of what a running machine writes into: it would be of no one moment, nor stay as it is."""
        machines = storage.users(self.handle)
        try:
            using = machines.get(named["path"], ()) if "path" in named else self._using(machines, named, key)
        except (Conflict, NotFound):
            if not self.check:
                raise
            return
        writing = sorted({user.name for user in using if user.active and user.writes})
        if writing:
            raise Conflict(
                f"{key}: {named.get('path') or named['vol']} is in use by {', '.join(writing)}, which is running. Shut"
                " the machine down, or take a snapshot or a clone of it (vm_snapshot, vm_clone)."
            )

    def _using(
        self, machines: t.Mapping[str, set[storage.User]], named: t.Mapping[str, str], key: str
    ) -> list[storage.User]:
        volume = self._other(named, key)
        return storage.users_of(machines, volume, named.get("pool", self.asked.pool))

    def _document(self, **known: t.Any) -> t.Any:
        """The XML of a new volume. ``known`` is what goes before the task's values; None takes one of them away."""
        values = {key: value for key, value in {**self.values, **known}.items() if value is not None}
        node = xmltree.element("volume")
        xmltree.write(node, "name", self.asked.name)
        VolumeDefinition(values).write(node)
        full = values.get("allocation") == "full" and "size" in values
        xmltree.write(node, "allocation", str(int(values["size"])) if full else "0")
        if values.get("format") == "qcow2":
            xmltree.write(node, *storage.COMPAT)
        if "encryption" in values:
            xmltree.write(node, "target/encryption/@format", "luks")
            xmltree.write(node, "target/encryption/secret/@type", "passphrase")
        return node

    def _create(self, kind: str | None) -> None:
        known: dict[str, t.Any] = {"format": kind}
        if "backing" in self.values:
            known["backing"] = self._backing()
            known["size"] = self.values.get("size") or known["backing"].pop("size", None)
        flags = 0
        if self.values.get("allocation") == "full" and kind == "qcow2":
            # Without its metadata libvirt allocates nothing of a qcow2 file.
            flags = libvirt.VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA
        with doing(f"Create the volume {self.who}"):
            self.volume = self.where.createXML(xmltree.serialise(self._document(**known)), flags)

    def _backing(self) -> dict[str, t.Any]:
        """What the volume is to be based on: its path, and its format and size as far as they are known."""
        wanted = self.values["backing"]
        if "path" not in wanted:
            return {**as_backing(self._other(wanted, "backing")), **wanted}
        with contextlib.suppress(NotFound), doing(f"Look for a volume at {wanted['path']}"):
            return {**as_backing(self.handle.storageVolLookupByPath(wanted["path"])), **wanted}
        return dict(wanted)

    def _other(self, named: t.Mapping[str, str], key: str) -> t.Any:
        pool = named.get("pool", self.asked.pool)
        found = storage.lookup(storage.pool(self.handle, pool), named["vol"])
        if found is None:
            raise NotFound(f"{key}: there is no volume {named['vol']!r} in pool {pool}.")
        return found

    def _copy(self, kind: str | None) -> None:
        source = self._other(self.values["source"], "source")
        node = self._document(format=kind, size=Size(0))
        with doing(f"Copy the volume {source.name()} to {self.who}"):
            self.volume = self.where.createXMLFrom(xmltree.serialise(node), source, 0)
        with self._whole_or_gone():
            self._refresh()
            self._grow_to_size()

    def _fill(self, _kind: str | None) -> None:
        wanted, terms = self.values["content"], self.asked.terms
        with content.opened(wanted.get("url") or wanted["path"], terms) as source:
            with doing(f"Create the volume {self.who}"):
                node = self._document(format="raw" if self.files else None, size=Size(source.length))
                self.volume = self.where.createXML(xmltree.serialise(node), 0)
            with self._whole_or_gone():
                content.upload(self.handle, self.volume, source, terms)
                if source.digest != wanted.get("checksum", source.digest):
                    raise Conflict(
                        f"{source.name}: its SHA-256 is {source.digest}, not {wanted['checksum']} as was asked."
                    )
                self._refresh()
                found = format_of(self.volume)
                if self.values.get("format", found) != found:
                    raise Conflict(f"{source.name}: is of the format {found}, not {self.values['format']}.")
                self._grow_to_size()

    @contextlib.contextmanager
    def _whole_or_gone(self) -> t.Iterator[None]:
        try:
            yield
        except ArchipelError as error:
            volume, self.volume = self.volume, None
            try:
                with doing("It could not be removed"):
                    volume.delete(0)
                left = f"The half-made volume {self.who} was removed."
            except NotFound:
                left = f"The half-made volume {self.who} is gone; somebody else has removed it."
            except ArchipelError as why:
                left = f"The volume {self.who} is there half-made. {why.message}"
            raise type(error)(f"{error.message} {left}") from error

    def _refresh(self) -> None:
        """Have libvirt read format and size of what was written."""
        with doing(f"Refresh the storage pool {self.asked.pool}"):
            # Refused while somebody else writes into the pool, who will refresh it then.
            with contextlib.suppress(libvirt.libvirtError):
                self.where.refresh()
            self.volume = self.where.storageVolLookupByName(self.asked.name)

    def _grow_to_size(self) -> None:
        size = self.values.get("size")
        if size is None:
            return
        with doing(f"Look at the volume {self.who}"):
            capacity = self.volume.info()[1]
        if capacity > size:
            raise Conflict(f"{self.who}: {Size(capacity)} is what it needs, which is more than the size of {size}.")
        if capacity < size:
            self._resize(size)

    def _resize(self, size: Size, flags: int = 0) -> None:
        if self.values.get("allocation") == "full":
            flags |= libvirt.VIR_STORAGE_VOL_RESIZE_ALLOCATE
        with doing(f"Resize the volume {self.who} to {size}"):
            self.volume.resize(int(size), flags)

    def _plan_changes(self) -> None:
        values = self.values
        try:
            with doing(f"Look at the volume {self.who}"):
                node = xmltree.parse_trusted(self.volume.XMLDesc())
        except NotFound as error:
            raise NotFound(
                f"{error.message} Its data have gone, and nothing was done; bring them back, or refresh the pool"
                " (module pool, refresh: true) so that libvirt forgets it."
            ) from error
        found = format_of(self.volume)
        if values.get("format", found) != found:
            raise Conflict(
                f"The volume {self.who} is {found}, not {values['format']}, and a format does not change in place; make"
                " another volume that is a copy of it (source)."
            )
        if "backing" in values:
            wanted, there = self._backing()["path"], xmltree.read(node, "backingStore/path")
            if wanted != there:
                raise Conflict(
                    f"The volume {self.who} is based on {there or 'nothing'}, not on {wanted}, which does not change in"
                    " place; delete it first, or give another name."
                )
        if "encryption" in values and node.find("target/encryption") is None:
            raise Conflict(
                f"The volume {self.who} is not encrypted, which does not change in place; make another volume."
            )
        if "content" in values and values["content"].get("update") == "always":
            self._plan_content(values["content"])
        if "size" in values:
            self._plan_size(t.cast(Size, Bytes("size", "capacity", "").read(node)), values["size"])

    def _plan_size(self, old: Size, new: Size) -> None:
        if 0 <= old - new < (_ROUNDING_OF_FILES if self.files else _ROUNDING_OF_BLOCKS):
            return
        flags = 0
        if new < old:
            flags = libvirt.VIR_STORAGE_VOL_RESIZE_SHRINK
            if not self.asked.force:
                raise Conflict(
                    f"The volume {self.who} has {old}; made smaller, to {new}, it would lose data. Use force: true if"
                    " that is meant."
                )
        self._refuse_in_use("resized")
        self.plan.add([Change("size", str(old), str(new), "live")], lambda: self._resize(new, flags))

    def _plan_content(self, wanted: t.Mapping[str, t.Any]) -> None:
        terms, place = self.asked.terms, wanted.get("url") or wanted["path"]
        try:
            with content.opened(place, terms) as source:
                length = source.length
        except NotFound:
            if not self.check:
                raise
            self.plan.add([Change("content", None, place, "live")], _nothing)
            return
        new = wanted.get("checksum") or content.digest_of_file(place, terms)
        old = content.digest(self.handle, self.volume, length, terms)
        if old == new:
            return
        self._refuse_in_use("changed")
        volume = self.volume
        self._plan(
            Change("content", f"sha256:{old}" if old else "other", f"sha256:{new}", "live"),
            f"Delete the volume {self.who}, to make it anew",
            lambda: volume.delete(0),
        )
        self.plan.add([], functools.partial(self._fill, None))

    def _plan_download(self, path: str) -> None:
        terms, volume, old = self.asked.terms, self.volume, None
        terms.allow(content.place_of(path))
        if volume is not None and not self.plan.changes:
            self._refuse_in_use("downloaded")
            if os.path.exists(path):
                with content.opened(path, terms) as file:
                    length = file.length
                old = content.digest_of_file(path, terms)
                if length and content.digest(self.handle, volume, 0, terms) == old:
                    return
        change = Change("download", None if old is None else f"sha256:{old}", path, "live")
        self.plan.add([change], lambda: content.download(self.handle, self.volume, path, terms))

    def _plan(self, change: Change, what: str, call: t.Callable[[], t.Any]) -> None:
        def run() -> None:
            with doing(what):
                call()

        self.plan.add([change], run)

    def result(self, *, check: bool) -> Result:
        result = self.plan.result(f"The volume {self.who}", check=check)
        if self.where is None and result["changed"]:
            result["msg"] += f" The pool {self.asked.pool} is not there or not active yet."
        volume: Result = {"name": self.asked.name, "pool": self.asked.pool, "state": "absent"}
        if self.volume is not None:
            try:
                with contextlib.suppress(NotFound):
                    machines = storage.users(self.handle)
                    volume = {**describe(self.handle, self.volume, self.asked.pool, machines), "state": "present"}
            except ArchipelError as error:
                error.changes = [change.as_data() for change in self.plan.done]
                raise
        return {**result, "volume": volume}


def _nothing() -> None:
    """Of a plan that is never run."""


def _written(value: t.Any) -> t.Any:
    return str(value) if isinstance(value, Size) else value
