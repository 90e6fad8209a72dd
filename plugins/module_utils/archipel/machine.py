# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One machine: what it is, and what can be done to it."""

from __future__ import annotations

import contextlib
import typing as t

from . import belongings, definition, tags, xmltree
from .actions import Phrase, Result, action
from .connection import doing, libvirt
from .elements import Change
from .errors import (
    ArchipelError,
    Conflict,
    InvalidArgument,
    InvalidRequest,
    NotFound,
    OperationFailed,
    Unavailable,
    Unsupported,
    WaitTimeout,
)
from .lifecycle import ACTIVE, RUNNING, SAVED, reason_name, state_name
from .size import about

if t.TYPE_CHECKING:
    from .host import Host

WAIT_TIMEOUT = 120

_OFF: t.Final = ("shutoff",)

# The sources of virDomainInterfaceAddresses
_SOURCES: t.Final = {"lease": "VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE",
                     "agent": "VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT",
                     "arp": "VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP"}  # fmt: skip

Wait = t.Annotated[bool, "Return only when it has happened."]
Timeout = t.Annotated[int, "Seconds to wait at most."]
ForceAfter = t.Annotated[
    t.Optional[int], "Turn the machine off hard when it has not shut down after so many seconds. By default never."
]
AddressSource = t.Literal["none", "lease", "agent", "arp"]

Say = t.Callable[[t.Mapping[str, t.Any]], str]


def _said(reached: t.Collection[str], done: str, asked: str, already: str) -> Say:
    """What to say of a change: that it is done, only asked for (without waiting), or was so already."""
    return lambda result: already if not result["changed"] else done if result["state"] in reached else asked


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _lines(lines: t.Iterable[str]) -> str:
    return "\n".join(lines)


def _disk(disk: t.Mapping[str, t.Any]) -> str:
    return f"{disk['target']}: {disk['device']}, {disk['path'] or 'empty'}"


def _interface(interface: t.Mapping[str, t.Any]) -> str:
    where = interface["network"] or interface["bridge"] or interface["source"] or ""
    return f"{interface['mac']}: {interface['type']} {where}".rstrip()


def _whereabouts(vm: t.Mapping[str, t.Any]) -> str:
    found = ", ".join(address["address"] for address in vm["addresses"])
    return f"My address is {found}." if found else f"I am {vm['state']}, and know no address of mine."


class Condition(t.NamedTuple):
    """What libvirt knows of a domain beside its definition."""

    state: str
    reason: str
    persistent: bool
    autostart: bool


