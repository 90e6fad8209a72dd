# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declarations of networks: each attribute is written where libvirt's schema wants it, read and compared."""

from __future__ import annotations

import copy
import pathlib
import typing as t

import pytest
from archipel import network_definition as network
from archipel import xmltree
from archipel.elements import Attribute
from archipel.errors import InvalidRequest
from archipel.nested import Known, Nested, Texts
from archipel.network_definition import NETWORK, NetworkDefinition, Prefix
from lxml import etree

SCHEMAS = pathlib.Path("/usr/share/libvirt/schemas")

# What an attribute needs beside it to be a document of libvirt's, and the values that its kind of text takes.
AROUND: dict[str, dict[str, t.Any]] = {
    "ips": {"address": "10.0.0.1", "prefix": 24},
    "ips.dhcp.ranges": {"start": "10.0.0.9", "end": "10.0.0.99"},
    "ips.dhcp.hosts": {"mac": "52:54:00:00:00:01", "ip": "10.0.0.5"},
    "routes": {"address": "10.1.0.0", "prefix": 16, "gateway": "10.0.0.2"},
    "dns.txt": {"name": "one", "value": "one"},
    "dns.srv": {"service": "ldap", "protocol": "tcp"},
    "dns.hosts": {"ip": "10.0.0.7", "hostnames": ["one"]},
    "portgroups": {"name": "one"},
    "vlan": {"tags": [{"id": 7}]},
    "portgroups.vlan": {"tags": [{"id": 7}]},
    "vlan.tags": {"id": 7},
    "portgroups.vlan.tags": {"id": 7},
    "forward": {"mode": "nat"},
    "forward.nat": {"address_start": "10.0.0.3", "address_end": "10.0.0.4", "port_start": 1000, "port_end": 2000},
    "bandwidth.inbound": {"average": 5},
    "bandwidth.outbound": {"average": 5},
    "portgroups.bandwidth.inbound": {"average": 5},
    "portgroups.bandwidth.outbound": {"average": 5},
    "virtualport": {"type": "802.1Qbh"},
    "portgroups.virtualport": {"type": "802.1Qbh"},
}
ALONE: dict[str, dict[str, t.Any]] = {
    "domain_local_only": {"domain": "example.org"},
    "ips.dhcp.hosts.id": {"mac": "", "ip": "fd00::5"},
    "ips.dhcp.ranges.lease_unit": {"lease_expiry": 4},
    "ips.dhcp.hosts.lease_unit": {"lease_expiry": 4},
    "ips.dhcp.bootp_server": {"bootp_file": "/one"},
    "ips.family": {"address": "fd00::1", "prefix": 64},
    "routes.family": {"address": "fd01::", "prefix": 64, "gateway": "fd00::2"},
    "forward.pf": {"mode": "hostdev"},
    "forward.managed": {"mode": "hostdev"},
}
TEXTS: dict[str, tuple[t.Any, t.Any]] = {
    "mac": ("52:54:00:00:00:0a", "52:54:00:00:00:0b"),
    "id": ("0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66", "0:1:0:1:18:aa:62:fe:0:16:3e:44:55:67"),
    "address": ("10.0.0.1", "10.0.0.2"),
    "gateway": ("10.0.0.2", "10.0.0.3"),
    "addr": ("10.0.0.2", "10.0.0.3"),
    "ip": ("10.0.0.5", "10.0.0.6"),
    "start": ("10.0.0.9", "10.0.0.10"),
    "end": ("10.0.0.99", "10.0.0.98"),
    "address_start": ("10.0.0.3", "10.0.0.2"),
    "address_end": ("10.0.0.4", "10.0.0.5"),
    "protocol": ("tcp", "udp"),
    "bootp_file": ("/one", "/two"),
    "type": ("802.1Qbh", "openvswitch"),
    "family": ("ipv6", "ipv4"),
    "mode": ("nat", "route"),
    "domain": ("one.example", "two.example"),
}


def declared(part: Nested, path: str = "") -> t.Iterator[tuple[str, Attribute]]:
    for attribute in part.element.attributes:
        if attribute.path:
            yield f"{path}{attribute.key}", attribute
    for key, inner in part.within.items():
        yield from declared(inner, f"{path}{key}.")


