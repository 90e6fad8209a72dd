# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make campaign``: machines are started, stopped and moved while what carries them is killed, cut and filled.

At the end each machine is on exactly one side, with the one contact, with an undamaged disk, every job has ended, and
nothing is left where it should not be. What happens when follows from the seed, as far as the hosts' timing allows.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import random
import sys
import threading
import time
import typing as t

from . import controller, guest, hosts, lifecycle, network
from .plan import STANDARD, STORE, XMPP_DOMAIN, Lab, host
from .steps import LabError, step
from .story import Story

HYPERVISORS: t.Final = ("hv1", "hv2")
SERVER: t.Final = "xmpp1"
IMAGES: t.Final = "/var/lib/libvirt/images"
POOL: t.Final = "store"
FIRST_OCTET: t.Final = 121
# MiB, most of which the guest only comes to write to, and the MiB/s of a move: slow enough to be hit in the middle.
DISK, BANDWIDTH = 96, 32
# Seconds that the platform has to be well again after the last fault.
RECOVERY: t.Final = 240
# The reason for which libvirt pauses a machine that cannot write, and resumes none.
IO_ERROR: t.Final = "ioerror"
# The guest begins to write when it begins to count, ten times a second: what it counts when it has written.
WRITING: t.Final = 20
# Sectors that the guest writes its numbers to (lab/guest.py), and what the rest of the disk is filled with.
SECTORS, FILLED = 256, "0x5a 1M 31M"
_RUNNING_JOBS: t.Final = """
import sqlite3
database = sqlite3.connect("/var/lib/archipel/agent.db")
jobs = database.execute("SELECT id, action, text FROM jobs WHERE state = 'running'")
print(*(": ".join(job) for job in jobs), sep="; ")
""".strip()


@dataclasses.dataclass
class Report:
    actions: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def told(self) -> str:
        counts = (
            f"{sum(counter.values())} {what} ({', '.join(f'{n} {name}' for name, n in sorted(counter.items()))})"
            for what, counter in (("actions", self.actions), ("faults", self.faults))
        )
        return "; ".join(counts)


