# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The images of machines' disks: which a machine writes to, and which lie on others."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from . import storage, xmltree
from .connection import doing, libvirt
from .errors import ArchipelError, NotFound

VIRTUAL: t.Final = ("kvm", "qemu", "hvf")  # types of domains whose images are QEMU's


@dataclasses.dataclass(frozen=True)
class Image:
    """A disk of a domain. ``path`` is None of one in the network, ``format`` is QEMU's word."""

    node: t.Any
    target: str
    path: str | None
    format: str
    shared: bool

    @property
    def block(self) -> bool:
        return self.path is not None and self.path.startswith("/dev/")


def written(handle: t.Any, domain: t.Any) -> list[Image]:
    """The disks that a domain writes to: neither media nor what it may only read."""
    found = []
    for node in domain.iterfind("devices/disk"):
        source = node.find("source")
        if node.get("device", "disk") == "disk" and source is not None and node.find("readonly") is None:
            found.append(
                Image(
                    node,
                    xmltree.read(node, "target/@dev") or "",
                    _path(handle, source),
                    xmltree.read(node, "driver/@type") or "raw",
                    node.find("shareable") is not None,
                )
            )
    return found


def _path(handle: t.Any, source: t.Any) -> str | None:
    if source.get("volume"):
        # A running machine's has the path beside it.
        with contextlib.suppress(ArchipelError):
            return source.get("file") or storage.find_volume(handle, source.get("pool"), source.get("volume"))[0]
    return t.cast("str | None", source.get("file") or source.get("dev"))


def machines_on(handle: t.Any, paths: t.Collection[str]) -> set[str]:
    """Names of the machines of which a disk is one of these images, or lies on one.

    libvirt tells the whole chain of a running machine only, and of one that is off just its uppermost image. What that
    lies on is written in the image, and libvirt tells it of the volumes of its pools.
    """
    below = _below(handle)
    found = set()
    with doing("List the machines"):
        domains = handle.listAllDomains()
    for domain in domains:
        # A machine may go while the others are looked at.
        with contextlib.suppress(NotFound), doing(f"Look at the disks of {domain.name()}"):
            node = xmltree.parse_trusted(domain.XMLDesc())
            tops = [_path(handle, source) for source in node.iterfind("devices/disk//source")]
            if any(path in paths for top in tops for path in _chain(top, below)):
                found.add(domain.name())
    return found


def _below(handle: t.Any) -> dict[str, str]:
    """Path of an image → path of the one that it lies on, for all volumes of active pools."""
    found = {}
    with doing("List the storage pools"):
        pools = handle.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    for pool in pools:
        # libvirt does not see by itself what others put into a pool, and refuses to look while a volume is written.
        with contextlib.suppress(libvirt.libvirtError):
            pool.refresh()
        with contextlib.suppress(libvirt.libvirtError):
            for volume in pool.listAllVolumes():
                # One that is deleted meanwhile lies on nothing.
                with contextlib.suppress(libvirt.libvirtError):
                    base = xmltree.read(xmltree.parse_trusted(volume.XMLDesc()), "backingStore/path")
                    if base:
                        found[volume.path()] = base
    return found


def _chain(path: str | None, below: t.Mapping[str, str]) -> t.Iterator[str]:
    seen: set[str] = set()
    while path and path not in seen:
        seen.add(path)
        yield path
        path = below.get(path)
