# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Directories of the host that a machine sees: keys are virt-install's."""

from __future__ import annotations

import typing as t

from .elements import Attribute
from .errors import InvalidDefinition
from .groups import Devices, Values

VIRTIOFS: t.Final = "virtiofs"


def _check(filesystem: Values, where: str) -> None:
    if not filesystem.get("target"):
        raise InvalidDefinition(f"{where}: name the target, under which the machine finds it.")
    if filesystem.get("source", "/")[:1] not in ("", "/"):
        raise InvalidDefinition(f"{where}.source: {filesystem['source']!r} must be absolute.")


def _new(wanted: t.Mapping[str, t.Any], _domain: t.Any) -> Values:
    if not wanted.get("source"):
        raise InvalidDefinition(f"There is no filesystem {wanted['target']}; to add one, name its source.")
    # virtiofs and containers know this mode only.
    return {"type": "mount", "accessmode": "passthrough", **wanted}


FILESYSTEMS: t.Final = Devices(
    "filesystems",
    (
        Attribute("target", "target/@dir", "Name by which the guest mounts it; in a container, where it is mounted.",
                  examples=("one", "two")),
        Attribute("source", "source/@dir", "Directory on the hypervisor."),
        Attribute("type", "@type", "Kind of source.", choices=("mount", "bind")),
        Attribute("driver", "driver/@type", f"How it reaches the guest. V({VIRTIOFS}) needs shared memory, which is"
                  " asked for with it.", choices=(VIRTIOFS, "path", "handle", "loop", "nbd", "ploop", "mtp"),
                  offered="devices/filesystem/driverType"),
        Attribute("queue", "driver/@queue", f"Length of the queue, of V({VIRTIOFS}).", int, minimum=1),
        Attribute("accessmode", "@accessmode", "Whose rights count on the hypervisor.",
                  choices=("passthrough", "mapped", "squash")),
        Attribute("readonly", "readonly?", "Whether the machine may only read it.", bool),
        Attribute("binary", "binary/@path", f"Program of the hypervisor that serves V({VIRTIOFS})."),
        Attribute("xattr", "binary/@xattr", "Whether extended attributes are passed on.", bool, words=("on", "off")),
    ),
    path="devices/filesystem",
    help="Directories of the hypervisor that the machine sees. Those that are not named are left alone.",
    identity=("target",),
    check=_check,
    new=_new,
)  # fmt: skip


def share_memory(values: Values) -> None:
    """virtiofs reads the guest's memory: ask for memory that it can."""
    if any(filesystem.get("driver") == VIRTIOFS for filesystem in values.get("filesystems", ())):
        memory = values.setdefault("memorybacking", {})
        memory.setdefault("access", "shared")
        if not memory.get("hugepages"):
            memory.setdefault("source", "memfd")
