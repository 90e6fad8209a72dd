# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about all machines, in one task.

Direct libvirt fetches what `vm_info` is made of, and leaves it as it is: the XML of each machine, and the statistics of
all in one call. `community.libvirt.virt` with `command=info` tells less: no XML, so no disks, interfaces or metadata.
A module that does nothing takes what Ansible takes, `vm_info` of one machine what it takes to ship, compile and start
ours; the rest is for 3 kB of result for each machine, or 0.6 kB without the parts of its definition. What Ansible
itself takes for a result of that size is shown by an action plugin that reads the finished one from a file.

Memory is the core's alone, in a process of its own: what it takes at most to make the result, less what another process
takes to read the finished result from a file.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

from archipel.connection import Connection
from archipel.hypervisor import Hypervisor
from measure import Figure, Table, Way, compare, seconds
from stage import NAME, Stage

MACHINES: t.Final = 1000
TOLD: t.Final = Figure(f"all about {MACHINES} machines", "s")
BEYOND: t.Final = Figure("memory of vm_info beyond its result", "MiB")


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES, running=True) as host,
        stage.server() as server,
        stage.agent(host, server),
        Connection(host.uri) as connection,
    ):
        controller = stage.controller(server)
        core, ours, one = Hypervisor(connection), "archipel.orchestrator.vm_info", host.names[0]
        finished = controller.directory / "finished.json"
        finished.write_text(json.dumps(core.vm_info()))

        def direct() -> list[t.Any]:
            return [(domain.XMLDesc(), found) for domain, found in host.connection.getAllDomainStats()]

        def beyond(limit: int) -> float:
            file = pathlib.Path(__file__).with_name("footprint.py")
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            command = [sys.executable, str(file), host.uri, str(limit)]
            return float(subprocess.run(command, check=True, env=environment, capture_output=True).stdout)

        def of(name: str, measure: t.Callable[[], float], *, yardstick: bool = False) -> Way:
            return Way(name, lambda: {TOLD: measure()}, yardstick)

        def play(module: str, **arguments: t.Any) -> t.Callable[[], float]:
            return lambda: controller.task(module, arguments)

        times = compare(
            [
                of("libvirt, a loop in Python", lambda: seconds(direct), yardstick=True),
                of(
                    "community.libvirt.virt",
                    play("community.libvirt.virt", uri=host.uri, command="info"),
                    yardstick=True,
                ),
                of("a module that does nothing", play("ansible.builtin.ping")),
                of("the finished result, from a file", play("told", file=str(finished))),
                of("vm_info of one of them, via libvirt", play(ours, uri=host.uri, name=one)),
                of("vm_info of one of them, via xmpp", play(ours, via="xmpp", hypervisor=NAME, name=one)),
                of("archipel's core, in Python", lambda: seconds(core.vm_info)),
                of("vm_info, via libvirt", play(ours, uri=host.uri)),
                of("vm_info, via xmpp", play(ours, via="xmpp", hypervisor=NAME)),
                of("vm_info with parts: [], via libvirt", play(ours, uri=host.uri, parts=[])),
                of("vm_info with parts: [], via xmpp", play(ours, via="xmpp", hypervisor=NAME, parts=[])),
            ],
            rounds,
        )
        memory = compare(
            [
                Way(f"{limit} machines", lambda limit=limit: {BEYOND: beyond(limit)})  # type: ignore[misc]
                for limit in (MACHINES // 5, MACHINES)
            ],
            rounds,
        )
        return times + memory
