# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a whole: brought up, taken down, wiped."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import pathlib
import shutil
import typing as t

from . import base, hosts, layers, network, preflight
from .environment import write_inventory
from .layers import LAYERS
from .plan import HOSTS, Host, Lab
from .steps import LabError, step, together


@contextlib.contextmanager
def locked(lab: Lab) -> t.Iterator[None]:
    """One command at a time changes what is below the lab's directory."""
    preflight.check_root()
    for directory in (lab.cache, lab.state, lab.logs):
        directory.mkdir(parents=True, exist_ok=True)
    with (lab.directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  waiting for another command of the lab")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(lab: Lab, wanted: t.Sequence[Host], also: t.Mapping[str, t.Callable[[], object]] | None = None) -> None:
    """What hosts stand on, made where it is missing; ``also`` is other work that can be done beside the layers."""
    preflight.install(lab)
    if not base.directory(lab).exists():
        with step(f"base system: Debian {lab.suite}"):
            base.make(lab)
    works: dict[str, t.Callable[[], object]] = {
        f"packages of {name}": functools.partial(layers.make, lab, LAYERS[name])
        for name in sorted({"proxy", *(h.layer for h in wanted if h.layer)})
        if not LAYERS[name].disk(lab).directory.exists()
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
        for one in wanted:
            hosts.start(lab, one)
        write_inventory(lab)
        for one in wanted:
            hosts.await_ready(lab, one)


def down(lab: Lab) -> None:
    """Take the hosts away: processes, mounts, interfaces, cgroups, disks. The cache stays."""
    with locked(lab), step("taking the hosts away"):
        hosts.close_connections(lab)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(functools.partial(hosts.discard, lab), HOSTS))
        network.down(lab)
        shutil.rmtree(lab.state)


def wipe(lab: Lab) -> None:
    """Take away all that was ever made, the cache too."""
    down(lab)
    if str(lab.directory) in pathlib.Path("/proc/mounts").read_text():
        raise LabError(f"Not removing {lab.directory}: another lab is up.")
    shutil.rmtree(lab.directory)
