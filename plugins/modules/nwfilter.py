#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nwfilter
short_description: Network filters of a hypervisor
version_added: 0.2.0
description:
  - Defines, changes and removes a network filter of libvirt, by which machines' interfaces let packets in and out.
  - Running machines that use it follow at once. A filter that is used is not removed.
  - Rules are compared by what they mean, however libvirt writes them.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.nwfilter
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.nwfilter_info
  - module: archipel.orchestrator.network
  - name: Filter XML
    description: Protocols, their attributes, and variables.
    link: https://libvirt.org/formatnwfilter.html
"""

EXAMPLES = r"""
- name: Web servers answer for the web and for SSH from the office, and do not spoof
  archipel.orchestrator.nwfilter:
    name: web
    filterrefs:
      - filter: clean-traffic
    rules:
      - action: accept
        direction: in
        protocol: tcp
        match:
          dstportstart: 80
          dstportend: 443
      - action: accept
        direction: in
        protocol: tcp
        match:
          srcipaddr: 198.51.100.0
          srcipmask: 24
          dstportstart: 22
      - action: drop
        direction: in
        priority: 900
        protocol: all

- name: The filter is gone
  archipel.orchestrator.nwfilter:
    name: web
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
      description: What changed, for example C(rules[1]).
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
nwfilter:
  description: The filter as it is now. Of one that is not there, its C(name) and C(uuid).
  type: dict
  returned: success
  contains:
    name:
      description: Name of the filter.
      type: str
    uuid:
      description: UUID of the filter.
      type: str
    hypervisor:
      description: Name of its hypervisor.
      type: str
    chain:
      description: Chain that its rules stand in.
      type: str
    priority:
      description: Place of the chain among others; null for the usual one.
      type: int
    rules:
      description: Its rules, in the keys of M(archipel.orchestrator.nwfilter).
      type: list
      elements: dict
    filterrefs:
      description: Filters that it includes, in the keys of M(archipel.orchestrator.nwfilter).
      type: list
      elements: dict
    used_by:
      description: "Who uses it, directly or by way of another filter: C(filters), and running C(machines)."
      type: dict
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.nwfilters import NwFilters


def main() -> None:
    run_action(NwFilters, "nwfilter")


if __name__ == "__main__":
    main()
