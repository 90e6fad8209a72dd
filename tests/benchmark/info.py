# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about all machines, in one task.

Direct libvirt fetches what `vm_info` is made of: the XML, the state, whether the machine is persistent and starts with
its host. `community.libvirt.virt` with `command=info` tells less: no XML, so no disks, interfaces or metadata.
"""

from __future__ import annotations

import typing as t

from archipel.connection import Connection
from archipel.hypervisor import Hypervisor
from measure import Figure, Table, Way, compare, seconds
from stage import NAME, Stage

MACHINES: t.Final = 1000
TOLD: t.Final = Figure(f"all about {MACHINES} machines", "s")


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES, running=True) as host,
        stage.server() as server,
        stage.agent(host, server),
        Connection(host.uri) as connection,
    ):
        controller = stage.controller(server)
        core = Hypervisor(connection)

        def direct() -> list[t.Any]:
            return [
                (domain.name(), domain.UUIDString(), domain.ID(), domain.XMLDesc(), domain.state(),
                 domain.isPersistent(), domain.autostart())
                for domain in host.connection.listAllDomains()
            ]  # fmt: skip

        def of(name: str, measure: t.Callable[[], float], *, yardstick: bool = False) -> Way:
            return Way(name, lambda: {TOLD: measure()}, yardstick)

        def play(module: str, **arguments: t.Any) -> t.Callable[[], float]:
            return lambda: controller.task(module, arguments)

        return compare(
            [
                of("libvirt, a loop in Python", lambda: seconds(direct), yardstick=True),
                of(
                    "community.libvirt.virt",
                    play("community.libvirt.virt", uri=host.uri, command="info"),
                    yardstick=True,
                ),
                of("archipel's core, in Python", lambda: seconds(core.vm_info)),
                of("vm_info, via libvirt", play("archipel.orchestrator.vm_info", uri=host.uri)),
                of("vm_info, via xmpp", play("archipel.orchestrator.vm_info", via="xmpp", hypervisor=NAME)),
            ],
            rounds,
        )
