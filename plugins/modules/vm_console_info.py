#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_console_info
short_description: Where the consoles of a machine can be reached
version_added: 0.2.0
description:
  - Tells where VNC, SPICE and serial ports of a virtual machine can be reached while it is on, and gives VNC and SPICE
    a password that expires.
  - VNC's passwords have eight characters, and VNC is not encrypted. Graphics listen on the hypervisor's own loopback
    address unless they were defined otherwise; reach them through SSH.
  - The password is in the result and nowhere else. Ansible shows and logs results, so set C(no_log) on the task.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_console_info
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    description: Tells which passwords would be set, without setting them.
  diff_mode:
    details:
      - Shows which passwords were set, but not what they are.
seealso:
  - module: archipel.orchestrator.vm_screenshot
  - module: archipel.orchestrator.vm_sendkey
"""

EXAMPLES = r"""
- name: Where web1 can be watched
  archipel.orchestrator.vm_console_info:
    name: web1
  register: web1

- name: Let somebody in for five minutes, over XMPP
  archipel.orchestrator.vm_console_info:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1
    access_for: 300
  register: access
  no_log: true
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
      description: For example V(graphics[vnc].password).
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
console:
  description: The consoles; null in check mode, where the machine is not there or not on yet.
  type: dict
  returned: success
  contains:
    name:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    hypervisor:
      description: Name of its hypervisor.
      type: str
    state:
      description: Its state, in libvirt's words. One that is off has no consoles.
      type: str
    graphics:
      description: Where its screen can be watched.
      type: list
      elements: dict
      contains:
        type:
          description: V(vnc), V(spice) or another of libvirt's.
          type: str
        address:
          description: The address on which the hypervisor listens.
          type: str
        port:
          description: The port.
          type: int
        tls_port:
          description: The port for TLS, of SPICE.
          type: int
        websocket:
          description: The port for websockets, of VNC.
          type: int
        socket:
          description: Path of the socket on the hypervisor, where it listens on none of the network.
          type: str
        protected:
          description: Whether it demands a password.
          type: bool
        valid_until:
          description: When the password expires, in UTC.
          type: str
    serials:
      description: Its serial ports, and consoles of other kinds.
      type: list
      elements: dict
      contains:
        type:
          description: What is behind it on the hypervisor, for example V(pty), V(tcp) or V(unix).
          type: str
        target:
          description: What the machine sees, for example V(isa-serial) or V(virtio).
          type: str
        number:
          description: Which of them it is, from 0.
          type: int
        path:
          description: The terminal, file or socket on the hypervisor.
          type: str
        address:
          description: The address on which the hypervisor listens.
          type: str
        port:
          description: The port on which it listens.
          type: int
        log:
          description: The file on the hypervisor to which all is written that the machine says.
          type: str
    password:
      description: The new password; null where none was set.
      type: str
    valid_until:
      description: When it expires, in UTC.
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.console import Consoles


def main() -> None:
    run_action(Consoles, "vm_console_info")


if __name__ == "__main__":
    main()
