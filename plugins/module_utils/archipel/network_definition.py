# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A virtual network's definition: what a person may say about it, and libvirt's network XML."""

from __future__ import annotations

import copy
import dataclasses
import ipaddress
import re
import typing as t

from . import xmltree
from .elements import Attribute, Change, Element
from .errors import InvalidDefinition
from .nested import Edit, Known, Mode, Nested, Texts, Values

_LARGEST_PREFIX: t.Final = {4: 32, 6: 128}


@dataclasses.dataclass(frozen=True)
class Prefix(Attribute):
    """The length of a network's part of an address, which the XML may give as a netmask, or leave to the address."""

    def read(self, node: t.Any) -> int | None:
        prefix, netmask, address = (node.get(name) for name in ("prefix", "netmask", "address"))
        if prefix is not None:
            return int(prefix)
        if netmask is not None:
            return ipaddress.ip_network(f"0.0.0.0/{netmask}").prefixlen
        return _default_prefix(address) if address else None

    def write(self, node: t.Any, value: int) -> None:
        node.attrib.pop("netmask", None)
        node.set("prefix", str(value))


def _default_prefix(address: str) -> int:
    """What libvirt takes where nothing is said: the address's class (virSocketAddrGetIPPrefix)."""
    if ":" in address:
        return 64
    first = int(address.split(".")[0])
    return 0 if address == "0.0.0.0" else 8 if first < 128 else 16 if first < 192 else 24


LEASE = (
    Attribute("lease_expiry", "lease/@expiry", "How long a lease lasts, in O(ips[].dhcp.ranges[].lease_unit); V(0) is"
              " for ever.", int, minimum=0),
    Attribute("lease_unit", "lease/@unit", "Unit of the lease's time; libvirt's default is V(minutes).",
              choices=("seconds", "minutes", "hours")),
)  # fmt: skip

RANGES = Nested(
    Element("range", (
        Attribute("start", "@start", "First address."), Attribute("end", "@end", "Last address."), *LEASE,
    )),
    "Addresses that the DHCP server hands out.",
    "dhcp/range", (("start", "end"), ("start",), ("end",)), "IP_DHCP_RANGE",
)  # fmt: skip

HOSTS = Nested(
    Element("host", (
        Attribute("mac", "@mac", "MAC address of the machine.", folded=True),
        Attribute("id", "@id", "DHCP unique identifier of the machine, in IPv6.", folded=True),
        Attribute("name", "@name", "Name that the machine is told, and that the network's DNS server knows."),
        Attribute("ip", "@ip", "Address that the machine gets."),
        *LEASE,
    )),
    "Addresses that are kept for machines.",
    "dhcp/host", (("mac",), ("id",), ("ip",), ("name",)), "IP_DHCP_HOST",
)  # fmt: skip

DHCP = Nested(
    Element("dhcp", (
        Attribute("bootp_file", "dhcp/bootp/@file", "File that machines boot from over the network."),
        Attribute("bootp_server", "dhcp/bootp/@server", "Server of that file, by default the network's own address."),
    )),
    "The DHCP server for this address.",
    within={"ranges": RANGES, "hosts": HOSTS},
)  # fmt: skip

_SUBNET = (
    Prefix("prefix", "@prefix", "Length of the network's part of the address.", int, minimum=0),
    Attribute("netmask", "", "The same as a netmask."),
    Known("family", "@family", "Follows from the address.", choices=("ipv4", "ipv6"), absent="ipv4"),
)  # fmt: skip

IPS = Nested(
    Element("ip", (
        Attribute("address", "@address", "Address of the hypervisor in the network, also as V(192.168.100.1/24).",
                  folded=True),
        *_SUBNET,
        Known("local_ptr", "@localPtr", "Whether the network's DNS server answers for addresses of this subnet alone.",
              bool),
        Attribute("tftp_root", "tftp/@root", "Directory of the hypervisor to serve by TFTP."),
    )),
    "Addresses of the hypervisor in the network. One that is not there takes the place of one of its family.",
    "ip", (("address",), ("family",), ()), within={"dhcp": DHCP},
)  # fmt: skip

