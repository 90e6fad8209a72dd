# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The states of a machine, in libvirt's words, and how to get from one to another."""

from __future__ import annotations

import typing as t

from .connection import libvirt

# virDomainState, in libvirt's words
STATES: t.Final = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
ACTIVE: t.Final = frozenset(("running", "blocked", "paused", "shutdown", "pmsuspended"))
RUNNING: t.Final = frozenset(("running", "blocked"))

# What a task asks for
Asked = t.Literal["present", "absent", "running", "shutdown", "destroyed", "paused"]

# The state that a task asks for → the state told → the verbs of Machine that lead there. A state that is not listed
# is where it is to be. A paused machine cannot hear a request to shut down, so it runs on first.
VERBS: t.Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "present": {},
    "running": dict.fromkeys(("shutoff", "paused", "pmsuspended", "crashed", "shutdown"), ("start",)),
    "shutdown": {
        **dict.fromkeys(("running", "blocked", "shutdown"), ("shutdown",)),
        **dict.fromkeys(("paused", "pmsuspended"), ("start", "shutdown")),
        "crashed": ("destroy",),
    },
    "destroyed": dict.fromkeys((*sorted(ACTIVE), "crashed"), ("destroy",)),
    "paused": {**dict.fromkeys(("running", "blocked"), ("pause",)), "shutoff": ("start_paused",)},
}

# What the state asked for is called when it has been reached.
REACHED: t.Final = {"running": "running", "shutdown": "shutoff", "destroyed": "shutoff", "paused": "paused"}


def state_name(state: int) -> str:
    return STATES[state] if 0 <= state < len(STATES) else "nostate"


def reason_name(state: int, reason: int) -> str:
    """libvirt's word for why, from its constants (``VIR_DOMAIN_PAUSED_MIGRATION`` is ``migration``)."""
    prefix = f"VIR_DOMAIN_{state_name(state).upper()}_"
    if prefix == "VIR_DOMAIN_SHUTDOWN_":  # shared with the flags of virDomainShutdownFlags
        return ("unknown", "user")[reason] if reason in (0, 1) else "unknown"
    for name, value in vars(libvirt).items():
        if name.startswith(prefix) and value == reason and not name.endswith("_LAST"):
            return name[len(prefix) :].lower()
    return "unknown"
