# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are as they are asked to be, one after another, as a task does that loops over their names.

Each is described in full: `vm` in its own words, `community.libvirt.virt` and `vm` by the same XML. `virt` gives it to
libvirt, which defines the machine once more; ours finds that nothing differs.
"""

from __future__ import annotations

import typing as t

from archipel.connection import Connection
from archipel.hypervisor import Hypervisor
from measure import Figure, Table, Way, compare, seconds
from stage import MACHINE, NAME, Stage

MACHINES: t.Final = 200
UNCHANGED: t.Final = Figure(f"{MACHINES} unchanged machines", "s")
IN_WORDS: t.Final[dict[str, t.Any]] = {
    "memory": 64,
    "vcpus": 1,
    "disks": [{"path": "/var/lib/images/{{ item }}.qcow2", "bus": "virtio"}],
    "networks": [{"network": "default"}],
}


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES) as host,
        stage.server() as server,
        stage.agent(host, server),
        Connection(host.uri) as connection,
    ):
        controller = stage.controller(server)
        core = Hypervisor(connection)
        xml = MACHINE.format(name="{{ item }}", metadata="")

        def of(name: str, measure: t.Callable[[], float], *, yardstick: bool = False) -> Way:
            return Way(name, lambda: {UNCHANGED: measure()}, yardstick)

        def play(module: str, **arguments: t.Any) -> t.Callable[[], float]:
            return lambda: controller.task(module, arguments, host.names)

        # libvirt takes the definition of a machine that is there only with its UUID.
        known = [
            MACHINE.replace("<name>", f"<uuid>{domain.UUIDString()}</uuid><name>").format(
                name=domain.name(), metadata=""
            )
            for domain in host.connection.listAllDomains()
        ]

        def define() -> None:
            for text in known:
                host.connection.defineXML(text)

        def compare_each() -> None:
            for name in host.names:
                if core.vm(name=name, xml=MACHINE.format(name=name, metadata=""))["changed"]:
                    raise RuntimeError(f"{name} has changed.")

        ours = "archipel.orchestrator.vm"
        return compare(
            [
                of("libvirt, a loop in Python that defines them again", lambda: seconds(define), yardstick=True),
                of(
                    "community.libvirt.virt, command=define",
                    play("community.libvirt.virt", uri=host.uri, command="define", xml=xml),
                    yardstick=True,
                ),
                of("archipel's core, a loop in Python", lambda: seconds(compare_each)),
                of("vm, via libvirt", play(ours, uri=host.uri, name="{{ item }}", **IN_WORDS)),
                of("vm, via xmpp", play(ours, via="xmpp", hypervisor=NAME, name="{{ item }}", **IN_WORDS)),
                of("vm with xml, via xmpp", play(ours, via="xmpp", hypervisor=NAME, xml=xml)),
            ],
            rounds,
        )