ROUTES = Nested(
    Element("route", (
        Attribute("address", "@address", "Network that is routed, also as V(10.1.0.0/16).", folded=True),
        *_SUBNET,
        Attribute("gateway", "@gateway", "Address in this network that it is routed to.", folded=True),
        Attribute("metric", "@metric", "Metric of the route.", int, minimum=1),
    )),
    "Static routes of the hypervisor into the network.",
    "route", (("address", "prefix"),),
)  # fmt: skip

DNS = Nested(
    Element("dns", (
        Known("enable", "dns/@enable", "Whether the network has a DNS server.", bool, absent=True),
        Known("forward_plain_names", "dns/@forwardPlainNames", "Whether names without a dot are asked elsewhere.", bool,
              absent=True),
    )),
    "The network's DNS server.",
    within={
        "forwarders": Nested(
            Element("forwarder", (
                Attribute("domain", "@domain", "Domain whose names are asked there; without it, all."),
                Attribute("addr", "@addr", "Address of the DNS server to ask; without it, the hypervisor's own way."),
            )),
            "Where to ask for names.", "dns/forwarder", (("domain", "addr"),),
        ),
        "txt": Nested(
            Element("txt", (
                Attribute("name", "@name", "Name of the record."), Attribute("value", "@value", "Its text."),
            )),
            "TXT records.", "dns/txt", (("name",),), "DNS_TXT",
        ),
        "srv": Nested(
            Element("srv", (
                Attribute("service", "@service", "Name of the service."),
                Attribute("protocol", "@protocol", "V(tcp) or V(udp)."),
                Attribute("domain", "@domain", "Domain that the service is of."),
                Attribute("target", "@target", "Host that has it."),
                Attribute("port", "@port", "Its port.", int, minimum=1),
                Attribute("priority", "@priority", "Priority of the record.", int, minimum=0),
                Attribute("weight", "@weight", "Weight among those of a priority.", int, minimum=0),
            )),
            "SRV records.", "dns/srv", (("service", "protocol", "domain", "target"),), "DNS_SRV",
        ),
        "hosts": Nested(
            Element("host", (
                Attribute("ip", "@ip", "Address.", folded=True),
                Texts("hostnames", "hostname", "Names of the address."),
            )),
            "Names that the server knows itself.", "dns/host", (("ip",),), "DNS_HOST",
        ),
    },
)  # fmt: skip

VLAN = Nested(
    Element("vlan", (Known("trunk", "vlan/@trunk", "Whether frames come and go with their tags.", bool),)),
    "VLANs of the machines, where the bridge can have them (Open vSwitch, SR-IOV).",
    within={
        "tags": Nested(
            Element("tag", (
                Attribute("id", "@id", "Number of the VLAN.", int, minimum=0),
                Attribute("native_mode", "@nativeMode", "How frames without a tag belong to it.",
                          choices=("tagged", "untagged")),
            )),
            "The VLANs.", "vlan/tag", (("id",),),
        )
    },
)  # fmt: skip


def _rates(way: str, *more: tuple[str, str]) -> Nested:
    rates = (("average", "Bandwidth in KiB/s."), ("peak", "Bandwidth in KiB/s of bursts."),
             ("burst", "KiB that may go at the peak."), *more)  # fmt: skip
    attributes = (Attribute(key, f"bandwidth/{way}/@{key}", text, int, minimum=0) for key, text in rates)
    return Nested(Element(way, tuple(attributes)), "From the network." if way == "outbound" else "Into the network.")


BANDWIDTH = Nested(
    Element("bandwidth", ()),
    "Limits of what goes through.",
    within={
        "inbound": _rates("inbound", ("floor", "Bandwidth in KiB/s that is guaranteed.")),
        "outbound": _rates("outbound"),
    },
)  # fmt: skip

VIRTUALPORT = Nested(
    Element("virtualport", (
        Attribute("type", "virtualport/@type", "Kind of switch, for example V(openvswitch)."),
        Attribute("profile_id", "virtualport/parameters/@profileid", "Profile of the port there."),
    )),
    "How the switch is told of the machines' ports.",
)  # fmt: skip

