# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One hypervisor: all that it can be asked."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from . import xmltree
from .actions import Action, action, actions_of
from .connection import doing
from .console import Consoles
from .lifecycle import state_name
from .machine import Machine, Result
from .machines import Machines
from .networks import Networks
from .nwfilters import NwFilters


class Hypervisor(Machines, Consoles, Networks, NwFilters):
    """What it is, and the actions of each kind of thing that it has."""

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
            counts = collections.Counter(state_name(state) for _domain, state, _reason in self.states())
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


def of_machines(actions: t.Mapping[str, Action]) -> dict[str, Action]:
    """Those that a machine's own contact has too. Which machine is meant is known there."""
    found = {}
    for declared in actions.values():
        for verb in declared.of_machine:
            found[verb.name] = dataclasses.replace(
                declared,
                name=verb.name,
                entity="machine",
                help=verb.help or declared.help,
                phrases=verb.phrases,
                says=verb.says or declared.says,
                arguments=verb.arguments(declared.arguments),
                function=_of_one(declared.function, verb.given),
            )
    return found


def _of_one(function: t.Callable[..., Result], said: t.Mapping[str, t.Any]) -> t.Callable[..., Result]:
    return lambda machine, **given: function(machine.hypervisor, uuid=machine.uuid, **said, **given)


ACTIONS: t.Final = actions_of(Hypervisor, "hypervisor")
MACHINE_ACTIONS: t.Final = {**actions_of(Machine, "machine"), **of_machines(ACTIONS)}


def _version(number: int) -> str:
    """libvirt packs 9.0.0 as 9000000."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
