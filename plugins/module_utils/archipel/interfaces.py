# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's network interfaces: keys are virt-install's."""

from __future__ import annotations

import re
import typing as t

from . import osinfo, xmltree
from .elements import ON_OFF, Attribute, Map
from .errors import InvalidDefinition
from .groups import Devices, Values, Wanted

# The keys that say where an interface of a type is connected.
_PLACES: t.Final = {"network": "network", "bridge": "bridge", "direct": "source"}
_PLACE: t.Final = ("type", *_PLACES.values())
IDENTITY: t.Final = ("mac", *_PLACE)
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


def _check(interface: Values, where: str) -> None:
    """Refuse what contradicts itself, and fill in the type that follows."""
    places = [key for key in _PLACES.values() if key in interface]
    if len(places) > 1:
        raise InvalidDefinition(f"{where}: {' and '.join(places)} name two places; give one of them.")
    for kind, key in _PLACES.items():
        if key in interface:
            if interface.setdefault("type", kind) != kind:
                raise InvalidDefinition(f"{where}: type {interface['type']} does not go with {key}.")
        elif interface.get("type") == kind:
            raise InvalidDefinition(
                f"{where}: type {kind} needs the name of the {'device' if kind == 'direct' else kind}"
                f"{' in source' if kind == 'direct' else ''}."
            )
    for direction in ("inbound", "outbound"):
        if (
            any(f"{direction}_{key}" in interface for key in ("peak", "burst"))
            and f"{direction}_average" not in interface
        ):
            raise InvalidDefinition(f"{where}: {direction}_peak and {direction}_burst need {direction}_average.")
    if "type" not in interface and "mac" not in interface:
        raise InvalidDefinition(f"{where}: name a network, a bridge, or a type.")
    if "mac" in interface and not _MAC.fullmatch(interface["mac"]):
        raise InvalidDefinition(f"{where}.mac: {interface['mac'][:40]!r} is not a MAC address, like 52:54:00:12:34:56.")


def _forget(interface: t.Any, changed: t.Collection[str]) -> None:
    """What is connected in another way is connected elsewhere."""
    if "type" in changed:
        xmltree.write(interface, "source", None)


class Interfaces(Devices):
    """They are told from each other by their MAC, or by where they are connected."""

    def pair(self, nodes: t.Sequence[t.Any], wanted: t.Sequence[Wanted]) -> list[t.Any]:
        """For each wanted interface the one that is meant: by MAC, else the next that is connected as asked, else, so
        that it keeps its MAC when it is connected elsewhere, the next that nothing else means."""
        left = list(nodes)
        pairs: list[t.Any] = [None] * len(wanted)
        for keys in (("mac",), _PLACE, ()):
            for i, interface in enumerate(wanted):
                if pairs[i] is not None or ("mac" in interface) != (keys == ("mac",)):
                    continue
                known = {key: interface[key] for key in keys if key in interface}
                pairs[i] = next((node for node in left if not self.compare(node, known)), None)
                if pairs[i] is not None:
                    left.remove(pairs[i])
        return pairs

    def name(self, node: t.Any, index: int) -> t.Any:
        del index
        return xmltree.read(node, "mac/@address")


def _new(wanted: Wanted, domain: t.Any) -> Values:
    if "type" not in wanted:
        raise InvalidDefinition(
            f"There is no interface with the MAC address {wanted['mac']}; to add one, name its network or bridge."
        )
    if not osinfo.virtual(domain):
        return dict(wanted)
    return {"model": "virtio" if osinfo.virtio(domain) else "e1000e", **wanted}


def _rates(direction: str, whose: str) -> tuple[Attribute, ...]:
    path = f"bandwidth/{direction}"
    return (
        Attribute(f"{direction}_average", f"{path}/@average", f"KiB per second that {whose} on average.", int,
                  minimum=1),
        Attribute(f"{direction}_peak", f"{path}/@peak", f"KiB per second that {whose} at most for a while.", int,
                  minimum=1),
        Attribute(f"{direction}_burst", f"{path}/@burst", "KiB that may come at that rate.", int, minimum=1),
    )  # fmt: skip


INTERFACE: t.Final = Interfaces(
    "networks",
    (
        Attribute("type", "@type", "Kind of connection; follows from O(networks[].network), O(networks[].bridge) or"
                  " O(networks[].source).",
                  choices=("network", "bridge", "user", "direct", "ethernet", "hostdev", "vhostuser", "vdpa")),
        Attribute("network", "source/@network", "Virtual network to connect to."),
        Attribute("bridge", "source/@bridge", "Bridge of the hypervisor to connect to."),
        Attribute("source", "source/@dev", "Device of the hypervisor to connect to directly, by macvtap."),
        Attribute("source_mode", "source/@mode", "How it is connected directly, or which end a vhost-user socket is.",
                  choices=("bridge", "vepa", "private", "passthrough", "server", "client")),
        Attribute("portgroup", "source/@portgroup", "Port group of the virtual network."),
        Attribute("mac", "mac/@address", "MAC address; libvirt chooses one by default.", folded=True,
                  examples=("52:54:00:00:00:01", "52:54:00:00:00:02")),
        Attribute("model", "model/@type", "Model of the device, for example V(virtio) or V(e1000e).",
                  examples=("virtio", "e1000e")),
        Attribute("link_state", "link/@state", "Whether the cable is plugged in.", choices=("up", "down")),
        Attribute("mtu", "mtu/@size", "Size of a packet in bytes.", int, minimum=68),
        Attribute("filterref", "filterref/@filter", "Network filter (nwfilter) that its packets pass.", whole=True,
                  examples=("clean-traffic", "no-mac-spoofing")),
        Map("filter_parameters", "filterref/parameter", "Parameters of the filter, each with its value.",
            value="@value", examples=({"IP": "192.0.2.7"}, {"IP": "192.0.2.8", "CTRL_IP_LEARNING": "none"})),
        Attribute("vlan", "vlan/tag/@id", "VLAN, where the kind of connection can tag packets.", int, minimum=0),
        Attribute("virtualport", "virtualport/@type", "Kind of virtual port on the switch.",
                  choices=("openvswitch", "midonet", "802.1Qbg", "802.1Qbh"), whole=True),
        Attribute("interfaceid", "virtualport/parameters/@interfaceid", "UUID of the port of Open vSwitch.",
                  examples=("09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f", "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa50")),
        Attribute("target", "target/@dev", "Name of the device on the hypervisor; libvirt chooses one by default.",
                  examples=("tap-one", "tap-two")),
        Attribute("driver", "driver/@name", "What serves it on the hypervisor.", choices=("vhost", "qemu", "vfio")),
        Attribute("queues", "driver/@queues", "Number of queues, of V(virtio).", int, minimum=1),
        Attribute("isolated", "port/@isolated", "Whether it reaches no other isolated port of the bridge.", bool),
        Attribute("trust_guest_rx_filters", "@trustGuestRxFilters", "Whether the guest may change its MAC address.",
                  bool),
        *_rates("inbound", "the machine receives"),
        *_rates("outbound", "the machine sends"),
        Attribute("rom_bar", "rom/@bar", "Whether the guest sees its boot ROM.", bool, words=ON_OFF),
        Attribute("boot_order", "boot/@order", "Place in the order of boot devices.", int, minimum=1),
    ),
    path="devices/interface",
    help="Network interfaces. Interfaces that are not named are left alone.",
    check=_check,
    forget=_forget,
    new=_new,
)  # fmt: skip
