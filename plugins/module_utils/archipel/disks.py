# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's disks: keys are virt-install's."""

from __future__ import annotations

import re
import string
import typing as t
import urllib.parse

from . import osinfo, xmltree
from .elements import ON_OFF, Attribute
from .errors import InvalidDefinition
from .groups import Devices, Values, Wanted

# What QEMU reads over the network by itself, as a URI names it.
_PROTOCOLS: t.Final = (
    "nbd",
    "iscsi",
    "rbd",
    "gluster",
    "ssh",
    "nfs",
    "http",
    "https",
    "ftp",
    "ftps",
    "tftp",
    "sheepdog",
)
_URI: t.Final = re.compile(rf"({'|'.join(_PROTOCOLS)})(\+\w+)?://")


class Source(Attribute):
    """Where a disk's data is: a file, a block device, or a place in the network as a URI. libvirt names each by another
    attribute."""

    def read(self, node: t.Any) -> t.Any:
        source = node.find("source")
        if source is None:
            return None
        if source.get("protocol"):
            return _uri(source)
        return next((source.get(key) for key in ("file", "dev", "dir") if source.get(key)), None)

    def write(self, node: t.Any, value: t.Any) -> None:
        # What else stands at a source and its backing chain belongs to the data that was there before.
        for tag in ("source", "backingStore", "mirror"):
            xmltree.write(node, tag, None)
        if not value:
            return
        if _URI.match(value):
            node.set("type", "network")
            node.append(_network(value))
            return
        block = value.startswith("/dev/")
        node.set("type", "block" if block else "file")
        xmltree.write(node, "source/@dev" if block else "source/@file", value)


def _uri(source: t.Any) -> str:
    """``rbd://mon1:6789/pool/image``. Of several hosts the first."""
    host = source.find("host")
    address = {} if host is None else host.attrib
    name = address.get("name", "")
    place = f"[{name}]" if ":" in name else name
    place += f":{address['port']}" if "port" in address else ""
    transport = f"+{address['transport']}" if "transport" in address else ""
    socket = f"?socket={address['socket']}" if "socket" in address else ""
    return f"{source.get('protocol')}{transport}://{place}/{source.get('name', '').lstrip('/')}{socket}"


def _network(uri: str) -> t.Any:
    parts = urllib.parse.urlsplit(uri)
    protocol, _plus, transport = parts.scheme.partition("+")
    node = xmltree.element("source", protocol=protocol)
    values = {"@name": parts.path.lstrip("/"), "host/@transport": transport, "host/@name": parts.hostname or "",
              "host/@port": str(parts.port or ""),
              "host/@socket": urllib.parse.parse_qs(parts.query).get("socket", [""])[0]}  # fmt: skip
    for path, value in values.items():
        if value:
            xmltree.write(node, path, value)
    return node


def check(disk: Values, where: str) -> None:
    """Refuse what contradicts itself."""
    if "path" in disk and ("pool" in disk or "vol" in disk):
        raise InvalidDefinition(f"{where}: path and pool name two places; give one of them.")
    # ESX names a file by its [datastore].
    if disk.get("path", "/")[:1] not in ("", "/", "[") and not _URI.match(disk["path"]):
        raise InvalidDefinition(
            f"{where}.path: {disk['path']!r} must be absolute, or a URI of {', '.join(_PROTOCOLS)}."
        )
    if "pool" not in disk and ("vol" in disk or ("size" in disk and not disk.get("target") and not disk.get("path"))):
        key = "vol" if "vol" in disk else "size"
        raise InvalidDefinition(f"{where}: {key} needs the pool that holds the volume.")
    if "/" in disk.get("vol", ""):
        raise InvalidDefinition(f"{where}.vol: {disk['vol']!r} is the name of a volume, without a slash.")
    if disk.get("device") not in _MEDIA and not any(disk.get(key) for key in ("target", "path", "pool")):
        raise InvalidDefinition(f"{where}: name its path, its pool, or the target of a disk that is there.")


def _forget(disk: t.Any, changed: t.Collection[str]) -> None:
    """A place on another bus is another place."""
    if "bus" in changed:
        xmltree.write(disk, "address", None)


