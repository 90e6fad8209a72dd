#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network
short_description: Virtual networks of a hypervisor
version_added: 0.2.0
description:
  - Defines, changes, starts, stops and removes a virtual network of libvirt.
  - Only what is named is compared and changed. Entries that libvirt can change in a running network (DHCP hosts and
    ranges, DNS hosts, TXT and SRV records, port groups, interfaces) take effect at once; of all else the result says
    that a restart is needed, and why.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.network
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.network_info
  - module: archipel.orchestrator.nwfilter
  - name: Network XML
    description: What libvirt can do beyond these options.
    link: https://libvirt.org/formatnetwork.html
"""

EXAMPLES = r"""
- name: A network with NAT and DHCP, also after the next boot
  archipel.orchestrator.network:
    name: lab
    state: active
    autostart: true
    bridge: virbr-lab
    domain: lab.example.org
    forward:
      mode: nat
    ips:
      - address: 192.168.150.1/24
        dhcp:
          ranges:
            - start: 192.168.150.100
              end: 192.168.150.199

- name: A machine gets an address of its own, at once, and the others keep theirs
  archipel.orchestrator.network:
    name: lab
    ips:
      - dhcp:
          hosts:
            - mac: "52:54:00:00:00:01"
              name: web1
              ip: 192.168.150.11

- name: These names and no others are known to the network's DNS server
  archipel.orchestrator.network:
    name: lab
    entries_mode: set
    dns:
      hosts:
        - ip: 192.168.150.1
          hostnames: [gateway, ntp]

- name: The machine's address is free again
  archipel.orchestrator.network:
    name: lab
    entries_mode: remove
    ips:
      - dhcp:
          hosts:
            - mac: "52:54:00:00:00:01"

- name: Machines see only the hypervisor, and a restart of the network is fine
  archipel.orchestrator.network:
    name: lab
    isolated: true
    apply: restart

- name: The network is gone
  archipel.orchestrator.network:
    name: lab
    state: absent
"""

RETURN = r"""
msg:
  description: What was or would be changed, in a sentence.
  type: str
  returned: always
changes:
  description: Each change by itself, in the words that a task uses. After a failure, what had been changed before it.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: What changed, for example C(mtu) or C(ips[192.168.150.1].dhcp.hosts[52:54:00:00:00:01]).
      type: str
    old:
      description: What was there; null for nothing.
      type: raw
    new:
      description: What is there now; null for nothing.
      type: raw
    scope:
      description: V(live) for what took effect at once, V(config) for what the definition says from now on.
      type: str
restart_required:
  description: Whether the running network differs from what was asked for.
  type: bool
  returned: success
restart_reasons:
  description: What differs, and which machines a restart would cut off.
  type: list
  elements: str
  returned: success
network:
  description: The network as it is now. Of one that is not there, its C(name), C(uuid) and C(active).
  type: dict
  returned: success
  contains:
    name:
      description: Name of the network.
      type: str
    uuid:
      description: UUID of the network.
      type: str
    hypervisor:
      description: Name of its hypervisor.
      type: str
    active:
      description: Whether it is started.
      type: bool
    persistent:
      description: Whether its definition stays when it is stopped.
      type: bool
    autostart:
      description: Whether it starts with its hypervisor.
      type: bool
    bridge:
      description: Name of the bridge that carries it.
      type: str
    mtu:
      description: Largest packet; null for the usual one.
      type: int
    domain:
      description: DNS domain of the machines.
      type: str
    forward:
      description: How machines reach other networks, in the keys of M(archipel.orchestrator.network).
      type: dict
    ips:
      description: The hypervisor's addresses in it with their DHCP, in the keys of M(archipel.orchestrator.network).
      type: list
      elements: dict
    dns:
      description: Its DNS server, in the keys of M(archipel.orchestrator.network).
      type: dict
    leases:
      description: "Addresses that its DHCP server has given out: C(ip), C(prefix), C(mac), C(hostname), C(client_id),
        and C(expires) in seconds since 1970."
      type: list
      elements: dict
    machines:
      description: Names of the running machines that are connected to it.
      type: list
      elements: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.networks import Networks


def main() -> None:
    run_action(Networks, "network")


if __name__ == "__main__":
    main()
