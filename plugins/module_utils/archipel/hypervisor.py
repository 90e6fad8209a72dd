# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One hypervisor: what it is, its machines, and what can be done to all of them."""

from __future__ import annotations

import collections
import contextlib
import fnmatch
import typing as t

from . import migration, xmltree
from .actions import NO_PROGRESS, Progress, action
from .connection import Connection, doing, libvirt
from .convergence import Desired, converge
from .definition import NOTHING, Definition
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidArgument, NotFound, Unsupported
from .lifecycle import STATES, Asked, reason_name, state_name
from .machine import WAIT_TIMEOUT, AddressSource, Condition, Machine, Result, Timeout, Wait, canonical_uuid

_TYPES_BY_PREFERENCE = ("kvm", "hvf", "qemu")
MAX_NAME = 255
_PATTERN: t.Final = frozenset("*?[")  # what makes a name a pattern

Name = t.Annotated[t.Optional[str], "Name of the machine."]
Uuid = t.Annotated[t.Optional[str], "UUID of the machine."]
Check = t.Annotated[bool, "Only tell what would change."]


class Hypervisor:
    """A libvirt connection seen as a host of machines.

    ``peers`` knows the other hypervisors, where somebody here does.
    """

    def __init__(self, connection: Connection, name: str | None = None, peers: migration.Peers | None = None) -> None:
        self.connection = connection
        self.peers = peers
        self._name = name
        self._capabilities: t.Any = None

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
        return Machine(self, domain) if domain else None

    def _lookup(self, function: t.Callable[[str], t.Any], key: str) -> t.Any:
        with doing(f"Look for {key}"):
            try:
                return function(key)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
                return None

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

    def _states(self) -> list[tuple[t.Any, int, int]]:
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

    @action(
        permission="view",
        changes=False,
        phrases=("how are you", "how are you?", "info", "status"),
        says=lambda r: (
            "I am {name}, a {type} hypervisor with {cpus} CPUs and {memory} MiB of memory."
            " Of my {machines[total]} machines {running} are running.".format(
                running=r["hypervisor"]["machines"].get("running", 0), **r["hypervisor"]
            )
        ),
    )
    def hypervisor_info(self) -> Result:
        """Tell what this hypervisor is and how many machines it has."""
        handle = self.connection.handle
        with doing(f"Look at {self.name}"):
            model, memory, cpus, mhz, _nodes, sockets, cores, threads = handle.getInfo()
            counts = collections.Counter(state_name(state) for _domain, state, _reason in self._states())
            described = {
                "name": self.name,
                "hostname": handle.getHostname(),
                "uri": handle.getURI(),
                "type": handle.getType(),
                "libvirt_version": _version(handle.getLibVersion()),
                "version": _version(handle.getVersion()),
                "arch": model,
                "cpus": cpus,
                "cpu_mhz": mhz,
                "sockets": sockets,
                "cores": cores,
                "threads": threads,
                "memory": memory,
                "uuid": xmltree.read(self.capabilities, "host/uuid"),
                "machines": {"total": sum(counts.values()), **counts},
            }
        return {"changed": False, "hypervisor": described}

    @action(
        permission="view",
        changes=False,
        phrases=("list", "machines", "who is there"),
        says=lambda r: "\n".join(f"{vm['name']}: {vm['state']}" for vm in r["vms"]) or "I have no such machine.",
    )
    def vm_info(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of a machine, or a pattern like web*."] = None,
        uuid: Uuid = None,
        names: t.Annotated[t.Optional[list[str]], "Names or patterns, of which any is to fit."] = None,
        state: t.Annotated[t.Optional[list[t.Literal[STATES]]], "States, of which any is to fit."] = None,  # type: ignore[valid-type]
        addresses: t.Annotated[AddressSource, "Where to ask for the machines' addresses."] = "none",
        limit: t.Annotated[t.Optional[int], "Tell of so many machines at most; next continues."] = None,
        after: t.Annotated[t.Optional[str], "UUID after which to continue."] = None,
    ) -> Result:
        """Tell everything about machines, all of them or those that are named."""
        if limit is not None and limit < 1:
            raise InvalidArgument(f"limit: {limit} is too small; at least 1 is needed.")
        wanted = canonical_uuid(uuid) if uuid else None
        begin = canonical_uuid(after) if after else ""
        patterns = None if name is None and names is None else [*(names or ()), *([name] if name else ())]
        vms: list[Result] = []
        following = None
        for machine, condition in self._candidates(name, names, wanted):
            if machine.uuid <= begin or wanted not in (None, machine.uuid):
                continue
            if patterns is not None and not any(_fits(machine.name, pattern) for pattern in patterns):
                continue
            if state is not None and condition.state not in state:
                continue
            if len(vms) == limit:
                following = vms[-1]["uuid"]
                break
            # A machine may go between the list and the look; then there is nothing to tell of it.
            with contextlib.suppress(NotFound):
                vms.append(machine.describe(addresses=addresses, condition=condition))
        return {"changed": False, "vms": vms, "next": following}

    def _candidates(
        self, name: str | None, names: list[str] | None, uuid: str | None
    ) -> list[tuple[Machine, Condition]]:
        """The one machine that is meant, looked up, or every machine, to be selected from."""
        handle = self.connection.handle
        if uuid is not None:
            domain = self._lookup(handle.lookupByUUIDString, uuid)
        elif name is not None and names is None and not _PATTERN & set(name):
            domain = self._lookup(handle.lookupByName, name)
        else:
            return self._survey()
        with contextlib.suppress(NotFound):
            if domain is not None:
                machine = Machine(self, domain)
                return [(machine, machine.condition)]
        return []

    def _survey(self) -> list[tuple[Machine, Condition]]:
        """Every machine with its condition, by UUID; three calls, whatever their number."""
        handle = self.connection.handle
        with doing(f"List the machines of {self.name}"):
            persistent, autostarted = (
                {domain.UUIDString() for domain in handle.listAllDomains(flag)}
                for flag in (libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT, libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
            )
        found = []
        for domain, state, reason in self._states():
            machine = Machine(self, domain)
            lasting, automatic = machine.uuid in persistent, machine.uuid in autostarted
            condition = Condition(state_name(state), reason_name(state, reason), lasting, automatic)
            found.append((machine, condition))
        return sorted(found, key=lambda pair: pair[0].uuid)

    @action(permission="define", changes=True, says="{msg}")
    def vm(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        state: t.Annotated[Asked, "What the machine is to be."] = "present",
        definition: t.Annotated[
            Definition, "What the machine is to be made of; only what is named is compared."
        ] = NOTHING,
        xml: t.Annotated[t.Optional[str], "The whole definition as libvirt's domain XML."] = None,
        force: t.Annotated[
            bool, "Turn off what runs and drop saved memory and snapshots, where absent asks for it."
        ] = False,
        wait: Wait = True,
        wait_timeout: Timeout = WAIT_TIMEOUT,
        check: Check = False,
    ) -> Result:
        """Bring a machine to a definition and a state."""
        return converge(self, Desired(name, uuid, state, definition, xml, force, wait, wait_timeout), check=check)

    @action(permission="define", changes=True, says="{msg}")
    def vm_import(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of a domain, or a pattern like web*."] = None,
        uuid: Uuid = None,
        state: t.Annotated[t.Literal["present", "absent"], "Whether it is to be managed."] = "present",
        check: Check = False,
    ) -> Result:
        """Adopt domains that were made by other means, or let them go. They run on, untouched."""
        if not name and not uuid:
            raise InvalidArgument("Name the domains: give a name, a pattern (* is all of them), or a uuid.")
        with doing(f"List the machines of {self.name}"):
            machines = [Machine(self, domain) for domain in self.connection.handle.listAllDomains()]
        wanted = canonical_uuid(uuid) if uuid else None
        meant = [
            machine
            for machine in sorted(machines, key=lambda m: m.name)
            if (not name or _fits(machine.name, name)) and wanted in (None, machine.uuid)
        ]
        if not meant and not (name and _PATTERN & set(name)):
            raise NotFound(f"There is no machine {name or uuid!r} on {self.name}.")
        managed = state == "present"
        changes: list[Change] = []
        vms: list[Result] = []
        try:
            for machine in meant:
                # A machine may go while the others are looked at.
                with contextlib.suppress(NotFound):
                    if machine.managed != managed:
                        if not check:
                            machine.adopt(managed=managed)
                        changes.append(Change(f"{machine.name}.managed", not managed, managed))
                    vms.append({"name": machine.name, "uuid": machine.uuid, "state": machine.status[0]})
        except ArchipelError as error:
            error.changes = [change.as_data() for change in changes]
            raise
        verb = ("would be " if check else "") + ("adopted" if managed else "let go")
        return {
            "changed": bool(changes),
            "msg": f"{', '.join(c.path.rsplit('.', 1)[0] for c in changes)} {verb}."
            if changes
            else "All are as asked.",
            "changes": [change.as_data() for change in changes],
            "diff": {"before": {c.path: c.old for c in changes}, "after": {c.path: c.new for c in changes}},
            "vms": vms,
        }

    @action(permission="migrate", changes=True, long=True, says="{msg}")
    def vm_migrate(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        destination: migration.Destination = None,
        destination_uri: migration.DestinationUri = None,
        live: migration.Live = True,
        copy_storage: migration.CopyStorage = "none",
        bandwidth: migration.Bandwidth = None,
        max_downtime: migration.MaxDowntime = None,
        tls: migration.Tls = None,
        undefine_source: migration.UndefineSource = True,
        wait_timeout: migration.WaitTimeout = migration.WAIT_TIMEOUT,
        check: Check = False,
        progress: Progress = NO_PROGRESS,
    ) -> Result:
        """Move a machine of this hypervisor to another one. Where it is there already, nothing changes."""
        move = migration.Move(
            destination,
            destination_uri,
            live,
            copy_storage,
            bandwidth,
            max_downtime,
            tls,
            undefine_source,
            wait_timeout,
        )
        machine = self.find(name=name, uuid=uuid)
        if machine is not None:
            return migration.migrate(machine, move, check=check, progress=progress)
        if destination == self.name:
            return migration.already(self.machine(name, uuid))
        there = migration.look(move, self.peers, t.cast(str, name or uuid), canonical_uuid(uuid) if uuid else None)
        if not there["present"]:
            raise NotFound(
                f"There is no machine {name or uuid!r}, neither on {self.name} nor on {there['hypervisor']}."
            )
        vm = {"name": name, "uuid": uuid, "hypervisor": there["hypervisor"], "state": there["state"]}
        return migration.unchanged(vm)


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _version(number: int) -> str:
    """libvirt packs 9.0.0 as 9000000."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
