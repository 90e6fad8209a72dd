# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How a host and its machines are doing.

libvirt counts; what is told is the difference of two looks over the time between them. Swap, load, uptime and file
systems are not libvirt's: they are read from the system, where this runs on the host itself, and are None elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
import typing as t
import urllib.parse

from . import xmltree
from .actions import Result
from .connection import doing, libvirt
from .errors import InvalidArgument, Unsupported
from .selection import fits

if t.TYPE_CHECKING:
    from .host import Host

# Seconds between the two looks for an answer. The kernel's clock of CPU time ticks each 4 to 10 ms.
APART: t.Final = 0.5
# Longer than this nobody keeps a record.
LONGEST_HISTORY: t.Final = 7 * 24 * 60
_MIB: t.Final = 1 << 20
_OF_FILES: t.Final = ("dir", "fs", "netfs")  # kinds of pools


class Entry(t.NamedTuple):
    """What was measured at a time (UTC, ISO 8601): of the host, and by UUID of each machine that was on."""

    time: str
    host: Result
    vms: dict[str, Result]

    def of_host(self) -> Result:
        return {"time": self.time, **self.host}

    def of(self, uuid: str) -> Result:
        return {"time": self.time, **self.vms[uuid]}


class Record(t.Protocol):
    """What was measured earlier, where somebody keeps it."""

    def since(self, minutes: int) -> t.Iterable[Entry]:
        """Oldest first."""


@dataclasses.dataclass(frozen=True)
class Usage:
    """Of one machine: nanoseconds of CPU and bytes since it was started, and the bytes of memory that it has now. None,
    what was not asked for or the driver does not tell."""

    name: str
    cpu: int | None
    memory: int | None
    resident: int | None
    disk_read: int | None
    disk_write: int | None
    net_in: int | None
    net_out: int | None


@dataclasses.dataclass(frozen=True)
class Look:
    """Counters at a moment. ``busy`` and ``total`` are nanoseconds of all CPUs of the host; ``vms`` are by UUID."""

    when: float
    busy: int | None
    total: int | None
    vms: dict[str, Usage]


def look(host: Host, patterns: t.Sequence[str] = ("*",), *, disks: bool = True) -> Look:
    """Look at the host, and at those machines that are on and fit one of the patterns.

    ``disks`` asks QEMU for their blocks and balloons, 4 ms a machine; without, nothing waits for QEMU. CPU time is of
    virDomainGetInfo, 0.1 ms: among the bulk statistics it costs 8 ms, for what is not told here.
    """
    busy, total = _cpu_time(host)
    vms = {}
    if patterns:
        with doing(f"Look at the machines of {host.name}"):
            for domain, statistics in _statistics(host, patterns, disks=disks):
                # It may have gone since it was listed.
                with contextlib.suppress(libvirt.libvirtError):
                    vms[domain.UUIDString()] = _usage(domain.name(), domain.info(), statistics)
    return Look(time.monotonic(), busy, total, vms)


def _cpu_time(host: Host) -> tuple[int | None, int | None]:
    try:
        found = host.connection.handle.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
    except libvirt.libvirtError:
        return None, None
    total = sum(found[key] for key in ("user", "kernel", "idle", "iowait", "intr") if key in found)
    return total - found.get("idle", 0) - found.get("iowait", 0), total


def _statistics(host: Host, patterns: t.Sequence[str], *, disks: bool) -> list[tuple[t.Any, dict[str, t.Any]]]:
    handle = host.connection.handle
    domains = [
        domain
        for domain in handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        if any(fits(domain.name(), pattern) for pattern in patterns)
    ]
    groups = libvirt.VIR_DOMAIN_STATS_INTERFACE
    if disks:
        groups |= libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_BLOCK
    try:
        # A machine that is busy with something else is not waited for; what it would have told is missing.
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        return handle.domainListGetStats(domains, groups, flags) if domains else []
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return [(domain, {}) for domain in domains]


def _usage(name: str, info: t.Sequence[int], statistics: t.Mapping[str, t.Any]) -> Usage:
    """``info`` is of virDomainGetInfo: state, largest and present memory in KiB, CPUs, CPU time."""
    resident = statistics.get("balloon.rss")
    return Usage(
        name,
        cpu=info[4],
        memory=info[2] << 10,
        resident=None if resident is None else resident << 10,
        disk_read=_sum(statistics, "block", "rd.bytes"),
        disk_write=_sum(statistics, "block", "wr.bytes"),
        net_in=_sum(statistics, "net", "rx.bytes"),
        net_out=_sum(statistics, "net", "tx.bytes"),
    )


def _sum(statistics: t.Mapping[str, t.Any], group: str, key: str) -> int | None:
    """Over all devices of a group."""
    count = statistics.get(f"{group}.count")
    return None if count is None else sum(statistics.get(f"{group}.{i}.{key}", 0) for i in range(count))


def usage_of_host(host: Host, before: Look, after: Look) -> Result:
    """``cpu`` is percent of all CPUs; memory is in MiB."""
    swap = _swap() if _here(host) else (None, None)
    return {
        "cpu": _share(before, after),
        **memory(host),
        "swap_total": swap[0],
        "swap_used": swap[1],
        "load": [round(load, 2) for load in os.getloadavg()] if _here(host) else None,
    }


