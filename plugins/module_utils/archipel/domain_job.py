# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A piece of work that libvirt does to a domain while a call waits: how far it is, an end when its time is over."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from .actions import Progress
from .connection import libvirt, translated
from .errors import WaitTimeout

if t.TYPE_CHECKING:
    from .machine import Machine

INTERVAL = 0.5


@contextlib.contextmanager
def domain_job(machine: Machine, wait_timeout: float, progress: Progress, what: str) -> t.Iterator[None]:
    """Tell of libvirt's job (virDomainGetJobStats) while the block runs, and abort it after ``wait_timeout`` seconds.

    Not every job can be aborted; then the block ends when libvirt is done. ``what`` says it in the infinitive.
    """
    over = threading.Event()
    aborted = threading.Event()

    def watch() -> None:
        end = time.monotonic() + wait_timeout
        while not over.wait(INTERVAL):
            with contextlib.suppress(libvirt.libvirtError):
                stats = machine.domain.jobStats()
                total = stats.get(libvirt.VIR_DOMAIN_JOB_DATA_TOTAL, 0)
                if total:
                    fraction = min(stats.get(libvirt.VIR_DOMAIN_JOB_DATA_PROCESSED, 0) / total, 1.0)
                    progress(f"{what}, {fraction:.0%}", fraction)
            if time.monotonic() > end and not aborted.is_set():
                with contextlib.suppress(libvirt.libvirtError):
                    machine.domain.abortJob()
                    aborted.set()

    progress(what)
    watcher = threading.Thread(target=watch, name=f"job of {machine.name}", daemon=True)
    watcher.start()
    try:
        yield
    except libvirt.libvirtError as error:
        if aborted.is_set():
            raise WaitTimeout(f"{machine.name} did not {what} within {wait_timeout} s; it was aborted.") from error
        raise translated(error, f"{machine.name} could not {what}") from error
    finally:
        over.set()
        watcher.join()
