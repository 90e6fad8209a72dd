# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network filters as documents: libvirt's test driver has none. What libvirt makes of them is tested on hosts."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from archipel import nwfilters, xmltree
from archipel.errors import InvalidRequest, Unsupported
from archipel.nwfilters import MATCH, PROTOCOLS, FilterDefinition
from lxml import etree

Run = t.Callable[..., dict[str, t.Any]]
SCHEMA = pathlib.Path("/usr/share/libvirt/schemas/nwfilter.rng")
WEB: dict[str, t.Any] = {
    "chain": "root",
    "filterrefs": [{"filter": "clean-traffic", "parameters": {"IP": ["10.0.0.1", "10.0.0.2"], "MTU": 1500}}],
    "rules": [
        {"action": "accept", "direction": "in", "protocol": "tcp", "match": {"dstportstart": 80, "state": "NEW"}},
        {"action": "drop", "direction": "inout", "priority": 900, "stateful": False},
    ],
}
# What the schema takes for each kind of term; a port for all others.
TERMS: dict[str, tuple[str, str]] = {
    "macaddr": ("52:54:00:00:00:01", "52:54:00:00:00:02"),
    "macmask": ("ff:ff:ff:00:00:00", "ff:ff:ff:ff:00:00"),
    "ipaddr": ("10.0.0.1", "10.0.0.2"),
    "ipmask": ("24", "16"),
    "ipfrom": ("10.0.0.1", "10.0.0.2"),
    "ipto": ("10.0.0.9", "10.0.0.8"),
    "state": ("NEW", "ESTABLISHED,NEW"),
    "ipset": ("one", "two"),
    "ipsetflags": ("src", "src,dst"),
    "comment": ("One", "one"),
    "gratuitous": ("true", "false"),
    "tcp_flags": ("SYN,ACK/SYN", "SYN/SYN"),
    "address": ("52:54:00:00:00:01", "52:54:00:00:00:02"),
    "address_mask": ("ff:ff:ff:00:00:00", "ff:ff:ff:ff:00:00"),
    "protocolid": ("arp", "ipv4"),
    "encap_protocol": ("arp", "ipv4"),
    "protocol": ("tcp", "udp"),
    "opcode": ("1", "2"),
}
# Where the schema knows a term.
FIRST_PROTOCOLS = ("tcp", "ipv6", "icmp", "arp", "mac", "vlan", "stp", "ip")


def made(values: dict[str, t.Any], name: str = "web") -> t.Any:
    node = xmltree.element("filter", name=name)
    nwfilters.write(node, FilterDefinition.bind(values, "").values)
    return xmltree.parse_trusted(xmltree.serialise(node))


def rule(protocol: str, /, **match: t.Any) -> dict[str, t.Any]:
    return {"rules": [{"action": "drop", "direction": "in", "protocol": protocol, "match": match}]}


def samples(key: str, protocol: str) -> tuple[str, str]:
    kinds = [kind for kind in TERMS if key.endswith(kind)]
    if key == "flags":
        return TERMS["tcp_flags"] if protocol == "tcp" else ("7", "8")
    if key == "protocoltype":
        return ("7", "8")
    return TERMS[max(kinds, key=len)] if kinds else ("7", "8")


@pytest.fixture(scope="module")
def schema() -> t.Any:
    return etree.RelaxNG(etree.parse(SCHEMA))


@pytest.mark.parametrize("key", [term.key for term in MATCH.attributes])
def test_each_term_is_read_as_it_was_written_and_stands_where_libvirts_schema_has_it(key: str, schema: t.Any) -> None:
    valid = 0
    for protocol in FIRST_PROTOCOLS:
        one, other = samples(key, protocol)
        beside = {"ipset": "one"} if key == "ipsetflags" else {"ipsetflags": "src"} if key == "ipset" else {}
        first, second = (made(rule(protocol, **{**beside, key: text})) for text in (one, other))
        assert nwfilters.read(first)["rules"][0]["match"][key] == one
        assert nwfilters.compare(first, made(rule(protocol, **{**beside, key: one}))) == []
        (change,) = nwfilters.compare(first, second)
        assert change.path == "rules[0]"
        valid += schema.validate(first) and schema.validate(second)
    # libvirt documents and takes masks of ARP's addresses, which its schema has forgotten.
    assert valid or key in ("arpsrcipmask", "arpdstipmask", "option")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_protocol_is_one_of_libvirts(protocol: str, schema: t.Any) -> None:
    assert schema.validate(made(rule(protocol))), schema.error_log


def test_what_is_made_is_valid_and_read_as_it_was_written(schema: t.Any) -> None:
    node = made(WEB)
    assert schema.validate(node), schema.error_log
    told = nwfilters.read(node)
    assert told["chain"] == "root"
    assert told["filterrefs"] == [
        {"filter": "clean-traffic", "parameters": {"IP": ["10.0.0.1", "10.0.0.2"], "MTU": ["1500"]}}
    ]
    assert told["rules"][0]["match"] == {"dstportstart": "80", "state": "NEW"}
    assert told["rules"][1] == {
        "action": "drop",
        "direction": "inout",
        "priority": 900,
        "stateful": False,
        "protocol": None,
        "negate": False,
        "match": {},
    }


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ({"srcipaddr": "10.0.0.0", "srcipmask": "255.0.0.0"}, "<tcp srcipaddr='10.0.0.0' srcipmask='8'/>"),
        ({"dstportstart": "0x16"}, "<tcp dstportstart='22'/>"),
        ({"state": "ESTABLISHED,NEW"}, "<tcp state='NEW,ESTABLISHED'/>"),
        ({"srcmacaddr": "AA:BB:CC:DD:EE:FF"}, "<tcp srcmacaddr='aa:bb:cc:dd:ee:ff'/>"),
    ],
)
def test_rules_are_compared_by_what_they_mean(asked: dict[str, t.Any], written: str) -> None:
    """libvirt writes masks, numbers and lists in its own way."""
    there = xmltree.parse_trusted(
        f"<filter name='web' chain='root'><rule action='drop' direction='in' priority='500'>{written}</rule></filter>"
    )
    assert nwfilters.compare(there, made(rule("tcp", **asked))) == []


