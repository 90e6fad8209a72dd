# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts are made: people's by ejabberd's commands on the server, machines' by a hypervisor's agent in its stream
(XEP-0077).

`xmpp_user` asks of each account whether it is there, and proves with each command who it is; it is timed with all that
Ansible does for a task. ejabberd's HTTP API is asked on loopback, without a password. The agent's time runs from the
start of its process until the server has all accounts; meanwhile it also logs in as the machines that have theirs.
"""

from __future__ import annotations

import functools
import time
import typing as t

from measure import Figure, Table, Way, compare, seconds
from stage import NAME, PATIENCE, Stage, online

ACCOUNTS: t.Final = 200
TOOK: t.Final = Figure(f"each of {ACCOUNTS} accounts", "ms")


def run(stage: Stage, rounds: int) -> list[Table]:
    people = [{"name": f"person{number}", "password": "of a benchmark"} for number in range(ACCOUNTS)]
    with stage.host(ACCOUNTS, managed=True, running=True) as host, stage.server() as server:
        controller = stage.controller(server)
        arguments = {
            "xmpp_jid": server.administrator,
            "xmpp_password": server.password,
            "api_url": f"http://{server.host}:{server.api_port}/xmlrpc",
            "users": people,
        }

        def commands() -> float:
            return seconds(lambda: [server.register(**person) for person in people])

        def agent() -> float:
            began = time.perf_counter()
            with stage.start_agent(host, server, stage.room(), contacts="managed"):
                while len(server.registered()) < ACCOUNTS + 2:
                    if time.perf_counter() - began > PATIENCE:
                        raise RuntimeError(f"Not all accounts are there after {PATIENCE:g} s.")
                    time.sleep(0.02)
                took = time.perf_counter() - began
            online(server, 0)
            return took

        def made(way: t.Callable[[], float]) -> dict[Figure, float]:
            took = way()
            new = server.registered() - {"admin", NAME}
            if len(new) != ACCOUNTS:
                raise RuntimeError(f"{len(new)} of {ACCOUNTS} accounts were made.")
            for name in new:
                server.api("unregister", user=name, host=server.domain)
            return {TOOK: 1000 * took / ACCOUNTS}

        ways = {
            "ejabberd's HTTP API, a request for each": commands,
            "xmpp_user, one task": lambda: controller.task("archipel.orchestrator.xmpp_user", arguments),
            "the agent, for its machines": agent,
        }
        return compare(
            [Way(name, functools.partial(made, way), yardstick=way is commands) for name, way in ways.items()],
            rounds,
        )