class Campaign:
    """On a platform that is up and has the tiny guest (``lab.story``)."""

    def __init__(self, story: Story, seed: int, machines: int) -> None:
        self.story = story
        self.lab = story.lab
        self.seed = seed
        self.names = [f"camp{number}" for number in range(machines)]
        self.report = Report()
        self._dice = random.Random(seed)
        self._over = threading.Event()
        self.Error = controller.part(self.lab, "module_utils.archipel.errors").ArchipelError
        self.client = controller.client(self.lab, "campaign")

    # What is asked

    def ask(self, hypervisor: str, action: str, **arguments: t.Any) -> dict[str, t.Any]:
        jid = f"{hypervisor}@{XMPP_DOMAIN}/{hypervisor}"
        return t.cast("dict[str, t.Any]", self.client.execute(jid, action, arguments, timeout=40))

    def where(self, name: str) -> list[str]:
        """The hypervisors that have the machine; one that cannot be asked is a failure."""
        return [hv for hv in HYPERVISORS if self.ask(hv, "vm_info", name=name)["vms"]]

    def make(self, number: int) -> None:
        """A machine whose disk is filled, and whose guest writes numbers to it."""
        name, octet = self.names[number], FIRST_OCTET + number
        volume = {"size": f"{DISK}MiB", "format": "qcow2"}
        job = self.ask("hv1", "volume", pool=POOL, name=f"{name}.qcow2", definition=volume)["job"]
        self.client.job(f"hv1@{XMPP_DOMAIN}/hv1", job, timeout=60)
        self.story.on("hv1", f"qemu-io -f qcow2 -c 'write -P {FILLED}' {STORE}/{name}.qcow2")
        definition = {
            "type": "qemu",
            "memory": 96,
            "vcpus": 1,
            "cpu": {"model": "qemu64"},
            "boot": {
                "kernel": f"{IMAGES}/vmlinuz",
                "initrd": f"{IMAGES}/initrd.gz",
                "kernel_args": f"console=ttyS0 quiet address={self.lab.network}.{octet}/24 journal=/dev/vda",
            },
            "disks": [{"pool": POOL, "vol": f"{name}.qcow2"}],
            "networks": [{"bridge": "br0", "mac": f"52:54:00:00:02:{octet:02x}"}],
        }
        self.ask("hv1", "vm", name=name, state="running", definition=definition)

    def await_journal(self, number: int) -> None:
        """Until the guest counts, and so writes: from then on a disk without numbers has lost them."""
        address, end = f"{self.lab.network}.{FIRST_OCTET + number}", time.monotonic() + 60
        while self.story.count(seconds=120, address=address) < WRITING and time.monotonic() < end:
            time.sleep(0.2)

    def live(self, name: str, dice: random.Random) -> None:
        """One action after another on a machine, whatever becomes of each."""
        while not self._over.is_set():
            try:
                self.act(name, dice)
            except self.Error as error:
                self.report.actions[f"failed ({error.code})"] += 1
                self._over.wait(1)

    def act(self, name: str, dice: random.Random) -> None:
        verb = dice.choices(("move", "restarted", "destroyed", "paused"), (6, 1, 1, 1))[0]
        places = self.where(name)
        if len(places) != 1:
            # On its way, or this is what the end finds.
            self.report.actions["between two sides"] += 1
            self._over.wait(1)
            return
        (here,) = places
        (vm,) = self.ask(here, "vm_info", name=name)["vms"]
        if vm["state"] != "running":
            self.ask(here, "vm", name=name, state="running")
            self.report.actions["resumed after an I/O error" if vm["reason"] == IO_ERROR else "running"] += 1
        elif verb == "move":
            self.move(name, here, next(hv for hv in HYPERVISORS if hv != here))
        else:
            self.ask(here, "vm", name=name, state=verb, wait_timeout=20, force_after=5)
            self.report.actions[verb] += 1

    def move(self, name: str, source: str, destination: str) -> None:
        how = {"copy_storage": "all", "remove_source_volumes": "all", "bandwidth": BANDWIDTH}
        begun = self.ask(source, "vm_migrate", name=name, destination=destination, **how)
        end = time.monotonic() + RECOVERY
        told: dict[str, t.Any] = {"state": "running"}
        while told["state"] == "running" and time.monotonic() < end:
            with contextlib.suppress(self.Error):
                told = self.ask(source, "job", id=begun["job"], wait=5)
        why = f" ({told['error']['code']})" if told.get("error") else ""
        self.report.actions[f"move {told['state']}{why}"] += 1
        if told["state"] == "failed":
            self._over.wait(1)
        while told["state"] == "succeeded" and told["result"].get("left_behind", True) and time.monotonic() < end:
            with contextlib.suppress(self.Error):
                # The destination could not be asked for it.
                removal = self.ask(source, "volume", pool=POOL, name=f"{name}.qcow2", state="absent")
                self.client.job(f"{source}@{XMPP_DOMAIN}/{source}", removal["job"], timeout=30)
                self.report.actions["disk removed"] += 1
                return
            time.sleep(2)

    # What is broken

    def harm(self, name: str) -> None:
        """One thing, which is well again when this returns."""
        FAULTS[name](self, self._dice.choice(HYPERVISORS), self._dice.choice(self.names))
        self.report.faults[name] += 1

    def kill(self, name: str, unit: str) -> None:
        """systemd starts it again; not if that happens too often, so we do."""
        command = f"systemctl kill --signal=KILL {unit}; sleep 1; systemctl reset-failed {unit}; systemctl start {unit}"
        self.story.on(name, command)

    def kill_qemu(self, machine: str) -> None:
        for hv in HYPERVISORS:
            self.story.on(hv, f"pid=/run/libvirt/qemu/{machine}.pid; [ ! -e $pid ] || kill -9 $(cat $pid) || true")

    def cut_off(self, name: str, seconds: float) -> None:
        """Its cable, so that neither the server nor the other hypervisor reaches it."""
        cable = hosts.interface(self.lab, host(name))
        network.set_link(cable, up=False)
        self._over.wait(seconds)
        network.set_link(cable, up=True)

    def cut_between(self, name: str, seconds: float) -> None:
        """The way to the other hypervisor alone."""
        (other,) = {*HYPERVISORS} - {name}
        route = f"blackhole {self.lab.address(host(other))}/32"
        self.story.on(name, f"ip route add {route}; sleep {seconds:.0f}; ip route del {route}")

    def power_cut(self, name: str) -> None:
        hosts.crash(self.lab, host(name))
        hosts.start(self.lab, host(name))
        hosts.await_ready(self.lab, host(name), seconds=120)

    def fill(self, name: str, seconds: float) -> None:
        """The file system with the disks. What becomes free meanwhile is filled, too."""
        filling = f"timeout {seconds:.0f} sh -c 'while :; do cat /dev/zero >>filled; sleep 0.2; done' 2>/dev/null"
        self.story.on(name, f"cd {STORE}; {filling}; rm filled")

    # All of it

    def at_random(self, minutes: float) -> t.Iterator[str]:
        """Faults, from the first one on for so long."""
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            yield self._dice.choice(list(FAULTS))

    def prepare(self) -> None:
        """All machines, on the first hypervisor, writing to their disks."""
        with step(f"{len(self.names)} machines"):
            for hv in HYPERVISORS:
                pool = {"type": "dir", "target": STORE}
                self.ask(hv, "pool", name=POOL, state="active", autostart=True, definition=pool)
            for number in range(len(self.names)):
                self.make(number)
            for number in range(len(self.names)):
                self.await_journal(number)

    def run(self, faults: t.Iterable[str], pause: tuple[float, float] = (4, 12)) -> Report:
        """Until all that is to be broken has been."""
        self.prepare()
        dice = self._dice
        with (
            step(f"actions and faults, seed {self.seed}"),
            concurrent.futures.ThreadPoolExecutor(len(self.names)) as pool,
        ):
            lives = [pool.submit(self.live, name, random.Random(dice.random())) for name in self.names]
            try:
                for fault in faults:
                    time.sleep(dice.uniform(*pause))
                    if any(life.done() for life in lives):
                        break
                    self.harm(fault)
            finally:
                self._over.set()
        for life in lives:
            life.result()
        with step("recovery"):
            self._recover()
        self.inspect()
        return self.report

    def _recover(self) -> None:
        """Wait until all is well, at most for so long; what is not is found by the inspection."""
        end = time.monotonic() + RECOVERY
        while time.monotonic() < end:
            self.report.wrong = []
            try:
                self._judge()
            except (self.Error, LabError) as error:
                self.report.wrong.append(f"not to be asked: {error}")
            if not self.report.wrong:
                return
            time.sleep(2)

    def _judge(self) -> None:
        """What can be seen while machines are there."""
        wrong = self.report.wrong
        there = {hv: self._states(hv) for hv in HYPERVISORS}
        files = {hv: self.story.on(hv, f"ls {STORE}").split() for hv in HYPERVISORS}
        vms = {vm["name"]: vm for hv in HYPERVISORS for vm in self.ask(hv, "vm_info", name="camp*")["vms"]}
        online = self.story.on(SERVER, "ejabberdctl connected_users").split()
        for name in self.names:
            places = [hv for hv in HYPERVISORS if name in there[hv]]
            disks = [hv for hv in HYPERVISORS if f"{name}.qcow2" in files[hv]]
            vm = vms.get(name, {"uuid": "nowhere", "state": "absent", "reason": None})
            contacts = [jid.partition("/")[2] for jid in online if jid.startswith(vm["uuid"])]
            if len(places) != 1:
                wrong.append(f"{name} is on {places}")
            elif (state := there[places[0]][name]) != vm["state"]:
                wrong.append(f"{name} is {state}, and told to be {vm['state']}")
            elif vm["reason"] == IO_ERROR:
                wrong.append(f"{name} is paused, though there is room for what it writes")
                self.ask(places[0], "vm", name=name, state="running")
            if disks != places:
                wrong.append(f"{name} is on {places}, its disk on {disks}")
            if contacts != places:
                wrong.append(f"{name} is on {places}, its contact on {contacts}")
        for hv in HYPERVISORS:
            if left := self.story.on(hv, f"python3 - <<'X'\n{_RUNNING_JOBS}\nX"):
                wrong.append(f"jobs on {hv} run: {left}")

    def _states(self, hypervisor: str) -> dict[str, str]:
        """Of each machine, as virsh tells it, in the words of ``vm_info``."""
        lines = self.story.on(hypervisor, "virsh -q list --all").splitlines()
        return {name: state.replace(" ", "") for _number, name, state in (line.split(None, 2) for line in lines)}

    def inspect(self) -> None:
        """Turn the machines off, read their disks, and take all away."""
        with step("disks"):
            for name in self.names:
                for hv in HYPERVISORS:
                    if name in self.story.on(hv, "virsh list --all --name").split():
                        self.ask(hv, "vm", name=name, state="destroyed")
                        self._read_disk(name, hv)
                        self.ask(hv, "vm", name=name, state="absent", force=True, remove_volumes="all")
            for hv in HYPERVISORS:
                self.ask(hv, "pool", name=POOL, state="absent")

    def _read_disk(self, name: str, hypervisor: str) -> None:
        path = f"{STORE}/{name}.qcow2"
        try:
            self.story.on(hypervisor, f"qemu-img check -q {path} && qemu-io -r -f qcow2 -c 'read -P {FILLED}' {path}")
            dump = f"qemu-img dd -f qcow2 -O raw bs=512 count={SECTORS} if={path} of=/tmp/{name} && cat /tmp/{name}"
            text = self.story.on(hypervisor, f"({dump}) | tr -d '\\0'")
        except LabError as error:
            self.report.wrong.append(f"the disk of {name} on {hypervisor}: {error}")
            return
        self.report.wrong += [f"the disk of {name} on {hypervisor}: {fault}" for fault in faults_in(text)]