class Disks(Devices):
    """They are told from each other by what the machine sees, or by what they hold."""

    def pair(self, nodes: t.Sequence[t.Any], wanted: t.Sequence[Wanted]) -> list[t.Any]:
        """For each wanted disk the one that is meant: by target, else by path, else the next empty one of its kind."""
        left = list(nodes)
        pairs = []
        for disk in wanted:
            found = next((node for node in left if _meant(node, disk)), None)
            if found is not None:
                left.remove(found)
            pairs.append(found)
        return pairs

    def make(self, item: Wanted, domain: t.Any, labels: t.Collection[t.Any]) -> t.Any:
        device = item.get("device", "disk")
        if device not in _MEDIA and not item.get("path"):
            raise InvalidDefinition(f"There is no disk {item['target']}; to add one, name its path or its pool.")
        bus = item.get("bus") or _bus(device, domain)
        values = {"device": device, "bus": bus, **{key: value for key, value in item.items() if value != ""}}
        if "target" not in values:
            values["target"] = _free_target(bus, labels)
        if item.get("path"):
            raw = device != "disk" or item["path"].startswith("/dev/") or _URI.match(item["path"])
            values.setdefault("format", item.get(FOUND) or ("raw" if raw else "qcow2"))
        if device == "cdrom":
            values.setdefault("readonly", True)
        node = xmltree.element("disk", type="file", device=device)
        if "format" in values:
            xmltree.write(node, "driver/@name", "qemu")
        self.write(node, values)
        return node

    def label(self, node: t.Any, index: int) -> t.Any:
        del index
        return xmltree.read(node, "target/@dev")


def _bytes(name: str, what: str) -> Attribute:
    return Attribute(f"{name}_bytes_sec", f"iotune/{name}_bytes_sec", f"Bytes per second that {what} at most; 0 for any"
                     " number.", int, zero=True)  # fmt: skip


def _operations(name: str, what: str) -> Attribute:
    return Attribute(f"{name}_iops_sec", f"iotune/{name}_iops_sec", f"Operations per second that {what} at most; 0 for"
                     " any number.", int, zero=True)  # fmt: skip


_BOTH, _READ, _WRITTEN = "are read and written", "are read", "are written"
PATH: t.Final = Source("path", "source", "File or block device of the disk on the hypervisor, or a place in the network"
                       " as a URI like V(rbd://host/pool/image) or V(nbd://host/export).",
                       examples=("/var/lib/libvirt/images/one.qcow2", "/dev/two"))  # fmt: skip
