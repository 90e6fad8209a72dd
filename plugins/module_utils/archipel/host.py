# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A libvirt connection seen as a host of machines: who it is, what it can run, and which machine is meant."""

from __future__ import annotations

import contextlib
import re
import typing as t
import uuid as uuids

from . import tags, xmltree
from .actions import Names, nearest
from .capabilities import Capabilities
from .connection import Connection, doing, libvirt
from .errors import Conflict, InvalidArgument, InvalidRequest, NotFound, OperationFailed, Unsupported

if t.TYPE_CHECKING:
    from . import health, migration
    from .machine import Machine

_TYPES_BY_PREFERENCE = ("kvm", "hvf", "qemu")
MAX_NAME = 255
UUID: t.Final = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)

Name = t.Annotated[t.Optional[str], "Name of the machine.", Names("machine")]
Uuid = t.Annotated[t.Optional[str], "UUID of the machine."]
Check = t.Annotated[bool, "Only tell what would change."]


def canonical_uuid(untrusted: str) -> str:
    """A UUID as libvirt writes it, lower case with dashes."""
    if not UUID.fullmatch(untrusted):
        raise InvalidArgument(f"uuid: {untrusted[:60]!r} is not a UUID.")
    return str(uuids.UUID(untrusted))


class Host:
    """``peers`` knows the other hypervisors, where somebody here does. Below ``exchange`` who asks may have files of
    this host read and written; None is anywhere, since a task has no more rights there than its user. ``record`` has
    what was measured of it earlier, ``label`` its site and tags, where somebody keeps those.

    What can be done to it is declared in classes that derive from this one, a file for each kind of thing;
    ``Hypervisor`` is all of them.
    """

    def __init__(
        self,
        connection: Connection,
        name: str | None = None,
        peers: migration.Peers | None = None,
        exchange: tuple[str, ...] | None = None,
        record: health.Record | None = None,
        label: tags.Label | None = None,
    ) -> None:
        self.connection = connection
        self.peers = peers
        self.exchange = exchange
        self.record = record
        self.label = label
        self._name = name
        self._capabilities: t.Any = None
        self._domain_capabilities: dict[tuple[str, ...], Capabilities | None] = {}

    @property
    def name(self) -> str:
        if self._name is None:
            with doing("Ask for the hypervisor's name"):
                self._name = self.connection.handle.getHostname().split(".")[0]
        return self._name

    @property
    def capabilities(self) -> t.Any:
        """virConnectGetCapabilities, read once: it changes with the host's packages, not with its machines."""
        if self._capabilities is None:
            with doing("Ask for the hypervisor's capabilities"):
                self._capabilities = xmltree.parse_trusted(self.connection.handle.getCapabilities())
        return self._capabilities

    def machine(self, name: str | None = None, uuid: str | None = None) -> Machine:
        """The machine of that name or UUID; NotFound when there is none."""
        found = self.find(name=name, uuid=uuid)
        if found is None:
            raise NotFound(f"There is no machine {name or uuid!r} on {self.name}.")
        return found

    def find(self, *, name: str | None = None, uuid: str | None = None) -> Machine | None:
        """The machine, or None. A name and a UUID that mean two machines are a Conflict."""
        if not name and not uuid:
            raise InvalidArgument("Name the machine: give its name or its uuid.")
        uuid = canonical_uuid(uuid) if uuid else None
        if name and (len(name) > MAX_NAME or "/" in name or not name.isprintable() or name != name.strip()):
            raise InvalidArgument(
                f"name: {name[:60]!r} cannot be a machine's name (printable, no slash, at most {MAX_NAME})."
            )
        handle = self.connection.handle
        by_uuid = self._lookup(handle.lookupByUUIDString, uuid) if uuid else None
        by_name = self._lookup(handle.lookupByName, name) if name else None
        if name and uuid and (by_uuid and by_uuid.name() != name or by_name and by_name.UUIDString() != uuid):
            raise Conflict(f"The name {name!r} and the UUID {uuid} mean two machines on {self.name}; give one of them.")
        domain = by_uuid or by_name
        if domain is None:
            return None
        # A task that is not about machines does not load all that a machine can be made of.
        from .machine import Machine

        return Machine(self, domain)

    def _lookup(self, function: t.Callable[[str], t.Any], key: str) -> t.Any:
        with doing(f"Look for {key}"):
            try:
                return function(key)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
                return None

    def states(self) -> list[tuple[t.Any, int, int]]:
        """Each domain with its state and reason, in one call."""
        handle = self.connection.handle
        with doing(f"List the machines of {self.name}"):
            try:
                stats = handle.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
                return [(domain, found["state.state"], found["state.reason"]) for domain, found in stats]
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                    raise
            domains = handle.listAllDomains()
        found = []
        for domain in domains:
            with contextlib.suppress(NotFound), doing(f"Look at {domain.name()}"):
                found.append((domain, *domain.state()))
        return found

    def defaults(self, kind: str | None, arch: str | None) -> dict[str, str]:
        """Type, arch and machine of a new machine, as far as they are not asked for, the best that this host has."""
        arch = arch or xmltree.read(self.capabilities, "host/cpu/arch") or "x86_64"
        guests = self.capabilities.findall("guest")
        guest = next((g for g in guests if xmltree.read(g, "arch/@name") == arch), None)
        if guest is None:
            known = sorted({xmltree.read(g, "arch/@name") or "" for g in guests})
            raise Unsupported(f"{self.name} runs no machines of the architecture {arch}; it runs {', '.join(known)}.")
        types = xmltree.read_all(guest, "arch/domain/@type")
        if kind and kind not in types:
            raise Unsupported(
                f"{self.name} runs no machines of the type {kind} for {arch}; it runs {', '.join(types)}."
            )
        best = next((k for k in _TYPES_BY_PREFERENCE if k in types), types[0] if types else "qemu")
        found = {"type": kind or best, "arch": arch}
        machines = {machine.text for machine in guest.findall("arch/machine")}
        if "q35" in machines:
            found["machine"] = "q35"
        return found

    def domain_capabilities(self, kind: str, arch: str, machine: str | None) -> Capabilities | None:
        """virConnectGetDomainCapabilities, read once for each kind of machine; None where the driver has none, or does
        not know such a machine, which it says better when it is to define one."""
        key = (kind, arch, machine or "")
        if key not in self._domain_capabilities:
            found = None
            with contextlib.suppress(Unsupported, InvalidRequest, OperationFailed):
                with doing(f"Ask what machines of {self.name} can have"):
                    text = self.connection.handle.getDomainCapabilities(None, arch, machine, kind)
                found = Capabilities(xmltree.parse_trusted(text))
            self._domain_capabilities[key] = found
        return self._domain_capabilities[key]

    def offers(self, domain: t.Any) -> Capabilities | None:
        """What a machine like this domain can have here."""
        arch = xmltree.read(domain, "os/type/@arch") or xmltree.read(self.capabilities, "host/cpu/arch") or "x86_64"
        return self.domain_capabilities(domain.get("type", ""), arch, xmltree.read(domain, "os/type/@machine"))

    def refuse_machine(self, wanted: str, domain: t.Any) -> None:
        """Unsupported, where this host has no such machine type for the domain's architecture; it names those it has,
        of each kind the newest."""
        arch = xmltree.read(domain, "os/type/@arch")
        guests = [guest for guest in self.capabilities.findall("guest") if xmltree.read(guest, "arch/@name") == arch]
        known = {machine.text for guest in guests for machine in guest.iterfind("arch//machine")}
        if known and wanted not in known:
            newest = sorted(self.machine_types(domain)) or sorted(known)
            raise Unsupported(
                f"machine: {wanted[:80]!r} is not possible on {self.name} for {arch}; it can: {', '.join(newest)}."
                f"{nearest(wanted, known)}"
            )

    def machine_types(self, domain: t.Any) -> dict[str, str]:
        """libvirt's aliases for machine types of the domain's architecture: ``{"q35": "pc-q35-7.2"}``."""
        arch = xmltree.read(domain, "os/type/@arch")
        return {
            machine.text: machine.get("canonical")
            for guest in self.capabilities.findall("guest")
            if arch in (None, xmltree.read(guest, "arch/@name"))
            for machine in guest.iterfind("arch//machine")
            if machine.get("canonical")
        }