def faults_in(journal: str) -> list[str]:
    """What is wrong with the numbers that a guest wrote: each is in its sector, and none is missing."""
    numbers = [int(line) for line in journal.splitlines() if line.strip()]
    if not numbers:
        return ["it has never been written to"]
    last = max(numbers)
    expected = set(range(max(1, last - SECTORS + 1), last + 1))
    return [] if {*numbers} == expected else [f"of the last numbers {sorted(expected ^ {*numbers})[:10]} are wrong"]


# Each is told a hypervisor and a machine.
FAULTS: t.Final[dict[str, t.Callable[[Campaign, str, str], None]]] = {
    "agent killed": lambda campaign, hv, _machine: campaign.kill(hv, "archipel-agent"),
    "libvirtd killed": lambda campaign, hv, _machine: campaign.kill(hv, "libvirtd"),
    "ejabberd killed": lambda campaign, _hv, _machine: campaign.kill(SERVER, "ejabberd"),
    "QEMU killed": lambda campaign, _hv, machine: campaign.kill_qemu(machine),
    "cable pulled": lambda campaign, hv, _machine: campaign.cut_off(hv, 6),
    "cable pulled for long": lambda campaign, hv, _machine: campaign.cut_off(hv, 45),
    "way between hypervisors cut": lambda campaign, hv, _machine: campaign.cut_between(hv, 10),
    "disk filled": lambda campaign, hv, _machine: campaign.fill(hv, 6),
    "power cut": lambda campaign, hv, _machine: campaign.power_cut(hv),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.campaign", description="Moves and faults on hosts of the lab.")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--machines", type=int, default=4)
    options = parser.parse_args()
    lab = Lab.from_environment()
    if "ARCHIPEL_LAB_NAME" not in os.environ:
        # Beside the one that a person may have up.
        lab = dataclasses.replace(lab, name="camp", network="10.96.0")
    try:
        lifecycle.up(lab, [host(name) for name in STANDARD])
        guest.make(lab)
        story = Story(lab)
        with step("the platform"):
            story.site()
            story.guest()
        campaign = Campaign(story, options.seed, options.machines)
        report = campaign.run(campaign.at_random(options.minutes))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"seed {options.seed}: {report.told()}")
    for wrong in report.wrong:
        print(f"WRONG: {wrong}")
    if report.wrong:
        names = f"ARCHIPEL_LAB_NAME={lab.name} ARCHIPEL_LAB_NETWORK={lab.network}"
        print(f"The hosts are left for a look; `{names} .venv/bin/python -m lab down` takes them away.")
        return 1
    lifecycle.down(lab)
    return 0


if __name__ == "__main__":
    sys.exit(main())
