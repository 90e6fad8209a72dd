# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small Debian that all hosts stand on, and what it shares with the layers on it: how such things are kept."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import typing as t

from . import indexes
from .container import unmount
from .plan import Lab
from .steps import run

# What a small server image of Debian has and Ansible needs.
_BASE: t.Final = (
    *("systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "python3", "python3-apt", "sudo"),
    *("iproute2", "iputils-ping", "ca-certificates", "curl", "kmod", "procps", "netbase"),
)
# Nobody reads documentation in the lab; leaving it out saves a fifth of the time.
_DPKG: t.Final = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
)
_CERTIFICATES: t.Final = pathlib.Path("/usr/local/share/ca-certificates")


def fingerprint(*facts: object) -> str:
    """Part of the name of what was made by a recipe, so that another recipe makes it anew."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def directory(lab: Lab) -> pathlib.Path:
    """Where the base is, or will be."""
    recipe = fingerprint(_BASE, _DPKG, indexes.sources(lab.suite), indexes.acquire_options())
    return lab.cache / f"base-{lab.suite}-{recipe}"


def make(lab: Lab) -> None:
    """Make the base where it is missing."""
    target = directory(lab)
    if target.exists():
        return
    options = lab.cache / "apt.conf"
    options.write_text(indexes.acquire_options() + 'APT::Install-Recommends "false";\n')
    partial = clear(target.with_name("base.partial"))
    command = ["mmdebstrap", "--quiet", "--variant=apt", "--skip=cleanup/apt/lists"]
    # A merged /usr from the start; the package that merges it would bring perl and cost six seconds.
    command += ["--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr"]
    command += [f"--include={','.join(_BASE)}", f"--aptopt={options}"]
    command += [f"--dpkgopt={option}" for option in _DPKG]
    run(*command, lab.suite, partial, *indexes.sources(lab.suite), log=log(lab, "base"))
    _finish(partial)
    retire(lab, f"base-{lab.suite}")
    partial.rename(target)


def _finish(root: pathlib.Path) -> None:
    """Take away what would make all hosts one and the same, and let them trust whom the machine trusts."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    # dbus copies the id it was made with, and interfaces derive their MAC from it.
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (root / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    (root / "etc/machine-id").write_text("")
    (root / "etc/resolv.conf").write_text("")
    for certificate in _CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, root / str(_CERTIFICATES)[1:])
    run("chroot", root, "update-ca-certificates")
    run("chroot", root, "systemctl", "--quiet", "enable", "systemd-networkd")


def clear(directory: pathlib.Path) -> pathlib.Path:
    """An aborted attempt's directory, empty of it."""
    unmount(directory / "root")
    shutil.rmtree(directory, ignore_errors=True)
    return directory


def retire(lab: Lab, name: str) -> None:
    """Drop earlier versions, unless a host or a layer stands on one."""
    used = "".join(record.read_text() for record in lab.directory.glob("*/hosts/*/lower"))
    used += pathlib.Path("/proc/mounts").read_text()
    for old in lab.cache.glob(f"{name}-*"):
        if str(old) not in used:
            shutil.rmtree(old)


def log(lab: Lab, name: str) -> pathlib.Path:
    """A log that begins anew."""
    path = lab.logs / f"{name}.log"
    path.unlink(missing_ok=True)
    return path
