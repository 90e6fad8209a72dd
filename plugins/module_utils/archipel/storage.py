# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Storage pools and volumes as libvirt has them, and which machines use them."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as t

from . import xmltree
from .connection import doing, libvirt
from .errors import Conflict, NotFound, Unsupported

GIB = 1 << 30
# Of qcow2. Left to itself libvirt makes 0.10, which QEMU has not made by default since 2013.
COMPAT: t.Final = ("target/compat", "1.1")
# Formats that a machine's disk can have; what libvirt finds otherwise (iso, none, unknown) is read as it lies there.
IMAGES: t.Final = frozenset(("qcow2", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc"))
# The path of a volume of iscsi-direct, which libvirt makes up (storage_backend_iscsi_direct.c).
_LUN: t.Final = re.compile(r"ip-(.+)-iscsi-(.+)-lun-(\d+)")
# Seconds for which a client of a shared file system may go on telling a file's earlier state. GlusterFS: two.
_CACHED: t.Final = 5
# Where a machine's definition names files of its host that it only reads, but for its NVRAM, which is its own.
_BOOT: t.Final = ("os/kernel", "os/initrd", "os/dtb", "os/loader", "os/nvram", "os/nvram/source")


def find_pool(handle: t.Any, name: str) -> t.Any:
    """The pool of that name, active or not; None where there is none."""
    with doing(f"Look for the storage pool {name}"):
        try:
            return handle.storagePoolLookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
                raise
            return None


def pool(handle: t.Any, name: str) -> t.Any:
    """The active pool of that name."""
    found = find_pool(handle, name)
    if found is None:
        with doing("List the storage pools"):
            names = sorted(each.name() for each in handle.listAllStoragePools())
        raise NotFound(f"There is no storage pool {name!r} here; there are: {', '.join(names) or 'none'}.")
    with doing(f"Look at storage pool {name}"):
        if not found.isActive():
            raise Conflict(f"The storage pool {name} is not active; start it (module pool, state: active).")
    return found


def lookup(where: t.Any, name: str) -> t.Any:
    """The volume of that name in an active pool; None where there is none."""
    with doing(f"Look for the volume {name} in pool {where.name()}"):
        volume = _lookup(where, name)
        if volume is None:
            # libvirt does not see by itself what others put into a pool; it refuses to look while a volume is written.
            with contextlib.suppress(libvirt.libvirtError):
                where.refresh()
            volume = _lookup(where, name)
    return volume


def _lookup(where: t.Any, name: str) -> t.Any:
    try:
        return where.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return None


def find_volume(handle: t.Any, pool_name: str, name: str) -> tuple[str, str | None]:
    """Where the volume is, or would be, and its format, None if it is not there. One in the network is at a URI."""
    where = pool(handle, pool_name)
    volume = lookup(where, name)
    with doing(f"Look at storage pool {pool_name}"):
        if volume is None:
            target = xmltree.read(xmltree.parse_trusted(where.XMLDesc()), "target/path") or ""
            return f"{target.rstrip('/')}/{name}", None
        if volume.info()[0] == libvirt.VIR_STORAGE_VOL_NETWORK:
            return _uri(where, volume), "raw"
        kind = xmltree.read(xmltree.parse_trusted(volume.XMLDesc()), "target/format/@type")
        return volume.path(), kind if kind in IMAGES else "raw"


def _uri(where: t.Any, volume: t.Any) -> str:
    """What a disk is to name to have a volume that is on no path of this host."""
    named = f"The volume {where.name()}/{volume.name()} is in the network"
    found = _LUN.fullmatch(volume.path())
    if found is None:
        raise Unsupported(f"{named}; give the disk a path in place of its pool: a URI like rbd://host/pool/image.")
    if xmltree.read(xmltree.parse_trusted(where.XMLDesc()), "source/auth?") is not None:
        raise Unsupported(
            f"{named} and asks for a login, which a disk cannot give yet. Give the whole definition (xml)."
        )
    return "iscsi://{}/{}/{}".format(*found.groups())


def pool_of(handle: t.Any, path: str) -> str | None:
    """The name of the pool that the volume at a path is in, where it is in one."""
    try:
        return str(handle.storageVolLookupByPath(path).storagePoolLookupByVolume().name())
    except libvirt.libvirtError:
        return None


def volume_at(handle: t.Any, path: str) -> t.Any:
    """The volume at a path, in an active pool; None where there is none."""
    for fresh in (True, False):
        with contextlib.suppress(libvirt.libvirtError):
            return handle.storageVolLookupByPath(path)
        if fresh:
            # libvirt does not see by itself what others, or its own snapshots, put into a pool.
            with doing("List the storage pools"):
                pools = handle.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
            for each in pools:
                with contextlib.suppress(libvirt.libvirtError):
                    each.refresh()
    return None


@dataclasses.dataclass(frozen=True)
class Identity:
    """What tells the volume at ``path`` from another one there on another host. Of a file ``changed``: when it, its
    owner or its mode was changed last (st_ctime, which nobody can set), in seconds. Of a device ``key``: the UUID or
    serial number that libvirt names it by."""

    path: str
    changed: float | None = None
    key: str | None = None

    @classmethod
    def bind(cls, untrusted: t.Any) -> Identity | None:
        """One that another hypervisor told, if it did."""
        told = untrusted if isinstance(untrusted, dict) else {}
        changed, key = told.get("changed"), told.get("key")
        return cls(str(told["path"]), changed and float(changed), key and str(key)) if "path" in told else None

    def is_that(self, there: Identity, now: Identity) -> bool | None:
        """Whether what was seen ``there``, after this was seen here and before ``now``, is the same volume; None where
        nothing tells."""
        if self.key and there.key:
            return self.key == there.key
        if self.changed is None or there.changed is None or now.changed is None:
            return None
        if there.changed in (self.changed, now.changed):
            return True
        return None if self.changed - _CACHED <= there.changed <= now.changed else False


def identity(volume: t.Any) -> Identity:
    with doing("Look at a volume"):
        node = xmltree.parse_trusted(volume.XMLDesc())
        path = volume.path()
    changed, key = xmltree.read(node, "target/timestamps/ctime"), xmltree.read(node, "key")
    if node.get("type") == "block":
        # By path, it is one of this host (storage_backend_logical.c and virStorageFileGetSCSIKey have better ones).
        return Identity(path, key=None if key is None or key.startswith("/") else key)
    return Identity(path, changed=float(changed) if changed and node.get("type") == "file" else None)


def create_volume(handle: t.Any, pool_name: str, name: str, *, size: int, format: str) -> t.Any:
    """Make a sparse volume of ``size`` GiB; the ``virStorageVol``."""
    where = pool(handle, pool_name)
    with doing(f"Create volume {name} of {size} GiB in pool {pool_name}"):
        return where.createXML(xmltree.serialise(document(name, size * GIB, format)), 0)


def document(name: str, capacity: int, format: str | None) -> t.Any:
    """The XML of a new sparse volume; ``capacity`` in bytes, ``format`` None where it is no file."""
    node = xmltree.element("volume")
    for path, value in (
        ("name", name),
        ("capacity", str(capacity)),
        ("allocation", "0"),
        *((("target/format/@type", format),) if format else ()),
        *((COMPAT,) if format == "qcow2" else ()),
    ):
        xmltree.write(node, path, value)
    return node


class User(t.NamedTuple):
    """A machine that uses a file or device; ``writes``, if not only for reading."""

    name: str
    active: bool
    writes: bool


def users(handle: t.Any) -> dict[str, set[User]]:
    """Which machines use which path: as disks and media, as parts of a disk's backing chain, or to boot. A volume that
    a machine names by its pool stands there as ``pool/volume``."""
    found: dict[str, set[User]] = {}
    try:
        with doing("List the machines"):
            domains = handle.listAllDomains()
    except Unsupported:
        return found  # a connection to storage alone
    for domain in domains:
        # A machine may go meanwhile; then it uses nothing.
        with contextlib.suppress(NotFound), doing(f"Look at the disks of {domain.name()}"):
            name, active = domain.name(), bool(domain.isActive())
            for path, writes in _used(xmltree.parse_trusted(domain.XMLDesc())):
                found.setdefault(path, set()).add(User(name, active, writes))
    return found


def _used(node: t.Any) -> t.Iterator[tuple[str, bool]]:
    for disk in node.iterfind("devices/disk"):
        writable = disk.find("readonly") is None
        for source in disk.iterfind(".//source"):
            for path in _paths(source):
                yield path, writable and source.getparent().tag != "backingStore"
    for place in _BOOT:
        for each in node.iterfind(place):
            for path in _paths(each):
                yield path, "nvram" in place


def _paths(node: t.Any) -> t.Iterator[str]:
    if node.get("pool"):
        yield f"{node.get('pool')}/{node.get('volume')}"
    yield from filter(None, (node.get("file"), node.get("dev"), node.get("name"), (node.text or "").strip()))


def users_of(machines: t.Mapping[str, set[User]], volume: t.Any, pool_name: str) -> list[User]:
    """Those of ``users`` that use this volume."""
    nobody: set[User] = set()
    return sorted(machines.get(volume.path(), nobody) | machines.get(f"{pool_name}/{volume.name()}", nobody))
