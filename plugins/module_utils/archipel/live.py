# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What of a machine can change while it runs, and how.

What libvirt and QEMU can do follows from the driver, the bus and the room that is left, and is decided before anything
is done. Where only the guest system knows (it has to let go of a disk, to give memory back), it is asked; when it
refuses, the change waits for the next start.
"""

from __future__ import annotations

import functools
import typing as t

from . import xmltree
from .connection import doing, libvirt
from .definition import Difference
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidRequest, Unsupported, WaitTimeout

if t.TYPE_CHECKING:
    from .machine import Machine

# Refusals, after which the configuration can still be changed. Whatever else goes wrong (a file that is not there, a
# volume that somebody else uses) would go wrong at the next start too.
REFUSALS: t.Final = (Conflict, InvalidRequest, Unsupported, WaitTimeout)
SILENT: t.Final = "nothing in the machine answers to its memory balloon yet"
PATIENCE: t.Final = 30  # seconds for a guest system that is to let something go
_VIRTUAL: t.Final = frozenset(("kvm", "qemu"))
_SIZED: t.Final = _VIRTUAL | {"test", "xen"}  # drivers that change memory and vCPUs of what runs
_BUSES: t.Final = frozenset(("virtio", "scsi", "usb"))  # QEMU plugs none of IDE, SATA, FDC, SD
_MEDIA: t.Final = frozenset(("cdrom", "floppy"))
# What virDomainUpdateDeviceFlags changes of an interface (qemuDomainChangeNet); the rest is what the guest sees.
_RATES: t.Final = {f"{way}_{what}" for way in ("inbound", "outbound") for what in ("average", "peak", "burst")}
_REWIRED: t.Final = _RATES | {"type", "network", "bridge", "portgroup", "link_state", "filterref", "filter_parameters"}
_TUNED: t.Final = frozenset(f"{what}_{unit}_sec" for what in ("total", "read", "write") for unit in ("bytes", "iops"))


class Operation(t.NamedTuple):
    """Something that can be done to the running machine, and what becomes different by it. ``run(beside)``: whether the
    configuration is to have it as well; what it does not put there itself is left to whoever defines that."""

    changes: list[Change]
    run: t.Callable[[bool], None]


class Later(t.NamedTuple):
    """What waits for the next start, and why."""

    change: Change
    why: str


class Live:
    """Sorts differences of a running machine into what can be done at once and what cannot.

    ``node`` is the machine as it runs. ``force`` opens a drive that the guest system has locked.
    """

    def __init__(self, machine: Machine, node: t.Any, *, state: str, timeout: float, force: bool = False) -> None:
        self.machine = machine
        self.node = node
        self.operations: list[Operation] = []
        self.later: list[Later] = []
        self._kind = node.get("type")
        self._state = state
        self._timeout = min(timeout, PATIENCE)
        self._force = force
        self._ports = _free_ports(node)

    def sort(self, difference: Difference) -> None:
        if not difference.key:
            self._amounts(difference)
        elif difference.key not in ("disks", "networks"):
            self._wait(difference.changes, "it is read when the machine starts")
        elif self._kind not in _VIRTUAL:
            self._wait(difference.changes, f"machines of the type {self._kind} keep their devices while they run")
        else:
            {"added": self._plug, "removed": self._unplug, "changed": self._update}[difference.fate](difference)

    def _wait(self, changes: t.Iterable[Change], why: str) -> None:
        self.later += [Later(change, why) for change in changes]

    # -- memory and CPUs

    def _amounts(self, difference: Difference) -> None:
        for change in difference.changes:
            run: t.Callable[[int], None] | None
            if change.path == "memory":
                why, run = self._memory_obstacle(change.new), self._set_memory
            elif change.path == "vcpus":
                why, run = self._vcpus_obstacle(change.old, change.new), self._set_vcpus
            else:
                why, run = "it is read when the machine starts", None
            if run is None or why:
                self._wait([change], str(why))
            else:
                self.operations.append(Operation([change], functools.partial(_leave_beside, run, change.new)))

    def _memory_obstacle(self, wanted: int) -> str | None:
        most = int(xmltree.read(self.node, "memory") or 0) // 1024
        if wanted > most:
            return f"the machine was started with at most {most} MiB"
        if self._kind not in _SIZED:
            return f"machines of the type {self._kind} keep their memory while they run"
        if self._kind in _VIRTUAL:
            if xmltree.read(self.node, "devices/memballoon/@model") in (None, "none"):
                return "the machine has no memory balloon"
            with doing(f"Look at the memory of {self.machine.name}"):
                # The time at which the balloon's driver in the guest last said anything.
                if not self.machine.domain.memoryStats().get("last_update"):
                    return SILENT
        return None

    def _set_memory(self, amount: int) -> None:
        machine = self.machine
        with machine.hypervisor.connection.watch(machine.domain, libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE) as watch:
            with doing(f"Set the memory of {machine.name}"):
                machine.domain.setMemoryFlags(amount * 1024, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            watch.until(
                lambda: int(xmltree.read(machine.document(), "currentMemory") or 0) // 1024 == amount,
                self._timeout,
                otherwise=f"The guest system of {machine.name} did not come to {amount} MiB.",
            )

    def _vcpus_obstacle(self, old: int, wanted: int) -> str | None:
        most = int(xmltree.read(self.node, "vcpu") or 1)
        if wanted > most:
            return f"the machine was started with at most {most} vCPUs"
        if self._kind not in _SIZED:
            return f"machines of the type {self._kind} keep their vCPUs while they run"
        if self._kind in _VIRTUAL and wanted < old:
            # The guest system has to let go of them; few do, and emulated machines (TCG of QEMU 7.2) die of it.
            return "vCPUs are not taken out of a machine that runs"
        return None

    def _set_vcpus(self, amount: int) -> None:
        with doing(f"Set the vCPUs of {self.machine.name}"):
            self.machine.domain.setVcpusFlags(amount, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    # -- devices

    def _plug(self, difference: Difference) -> None:
        why = self._no_plug(difference.node)
        if why:
            self._wait(difference.changes, why)
            return

        def run(beside: bool) -> None:
            flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | (libvirt.VIR_DOMAIN_AFFECT_CONFIG if beside else 0)
            with doing(f"Plug {difference.changes[0].path} into {self.machine.name}"):
                self.machine.domain.attachDeviceFlags(xmltree.serialise(difference.node), flags)

        self.operations.append(Operation(difference.changes, run))

    def _no_plug(self, device: t.Any) -> str | None:
        """Why a device cannot be plugged in; where it can, its port is taken."""
        bus = xmltree.read(device, "target/@bus") if device.tag == "disk" else "pci"
        if device.tag == "disk":
            if bus not in _BUSES:
                return f"QEMU plugs no disks of the bus {bus} into what runs"
            if device.get("device") in _MEDIA and bus == "virtio":
                return "there is no such drive"
            if bus == "usb" and self.node.find("devices/controller[@type='usb']") is None:
                return "the machine has no USB controller"
            if bus == "scsi" and self.node.find("devices/controller[@type='scsi']") is None:
                return "the machine has no SCSI controller"  # the one that libvirt would add fits into no PCIe port
        if bus in ("usb", "scsi"):
            return None
        if not self._ports:
            return "the machine has no PCIe port left to plug into"
        self._ports -= 1
        return None

    def _unplug(self, difference: Difference) -> None:
        device = difference.node
        bus = xmltree.read(device, "target/@bus")
        if device.tag == "disk" and bus not in _BUSES:
            self._wait(difference.changes, f"QEMU takes no disks of the bus {bus} out of what runs")
            return
        if self._state == "paused":
            self._wait(difference.changes, "a paused guest system cannot let it go")
            return
        path = difference.changes[0].path
        self.operations.append(Operation(difference.changes, lambda _beside: self._pull(device, path)))

    def _pull(self, device: t.Any, path: str) -> None:
        machine, domain = self.machine, self.machine.domain
        alias = xmltree.read(device, "alias/@name")
        removed = libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED
        with machine.hypervisor.connection.watch(domain, removed) as watch:
            with doing(f"Take {path} out of {machine.name}"):
                domain.detachDeviceFlags(xmltree.serialise(device), libvirt.VIR_DOMAIN_AFFECT_LIVE)
            watch.until(
                lambda: alias not in xmltree.read_all(machine.document(), f"devices/{device.tag}/alias/@name"),
                self._timeout,
                otherwise=f"The guest system of {machine.name} did not let go of {path}.",
            )

    def _update(self, difference: Difference) -> None:
        device = difference.node
        changed = {difference.named(change): change for change in difference.changes}
        tuned = {key: changed.pop(key) for key in _TUNED & changed.keys() if device.tag == "disk"}
        medium = device.tag == "disk" and device.get("device") in _MEDIA
        possible = {"path"} if medium else _REWIRED if device.tag == "interface" else frozenset()
        now = [change for key, change in changed.items() if key in possible]
        if tuned:
            rates = {key: change.new for key, change in tuned.items()}
            target = difference.label
            self.operations.append(Operation(list(tuned.values()), lambda _beside: self._tune(target, rates)))
        if now:
            self.operations.append(Operation(now, lambda _beside: self._change(difference, possible)))
        self._wait([c for c in changed.values() if c not in now], "the guest system sees it as it was at the start")

    def _tune(self, target: str, rates: dict[str, int]) -> None:
        with doing(f"Limit {target} of {self.machine.name}"):
            self.machine.domain.setBlockIoTune(target, rates, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def _change(self, difference: Difference, possible: t.Collection[str]) -> None:
        difference.write(only=possible)
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | (libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE if self._force else 0)
        try:
            with doing(f"Change {difference.changes[0].path} of {self.machine.name}"):
                self.machine.domain.updateDeviceFlags(xmltree.serialise(difference.node), flags)
        except ArchipelError as error:
            if "tray" in error.message and not self._force:
                error.message += " The guest system has locked the drive; force: true opens it all the same."
            raise


def _leave_beside(run: t.Callable[[int], None], amount: int, beside: bool) -> None:
    """Change what runs alone."""
    del beside
    run(amount)


def _free_ports(node: t.Any) -> int:
    """Places to plug a PCI device into. A conventional bus has 31, more than anybody fills; a PCIe root port has one,
    and what sits on the root itself cannot be plugged."""
    if node.find("devices/controller[@model='pcie-root']") is None:
        return 31
    ports = {int(c.get("index")) for c in node.iterfind("devices/controller[@model='pcie-root-port']")}
    taken = {int(a.get("bus"), 16) for a in node.iterfind("devices/*/address[@type='pci']")}
    return len(ports - taken)
