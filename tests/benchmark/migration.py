# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running machine of QEMU is moved live with its disk, of which 256 MiB are written, between two real hosts and back;
a figure is half of that.

`virsh migrate` has the flags that the agent sets. The agent also looks before anything moves, agrees with the other
agent on each step in writing, hands over the contact and the index, and removes the source's volume once the machine is
verified there; beside virsh nobody does, so its volume is removed unmeasured.
"""

from __future__ import annotations

import dataclasses
import sys
import typing as t

from measure import Figure, Table, Way, compare, seconds
from stage import PATIENCE, ROOT, Stage

MOVED: t.Final = Figure("a machine moved with its disk", "s")
NAME: t.Final = "moved"
MIB: t.Final = 256
IMAGES: t.Final = "/var/lib/libvirt/images"
FLAGS: t.Final = "--live --p2p --persistent --undefinesource --copy-storage-all --abort-on-error --tls"


def run(_stage: Stage, rounds: int) -> list[Table]:
    sys.path.append(str(ROOT))
    from lab import guest, lifecycle
    from lab.plan import STANDARD, Lab, host
    from lab.story import Story

    lab = dataclasses.replace(Lab.from_environment(), name="bnch", network="10.98.0")
    lifecycle.down(lab)
    try:
        lifecycle.up(lab, [host(name) for name in STANDARD])
        guest.make(lab)
        story = Story(lab)
        story.site()
        story.guest()
        return _compared(story, rounds)
    finally:
        lifecycle.down(lab)


def _compared(story: t.Any, rounds: int) -> list[Table]:
    from lab import controller
    from lab.plan import XMPP_DOMAIN

    client = controller.client(story.lab, "benchmark")
    _make(story)

    def by_virsh(source: str, destination: str) -> float:
        command = f"virsh -q migrate {FLAGS} {NAME} qemu+tls://{destination}/system"
        took = story.on(source, f"bash -c 'TIMEFORMAT=%R; time {command}' 2>&1")
        story.on(source, f"virsh -q vol-delete {NAME}.qcow2 default")
        return float(took)

    def by_agents(source: str, destination: str) -> float:
        jid = f"{source}@{XMPP_DOMAIN}/{source}"
        wanted = {"name": NAME, "destination": destination, "copy_storage": "all", "remove_source_volumes": "all"}

        def move() -> None:
            client.job(jid, client.execute(jid, "vm_migrate", wanted)["job"], timeout=PATIENCE)

        return seconds(move)

    def way(name: str, move: t.Callable[[str, str], float], *, yardstick: bool = False) -> Way:
        return Way(name, lambda: {MOVED: (move("hv1", "hv2") + move("hv2", "hv1")) / 2}, yardstick)

    ways = [way("virsh migrate", by_virsh, yardstick=True), way("vm_migrate, by the agents", by_agents)]
    return compare(ways, rounds)


def _make(story: t.Any) -> None:
    """The tiny guest on hv1, running, with a disk that is written full."""
    path = f"{IMAGES}/{NAME}.qcow2"
    fill = f"qemu-io -f qcow2 -c 'write -P 0x5a 0 {MIB}M' {path}"
    story.on("hv1", f"virsh -q vol-create-as default {NAME}.qcow2 {MIB}M --format qcow2 && {fill}")
    story.module(
        "hv1", "archipel.orchestrator.vm", via="xmpp", name=NAME, state="running", type="qemu", memory=128, vcpus=1,
        cpu={"model": "qemu64"}, disks=[{"pool": "default", "vol": f"{NAME}.qcow2"}], networks=[{"bridge": "br0"}],
        boot={"kernel": f"{IMAGES}/vmlinuz", "initrd": f"{IMAGES}/initrd.gz",
              "kernel_args": f"console=ttyS0 quiet address={story.lab.web1}/24"},
    )  # fmt: skip
    story.count(seconds=60)
