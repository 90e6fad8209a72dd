#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: xmpp_group
short_description: Groups of contacts that the platform's XMPP server puts into people's contact lists
version_added: 0.1.0
description:
  - Makes, changes and removes shared roster groups of ejabberd. The members of a group find those of the groups that
    are displayed to it in their contact lists, without asking anybody.
  - A group whose member is C(@all@) holds whoever has an account, machines that are yet to come included.
  - To see a machine in a contact list is not to have a right to it.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.options
  - archipel.orchestrator.connection.server
options:
  name:
    description:
      - Name of the group.
    type: str
    required: true
  state:
    description:
      - Whether the group is to be there.
    type: str
    choices:
      - present
      - absent
    default: present
  label:
    description:
      - Title of the group in contact lists. By default it is O(name).
    type: str
  description:
    description:
      - What the group is for.
    type: str
  display:
    description:
      - Groups whose members are shown to the members of this one.
    type: list
    elements: str
  members:
    description:
      - Accounts by name or bare JID. V(@all@) stands for everybody, V(@online@) for everybody who is online.
    type: list
    elements: str
  members_mode:
    description:
      - Whether O(members) are added to those that are there, are all of them, or are taken away.
    type: str
    choices:
      - add
      - set
      - remove
    default: add
attributes:
  diff_mode:
    details:
      - Shows what changes of the group.
seealso:
  - module: archipel.orchestrator.xmpp_user
"""

EXAMPLES = r"""
- name: Everybody and every machine, those that are yet to come included
  archipel.orchestrator.xmpp_group:
    name: everything
    label: Machines
    members: ["@all@"]

- name: Operators see all machines in their contact lists
  archipel.orchestrator.xmpp_group:
    name: operators
    label: Operators
    display: [everything]
    members: [alice, carol]

- name: Carol is no operator any more
  archipel.orchestrator.xmpp_group:
    name: operators
    members: [carol]
    members_mode: remove
"""

RETURN = r"""
msg:
  description: What was or would be changed, in a sentence.
  type: str
  returned: always
changes:
  description: Each change by itself. After a failure, what had been changed before it.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: What changed, for example C(label) or C(members[alice@example.org]).
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
group:
  description: The group as it is, or would be.
  type: dict
  returned: success
  contains:
    name:
      description: Name of the group.
      type: str
    state:
      description: V(present) or V(absent).
      type: str
    label:
      description: Title in contact lists.
      type: str
    description:
      description: What it is for.
      type: str
    display:
      description: Groups that are shown to its members.
      type: list
      elements: str
    members:
      description: Bare JIDs, C(@all@) and C(@online@).
      type: list
      elements: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import XMPP_GROUP
from ansible_collections.archipel.orchestrator.plugins.module_utils._ejabberd import (
    Group,
    Server,
    group_name,
    have_group,
    lack_group,
)
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import Module


def main() -> None:
    with Module(argument_spec=XMPP_GROUP, supports_check_mode=True) as module:
        given = module.params
        server = Server(given["api_url"], given["xmpp_jid"], given["xmpp_password"])
        name = group_name(given["name"])
        if given["state"] == "absent":
            module.result = lack_group(server, name, check=module.check_mode)
        else:
            asked = {key: given[key] for key in ("label", "description", "display", "members", "members_mode")}
            module.result = have_group(server, Group(name, **asked), check=module.check_mode)


if __name__ == "__main__":
    main()
