# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's commands."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import json
import os
import pathlib
import shutil
import sys
import typing as t

from . import base, hosts, inventory, network, preflight
from .plan import HOSTS, STANDARD, Host, Lab, host
from .steps import LabError, step, together


@contextlib.contextmanager
def locked(lab: Lab) -> t.Iterator[None]:
    """One command at a time changes what is below the lab's directory."""
    for directory in (lab.cache, lab.state, lab.logs):
        directory.mkdir(parents=True, exist_ok=True)
    with (lab.directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  waiting for another command of the lab")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(lab: Lab, wanted: t.Sequence[Host], also: dict[str, t.Callable[[], object]] | None = None) -> None:
    """What hosts stand on, made where it is missing; ``also`` is other work that can be done beside the layers."""
    preflight.install(lab)
    if not base.base(lab).exists():
        with step(f"base system: Debian {lab.suite}"):
            base.make_base(lab)
    works: dict[str, t.Callable[[], object]] = {
        f"packages of {name}": functools.partial(base.make_layer, lab, name)
        for name in sorted({"proxy", *(h.layer for h in wanted if h.layer)})
        if not base.layer(lab, name).directory.exists()
    }
    together("on top of it, at the same time", {**works, **(also or {})})


def up(lab: Lab, wanted: t.Sequence[Host]) -> None:
    """Start hosts, and wait until they are up."""
    with locked(lab):
        preflight.check(lab)
        prepare(lab, wanted)
        start(lab, wanted)


def start(lab: Lab, wanted: t.Sequence[Host]) -> None:
    """Start hosts whose base and layers are there."""
    with step(f"hosts {', '.join(h.name for h in wanted)}"):
        network.up(lab)
        hosts.make_keys(lab)
        inventory.write(lab)
        for one in wanted:
            hosts.start(lab, one)
        for one in wanted:
            hosts.await_ready(lab, one)


def down(lab: Lab) -> None:
    """Take the hosts away: processes, mounts, interfaces, cgroups, disks. The cache stays."""
    with locked(lab), step("taking the hosts away"):
        for one in HOSTS:
            hosts.discard(lab, one)
        network.down(lab)
        shutil.rmtree(lab.state)


def wipe(lab: Lab) -> None:
    """Take away all that was ever made, the cache too."""
    down(lab)
    if str(lab.directory) in pathlib.Path("/proc/mounts").read_text():
        raise LabError(f"Not removing {lab.directory}: another lab is up.")
    shutil.rmtree(lab.directory)


def status(lab: Lab) -> None:
    """One line for each host."""
    for one in HOSTS:
        state = "off"
        if hosts.is_running(lab, one):
            state = "running" if network.is_plugged(hosts.interface(lab, one)) else "running, cut off"
        print(f"{one.name:8} {lab.address(one):14} {state}")


def main(arguments: t.Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Real Debian hosts on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    names = [one.name for one in HOSTS]
    command = commands.add_parser("up", help="make and start hosts")
    command.add_argument("hosts", nargs="*", default=list(STANDARD), metavar="HOST", help=f"among {' '.join(names)}")
    commands.add_parser("down", help="take all hosts away; what was built stays for the next time")
    commands.add_parser("wipe", help="down, and remove what was built too")
    commands.add_parser("status", help="which hosts run")
    commands.add_parser("inventory", help="print Ansible's inventory of the lab, and where it is")
    for name, text in {
        "start": "start a host that was stopped",
        "stop": "shut a host down, keeping its disk",
        "crash": "cut a host's power, keeping its disk",
        "partition": "pull a host's network cable",
        "heal": "plug it in again",
        "exec": "run a command on a host",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("host", choices=names, metavar="HOST")
        if name == "exec":
            command.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args(arguments)
    lab = Lab.from_environment()
    try:
        return _dispatch(lab, options)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1


def _dispatch(lab: Lab, options: argparse.Namespace) -> int:
    if options.command == "up":
        up(lab, [host(name) for name in options.hosts])
    elif options.command == "down":
        down(lab)
    elif options.command == "wipe":
        wipe(lab)
    elif options.command == "status":
        status(lab)
    elif options.command == "inventory":
        print(f"# {lab.inventory}\n{json.dumps(inventory.content(lab), indent=2)}")
    elif options.command == "start":
        up(lab, [host(options.host)])
    elif options.command == "exec":
        command = hosts.ssh(lab, host(options.host), *options.words)
        os.execvp(command[0], command)
    else:
        one = host(options.host)
        if not hosts.is_running(lab, one):
            raise LabError(f"{one.name} does not run.")
        with locked(lab):
            if options.command in ("stop", "crash"):
                {"stop": hosts.stop, "crash": hosts.crash}[options.command](lab, one)
            else:
                network.set_link(hosts.interface(lab, one), up=options.command == "heal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
