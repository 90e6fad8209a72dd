# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory that a process takes, at most, to ask the core about machines: ``footprint.py URI LIMIT`` tells how much
more it is, in MiB, than another process takes to read the finished result from a file."""

from __future__ import annotations

import os
import pathlib
import pickle
import sys
import tempfile
import typing as t

from archipel.connection import Connection
from archipel.hypervisor import Hypervisor


def growth(work: t.Callable[[], object]) -> float:
    """MiB that were resident at most during the work, less those before it (proc(5)), in a process of its own."""
    receive, send = os.pipe()
    if os.fork() == 0:
        # A child begins with the pages of its parent, and with its own peak.
        before = _status("VmRSS")
        work()
        os.write(send, str((_status("VmHWM") - before) / 1024).encode())
        os._exit(0)
    os.wait()
    return float(os.read(receive, 100))


def _status(key: str) -> int:
    return int(pathlib.Path("/proc/self/status").read_text().partition(f"{key}:")[2].split()[0])


def main(uri: str, limit: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "result"

        def ask() -> object:
            with Connection(uri, events=False) as connection:
                return Hypervisor(connection).vm_info(limit=limit)

        def write() -> None:
            with file.open("wb") as output:
                pickle.dump(ask(), output)

        def read() -> object:
            with file.open("rb") as source:
                return pickle.load(source)

        growth(write)
        print(growth(ask) - growth(read))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
