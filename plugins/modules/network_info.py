#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network_info
short_description: What virtual networks are
version_added: 0.2.0
description:
  - Tells everything about the virtual networks of a hypervisor, or about those that are named, with the addresses that
    they have leased and the machines that are connected.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.network_info
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.network
"""

EXAMPLES = r"""
- name: Every network of the task's host
  archipel.orchestrator.network_info:
  register: networks

- name: The leases of one, over XMPP
  archipel.orchestrator.network_info:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: default
  register: default
"""

RETURN = r"""
networks:
  description: The networks by name.
  type: list
  elements: dict
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
    run_action(Networks, "network_info")


if __name__ == "__main__":
    main()
