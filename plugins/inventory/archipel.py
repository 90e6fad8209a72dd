# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: archipel
short_description: Hypervisors and virtual machines, from the platform or from libvirt
version_added: 0.1.0
description:
  - Makes hosts of hypervisors and of their machines.
  - The platform is asked over XMPP, for all hypervisors in one request. Hypervisors outside of it are asked by their
    libvirt URIs. Both can be in one file.
  - The file's name ends in C(archipel.yml) or C(archipel.yaml).
  - Hosts are in the groups C(hypervisors) or C(machines), in C(tag_) and each of their tags, and in C(site_) and the
    name of the place where they stand; machines also in C(state_) and their state, and in C(hypervisor_) and the name
    of their hypervisor. Signs that groups' names do not have become C(_).
  - What is known of a host is in variables that begin with C(archipel_), and C(ansible_host) is the machine's first
    address.
  - Machines of the same name, or of a name that means something else in an inventory, get the beginning of their UUID
    appended, with a warning.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
requirements:
  - slixmpp >= 1.17 and Python >= 3.11 for the platform
  - libvirt-python and lxml for O(uris)
options:
  plugin:
    description:
      - Must be V(archipel.orchestrator.archipel).
    type: str
    required: true
    choices:
      - archipel.orchestrator.archipel
  xmpp:
    description:
      - Whether to ask the platform. By default it is asked if O(xmpp_jid) is known.
    type: bool
  xmpp_jid:
    description:
      - Account on the platform's XMPP server that may read the platform's index. Its domain is the platform's.
    type: str
    env:
      - name: ARCHIPEL_JID
  xmpp_password:
    description:
      - Password of O(xmpp_jid).
    type: str
    env:
      - name: ARCHIPEL_PASSWORD
  xmpp_host:
    description:
      - Host of the XMPP server. Of several, which are nodes of one cluster, the first that answers is taken.
      - By default the SRV records of the domain of O(xmpp_jid) tell it, or it is the domain.
    type: list
    elements: str
    env:
      - name: ARCHIPEL_HOST
  xmpp_port:
    description:
      - Port of the XMPP server, by default 5222, or what the SRV records tell. On 5223, TLS comes first.
    type: int
    env:
      - name: ARCHIPEL_PORT
  xmpp_ca_file:
    description:
      - File with the certificate authorities that the XMPP server's certificate must be signed by. By default they are
        the system's.
    type: path
    env:
      - name: ARCHIPEL_CA_FILE
  uris:
    description:
      - libvirt URIs of hypervisors to ask themselves.
    type: list
    elements: str
    default: []
  addresses:
    description:
      - Where libvirt at O(uris) is to look for the addresses of machines. In the platform the agents decide.
    type: str
    choices:
      - none
      - lease
      - agent
      - arp
    default: lease
  unreachable:
    description:
      - What to do about a hypervisor that does not answer.
      - V(warn) leaves its machines out.
      - V(stale) takes them from the platform's index as they were, with C(archipel_stale=true). A hypervisor of O(uris)
        is in no index; its machines are left out.
      - V(fail) ends with an error. When no source at all answers, that is always an error.
    type: str
    choices:
      - warn
      - stale
      - fail
    default: warn
  timeout:
    description:
      - Seconds to wait for a source at most.
    type: int
    default: 30
  hostnames:
    description:
      - What machines are called in the inventory, in order of preference. The first that is not empty is taken.
      - It is V(name), V(uuid), V(title), V(address), or a Jinja2 expression over the host's variables.
    type: list
    elements: str
    default:
      - name
  include:
    description:
      - Which machines are hosts, as a list of conditions of which one must fit. By default all are.
      - A condition has one or more of C(name), C(state), C(hypervisor), C(site), C(uuid) and C(title), each a pattern
        or a list of patterns of which one must fit, C(tags), a list of tags of which the machine must have all, and
        C(managed), a boolean. All that it has must fit.
    type: list
    elements: dict
  exclude:
    description:
      - Conditions as in O(include), of which none may fit.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
# All of a platform. The password is in the environment variable ARCHIPEL_PASSWORD.
plugin: archipel.orchestrator.archipel
xmpp_jid: admin@example.org

---
# The platform, and two hypervisors outside of it. Running machines only, but not those for tests.
plugin: archipel.orchestrator.archipel
xmpp_jid: admin@example.org
uris:
  - qemu:///system
  - qemu+ssh://root@old.example.org/system
include:
  - state: running
exclude:
  - name: [test*, "*-tmp"]
  - tags: [maintenance]
