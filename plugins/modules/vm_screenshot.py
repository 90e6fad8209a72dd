#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_screenshot
short_description: Take a picture of what a machine's screen shows
version_added: 0.2.0
description:
  - Takes a picture of the screen of a virtual machine that is on, as PNG.
  - In check mode the picture is taken too, but not written. Of a machine that is not there or not on yet there is none,
    which is an error only without check mode.
options:
  dest:
    description:
      - Where to write the picture, on the controller, whichever way the machine is reached. A file that is there is
        replaced if it differs.
      - Without it, the picture is in the result.
      - A relative path begins at the playbook's directory.
    type: path
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.vm_screenshot
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  check_mode:
    description: Tells whether the file would change, without writing it.
  diff_mode:
    description: There is nothing to show.
    support: none
seealso:
  - module: archipel.orchestrator.vm_console_info
  - module: archipel.orchestrator.vm_sendkey
"""

EXAMPLES = r"""
- name: What web1 shows, as a file on the controller
  archipel.orchestrator.vm_screenshot:
    name: web1
    dest: web1.png

- name: The same over XMPP, in the result
  archipel.orchestrator.vm_screenshot:
    via: xmpp
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    hypervisor: hv1
    name: web1
    max_size: 200
  register: seen
"""

RETURN = r"""
msg:
  description: What was seen, in a sentence.
  type: str
  returned: always
screenshot:
  description: The picture; null in check mode, where the machine is not there or not on yet.
  type: dict
  returned: success
  contains:
    name:
      description: Name of the machine.
      type: str
    uuid:
      description: UUID of the machine.
      type: str
    screen:
      description: Which of its screens it is.
      type: int
    width:
      description: Its width in pixels.
      type: int
    height:
      description: Its height in pixels.
      type: int
    scale:
      description: How many of the screen's pixels each way became one, so that it is not larger than O(max_size).
      type: int
    image:
      description: The PNG, in base64; null where it was written to O(dest).
      type: str
    dest:
      description: Where it was written on the controller; null where it was not.
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import SCREENSHOT
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.console import Consoles


def main() -> None:
    run_action(Consoles, "vm_screenshot", more=SCREENSHOT)


if __name__ == "__main__":
    main()
