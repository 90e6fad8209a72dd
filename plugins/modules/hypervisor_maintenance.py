#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hypervisor_maintenance
short_description: Empty a hypervisor for maintenance, and bring its machines home
version_added: 0.2.0
description:
  - Moves the machines of a hypervisor to others, a few at a time. From then on it takes none that are sent to it, until
    the maintenance is ended; that brings home the machines that were there.
  - Where each machine goes is decided before anything moves, by what the pre-flight of the destination says, and by the
    memory and the space of pools that are left there. Where there is no room for all, nothing is done, and the failure
    tells who would fit.
  - A move that fails does not keep the others from theirs; the task fails at its end and names it. The hypervisor stays
    in maintenance, and the same task again goes on from there.
  - Machines that people have moved on or removed meanwhile are left as they are.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows which machine goes where.
options:
  state:
    description:
      - V(present) empties the O(hypervisor), which takes no machines from then on.
      - V(absent) ends that, and brings home what was there, as it went. What was shut down is started again.
    type: str
    choices: [present, absent]
    default: present
  destinations:
    description:
      - Names of the hypervisors that take its machines. By default, all that answer and are not in maintenance.
    type: list
    elements: str
  max_parallel:
    description:
      - How many machines move at a time, at most 4.
    type: int
    default: 2
  cannot_move:
    description:
      - What becomes of machines that no destination can take, for example since they have a device of their host.
      - With V(fail) nothing is done at all. V(shutdown) shuts them down, V(leave) leaves them running.
    type: str
    choices: [fail, shutdown, leave]
    default: fail
  evacuate:
    description:
      - Move machines that are off, too. They need nothing of the hypervisor.
    type: bool
    default: false
  memory_reserve:
    description:
      - MiB of each destination's free memory that stay free.
    type: int
    default: 512
  copy_storage:
    description:
      - Copy the disks, not at all (shared storage), whole, or on top of a backing file that both sides have.
    type: str
    choices: [none, all, incremental]
    default: none
  bandwidth:
    description:
      - MiB per second at most, of each machine.
    type: int
  auto_converge:
    description:
      - Slow a machine's CPUs down for as long as it changes its memory faster than that can be moved.
    type: bool
    default: false
  post_copy:
    description:
      - Once all memory was moved once, let the machine run on at the destination and fetch what it changed meanwhile.
    type: bool
    default: false
  media:
    description:
      - V(keep) moves no running machine with media that are not at the destination, V(eject) leaves those drives empty.
    type: str
    choices: [keep, eject]
    default: keep
  remove_source_volumes:
    description:
      - Which of the copied disks are removed where they came from, on the way home too, see
        M(archipel.orchestrator.vm_migrate).
    type: str
    choices: [none, owned, all]
    default: none
  wait_timeout:
    description:
      - Seconds after which the move of a machine is aborted; it then stays where it was.
    type: int
    default: 3600
notes:
  - The work is a job of the hypervisor, which goes on when the task is interrupted.
seealso:
  - module: archipel.orchestrator.vm_migrate
"""

EXAMPLES = r"""
- name: Nothing runs on hv1 any more, and nothing comes
  archipel.orchestrator.hypervisor_maintenance:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    cannot_move: shutdown

- name: All is there again
  archipel.orchestrator.hypervisor_maintenance:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    state: absent
"""

RETURN = r"""
msg:
  description: What was or would be done, in a sentence, with the first failures.
  type: str
  returned: always
changes:
  description: Each change by itself; what was done before a failure, too.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: V(maintenance), or what of which machine, for example C(web1.hypervisor).
      type: str
    old:
      description: What was there.
      type: raw
    new:
      description: What is there now.
      type: raw
    scope:
      description: V(live) for what took effect at once, V(config) for what the definition says from now on.
      type: str
maintenance:
  description: C(since) when the hypervisor is in maintenance, and C(by) whom; null when it is not.
  type: dict
  returned: success
vms:
  description: What became of each machine that was there.
  type: list
  elements: dict
  returned: success, and when something of it failed
  contains:
    name:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    changed:
      description: Whether anything was or would be done.
      type: bool
    msg:
      description: What that is, and why not more.
      type: str
    changes:
      description: Its changes, where there are any.
      type: list
      elements: dict
    destination:
      description: With O(state=present), the hypervisor that it went to, or was to go to; null for one that stays.
      type: str
    error:
      description: "Of one that failed: C(code) is the kind of failure, then C(msg), and C(changes) before it."
      type: dict
    left:
      description: With O(state=absent), that it was not where it had been sent any more.
      type: bool
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import HYPERVISOR_MAINTENANCE
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(HYPERVISOR_MAINTENANCE)


if __name__ == "__main__":
    main()
