# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's definition: what a person may say about it, and libvirt's domain XML."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from . import filesystems, osinfo, xmltree
from .boot import BOOT
from .characters import CHANNELS, CONSOLES, SERIALS, GuestAgent
from .cloud_init import CLOUD_INIT
from .cpu import CPU, CPUTUNE, NUMATUNE, Numbers
from .devices import MEMBALLOON, RNG, TPM, VSOCK, WATCHDOG
from .disks import DISK
from .elements import Attribute, Change, Offers, refuse_unknown
from .errors import InvalidDefinition
from .features import CLOCK, EVENTS, FEATURES, PM
from .filesystems import FILESYSTEMS
from .graphics import GRAPHICS, INPUTS, SOUND, VIDEO
from .groups import Difference, Group, Part, Values, Wanted
from .host_devices import HOST_DEVICES
from .interfaces import INTERFACE
from .memory import BLKIOTUNE, MEMORYBACKING, MEMTUNE
from .osinfo import OSINFO

__all__ = ["Definition", "Difference", "apply", "compare", "managed", "new", "read"]


@dataclasses.dataclass(frozen=True)
class Amount(Attribute):
    """What a machine has of something at the moment, of which its definition says a ``maximum`` (a path) too. libvirt
    leaves the one or the other out where they are the same. ``forgets`` is what goes with the old amount only."""

    maximum: str = ""
    forgets: str = ""

    def read(self, node: t.Any) -> t.Any:
        value = super().read(node)
        return self._largest.read(node) if value is None else value

    def write(self, node: t.Any, value: t.Any) -> None:
        # Where there never was more to have than it has, the maximum follows.
        largest = self._largest.read(node)
        if largest is None or largest < value or largest == self.read(node):
            self._largest.write(node, value)
        super().write(node, value)
        if self.forgets:
            xmltree.write(node, self.forgets, None)

    @property
    def _largest(self) -> Attribute:
        return Attribute(self.key, self.maximum, "", int, unit=self.unit)


@dataclasses.dataclass(frozen=True)
class Maximum(Attribute):
    """The most that a machine can have of something; it cannot have more than that at the moment. ``amount`` is the
    path of what it has."""

    amount: str = ""

    def write(self, node: t.Any, value: t.Any) -> None:
        has = Attribute(self.key, self.amount, "", int, unit=self.unit)
        if has.read(node) is None:
            has.write(node, min(value, self.read(node) or value))
        elif has.read(node) > value:
            has.write(node, value)
        super().write(node, value)


class Domain(Group):
    """The domain itself."""

    def alter(self, node: t.Any, wanted: Wanted, changed: t.Collection[str]) -> None:
        # A size and its maximum are written together.
        del changed
        self.write(node, wanted)


DOMAIN: t.Final = Domain(
    "",
    (
        Attribute("type", "@type",
                  "Hypervisor type, for example V(kvm), V(qemu), V(test). By default the best that the host has.",
                  examples=("qemu", "kvm")),
        Amount("memory", "currentMemory", "Memory in MiB. Within O(max_memory) it changes while the machine runs.",
               int, unit="MiB", minimum=1, maximum="memory"),
        Maximum("max_memory", "memory", "The most memory in MiB that the machine can be given while it runs. By default"
                " what O(memory) says.", int, unit="MiB", minimum=1, amount="currentMemory", examples=(1024, 2048)),
        Amount("vcpus", "vcpu/@current", "Number of virtual CPUs. Within O(max_vcpus) it grows while the machine runs.",
               int, minimum=1, maximum="vcpu", forgets="vcpus"),
        Maximum("max_vcpus", "vcpu", "The most virtual CPUs that the machine can be given while it runs. By default"
                " what O(vcpus) says.", int, minimum=1, amount="vcpu/@current"),
        Numbers("cpuset", "vcpu/@cpuset", "CPUs of the host that the machine runs on.", examples=("0-3", "0-3,^2")),
        Attribute("arch", "os/type/@arch", "Architecture, by default the host's.", examples=("x86_64", "aarch64")),
        Attribute("machine", "os/type/@machine", "Machine type, for example V(q35).", examples=("q35", "pc")),
        Attribute("iothreads", "iothreads", "Number of I/O threads, for disks to name one.", int, zero=True),
        GuestAgent("guest_agent", "devices/channel", "Whether there is a channel for QEMU's guest agent."),
    ),
)  # fmt: skip

METADATA: t.Final = Group(
    "metadata",
    (
        Attribute("title", "title", "A short title, one line."),
        Attribute("description", "description", "A description."),
        Attribute("location", "metadata/archipel:machine/archipel:location",
                  "Where the machine belongs, in words of one's own."),
    ),
    help="What people say about the machine. Applied to a running machine at once.",
)  # fmt: skip

