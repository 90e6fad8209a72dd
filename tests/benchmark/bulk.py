# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All machines of a hypervisor are started by one `vm_bulk` task.

Beside it, a loop in Python with four threads that asks libvirt for the same and looks at nothing, and of a hundred
machines a loop over `community.libvirt.virt`. `vm_bulk` looks up each machine, compares, waits until it has happened
and tells of each. The agent also writes an event and an item of its index for each; that goes on beside it and is not
waited for.
"""

from __future__ import annotations

import concurrent.futures
import typing as t

from measure import Figure, Table, Way, compare, seconds
from stage import NAME, Stage

SIZES: t.Final = (10, 100, 1000)
LOOPED: t.Final = 100
THREADS: t.Final = 4


def run(stage: Stage, rounds: int) -> list[Table]:
    return [table for size in SIZES for table in _of(stage, size, rounds)]


def _of(stage: Stage, size: int, rounds: int) -> list[Table]:
    started, each = Figure(f"{size} machines started", "s"), Figure(f"each of {size} machines", "ms")
    with stage.host(size) as host, stage.server() as server, stage.agent(host, server) as agent:
        controller = stage.controller(server)
        lookup = host.connection.lookupByName

        def threads() -> None:
            with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(lambda name: lookup(name).create(), host.names))

        def way(name: str, work: t.Callable[[], float], *, yardstick: bool = False) -> Way:
            def measure() -> dict[Figure, float]:
                took = work()
                host.expect(size, by=name)
                host.stop()
                # What the agent still has to write is not to slow down the next way.
                agent.settle()
                return {started: took, each: took / size * 1000}

            return Way(name, measure, yardstick)

        def bulk(**arguments: t.Any) -> t.Callable[[], float]:
            wanted = {"machines": ["*"], "state": "running", **arguments}
            return lambda: controller.task("archipel.orchestrator.vm_bulk", wanted)

        def loop() -> float:
            wanted = {"name": "{{ item }}", "state": "running", "uri": host.uri}
            return controller.task("community.libvirt.virt", wanted, host.names)

        ways = [
            way(f"libvirt, {THREADS} threads in Python", lambda: seconds(threads), yardstick=True),
            way("vm_bulk, via libvirt", bulk(uri=host.uri)),
            way("vm_bulk, via xmpp", bulk(via="xmpp", hypervisor=NAME)),
        ]
        if size == LOOPED:
            ways.append(way("community.libvirt.virt, a loop", loop, yardstick=True))
        return compare(ways, rounds)
