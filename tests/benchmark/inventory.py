# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-inventory --list` of ten hypervisors, the plugins as they come, without cache.

The least that can be is a plugin that reads from a file what ours has listed, and adds the same hosts, variables and
groups. Direct libvirt fetches what our plugin asks libvirt for, of one hypervisor after another. `community.libvirt`
puts each machine's whole XML into its variables and makes a group of each UUID; ours has the machine's state, size,
title and address as variables, and groups by state and hypervisor.
"""

from __future__ import annotations

import contextlib
import json
import typing as t

from measure import Figure, Table, Way, compare, seconds
from stage import Stage, online

HYPERVISORS: t.Final = tuple(f"hv{number}" for number in range(1, 11))
SIZES: t.Final = (10, 100, 1000, 5000)
OURS: t.Final = "archipel.orchestrator.archipel"
THEIRS: t.Final = "community.libvirt.libvirt"


def run(stage: Stage, rounds: int) -> list[Table]:
    return [table for size in SIZES for table in _of(stage, size, rounds)]


def _of(stage: Stage, size: int, rounds: int) -> list[Table]:
    listed = Figure(f"inventory of {size} machines", "s")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(stage.server(HYPERVISORS))
        hosts, agents = {}, []
        for name in HYPERVISORS:
            each = size // len(HYPERVISORS)
            hosts[name] = stack.enter_context(stage.host(each, running=True, prefix=f"{name}-"))
            agent = stage.start_agent(hosts[name], server, stage.room(), contacts="none", name=name)
            agents.append(stack.enter_context(agent))
        online(server, len(HYPERVISORS))
        for agent in agents:
            agent.settle()
        controller = stage.controller(server)
        machines = [name for host in hosts.values() for name in host.names]
        uris = [host.uri for host in hosts.values()]

        def direct() -> list[t.Any]:
            return [
                (domain.name(), domain.UUIDString(), domain.XMLDesc(), domain.state(), domain.isPersistent(),
                 domain.autostart())
                for host in hosts.values() for domain in host.connection.listAllDomains()
            ]  # fmt: skip

        def of(name: str, measure: t.Callable[[], float], *, yardstick: bool = False) -> Way:
            return Way(name, lambda: {listed: measure()}, yardstick)

        def listing(*sources: t.Mapping[str, t.Any]) -> t.Callable[[], float]:
            return lambda: controller.inventory(machines, *sources)

        platform = listing({"plugin": OURS})
        platform()
        groups = {name: told["hosts"] for name, told in controller.listed.items() if "hosts" in told}
        known = {"hosts": controller.listed["_meta"]["hostvars"], "groups": groups}
        room = stage.room()
        memory = {"plugin": "memory"}
        for what, told in known.items():
            memory[what] = str(room / f"{what}.json")
            (room / f"{what}.json").write_text(json.dumps(told))
        return compare(
            [
                of("a plugin that adds the same from memory", listing(memory), yardstick=True),
                of("libvirt, a loop in Python", lambda: seconds(direct)),
                of(THEIRS, listing(*({"plugin": THEIRS, "uri": uri} for uri in uris)), yardstick=True),
                of("archipel, of libvirt", listing({"plugin": OURS, "uris": uris, "xmpp": False})),
                of("archipel, of the platform over XMPP", platform),
            ],
            rounds,
        )
