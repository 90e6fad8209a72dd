#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nwfilter_info
short_description: What network filters are
version_added: 0.2.0
description:
  - Tells everything about the network filters of a hypervisor, or about those that are named, and who uses them.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.nwfilter_info
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
seealso:
  - module: archipel.orchestrator.nwfilter
"""

EXAMPLES = r"""
- name: Filters against spoofing, and who uses them
  archipel.orchestrator.nwfilter_info:
    name: no-*-spoofing
  register: filters
"""

RETURN = r"""
nwfilters:
  description: The filters by name.
  type: list
  elements: dict
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
    run_action(NwFilters, "nwfilter_info")


if __name__ == "__main__":
    main()
