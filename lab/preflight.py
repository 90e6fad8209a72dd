# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs of the machine it runs on, looked at before anything is done."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
import typing as t

from . import indexes
from .cgroup import unified
from .plan import Lab
from .steps import LabError, run, step

# All that the lab ever installs on the machine itself: command -> its package.
_PACKAGES: t.Final = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ssh": "openssh-client",
    "ip": "iproute2",
}
_ELSEWHERE: t.Final = "The roles work on hosts of your own as well: see README.md, «Your own hosts»."


def check_root() -> None:
    if os.geteuid() != 0:
        raise LabError(f"Making hosts needs root: run it as root, or with sudo. {_ELSEWHERE}")


def check(lab: Lab) -> None:
    """LabError where hosts cannot be made here."""
    check_root()
    release = pathlib.Path("/etc/os-release")
    if "\nID=debian\n" not in f"\n{release.read_text() if release.exists() else ''}\n":
        raise LabError(f"This is not Debian, and hosts are made with Debian's tools. {_ELSEWHERE}")
    namespaces = ["unshare", "--mount", "--pid", "--net", "--fork", "true"]
    if subprocess.run(namespaces, check=False, capture_output=True).returncode:
        raise LabError(
            "This machine does not let root make namespaces; it is probably a container itself. Use a virtual "
            f"machine, or start the container privileged. {_ELSEWHERE}"
        )
    tree = unified()
    if tree is None or not os.access(tree, os.W_OK):
        raise LabError(f"Control groups (cgroup2) are not mounted writable below /sys/fs/cgroup. {_ELSEWHERE}")
    _check_overlay(lab)
    # Fetches apt's lists where there are none, as on many an image of Debian.
    indexes.sources(lab.suite)


def _check_overlay(lab: Lab) -> None:
    lab.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=lab.directory) as name:
        lower, upper, work, root = (pathlib.Path(name, part) for part in ("lower", "upper", "work", "root"))
        for directory in (lower, upper, work, root):
            directory.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mount = ["mount", "-t", "overlay", "check", "-o", options, str(root)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            raise LabError(
                f"No overlay can be mounted in {lab.directory}: the kernel lacks overlayfs, or that directory is on "
                f"one itself. In the latter case point XDG_CACHE_HOME to a directory on a disk. {_ELSEWHERE}"
            )
        subprocess.run(["umount", root], check=True)


def missing() -> list[str]:
    """The packages that making hosts needs and this machine lacks."""
    return [package for command, package in _PACKAGES.items() if not shutil.which(command)]


def install(lab: Lab) -> None:
    """Install what is missing, and say what it is."""
    packages = missing()
    if not packages:
        return
    with step(f"installing on this machine: {' '.join(packages)}"):
        log = lab.logs / "apt.log"
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "-qq", "update", log=log, environment=environment)
        run("apt-get", "-qq", "install", "--no-install-recommends", *packages, log=log, environment=environment)
