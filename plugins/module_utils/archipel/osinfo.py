# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The operating system in a machine, as libosinfo names it, and what follows from it."""

from __future__ import annotations

import typing as t

from . import xmltree
from .elements import Attribute
from .errors import InvalidDefinition
from .groups import Group, Values

# Types of domains whose devices are paravirtual ones wherever the guest has drivers for them.
_VIRTUAL: t.Final = ("kvm", "qemu", "hvf")
# What has no drivers for virtio by itself.
_WITHOUT_VIRTIO: t.Final = ("http://microsoft.com/",)
_ID: t.Final = "metadata/libosinfo:libosinfo/libosinfo:os/@id"


def _check(values: Values, where: str) -> None:
    if values.get("id", "http://")[:7] not in ("", "http://"):
        raise InvalidDefinition(
            f"{where}.id: {values['id'][:80]!r} is none of libosinfo's; they look like http://debian.org/debian/12"
            " (osinfo-query os --fields=short-id,id lists them)."
        )


OSINFO: t.Final = Group(
    "osinfo",
    (
        Attribute("id", _ID, "Identifier in libosinfo's database. Without one a new machine gets virtio devices; one of"
                  " Windows gets those that it has drivers for, and a clock in local time.",
                  examples=("http://debian.org/debian/12", "http://microsoft.com/win/11")),
    ),
    help="The operating system that is to run in the machine.",
    check=_check,
)  # fmt: skip


def virtual(domain: t.Any) -> bool:
    """Whether the domain's devices are made up by QEMU."""
    return domain.get("type") in _VIRTUAL


def virtio(domain: t.Any) -> bool:
    """Whether virtio devices are to be expected of the domain's operating system."""
    return virtual(domain) and not windows(xmltree.read(domain, _ID))


def windows(identifier: str | None) -> bool:
    return (identifier or "").startswith(_WITHOUT_VIRTIO)
