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


class Source(Attribute):
    """Where a disk's data is: a file, or a block device, which libvirt names by another attribute."""

    def read(self, node: t.Any) -> t.Any:
        return xmltree.read(node, "source/@file") or xmltree.read(node, "source/@dev")

    def write(self, node: t.Any, value: t.Any) -> None:
        # What else stands at a source and its backing chain belongs to the data that was there before.
        for tag in ("source", "backingStore"):
            xmltree.write(node, tag, None)
        if value:
            block = value.startswith("/dev/")
            node.set("type", "block" if block else "file")
            xmltree.write(node, "source/@dev" if block else "source/@file", value)


PATH: t.Final = Source("path", "source", "File or block device of the disk on the hypervisor.")
DISK = Element(
    "disk",
    (
        Attribute("target", "target/@dev", "Name of the disk in the machine, for example C(vda)."),
        PATH,
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

# A key beside DISK's, for the format that a volume has: a new disk takes it, one that is there is not compared with it.
FOUND: t.Final = "found format"
_MEDIA = ("cdrom", "floppy")  # devices that may be empty
_NAMES_OF_BUS = {"virtio": "vd", "ide": "hd", "fdc": "fd", "xen": "xvd"}
_DEFAULT_BUS = {"cdrom": "sata", "floppy": "fdc", "disk": "virtio", "lun": "scsi"}


def check(disk: t.Mapping[str, t.Any], where: str) -> None:
    """Refuse what contradicts itself."""
    if "path" in disk and ("pool" in disk or "vol" in disk):
        raise InvalidDefinition(f"{where}: path and pool name two places; give one of them.")
    if disk.get("path", "/")[:1] not in ("", "/"):
        raise InvalidDefinition(f"{where}.path: {disk['path']!r} must be absolute.")
    for key in ("size", "vol"):
        if key in disk and "pool" not in disk:
            raise InvalidDefinition(f"{where}: {key} needs the pool that holds the volume.")
    if "/" in disk.get("vol", ""):
        raise InvalidDefinition(f"{where}.vol: {disk['vol']!r} is the name of a volume, without a slash.")
    if disk.get("device") not in _MEDIA and not any(disk.get(key) for key in ("target", "path", "pool")):
        raise InvalidDefinition(f"{where}: name its path, its pool, or the target of a disk that is there.")


def default_volume(machine: str, index: int, disk: t.Mapping[str, t.Any]) -> str:
    """``web1.qcow2``, ``web1-1.qcow2`` …: the same at every run, so that a second run finds it."""
    return f"{machine}{f'-{index}' if index else ''}.{disk.get('format', 'qcow2')}"


def pair(nodes: t.Sequence[t.Any], wanted: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Any]:
    """For each wanted disk the one that is meant: by target, else by path, else the next empty one of its kind."""
    left = list(nodes)
    pairs = []
    for disk in wanted:
        found = next((node for node in left if _meant(node, disk)), None)
        if found is not None:
            left.remove(found)
        pairs.append(found)
    return pairs


def _meant(node: t.Any, disk: t.Mapping[str, t.Any]) -> bool:
    if disk.get("target"):
        return xmltree.read(node, "target/@dev") == disk["target"]
    if disk.get("path"):
        return PATH.read(node) == disk["path"]
    return node.get("device", "disk") == disk.get("device") and node.find("source") is None


def make(disk: t.Mapping[str, t.Any], taken: t.Collection[str], *, virtual: bool) -> t.Any:
    """A new disk element. ``taken`` are the targets in use; ``virtual`` whether virtio is to be expected."""
    device = disk.get("device", "disk")
    if device not in _MEDIA and not disk.get("path"):
        raise InvalidDefinition(f"There is no disk {disk['target']}; to add one, name its path or its pool.")
    bus = disk.get("bus") or (_DEFAULT_BUS[device] if virtual or device != "disk" else "ide")
    values = {"device": device, "bus": bus, **{key: value for key, value in disk.items() if value != ""}}
    if "target" not in values:
        values["target"] = _free_target(bus, taken)
    if disk.get("path"):
        raw = device != "disk" or disk["path"].startswith("/dev/")
        values.setdefault("format", disk.get(FOUND) or ("raw" if raw else "qcow2"))
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
