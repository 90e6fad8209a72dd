# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts are made of: a base of Debian and, on it, layers with packages that roles would install.

Roles are the same as in production; they find packages already there. Which ones a layer has is read from the roles'
defaults, and a layer is made anew when they change.
"""

from __future__ import annotations

import hashlib
import pathlib
import re
import shutil
import typing as t

from . import indexes
from .container import Container, Overlay, unmount
from .plan import REPOSITORY, Lab
from .steps import LabError, run

# What a small server image of Debian has and Ansible needs.
_BASE: t.Final = (
    *("systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "python3", "python3-apt", "sudo"),
    *("iproute2", "iputils-ping", "ca-certificates", "curl", "procps", "netbase"),
)
# Nobody reads documentation in the lab; leaving it out saves a fifth of the time.
_DPKG: t.Final = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
)
_CERTIFICATES: t.Final = pathlib.Path("/usr/local/share/ca-certificates")


def listed(role: str, variable: str) -> list[str]:
    """The list that a role's defaults give to a variable."""
    path = REPOSITORY / "roles" / role / "defaults" / "main.yml"
    found = re.search(rf"^{variable}:\n((?:[ ]*(?:- .*|#.*)?\n)+)", path.read_text(), re.MULTILINE)
    items = re.findall(r"^ *- *['\"]?([^'\"\s#]+)", found[1], re.MULTILINE) if found else []
    if not items:
        raise LabError(f"{path} has no list {variable}; the lab reads from it what to install beforehand.")
    return items


LAYERS: t.Final[dict[str, t.Callable[[], list[str]]]] = {
    "ejabberd": lambda: listed("ejabberd", "ejabberd_packages"),
    "hypervisor": lambda: listed("hypervisor", "hypervisor_packages") + listed("agent", "agent_packages"),
    # The hosts' way out. pip's wheel is there to be asked which index it uses.
    "proxy": lambda: ["squid", "python3-pip-whl"],
}


def _fingerprint(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def base(lab: Lab) -> pathlib.Path:
    """Where the base is, or will be."""
    return (
        lab.cache
        / f"base-{_fingerprint(lab.suite, _BASE, _DPKG, indexes.sources(lab.suite), indexes.acquire_options())}"
    )


def layer(lab: Lab, name: str) -> Overlay:
    """Where a layer is, or will be: it is made when its directory has this name."""
    return Overlay(lab.cache / f"{name}-{_fingerprint(base(lab), sorted(LAYERS[name]()))}", (base(lab),))


def make_base(lab: Lab) -> None:
    """Make the base where it is missing."""
    target = base(lab)
    if target.exists():
        return
    options = lab.cache / "apt.conf"
    options.write_text(indexes.acquire_options() + 'APT::Install-Recommends "false";\n')
    partial = _clear(target.with_name("base.partial"))
    command = ["mmdebstrap", "--quiet", "--variant=apt", "--skip=cleanup/apt/lists"]
    # A merged /usr from the start; the package that merges it would bring perl and cost six seconds.
    command += ["--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr"]
    command += [f"--include={','.join(_BASE)}", f"--aptopt={options}"]
    command += [f"--dpkgopt={option}" for option in _DPKG]
    run(*command, lab.suite, partial, *indexes.sources(lab.suite), log=_log(lab, "base"))
    _finish(partial)
    _retire(lab, "base")
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


def make_layer(lab: Lab, name: str) -> None:
    """Make a layer where it is missing: apt on an overlay of the base."""
    finished = layer(lab, name)
    if finished.directory.exists():
        return
    partial = Overlay(_clear(lab.cache / f"{name}.partial"), finished.lower)
    partial.mount()
    try:
        never = partial.root / "usr/sbin/policy-rc.d"
        never.write_text("#!/bin/sh\nexit 101\n")
        never.chmod(0o755)
        container = Container(f"{lab.name}-make-{name}", partial.root, ("--resolv-conf=replace-host",))
        install = "apt-get -qq install --no-install-recommends " + " ".join(LAYERS[name]()) + " && apt-get clean"
        container.run("env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", install, log=_log(lab, f"layer-{name}"))
        never.unlink()
        (partial.root / "etc/resolv.conf").write_text("")
    finally:
        unmount(partial.root)
    _retire(lab, name)
    partial.directory.rename(finished.directory)


def _clear(directory: pathlib.Path) -> pathlib.Path:
    """An aborted attempt's directory, empty of it."""
    unmount(directory / "root")
    shutil.rmtree(directory, ignore_errors=True)
    return directory


def _retire(lab: Lab, name: str) -> None:
    """Drop earlier versions, unless a host or a layer stands on one."""
    used = "".join(record.read_text() for record in lab.directory.glob("*/hosts/*/lower"))
    used += pathlib.Path("/proc/mounts").read_text()
    for old in lab.cache.glob(f"{name}-*"):
        if str(old) not in used:
            shutil.rmtree(old)


def _log(lab: Lab, name: str) -> pathlib.Path:
    path = lab.logs / f"{name}.log"
    path.unlink(missing_ok=True)
    return path
