# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measured tables as Markdown, and the machine and versions that they are of."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import typing as t

from measure import Spread, Table

HEAD: t.Final = """\
# Performance

`make benchmark` measures, `.venv/bin/nox -s benchmark -- --write` writes this page. The same work is done in several
ways in one run, every other round in reverse order, on a libvirtd, an ejabberd and an agent of the run's own. libvirt's
test driver does at once what is asked of it, so what is measured is all that stands before libvirt.

A figure is the median of {rounds} rounds, with the least and the most in parentheses. A ratio (÷) is this way's figure
divided by the other's in the same round: below 1, this way takes less. Seconds of a playbook or an inventory are those
of the whole command, less those of the same command with nothing to do.

Seconds are of the machine below and of the load that it had; ratios last longer. No test asserts either.
"""


def head(rounds: int) -> str:
    return "\n".join([HEAD.format(rounds=rounds), "## The machine\n", *(f"- {line}" for line in machine()), ""])


def section(heading: str, text: str, tables: t.Iterable[Table]) -> str:
    return "\n".join([f"## {heading}\n", text.strip() + "\n", *map(markdown, tables)])


def markdown(table: Table) -> str:
    head = [table.figure.what, table.figure.unit, *(f"÷ {yardstick}" for yardstick in table.yardsticks)]
    rows = [
        [
            name,
            _spread(spread),
            *("1" if its == name else _spread(ratio) for its, ratio in zip(table.yardsticks, ratios, strict=True)),
        ]
        for name, spread, ratios in table.rows
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _spread(spread: Spread) -> str:
    return f"{_number(spread.median)} ({_number(spread.least)} to {_number(spread.most)})"


def _number(value: float) -> str:
    """Two significant digits, three of larger ones."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 9.95 else f"{value:#.2g}"


def machine() -> list[str]:
    """What ratios may depend on."""
    cpu = _value(pathlib.Path("/proc/cpuinfo").read_text(), "model name", ":")
    memory = int(_value(pathlib.Path("/proc/meminfo").read_text(), "MemTotal", ":").split()[0]) / 2**20
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    virsh = subprocess.run(["virsh", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    packages = ("ansible-core", "slixmpp", "uvloop", "lxml", "libvirt-python")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return [
        f"{os.cpu_count()} processors, {cpu}, {memory:.0f} GiB, {system}",
        f"load when the run began: {os.getloadavg()[0]:.1f}",
        f"libvirt {virsh} (test driver), ejabberd {_ejabberd()}, Python {platform.python_version()}, {versions}",
        f"community.libvirt {_collection('ansible_collections.community.libvirt')}",
    ]


def _value(text: str, key: str, separator: str) -> str:
    line = next(line for line in text.splitlines() if line.startswith(key))
    return line.partition(separator)[2].strip()


def _collection(package: str) -> str:
    (directory,) = importlib.import_module(package).__path__
    manifest = json.loads((pathlib.Path(directory) / "MANIFEST.json").read_text())
    return str(manifest["collection_info"]["version"])


def _ejabberd() -> str:
    found = next(pathlib.Path("/usr/lib").glob("*/ejabberd-*/ebin/ejabberd.beam"))
    return found.parents[1].name.partition("-")[2]
