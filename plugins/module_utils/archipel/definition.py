# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's definition: what a person may say about it, and libvirt's domain XML."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from . import disks, interfaces, xmltree
from .disks import DISK
from .elements import Attribute, Change, Element, refuse_unknown
from .errors import InvalidDefinition
from .interfaces import INTERFACE


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


DOMAIN = Element(
    "domain",
    (
        Attribute("type", "@type",
                  "Hypervisor type, for example V(kvm), V(qemu), V(test). By default the best that the host has."),
        Amount("memory", "currentMemory", "Memory in MiB. Within O(max_memory) it changes while the machine runs.",
               int, unit="MiB", minimum=1, maximum="memory"),
        Maximum("max_memory", "memory", "The most memory in MiB that the machine can be given while it runs. By default"
                " what O(memory) says.", int, unit="MiB", minimum=1, amount="currentMemory"),
        Amount("vcpus", "vcpu/@current", "Number of virtual CPUs. Within O(max_vcpus) it grows while the machine runs.",
               int, minimum=1, maximum="vcpu", forgets="vcpus"),
        Maximum("max_vcpus", "vcpu", "The most virtual CPUs that the machine can be given while it runs. By default"
                " what O(vcpus) says.", int, minimum=1, amount="vcpu/@current"),
        Attribute("arch", "os/type/@arch", "Architecture, by default the host's."),
        Attribute("machine", "os/type/@machine", "Machine type, for example V(q35)."),
    ),
)  # fmt: skip

CPU = Element(
    "cpu",
    (
        Attribute("mode", "cpu/@mode", "How the CPU is chosen.",
                  choices=("custom", "host-model", "host-passthrough", "maximum")),
        Attribute("model", "cpu/model", "Name of the CPU model for O(cpu.mode=custom)."),
    ),
)  # fmt: skip

BOOT = Element(
    "boot",
    (
        Attribute("kernel", "os/kernel", "Kernel on the hypervisor to boot directly."),
        Attribute("initrd", "os/initrd", "Initial RAM disk for O(boot.kernel)."),
        Attribute("kernel_args", "os/cmdline", "Command line for O(boot.kernel)."),
        Attribute("devices", "os/boot/@dev", "Devices to boot from, in order: V(hd), V(cdrom), V(network), V(fd).",
                  list, choices=("hd", "cdrom", "network", "fd")),
    ),
)  # fmt: skip

METADATA = Element(
    "metadata",
    (
        Attribute("title", "title", "A short title, one line."),
        Attribute("description", "description", "A description."),
        Attribute("location", "metadata/archipel:machine/archipel:location",
                  "Where the machine belongs, in words of one's own."),
    ),
)  # fmt: skip

# Groups of attributes under one key. They stand at the domain's own node, so their paths begin there.
GROUPS: t.Final = {"cpu": (CPU, "The virtual CPU."),
                   "boot": (BOOT, "How the machine boots."),
                   "metadata": (METADATA, "What people say about the machine. Applied to a running machine at once."),
                   }  # fmt: skip
LISTS: t.Final = {"disks": (DISK, "devices/disk", "Disks and media. Disks that are not named are left alone."),
                  "networks": (INTERFACE, "devices/interface",
                               "Network interfaces. Interfaces that are not named are left alone.")}  # fmt: skip


def _options() -> dict[str, dict[str, t.Any]]:
    options = DOMAIN.options()
    for key, (group, text) in GROUPS.items():
        options[key] = {"type": "dict", "help": text, "options": group.options()}
    for key, (element, _path, text) in LISTS.items():
        options[key] = {"type": "list", "elements": "dict", "help": text, "options": element.options()}
    return options


