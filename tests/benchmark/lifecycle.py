# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines are started, then stopped, one after another: a task that loops over their names.

libvirt's test driver starts a machine at once, so all that is measured is what stands between the person and libvirt.
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


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES) as host,
        stage.server() as server,
        stage.agent(host, server),
        Connection(host.uri) as connection,
    ):
        controller = stage.controller(server)
        core = Hypervisor(connection)

        def each(start: t.Callable[[str], t.Any], stop: t.Callable[[str], t.Any]) -> dict[Figure, float]:
            return {
                START: seconds(lambda: [start(name) for name in host.names]),
                STOP: seconds(lambda: [stop(name) for name in host.names]),
            }

        def direct() -> dict[Figure, float]:
            look = host.connection.lookupByName
            return each(lambda name: look(name).create(), lambda name: look(name).destroy())

        def virsh() -> dict[Figure, float]:
            def say(verb: str, name: str) -> None:
                subprocess.run(["virsh", "-q", "-c", host.uri, verb, name], check=True, stdout=subprocess.DEVNULL)

            return each(lambda name: say("start", name), lambda name: say("destroy", name))

        def in_process() -> dict[Figure, float]:
            return each(
                lambda name: core.vm(name=name, state="running"), lambda name: core.vm(name=name, state="destroyed")
            )

        def play(module: str, **arguments: t.Any) -> dict[Figure, float]:
            def task(state: str) -> float:
                return controller.task(module, {"name": "{{ item }}", "state": state, **arguments}, host.names)

            return {START: task("running"), STOP: task("destroyed")}

        return compare(
            [
                Way("libvirt, a loop in Python", direct, yardstick=True),
                Way("virsh, a process for each", virsh),
                Way("community.libvirt.virt", lambda: play("community.libvirt.virt", uri=host.uri), yardstick=True),
                Way("archipel's core, a loop in Python", in_process),
                Way("vm, via libvirt", lambda: play("archipel.orchestrator.vm", uri=host.uri)),
                Way("vm, via xmpp", lambda: play("archipel.orchestrator.vm", via="xmpp", hypervisor=NAME)),
            ],
            rounds,
        )
