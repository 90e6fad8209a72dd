# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What goes with a machine when it is removed, and what is not its own and stays.

A volume that was made for a machine is noted in its metadata, as ``archipel:volume`` with pool and name: by name rather
than by path, so that it holds where the machine is moved to a host whose pool lies elsewhere.
"""

from __future__ import annotations

import contextlib
import typing as t

from . import xmltree
from .blocks import gib
from .connection import doing, libvirt
from .elements import Change
from .errors import ArchipelError, NotFound

if t.TYPE_CHECKING:
    from .host import Host

Which = t.Literal["none", "owned", "all"]
_MEDIA: t.Final = ("cdrom", "floppy")
_ELEMENT: t.Final = f"{{{xmltree.NAMESPACE}}}volume"


def noted(node: t.Any) -> list[tuple[str, str]]:
    """Pool and name of the volumes that were made for a machine."""
    ours = node.find(f"metadata/{{{xmltree.NAMESPACE}}}machine")
    return [] if ours is None else [(v.get("pool", ""), v.get("name", "")) for v in ours.iterfind(_ELEMENT)]


def note(node: t.Any, pool: str, name: str, *, owned: bool = True) -> None:
    """Note in a domain's XML that a volume was made for it, or no longer is its own."""
    ours = xmltree.write(node, "metadata/archipel:machine?", "")
    for element in ours.findall(_ELEMENT):
        if (element.get("pool"), element.get("name")) == (pool, name):
            ours.remove(element)
    if owned:
        ours.append(xmltree.element("archipel:volume", pool=pool, name=name))


class Volume(t.NamedTuple):
    """A volume of an active pool; ``capacity`` in bytes, ``based_on`` the path of its backing file."""

    pool: str
    name: str
    path: str
    capacity: int
    based_on: str | None
    handle: t.Any

    @property
    def removal(self) -> Change:
        return Change(f"volumes[{self.pool}/{self.name}]", {"size": gib(self.capacity)}, None)

    def remove(self) -> None:
        with doing(f"Delete volume {self.name} of pool {self.pool}"), contextlib.suppress(NotFound):
            self.handle.delete(0)


class Verdict(t.NamedTuple):
    """Volumes that go, those based on others first, and what stays: ``path`` and ``reason``."""

    going: list[Volume]
    kept: list[dict[str, str]]


def judge(host: Host, uuid: str, documents: t.Sequence[t.Any], which: str, disks: t.Sequence[t.Any] = ()) -> Verdict:
    """What of a machine's storage goes with it. ``documents`` is the machine, as it is configured and as it runs;
    ``disks``, where it is not the whole machine that goes, those that do.

    Media, shared and read-only volumes stay, unless they were made for this machine; what another machine uses or a
    volume that stays is based on does in any case.
    """
    own = {pair for node in documents for pair in noted(node)}
    volumes = Volumes(host)
    candidates: dict[str, tuple[Volume, list[t.Any]]] = {}
    kept: dict[str, str] = {}
    for disk in disks or [d for node in documents for d in node.iterfind("devices/disk")]:
        path = volumes.path(disk.find("source"))
        volume = volumes.at(path) if path else None
        if path and volume is None:
            kept[path] = "it is no volume of an active pool"
        elif volume is not None:
            candidates.setdefault(volume.path, (volume, []))[1].append(disk)
    for pair in () if disks else own:
        volume = volumes.named(*pair)
        if volume is not None:
            candidates.setdefault(volume.path, (volume, []))
    going = {}
    users = _users(host, uuid, volumes)
    for path, (volume, uses) in candidates.items():
        reason = _reason((volume.pool, volume.name) in own, uses, which) or users.get(path)
        if reason:
            kept[path] = reason
        else:
            going[path] = volume
    _keep_bases(going, kept, volumes)
    # Those on top go first, so that whatever fails leaves nothing without its base.
    depth = {path: len(list(volumes.chain(path))) for path in going}
    ordered = sorted(going.values(), key=lambda volume: -depth[volume.path])
    return Verdict(ordered, [{"path": path, "reason": kept[path]} for path in sorted(kept)])


def _reason(own: bool, uses: t.Sequence[t.Any], which: str) -> str | None:
    """Why the machine's own use of a volume speaks for keeping it."""
    if which == "owned" and not own:
        return "it was not made for this machine"
    if any(disk.find("shareable") is not None for disk in uses):
        return "it is shared"
    if own:
        return None
    if any(disk.get("device") in _MEDIA for disk in uses):
        return "it is a medium"
    return "it is read-only" if any(disk.find("readonly") is not None for disk in uses) else None


def _keep_bases(going: dict[str, Volume], kept: dict[str, str], volumes: Volumes) -> None:
    """What stays keeps what it is based on."""
    while held := [v for v in volumes.all if v.based_on in going and v.path not in going]:
        for holder in held:
            path = holder.based_on or ""
            kept[path] = f"{holder.pool}/{holder.name} is based on it"
            going.pop(path, None)


def _users(host: Host, uuid: str, volumes: Volumes) -> dict[str, str]:
    """Path → why it stays, of all that other machines use, as they run or as they are configured."""
    used: dict[str, str] = {}
    with doing("List the machines"):
        domains = host.connection.handle.listAllDomains()
    for domain in domains:
        # A machine may go while the others are looked at.
        with contextlib.suppress(NotFound), doing(f"Look at {domain.name()}"):
            if domain.UUIDString() == uuid:
                continue
            for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
                for source in xmltree.parse_trusted(domain.XMLDesc(flags)).iterfind("devices/disk//source"):
                    path = volumes.path(source)
                    for each in volumes.chain(path) if path else ():
                        used[each] = f"{domain.name()} uses it"
    return used


class Volumes:
    """All volumes of the active pools, by path."""

    def __init__(self, host: Host) -> None:
        self._by_path: dict[str, Volume] = {}
        self._paths: dict[tuple[str, str], str] = {}
        with doing("List the storage pools"):
            pools = host.connection.handle.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
        for pool in pools:
            # What is based on what was perhaps made by others; libvirt refuses to look while it writes itself.
            with contextlib.suppress(libvirt.libvirtError):
                pool.refresh()
            with contextlib.suppress(NotFound), doing(f"List the volumes of pool {pool.name()}"):
                for volume in pool.listAllVolumes():
                    self._add(pool.name(), volume)

    def _add(self, pool: str, handle: t.Any) -> None:
        with contextlib.suppress(ArchipelError), doing(f"Look at a volume of pool {pool}"):
            node = xmltree.parse_trusted(handle.XMLDesc())
            base = xmltree.read(node, "backingStore/path")
            found = Volume(pool, handle.name(), handle.path(), int(xmltree.read(node, "capacity") or 0), base, handle)
            self._by_path[found.path] = found
            self._paths[pool, found.name] = found.path

    @property
    def all(self) -> t.Collection[Volume]:
        return self._by_path.values()

    def at(self, path: str) -> Volume | None:
        return self._by_path.get(path)

    def named(self, pool: str, name: str) -> Volume | None:
        path = self._paths.get((pool, name))
        return self._by_path[path] if path else None

    def path(self, source: t.Any) -> str | None:
        """Where a disk's ``source`` is."""
        if source is None:
            return None
        pair = (source.get("pool"), source.get("volume"))
        return source.get("file") or source.get("dev") or self._paths.get(pair)

    def chain(self, path: str) -> t.Iterator[str]:
        """A path and all that it is based on."""
        seen: set[str] = set()
        while path and path not in seen:
            seen.add(path)
            yield path
            volume = self._by_path.get(path)
            path = (volume.based_on if volume else None) or ""