class Machine:
    """A domain of a hypervisor. It is looked up once; its state is asked of libvirt each time."""

    def __init__(self, hypervisor: Host, domain: t.Any) -> None:
        self.hypervisor = hypervisor
        self.domain = domain
        self.name: str = domain.name()
        self.uuid: str = domain.UUIDString()

    @property
    def status(self) -> tuple[str, str]:
        """State and reason, in libvirt's words."""
        with doing(f"Ask for the state of {self.name}"):
            state, reason = self.domain.state()
        return state_name(state), reason_name(state, reason)

    def document(self, *, inactive: bool = False, secure: bool = False) -> t.Any:
        """The domain's XML, as it runs or as it is configured. ``secure`` includes passwords, for defining again."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0
        flags |= libvirt.VIR_DOMAIN_XML_SECURE if secure else 0
        with doing(f"Read the definition of {self.name}"):
            return xmltree.parse_trusted(self.domain.XMLDesc(flags))

    @property
    def condition(self) -> Condition:
        with doing(f"Look at {self.name}"):
            return Condition(*self.status, bool(self.domain.isPersistent()), bool(self.domain.autostart()))

    def describe(
        self,
        *,
        addresses: str = "none",
        condition: Condition | None = None,
        parts: t.Collection[str] = definition.PARTS,
    ) -> Result:
        """Everything that ``vm_info`` tells of a machine, as it runs, but of the definition's parts these alone.
        ``condition``, where it is known already."""
        state, reason, persistent, autostart = condition or self.condition
        node = self.document()
        number = self.domain.ID()
        values = definition.read(node, parts)
        if "metadata" in values:
            values["metadata"] = {key: text or "" for key, text in values["metadata"].items()}
        return {
            "name": self.name,
            "uuid": self.uuid,
            "id": number if number >= 0 else None,
            "hypervisor": self.hypervisor.name,
            "state": state,
            "reason": reason,
            "persistent": persistent,
            "autostart": autostart,
            "managed": definition.managed(node),
            "tags": list(self.read_tags(persistent=persistent)),
            **values,
            "addresses": self.addresses(addresses) if state in RUNNING else [],
        }

    def addresses(self, source: str) -> list[Result]:
        """Addresses by DHCP lease, guest agent or ARP, or ``any``, the first that tells some."""
        if source == "none":
            return []
        if source == "any":
            return next(filter(None, map(self.addresses, _SOURCES)), [])
        try:
            with doing(f"Ask for the addresses of {self.name}"):
                found = self.domain.interfaceAddresses(getattr(libvirt, _SOURCES[source])) or {}
        except Unavailable:
            raise
        except ArchipelError:
            # No network of libvirt's, no guest agent yet, or a driver without: nothing is known, nothing is wrong.
            return []
        return [
            {"address": a["addr"], "prefix": a["prefix"], "mac": interface.get("hwaddr") or None, "source": source}
            for interface in found.values()
            for a in interface.get("addrs") or ()
        ]

    def await_address(self, source: str, timeout: float) -> None:
        """Return when the machine has an address by that source, ``any`` of them; libvirt has no event for it."""

        def reached() -> bool:
            if self.status[0] not in RUNNING:
                raise Conflict(f"{self.name} is {self.status[0]} and gets no address. Start it.")
            return bool(self.addresses(source))

        with self.hypervisor.connection.watch(self.domain) as watch:
            watch.until(
                reached, timeout, every=1,
                otherwise=f"{self.name} has no address yet, by {'lease, agent or arp' if source == 'any' else source}.",
            )  # fmt: skip

    def set_metadata(self, wanted: t.Mapping[str, t.Any]) -> None:
        """Write title, description and what else of definition.METADATA is wanted, at once and for good."""
        kinds = {"title": libvirt.VIR_DOMAIN_METADATA_TITLE, "description": libvirt.VIR_DOMAIN_METADATA_DESCRIPTION}
        for key in kinds.keys() & wanted.keys():
            self._write_metadata(kinds[key], wanted[key] or None)
        if wanted.keys() - kinds.keys():
            node = self.document(inactive=True)
            definition.METADATA.write(node, wanted)
            self._write_element(node)

    def adopt(self, *, managed: bool) -> None:
        """Put our element into the metadata, or take it away. The machine does not notice."""
        node = self.document(inactive=True)
        xmltree.write(node, "metadata/archipel:machine?", "" if managed else None)
        self._write_element(node)

    def read_tags(self, *, persistent: bool | None = None) -> tags.Tags:
        """``persistent``, where it is known already."""
        with doing(f"Read the tags of {self.name}"):
            lasting = bool(self.domain.isPersistent()) if persistent is None else persistent
            return tags.of(self.domain, persistent=lasting)[0]

    def tag(self, wanted: tags.Tags) -> None:
        """Give the machine these tags in place of those that it has."""
        self._mark(lambda _tags, owner: tags.document(wanted, owner))

    def give(self, owner: str) -> None:
        """Note that the machine belongs to that bare JID."""
        self._mark(lambda there, _owner: tags.document(there, owner))

    def _mark(self, document: t.Callable[[tags.Tags, t.Optional[str]], t.Optional[str]]) -> None:
        with doing(f"Read the tags of {self.name}"):
            there = tags.of(self.domain, persistent=bool(self.domain.isPersistent()))
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        self._write_metadata(kind, document(*there), xmltree.TAGS_PREFIX, xmltree.TAGS_NAMESPACE)

    def own(self, pool: str, volume: str, *, owned: bool = True) -> None:
        """Note that a volume was made for this machine, or no longer is its own."""
        node = self.document(inactive=True)
        belongings.note(node, pool, volume, owned=owned)
        self._write_element(node)

    def _write_element(self, node: t.Any) -> None:
        ours = node.find(f"metadata/{{{xmltree.NAMESPACE}}}machine")
        text = None if ours is None else xmltree.unqualified(ours)
        self._write_metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, xmltree.PREFIX, xmltree.NAMESPACE)

    def _write_metadata(self, kind: int, text: str | None, prefix: str | None = None, uri: str | None = None) -> None:
        with doing(f"Write the metadata of {self.name}"):
            flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG if self.domain.isPersistent() else 0
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE if self.domain.isActive() else 0
            self.domain.setMetadata(kind, text, prefix, uri, flags)

    def undefine(self, *, keep_nvram: bool, keep_tpm: bool) -> None:
        """Take the definition away, with what libvirt knows of snapshots and saved memory."""
        node = self.document(inactive=True)
        flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        # Drivers without firmware variables, TPM or checkpoints refuse the flags for them. The file with the variables
        # is there, and not in the configuration, where libvirt chose the firmware.
        for there, what, keep in (
            (definition.BOOT.read(node.find("os"))["firmware"] == "efi", "NVRAM", keep_nvram),
            (node.find("devices/tpm/backend") is not None, "TPM", keep_tpm),
        ):
            if there:
                flags |= getattr(libvirt, f"VIR_DOMAIN_UNDEFINE_{'KEEP_' if keep else ''}{what}", 0)
        with contextlib.suppress(libvirt.libvirtError):
            if self.domain.listAllCheckpoints():
                flags |= libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        with doing(f"Undefine {self.name}"):
            self.domain.undefineFlags(flags)

    @property
    def managed(self) -> bool:
        return definition.managed(self.document(inactive=True))

    @action(
        permission="view",
        changes=False,
        phrases=(
            *("how are you", "state", "status"),
            Phrase("memory", says=lambda r: f"I have {about(r['memory'] << 20)} of memory."),
            *(Phrase(word, says=lambda r: f"I have {_count(r['vcpus'], 'vCPU')}.") for word in ("cpu", "vcpus")),
        ),
        says=lambda r: (
            f"I am {r['name']}. I am {r['state']} on {r['hypervisor']}, with {about(r['memory'] << 20)} of memory and"
            f" {_count(r['vcpus'], 'vCPU')}."
        ),
    )
    def state(self) -> Result:
        """Tell the state and the size of the machine."""
        state, reason = self.status
        with doing(f"Look at {self.name}"):
            _state, maximum, _memory, vcpus, cpu_time = self.domain.info()
        return {
            "changed": False,
            "name": self.name,
            "uuid": self.uuid,
            "hypervisor": self.hypervisor.name,
            "state": state,
            "reason": reason,
            "memory": maximum // 1024,
            "vcpus": vcpus,
            "cpu_seconds": cpu_time / 1e9,
        }

    @action(
        permission="view",
        changes=False,
        phrases=(
            *("info", "what are you", "who are you", "describe yourself", "tell me about yourself"),
            Phrase("disks", says=lambda r: _lines(map(_disk, r["vm"]["disks"])) or "I have no disk."),
            Phrase("networks", says=lambda r: _lines(map(_interface, r["vm"]["networks"])) or "I have no interface."),
            Phrase("tags", says=lambda r: ", ".join(r["vm"]["tags"]) or "I have no tags."),
            *(
                Phrase(
                    words, {"addresses": "any"}, lambda r: f"I am on {r['vm']['hypervisor']}. {_whereabouts(r['vm'])}"
                )
                for words in ("addresses", "where are you", "what is your address")
            ),
        ),
        says=lambda r: (
            f"I am {r['vm']['name']} ({r['vm']['uuid']}), {r['vm']['state']}, with {about(r['vm']['memory'] << 20)} of"
            f" memory, {_count(r['vm']['vcpus'], 'vCPU')}, {_count(len(r['vm']['disks']), 'disk')} and"
            f" {_count(len(r['vm']['networks']), 'interface')}."
        ),
    )
    def info(
        self,
        *,
        addresses: t.Annotated[
            t.Literal["none", "lease", "agent", "arp", "any"],
            "Where to ask for the machine's addresses; V(any) is the first that tells some.",
        ] = "lease",
    ) -> Result:
        """Tell everything about the machine."""
        return {"changed": False, "vm": self.describe(addresses=addresses)}

    @action(permission="view", changes=False, phrases=("xml",), says="This is my definition:\n{xml}")
    def xml(self, *, inactive: t.Annotated[bool, "As it is configured, not as it runs."] = False) -> Result:
        """Give the definition in libvirt's XML, without passwords."""
        return {"changed": False, "xml": xmltree.serialise(self.document(inactive=inactive))}

    @action(permission="lifecycle", changes=True, phrases=("start", "boot", "power on", "run"),
            says=_said(RUNNING, "I am running now.", "I am starting.", "I was running already."))  # fmt: skip
    def start(self, *, wait: Wait = True, wait_timeout: Timeout = WAIT_TIMEOUT) -> Result:
        """Start the machine. A paused one is resumed."""
        old = self.status[0]
        if old in RUNNING:
            return self._unchanged(f"{self.name} is running already.")
        if old == "paused":
            return self.resume(wait=wait, wait_timeout=wait_timeout)
        if old == "pmsuspended":
            return self._change("wake up", self.domain.pMWakeup, old, RUNNING, wait, wait_timeout)
        if old in ("crashed", "shutdown"):
            raise Conflict(f"{self.name} is {old} and not off yet; destroy it first.")
        return self._change("start", self.domain.create, old, RUNNING, wait, wait_timeout)

    def start_paused(self, *, wait: bool, wait_timeout: float) -> Result:
        """Start the machine with its CPUs standing still; not an action of its own, a state to converge to."""
        flags, old = libvirt.VIR_DOMAIN_START_PAUSED, self.status[0]
        try:
            return self._change(
                "start paused", lambda: self.domain.createWithFlags(flags), old, ("paused",), wait, wait_timeout
            )
        except (InvalidRequest, Unsupported):
            # A driver that does not know the flag; where something else is wrong, start says so.
            self.start(wait=True, wait_timeout=wait_timeout)
            return self.pause(wait=wait, wait_timeout=wait_timeout)

    @action(permission="lifecycle", changes=True, phrases=("shutdown", "shut down", "stop", "halt"),
            says=_said(_OFF, "I have shut down.", "I am shutting down.", "I was off already."))  # fmt: skip
    def shutdown(
        self, *, wait: Wait = True, wait_timeout: Timeout = WAIT_TIMEOUT, force_after: ForceAfter = None
    ) -> Result:
        """Ask the machine to shut down, by ACPI or its guest agent."""
        old = self.status[0]
        if force_after is not None and not wait:
            raise InvalidArgument("force_after: who does not wait cannot find out that the machine has not shut down.")
        if old == "paused":
            raise Conflict(
                f"{self.name} is paused and cannot hear the request to shut down; resume it first, or destroy it."
            )
        if old == "crashed":
            raise Conflict(f"{self.name} has crashed and cannot hear the request to shut down; destroy it.")
        if old not in ACTIVE:
            return self._unchanged(f"{self.name} is off already.")
        patience = wait_timeout if force_after is None else force_after
        try:
            return self._change("shut down", self.domain.shutdown, old, ("shutoff",), wait, patience)
        except WaitTimeout as error:
            if force_after is not None:
                return self._change("turn off", self.domain.destroy, old, ("shutoff",), wait, wait_timeout)
            raise WaitTimeout(
                f"{error.message} It was asked to shut down and may not listen to ACPI; destroy turns it off hard."
            ) from error

    @action(permission="lifecycle", changes=True, phrases=("destroy", "power off", "force off"),
            asks="That turns me off at once, and what is not saved is lost.",
            says=_said(_OFF, "I have been turned off.", "I am being turned off.", "I was off already."))  # fmt: skip
    def destroy(self, *, wait: Wait = True, wait_timeout: Timeout = WAIT_TIMEOUT) -> Result:
        """Turn the machine off at once, like pulling the plug."""
        old = self.status[0]
        if old not in ACTIVE and old != "crashed":
            return self._unchanged(f"{self.name} is off already.")
        return self._change("turn off", self.domain.destroy, old, ("shutoff",), wait, wait_timeout)

    @action(permission="lifecycle", changes=True, phrases=("pause", "suspend", "freeze"),
            says=_said(("paused",), "I am paused now.", "I am pausing.", "I was paused already."))  # fmt: skip
    def pause(self, *, wait: Wait = True, wait_timeout: Timeout = WAIT_TIMEOUT) -> Result:
        """Pause the machine: its CPUs stop, its memory stays."""
        old = self.status[0]
        if old == "paused":
            return self._unchanged(f"{self.name} is paused already.")
        if old not in RUNNING:
            raise Conflict(f"{self.name} is {old}; only a running machine can be paused. Start it first.")
        return self._change("pause", self.domain.suspend, old, ("paused",), wait, wait_timeout)

    @action(permission="lifecycle", changes=True, phrases=("resume", "unpause", "continue"),
            says=_said(RUNNING, "I am running again.", "I am waking up.", "I was running already."))  # fmt: skip
    def resume(self, *, wait: Wait = True, wait_timeout: Timeout = WAIT_TIMEOUT) -> Result:
        """Let a paused machine run on."""
        old, reason = self.status
        if old in RUNNING:
            return self._unchanged(f"{self.name} is running already.")
        if old != "paused":
            raise Conflict(f"{self.name} is {old}, not paused; there is nothing to resume. Start it instead.")
        if reason == "migration" and self._is_received():
            raise Conflict(
                f"{self.name} is on its way here, by a migration that its source knows of; wait for its end."
            )
        return self._change("resume", self.domain.resume, old, RUNNING, wait, wait_timeout)

    def _is_received(self) -> bool:
        """Whether a migration brings it: libvirt tells of that at the source only. Paused for the same reason is what
        goes on from memory that was kept."""
        try:
            self.domain.jobInfo()
        except libvirt.libvirtError as error:
            return bool(error.get_error_code() == libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
        return False

    @action(permission="lifecycle", changes=True, phrases=("reboot", "restart"), says="I am rebooting.")
    def reboot(self) -> Result:
        """Ask the machine to reboot, by ACPI or its guest agent. Does not wait."""
        old = self.status[0]
        if old not in RUNNING:
            raise Conflict(f"{self.name} is {old}; only a running machine can reboot. Start it instead.")
        with doing(f"Reboot {self.name}"):
            self.domain.reboot()
        return {"changed": True, "msg": f"{self.name} was asked to reboot.", "changes": [], "state": old}

    @action(permission="lifecycle", changes=True, phrases=("reset", "hard reset"), says="I begin anew.",
            asks="That is my reset button: I begin anew at once, and what is not saved is lost.")  # fmt: skip
    def reset(self, *, wait: Wait = True, wait_timeout: Timeout = WAIT_TIMEOUT) -> Result:
        """Press the machine's reset button: it begins anew at once, without shutting down."""
        del wait, wait_timeout  # it is done when libvirt returns
        old = self.status[0]
        if old not in RUNNING:
            raise Conflict(f"{self.name} is {old}; only a running machine can be reset. Start it instead.")
        with doing(f"Reset {self.name}"):
            self.domain.reset()
        change = Change("state", old, "running", "live")
        return {"changed": True, "msg": f"{self.name}: reset.", "changes": [change.as_data()], "state": self.status[0]}

    @property
    def saved(self) -> bool:
        """Of a machine that is off, whether its memory is kept. A transient one is not off, but gone."""
        with doing(f"Look at {self.name}"):
            return bool(self.domain.hasManagedSaveImage())

    @action(permission="lifecycle", changes=True, phrases=("save", "hibernate"),
            says=_said(_OFF, "I have been saved and am off.", "I am being saved.", "I was saved already."))  # fmt: skip
    def save(self, *, wait: Wait = True, wait_timeout: Timeout = WAIT_TIMEOUT) -> Result:
        """Keep the machine's memory on the hypervisor and turn it off. It goes on from there when it is started."""
        old = self.status[0]
        if old == "shutoff" and self.saved:
            return self._unchanged(f"{self.name} is saved already.")
        if old not in (*RUNNING, "paused"):
            raise Conflict(f"{self.name} is {old}; only a machine that runs or is paused has memory to save.")
        if not self.condition.persistent:
            raise Conflict(f"{self.name} is transient; libvirt saves only what has a configuration.")
        result = self._change("save", self.domain.managedSave, old, ("shutoff",), wait, wait_timeout)
        return {**result, "changes": [Change("state", old, SAVED, "live").as_data()]}

    def _unchanged(self, text: str) -> Result:
        return {"changed": False, "msg": text, "changes": [], "state": self.status[0]}

    def _change(
        self,
        verb: str,
        request: t.Callable[[], t.Any],
        old: str,
        wanted: t.Collection[str],
        wait: bool,
        wait_timeout: float,
    ) -> Result:
        """Make a request and wait, if asked, until libvirt's events lead to one of the wanted states."""
        with doing(f"{verb.capitalize()} {self.name}"):
            request()
        new = self._state_or_off()
        if wait and not self._reached(wanted, new):
            # Mostly it has happened by now, and two calls are saved. Who watches looks again first.
            with self.hypervisor.connection.watch(self.domain) as watch:
                watch.until(
                    lambda: self._reached(wanted), wait_timeout,
                    otherwise=f"{self.name} did not become {' or '.join(sorted(wanted))}.",
                )  # fmt: skip
            new = self._state_or_off()
        change = Change("state", old, new, "live")
        return {
            "changed": True,
            "msg": f"{self.name}: {verb}, {old} → {new}.",
            "changes": [change.as_data()],
            "state": new,
        }

    def _reached(self, wanted: t.Collection[str], state: str | None = None) -> bool:
        """``state``, where it has just been asked for."""
        state = state or self._state_or_off()
        if state == "crashed" and "crashed" not in wanted:
            raise OperationFailed(f"{self.name} has crashed ({self.status[1]}).")
        if state == "paused" and "running" in wanted and self.status == ("paused", "ioerror"):
            # QEMU lets guests see all other errors, unless error_policy or rerror_policy says otherwise.
            raise OperationFailed(
                f"{self.name} is paused by an I/O error, most likely for want of room where its disks are. Make room,"
                " then resume it."
            )
        return state in wanted

    def _state_or_off(self) -> str:
        try:
            return self.status[0]
        except NotFound:
            return "shutoff"  # a transient domain is gone when it is off
