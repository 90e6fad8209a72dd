# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
import typing as t

from . import hosts, lifecycle, network
from .environment import inventory
from .plan import HOSTS, STANDARD, Host, Lab, host
from .steps import LabError


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
        lifecycle.up(lab, [host(name) for name in options.hosts])
    elif options.command == "down":
        lifecycle.down(lab)
    elif options.command == "wipe":
        lifecycle.wipe(lab)
    elif options.command == "status":
        status(lab)
    elif options.command == "inventory":
        print(f"# {lab.inventory}\n{json.dumps(inventory(lab), indent=2)}")
    elif options.command == "start":
        lifecycle.up(lab, [host(options.host)])
    else:
        _to_running(lab, host(options.host), options)
    return 0


def _to_running(lab: Lab, one: Host, options: argparse.Namespace) -> None:
    if not hosts.is_running(lab, one):
        raise LabError(f"{one.name} does not run.")
    if options.command == "exec":
        terminal = ("-t",) if sys.stdin.isatty() else ()
        command = hosts.ssh(lab, one, *options.words, options=terminal)
        os.execvp(command[0], command)
    with lifecycle.locked(lab):
        if options.command == "stop":
            hosts.stop(lab, one)
        elif options.command == "crash":
            hosts.crash(lab, one)
        else:
            network.set_link(hosts.interface(lab, one), up=options.command == "heal")


if __name__ == "__main__":
    sys.exit(main())
