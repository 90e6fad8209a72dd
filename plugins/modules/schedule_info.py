#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule_info
short_description: Tell what a hypervisor has to do later
version_added: 0.2.0
description:
  - Tells about the schedules that a hypervisor's agent keeps, when they are due, and what came of their last run.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes.info
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
options:
  name:
    description:
      - Name or pattern of schedules. By default, it tells of all.
    type: str
  machine:
    description:
      - Only those of this machine, by name or UUID.
    type: str
  upcoming:
    description:
      - How many of the next times to tell, at most 10.
    type: int
    default: 1
seealso:
  - module: archipel.orchestrator.schedule
"""

EXAMPLES = r"""
- name: What happens to web1 by itself
  archipel.orchestrator.schedule_info:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    machine: web1
    upcoming: 3
"""

RETURN = r"""
schedules:
  description: The schedules, those of the hypervisor first.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the schedule.
      type: str
    machine:
      description: UUID of the one machine that it is about; null for none.
      type: str
    machine_name:
      description: The machine's name, when the schedule was made.
      type: str
    author:
      description: Who made or last changed it; it runs with their rights.
      type: str
    action:
      description: What is done.
      type: str
    arguments:
      description: Arguments of the action.
      type: dict
    machines:
      description: Names and patterns that machines have to fit.
      type: list
      elements: str
    tags:
      description: Tags that machines have to have.
      type: list
      elements: str
    states:
      description: States in one of which machines have to be.
      type: list
      elements: str
    at:
      description: The time, if it is done once.
      type: str
    cron:
      description: When it is done, in cron's five fields.
      type: str
    rrule:
      description: When it is done, as a recurrence rule.
      type: str
    start:
      description: From when the rule counts.
      type: str
    timezone:
      description: Zone of the clock that is meant.
      type: str
    misfire:
      description: Whether what was missed is made up for.
      type: str
    grace:
      description: Seconds by which a run may come late.
      type: int
    enabled:
      description: Whether it runs.
      type: bool
    next:
      description: When it is due next, in UTC; null when it is due no more.
      type: str
    leaving:
      description: Hypervisor to which it is being handed over; null for none.
      type: str
    last:
      description:
        - The last run; null when there was none. C(due), C(started) and C(ended) in UTC, C(outcome), C(msg), and of
          each machine one of C(results) with its own C(entity), C(name), C(job), C(outcome) and C(msg).
        - An C(outcome) is V(running), V(succeeded), V(failed), V(refused) when the author had no right to it, V(missed)
          or V(lost) when the agent ended meanwhile.
      type: dict
    upcoming:
      description: The next times, in UTC, as many as were asked for and there are.
      type: list
      elements: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import SCHEDULE_INFO
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(SCHEDULE_INFO)


if __name__ == "__main__":
    main()
