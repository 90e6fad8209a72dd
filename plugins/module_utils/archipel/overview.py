# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a hypervisor tells of itself."""

from __future__ import annotations

import collections
import typing as t

from . import xmltree
from .actions import Phrase, Result, action
from .connection import doing
from .health import examine, past
from .host import Host
from .lifecycle import state_name
from .size import about

_UNITS: t.Final = ((86400, "days"), (3600, "hours"), (60, "minutes"))


class Overview(Host):
    """What a hypervisor is, how many machines it has, and how it is doing."""

    @action(
        permission="view",
        changes=False,
        concerns="hypervisor",
        phrases=(
            *("how are you", "state", "status", "info", "what are you", "who are you", "describe yourself"),
            Phrase("health", {"health": True}),
            Phrase("load", {"health": True}, lambda r: _load(r["hypervisor"]["health"])),
            Phrase("uptime", {"health": True}, lambda r: _uptime(r["hypervisor"]["health"])),
            Phrase("how long are you up", {"health": True}, lambda r: _uptime(r["hypervisor"]["health"])),
            Phrase("memory", {"health": True}, lambda r: _memory(r["hypervisor"])),
            Phrase("cpu", {}, lambda r: _processors(r["hypervisor"])),
            Phrase("cpus", {}, lambda r: _processors(r["hypervisor"])),
        ),
        says=lambda r: _sentence(r["hypervisor"]),
    )
    def hypervisor_info(
        self,
        *,
        health: t.Annotated[
            bool, "Tell also how it is doing: CPU, memory, swap, load, room, uptime. Takes half a second."
        ] = False,
        vms: t.Annotated[
            t.Optional[list[str]],
            "Names or patterns of machines that are on, to tell what they use too. Takes half a second, and QEMU 4 ms a"
            " machine.",
        ] = None,
        history: t.Annotated[
            t.Optional[int],
            "Tell also what was measured in the last so many minutes, up to a week. The agent keeps it: half a minute"
            " apart for an hour, then ten minutes.",
        ] = None,
    ) -> Result:
        """Tell what this hypervisor is, how many machines it has, and how it is doing."""
        asked = health or vms is not None or history is not None
        present, past, usages = self._health(vms, history) if asked else (None, None, None)
        described = {**self._described(), "health": present, "history": past}
        return {"changed": False, "hypervisor": described, "vms": usages}

    def _health(
        self, patterns: list[str] | None, minutes: int | None
    ) -> tuple[Result, list[Result] | None, list[Result] | None]:
        """Of the host now and in the past, and of machines."""
        entries = None if minutes is None else past(self.record, minutes)
        present, usages = examine(self, patterns or ())
        for usage in usages:
            usage["history"] = entries and [e.of(usage["uuid"]) for e in entries if usage["uuid"] in e.vms]
        told = None if entries is None else [entry.of_host() for entry in entries]
        return present, told, None if patterns is None else usages

    def _described(self) -> Result:
        handle = self.connection.handle
        with doing(f"Look at {self.name}"):
            model, memory, cpus, mhz, _nodes, sockets, cores, threads = handle.getInfo()
            counts = collections.Counter(state_name(state) for _domain, state, _reason in self.states())
            return {
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
                "site": self.label and self.label.site,
                "coordinates": self.label and self.label.coordinates,
                "maintenance": self.label and self.label.maintenance,
                "tags": self.label and list(self.label.tags),
                "machines": {"total": sum(counts.values()), **counts},
            }


def _sentence(told: t.Mapping[str, t.Any]) -> str:
    """What it says of itself."""
    running = told["machines"].get("running", 0)
    said = (
        "I am {name}, a {type} hypervisor with {cpus} CPUs and {size} of memory. Of my {machines[total]} machines"
        " {running} are running.".format(running=running, size=about(told["memory"] << 20), **told)
    )
    if told["health"]:
        said += f" {_load(told['health'])} {_memory(told)} {_uptime(told['health'])}"
    return said


def _processors(told: t.Mapping[str, t.Any]) -> str:
    return "I have {cpus} CPUs: {sockets} × {cores} cores of {threads} threads, {arch}.".format(**told)


def _load(health: t.Mapping[str, t.Any]) -> str:
    known = [] if health["cpu"] is None else [f"My CPUs are busy for {health['cpu']:.0f} %."]
    known += ["My load is {} {} {}.".format(*health["load"])] if health["load"] else []
    return " ".join(known) or "I do not know how busy my CPUs are."


def _memory(told: t.Mapping[str, t.Any]) -> str:
    used = told["health"]["memory_used"]
    known = "" if used is None else f", of which {about(used << 20)} are used"
    return f"I have {about(told['memory'] << 20)} of memory{known}."


def _uptime(health: t.Mapping[str, t.Any]) -> str:
    """The largest unit of which there are two: to people, 50 hours are 2 days, and 100 minutes are 100 minutes."""
    seconds = health["uptime"]
    if seconds is None:
        return "I cannot see from here how long I am up."
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "seconds"))
    return f"I am up for {seconds // size} {unit}."


def _version(number: int) -> str:
    """libvirt packs 9.0.0 as 9000000."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
