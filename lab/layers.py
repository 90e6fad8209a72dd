# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles would install, installed beforehand: a layer on the base for each kind of host.

Roles are the same as in production; they find packages already there. What a layer has is read from the roles
themselves, and it is made anew when they change.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import typing as t

from . import base
from .container import Container, Overlay, unmount
from .plan import REPOSITORY, Lab
from .steps import LabError

_ROLES: t.Final = REPOSITORY / "roles"


@dataclasses.dataclass(frozen=True)
class Layer:
    """Debian packages, those of ``variables`` (role, name) and more; ``off`` are services that are not to start before
    a role has configured them."""

    name: str
    variables: tuple[tuple[str, str], ...] = ()
    more: tuple[str, ...] = ()
    off: tuple[str, ...] = ()

    @property
    def packages(self) -> list[str]:
        return sorted({*self.more, *(package for role, name in self.variables for package in listed(role, name))})

    def disk(self, lab: Lab) -> Overlay:
        """Where it is, or will be: it is made when the directory has this name."""
        recipe = base.fingerprint(base.directory(lab), self.packages, self.off)
        return Overlay(lab.cache / f"{self.name}-{lab.suite}-{recipe}", (base.directory(lab),))

    def lower(self, lab: Lab) -> tuple[pathlib.Path, ...]:
        """What a host on this layer stands on."""
        disk = self.disk(lab)
        return (disk.upper, *disk.lower)


LAYERS: t.Final = {
    layer.name: layer
    for layer in (
        # The role installs the server without starting it; an unconfigured one would leave a database behind.
        Layer("ejabberd", (("ejabberd", "ejabberd_packages"),), off=("ejabberd",)),
        Layer("hypervisor", (("hypervisor", "hypervisor_packages"), ("agent", "agent_packages"))),
        # The hosts' way out. pip's wheel is there to be asked which index it uses.
        Layer("proxy", more=("squid", "python3-pip-whl")),
    )
}


def listed(role: str, variable: str) -> list[str]:
    """The list that a role's defaults give to a variable."""
    path = _ROLES / role / "defaults/main.yml"
    found = re.search(rf"^{variable}:\n((?:[ ]*(?:- .*|#.*)?\n)+)", path.read_text(), re.MULTILINE)
    items = re.findall(r"^ *- *['\"]?([^'\"\s#]+)", found[1], re.MULTILINE) if found else []
    if not items:
        raise LabError(f"{path} has no list {variable}; the lab reads from it what to install beforehand.")
    return items


def make(lab: Lab, layer: Layer) -> None:
    """Make a layer where it is missing: apt on an overlay of the base."""
    finished = layer.disk(lab)
    if finished.directory.exists():
        return
    partial = Overlay(base.clear(lab.cache / f"{layer.name}.partial"), finished.lower)
    partial.mount()
    try:
        _fill(lab, layer, partial.root)
    finally:
        unmount(partial.root)
    base.retire(lab, f"{layer.name}-{lab.suite}")
    partial.directory.rename(finished.directory)


def _fill(lab: Lab, layer: Layer, root: pathlib.Path) -> None:
    never = root / "usr/sbin/policy-rc.d"
    never.write_text("#!/bin/sh\nexit 101\n")
    never.chmod(0o755)
    install = f"apt-get -qq install --no-install-recommends {' '.join(layer.packages)}"
    # The base's package lists may be weeks old, and what they name gone.
    commands = [f"{{ {install} || {{ apt-get -qq update && {install}; }}; }}", "apt-get clean"]
    commands += [f"systemctl --quiet disable {unit}" for unit in layer.off]
    container = Container(f"{lab.name}-make-{layer.name}", root, ("--resolv-conf=replace-host",))
    words = ("env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", " && ".join(commands))
    container.run(*words, log=base.log(lab, f"layer-{layer.name}"))
    never.unlink()
    (root / "etc/resolv.conf").write_text("")
