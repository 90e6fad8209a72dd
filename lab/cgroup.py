# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cgroup of one container, in the unified tree and, where the machine has both (hybrid), in systemd's own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
import typing as t

_MOUNT: t.Final = pathlib.Path("/sys/fs/cgroup")
_PARENT: t.Final = "archipel-lab"


def unified() -> pathlib.Path | None:
    """Where the unified tree (cgroup2) is mounted, or None."""
    for tree in (_MOUNT, _MOUNT / "unified"):
        if (tree / "cgroup.procs").exists():
            return tree
    return None


@dataclasses.dataclass(frozen=True)
class Cgroup:
    """``name`` is unique on the machine. systemd-nspawn makes ``supervisor`` and ``payload`` below it."""

    name: str

    @property
    def directories(self) -> list[pathlib.Path]:
        trees = [tree for tree in (unified(), _MOUNT / "systemd") if tree and (tree / "cgroup.procs").exists()]
        return [tree / _PARENT / self.name for tree in trees]

    @property
    def _control(self) -> pathlib.Path:
        return self.directories[0]

    def create(self) -> None:
        for directory in self.directories:
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def populated(self) -> bool:
        try:
            return "populated 1" in (self._control / "cgroup.events").read_text()
        except FileNotFoundError:
            return False

    @property
    def supervisor(self) -> int | None:
        """The process of systemd-nspawn itself."""
        try:
            processes = (self._control / "supervisor" / "cgroup.procs").read_text().split()
        except FileNotFoundError:
            return None
        return int(processes[0]) if processes else None

    def wait_empty(self, seconds: float) -> bool:
        """Whether all of its processes ended within that time."""
        end = time.monotonic() + seconds
        while self.populated and time.monotonic() < end:
            time.sleep(0.05)
        return not self.populated

    def kill(self) -> None:
        """End all processes in it at once, as a power cut does."""
        if self._control.exists():
            (self._control / "cgroup.kill").write_text("1")
            self.wait_empty(10)

    def remove(self) -> None:
        """Remove it where it is empty, and the lab's own parent with the last of them."""
        for top in self.directories:
            for found in os.walk(top, topdown=False):
                os.rmdir(found[0])
            # Not empty while there are others.
            with contextlib.suppress(OSError):
                top.parent.rmdir()
