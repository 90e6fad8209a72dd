# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's virtual CPUs, and how they are laid on the host's: keys are virt-install's."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from . import xmltree
from .elements import Attribute, Map
from .errors import InvalidDefinition
from .groups import Group, Values

_RANGE: t.Final = re.compile(r"(\^?)(\d+)(?:-(\d+))?")
# libvirt wants all of a topology where a part is given.
_TOPOLOGY: t.Final = tuple((f"topology/@{part}", "1") for part in ("sockets", "cores", "threads"))
_POLICIES: t.Final = ("force", "require", "optional", "disable", "forbid")
_MEMORY_MODES: t.Final = ("strict", "preferred", "interleave", "restrictive")


def _check(cpu: Values, where: str) -> None:
    if "model" in cpu and cpu.setdefault("mode", "custom") != "custom":
        raise InvalidDefinition(f"{where}: mode {cpu['mode']} chooses the model itself; leave model out.")


def _forget(cpu: t.Any, changed: t.Collection[str]) -> None:
    """Take away what goes with one way of choosing a CPU only; topology and NUMA cells stay."""
    if "mode" not in changed:
        return
    for name in ("match", "check", "migratable"):
        xmltree.write(cpu, f"@{name}", None)
    for tag in ("model", "vendor", "feature"):
        for child in cpu.findall(tag):
            cpu.remove(child)


def _numbers(written: str) -> t.Any:
    """Which ones ``0-3,^2`` means; the text itself where it is no such list."""
    found: set[int] = set()
    for part in written.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            return written
        numbers = range(int(match[2]), int(match[3] or match[2]) + 1)
        found = found.difference(numbers) if match[1] else found.union(numbers)
    return found


@dataclasses.dataclass(frozen=True)
class Numbers(Attribute):
    """CPUs or nodes of the host; libvirt writes them in a form of its own."""

    def same(self, old: t.Any, new: t.Any) -> bool:
        return _numbers(old or "") == _numbers(new)


@dataclasses.dataclass(frozen=True)
class Pins(Map):
    """Things by number, each with CPUs of the host."""

    value: str = "@cpuset"

    def same(self, old: t.Any, new: t.Any) -> bool:
        there = self.shown(old, new)
        return all(_numbers(there[name]) == _numbers(new[name]) for name in new)


CPU: t.Final = Group(
    "cpu",
    (
        Attribute("mode", "@mode", "How the CPU is chosen.", offered="cpu/mode",
                  choices=("custom", "host-model", "host-passthrough", "maximum")),
        Attribute("model", "model", "Name of the CPU model for O(cpu.mode=custom).", offered="cpu/model",
                  examples=("qemu64", "EPYC")),
        Attribute("check", "@check", "How strictly the CPU is checked before the machine starts.",
                  choices=("none", "partial", "full")),
        Attribute("migratable", "@migratable", "Whether features that prevent a migration are left out, with"
                  " O(cpu.mode=host-passthrough) or O(cpu.mode=maximum).", bool, words=("on", "off")),
        Attribute("sockets", "topology/@sockets", "CPU sockets. What is not given of the topology is 1.", int,
                  beside=_TOPOLOGY, minimum=1),
        Attribute("dies", "topology/@dies", "Dies of each socket.", int, beside=_TOPOLOGY, minimum=1),
        Attribute("cores", "topology/@cores", "Cores of each die.", int, beside=_TOPOLOGY, minimum=1),
        Attribute("threads", "topology/@threads", "Threads of each core.", int, beside=_TOPOLOGY, minimum=1),
        Map("features", "feature", "Features of the CPU, each with its policy.", value="@policy", choices=_POLICIES,
            examples=({"vmx": "disable"}, {"vmx": "require", "aes": "require"})),
    ),
    path="cpu",
    help="The virtual CPU.",
    check=_check,
    forget=_forget,
)  # fmt: skip


def _share(prefix: str, whose: str) -> tuple[Attribute, ...]:
    return (
        Attribute(f"{prefix}period", f"{prefix}period", f"Microseconds after which {whose} may run again.", int,
                  minimum=1000),
        Attribute(f"{prefix}quota", f"{prefix}quota", f"Microseconds of each period that {whose} may run; -1 for all.",
                  int, examples=(10000, 20000)),
    )  # fmt: skip


CPUTUNE: t.Final = Group(
    "cputune",
    (
        Attribute("shares", "shares", "Weight against other machines where CPUs are short.", int, minimum=1),
        *_share("", "each virtual CPU"),
        *_share("global_", "the whole machine"),
        *_share("emulator_", "the emulator"),
        *_share("iothread_", "each I/O thread"),
        Numbers("emulator_cpuset", "emulatorpin/@cpuset", "CPUs of the host for the emulator.",
                examples=("0-1", "1,^3")),
        Pins("vcpupin", "vcpupin", "Virtual CPUs, by number, each with the CPUs of the host for it.", name="@vcpu",
             examples=({"0": "0"}, {"0": "0-1", "1": "0-1"})),
        Pins("iothreadpin", "iothreadpin", "I/O threads, by number, each with the CPUs of the host for it.",
             name="@iothread", examples=({"1": "0"}, {"1": "0-1", "2": "0-1"})),
    ),
    path="cputune",
    help="How much of the host's CPUs the machine gets.",
)  # fmt: skip


def _forget_nodes(numatune: t.Any, changed: t.Collection[str]) -> None:
    """numad chooses among all nodes."""
    if "placement" in changed:
        xmltree.write(numatune, "memory/@nodeset", None)


NUMATUNE: t.Final = Group(
    "numatune",
    (
        Attribute("mode", "memory/@mode", "How memory is taken from the host's NUMA nodes.", choices=_MEMORY_MODES),
        Numbers("nodeset", "memory/@nodeset", "NUMA nodes of the host to take memory from.", examples=("0", "0-1")),
        Attribute("placement", "memory/@placement", "Whether the nodes are those of O(numatune.nodeset), or numad"
                  " chooses.", choices=("static", "auto"), unsaid="static"),
    ),
    path="numatune",
    forget=_forget_nodes,
    help="Which of the host's NUMA nodes the machine's memory is on.",
)  # fmt: skip