def usage_of_machines(before: Look, after: Look) -> dict[str, Result]:
    """``cpu`` is percent of one CPU, memory is in MiB, ``disk_…`` and ``net_…`` are bytes a second. None, where the
    machine was not on at both looks, or it was not asked for."""
    seconds = max(after.when - before.when, 1e-3)

    def rate(uuid: str, key: str) -> float | None:
        new, old = getattr(after.vms[uuid], key), getattr(before.vms.get(uuid), key, None)
        # Counters begin anew when a machine is started.
        return None if new is None or old is None or new < old else (new - old) / seconds

    def whole(number: float | None) -> int | None:
        return None if number is None else round(number)

    found = {}
    for uuid, usage in after.vms.items():
        cpu = rate(uuid, "cpu")
        found[uuid] = {
            "cpu": None if cpu is None else round(cpu / 1e7, 1),
            "memory": None if usage.memory is None else usage.memory // _MIB,
            "resident": None if usage.resident is None else usage.resident // _MIB,
            **{key: whole(rate(uuid, key)) for key in ("disk_read", "disk_write", "net_in", "net_out")},
        }
    return found


def _share(before: Look, after: Look) -> float | None:
    if before.busy is None or before.total is None or after.busy is None or after.total is None:
        return None
    return round(100 * max(after.busy - before.busy, 0) / max(after.total - before.total, 1), 1)


def memory(host: Host) -> Result:
    """``memory_total`` and ``memory_used`` in MiB. What could be given to machines is free: buffers and caches are."""
    handle = host.connection.handle
    try:
        found = handle.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
        total, free = found["total"] << 10, sum(found.get(key, 0) for key in ("free", "buffers", "cached")) << 10
    except libvirt.libvirtError:
        with doing(f"Look at the memory of {host.name}"):
            total, free = handle.getInfo()[1] * _MIB, handle.getFreeMemory()
    return {"memory_total": total // _MIB, "memory_used": max(total - free, 0) // _MIB}


def _here(host: Host) -> bool:
    """Whether this runs on the host itself: a URI names the other one."""
    return not urllib.parse.urlsplit(host.connection.uri or "").netloc


def _swap() -> tuple[int, int]:
    """In MiB: all, and what is used."""
    lines = (line.split() for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    found = {words[0]: int(words[1]) for words in lines if words[0] in ("SwapTotal:", "SwapFree:")}
    return found["SwapTotal:"] >> 10, found["SwapTotal:"] - found["SwapFree:"] >> 10


def _rooms(host: Host) -> Result:
    """How much room there is, in bytes: in the active storage pools, and in the file systems that hold them and the
    system."""
    pools, paths = [], ["/"]
    try:
        found = host.connection.handle.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    except libvirt.libvirtError:
        found = []
    for pool in sorted(found, key=lambda pool: pool.name()):
        # It may have been stopped since it was listed.
        with contextlib.suppress(libvirt.libvirtError):
            _state, capacity, allocation, available = pool.info()
            node = xmltree.parse_trusted(pool.XMLDesc())
            if node.get("type") in _OF_FILES:
                paths.append(xmltree.read(node, "target/path") or "")
            pools.append({"name": pool.name(), "capacity": capacity, "allocation": allocation, "available": available})
    return {"pools": pools, "filesystems": _filesystems(paths) if _here(host) else None}


def _filesystems(paths: t.Iterable[str]) -> list[Result]:
    mounted = {}
    for path in filter(os.path.isdir, paths):
        while not os.path.ismount(path):
            path = os.path.dirname(path)
        found = os.statvfs(path)
        room = {"capacity": found.f_blocks * found.f_frsize, "available": found.f_bavail * found.f_frsize}
        mounted[path] = {"path": path, **room}
    return list(mounted.values())


def _uptime(host: Host) -> int | None:
    """Seconds since the host was started."""
    return int(float(pathlib.Path("/proc/uptime").read_text(encoding="ascii").split()[0])) if _here(host) else None


def examine(host: Host, patterns: t.Sequence[str]) -> tuple[Result, list[Result]]:
    """The host's health, and the usage of each machine that is on and fits. Takes a moment: there are two looks."""
    before = look(host, patterns)
    time.sleep(APART)
    after = look(host, patterns)
    health = {**usage_of_host(host, before, after), "uptime": _uptime(host), **_rooms(host)}
    vms = [
        {"name": after.vms[uuid].name, "uuid": uuid, **usage}
        for uuid, usage in usage_of_machines(before, after).items()
    ]
    return health, sorted(vms, key=lambda vm: vm["name"])


def past(record: Record | None, minutes: int) -> list[Entry]:
    if not 0 < minutes <= LONGEST_HISTORY:
        raise InvalidArgument(f"history: {minutes} is not possible; it is 1 to {LONGEST_HISTORY} minutes.")
    if record is None:
        raise Unsupported("history: it is kept by the agent; ask for it with via: xmpp.")
    return list(record.since(minutes))
