# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Network filters of a hypervisor: what machines may send and receive, as rules that their interfaces name.

libvirt applies a changed filter to running machines at once, or leaves all as it was.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import ipaddress
import re
import typing as t

from . import xmltree
from .actions import Names, Result, action, nearest
from .connection import doing, libvirt
from .elements import Attribute, Change, Element
from .errors import ArchipelError, Conflict, InvalidDefinition, NotFound
from .host import Check, Host
from .nested import Known, Nested, Values
from .plan import Plan
from .selection import fits

PROTOCOLS: t.Final = (
    "all", "tcp", "udp", "udplite", "sctp", "icmp", "igmp", "esp", "ah",
    "all-ipv6", "tcp-ipv6", "udp-ipv6", "udplite-ipv6", "sctp-ipv6", "icmpv6", "esp-ipv6", "ah-ipv6",
    "mac", "vlan", "stp", "arp", "rarp", "ip", "ipv6",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Term(Attribute):
    """What a rule compares with: a text, a number, or a variable of the machine's interface like ``$IP``."""

    def bind(self, untrusted: t.Any, where: str) -> str:
        # A task's booleans have become texts like "True" on their way through Ansible.
        text = str(untrusted).lower() if str(untrusted).lower() in ("true", "false") else untrusted
        return super().bind(str(text) if isinstance(text, (int, float)) else text, where)

    def same(self, old: t.Any, new: t.Any) -> bool:
        return _canonical(self.key, old) == _canonical(self.key, new)


def _terms() -> t.Iterator[Term]:
    """The attributes of libvirt's protocols, with underscores for dashes."""
    for side, who in (("src", "sender"), ("dst", "receiver")):
        yield Term(f"{side}macaddr", f"@{side}macaddr", f"MAC address of the {who}.")
        yield Term(f"{side}macmask", f"@{side}macmask", f"Mask of O(rules[].match.{side}macaddr).")
        yield Term(f"{side}ipaddr", f"@{side}ipaddr", f"IP address of the {who}.")
        yield Term(f"{side}ipmask", f"@{side}ipmask", f"Mask of O(rules[].match.{side}ipaddr), or its length.")
        yield Term(f"{side}ipfrom", f"@{side}ipfrom", f"First of several addresses of the {who}.")
        yield Term(f"{side}ipto", f"@{side}ipto", f"Last of several addresses of the {who}.")
        yield Term(f"{side}portstart", f"@{side}portstart", f"Port of the {who}, or the first of several.")
        yield Term(f"{side}portend", f"@{side}portend", f"Last port of the {who}.")
        yield Term(f"arp{side}macaddr", f"@arp{side}macaddr", f"MAC address of the {who} in ARP and RARP.")
        yield Term(f"arp{side}ipaddr", f"@arp{side}ipaddr", f"IP address of the {who} in ARP and RARP.")
        yield Term(f"arp{side}ipmask", f"@arp{side}ipmask", f"Mask of O(rules[].match.arp{side}ipaddr).")
    for key, text in (
        ("state", "States of the connection: V(NEW), V(ESTABLISHED), V(RELATED), V(INVALID), V(NONE), with commas."),
        ("connlimit-above", "Number of connections from which on the rule holds."),
        ("dscp", "Differentiated services code point."),
        ("flags", "Flags of TCP as mask and those set, V(SYN,ACK/SYN); or of the spanning tree protocol."),
        ("option", "Option of TCP."),
        ("type", "Type of an ICMP or spanning tree message."),
        ("code", "Code of an ICMP message."),
        ("typeend", "Last of several types, for O(rules[].protocol=ipv6)."),
        ("codeend", "Last of several codes, for O(rules[].protocol=ipv6)."),
        ("ipset", "Name of a set of addresses on the hypervisor."),
        ("ipsetflags", "Which ends are looked for in the set: V(src), V(dst), with commas."),
        ("protocol", "Protocol above O(rules[].protocol=ip) or V(ipv6), by name or number."),
        ("protocolid", "Protocol above O(rules[].protocol=mac), by name or number."),
        ("vlanid", "Number of the VLAN."),
        ("encap-protocol", "Protocol within the VLAN, by name or number."),
        ("hwtype", "Kind of hardware in ARP and RARP."),
        ("protocoltype", "Kind of protocol in ARP and RARP."),
        ("opcode", "Operation of ARP and RARP, by name or number."),
        ("gratuitous", "Whether the ARP message was asked for by nobody."),
        ("comment", "What the rule is for."),
    ):
        yield Term(key.replace("-", "_"), f"@{key}", text)
    for key in ("root-priority", "root-address", "root-cost", "sender-priority", "sender-address", "port", "age",
                "max-age", "hello-time", "forward-delay"):  # fmt: skip
        text = f"The {key.replace('-', ' ')} in the spanning tree protocol."
        more = "mask" if key.endswith("address") else "hi"
        yield Term(key.replace("-", "_"), f"@{key}", text)
        yield Term(f"{key}-{more}".replace("-", "_"), f"@{key}-{more}", f"Its {'mask' if more == 'mask' else 'end'}.")


MATCH: t.Final = Element("match", tuple(_terms()))

RULES: t.Final = Nested(
    Element("rule", (
        Attribute("action", "@action", "What becomes of a packet.",
                  choices=("accept", "drop", "reject", "return", "continue")),
        Attribute("direction", "@direction", "V(in) is to the machine, V(out) from it.",
                  choices=("in", "out", "inout")),
        Known("priority", "@priority", "Smaller ones come first; V(500) by default.", int, absent=500),
        Known("stateful", "@statematch", "Whether answers within a connection pass too.", bool, absent=True,
              words=("true", "false")),
        Attribute("protocol", "", "Protocol that the rule is for; without one it is for all packets.",
                  choices=PROTOCOLS),
        Attribute("negate", "", "Whether the rule is for packets that do not match.", bool),
    )),
    "The filter's rules, all of them.",
    "rule", within={"match": Nested(MATCH, "What packets the rule is for, in the attributes of libvirt's protocols.")},
)  # fmt: skip

REFERENCES: t.Final = Nested(
    Element("filterref", (
        Attribute("filter", "@filter", "Name of a filter."),
        Attribute("parameters", "", "Values of its variables; several of one variable as a list.", dict),
    )),
    "Filters that this one includes, all of them.",
    "filterref",
)  # fmt: skip

FILTER: t.Final = Nested(
    Element("filter", (
        Attribute("chain", "@chain", "Chain that the rules stand in: V(root), or a name that begins with V(mac),"
                  " V(vlan), V(stp), V(arp), V(rarp), V(ipv4) or V(ipv6)."),
        Attribute("priority", "@priority", "Place of the chain among others; smaller ones come first.", int),
    )),
    "A network filter.",
    within={"rules": RULES, "filterrefs": REFERENCES},
)  # fmt: skip

_CHAIN: t.Final = re.compile(r"root|(mac|vlan|stp|arp|rarp|ipv4|ipv6)[A-Za-z0-9_.:-]{0,9}")
_NAME: t.Final = re.compile(r"[A-Za-z_][\w.-]*")
# Names that libvirt writes for numbers, whatever it was given.
_NUMBERED: t.Final = {
    "protocolid": {"2048": "ipv4", "2054": "arp", "32821": "rarp", "34525": "ipv6", "33024": "vlan"},
    "protocol": {"1": "icmp", "2": "igmp", "6": "tcp", "17": "udp", "50": "esp", "51": "ah", "58": "icmpv6",
                 "132": "sctp", "136": "udplite"},
    "opcode": {str(i): name for i, name in enumerate(
        ("request", "reply", "request_reverse", "reply_reverse", "drarp_request", "drarp_reply", "drarp_error",
         "inarp_request", "arp_nak"), 1)},
}  # fmt: skip
_NUMBERED["encap_protocol"] = _NUMBERED["protocolid"]


def _canonical(key: str, text: str | None) -> str | None:
    """A term as one of the several ways to write it."""
    if text is None or key == "comment":
        return text
    text = text.strip().lower()
    if key == "gratuitous":
        return "true" if text in ("yes", "true", "1") else "false"
    if key.endswith("ipmask") and ("." in text or ":" in text):
        with contextlib.suppress(ValueError):
            any_address = "::" if ":" in text else "0.0.0.0"
            text = str(ipaddress.ip_network(f"{any_address}/{text}").prefixlen)
    with contextlib.suppress(ValueError):
        text = str(int(text, 16 if text.startswith("0x") else 10))
    text = _NUMBERED.get(key, {}).get(text, text)
    return ",".join(sorted(text.split(","))) if key in ("state", "ipsetflags") else text


@dataclasses.dataclass(frozen=True)
class FilterDefinition:
    """What a task names of a filter, typed. What is not named is not compared and not changed."""

    values: Values
    options: t.ClassVar[dict[str, dict[str, t.Any]]] = FILTER.options()

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> FilterDefinition:
        del where  # the keys are known to people without it
        values = FILTER.bind(untrusted, "")
        if "chain" in values and not _CHAIN.fullmatch(values["chain"]):
            raise InvalidDefinition(f"chain: {values['chain'][:40]!r} is none; it is root, or begins with a protocol.")
        for i, rule in enumerate(values.get("rules", ())):
            for key in ("action", "direction"):
                if key not in rule:
                    raise InvalidDefinition(f"rules[{i}]: {key} is needed.")
            if "protocol" not in rule and (rule.get("match") or rule.get("negate")):
                raise InvalidDefinition(f"rules[{i}]: what is to match is said of a protocol, for example all or tcp.")
        for i, reference in enumerate(values.get("filterrefs", ())):
            if not reference.get("filter"):
                raise InvalidDefinition(f"filterrefs[{i}]: the name of a filter is needed.")
            for name, given in reference.get("parameters", {}).items():
                several = given if isinstance(given, list) else [given]
                reference["parameters"][name] = [str(each) for each in several]
        return cls(values)

    def __bool__(self) -> bool:
        return bool(self.values)


NOTHING: t.Final = FilterDefinition({})


def read(node: t.Any) -> Values:
    """A filter's XML in the words of the options."""
    values = FILTER.element.read(node)
    values["rules"] = [_read_rule(rule) for rule in node.findall("rule")]
    values["filterrefs"] = [_read_reference(reference) for reference in node.findall("filterref")]
    return values


def _check(given: t.Any) -> None:
    """Refuse a document with values that nothing can be made of."""
    try:
        read(given)
    except ValueError as error:
        raise InvalidDefinition(f"The XML cannot be read as a filter: {error}.") from error


def _read_rule(rule: t.Any) -> Values:
    """libvirt breaks the protocol's element into several where it is negated; together they are what was given."""
    values = {**RULES.element.read(rule), "protocol": None, "negate": False, "match": {}}
    for protocol in rule:
        values["protocol"] = protocol.tag
        values["negate"] = values["negate"] or protocol.get("match") == "no"
        found = MATCH.read(protocol)
        values["match"].update({key: text for key, text in found.items() if text is not None})
    return values


def _read_reference(reference: t.Any) -> Values:
    parameters: dict[str, list[str]] = {}
    for each in reference.findall("parameter"):
        parameters.setdefault(each.get("name"), []).append(each.get("value"))
    return {"filter": reference.get("filter"), "parameters": parameters}


def _rule_of(values: Values) -> t.Any:
    rule = xmltree.element("rule")
    RULES.element.write(
        rule, {key: values[key] for key in ("action", "direction", "priority", "stateful") if key in values}
    )
    if "protocol" in values:
        protocol = xmltree.write(rule, f"{values['protocol']}?", "")
        if values.get("negate"):
            protocol.set("match", "no")
        MATCH.write(protocol, values.get("match", {}))
    return rule


def _reference_of(values: Values) -> t.Any:
    reference = xmltree.element("filterref", filter=values["filter"])
    for name, several in values.get("parameters", {}).items():
        for value in several:
            reference.append(xmltree.element("parameter", name=str(name), value=value))
    return reference


def write(node: t.Any, values: Values) -> None:
    """Bring a document to what is named."""
    FILTER.element.write(node, values)
    for key, tag, make in (("rules", "rule", _rule_of), ("filterrefs", "filterref", _reference_of)):
        if key in values:
            for old in node.findall(tag):
                node.remove(old)
            node.extend([make(each) for each in values[key]])


def compare(old: t.Any, new: t.Any) -> list[Change]:
    """What differs between two documents, as far as the second one says anything."""
    before, after = read(old), read(new)
    changes = [
        Change(key, before[key], after[key])
        for key in ("chain", "priority")
        if after[key] is not None and before[key] != after[key]
    ]
    for key, same in (("rules", _same_rule), ("filterrefs", dict.__eq__)):
        for i in range(max(len(before[key]), len(after[key]))):
            was, will = (each[key][i] if i < len(each[key]) else None for each in (before, after))
            if was is None or will is None or not same(was, will):
                changes.append(Change(f"{key}[{i}]", was, will))
    return changes


def _same_rule(old: Values, new: Values) -> bool:
    terms = [{key: _canonical(key, text) for key, text in each["match"].items()} for each in (old, new)]
    return {**old, "match": terms[0]} == {**new, "match": terms[1]}


class NwFilters(Host):
    """What can be asked of a hypervisor about its network filters."""

    @action(
        permission="view",
        changes=False,
        concerns="nwfilter",
        phrases=("filters", "network filters"),
        says=lambda r: "\n".join(each["name"] for each in r["nwfilters"]) or "I have no such filter.",
    )
    def nwfilter_info(
        self, *, name: t.Annotated[t.Optional[str], "Name of a filter, or a pattern like no-*."] = None
    ) -> Result:
        """Tell everything about network filters: their rules, and which filters and running machines use them."""
        filters = self._filters()
        machines = self._filtered()
        found = []
        for key in sorted(filters):
            if name is None or fits(key, name):
                found.append(self._describe_filter(key, filters, machines))
        return {"changed": False, "nwfilters": found}

    @action(permission="network", changes=True, says="{msg}", concerns="nwfilter")
    def nwfilter(
        self,
        *,
        name: t.Annotated[
            t.Optional[str], "Name of the filter; needed unless the XML has it.", Names("nwfilter", free=True)
        ] = None,
        state: t.Annotated[t.Literal["present", "absent"], "Whether the filter is to be there."] = "present",
        definition: t.Annotated[
            FilterDefinition, "What the filter is to be made of; only what is named is compared."
        ] = NOTHING,
        xml: t.Annotated[t.Optional[str], "The whole definition as libvirt's filter XML."] = None,
        check: Check = False,
    ) -> Result:
        """Bring a network filter to a definition. Running machines that use it follow at once."""
        given = xmltree.parse(xml, "filter") if xml is not None else None
        if given is not None and definition:
            raise InvalidDefinition(
                f"xml is a whole definition; {', '.join(definition.values)} cannot be given beside it."
            )
        written = None
        if given is not None:
            _check(given)
            written = given.get("name")
        if name and written and name != written:
            raise InvalidDefinition(f"The XML's name is {written!r}, the task's is {name!r}; give one, or the same.")
        name = name or written
        if not name or not _NAME.fullmatch(name):
            raise InvalidDefinition(
                f"name: {str(name or '')[:60]!r} cannot be a filter's name; it has letters, digits, dots, dashes, and"
                " begins with a letter."
            )
        plan = Plan()
        filters = self._filters()
        if state == "absent":
            self._plan_no_filter(plan, name, filters)
        else:
            target = self._plan_filter(plan, name, filters, given, definition)
            # In check mode they may be what an earlier task of the play is to make.
            for missing in () if check else sorted(_references(target) - {*filters, name}):
                raise NotFound(
                    f"The network filter {name} is to include {missing!r}, which is not on {self.name}."
                    f"{nearest(missing, filters)}"
                )
        if not check:
            plan.run()
        try:
            return {**plan.result(f"Network filter {name}", check=check), "nwfilter": self._told(name)}
        except ArchipelError as error:
            error.changes = [change.as_data() for change in plan.done]
            raise

    def _told(self, name: str) -> Result:
        filters = self._filters()
        if name not in filters:
            return {"name": name, "uuid": None}
        return self._describe_filter(name, filters, self._filtered())

    def _plan_no_filter(self, plan: Plan, name: str, filters: t.Mapping[str, t.Any]) -> None:
        if name not in filters:
            return
        users = _users(name, filters)
        machines = sorted(
            {machine for machine, used in self._filtered() if used in {name, *users}}
            | {machine for machine, used in self._configured() if used in {name, *users}}
        )
        who = [f"the filter {user}" for user in users] + [f"the machine {machine}" for machine in machines]
        if who:
            raise Conflict(f"The network filter {name} is used by {', '.join(who)}; take it from there first.")
        plan.add([Change("state", "present", "absent")], lambda: self._undefine_filter(name))

    def _plan_filter(
        self, plan: Plan, name: str, filters: t.Mapping[str, t.Any], given: t.Any, definition: FilterDefinition
    ) -> t.Any:
        """Plans what is missing; the document that the filter is to have."""
        current = filters.get(name)
        if current is None and given is None and not definition:
            raise NotFound(
                f"There is no network filter {name!r} on {self.name}, and nothing says what it is to be made of"
                " (rules, filterrefs or xml)."
            )
        if given is not None:
            target = copy.deepcopy(given)
        else:
            target = copy.deepcopy(current) if current is not None else xmltree.element("filter")
            write(target, definition.values)
        target.set("name", name)
        if current is None:
            changes = [Change("state", "absent", "present")]
            changes += [Change(key, None, value) for key, value in definition.values.items()]
        else:
            # libvirt knows a filter by its UUID when it is defined again.
            xmltree.write(target, "uuid", xmltree.read(current, "uuid"))
            changes = compare(current, target)
            users = {name, *_users(name, filters)}
            if any(used in users for _machine, used in self._filtered()):
                changes = [dataclasses.replace(change, scope="live") for change in changes]
        if changes:
            plan.add(changes, lambda: self._define_filter(name, target))
        return target

    def _define_filter(self, name: str, target: t.Any) -> None:
        with doing(f"Define network filter {name}"):
            self.connection.handle.nwfilterDefineXML(xmltree.serialise(target))

    def _undefine_filter(self, name: str) -> None:
        with doing(f"Undefine network filter {name}"):
            self.connection.handle.nwfilterLookupByName(name).undefine()

    def _filters(self) -> dict[str, t.Any]:
        """Every filter's document by its name."""
        with doing(f"List the network filters of {self.name}"):
            found = self.connection.handle.listAllNWFilters()
            return {each.name(): xmltree.parse_trusted(each.XMLDesc()) for each in found}

    def _filtered(self) -> list[tuple[str, str]]:
        """Running machines with the filters of their interfaces."""
        with doing(f"List the filtered interfaces of {self.name}"):
            found = [xmltree.parse_trusted(each.XMLDesc()) for each in self.connection.handle.listAllNWFilterBindings()]
        return [
            (xmltree.read(each, "owner/name") or "", xmltree.read(each, "filterref/@filter") or "") for each in found
        ]

    def _configured(self) -> t.Iterator[tuple[str, str]]:
        """Machines with the filters that the configurations of their interfaces name."""
        with doing(f"List the machines of {self.name}"):
            domains = self.connection.handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)
        for domain in domains:
            with contextlib.suppress(NotFound), doing(f"Look at {domain.name()}"):
                node = xmltree.parse_trusted(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
                for used in xmltree.read_all(node, "devices/interface/filterref/@filter"):
                    yield domain.name(), used

    def _describe_filter(
        self, name: str, filters: t.Mapping[str, t.Any], machines: t.Sequence[tuple[str, str]]
    ) -> Result:
        users = _users(name, filters)
        return {
            "name": name,
            "uuid": xmltree.read(filters[name], "uuid"),
            "hypervisor": self.name,
            **read(filters[name]),
            "used_by": {
                "filters": users,
                "machines": sorted({machine for machine, used in machines if used in {name, *users}}),
            },
        }


def _references(node: t.Any) -> set[str]:
    """The filters that one includes."""
    return set(xmltree.read_all(node, "filterref/@filter"))


def _users(name: str, filters: t.Mapping[str, t.Any]) -> list[str]:
    """Filters that include this one, directly or not."""
    found: set[str] = set()
    seek = {name}
    while seek:
        seek = {user for user, node in filters.items() if user not in found and seek & _references(node)}
        found |= seek
    return sorted(found - {name})