PORTGROUPS = Nested(
    Element("portgroup", (
        Attribute("name", "@name", "Name of the group."),
        Known("default", "@default", "Whether machines that name no group are in this one.", bool),
        Known("trust_guest_rx_filters", "@trustGuestRxFilters",
              "Whether the hypervisor follows changes that a machine makes to its MAC addresses.", bool),
    )),
    "Kinds of ports that machines may ask for.",
    "portgroup", (("name",),), "PORTGROUP", {"vlan": VLAN, "bandwidth": BANDWIDTH, "virtualport": VIRTUALPORT},
)  # fmt: skip

FORWARD = Nested(
    Element("forward", (
        Attribute("mode", "forward/@mode", "How the network reaches others; V(none) is an isolated one, as every new"
                  " network is.",
                  choices=("none", "nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev")),
        Attribute("dev", "forward/@dev", "The only interface of the hypervisor to go through.",
                  also=("forward/interface/@dev",)),
        Attribute("pf", "forward/pf/@dev", "Interface of the hypervisor whose virtual functions the machines get."),
        Known("managed", "forward/@managed", "Whether libvirt takes PCI devices from the hypervisor by itself.", bool),
    )),
    "How machines reach other networks.",
    within={
        "nat": Nested(
            Element("nat", (
                Attribute("address_start", "forward/nat/address/@start", "First address to appear as."),
                Attribute("address_end", "forward/nat/address/@end", "Last address to appear as."),
                Attribute("port_start", "forward/nat/port/@start", "First port to use.", int, minimum=1),
                Attribute("port_end", "forward/nat/port/@end", "Last port to use.", int, minimum=1),
                Known("ipv6", "forward/nat/@ipv6", "Whether IPv6 is translated too.", bool),
            )),
            "How addresses are translated, with O(forward.mode=nat).",
        ),
        "interfaces": Nested(
            Element("interface", (Attribute("dev", "@dev", "Interface of the hypervisor."),)),
            "Interfaces of the hypervisor that machines are spread over.",
            "forward/interface", (("dev",),), "FORWARD_INTERFACE",
        ),
    },
)  # fmt: skip

NETWORK = Nested(
    Element("network", (
        Attribute("bridge", "bridge/@name", "Bridge that carries the network; libvirt makes one by default."),
        Known("stp", "bridge/@stp", "Whether the bridge speaks the spanning tree protocol.", bool, absent=True,
              words=("on", "off")),
        Attribute("bridge_delay", "bridge/@delay", "Seconds until a port of the bridge forwards.", int, minimum=0),
        Attribute("zone", "bridge/@zone", "Zone of firewalld that the bridge is put into."),
        Attribute("mac_table_manager", "bridge/@macTableManager", "Who keeps the bridge's table of MAC addresses.",
                  choices=("kernel", "libvirt")),
        Attribute("mac", "mac/@address", "MAC address of the bridge; libvirt chooses one by default.", folded=True),
        Attribute("mtu", "mtu/@size", "Largest packet.", int, minimum=68),
        Attribute("domain", "domain/@name", "DNS domain of the machines."),
        Known("domain_local_only", "domain/@localOnly", "Whether names of the domain are asked nowhere else.", bool),
        Known("ipv6", "@ipv6", "Whether machines reach each other by IPv6 without such an address here.", bool),
        Known("isolated", "port/@isolated", "Whether machines reach only the hypervisor and not each other.", bool),
        Known("trust_guest_rx_filters", "@trustGuestRxFilters",
              "Whether the hypervisor follows changes that a machine makes to its MAC addresses.", bool),
    )),
    "A virtual network.",
    within={
        "forward": FORWARD, "ips": IPS, "dns": DNS, "routes": ROUTES, "portgroups": PORTGROUPS, "vlan": VLAN,
        "bandwidth": BANDWIDTH, "virtualport": VIRTUALPORT,
    },
)  # fmt: skip

_MAC: t.Final = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
# Networks of these kinds have a bridge that libvirt makes.
OWN_BRIDGE: t.Final = (None, "nat", "route", "open")


