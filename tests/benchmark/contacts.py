# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One agent brings machines' contacts online; time runs from the start of its process until the server has counted all.

A first start also makes the machines' accounts. Memory is what is resident once the process has nothing left to do; a
contact's part of it is the difference to the same process with the same machines and no contacts of theirs.
"""

from __future__ import annotations

import pathlib
import time
import typing as t

from measure import Figure, Table, Way, compare
from stage import NAME, Process, Stage, online

SIZES: t.Final = (10, 100, 1000, 5000)
# Five thousand once: it takes minutes.
MOST: t.Final = 1000


def run(stage: Stage, rounds: int) -> list[Table]:
    return [table for size in SIZES for table in _of(stage, size, rounds if size <= MOST else 1)]


def _of(stage: Stage, size: int, rounds: int) -> list[Table]:
    shown = Figure(f"{size} contacts online", "s")
    total, each = Figure(f"memory with {size} contacts", "MiB"), Figure(f"memory of each of {size} contacts", "KiB")
    with stage.host(size, managed=True, running=True) as host, stage.server() as server:
        people = [server.register(f"person{number}").partition("@")[0] for number in range(size)]
        state_dir = stage.room()

        def observe(start: t.Callable[[bool], Process], sessions: int) -> dict[Figure, float]:
            """``start`` a process with contacts, or without; then it has so many ``sessions``."""
            began = time.perf_counter()
            with start(True) as process:
                online(server, sessions + size)
                took = time.perf_counter() - began
                process.settle()
                memory = process.memory()
            online(server, 0)
            with start(False) as process:
                online(server, sessions)
                process.settle()
                without = process.memory()
            online(server, 0)
            return {shown: took, total: memory, each: (memory - without) / size * 1024}

        def crowd() -> dict[Figure, float]:
            return observe(lambda contacts: stage.crowd(server, people if contacts else []), 0)

        def agent(state_dir: pathlib.Path) -> dict[Figure, float]:
            kinds = {True: "managed", False: "none"}
            return observe(lambda contacts: stage.start_agent(host, server, state_dir, contacts=kinds[contacts]), 1)

        def first_start() -> dict[Figure, float]:
            nonlocal state_dir
            for name in server.registered() - {"admin", NAME, *people}:
                server.api("unregister", user=name, host=server.domain)
            state_dir = stage.room()
            return agent(state_dir)

        first_start()
        return compare(
            [
                Way("plain slixmpp clients in one process", crowd, yardstick=True),
                Way("the agent", lambda: agent(state_dir)),
                Way("the agent, started for the first time", first_start),
            ],
            rounds,
        )
