# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a hypervisor makes ready for a machine that is to come: the volumes into which its disks are copied.

libvirt would make some of them by itself, but neither those that lie on a backing file nor those outside of directory
pools, and after a failure it leaves them there.
"""

from __future__ import annotations

import dataclasses
import os.path
import typing as t

from . import storage, xmltree
from .connection import doing, libvirt
from .errors import ArchipelError, InvalidArgument, NotFound
from .pool import holds_files

if t.TYPE_CHECKING:
    from .host import Host


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A volume for the disk ``target``: in ``pool``, or where the pool of the directory of ``path`` is. ``capacity`` in
    bytes; ``base`` is the backing file that it lies on, and ``base_format`` that one's."""

    target: str
    pool: str | None
    name: str
    path: str
    capacity: int
    format: str
    base: str | None = None
    base_format: str | None = None

    @classmethod
    def bind(cls, untrusted: t.Any) -> Wanted:
        try:
            return cls(**untrusted)
        except TypeError as error:
            raise InvalidArgument(f"volumes: this is no volume to be made ({error}).") from error


def pool_at(handle: t.Any, directory: str) -> t.Any:
    """The active pool of a directory; None where there is none."""
    with doing("List the storage pools"):
        pools = handle.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
        for pool in pools:
            target = xmltree.read(xmltree.parse_trusted(pool.XMLDesc()), "target/path")
            if target and os.path.normpath(target) == os.path.normpath(directory):
                return pool
    return None


def receive(host: Host, volumes: t.Sequence[Wanted]) -> dict[str, t.Any]:
    """Make the volumes that are not there. ``{paths, made}``: where each disk's is, by target, and pool and name of
    those that were made; when one cannot be, none was."""
    handle = host.connection.handle
    paths: dict[str, str] = {}
    made: list[list[str]] = []
    try:
        for wanted in volumes:
            where = storage.pool(handle, wanted.pool) if wanted.pool else pool_at(handle, os.path.dirname(wanted.path))
            if where is None:
                raise NotFound(f"{host.name} has no active pool at {os.path.dirname(wanted.path)}; make one there.")
            volume = storage.lookup(where, wanted.name)
            if volume is None:
                with doing(f"Make the volume {wanted.name} in pool {where.name()} of {host.name}"):
                    volume = where.createXML(xmltree.serialise(_document(where, wanted)), 0)
                made.append([where.name(), wanted.name])
            paths[wanted.target] = volume.path()
    except ArchipelError:
        discard(host, made)
        raise
    return {"changed": bool(made), "paths": paths, "made": made}


def _document(where: t.Any, wanted: Wanted) -> t.Any:
    node = storage.document(wanted.name, wanted.capacity, wanted.format if holds_files(where) else None)
    if wanted.base:
        xmltree.write(node, "backingStore/path", wanted.base)
        xmltree.write(node, "backingStore/format/@type", wanted.base_format or "raw")
    return node


def discard(host: Host, volumes: t.Iterable[t.Sequence[str]]) -> dict[str, t.Any]:
    """Remove volumes, given by pool and name, that were made for a machine that did not come; what is used stays.
    ``{left}`` has the paths of what could not be removed."""
    handle = host.connection.handle
    users = storage.users(handle)
    left: list[str] = []
    for pool, name in volumes:
        volume = storage.lookup(storage.pool(handle, pool), name)
        if volume is None:
            continue
        try:
            with doing(f"Remove the volume {name} of pool {pool}"):
                if storage.users_of(users, volume, pool):
                    left.append(volume.path())
                else:
                    volume.delete(0)
        except ArchipelError:
            left.append(volume.path())
    return {"changed": True, "left": left}