GROUPS: t.Final = {
    group.key: group
    for group in (
        *(CPU, CPUTUNE, NUMATUNE, MEMORYBACKING, MEMTUNE, BLKIOTUNE, BOOT, FEATURES, CLOCK, EVENTS, PM, OSINFO),
        *(GRAPHICS, VIDEO, SOUND, TPM, RNG, WATCHDOG, MEMBALLOON, VSOCK, METADATA, CLOUD_INIT),
    )
}
LISTS: t.Final = {
    devices.key: devices
    for devices in (DISK, INTERFACE, FILESYSTEMS, HOST_DEVICES, SERIALS, CONSOLES, CHANNELS, INPUTS)
}
PARTS: t.Final[dict[str, Part]] = {**GROUPS, **LISTS}
OPTIONS: t.Final = {**DOMAIN.options(), **{key: part.option for key, part in PARTS.items()}}
# A new key is not among them until somebody has thought about it.
_OF_THE_MACHINE: t.Final = frozenset(
    (
        *("memory", "max_memory", "vcpus", "max_vcpus", "cpu", "features", "clock", "pm", "osinfo", "video", "sound"),
        *("watchdog", "memballoon", "guest_agent", "metadata"),
    )
)


@dataclasses.dataclass(frozen=True)
class Definition:
    """What a task names of a machine, typed. What is not named is not compared and not changed."""

    values: dict[str, t.Any]
    options: t.ClassVar[dict[str, dict[str, t.Any]]] = OPTIONS

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> Definition:
        del where  # the keys are known to people without it
        if not isinstance(untrusted, dict):
            raise InvalidDefinition("The definition of a machine is a mapping.")
        refuse_unknown(untrusted, OPTIONS, "")
        values = DOMAIN.bind({key: untrusted[key] for key in untrusted if key not in PARTS}, "")
        for key, part in PARTS.items():
            if untrusted.get(key) is not None:
                values[key] = part.bind(untrusted[key], key)
        filesystems.share_memory(values)
        for key in ("memory", "vcpus"):
            if values.get(key, 0) > values.get(f"max_{key}", values.get(key, 0)):
                raise InvalidDefinition(f"{key}: {values[key]} is more than max_{key}, {values[f'max_{key}']}.")
        if "devices" in values.get("boot", {}) and _ordered(values):
            raise InvalidDefinition("boot.devices and boot_order give two orders; use one of them.")
        if "\n" in values.get("metadata", {}).get("title", "").strip():
            raise InvalidDefinition("metadata.title: a title is one line.")
        return cls(values)

    def __bool__(self) -> bool:
        return bool(self.values)

    @property
    def reaches(self) -> bool:
        """Whether it names what is not the machine's alone: files, volumes, devices, networks or ports of the host."""
        return bool(self.values.keys() - _OF_THE_MACHINE)


_VERSION: t.Final = re.compile(r"-(rhel)?\d[\w.]*$")  # pc-q35-7.2, pc-q35-rhel9.2.0
_PORTS: t.Final = 14  # of which the usual devices take a few; libvirt itself leaves one to plug into
NOTHING: t.Final = Definition({})


def read(node: t.Any, parts: t.Collection[str] = PARTS) -> Values:
    """A domain's XML in the words of OPTIONS, of its parts these alone; what it does not say is None."""
    there = xmltree.places(node)
    told = {key: part.tell(node, there.get(part.path, ())) for key, part in PARTS.items() if key in parts}
    return {**DOMAIN.read(node), **told}


def new(
    name: str, uuid: str | None, defaults: Wanted, wanted: Wanted | None = None, offers: Offers | None = None
) -> t.Any:
    """The domain that a new machine begins as. ``defaults``: type, arch and machine of this host; what else a machine
    of QEMU gets, unless it is ``wanted`` otherwise, is what a person would add."""
    wanted = wanted or {}
    node = xmltree.element("domain")
    xmltree.write(node, "name", name)
    if uuid:
        xmltree.write(node, "uuid", uuid)
    xmltree.write(node, "os/type", "hvm")
    xmltree.write(node, "vcpu", "1")
    DOMAIN.write(node, defaults)
    OSINFO.write(node, wanted.get("osinfo", {}))
    if defaults.get("arch") in ("x86_64", "i686"):
        xmltree.write(node, "features/acpi?", "")
        xmltree.write(node, "features/apic?", "")
    xmltree.write(node, "metadata/archipel:machine?", "")
    if defaults["type"] != "test" and not {"serial_devices", "console_devices"} & wanted.keys():
        # Without a console a machine that boots wrongly tells nobody.
        xmltree.write(node, "devices/console/@type", "pty")
    if osinfo.virtual(node):
        apply(node, _usual(node, wanted, offers))
        if "q35" in (defaults.get("machine") or ""):
            devices = xmltree.write(node, "devices?", "")
            # libvirt takes the first controller for the root.
            for model in ("pcie-root", *["pcie-root-port"] * _PORTS):
                devices.append(xmltree.element("controller", type="pci", model=model))
    return node


