# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are as they are asked to be.

`community.libvirt.virt` is given the XML of each, by a loop over their names, and libvirt defines every machine once
more. `vm` takes all of them in one task, in its own words, and finds that nothing differs.
"""

from __future__ import annotations

import typing as t

from archipel.actions import Action
from archipel.connection import Connection
from archipel.hypervisor import ACTIONS, Hypervisor
from measure import Figure, Table, Way, compare, seconds
from stage import MACHINE, NAME, Stage

MACHINES: t.Final = 200
UNCHANGED: t.Final = Figure(f"{MACHINES} unchanged machines", "s")
# All that stage.MACHINE says, but for the name of the file.
DEFINITION: t.Final[dict[str, t.Any]] = {
    "memory": 64,
    "vcpus": 1,
    "disks": [{"target": "vda", "device": "disk", "bus": "virtio"}],
    "networks": [{"network": "default"}],
}
ALL: t.Final = ["machine*"]


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES) as host,
        stage.server() as server,
        stage.agent(host, server),
        Connection(host.uri) as connection,
    ):
        controller = stage.controller(server)
        core, vm = Hypervisor(connection), ACTIONS["vm"]

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

        def of(name: str, measure: t.Callable[[], float], *, yardstick: bool = False) -> Way:
            return Way(name, lambda: {UNCHANGED: measure()}, yardstick)

        def play(**arguments: t.Any) -> t.Callable[[], float]:
            return lambda: controller.task("archipel.orchestrator.vm", {"names": ALL, **DEFINITION, **arguments})

        def loop() -> float:
            xml = MACHINE.format(name="{{ item }}", metadata="")
            arguments = {"uri": host.uri, "command": "define", "xml": xml}
            return controller.task("community.libvirt.virt", arguments, host.names)

        return compare(
            [
                of("libvirt, a loop in Python that defines them again", lambda: seconds(define), yardstick=True),
                of("community.libvirt.virt, a loop with command=define", loop, yardstick=True),
                of("archipel's core, in Python", lambda: seconds(lambda: _unchanged(core, vm))),
                of("vm, via libvirt", play(uri=host.uri)),
                of("vm, via xmpp", play(via="xmpp", hypervisor=NAME)),
            ],
            rounds,
        )


def _unchanged(core: Hypervisor, vm: Action) -> None:
    result = vm.function(core, **vm.bind({"names": ALL, "definition": DEFINITION}))
    if result["changed"] or len(result["vms"]) != MACHINES:
        raise RuntimeError(f"vm does not find {MACHINES} machines as they are: {result['msg']}")
