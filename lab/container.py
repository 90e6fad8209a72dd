# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-nspawn on an overlay, the one way in which the lab runs something apart from the machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import typing as t

from .cgroup import Cgroup
from .steps import LabError, run

# A container that asks to be rebooted ends with 133 (systemd-nspawn's --keep-unit leaves the restart to its caller).
_SUPERVISE: t.Final = """
for directory in $DIRECTORIES; do echo $$ > "$directory/cgroup.procs"; done
unset DIRECTORIES
while :; do "$@"; code=$?; [ $code = 133 ] || exit $code; done
"""


def unmount(root: pathlib.Path) -> None:
    """Unmount what is mounted there, if anything is."""
    if root.is_mount():
        run("umount", root)


@dataclasses.dataclass(frozen=True)
class Overlay:
    """A root directory: ``lower`` (topmost first) are read, changes go to ``directory``/upper."""

    directory: pathlib.Path
    lower: tuple[pathlib.Path, ...]

    @property
    def root(self) -> pathlib.Path:
        return self.directory / "root"

    @property
    def upper(self) -> pathlib.Path:
        return self.directory / "upper"

    def mount(self) -> None:
        for name in ("root", "upper", "work"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        if not self.root.is_mount():
            lower = ":".join(map(str, self.lower))
            options = f"lowerdir={lower},upperdir={self.upper},workdir={self.directory / 'work'}"
            run("mount", "-t", "overlay", "archipel-lab", "-o", options, self.root)


@dataclasses.dataclass(frozen=True)
class Container:
    """``name`` is the machine-wide one: of the cgroup and, with a bridge, of the interface ``vb-<name>``."""

    name: str
    root: pathlib.Path
    options: tuple[str, ...] = ()

    @property
    def cgroup(self) -> Cgroup:
        return Cgroup(self.name)

    @property
    def running(self) -> bool:
        return self.cgroup.populated

    def _command(self, words: t.Iterable[str]) -> tuple[list[str], dict[str, str]]:
        self.cgroup.create()
        nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no", "--timezone=off"]
        nspawn += ["--console=pipe", f"--directory={self.root}", f"--machine={self.name}", *self.options, *words]
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            "DIRECTORIES": " ".join(map(str, self.cgroup.directories)),
        }
        return ["sh", "-c", _SUPERVISE, "supervise", *nspawn], environment

    def start(self, *words: str, log: pathlib.Path) -> None:
        """Run a command (with the option ``--boot``, an init's arguments) and leave it running."""
        command, environment = self._command(words)
        with log.open("a") as sink:
            subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )

    def run(self, *words: str, log: pathlib.Path) -> str:
        """Run a command to its end; LabError when it fails."""
        command, environment = self._command(words)
        try:
            return run(*command, name=f"{words[0]} in {self.name}", log=log, environment=environment)
        finally:
            self.cut()

    def stop(self, seconds: float = 20) -> None:
        """Shut down in an orderly way, or cut the power when that takes too long."""
        supervisor = self.cgroup.supervisor
        if supervisor:
            os.kill(supervisor, signal.SIGTERM)
            self.cgroup.wait_empty(seconds)
        self.cut()

    def cut(self) -> None:
        """Cut the power, and leave nothing of it behind."""
        self.cgroup.kill()
        if self.running:
            raise LabError(f"Processes of {self.name} do not end; see {self.cgroup.directories[0]}/cgroup.procs.")
        self.cgroup.remove()
        # systemd-nspawn leaves this where /run is not a tmpfs.
        with contextlib.suppress(FileNotFoundError):
            pathlib.Path("/run/systemd/nspawn/propagate", self.name).rmdir()