@dataclasses.dataclass(frozen=True)
class NetworkDefinition:
    """What a task names of a network, typed. What is not named is not compared and not changed."""

    values: Values
    options: t.ClassVar[dict[str, dict[str, t.Any]]] = NETWORK.options()

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> NetworkDefinition:
        del where  # the keys are known to people without it
        values = NETWORK.bind(untrusted, "")
        for i, item in enumerate(values.get("ips", ())):
            _settle_subnet(item, f"ips[{i}]")
            dhcp = item.get("dhcp", {})
            for j, each in enumerate(dhcp.get("ranges", ())):
                _settle(each, f"ips[{i}].dhcp.ranges[{j}]", "start", "end")
            for j, each in enumerate(dhcp.get("hosts", ())):
                _settle_host(each, f"ips[{i}].dhcp.hosts[{j}]")
        for i, item in enumerate(values.get("routes", ())):
            _settle_subnet(item, f"routes[{i}]")
            if not {"address", "prefix"} <= item.keys():
                raise InvalidDefinition(f"routes[{i}]: the network that is routed is needed, like 10.1.0.0/16.")
            _settle(item, f"routes[{i}]", "gateway")
        for i, item in enumerate(values.get("dns", {}).get("hosts", ())):
            _settle(item, f"dns.hosts[{i}]", "ip")
        for i, item in enumerate(values.get("dns", {}).get("forwarders", ())):
            _settle(item, f"dns.forwarders[{i}]", "addr")
        _settle_mac(values, "")
        if values.get("forward", {}).get("mode") == "none":
            values["forward"]["mode"] = ""
        return cls(values)

    def __bool__(self) -> bool:
        return bool(self.values)


NOTHING: t.Final = NetworkDefinition({})


def _settle(values: Values, where: str, *keys: str) -> None:
    """Addresses as libvirt writes them."""
    for key in keys:
        if values.get(key):
            values[key] = str(_address(values[key], f"{where}.{key}"))


