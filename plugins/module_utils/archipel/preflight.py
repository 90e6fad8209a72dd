# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a hypervisor has to say to a machine that is to come, before anything moves.

It runs at the destination: the source sends the machine's definition as it would arrive, and what only the source
knows. libvirt sees files in storage pools alone; of one elsewhere it is said that it cannot be seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os.path
import typing as t

from . import images, storage, xmltree
from .connection import doing, libvirt
from .errors import InvalidArgument
from .host_devices import HOST_DEVICES
from .pool import holds_files
from .reception import pool_at
from .storage import Identity

if t.TYPE_CHECKING:
    from .host import Host

Severity = t.Literal["error", "warning"]
_MEDIA: t.Final = ("cdrom", "floppy")
_BOOT: t.Final = ("kernel", "initrd", "dtb")
_ADDRESS: t.Final = next(attribute for attribute in HOST_DEVICES.attributes if attribute.key == "address")


@dataclasses.dataclass(frozen=True)
class Finding:
    """``what`` is the key of the machine's definition that it is about, or what else stands in the way. An error
    forbids the move, a warning does not."""

    what: str
    severity: Severity
    msg: str

    def as_data(self) -> dict[str, str]:
        return dataclasses.asdict(self)

    @classmethod
    def bind(cls, untrusted: t.Any) -> Finding:
        """One that another hypervisor told."""
        told = untrusted if isinstance(untrusted, dict) else {}
        severity: Severity = "warning" if told.get("severity") == "warning" else "error"
        return cls(str(told.get("what", "")), severity, str(told.get("msg", "")))


@dataclasses.dataclass(frozen=True)
class Copied:
    """A disk whose data comes along: ``capacity`` as the machine sees it, ``needed`` what it takes, both in bytes;
    ``base`` the backing file that it is to lie on, of an incremental copy."""

    target: str
    capacity: int
    needed: int
    base: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """What of the hypervisor that the machine comes from counts: the UUID of the host, its CPU as libvirt's XML, and
    the versions of libvirt and of what runs machines there, as libvirt counts them."""

    name: str
    uuid: str
    cpu: str
    libvirt: int
    runs: int


