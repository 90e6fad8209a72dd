# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a machine's board can, its clock, and what happens at its end: keys are virt-install's."""

from __future__ import annotations

import re
import typing as t

from .elements import ON_OFF, Attribute
from .errors import InvalidDefinition
from .groups import Group, Values

_KVM: t.Final = (("hidden", "Whether the guest does not see that it runs on KVM."),
                 ("poll-control", "Whether the guest's polling for idle CPUs can be controlled."))  # fmt: skip
_HYPERV: t.Final = (
    ("relaxed", "Hyper-V: relaxed constraints on timers."),
    ("vapic", "Hyper-V: virtual APIC."),
    ("vpindex", "Hyper-V: index of the virtual processor."),
    ("runtime", "Hyper-V: time that a processor spent running."),
    ("synic", "Hyper-V: synthetic interrupt controller."),
    ("stimer", "Hyper-V: synthetic timers."),
    ("reset", "Hyper-V: reset of the machine."),
    ("frequencies", "Hyper-V: frequencies in registers."),
    ("reenlightenment", "Hyper-V: notice of a changed TSC after a migration."),
    ("tlbflush", "Hyper-V: flush of other processors' TLBs."),
    ("ipi", "Hyper-V: interrupts between processors."),
    ("evmcs", "Hyper-V: enlightened VMCS for nested machines."),
)


def _state(name: str, help: str) -> Attribute:
    return Attribute(re.sub("[/-]", "_", name), f"{name}/@state", help, bool, words=ON_OFF)


FEATURES: t.Final = Group(
    "features",
    (
        Attribute("acpi", "acpi?", "ACPI, which a request to shut down needs.", bool),
        Attribute("apic", "apic?", "Programmable interrupt controller.", bool),
        Attribute("pae", "pae?", "Addresses of 36 bits for guests of 32 bits.", bool),
        _state("pmu", "Performance counters for the guest."),
        _state("smm", "System management mode, which secure boot needs; libvirt turns it on where it does."),
        _state("vmport", "VMware's I/O port."),
        _state("vmcoreinfo", "Details for dumps of the guest's kernel."),
        _state("pvspinlock", "Paravirtual spin locks."),
        *(_state(f"kvm/{name}", text) for name, text in _KVM),
        *(_state(f"hyperv/{name}", text) for name, text in _HYPERV),
        Attribute("hyperv_spinlocks", "hyperv/spinlocks/@retries", "Hyper-V: tries for a spin lock before the host is"
                  " told, at least 4095.", int, beside=(("hyperv/spinlocks/@state", "on"),), minimum=4095),
        Attribute("hyperv_vendor_id", "hyperv/vendor_id/@value", "Hyper-V: name of the hypervisor, at most 12"
                  " characters.", beside=(("hyperv/vendor_id/@state", "on"),), whole=True, examples=("one", "two")),
    ),
    path="features",
    help="What the machine's board can.",
)  # fmt: skip


def _check_clock(clock: Values, where: str) -> None:
    if "timezone" in clock and clock.setdefault("offset", "timezone") != "timezone":
        raise InvalidDefinition(f"{where}: a timezone goes with offset timezone, not with {clock['offset']}.")
    if clock.get("offset") == "timezone" and "timezone" not in clock:
        raise InvalidDefinition(f"{where}: offset timezone needs a timezone, for example Europe/Berlin.")


_UTC: t.Final = (("@offset", "utc"),)


def _present(timer: str, help: str) -> Attribute:
    return Attribute(f"{timer}_present", f"timer[name={timer}]/@present", help, bool, beside=_UTC)


def _tickpolicy(timer: str, help: str) -> Attribute:
    return Attribute(f"{timer}_tickpolicy", f"timer[name={timer}]/@tickpolicy", help, beside=_UTC,
                     choices=("delay", "catchup", "merge", "discard"))  # fmt: skip


CLOCK: t.Final = Group(
    "clock",
    (
        Attribute("offset", "@offset", "What the machine's clock shows when it starts.",
                  choices=("utc", "localtime", "timezone", "variable", "absolute")),
        Attribute("timezone", "@timezone", "Time zone for O(clock.offset=timezone).", beside=(("@offset", "timezone"),),
                  examples=("Europe/Berlin", "America/New_York")),
        _present("hpet", "High precision event timer."),
        _present("kvmclock", "KVM's paravirtual clock."),
        _present("hypervclock", "Hyper-V's paravirtual clock."),
        _present("tsc", "Time stamp counter."),
        _tickpolicy("pit", "What the interval timer does with ticks that the guest missed."),
        _tickpolicy("rtc", "What the real-time clock does with ticks that the guest missed."),
    ),
    path="clock",
    help="The machine's clock.",
    check=_check_clock,
)  # fmt: skip

_ENDS: t.Final = ("destroy", "restart", "preserve", "rename-restart")
EVENTS: t.Final = Group(
    "events",
    (
        Attribute("on_poweroff", "on_poweroff", "What happens when the guest turns itself off.", choices=_ENDS),
        Attribute("on_reboot", "on_reboot", "What happens when the guest reboots.", choices=_ENDS),
        Attribute("on_crash", "on_crash", "What happens when the guest crashes.",
                  choices=(*_ENDS, "coredump-destroy", "coredump-restart")),
        Attribute("on_lockfailure", "on_lockfailure", "What happens when a lock manager loses locks.",
                  choices=("poweroff", "restart", "pause", "ignore")),
    ),
    help="What happens at the machine's end.",
)  # fmt: skip

PM: t.Final = Group(
    "pm",
    (
        Attribute("suspend_to_mem", "suspend-to-mem/@enabled", "Whether the guest may suspend to memory.", bool),
        Attribute("suspend_to_disk", "suspend-to-disk/@enabled", "Whether the guest may suspend to disk.", bool),
    ),
    path="pm",
    help="The machine's power management.",
)  # fmt: skip
