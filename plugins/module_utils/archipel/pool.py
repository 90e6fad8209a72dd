# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A storage pool: what a person may say about it, and libvirt's pool XML."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from . import xmltree
from .blueprint import Blueprint, Groups
from .connection import doing, libvirt
from .elements import Attribute, Change, Element
from .errors import InvalidDefinition

# virStoragePoolState, in its order
_STATES: t.Final = ("inactive", "building", "running", "degraded", "inaccessible")
_MODE: t.Final = re.compile("0?[0-7]{3}|[0-7]{4}")
# What libvirt reports with a definition and nobody asks for.
_MEASURED: t.Final = ("capacity", "allocation", "available")

# virStoragePoolBuildFlags. A kind that would overwrite what is there is built with NO_OVERWRITE only; one that
# only makes a directory or fails by itself where something is takes no flag.
_CAREFULLY, _PLAINLY = "VIR_STORAGE_POOL_BUILD_NO_OVERWRITE", "VIR_STORAGE_POOL_BUILD_NEW"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type of pools: the keys without which there is none, the target where none is named, how it is built, whether
    what was built can be removed again, and how it authenticates. ``files``: its volumes are files, of whatever format;
    others hold raw data."""

    needs: tuple[str, ...]
    target: str | None = None
    build: str | None = None
    remove: bool = False
    auth: str | None = None
    files: bool = False


KINDS: t.Final[dict[str, Kind]] = {
    "dir": Kind(("target",), build=_PLAINLY, remove=True, files=True),
    "fs": Kind(("target", "source.devices"), build=_CAREFULLY, remove=True, files=True),
    "netfs": Kind(("target", "source.hosts", "source.dir"), build=_PLAINLY, remove=True, files=True),
    "logical": Kind(("source.name",), build=_CAREFULLY, remove=True),
    "disk": Kind(("target", "source.devices"), target="/dev", build=_CAREFULLY),
    "iscsi": Kind(("target", "source.hosts", "source.devices"), target="/dev/disk/by-path", auth="chap"),
    "iscsi-direct": Kind(("source.hosts", "source.devices", "source.initiator"), auth="chap"),
    "scsi": Kind(("target", "source.adapter"), target="/dev/disk/by-path"),
    "mpath": Kind(("target",), target="/dev/mapper"),
    "rbd": Kind(("source.hosts", "source.name"), auth="ceph"),
    "gluster": Kind(("source.hosts", "source.name")),
    "sheepdog": Kind(("source.hosts", "source.name")),
    "zfs": Kind(("source.name",), build=_PLAINLY, remove=True),
    "vstorage": Kind(("source.name", "target"), files=True),
}


def holds_files(pool: t.Any) -> bool:
    """Whether the volumes of a ``virStoragePool`` are files."""
    kind = xmltree.parse_trusted(pool.XMLDesc()).get("type")
    return kind not in KINDS or KINDS[kind].files


class Hosts(Attribute):
    """Names or addresses, each with a port where it is not the usual one: ``mon1:6789``, ``[fd00::1]:3260``."""

    def bind(self, untrusted: t.Any, where: str) -> t.Any:
        return [_joined(*_split(host)) for host in super().bind(untrusted, where)]

    def read(self, node: t.Any) -> t.Any:
        return [_joined(host.get("name"), host.get("port")) for host in node.findall("source/host")] or None

    def write(self, node: t.Any, value: t.Any) -> None:
        xmltree.write_all(node, self.path, [_split(host)[0] for host in value])
        for host, written in zip(node.findall("source/host"), value):
            xmltree.write(host, "@port", _split(written)[1])


def _split(host: str) -> tuple[str, str | None]:
    found = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+):(\d+)", host)
    return (found[1] or found[3], found[2] or found[4]) if found else (host, None)


def _joined(name: str, port: str | None) -> str:
    return name if port is None else f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


class Devices(Attribute):
    """Devices, of which those that stay keep what else is known of them: partitions, free room."""

    def write(self, node: t.Any, value: t.Any) -> None:
        there = {device.get("path"): device for device in node.findall("source/device")}
        super().write(node, value)
        for device in node.findall("source/device"):
            device.getparent().replace(device, there.get(device.get("path"), device))


class Mode(Attribute):
    """Permission bits as chmod has them, ``0750``."""

    def bind(self, untrusted: t.Any, where: str) -> t.Any:
        value = super().bind(untrusted, where)
        if not _MODE.fullmatch(value):
            raise InvalidDefinition(f"{where}: {value!r} is no mode; write it in quotes, like '0750'.")
        return value.rjust(4, "0")


class PoolDefinition(Blueprint):
    """What a pool is made of."""

    element: t.ClassVar[Element] = Element(
        "pool",
        (
            Attribute("type", "@type", "Kind of storage. A new pool is a directory unless something else is named.",
                      choices=tuple(KINDS)),
            Attribute("target", "target/path", "Where the volumes appear on the hypervisor, for example the directory."
                      " Types that have one usual place need none."),
        ),
    )  # fmt: skip
    groups: t.ClassVar[Groups] = {
        "source": (
            Element(
                "source",
                (
                    Hosts("hosts", "source/host/@name", "Servers, each a name or an address, with C(:port) where it is"
                          " not the usual one.", list),
                    Attribute("dir", "source/dir/@path", "Directory that the server exports."),
                    Attribute("name", "source/name", "Volume group, Ceph pool, Gluster volume or ZFS pool."),
                    Devices("devices", "source/device/@path", "Block devices; of iSCSI the target's IQN.", list),
                    Attribute("adapter", "source/adapter/@name", "SCSI host adapter, for example V(scsi_host1)."),
                    Attribute("format", "source/format/@type",
                              "Format of the source, for example V(ext4), V(nfs), V(lvm2), V(gpt)."),
                    Attribute("initiator", "source/initiator/iqn/@name", "IQN as which to log in."),
                    Attribute("username", "source/auth/@username", "User as whom to log in."),
                    Attribute("credential", "source/auth/secret/@uuid",
                              "UUID of the libvirt secret that has the user's password or key."),
                ),
            ),
            "Where the storage comes from.",
        ),
        "permissions": (
            Element(
                "permissions",
                (
                    Mode("mode", "target/permissions/mode", "Mode of the directory, for example V('0750')."),
                    Attribute("owner", "target/permissions/owner", "Numeric id of the directory's owner.", int,
                              minimum=0),
                    Attribute("group", "target/permissions/group", "Numeric id of the directory's group.", int,
                              minimum=0),
                ),
            ),
            "What the directory gets when the pool is built.",
        ),
    }  # fmt: skip

    def check(self) -> None:
        if self.values.get("target", "/")[:1] != "/":
            raise InvalidDefinition(f"target: {self.values['target']!r} must be absolute.")
        source = self.values.get("source", {})
        if ("username" in source) != ("credential" in source):
            raise InvalidDefinition("source: username and credential go together.")


NOTHING: t.Final = PoolDefinition({})


def document(pool: t.Any) -> t.Any:
    """The pool's XML as it is configured, which an active one may not have taken over yet."""
    with doing(f"Read the definition of the storage pool {pool.name()}"):
        try:
            text = pool.XMLDesc(libvirt.VIR_STORAGE_XML_INACTIVE)
        except libvirt.libvirtError as error:
            # libvirt's test driver knows one definition only.
            if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
                raise
            text = pool.XMLDesc()
    node = xmltree.parse_trusted(text)
    for tag in _MEASURED:
        xmltree.write(node, tag, None)
    return node


