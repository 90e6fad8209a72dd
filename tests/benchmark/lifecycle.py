# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines are started, then stopped, one after another, as a task does that loops over their names.

For each item a module is sent, started and thrown away; `via: xmpp` nothing is, since the controller keeps one stream
to the platform. What the core takes longer than libvirt alone is reading the definition to compare it, and waiting for
the event that says it has happened.
"""

from __future__ import annotations

import subprocess
import typing as t

from archipel.connection import Connection
from archipel.hypervisor import Hypervisor
from measure import Figure, Table, Way, compare, seconds
from stage import NAME, Stage

MACHINES: t.Final = 100
START: t.Final = Figure(f"{MACHINES} machines started", "s")
STOP: t.Final = Figure(f"{MACHINES} machines stopped", "s")

Work = t.Callable[[], float]


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES) as host,
        stage.server() as server,
        stage.agent(host, server),
        Connection(host.uri) as connection,
    ):
        controller = stage.controller(server)
        core = Hypervisor(connection)
        lookup = host.connection.lookupByName

        def way(name: str, start: Work, stop: Work, *, yardstick: bool = False) -> Way:
            def run() -> dict[Figure, float]:
                found = {}
                for figure, work, running in ((START, start, MACHINES), (STOP, stop, 0)):
                    found[figure] = work()
                    if host.connection.numOfDomains() != running:
                        raise RuntimeError(f"{figure.what}: not so by {name}.")
                return found

            return Way(name, run, yardstick)

        def each(work: t.Callable[[str], t.Any]) -> Work:
            return lambda: seconds(lambda: [work(name) for name in host.names])

        def virsh(verb: str) -> Work:
            command = ["virsh", "-q", "-c", host.uri, verb]
            return each(lambda name: subprocess.run([*command, name], check=True, stdout=subprocess.DEVNULL))

        def play(module: str, state: str, **arguments: t.Any) -> Work:
            wanted = {"name": "{{ item }}", "state": state, **arguments}
            return lambda: controller.task(module, wanted, host.names)

        def tasks(name: str, module: str, *, yardstick: bool = False, **arguments: t.Any) -> Way:
            running, destroyed = (play(module, state, **arguments) for state in ("running", "destroyed"))
            return way(name, running, destroyed, yardstick=yardstick)

        ours = "archipel.orchestrator.vm"
        return compare(
            [
                way(
                    "libvirt, a loop in Python",
                    each(lambda name: lookup(name).create()),
                    each(lambda name: lookup(name).destroy()),
                    yardstick=True,
                ),
                way("virsh, a process for each", virsh("start"), virsh("destroy")),
                tasks("community.libvirt.virt", "community.libvirt.virt", uri=host.uri, yardstick=True),
                way(
                    "archipel's core, a loop in Python",
                    each(lambda name: core.vm(name=name, state="running")),
                    each(lambda name: core.vm(name=name, state="destroyed")),
                ),
                tasks("vm, via libvirt", ours, uri=host.uri),
                tasks("vm, via xmpp", ours, via="xmpp", hypervisor=NAME),
            ],
            rounds,
        )
