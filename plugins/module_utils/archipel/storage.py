# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Storage pools and volumes, as far as machines' disks need them."""

from __future__ import annotations

import contextlib
import typing as t

from . import xmltree
from .connection import doing, libvirt
from .errors import Conflict, NotFound

GIB = 1 << 30
# Formats that a machine's disk can have; what libvirt finds otherwise (iso, none, unknown) is read as it lies there.
IMAGES: t.Final = frozenset(("qcow2", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc"))


def pool(handle: t.Any, name: str) -> t.Any:
    """The active pool of that name."""
    with doing("List the storage pools"):
        pools = {each.name(): each for each in handle.listAllStoragePools()}
    if name not in pools:
        raise NotFound(f"There is no storage pool {name!r} here; there are: {', '.join(sorted(pools)) or 'none'}.")
    found = pools[name]
    with doing(f"Look at storage pool {name}"):
        if not found.isActive():
            raise Conflict(f"The storage pool {name} is not active; start it (virsh pool-start {name}).")
    return found


def find_volume(handle: t.Any, pool_name: str, name: str) -> tuple[str, str | None]:
    """Where the volume is, or would be, and its format, None if it is not there."""
    where = pool(handle, pool_name)
    with doing(f"Look at storage pool {pool_name}"):
        volume = _lookup(where, name)
        if volume is None:
            # libvirt does not see by itself what others put into a pool; it refuses to look while a volume is written.
            with contextlib.suppress(libvirt.libvirtError):
                where.refresh()
            volume = _lookup(where, name)
        if volume is None:
            target = xmltree.read(xmltree.parse_trusted(where.XMLDesc()), "target/path") or ""
            return f"{target.rstrip('/')}/{name}", None
        node = xmltree.parse_trusted(volume.XMLDesc())
        kind = xmltree.read(node, "target/format/@type")
        return volume.path(), kind if kind in IMAGES else "raw"


def _lookup(where: t.Any, name: str) -> t.Any:
    try:
        return where.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return None


def create_volume(handle: t.Any, pool_name: str, name: str, *, size: int, format: str) -> t.Any:
    """Make a sparse volume of ``size`` GiB; the ``virStorageVol``."""
    where = pool(handle, pool_name)
    node = xmltree.element("volume")
    for path, value in (
        ("name", name),
        ("capacity", str(size * GIB)),
        ("allocation", "0"),
        ("target/format/@type", format),
    ):
        xmltree.write(node, path, value)
    with doing(f"Create volume {name} of {size} GiB in pool {pool_name}"):
        return where.createXML(xmltree.serialise(node), 0)
