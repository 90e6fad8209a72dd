#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule
short_description: Actions that are run later, once or again and again
version_added: 0.2.0
description:
  - Has a hypervisor's agent run an action later, at a time, by the five fields of cron, or by a recurrence rule of RFC
    5545, with the rights that the author has then.
  - Any action can be scheduled that you may run, see C(docs/actions.md); nothing secret among its arguments, because
    they are kept.
  - It is done to the hypervisor, to one O(machine), with which the schedule moves to other hypervisors, or to all
    machines that fit O(machines), O(tags) and O(states) when it runs.
  - The schedules of a machine go with it when it is removed by the agent, as by M(archipel.orchestrator.vm) with
    C(state) V(absent) and C(via) V(xmpp).
  - What is not named stays as it is. Whoever changes a schedule is its author from then on.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
options:
  name:
    description:
      - Name of the schedule. Those of a O(machine) have names of their own.
    type: str
    required: true
  state:
    description:
      - Whether there is to be such a schedule.
    type: str
    choices:
      - present
      - absent
    default: present
  action:
    description:
      - What is to be done, an action of machines or, without O(machine), O(machines), O(tags) and O(states), of the
        hypervisor. It is needed for a new schedule.
    type: str
  arguments:
    description:
      - Arguments of the action.
    type: dict
  machine:
    description:
      - Name or UUID of the machine to which it is done.
    type: str
  machines:
    description:
      - Names or patterns of machines, of which one has to fit.
    type: list
    elements: str
  tags:
    description:
      - Tags of machines, all of which they have to have.
    type: list
    elements: str
  states:
    description:
      - States of machines, in one of which they have to be.
    type: list
    elements: str
  at:
    description:
      - Once, at this time with its zone (ISO 8601). Of O(at), O(cron) and O(rrule), a new schedule has one.
    type: str
  cron:
    description:
      - Minute, hour, day of the month, month and day of the week (0 and 7 are Sunday). When both days are named, either
        will do, as cron has it.
    type: str
  rrule:
    description:
      - Recurrence rule, at least a minute apart; without seconds, and with C(BYSETPOS) only by month and year.
    type: str
  start:
    description:
      - From when O(rrule) counts (ISO 8601 with a zone). By default, from when it was made.
    type: str
  timezone:
    description:
      - Zone of the clock that O(cron) and O(rrule) mean, by its name with the IANA; V(UTC) if it was never named.
      - A time that the clocks skip comes as much later, one that they show twice counts the first time.
    type: str
  misfire:
    description:
      - What becomes of a time that is over before it can be run, because the agent or libvirt was away.
      - With V(run) it is run then, once however many there were, unless all are longer ago than O(grace). With V(skip)
        it is missed. V(run) if it was never named.
    type: str
    choices:
      - run
      - skip
  grace:
    description:
      - Seconds by which a run may come late; 3600 if it was never named. Up to a minute is always in time.
    type: int
  enabled:
    description:
      - Whether it runs; it does if it was never named.
    type: bool
seealso:
  - module: archipel.orchestrator.schedule_info
  - module: archipel.orchestrator.entity_command
"""

EXAMPLES = r"""
- name: A snapshot of web1 each night, wherever it runs, of which a week's are kept
  archipel.orchestrator.schedule:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: nightly
    machine: web1
    action: snapshot
    arguments:
      snapshot: nightly-%F
      among: nightly-*
      keep: 7
    cron: 30 2 * * *
    timezone: Europe/Berlin

- name: On Friday evenings all machines for tests go down that then run
  archipel.orchestrator.schedule:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: weekend
    machines:
      - test-*
    states:
      - running
    action: shutdown
    rrule: FREQ=WEEKLY;BYDAY=FR;BYHOUR=20;BYMINUTE=0
    misfire: skip

- name: No snapshots of web1 any more
  archipel.orchestrator.schedule:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: nightly
    machine: web1
    state: absent
"""

RETURN = r"""
msg:
  description: What was or would be changed, in a sentence.
  type: str
  returned: always
changes:
  description: Each change by itself.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: What changed, for example C(cron).
      type: str
    old:
      description: What was there; null for nothing.
      type: raw
    new:
      description: What is there now; null for nothing.
      type: raw
    scope:
      description: Always V(config).
      type: str
schedule:
  description: The schedule as it is now; null when there is none.
  type: dict
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
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import SCHEDULE
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(SCHEDULE)


if __name__ == "__main__":
    main()