unreachable: stale
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /tmp/archipel
cache_timeout: 60

---
# Names and groups of one's own.
plugin: archipel.orchestrator.archipel
xmpp_jid: admin@example.org
hostnames:
  - title
  - name ~ '.' ~ archipel_hypervisor
compose:
  ansible_user: "'root' if archipel_title == '' else 'admin'"
keyed_groups:
  - key: archipel_vcpus | string
    prefix: vcpus
groups:
  large: archipel_vcpus | int > 8
"""

import dataclasses
import fnmatch
import functools
import re
import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel import errors
from ansible_collections.archipel.orchestrator.plugins.plugin_utils import fleet
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.untrusted import untrusted_text
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Account, Client

PLATFORM: t.Final = "the platform"
STANDING: t.Final = ("hypervisors", "machines")
# A machine of that name would be taken for something else.
RESERVED: t.Final = frozenset(("all", "ungrouped", "localhost", "127.0.0.1", "::1", *STANDING))
# What anyone may have written; the rest has been read as a word, a number or an address.
FREE: t.Final = frozenset(("name", "title", "description", "hostname", "type", "libvirt_version"))
_PATTERNS: t.Final = ("name", "state", "hypervisor", "site", "uuid", "title")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "archipel.orchestrator.archipel"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(("archipel.yml", "archipel.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        try:
            for condition in [*(self.get_option("include") or ()), *self.get_option("exclude")]:
                _check(condition)
            found = self._cached(path, cache=cache)
        except errors.ArchipelError as failure:
            raise AnsibleParserError(f"{path}: {failure}") from failure
        for warning in found.warnings:
            self.display.warning(warning)
        self._populate(found)

    def _cached(self, path: str, *, cache: bool) -> fleet.Fleet:
        if not self.get_option("cache"):
            return self._fetch()
        key = self.get_cache_key(path)
        if cache and key in self._cache:
            return fleet.Fleet.from_data(self._cache[key])
        found = self._fetch()
        self._cache[key] = found.as_data()
        return found

    def _fetch(self) -> fleet.Fleet:
        unreachable = self.get_option("unreachable")
        told = fleet.gather(dict(self._sources(stale=unreachable == "stale")), self.get_option("timeout"))
        found = fleet.Fleet()
        failures = {}
        for name, answer in told.items():
            if isinstance(answer, errors.ArchipelError):
                failures[name] = f"{name}: {answer}"
            else:
                found += answer
        offline = [f"The hypervisor {h.name} does not answer." for h in found.hypervisors if not h.online]
        if len(failures) == len(told) or (unreachable == "fail" and (failures or offline)):
            raise errors.Unavailable(" ".join([*failures.values(), *offline]))
        return dataclasses.replace(found, warnings=(*found.warnings, *failures.values()))

    def _sources(self, *, stale: bool) -> t.Iterator[tuple[str, t.Callable[[], fleet.Fleet]]]:
        jid, uris, asked = self._text("xmpp_jid"), self.get_option("uris"), self.get_option("xmpp")
        if jid if asked is None else asked:
            yield PLATFORM, functools.partial(self._from_platform, jid, stale=stale)
        elif not uris:
            raise errors.InvalidArgument("There is nobody to ask: give xmpp_jid or uris.")
        addresses = self.get_option("addresses")
        for uri in uris:
            yield str(uri), functools.partial(fleet.from_libvirt, str(uri), addresses=addresses)

    def _from_platform(self, jid: str, *, stale: bool) -> fleet.Fleet:
        password = self._text("xmpp_password")
        if not jid or not password:
            raise errors.InvalidArgument(
                "xmpp_jid and xmpp_password are needed, or ARCHIPEL_JID and ARCHIPEL_PASSWORD."
            )
        hosts = tuple(filter(None, map(self._rendered, self.get_option("xmpp_host") or ())))
        client = Client(Account(jid, password, hosts, self.get_option("xmpp_port"), self.get_option("xmpp_ca_file")))
        try:
            return fleet.from_platform(client, stale=stale)
        finally:
            # Ansible forks after this, and what a fork inherits of a stream is of no use to anyone.
            client.close()

    def _text(self, name: str) -> str:
        """An option that may be a template in the file, as a lookup of a password is."""
        return self._rendered(self.get_option(name))

    def _rendered(self, value: t.Any) -> str:
        return str(self.templar.template(value)) if value else ""

    def _populate(self, found: fleet.Fleet) -> None:
        for group in STANDING:
            self.inventory.add_group(group)
        groups: dict[str, str] = {}
        for hypervisor in found.hypervisors:
            told = self._groups(hypervisor, groups)
            self._add(hypervisor.name, _variables("hypervisor", hypervisor), ["hypervisors", *told])
        include, exclude = self.get_option("include"), self.get_option("exclude")
        chosen = [
            (machine, _variables("machine", machine))
            for machine in found.machines
            if (include is None or any(_fits(machine, condition) for condition in include))
            and not any(_fits(machine, condition) for condition in exclude)
        ]
        taken = {hypervisor.name for hypervisor in found.hypervisors} | RESERVED
        for name, machine, values in self._named(chosen, taken):
            more = (f"state_{machine.state}", f"hypervisor_{machine.hypervisor}")
            told = ["machines", *self._groups(machine, groups, *more)]
            self._add(name, values, told, address=machine.addresses[0] if machine.addresses else None)

    def _groups(self, host: fleet.Machine | fleet.Hypervisor, made: dict[str, str], *more: str) -> list[str]:
        """The groups of a host's tags and site, and ``more``; those that are new are made."""
        wanted = [*more, *(f"tag_{tag}" for tag in host.tags), *([f"site_{host.site}"] if host.site else [])]
        for told in wanted:
            if told not in made:
                made[told] = self.inventory.add_group(re.sub(r"\W", "_", told))
        return [made[told] for told in wanted]

    def _named(
        self, machines: t.Sequence[tuple[fleet.Machine, dict[str, t.Any]]], taken: t.Collection[str]
    ) -> t.Iterator[tuple[str, fleet.Machine, dict[str, t.Any]]]:
        """Each machine with its name in the inventory, which nothing else has."""
        hostnames = self.get_option("hostnames")
        named = [(self._hostname(machine, values, hostnames), machine, values) for machine, values in machines]
        counted: dict[str, int] = {}
        for name, _machine, _values in named:
            counted[name] = counted.get(name, 0) + 1
        for name, machine, values in named:
            if counted[name] > 1 or name in taken:
                unique = f"{name}_{machine.uuid[:8]}"
                self.display.warning(f"The name {name!r} is not unique; the machine {machine.uuid} is {unique!r} here.")
                yield unique, machine, values
            else:
                yield name, machine, values

    def _hostname(self, machine: fleet.Machine, values: dict[str, t.Any], hostnames: t.Iterable[str]) -> str:
        for preference in hostnames:
            if preference in ("name", "uuid", "title"):
                name = getattr(machine, preference)
            elif preference == "address":
                name = machine.addresses[0] if machine.addresses else ""
            else:
                variables = {f"archipel_{key}": value for key, value in values.items()}
                name = str(self._compose(preference, {**variables, "name": values["name"]}) or "")
            name = "".join(sign if sign.isprintable() else "_" for sign in name.strip())
            if name:
                return name
        return machine.uuid

    def _add(self, name: str, values: dict[str, t.Any], groups: t.Sequence[str], *, address: str | None = None) -> None:
        name = untrusted_text(name)
        for group in groups:
            self.inventory.add_host(name, group)
        variables = {f"archipel_{key}": value for key, value in values.items()}
        if address:
            variables["ansible_host"] = address
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        strict = self.get_option("strict")
        if self.get_option("compose"):
            self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        if self.get_option("groups"):
            self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        if self.get_option("keyed_groups"):
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


