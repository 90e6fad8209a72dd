# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent that nobody asks for anything, with many machines that are on, each with a contact.

It measures them every half minute, for the history of `hypervisor_info`; the test driver answers at once, so this is
the agent's own part. QEMU is asked every ten minutes only, at 4 ms a machine.
"""

from __future__ import annotations

import typing as t

from measure import Figure, Table, Way, compare
from stage import Stage

MACHINES: t.Final = 1000
SECONDS: t.Final = 65.0
BUSY: t.Final = Figure(f"processor time of an idle agent with {MACHINES} machines", "% of a core")


def run(stage: Stage, rounds: int) -> list[Table]:
    with (
        stage.host(MACHINES, managed=True, running=True) as host,
        stage.server() as server,
        stage.agent(host, server, contacts="managed") as agent,
    ):
        return compare([Way("the agent", lambda: {BUSY: 100 * agent.busy(SECONDS) / SECONDS})], rounds)
