# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The states of a machine, in libvirt's words, and how to get from one to another."""

from __future__ import annotations

import functools
import typing as t

from .connection import libvirt

# virDomainState, in libvirt's words
STATES: t.Final = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
ACTIVE: t.Final = frozenset(("running", "blocked", "paused", "shutdown", "pmsuspended"))
RUNNING: t.Final = frozenset(("running", "blocked"))

# What a task asks for
Asked = t.Literal["present", "absent", "running", "shutdown", "destroyed", "paused", "saved", "restarted", "reset"]

# Shut off with its memory kept (managed save). To libvirt that is no state of its own.
SAVED: t.Final = "saved"

# The state that a task asks for → the state told, or SAVED → the verbs of Machine that lead there. A state that is not
# listed is where it is to be. A paused machine cannot hear a request to shut down, so it runs on first; one that is
# shutting down or has crashed is still active, and cannot be started before it is off.
VERBS: t.Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "present": {},
    "running": {
        **dict.fromkeys(("shutoff", SAVED, "paused", "pmsuspended"), ("start",)),
        "shutdown": ("shutdown", "start"),
        "crashed": ("destroy", "start"),
    },
    "shutdown": {
        **dict.fromkeys(("running", "blocked", "shutdown"), ("shutdown",)),
        **dict.fromkeys(("paused", "pmsuspended"), ("start", "shutdown")),
        "crashed": ("destroy",),
    },
    "destroyed": dict.fromkeys((*sorted(ACTIVE), "crashed"), ("destroy",)),
    "paused": {
        **dict.fromkeys(("running", "blocked"), ("pause",)),
        **dict.fromkeys(("shutoff", SAVED), ("start_paused",)),
    },
    "saved": dict.fromkeys(("running", "blocked", "paused"), ("save",)),
    "restarted": {
        **dict.fromkeys(("running", "blocked", "shutdown"), ("shutdown", "start")),
        **dict.fromkeys(("paused", "pmsuspended", SAVED), ("start", "shutdown", "start")),
        "shutoff": ("start",),
        "crashed": ("destroy", "start"),
    },
    "reset": {
        **dict.fromkeys(("running", "blocked"), ("reset",)),
        **dict.fromkeys(("paused", "pmsuspended"), ("start", "reset")),
        **dict.fromkeys(("shutoff", SAVED), ("start",)),
        "crashed": ("destroy", "start"),
    },
}

# From a state told, how a machine comes to run with its new configuration and as it ran before.
RESTART: t.Final[dict[str, tuple[str, ...]]] = {
    **VERBS["restarted"],
    "paused": ("start", "shutdown", "start_paused"),
    "shutoff": (),
}

# The state told that a verb leads to, and that a state asked for is.
LEADS_TO: t.Final = {"start": "running", "start_paused": "paused", "pause": "paused", "resume": "running",
                     "shutdown": "shutoff", "destroy": "shutoff", "save": SAVED, "reset": "running"}  # fmt: skip
REACHED: t.Final = {"running": "running", "shutdown": "shutoff", "destroyed": "shutoff", "paused": "paused",
                    "saved": SAVED, "restarted": "running", "reset": "running"}  # fmt: skip

# States asked for that the process of a running machine does not survive: what it was started with is gone then.
ENDING: t.Final = frozenset(("absent", "shutdown", "destroyed", "restarted"))


def needs_configuration(verbs: t.Sequence[str]) -> bool:
    """Whether a machine has to be remembered while it is off to go that way."""
    return "save" in verbs or any(LEADS_TO[verb] == "shutoff" for verb in verbs[:-1])


def state_name(state: int) -> str:
    return STATES[state] if 0 <= state < len(STATES) else "nostate"


@functools.cache
def reason_name(state: int, reason: int) -> str:
    """libvirt's word for why, from its constants (``VIR_DOMAIN_PAUSED_MIGRATION`` is ``migration``)."""
    prefix = f"VIR_DOMAIN_{state_name(state).upper()}_"
    if prefix == "VIR_DOMAIN_SHUTDOWN_":  # shared with the flags of virDomainShutdownFlags
        return ("unknown", "user")[reason] if reason in (0, 1) else "unknown"
    names = [name for name, value in vars(libvirt).items() if name.startswith(prefix) and value == reason]
    # VIR_DOMAIN_PMSUSPENDED_DISK_UNKNOWN belongs to another state than VIR_DOMAIN_PMSUSPENDED_UNKNOWN.
    return min(names, key=len, default=prefix + "unknown")[len(prefix) :].lower()