def _usual(node: t.Any, wanted: Wanted, offers: Offers | None) -> Values:
    """What a machine of QEMU has that people do not name."""

    def can(path: str, value: str) -> bool:
        possible = offers.values(path) if offers else None
        return possible is not None and value in possible

    values: Values = {"guest_agent": True}
    if node.get("type") == "kvm" and can("cpu/mode", "host-model"):
        # libvirt's own default is the least that any CPU can.
        values["cpu"] = {"mode": "host-model"}
    if can("devices/rng/model", "virtio"):
        values["rng"] = {"model": "virtio"}
    if wanted.get("graphics", {"type": "none"}).get("type") != "none":
        if can("devices/video/modelType", VIDEO.new({}, node)["model"]):
            values["video"] = {}
        # A mouse does not know where the pointer is on the person's screen.
        values["input_devices"] = [{"type": "tablet", "bus": "usb"}]
    if osinfo.windows(wanted.get("osinfo", {}).get("id")):
        values["clock"] = {"offset": "localtime", "hypervclock_present": True}
    return {key: value for key, value in values.items() if key not in wanted}


def refuse_missing(wanted: Wanted, offers: Offers) -> None:
    """Unsupported, where the host cannot have what is wanted; it names what the host can."""
    DOMAIN.refuse_missing(wanted, offers)
    for key, part in PARTS.items():
        if key in wanted:
            part.refuse_missing(wanted[key], offers)


def compare(
    node: t.Any, wanted: Wanted, *, gone: t.Mapping[str, t.Sequence[Wanted]] | None = None,
    complete: t.Collection[str] = (),
) -> list[Difference]:  # fmt: skip
    """Where a domain's XML is not as wanted. ``wanted`` is a Definition's values, its disks with their paths resolved;
    the metadata is left to whoever can change it live.

    ``gone`` are devices that are not to be there; of the lists in ``complete`` none may be there that is not wanted.
    """
    found = DOMAIN.differences(node, {key: value for key, value in wanted.items() if key not in PARTS})
    for key, group in GROUPS.items():
        if key in wanted and group is not METADATA:
            found += group.differences(node, wanted[key])
    for key, devices in LISTS.items():
        found += devices.differences(node, wanted.get(key, ()), (gone or {}).get(key, ()), complete=key in complete)
    return found


def apply(node: t.Any, wanted: Wanted, **more: t.Any) -> list[Change]:
    """Bring a domain's XML to what is wanted, and tell what differed."""
    differences = compare(node, wanted, **more)
    for difference in differences:
        difference.write()
    _order_boot(node, wanted)
    return [change for difference in differences for change in difference.changes]


def _ordered(values: Wanted) -> bool:
    """Whether devices have a place in the order of boot devices."""
    return any("boot_order" in item for key in LISTS for item in values.get(key, ()))


def _order_boot(node: t.Any, wanted: Wanted) -> None:
    """libvirt takes the order of boot devices from one place, and puts one there itself."""
    if _ordered(wanted):
        holders = node.findall("os")
    elif "devices" in wanted.get("boot", {}):
        holders = node.findall("devices/*")
    else:
        return
    for holder in holders:
        for boot in holder.findall("boot"):
            holder.remove(boot)


def refuse_pins(wanted: Wanted, node: t.Any) -> None:
    """InvalidDefinition, of virtual CPUs that the machine will not have: libvirt forgets them without saying so."""
    count = wanted.get("max_vcpus") or max(wanted.get("vcpus", 1), int(xmltree.read(node, "vcpu") or 1))
    for number, cpus in wanted.get("cputune", {}).get("vcpupin", {}).items():
        if cpus and number.isdecimal() and int(number) >= count:
            raise InvalidDefinition(
                f"cputune.vcpupin: there is no virtual CPU {number}; they are numbered from 0 to {count - 1}. Those"
                " that may come while it runs count too (max_vcpus)."
            )


def metadata_changes(node: t.Any, wanted: Wanted) -> list[Change]:
    return METADATA.compare(node, wanted.get("metadata", {}), "metadata.")


def machine_type(wanted: str, current: str | None, aliases: t.Mapping[str, str]) -> str:
    """libvirt's own name of a machine type. An alias like ``q35`` asks for a kind: a machine keeps the version that it
    was made with, also where a newer one is the alias's by now, or its hardware would change under it."""
    canonical = aliases.get(wanted, wanted)
    if wanted in aliases and current is not None and _VERSION.sub("", current) == _VERSION.sub("", canonical):
        return current
    return canonical


def managed(node: t.Any) -> bool:
    """Whether the domain carries our metadata element."""
    return xmltree.read(node, "metadata/archipel:machine?") is not None