DISK: t.Final = Disks(
    "disks",
    (
        Attribute("target", "target/@dev", "Name of the disk in the machine, for example C(vda).",
                  examples=("vda", "vdb")),
        PATH,
        Attribute("pool", "", "Storage pool that holds the volume O(disks[].vol)."),
        Attribute("vol", "", "Volume in O(disks[].pool). By default it is named after the machine."),
        Attribute("size", "", "Size in GiB of a volume that is made if it is missing, and"
                  " made larger if it is smaller; while the machine runs, too.", int, minimum=1),
        Attribute("format", "driver/@type", "Format of the file, for example V(qcow2) or V(raw).",
                  examples=("qcow2", "raw")),
        Attribute("device", "@device", "Kind of device.", choices=("disk", "cdrom", "floppy", "lun"),
                  offered="devices/disk/diskDevice"),
        Attribute("bus", "target/@bus", "Bus, for example V(virtio), V(sata), V(scsi).", offered="devices/disk/bus",
                  examples=("virtio", "sata")),
        Attribute("cache", "driver/@cache", "Cache mode.", unsaid="default",
                  choices=("default", "none", "writethrough", "writeback", "directsync", "unsafe")),
        Attribute("discard", "driver/@discard", "Whether what the machine discards is given back.",
                  choices=("unmap", "ignore")),
        Attribute("detect_zeroes", "driver/@detect_zeroes", "What happens with zeroes that the machine writes.",
                  choices=("off", "on", "unmap")),
        Attribute("io", "driver/@io", "How the hypervisor does it.", choices=("native", "threads", "io_uring")),
        Attribute("iothread", "driver/@iothread", "Number of the I/O thread that serves it, of O(iothreads).", int,
                  minimum=1),
        Attribute("queues", "driver/@queues", "Number of queues, of V(virtio).", int, minimum=1),
        Attribute("copy_on_read", "driver/@copy_on_read", "Whether what is read from a backing file is kept.", bool,
                  words=ON_OFF),
        Attribute("error_policy", "driver/@error_policy", "What happens when it cannot be written.",
                  choices=("stop", "report", "ignore", "enospace")),
        Attribute("rerror_policy", "driver/@rerror_policy", "What happens when it cannot be read.",
                  choices=("stop", "report", "ignore")),
        Attribute("serial", "serial", "Serial number that the machine sees.", examples=("one", "two")),
        Attribute("wwn", "wwn", "World wide name that the machine sees, 16 hexadecimal digits.",
                  examples=("5000c50015ea71aa", "5000c50015ea71ab")),
        Attribute("vendor", "vendor", "Vendor that the machine sees, of V(scsi); at most 8 characters.",
                  examples=("one", "two")),
        Attribute("product", "product", "Product that the machine sees, of V(scsi); at most 16 characters.",
                  examples=("one", "two")),
        Attribute("rotation_rate", "target/@rotation_rate", "Turns per minute that the machine sees; 1 for none, as of"
                  " an SSD.", int, minimum=1),
        Attribute("removable", "target/@removable", "Whether it can be pulled out, of V(usb).", bool, words=ON_OFF),
        Attribute("readonly", "readonly?", "Whether the machine may only read it.", bool),
        Attribute("shareable", "shareable?", "Whether several machines use it at once.", bool),
        Attribute("snapshot", "@snapshot", "What a snapshot of the machine does with it.",
                  choices=("internal", "external", "no")),
        Attribute("rawio", "@rawio", "Whether SCSI commands of all kinds reach it, of V(lun).", bool),
        Attribute("sgio", "@sgio", "Whether SCSI commands of guests are filtered, of V(lun).",
                  choices=("filtered", "unfiltered")),
        Attribute("startup_policy", "source/@startupPolicy", "What happens when its file is missing at the start.",
                  choices=("mandatory", "requisite", "optional")),
        Attribute("logical_block_size", "blockio/@logical_block_size", "Size of a block in bytes.", int, minimum=512),
        Attribute("physical_block_size", "blockio/@physical_block_size", "Size of a block in bytes on the device.", int,
                  minimum=512),
        Attribute("boot_order", "boot/@order", "Place in the order of boot devices.", int, minimum=1),
        _bytes("total", _BOTH),
        _bytes("read", _READ),
        _bytes("write", _WRITTEN),
        _operations("total", _BOTH),
        _operations("read", _READ),
        _operations("write", _WRITTEN),
    ),
    path="devices/disk",
    help="Disks and media. Disks that are not named are left alone.",
    check=check,
    forget=_forget,
)  # fmt: skip

# A key beside DISK's, for the format that a volume has: a new disk takes it, one that is there is not compared with it.
FOUND: t.Final = "found format"
_MEDIA: t.Final = ("cdrom", "floppy")  # devices that may be empty
_NAMES_OF_BUS: t.Final = {"virtio": "vd", "ide": "hd", "fdc": "fd", "xen": "xvd"}
_DEFAULT_BUS: t.Final = {"cdrom": "sata", "floppy": "fdc", "disk": "virtio", "lun": "scsi"}


def default_volume(machine: str, index: int, disk: Wanted) -> str:
    """``web1.qcow2``, ``web1-1.qcow2`` …: the same at every run, so that a second run finds it."""
    return f"{machine}{f'-{index}' if index else ''}.{disk.get('format', 'qcow2')}"


def _meant(node: t.Any, disk: Wanted) -> bool:
    if disk.get("target"):
        return xmltree.read(node, "target/@dev") == disk["target"]
    if disk.get("path"):
        return PATH.read(node) == disk["path"]
    return node.get("device", "disk") == disk.get("device") and node.find("source") is None


def _bus(device: str, domain: t.Any) -> str:
    if device == "disk" and osinfo.virtual(domain) and not osinfo.virtio(domain):
        return "sata"
    return _DEFAULT_BUS[device] if osinfo.virtual(domain) or device != "disk" else "ide"


def _free_target(bus: str, taken: t.Collection[t.Any]) -> str:
    prefix = _NAMES_OF_BUS.get(bus, "sd")
    for letter in string.ascii_lowercase:
        if prefix + letter not in taken:
            return prefix + letter
    raise InvalidDefinition(
        f"All {len(string.ascii_lowercase)} targets {prefix}a … {prefix}z are in use; name a target."
    )
