# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's network interfaces: keys are virt-install's."""

from __future__ import annotations

import re
import typing as t

from . import xmltree
from .elements import Attribute, Element
from .errors import InvalidDefinition

INTERFACE = Element(
    "interface",
    (
        Attribute("type", "@type", "Kind of connection; follows from O(networks[].network) or O(networks[].bridge).",
                  choices=("network", "bridge", "user", "direct", "ethernet")),
        Attribute("network", "source/@network", "Virtual network to connect to."),
        Attribute("bridge", "source/@bridge", "Bridge of the hypervisor to connect to."),
        Attribute("mac", "mac/@address", "MAC address; libvirt chooses one by default.", folded=True),
        Attribute("model", "model/@type", "Model of the device, for example V(virtio) or V(e1000e)."),
        Attribute("boot_order", "boot/@order", "Place in the order of boot devices.", int, minimum=1),
    ),
)  # fmt: skip

_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


def check(interface: dict[str, t.Any], where: str) -> None:
    """Refuse what contradicts itself, and fill in the type that follows."""
    if "network" in interface and "bridge" in interface:
        raise InvalidDefinition(f"{where}: network and bridge name two places; give one of them.")
    for kind in ("network", "bridge"):
        if kind in interface:
            if interface.setdefault("type", kind) != kind:
                raise InvalidDefinition(f"{where}: type {interface['type']} does not go with {kind}.")
        elif interface.get("type") == kind:
            raise InvalidDefinition(f"{where}: type {kind} needs the name of the {kind}.")
    if "type" not in interface and "mac" not in interface:
        raise InvalidDefinition(f"{where}: name a network, a bridge, or a type.")
    if "mac" in interface and not _MAC.fullmatch(interface["mac"]):
        raise InvalidDefinition(f"{where}.mac: {interface['mac'][:40]!r} is not a MAC address, like 52:54:00:12:34:56.")


def find(nodes: t.Sequence[t.Any], interface: t.Mapping[str, t.Any]) -> t.Any:
    """The one that is meant, among those that nothing named before: by MAC, else by its place, else the first."""
    if "mac" in interface:
        return next(
            (n for n in nodes if (xmltree.read(n, "mac/@address") or "").lower() == interface["mac"].lower()), None
        )
    place = {key: interface[key] for key in ("type", "network", "bridge") if key in interface}
    same = [node for node in nodes if not INTERFACE.compare(node, place)]
    return same[0] if same else nodes[0] if nodes else None


def make(interface: t.Mapping[str, t.Any], *, virtual: bool) -> t.Any:
    values = {"model": "virtio", **interface} if virtual else dict(interface)
    if "type" not in values:
        raise InvalidDefinition(
            f"There is no interface with the MAC address {values['mac']}; to add one, name its network or bridge."
        )
    node = xmltree.element("interface", type=values["type"])
    INTERFACE.write(node, values)
    return node