@pytest.mark.parametrize(
    ("protocol", "asked", "written"),
    [
        ("mac", {"protocolid": "0x800"}, "<mac protocolid='ipv4'/>"),
        ("ip", {"protocol": 17}, "<ip protocol='udp'/>"),
        ("arp", {"opcode": 1, "gratuitous": True}, "<arp opcode='Request' gratuitous='true'/>"),
        ("arp", {"gratuitous": "True"}, "<arp gratuitous='true'/>"),
    ],
)
def test_names_and_numbers_of_protocols_are_the_same(protocol: str, asked: dict[str, t.Any], written: str) -> None:
    there = xmltree.parse_trusted(f"<filter name='web'><rule action='drop' direction='in'>{written}</rule></filter>")
    assert nwfilters.compare(there, made(rule(protocol, **asked))) == []


@pytest.mark.parametrize("given", [True, "True", "true"])
def test_libvirt_is_given_a_boolean_as_it_reads_it(given: t.Any) -> None:
    assert made(rule("arp", gratuitous=given)).find("rule/arp").get("gratuitous") == "true"


def test_a_negated_rule_that_libvirt_has_broken_up_is_one_rule() -> None:
    there = xmltree.parse_trusted(
        "<filter name='web'><rule action='accept' direction='in' priority='500' statematch='false'>"
        "<tcp match='no' srcipaddr='10.0.0.0'/><tcp dstportstart='22'/><tcp match='no' comment='a b'/></rule></filter>"
    )
    wanted = rule("tcp", srcipaddr="10.0.0.0", dstportstart=22, comment="a b")
    wanted["rules"][0].update(action="accept", negate=True, stateful=False)
    assert nwfilters.compare(there, made(wanted)) == []


def test_a_change_is_told_rule_by_rule() -> None:
    other = {
        **WEB,
        "rules": [WEB["rules"][0], {"action": "reject", "direction": "in", "protocol": "all"}, WEB["rules"][1]],
    }
    changes = nwfilters.compare(made(WEB), made(other))
    assert [change.path for change in changes] == ["rules[1]", "rules[2]"]
    assert changes[1].old is None
    (change,) = nwfilters.compare(made(WEB), made({**WEB, "filterrefs": []}))
    assert change.path == "filterrefs[0]"
    assert change.new is None


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"rulez": []}, "Did you mean rules?"),
        ({"chain": "web"}, "chain: 'web' is none"),
        ({"rules": [{"action": "drop"}]}, "rules[0]: direction is needed"),
        ({"rules": [{"action": "dorp", "direction": "in"}]}, "rules[0].action: 'dorp' is not possible"),
        ({"rules": [{"action": "drop", "direction": "in", "match": {"state": "NEW"}}]}, "said of a protocol"),
        (rule("tcp", dstport=80), "rules[0].match: unknown key 'dstport'. Did you mean dstportend"),
        (rule("tcpp"), "'tcpp' is not possible"),
        ({"filterrefs": [{"parameters": {}}]}, "filterrefs[0]: the name of a filter is needed"),
    ],
)
def test_bad_input_is_refused(values: dict[str, t.Any], complaint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        FilterDefinition.bind(values, "")
    assert complaint in caught.value.message


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        ({"name": "a b"}, "cannot be a filter's name"),
        ({}, "cannot be a filter's name"),
        ({"name": "a", "xml": "<filter name='b'/>"}, "give one, or the same"),
        ({"xml": "<filter name='b' priority='high'/>"}, "cannot be read as a filter"),
        ({"name": "a", "xml": "<filter name='a'/>", "definition": {"chain": "root"}}, "chain cannot be given beside"),
    ],
)
def test_a_filter_is_named_once(run: Run, task: dict[str, t.Any], complaint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        run("nwfilter", **task)
    assert complaint in caught.value.message


def test_a_driver_without_filters_says_so(run: Run) -> None:
    for action, task in (("nwfilter_info", {}), ("nwfilter", {"name": "web", "definition": WEB})):
        with pytest.raises(Unsupported, match="List the network filters of hv1"):
            run(action, **task)


def test_users_of_a_filter_are_found_through_others() -> None:
    filters = {
        "a": made({"filterrefs": [{"filter": "b"}]}, "a"),
        "b": made({"filterrefs": [{"filter": "c"}]}, "b"),
        "c": made({"filterrefs": [{"filter": "a"}]}, "c"),
        "d": made({}, "d"),
    }
    assert nwfilters._users("c", filters) == ["a", "b"]
    assert nwfilters._users("d", filters) == []