@dataclasses.dataclass(frozen=True)
class Needs:
    """``xml`` is the machine as it would arrive, without secrets. ``live``: it runs. ``eject``: media that are not
    there may be missing."""

    xml: str
    live: bool
    eject: bool
    copied: tuple[Copied, ...]
    source: Source

    def as_data(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def bind(cls, untrusted: t.Mapping[str, t.Any]) -> Needs:
        try:
            copied = tuple(Copied(**each) for each in untrusted["copied"])
            values = {key: untrusted[key] for key in ("xml", "live", "eject")}
            return cls(**values, copied=copied, source=Source(**untrusted["source"]))
        except (KeyError, TypeError) as error:
            raise InvalidArgument(f"needs: this is not what a machine needs ({error}).") from error


def source_of(host: Host) -> Source:
    """This hypervisor, as the other one needs to know it."""
    handle, cpu = host.connection.handle, host.capabilities.find("host/cpu")
    with doing(f"Ask for the versions of {host.name}"):
        return Source(
            host.name,
            xmltree.read(host.capabilities, "host/uuid") or "",
            "" if cpu is None else xmltree.serialise(cpu),
            handle.getLibVersion(),
            handle.getVersion(),
        )


def identities(handle: t.Any, domain: t.Any) -> dict[str, Identity]:
    """Of the disks that a machine writes to, as far as pools have them, by target."""
    found = {}
    for image in images.written(handle, domain):
        volume = image.path and storage.volume_at(handle, image.path)
        if volume:
            found[image.target] = storage.identity(volume)
    return found


def judge(
    needs: Needs, answer: t.Mapping[str, t.Any], before: t.Mapping[str, Identity], now: t.Mapping[str, Identity]
) -> list[Finding]:
    """What the destination answered, and what follows from it and from the ``identities`` that the disks had here
    before and after: a disk that stays where it is has to be the same there, and one that is copied another."""
    findings = [Finding.bind(each) for each in answer["findings"]]
    copied = {disk.target for disk in needs.copied}
    # A destination whose agent is older does not tell.
    there = {target: Identity.bind(each) for target, each in answer.get("identities", {}).items()}
    for target, seen in there.items():
        if seen is None or target not in before or target not in now:
            continue
        what, same = f"disks[{target}]", before[target].is_that(seen, now[target])
        if same and target in copied:
            # Whatever else was found there is of this very disk.
            findings = [finding for finding in findings if finding.what != what]
            msg = f"{seen.path} is the same on both sides, and a disk that they share is not copied over itself."
            remedy = "Use copy_storage: none, or name another pool by storage_map."
            findings.append(Finding(what, "error", f"{msg} {remedy}"))
        elif same is False and target not in copied:
            remedy = "use copy_storage: all"
            remedy = remedy if needs.live else f"remove it there (module volume) and {remedy}"
            msg = f"{seen.path} is there, but is not the disk {target}; an earlier move may have left it."
            findings.append(Finding(what, "error", f"{msg} Where the two share no storage, {remedy}."))
    return findings


def inspect(host: Host, needs: Needs) -> dict[str, t.Any]:
    """``{findings, missing_media, paths, takes, identities}``: all that speaks against the machine here, the targets of
    drives whose media are not here, where copies of its disks would be, by target, for each pool the bytes ``needed``
    by them and ``available``, and by target what is here in the place of a disk. Changes nothing."""
    inspection = _Inspection(host, needs)
    inspection.run()
    findings = [finding.as_data() for finding in inspection.findings]
    return {
        "changed": False,
        "findings": findings,
        "missing_media": inspection.missing_media,
        "paths": inspection.paths,
        "takes": inspection.takes,
        "identities": {target: dataclasses.asdict(each) for target, each in inspection.identities.items()},
    }


class _Inspection:
    def __init__(self, host: Host, needs: Needs) -> None:
        self.host = host
        self.handle = host.connection.handle
        self.needs = needs
        self.domain = xmltree.parse(needs.xml, "domain")
        self.who = xmltree.read(self.domain, "name") or "the machine"
        self.findings: list[Finding] = []
        self.missing_media: list[str] = []
        self.paths: dict[str, str] = {}
        self.takes: dict[str, dict[str, int]] = {}
        self.identities: dict[str, Identity] = {}

    def run(self) -> None:
        self._identity()
        if self._kind():
            self._cpu()
        self._boot()
        self._disks()
        self._networks()
        self._devices()

    def _tell(self, what: str, severity: Severity, msg: str) -> None:
        self.findings.append(Finding(what, severity, msg))

    # -- the hosts

    def _identity(self) -> None:
        here, there = source_of(self.host), self.needs.source
        if here.uuid and here.uuid == there.uuid:
            self._tell(
                "host_uuid",
                "error",
                f"{there.name} and {here.name} have the same host UUID, {here.uuid}, and libvirt moves nothing between"
                " them. If they are two hosts, give one of them another host_uuid in its libvirtd.conf.",
            )
        for word, ours, theirs in (("libvirt", here.libvirt, there.libvirt), ("QEMU", here.runs, there.runs)):
            if self.needs.live and ours < theirs:
                self._tell(
                    "version",
                    "warning",
                    f"{here.name} has {word} {_version(ours)}, older than {_version(theirs)} of {there.name}; it may"
                    f" refuse what the newer one made. Upgrade {here.name} if it does.",
                )

    # -- what it is

    def _kind(self) -> bool:
        """Whether machines of this type, architecture and machine type run here at all."""
        host, kind = self.host, self.domain.get("type", "")
        arch, machine = xmltree.read(self.domain, "os/type/@arch"), xmltree.read(self.domain, "os/type/@machine")
        guests = [g for g in host.capabilities.iterfind("guest") if arch in (None, xmltree.read(g, "arch/@name"))]
        types = {each for guest in guests for each in xmltree.read_all(guest, "arch/domain/@type")}
        known = {each.text for guest in guests for each in guest.iterfind("arch//machine")}
        before = len(self.findings)
        if kind not in types:
            can = ", ".join(sorted(types)) or f"nothing of the architecture {arch}"
            self._tell(
                "type",
                "error",
                f"{host.name} runs no machines of the type {kind}, as {self.who} is; it runs {can}. Choose another"
                f" hypervisor{', or enable virtualisation in its firmware' if kind == 'kvm' else ''}.",
            )
        if machine and known and machine not in known:
            self._tell(
                "machine",
                "error",
                f"{host.name} has no machine type {machine}. Upgrade QEMU there, or give {self.who} an older type"
                " (machine) and restart it.",
            )
        emulator = xmltree.read(self.domain, "devices/emulator")
        here = {each.text for guest in guests for each in guest.iterfind("arch//emulator")}
        if emulator and here and emulator not in here:
            self._tell(
                "emulator",
                "error",
                f"{self.who} is run by {emulator}, which {host.name} does not have; it has {', '.join(sorted(here))}."
                " Install it there, or take the emulator out of the definition.",
            )
        return len(self.findings) == before

    def _cpu(self) -> None:
        """By virConnectCompareHypervisorCPU with the CPU that the machine runs with; where that is the host's own, by
        virConnectCompareCPU with the source's."""
        cpu, kind = self.domain.find("cpu"), self.domain.get("type")
        arch, machine = xmltree.read(self.domain, "os/type/@arch"), xmltree.read(self.domain, "os/type/@machine")
        fail = libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
        remedy = "Choose a CPU that both hosts have (cpu.model) and restart it, or choose another hypervisor."
        try:
            if cpu is not None and cpu.find("model") is not None:
                self.handle.compareHypervisorCPU(None, arch, machine, kind, xmltree.serialise(cpu), fail)
            elif cpu is not None and kind == "kvm" and self.needs.live and self.needs.source.cpu:
                self.handle.compareCPU(self.needs.source.cpu, fail)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_CPU_INCOMPATIBLE:
                why = error.get_error_message()
                self._tell("cpu", "error", f"{self.host.name} has not the CPU of {self.who} ({why}). {remedy}")

    def _boot(self) -> None:
        for key in _BOOT:
            path = xmltree.read(self.domain, f"os/{key}")
            if path:
                self._file(f"boot.{key}", path, f"{self.who} starts from it", f"copy it to {self.host.name}")
        loader, offers = xmltree.read(self.domain, "os/loader"), self.host.offers(self.domain)
        if loader and offers is not None:
            known = [each.text for each in offers.node.iterfind("os/loader/value")]
            if known and loader not in known:
                self._tell(
                    "boot.loader",
                    "warning",
                    f"{self.host.name} does not name {loader} among its firmwares; install the same firmware there.",
                )

    # -- files

    def _file(self, what: str, path: str, why: str, remedy: str) -> bool:
        """Tell of a file that is not here. Whether it is here for certain."""
        if storage.volume_at(self.handle, path) is not None:
            return True
        if self._pool_of(path) is not None:
            self._tell(what, "error", f"{path} is not on {self.host.name}, and {why}; {remedy}.")
        else:
            self._tell(
                what, "warning", f"Whether {path} is on {self.host.name}, since {why}, cannot be seen: no pool has it."
            )
        return False

    def _pool_of(self, path: str) -> t.Any:
        """The active pool in whose directory a path is, where libvirt would make a volume for it."""
        return pool_at(self.handle, os.path.dirname(path))

    def _disks(self) -> None:
        copied = {disk.target: disk for disk in self.needs.copied}
        taken: dict[str, int] = {}
        pools: dict[str, t.Any] = {}
        for node in self.domain.iterfind("devices/disk"):
            target = xmltree.read(node, "target/@dev") or ""
            if target in copied:
                pool = self._destination(node, copied[target], taken)
                if pool is not None:
                    pools[pool.name()] = pool
            elif node.get("device") in _MEDIA:
                self._medium(node, target)
            else:
                self._shared(node, target)
        for name, needed in taken.items():
            with doing(f"Look at storage pool {name}"):
                available = pools[name].info()[3]
            self.takes[name] = {"needed": needed, "available": available}
            if needed > available:
                self._tell(
                    "disks",
                    "error",
                    f"The pool {name} of {self.host.name} has {available >> 20} MiB left, and the disks of {self.who}"
                    f" take {needed >> 20} MiB. Make room there, or name another pool by storage_map.",
                )

    def _destination(self, node: t.Any, disk: Copied, taken: dict[str, int]) -> t.Any:
        """The pool that the disk's copy would be in; what it takes there is added to ``taken``."""
        what, here = f"disks[{disk.target}]", self.host.name
        source = node.find("source")
        name, path = source.get("pool"), source.get("file") or source.get("dev")
        pool = storage.find_pool(self.handle, name) if name else self._pool_of(path or "")
        if pool is None:
            place = f"pool {name}" if name else f"active pool at {os.path.dirname(path or '') or 'its place'}"
            self._tell(
                what,
                "error",
                f"{here} has no {place} for the copy of {disk.target}. Make it there (module pool), or name another by"
                " storage_map.",
            )
            return None
        if not pool.isActive():
            self._tell(what, "error", f"The pool {name} of {here} is not active; start it (module pool).")
            return None
        name = source.get("volume") or os.path.basename(path or "")
        self.paths[disk.target] = storage.find_volume(self.handle, pool.name(), name)[0]
        volume = storage.lookup(pool, name)
        needed = disk.needed if holds_files(pool) else disk.capacity
        if volume is not None:
            self.identities[disk.target] = storage.identity(volume)
            needed -= self._occupied(what, volume, disk)
        taken[pool.name()] = taken.get(pool.name(), 0) + max(needed, 0)
        if disk.base is not None:
            self._file(
                what, disk.base, "the incremental copy is to lie on it", "copy it there, or use copy_storage: all"
            )
        return pool

    def _occupied(self, what: str, volume: t.Any, disk: Copied) -> int:
        """Tell of the volume in the copy's place. What it takes already, in bytes."""
        path, here = volume.path(), self.host.name
        with doing(f"Look at {path}"):
            _type, capacity, allocation = volume.info()
        users = storage.users_of(storage.users(self.handle), volume, storage.pool_of(self.handle, path) or "")
        if users:
            names = ", ".join(user.name for user in users)
            self._tell(
                what,
                "error",
                f"{path} is on {here} already, and {names} uses it; name another pool by storage_map, or rename it.",
            )
        elif not self.needs.live or disk.base is not None:
            # What is not written would stay: the end of a longer image, and of an incremental copy all that is below.
            self._tell(
                what,
                "error",
                f"{path} is on {here} already; remove it there (module volume), or name another pool by storage_map.",
            )
        elif capacity < disk.capacity:
            self._tell(
                what,
                "error",
                f"{path} is on {here} already, and smaller than {disk.target}; remove it there (module volume).",
            )
        else:
            self._tell(what, "warning", f"{path} is on {here} already and would be overwritten.")
        return int(allocation)

    def _medium(self, node: t.Any, target: str) -> None:
        path = images.path_of(self.handle, node)
        if path is None or storage.volume_at(self.handle, path) is not None:
            return
        if self.needs.eject:
            self.missing_media.append(target)
        elif self.needs.live:
            remedy = f"copy it to {self.host.name}, or use media: eject"
            self._file(f"disks[{target}]", path, f"it lies in the drive of {self.who}", remedy)
        else:
            self._tell(
                f"disks[{target}]",
                "warning",
                f"{path} is not seen on {self.host.name}; without it {self.who} may not start there.",
            )

    def _shared(self, node: t.Any, target: str) -> None:
        source = node.find("source")
        if source is not None and source.get("pool") and storage.find_pool(self.handle, source.get("pool")) is None:
            self._tell(
                f"disks[{target}]",
                "error",
                f"{self.host.name} has no pool {source.get('pool')}; make it there (module pool).",
            )
            return
        path = images.path_of(self.handle, node)
        if path is not None:
            remedy = "where the two share no storage, use copy_storage: all"
            if self._file(f"disks[{target}]", path, f"it is a disk of {self.who}", remedy):
                self.identities[target] = storage.identity(storage.volume_at(self.handle, path))

    # -- networks and devices

    def _networks(self) -> None:
        devices: set[str] | None = None
        for index, node in enumerate(self.domain.iterfind("devices/interface")):
            what = f"networks[{xmltree.read(node, 'mac/@address') or index}]"
            name = xmltree.read(node, "source/@network")
            device = xmltree.read(node, "source/@bridge") or xmltree.read(node, "source/@dev")
            if node.get("type") == "network" and name:
                self._network(what, name)
            elif node.get("type") in ("bridge", "direct") and device:
                devices = self._net_devices() if devices is None else devices
                if devices and device not in devices:
                    self._tell(
                        what,
                        "error",
                        f"{self.host.name} has no {'bridge' if node.get('type') == 'bridge' else 'device'} {device}."
                        " Make it there, or name another by network_map.",
                    )

    def _network(self, what: str, name: str) -> None:
        try:
            active = self.handle.networkLookupByName(name).isActive()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
                return
            self._tell(
                what,
                "error",
                f"{self.host.name} has no network {name}. Make it there (module network), or name another by"
                " network_map.",
            )
            return
        if not active:
            severity: Severity = "error" if self.needs.live else "warning"
            self._tell(
                what, severity, f"The network {name} of {self.host.name} is not active; start it (module network)."
            )

    def _net_devices(self) -> set[str]:
        """The names of the host's network devices; none where libvirt cannot tell. Where udev does not run it has not
        all of them as devices of the host, and bridges as interfaces all the same."""
        found = set()
        with contextlib.suppress(libvirt.libvirtError):
            found |= {interface.name() for interface in self.handle.listAllInterfaces()}
        with contextlib.suppress(libvirt.libvirtError):
            for device in self.handle.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET):
                with contextlib.suppress(libvirt.libvirtError):
                    found.add(xmltree.read(xmltree.parse_trusted(device.XMLDesc()), "capability/interface") or "")
        return found

    def _devices(self) -> None:
        for index, node in enumerate(self.domain.iterfind("devices/hostdev")):
            address = _ADDRESS.read(node)
            what = f"host_devices[{address or index}]"
            if self.needs.live:
                self._tell(
                    what,
                    "error",
                    f"{self.who} has a {node.get('type')} device of its host ({address or 'by its number'}), with which"
                    " it does not move while it runs. Take that off first, or shut it down and use live: false.",
                )
            elif node.get("type") == "pci" and address and not self._has_pci(address):
                self._tell(
                    what,
                    "warning",
                    f"{self.host.name} has no PCI device {address}; {self.who} will not start there before its"
                    " host_devices are changed.",
                )

    def _has_pci(self, address: str) -> bool:
        try:
            self.handle.nodeDeviceLookupByName("pci_" + address.replace(":", "_").replace(".", "_"))
        except libvirt.libvirtError as error:
            return bool(error.get_error_code() != libvirt.VIR_ERR_NO_NODE_DEVICE)
        return True


def _version(number: int) -> str:
    """As libvirt counts: 1,000,000 × major + 1,000 × minor + release."""
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"
