# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are hosts of the inventory, each with a `vm` task of its own, ten at a time.

Over XMPP each host is a worker process of Ansible's with a stream of its own to the platform; via libvirt each gets the
module shipped and started.
"""

from __future__ import annotations

import typing as t

from measure import Figure, Table, Way, compare
from stage import NAME, Stage

MACHINES: t.Final = 100
FORKS: t.Final = 10
STARTED: t.Final = Figure(f"{MACHINES} hosts started, {FORKS} at a time", "s")


def run(stage: Stage, rounds: int) -> list[Table]:
    with stage.host(MACHINES) as host, stage.server() as server, stage.agent(host, server):
        controller = stage.controller(server)

        def way(name: str, module: str, *, yardstick: bool = False, **arguments: t.Any) -> Way:
            def measure() -> dict[Figure, float]:
                wanted = {"name": "{{ inventory_hostname }}", "state": "running", **arguments}
                took = controller.hosts(module, wanted, host.names, forks=FORKS)
                host.expect(MACHINES, by=name)
                host.stop()
                return {STARTED: took}

            return Way(name, measure, yardstick)

        ours = "archipel.orchestrator.vm"
        return compare(
            [
                way("community.libvirt.virt", "community.libvirt.virt", yardstick=True, uri=host.uri),
                way("vm, via libvirt", ours, yardstick=True, uri=host.uri),
                way("vm, via xmpp", ours, via="xmpp", hypervisor=NAME),
            ],
            rounds,
        )