def describe(pool: t.Any) -> dict[str, t.Any]:
    """Sizes are in bytes; they are None of a pool that is not active."""
    with doing(f"Look at the storage pool {pool.name()}"):
        active = bool(pool.isActive())
        state, capacity, allocation, available = pool.info()
        node = xmltree.parse_trusted(pool.XMLDesc())
        values = PoolDefinition.read(node)
        return {
            "name": pool.name(),
            "uuid": pool.UUIDString(),
            "state": _STATES[state] if state < len(_STATES) else "unknown",
            "active": active,
            "persistent": bool(pool.isPersistent()),
            "autostart": bool(pool.autostart()) if pool.isPersistent() else False,
            "capacity": capacity if active else None,
            "allocation": allocation if active else None,
            "available": available if active else None,
            "volume_count": pool.numOfVolumes() if active else None,
            **values,
        }


def differences(given: t.Any, there: t.Any, path: str = "") -> t.Iterator[Change]:
    """What was given and is not there. libvirt adds elements; of those that were given, none may be there besides."""
    for key, value in given.attrib.items():
        if there.get(key) != value:
            yield Change(f"{path}@{key}", there.get(key), value)
    old, new = ((node.text or "").strip() for node in (there, given))
    if new and old != new:
        yield Change(path.rstrip("/"), old or None, new)
    for tag in dict.fromkeys(child.tag for child in given if child.tag not in _MEASURED):
        wanted, found = given.findall(tag), there.findall(tag)
        if len(wanted) == len(found) == 1:
            yield from differences(wanted[0], found[0], f"{path}{tag}/")
        elif len(wanted) != len(found) or any(any(differences(*pair)) for pair in zip(wanted, found)):
            yield Change(path + tag, [xmltree.serialise(e) for e in found], [xmltree.serialise(e) for e in wanted])