OPTIONS: t.Final = _options()


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
        plain = {key: untrusted[key] for key in untrusted if key not in GROUPS and key not in LISTS}
        values = DOMAIN.bind(plain, "")
        for key, (group, _text) in GROUPS.items():
            if untrusted.get(key) is not None:
                values[key] = group.bind(untrusted[key], key)
        for key, (element, _path, _text) in LISTS.items():
            if untrusted.get(key) is not None:
                if not isinstance(untrusted[key], (list, tuple)):
                    raise InvalidDefinition(f"{key}: a list is needed.")
                values[key] = [element.bind(item, f"{key}[{i}]") for i, item in enumerate(untrusted[key])]
        if "model" in values.get("cpu", {}) and values["cpu"].setdefault("mode", "custom") != "custom":
            raise InvalidDefinition(f"cpu: mode {values['cpu']['mode']} chooses the model itself; leave model out.")
        for key in ("memory", "vcpus"):
            if values.get(key, 0) > values.get(f"max_{key}", values.get(key, 0)):
                raise InvalidDefinition(f"{key}: {values[key]} is more than max_{key}, {values[f'max_{key}']}.")
        if "devices" in values.get("boot", {}) and _ordered(values):
            raise InvalidDefinition("boot.devices and boot_order give two orders; use one of them.")
        if "\n" in values.get("metadata", {}).get("title", "").strip():
            raise InvalidDefinition("metadata.title: a title is one line.")
        for key in ("kernel", "initrd"):
            if values.get("boot", {}).get(key, "/")[:1] not in ("", "/"):
                raise InvalidDefinition(f"boot.{key}: {values['boot'][key]!r} must be absolute.")
        for i, disk in enumerate(values.get("disks", ())):
            disks.check(disk, f"disks[{i}]")
        for i, interface in enumerate(values.get("networks", ())):
            interfaces.check(interface, f"networks[{i}]")
        return cls(values)

    def __bool__(self) -> bool:
        return bool(self.values)


_VERSION: t.Final = re.compile(r"-(rhel)?\d[\w.]*$")  # pc-q35-7.2, pc-q35-rhel9.2.0
NOTHING: t.Final = Definition({})


def read(node: t.Any) -> dict[str, t.Any]:
    """A domain's XML in the words of OPTIONS; what it does not say is None."""
    values = DOMAIN.read(node)
    for key, (group, _text) in GROUPS.items():
        values[key] = group.read(node)
    for key, (element, path, _text) in LISTS.items():
        values[key] = [element.read(item) for item in node.findall(path)]
    return values


def new(name: str, uuid: str | None, defaults: t.Mapping[str, t.Any]) -> t.Any:
    """The domain that every new machine begins as. ``defaults``: type, arch and machine of this host."""
    node = xmltree.element("domain")
    xmltree.write(node, "name", name)
    if uuid:
        xmltree.write(node, "uuid", uuid)
    xmltree.write(node, "os/type", "hvm")
    xmltree.write(node, "vcpu", "1")
    DOMAIN.write(node, defaults)
    if defaults.get("arch") in ("x86_64", "i686"):
        xmltree.write(node, "features/acpi?", "")
        xmltree.write(node, "features/apic?", "")
    xmltree.write(node, "metadata/archipel:machine?", "")
    if defaults["type"] != "test":
        # Without a console a machine that boots wrongly tells nobody.
        xmltree.write(node, "devices/console/@type", "pty")
    return node


@dataclasses.dataclass
class Difference:
    """What has to become of one part of a domain: of the domain itself (no ``key``), of a group, or of a device.

    ``node`` is where it stands, or the new device; ``label`` tells a device from others of its list, ``index`` is its
    place in the task's list. Nothing is written before ``write``.
    """

    key: str
    element: Element
    node: t.Any
    changes: list[Change]
    wanted: t.Mapping[str, t.Any]
    fate: t.Literal["changed", "added", "removed"] = "changed"
    label: t.Any = None
    index: int | None = None
    holder: t.Any = None

    def named(self, change: Change) -> str:
        """The key of an attribute that changes."""
        return change.path.rpartition(".")[2]

    def write(self, only: t.Collection[str] | None = None) -> None:
        """Bring the XML to what is wanted; of a part that is there, of these attributes alone."""
        if self.fate == "added":
            self.holder.append(self.node)
        elif self.fate == "removed":
            self.node.getparent().remove(self.node)
        else:
            changed = {self.named(change) for change in self.changes}
            if self.key == "cpu" and "mode" in changed:
                _forget_cpu(self.node)
            # Of the domain all that is named, as a size and its maximum are written together.
            keys = changed if self.key else set(self.wanted)
            self.element.write(self.node, {k: self.wanted[k] for k in keys if only is None or k in only})


