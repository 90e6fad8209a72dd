# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's disks: keys are virt-install's."""

from __future__ import annotations

import string
import typing as t

from . import xmltree
from .elements import Attribute, Element
from .errors import InvalidDefinition

DISK = Element(
    "disk",
    (
        Attribute("target", "target/@dev", "Name of the disk in the machine, for example C(vda)."),
        Attribute("path", "source/@file", "File of the disk on the hypervisor."),
        Attribute("pool", "", "Storage pool that holds the volume O(disks[].vol)."),
        Attribute("vol", "", "Volume in O(disks[].pool). By default it is named after the machine."),
        Attribute("size", "", "Size in GiB of a volume that is made if it is missing.", int, minimum=1),
        Attribute("format", "driver/@type", "Format of the file, for example V(qcow2) or V(raw)."),
        Attribute("device", "@device", "Kind of device.", choices=("disk", "cdrom", "floppy", "lun")),
        Attribute("bus", "target/@bus", "Bus, for example V(virtio), V(sata), V(scsi)."),
        Attribute("cache", "driver/@cache", "Cache mode.",
                  choices=("default", "none", "writethrough", "writeback", "directsync", "unsafe")),
        Attribute("serial", "serial", "Serial number that the machine sees."),
        Attribute("readonly", "readonly?", "Whether the machine may only read it.", bool),
        Attribute("shareable", "shareable?", "Whether several machines use it at once.", bool),
        Attribute("boot_order", "boot/@order", "Place in the order of boot devices.", int, minimum=1),
    ),
)  # fmt: skip

_NAMES_OF_BUS = {"virtio": "vd", "ide": "hd", "fdc": "fd", "xen": "xvd"}
_DEFAULT_BUS = {"cdrom": "sata", "floppy": "fdc", "disk": "virtio", "lun": "scsi"}


def check(disk: t.Mapping[str, t.Any], where: str) -> None:
    """Refuse what contradicts itself."""
    if "path" in disk and ("pool" in disk or "vol" in disk):
        raise InvalidDefinition(f"{where}: path and pool name two places; give one of them.")
    if "path" in disk and not disk["path"].startswith("/"):
        raise InvalidDefinition(f"{where}.path: {disk['path']!r} must be absolute.")
    for key in ("size", "vol"):
        if key in disk and "pool" not in disk:
            raise InvalidDefinition(f"{where}: {key} needs the pool that holds the volume.")
    if "/" in disk.get("vol", ""):
        raise InvalidDefinition(f"{where}.vol: {disk['vol']!r} is the name of a volume, without a slash.")


def default_volume(machine: str, index: int, disk: t.Mapping[str, t.Any]) -> str:
    """``web1.qcow2``, ``web1-1.qcow2`` …: the same at every run, so that a second run finds it."""
    return f"{machine}{f'-{index}' if index else ''}.{disk.get('format', 'qcow2')}"


def find(nodes: t.Sequence[t.Any], disk: t.Mapping[str, t.Any]) -> t.Any:
    """The one of the machine's disks that is meant: by target, else by file, else the first of its kind without one."""
    if "target" in disk:
        return next((node for node in nodes if xmltree.read(node, "target/@dev") == disk["target"]), None)
    if "path" in disk:
        return next((node for node in nodes if xmltree.read(node, "source/@file") == disk["path"]), None)
    kind = disk.get("device", "disk")
    return next((n for n in nodes if n.get("device", "disk") == kind and xmltree.read(n, "source/@file") is None), None)


def make(disk: t.Mapping[str, t.Any], taken: t.Collection[str], *, virtual: bool) -> t.Any:
    """A new disk element. ``taken`` are the targets in use; ``virtual`` whether virtio is to be expected."""
    device = disk.get("device", "disk")
    if virtual:
        bus = _DEFAULT_BUS[device]
    else:
        bus = "ide" if device == "disk" else _DEFAULT_BUS[device]
    bus = disk.get("bus", bus)
    values = {"device": device, "bus": bus, "target": _free_target(bus, taken), **disk}
    if "path" in disk:
        values.setdefault("format", "raw" if device in ("cdrom", "floppy") else "qcow2")
    if device == "cdrom":
        values.setdefault("readonly", True)
    node = xmltree.element("disk", type="file", device=device)
    if "format" in values:
        xmltree.write(node, "driver/@name", "qemu")
    DISK.write(node, values)
    return node


def _free_target(bus: str, taken: t.Collection[str]) -> str:
    prefix = _NAMES_OF_BUS.get(bus, "sd")
    for letter in string.ascii_lowercase:
        if prefix + letter not in taken:
            return prefix + letter
    raise InvalidDefinition(
        f"All {len(string.ascii_lowercase)} targets {prefix}a … {prefix}z are in use; name a target."
    )
