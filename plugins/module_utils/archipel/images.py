# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The images of machines' disks: which a machine writes to, and which lie on others."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from . import storage, xmltree
from .belongings import Volumes
from .connection import doing
from .errors import ArchipelError, NotFound

if t.TYPE_CHECKING:
    from .host import Host

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
                    path_of(handle, node),
                    xmltree.read(node, "driver/@type") or "raw",
                    node.find("shareable") is not None,
                )
            )
    return found


def path_of(handle: t.Any, disk: t.Any) -> str | None:
    """Where a disk's image is on the host; None where it is not, or there is none."""
    source = disk.find("source")
    if source is None:
        return None
    if source.get("volume"):
        # A running machine's has the path beside it.
        with contextlib.suppress(ArchipelError):
            return source.get("file") or storage.find_volume(handle, source.get("pool"), source.get("volume"))[0]
    return t.cast("str | None", source.get("file") or source.get("dev"))


def machines_on(host: Host, paths: t.Collection[str]) -> set[str]:
    """Names of the machines of which a disk is one of these images, or lies on one.

    libvirt tells the whole chain of a running machine only, and of one that is off just its uppermost image. What that
    lies on is written in the image, and libvirt tells it of the volumes of its pools.
    """
    volumes = Volumes(host)
    found = set()
    with doing(f"List the machines of {host.name}"):
        domains = host.connection.handle.listAllDomains()
    for domain in domains:
        # A machine may go while the others are looked at.
        with contextlib.suppress(NotFound), doing(f"Look at the disks of {domain.name()}"):
            sources = xmltree.parse_trusted(domain.XMLDesc()).iterfind("devices/disk//source")
            tops = filter(None, map(volumes.path, sources))
            if any(path in paths for top in tops for path in volumes.chain(top)):
                found.add(domain.name())
    return found