def compare(
    node: t.Any,
    wanted: t.Mapping[str, t.Any],
    *,
    gone: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]] | None = None,
    complete: t.Collection[str] = (),
) -> list[Difference]:
    """Where a domain's XML is not as wanted. ``wanted`` is a Definition's values, its disks with their paths resolved;
    the metadata is left to whoever can change it live.

    ``gone`` are devices that are not to be there; of the lists in ``complete`` none may be there that is not wanted.
    """
    plain = {key: value for key, value in wanted.items() if key not in GROUPS and key not in LISTS}
    found = [Difference("", DOMAIN, node, DOMAIN.compare(node, plain), plain)]
    for key, (group, _text) in GROUPS.items():
        if key != "metadata":
            named = wanted.get(key, {})
            found.append(Difference(key, group, node, group.compare(node, named, f"{key}."), named))
    for key in LISTS:
        found += _compare_list(node, key, wanted.get(key, ()), (gone or {}).get(key, ()), complete=key in complete)
    return [difference for difference in found if difference.changes]


def apply(node: t.Any, wanted: t.Mapping[str, t.Any], **more: t.Any) -> list[Change]:
    """Bring a domain's XML to what is wanted, and tell what differed."""
    differences = compare(node, wanted, **more)
    for difference in differences:
        difference.write()
    _order_boot(node, wanted)
    return [change for difference in differences for change in difference.changes]


def _ordered(values: t.Mapping[str, t.Any]) -> bool:
    """Whether devices have a place in the order of boot devices."""
    return any("boot_order" in item for key in LISTS for item in values.get(key, ()))


def _order_boot(node: t.Any, wanted: t.Mapping[str, t.Any]) -> None:
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


def _forget_cpu(node: t.Any) -> None:
    """Take away what goes with one way of choosing a CPU only; topology and NUMA cells stay."""
    cpu = xmltree.write(node, "cpu?", "")
    for name in ("match", "check", "migratable"):
        xmltree.write(cpu, f"@{name}", None)
    for tag in ("model", "vendor", "feature"):
        for child in cpu.findall(tag):
            cpu.remove(child)


def _compare_list(
    node: t.Any,
    key: str,
    wanted: t.Sequence[t.Mapping[str, t.Any]],
    gone: t.Sequence[t.Mapping[str, t.Any]],
    *,
    complete: bool,
) -> list[Difference]:
    element, path, _text = LISTS[key]
    virtual = node.get("type") in ("kvm", "qemu", "hvf")
    devices = xmltree.write(node, "devices?", "")
    left = node.findall(path)
    taken = [target for target in (xmltree.read(disk, "target/@dev") for disk in left) if target]
    differences = []
    pair = disks.pair if key == "disks" else interfaces.pair
    for i, (item, found) in enumerate(zip(wanted, pair(left, wanted))):
        if found is not None:
            left.remove(found)
            label = xmltree.read(found, "target/@dev") if key == "disks" else i
            changes = element.compare(found, item, f"{key}[{label}].")
            differences.append(Difference(key, element, found, changes, item, label=label, index=i))
            continue
        if key == "disks":
            made = disks.make(item, taken, virtual=virtual)
            label = xmltree.read(made, "target/@dev")
            taken.append(label)
        else:
            made, label = interfaces.make(item, virtual=virtual), i
        added = Change(f"{key}[{label}]", None, {k: item[k] for k in element.options() if k in item})
        differences.append(Difference(key, element, made, [added], item, "added", label, i, devices))
    for found in left if complete else [n for n in pair(left, gone) if n is not None]:
        label = xmltree.read(found, "target/@dev" if key == "disks" else "mac/@address")
        old = {k: value for k, value in element.read(found).items() if value not in (None, False)}
        removed = Change(f"{key}[{label}]", old, None)
        differences.append(Difference(key, element, found, [removed], {}, "removed", label, None, devices))
    return differences


def metadata_changes(node: t.Any, wanted: t.Mapping[str, t.Any]) -> list[Change]:
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