DECLARED = dict(declared(NETWORK))


def samples(attribute: Attribute) -> tuple[t.Any, t.Any]:
    if attribute.key in TEXTS and attribute.type is str:
        return TEXTS[attribute.key]
    if isinstance(attribute, Texts):
        return ["one", "two"], ["three"]
    if isinstance(attribute, Known) and attribute.type is bool:
        return not attribute.absent, attribute.absent
    if attribute.type is int:
        least = attribute.minimum or 0
        return least + 7, least + 8
    return attribute.choices[:2] if attribute.choices else ("one", "two")


def named(path: str, value: t.Any) -> dict[str, t.Any]:
    """Values that name one attribute, with what has to be there beside it."""
    *groups, key = path.split(".")
    inner: dict[str, t.Any] = {key: value}
    beside = ALONE.get(path, {})
    while groups:
        around = ".".join(groups)
        more = copy.deepcopy({**AROUND.get(around, {}), **beside})
        inner = {**more, **inner}
        inner = {k: v for k, v in inner.items() if v != ""}
        beside = {}
        part = NETWORK
        for group in groups:
            part = part.within[group]
        inner = {groups.pop(): [inner] if part.path else inner}
    return {**beside, **inner}


def made(values: dict[str, t.Any]) -> t.Any:
    node = network.new("one", None)
    NETWORK.write(node, values)
    return xmltree.parse_trusted(xmltree.serialise(node))


@pytest.fixture(scope="module")
def schema() -> t.Any:
    return etree.RelaxNG(etree.parse(SCHEMAS / "network.rng"))


@pytest.mark.parametrize("path", DECLARED)
def test_each_attribute_is_read_as_it_was_written(path: str) -> None:
    """What is written is told, is no difference, and another value is one."""
    one, other = (named(path, value) for value in samples(DECLARED[path]))
    first, second = made(one), made(other)
    told = NETWORK.read(first)
    for key in path.split("."):
        told = told[key][0] if isinstance(told[key], list) and key != "hostnames" else told[key]
    assert told == samples(DECLARED[path])[0]
    assert NETWORK.compare(first, made(one)) == []
    changed = [change for edit in NETWORK.compare(second, first) for change in edit.changes]
    assert any(path.rpartition(".")[2] in change.path or change.new or change.old for change in changed)
    NETWORK.write(second, one)
    again = xmltree.serialise(second)
    NETWORK.write(second, one)
    assert xmltree.serialise(second) == again


