# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hypervisors and machines there are, read from the platform's index or from libvirt. Knows no inventory."""

from __future__ import annotations

import dataclasses
import ipaddress
import queue
import re
import threading
import typing as t

from ..module_utils.archipel import errors
from ..module_utils.archipel.tags import TAG
from .pubsub import Service
from .xmpp import Client

INDEX: t.Final = "/archipel/machines"
_STATES: t.Final = frozenset(
    ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
)
_UUID: t.Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HYPERVISOR: t.Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine as its hypervisor tells of it. ``memory`` is in MiB; ``addresses`` are addresses without prefix;
    ``site`` is its hypervisor's."""

    uuid: str
    name: str
    hypervisor: str
    state: str
    managed: bool
    memory: int | None
    vcpus: int | None
    title: str
    description: str
    addresses: tuple[str, ...]
    tags: tuple[str, ...] = ()
    site: str | None = None
    stale: bool = False

    @classmethod
    def read(cls, untrusted: t.Mapping[str, t.Any]) -> Machine:
        """From a payload of the index or a machine of ``vm_info``; ValueError where it is neither."""
        if not _UUID.fullmatch(str(untrusted.get("uuid"))) or not untrusted.get("name"):
            raise ValueError("a machine without UUID or name")
        metadata = untrusted.get("metadata") or untrusted
        state = untrusted.get("state")
        return cls(
            uuid=str(untrusted["uuid"]),
            name=str(untrusted["name"]),
            hypervisor=_name(untrusted.get("hypervisor")),
            state=state if state in _STATES else "nostate",
            managed=untrusted.get("managed") is True,
            memory=_number(untrusted.get("memory")),
            vcpus=_number(untrusted.get("vcpus")),
            title=str(metadata.get("title") or ""),
            description=str(metadata.get("description") or ""),
            addresses=tuple(_addresses(untrusted.get("addresses"))),
            tags=_tags(untrusted.get("tags")),
        )


@dataclasses.dataclass(frozen=True)
class Hypervisor:
    """A hypervisor. ``guard`` says whether it starts machines at boot only when it knows that they may, as far as its
    agent tells that; ``online``, whether it answered."""

    name: str
    hostname: str
    type: str
    cpus: int | None
    memory: int | None
    libvirt_version: str
    tags: tuple[str, ...] = ()
    site: str | None = None
    coordinates: dict[str, float] | None = None
    maintenance: dict[str, str] | None = None
    guard: bool | None = None
    uri: str | None = None
    online: bool = True

    @classmethod
    def read(cls, untrusted: t.Mapping[str, t.Any]) -> Hypervisor:
        """From a payload of the index or the result of ``hypervisor_info``; ValueError where it is neither."""
        return cls(
            name=_name(untrusted.get("name")),
            hostname=str(untrusted.get("hostname") or ""),
            type=str(untrusted.get("type") or ""),
            cpus=_number(untrusted.get("cpus")),
            memory=_number(untrusted.get("memory")),
            libvirt_version=str(untrusted.get("libvirt_version") or ""),
            tags=_tags(untrusted.get("tags")),
            site=next(iter(_tags([untrusted.get("site")])), None),
            coordinates=_coordinates(untrusted.get("coordinates")),
            maintenance=_maintenance(untrusted.get("maintenance")),
            guard=guard if isinstance(guard := untrusted.get("guard"), bool) else None,
        )


def _coordinates(untrusted: t.Any) -> dict[str, float] | None:
    """None for what is no place on earth."""
    told = untrusted if isinstance(untrusted, dict) else {}
    degrees = {key: told.get(key) for key in ("latitude", "longitude")}
    numbers = [value for value in degrees.values() if isinstance(value, (int, float)) and -180 <= value <= 180]
    return {key: float(t.cast(float, value)) for key, value in degrees.items()} if len(numbers) == 2 else None


def _maintenance(untrusted: t.Any) -> dict[str, str] | None:
    """Since when and by whom; None for a hypervisor that is at work."""
    return {key: str(untrusted.get(key, "")) for key in ("since", "by")} if isinstance(untrusted, dict) else None


