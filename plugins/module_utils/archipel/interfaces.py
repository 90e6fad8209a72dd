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
                  choices=("network", "bridge", "user", "ethernet")),
        Attribute("network", "source/@network", "Virtual network to connect to."),
        Attribute("bridge", "source/@bridge", "Bridge of the hypervisor to connect to."),
        Attribute("mac", "mac/@address", "MAC address; libvirt chooses one by default.", folded=True),
        Attribute("model", "model/@type", "Model of the device, for example V(virtio) or V(e1000e)."),
        Attribute("boot_order", "boot/@order", "Place in the order of boot devices.", int, minimum=1),
    ),
)  # fmt: skip

_PLACE: t.Final = ("type", "network", "bridge")
IDENTITY: t.Final = ("mac", *_PLACE)
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


def pair(nodes: t.Sequence[t.Any], wanted: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Any]:
    """For each wanted interface the one that is meant: by MAC, else the next that is connected as asked, else, so that
    it keeps its MAC when it is connected elsewhere, the next that nothing else means."""
    left = list(nodes)
    pairs: list[t.Any] = [None] * len(wanted)
    for keys in (("mac",), _PLACE, ()):
        for i, interface in enumerate(wanted):
            if pairs[i] is not None or ("mac" in interface) != (keys == ("mac",)):
                continue
            known = {key: interface[key] for key in keys if key in interface}
            pairs[i] = next((node for node in left if not INTERFACE.compare(node, known)), None)
            if pairs[i] is not None:
                left.remove(pairs[i])
    return pairs


def make(interface: t.Mapping[str, t.Any], *, virtual: bool) -> t.Any:
    values = {"model": "virtio", **interface} if virtual else dict(interface)
    if "type" not in values:
        raise InvalidDefinition(
            f"There is no interface with the MAC address {values['mac']}; to add one, name its network or bridge."
        )
    node = xmltree.element("interface", type=values["type"])
    INTERFACE.write(node, values)
    return node