@pytest.mark.parametrize("path", DECLARED)
def test_each_attribute_stands_where_libvirts_schema_has_it(path: str, schema: t.Any) -> None:
    for value in samples(DECLARED[path]):
        node = made(named(path, value))
        assert schema.validate(node), (schema.error_log, xmltree.serialise(node))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"ipz": []}, "Did you mean ips?"),
        ({"ips": [{"adress": "10.0.0.1"}]}, "ips[0]: unknown key 'adress'. Did you mean address?"),
        ({"ips": [{"address": "10.0.0"}]}, "ips[0].address: '10.0.0' is not an IP address."),
        ({"ips": [{"address": "10.0.0.1/33"}]}, "at most 32"),
        ({"ips": [{"address": "10.0.0.1/24", "netmask": "255.255.0.0"}]}, "two subnets"),
        ({"ips": [{"address": "10.0.0.1", "family": "ipv6"}]}, "is not of the family ipv6"),
        ({"ips": [{"prefix": 24}]}, "goes with an address"),
        ({"ips": [{"dhcp": {"hosts": [{"mac": "52:54", "ip": "10.0.0.1"}]}}]}, "is not a MAC address"),
        ({"ips": [{"dhcp": {"hosts": [{"lease_expiry": 3}]}}]}, "name the machine by its mac"),
        ({"ips": [{"dhcp": {"ranges": [{"start": "10"}]}}]}, "ips[0].dhcp.ranges[0].start"),
        ({"routes": [{"address": "10.0.0.0"}]}, "like 10.1.0.0/16"),
        ({"mtu": 12}, "mtu: 12 is too small; at least 68"),
        ({"forward": {"mode": "natt"}}, "is not possible"),
        ({"dns": {"hosts": {"ip": "10.0.0.1"}}}, "dns.hosts"),
        ({"bridge": "a\x01"}, "control character"),
    ],
)
def test_bad_input_is_refused(values: dict[str, t.Any], complaint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        NetworkDefinition.bind(values, "definition")
    assert complaint in caught.value.message


@pytest.mark.parametrize(
    ("dhcp", "complaint"),
    [
        ({"ranges": [{"start": "10.0.1.9", "end": "10.0.1.99"}]}, "10.0.1.9 to 10.0.1.99 is not within 10.0.0.0/24"),
        ({"ranges": [{"start": "10.0.0.9", "end": "10.0.0.3"}]}, "is not within"),
        ({"ranges": [{"start": "10.0.0.9"}]}, "its start and its end"),
        (
            {"ranges": [{"start": "10.0.0.9", "end": "10.0.0.30"}, {"start": "10.0.0.20", "end": "10.0.0.40"}]},
            "overlaps another one",
        ),
        ({"hosts": [{"mac": "52:54:00:00:00:01", "ip": "10.9.0.1"}]}, "is not in 10.0.0.0/24"),
        (
            {"hosts": [{"mac": f"52:54:00:00:00:0{i}", "ip": "10.0.0.1"} for i in (1, 2)]},
            "10.0.0.1 is kept for 52:54:00:00:00:01 and for 52:54:00:00:00:02",
        ),
    ],
)
def test_addresses_that_cannot_be_are_faults(dhcp: dict[str, t.Any], complaint: str) -> None:
    values = NetworkDefinition.bind({"ips": [{"address": "10.0.0.1/24", "dhcp": dhcp}]}, "").values
    assert complaint in network.faults(made(values))[0]


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ({"address": "10.0.0.1/8"}, 8),
        ({"address": "10.0.0.1", "netmask": "255.255.255.128"}, 25),
        ({"address": "fd00::1", "prefix": 60}, 60),
        ({"address": "FD00:0::1/64"}, 64),
    ],
)
def test_a_subnet_is_said_in_three_ways(given: dict[str, t.Any], prefix: int) -> None:
    (item,) = NetworkDefinition.bind({"ips": [given]}, "").values["ips"]
    assert item["prefix"] == prefix
    assert item["address"] in ("10.0.0.1", "fd00::1")
    assert item["family"] == ("ipv6" if ":" in item["address"] else "ipv4")


@pytest.mark.parametrize(
    ("xml", "prefix"),
    [
        ("<ip address='10.0.0.1' netmask='255.255.0.0'/>", 16),
        ("<ip address='10.0.0.1'/>", 8),
        ("<ip address='172.16.0.1'/>", 16),
        ("<ip address='192.168.1.1'/>", 24),
        ("<ip address='fd00::1' family='ipv6'/>", 64),
        ("<ip/>", None),
    ],
)
def test_a_prefix_is_read_however_libvirt_has_it(xml: str, prefix: int | None) -> None:
    assert Prefix("prefix", "@prefix", "").read(xmltree.parse_trusted(xml)) == prefix


def test_xml_without_what_libvirt_adds_is_the_same_network() -> None:
    given = xmltree.parse_trusted("<network><name>a</name><forward dev='eth0'/><ip address='10.0.0.1'/></network>")
    there = xmltree.parse_trusted(
        "<network connections='2'><name>a</name><uuid>u</uuid><forward dev='eth0' mode='nat'><interface dev='eth0'/>"
        "</forward><bridge name='virbr0' stp='on' delay='0'/><mac address='52:54:00:00:00:01'/><ip address='10.0.0.1'"
        " netmask='255.0.0.0'/></network>"
    )
    target = network.complete(given, there)
    assert network.compare(there, target) == []
    assert network.compare_rest(there, target) == []


def test_what_has_no_option_is_compared_as_xml() -> None:
    old = xmltree.parse_trusted("<network><name>a</name><metadata><x xmlns='urn:x'>1</x></metadata></network>")
    new = xmltree.parse_trusted("<network><name>a</name><metadata><x xmlns='urn:x'>2</x></metadata></network>")
    (edit,) = network.compare_rest(old, new)
    (change,) = edit.changes
    assert change.path == "xml"
    assert ">1<" in change.old
    assert ">2<" in change.new
    assert network.compare_rest(old, copy.deepcopy(old)) == []