def _variables(kind: str, entity: fleet.Machine | fleet.Hypervisor) -> dict[str, t.Any]:
    values = {"kind": kind, **dataclasses.asdict(entity)}
    for key in FREE & values.keys():
        values[key] = untrusted_text(values[key])
    for key in ("addresses", "tags"):
        if key in values:
            values[key] = list(values[key])
    return values


def _check(condition: t.Mapping[str, t.Any]) -> None:
    known = (*_PATTERNS, "tags", "managed")
    for key, wanted in condition.items():
        if key not in known:
            raise errors.InvalidArgument(f"A condition has no {key!r}; it has {', '.join(known)}.")
        if key == "tags" and not isinstance(wanted, list):
            raise errors.InvalidArgument(f"A condition's tags are a list, not {wanted!r}.")


def _fits(machine: fleet.Machine, condition: t.Mapping[str, t.Any]) -> bool:
    for key, wanted in condition.items():
        told = getattr(machine, key)
        if key == "managed":
            if told is not wanted:
                return False
        elif key == "tags":
            if not {str(tag) for tag in wanted} <= {*told}:
                return False
        elif not any(
            fnmatch.fnmatchcase(told or "", str(pattern))
            for pattern in (wanted if isinstance(wanted, list) else [wanted])
        ):
            return False
    return True
