# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A virtual network of libvirt's: what it is, who is connected, and connecting them again."""

from __future__ import annotations

import contextlib
import typing as t
import uuid

from . import xmltree
from .actions import Result
from .connection import doing, libvirt
from .errors import ArchipelError, NotFound, Unavailable
from .network_definition import NETWORK, OWN_BRIDGE


def document(virnetwork: t.Any, *, inactive: bool) -> t.Any:
    """The network's XML, as it is configured or as it runs."""
    with doing(f"Read the definition of network {virnetwork.name()}"):
        if inactive:
            # The test driver does not know the flag.
            with contextlib.suppress(libvirt.libvirtError):
                return xmltree.parse_trusted(virnetwork.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))
        return xmltree.parse_trusted(virnetwork.XMLDesc())


def describe(virnetwork: t.Any) -> Result:
    """Everything that ``network_info`` tells of a network, as it runs."""
    with doing(f"Look at network {virnetwork.name()}"):
        described = {
            "name": virnetwork.name(),
            "uuid": virnetwork.UUIDString(),
            "active": bool(virnetwork.isActive()),
            "persistent": bool(virnetwork.isPersistent()),
            "autostart": bool(virnetwork.autostart()),
        }
    node = document(virnetwork, inactive=False)
    return {
        **described,
        **NETWORK.read(node),
        "leases": leases(virnetwork) if described["active"] else [],
        "machines": connected(virnetwork) if described["active"] else [],
    }


def leases(virnetwork: t.Any) -> list[Result]:
    """Addresses that the network's DHCP server has given out. None, where a driver has none to tell."""
    try:
        with doing(f"Ask network {virnetwork.name()} for its leases"):
            found = virnetwork.DHCPLeases() or []
    except Unavailable:
        raise
    except ArchipelError:
        return []
    told = [
        {
            "ip": lease["ipaddr"],
            "prefix": lease["prefix"],
            "mac": lease["mac"],
            "hostname": lease["hostname"],
            "client_id": lease["clientid"],
            "expires": lease["expirytime"] or None,
        }
        for lease in found
    ]
    return sorted(told, key=lambda lease: (str(lease["mac"]), str(lease["ip"])))


def connected(virnetwork: t.Any) -> list[str]:
    """Names of the running machines with a port of this network (virNetworkListAllPorts)."""
    try:
        with doing(f"Ask network {virnetwork.name()} for its ports"):
            ports = [xmltree.parse_trusted(port.XMLDesc()) for port in virnetwork.listAllPorts()]
    except Unavailable:
        raise
    except ArchipelError:
        return []
    return sorted({xmltree.read(port, "owner/name") or "" for port in ports})


def reconnect(handle: t.Any, virnetwork: t.Any) -> list[str]:
    """Connect running machines to a network that was stopped under them: libvirt leaves them cut off. What could not be
    connected is told.

    libvirt moves an interface to another bridge and does nothing for one whose bridge has the same name, so the way
    leads over a bridge that is there for the moment only.
    """
    if xmltree.read(document(virnetwork, inactive=False), "forward/@mode") not in OWN_BRIDGE:
        return []
    name, cut = virnetwork.name(), []
    with doing(f"List the machines that network {name} may have"):
        domains = handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    for domain in domains:
        with contextlib.suppress(NotFound), doing(f"Look at {domain.name()}"):
            interfaces = xmltree.parse_trusted(domain.XMLDesc()).findall("devices/interface[@type='network']")
            cut += [(domain, each) for each in interfaces if xmltree.read(each, "source/@network") == name]
    if not cut:
        return []
    between = xmltree.element("network")
    xmltree.write(between, "name", f"archipel-{uuid.uuid4().hex[:8]}")
    with doing(f"Make a bridge for the way back to network {name}"):
        bridge = handle.networkCreateXML(xmltree.serialise(between))
    try:
        return [reason for domain, interface in cut for reason in _connect(domain, interface, (bridge.name(), name))]
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            bridge.destroy()


def _connect(domain: t.Any, interface: t.Any, networks: t.Sequence[str]) -> list[str]:
    """Connect an interface of a running machine to one network after the other."""
    for attribute in ("portid", "bridge"):
        xmltree.write(interface, f"source/@{attribute}", None)
    try:
        for network in networks:
            xmltree.write(interface, "source/@network", network)
            with doing(f"Connect {domain.name()} to the network {network}"):
                domain.updateDeviceFlags(xmltree.serialise(interface), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except ArchipelError as error:
        return [f"{domain.name()} is cut off from {networks[-1]} until it is started again: {error.message}"]
    return []