def _address(text: str, where: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise InvalidDefinition(f"{where}: {text[:60]!r} is not an IP address.") from None


def _settle_subnet(values: Values, where: str) -> None:
    """``192.168.100.1/24``, a prefix and a netmask are three ways to say the same."""
    if "address" not in values:
        if {"prefix", "netmask"} & values.keys():
            raise InvalidDefinition(f"{where}: a prefix or netmask goes with an address.")
        return
    text, slash, length = values["address"].partition("/")
    address = _address(text, f"{where}.address")
    said = [length] if slash else []
    said += [str(values[key]) for key in ("prefix", "netmask") if key in values]
    values.pop("netmask", None)
    try:
        any_address = "::" if address.version == 6 else "0.0.0.0"
        lengths = {ipaddress.ip_network(f"{any_address}/{each}").prefixlen for each in said}
    except ValueError:
        raise InvalidDefinition(
            f"{where}: {' and '.join(said)[:60]!r} is no prefix or netmask of an IPv{address.version} address; a prefix"
            f" is at most {_LARGEST_PREFIX[address.version]}."
        ) from None
    if len(lengths) > 1:
        raise InvalidDefinition(f"{where}: {' and '.join(said)} are two subnets; give one of them.")
    family = f"ipv{address.version}"
    if values.setdefault("family", family) != family:
        raise InvalidDefinition(f"{where}: {address} is not of the family {values['family']}.")
    values["address"] = str(address)
    if lengths:
        values["prefix"] = lengths.pop()


def _settle_host(values: Values, where: str) -> None:
    _settle(values, where, "ip")
    _settle_mac(values, f"{where}.")
    if not {"mac", "id", "name", "ip"} & values.keys():
        raise InvalidDefinition(f"{where}: name the machine by its mac, and the ip that it gets.")


def _settle_mac(values: Values, where: str) -> None:
    if values.get("mac") and not _MAC.fullmatch(values["mac"]):
        raise InvalidDefinition(f"{where}mac: {values['mac'][:40]!r} is not a MAC address, like 52:54:00:12:34:56.")


def new(name: str, uuid: str | None) -> t.Any:
    """The network that every new one begins as: an isolated one."""
    node = xmltree.element("network")
    xmltree.write(node, "name", name)
    if uuid:
        xmltree.write(node, "uuid", uuid)
    return node


def write(node: t.Any, values: Values, mode: Mode) -> None:
    """Bring a document to what is named."""
    NETWORK.write(node, values, mode)
    forward = node.find("forward")
    if values.get("forward", {}).get("mode") == "":
        xmltree.write(node, "forward", None)
    elif forward is not None and forward.get("mode") is None:
        forward.set("mode", "nat")  # as libvirt reads it


def check(given: t.Any) -> None:
    """Refuse a document with values that nothing can be made of: libvirt would, but has not seen it yet."""
    try:
        NETWORK.read(given)
        faults(given)
    except ValueError as error:
        raise InvalidDefinition(f"The XML cannot be read as a network: {error}.") from error


def complete(given: t.Any, current: t.Any | None) -> t.Any:
    """A copy of a document that was given, with what libvirt adds by itself to the one that is there."""
    node = copy.deepcopy(given)
    for counted in node.iter():
        counted.attrib.pop("connections", None)
    mode = xmltree.read(node, "forward/@mode")
    if node.find("forward") is not None and mode is None:
        mode = "nat"
        xmltree.write(node, "forward/@mode", mode)
    device = xmltree.read(node, "forward/@dev")
    if device is not None and node.find("forward/interface") is None:
        xmltree.write(node, "forward/interface/@dev", device)
    kept = ["uuid"] if current is not None else []
    if kept and mode in OWN_BRIDGE:
        kept += ["bridge/@name", "bridge/@delay", "mac/@address"]
    for path in kept:
        there = xmltree.read(current, path)
        if there is not None and xmltree.read(node, path) is None:
            xmltree.write(node, path, there)
    return node


def compare(old: t.Any, new: t.Any) -> list[Edit]:
    """What differs between two documents."""
    return NETWORK.compare(old, new)


def compare_rest(old: t.Any, new: t.Any) -> list[Edit]:
    """What differs of that which has no option and came as XML: metadata, options of dnsmasq, PCI devices."""
    before, after = _rest(old), _rest(new)
    if before == after:
        return []
    gone, come = ("".join(each for each in one if each not in other) or None
                  for one, other in ((before, after), (after, before)))  # fmt: skip
    return [Edit((Change("xml", gone, come),))]


def _rest(node: t.Any) -> list[str]:
    rest = copy.deepcopy(node)
    for counted in rest.iter():
        counted.attrib.pop("connections", None)
        counted.attrib.pop("netmask", None)
    NETWORK.clear(rest)
    for path in ("name", "uuid"):
        xmltree.write(rest, path, None)
    _prune(rest)
    return sorted(xmltree.serialise(child) for child in rest)


def _prune(node: t.Any) -> None:
    for child in list(node):
        _prune(child)
        if not len(child) and not child.attrib and not (child.text or "").strip():
            node.remove(child)


def subnets(node: t.Any) -> list[t.Any]:
    """The networks of its addresses, as ipaddress has them."""
    return [
        ipaddress.ip_network(f"{values['address']}/{values['prefix']}", strict=False)
        for values in map(IPS.read, node.findall(IPS.path))
        if values["address"]
    ]


def faults(node: t.Any) -> list[str]:
    """What of the addresses cannot be, which libvirt would find out at the start, or never."""
    found = []
    for values in map(IPS.read, node.findall(IPS.path)):
        if not values["address"]:
            continue
        subnet = ipaddress.ip_network(f"{values['address']}/{values['prefix']}", strict=False)
        kept: dict[str, str] = {}
        for i, each in enumerate(values["dhcp"]["hosts"]):
            who = HOSTS.label(each, i)
            if each["ip"] and ipaddress.ip_address(each["ip"]) not in subnet:
                found.append(f"{each['ip']}, kept for {who}, is not in {subnet}.")
            if each["ip"] and kept.setdefault(each["ip"], who) != who:
                found.append(f"{each['ip']} is kept for {kept[each['ip']]} and for {who}; one of them has to go.")
        spans: list[tuple[int, int]] = []
        for each in values["dhcp"]["ranges"]:
            if not (each["start"] and each["end"]):
                found.append("A range of DHCP needs its start and its end.")
                continue
            first, last = (ipaddress.ip_address(each[key]) for key in ("start", "end"))
            text = f"The range {first} to {last}"
            if not (first in subnet and last in subnet and int(first) <= int(last)):
                found.append(f"{text} is not within {subnet}.")
                continue
            if any(start <= int(last) and int(first) <= end for start, end in spans):
                found.append(f"{text} overlaps another one.")
            spans.append((int(first), int(last)))
    return found