@dataclasses.dataclass(frozen=True)
class Fleet:
    """What was found, and what a person should know of what was not."""

    hypervisors: tuple[Hypervisor, ...] = ()
    machines: tuple[Machine, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_data(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: t.Mapping[str, t.Any]) -> Fleet:
        return cls(
            tuple(Hypervisor(**_frozen(hypervisor)) for hypervisor in data["hypervisors"]),
            tuple(Machine(**_frozen(machine)) for machine in data["machines"]),
            tuple(data["warnings"]),
        )

    def __add__(self, other: Fleet) -> Fleet:
        """Both; what both have, as the first tells of it."""
        names = {hypervisor.name for hypervisor in self.hypervisors}
        uuids = {machine.uuid for machine in self.machines}
        return Fleet(
            self.hypervisors + tuple(h for h in other.hypervisors if h.name not in names),
            self.machines + tuple(m for m in other.machines if m.uuid not in uuids),
            self.warnings + other.warnings,
        )


def _frozen(data: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """JSON has no tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _tags(untrusted: t.Any) -> tuple[str, ...]:
    found = untrusted if isinstance(untrusted, list) else []
    return tuple(tag for tag in found if isinstance(tag, str) and TAG.fullmatch(tag))


def _name(untrusted: t.Any) -> str:
    if not isinstance(untrusted, str) or not _HYPERVISOR.fullmatch(untrusted):
        raise ValueError("a hypervisor without a name")
    return untrusted


def _number(untrusted: t.Any) -> int | None:
    return untrusted if isinstance(untrusted, int) and not isinstance(untrusted, bool) else None


def _addresses(untrusted: t.Any) -> t.Iterator[str]:
    """Those under which a machine can be reached from elsewhere, IPv4 first."""
    found = []
    for item in untrusted if isinstance(untrusted, list) else []:
        try:
            address = ipaddress.ip_address(str(item.get("address")))
        except (AttributeError, ValueError):
            continue
        if not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast):
            found.append(address)
    yield from (str(address) for address in sorted(found, key=lambda address: address.version))


def from_platform(client: Client, *, stale: bool) -> Fleet:
    """What the index says, in one request, and who of the hypervisors answers. The machines of one that does not are
    left out, or with ``stale`` told as they were when it last wrote."""
    warnings: list[str] = []
    hypervisors: dict[str, Hypervisor] = {}
    machines: list[Machine] = []
    items = Service(client, f"pubsub.{client.account.domain}").items(INDEX)
    for id_, payload in items.items():
        try:
            if id_.startswith("hypervisor:"):
                hypervisor = Hypervisor.read(payload.data)
                hypervisors[hypervisor.name] = hypervisor
            else:
                machines.append(Machine.read({**payload.data, "uuid": id_}))
        except (AttributeError, TypeError, ValueError) as failure:
            warnings.append(f"The item {id_!r} of {INDEX} is not understood: {failure}.")
    names = list(hypervisors)
    pings = client.ping([client.account.hypervisor(name) for name in names])
    for name, gone in zip(names, pings, strict=True):
        if gone:
            hypervisors[name] = dataclasses.replace(hypervisors[name], online=False)
            kept = "its machines are told as they were" if stale else "its machines are left out"
            warnings.append(f"The hypervisor {name} does not answer; {kept}. {gone}")
    return Fleet(tuple(hypervisors.values()), tuple(_reachable(machines, hypervisors, stale=stale)), tuple(warnings))


def _reachable(
    machines: t.Iterable[Machine], hypervisors: t.Mapping[str, Hypervisor], *, stale: bool
) -> t.Iterator[Machine]:
    for machine in machines:
        # Of a hypervisor that does not exist nobody can tell, whoever wrote it (docs/protocol.md, PubSub).
        hypervisor = hypervisors.get(machine.hypervisor)
        if hypervisor is None:
            continue
        if hypervisor.online or stale:
            yield dataclasses.replace(machine, site=hypervisor.site, stale=not hypervisor.online)


def from_libvirt(uri: str, *, addresses: str) -> Fleet:
    """One hypervisor and its machines, asked of libvirt in this process."""
    from ..module_utils.archipel import connection, hypervisor

    with connection.Connection(uri) as opened:
        asked = hypervisor.Hypervisor(opened)
        there = Hypervisor.read(asked.hypervisor_info()["hypervisor"])
        machines = [Machine.read(vm) for vm in asked.vm_info(addresses=addresses)["vms"]]
    return Fleet((dataclasses.replace(there, uri=uri),), tuple(machines))


def gather(sources: t.Mapping[str, t.Callable[[], Fleet]], timeout: float) -> dict[str, Fleet | errors.ArchipelError]:
    """What each source tells, all asked at the same time, or why it does not. One that is silent for ``timeout``
    seconds is left alone: a connection that libvirt is opening cannot be called off."""
    answers: queue.Queue[tuple[str, Fleet | errors.ArchipelError | Exception]] = queue.Queue()

    def ask(name: str, source: t.Callable[[], Fleet]) -> None:
        try:
            answers.put((name, source()))
        except Exception as failure:  # noqa: BLE001  the outermost frame of this thread; raised again below
            answers.put((name, failure))

    for name, source in sources.items():
        threading.Thread(target=ask, args=(name, source), name=f"inventory {name}", daemon=True).start()
    silent = errors.Unavailable(f"did not answer within {timeout:g} s.")
    told: dict[str, Fleet | errors.ArchipelError] = dict.fromkeys(sources, silent)
    for _source in sources:
        try:
            name, answer = answers.get(timeout=timeout)
        except queue.Empty:
            break
        if isinstance(answer, Exception) and not isinstance(answer, errors.ArchipelError):
            raise answer
        told[name] = answer
    return told
