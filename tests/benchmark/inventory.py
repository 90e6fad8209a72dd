# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-inventory --list` of one hypervisor, the plugins as they come, without cache.

Direct libvirt fetches what our plugin asks libvirt for. `community.libvirt` puts each machine's whole XML into its
variables and makes a group of each UUID; ours has the machine's state, size, title and address as variables, and groups
by state and hypervisor.
"""

from __future__ import annotations

import typing as t

from measure import Figure, Table, Way, compare, seconds
from stage import Stage

MACHINES: t.Final = 1000
LISTED: t.Final = Figure(f"inventory of {MACHINES} machines", "s")


def run(stage: Stage, rounds: int) -> list[Table]:
    with stage.host(MACHINES, running=True) as host, stage.server() as server, stage.agent(host, server):
        controller = stage.controller(server)

        def direct() -> list[t.Any]:
            return [
                (domain.name(), domain.UUIDString(), domain.XMLDesc(), domain.state(), domain.isPersistent(),
                 domain.autostart())
                for domain in host.connection.listAllDomains()
            ]  # fmt: skip

        def of(name: str, measure: t.Callable[[], float], *, yardstick: bool = False) -> Way:
            return Way(name, lambda: {LISTED: measure()}, yardstick)

        def listing(plugin: str, **options: t.Any) -> t.Callable[[], float]:
            return lambda: controller.inventory({"plugin": plugin, **options}, host.names)

        ours = "archipel.orchestrator.archipel"
        return compare(
            [
                of("libvirt, a loop in Python", lambda: seconds(direct), yardstick=True),
                of("community.libvirt.libvirt", listing("community.libvirt.libvirt", uri=host.uri), yardstick=True),
                of("archipel, of libvirt", listing(ours, uris=[host.uri], xmpp=False)),
                of("archipel, of the platform over XMPP", listing(ours)),
            ],
            rounds,
        )
