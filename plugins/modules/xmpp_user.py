#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: xmpp_user
short_description: Accounts of people and programs on the platform's XMPP server
version_added: 0.1.0
description:
  - Makes and removes accounts on ejabberd, any number of them over one connection.
  - Accounts of machines are made by their hypervisors' agents; accounts of hypervisors by the role C(ejabberd).
  - Passwords are neither logged nor given to other processes.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.options
  - archipel.orchestrator.connection.server
options:
  name:
    description:
      - Name of the account, the part of its JID before the @, or its bare JID.
    type: str
  password:
    description:
      - Password of the account. Needed for one that is not there yet.
    type: str
  users:
    description:
      - Any number of accounts, instead of O(name).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      password:
        description: Password of the account.
        type: str
  state:
    description:
      - Whether the accounts are to be there. With V(absent) go their contact lists, too.
    type: str
    choices:
      - present
      - absent
    default: present
  update_password:
    description:
      - What to do about an account that is there with another password than the one given.
      - V(on_create) leaves it, V(always) sets the one given, V(refuse) fails.
    type: str
    choices:
      - on_create
      - always
      - refuse
    default: on_create
  founder:
    description:
      - Where the account O(xmpp_jid) is among those asked for and is not there yet, make it by the server's own
        command. That needs root on the server's host.
    type: bool
    default: false
attributes:
  diff_mode:
    details:
      - Shows which accounts come and go; never a password.
seealso:
  - module: archipel.orchestrator.xmpp_group
"""

EXAMPLES = r"""
- name: Alice has an account
  archipel.orchestrator.xmpp_user:
    name: alice
    password: "{{ admin_password }}"

- name: So have two of her colleagues
  archipel.orchestrator.xmpp_user:
    users:
      - name: bob
        password: "{{ admin_password }}"
      - name: carol
        password: "{{ admin_password }}"

- name: Bob has left
  archipel.orchestrator.xmpp_user:
    name: bob
    state: absent
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
      description: What changed, for example C(users[alice].password).
      type: str
    old:
      description: What was there; null for nothing, C((hidden\)) for a password.
      type: raw
    new:
      description: What is there now; null for nothing, C((hidden\)) for a password.
      type: raw
    scope:
      description: Always V(config).
      type: str
users:
  description: The accounts that the task named.
  type: list
  elements: dict
  returned: success
  contains:
    jid:
      description: The bare JID.
      type: str
    state:
      description: V(present) or V(absent).
      type: str
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import XMPP_USER
from ansible_collections.archipel.orchestrator.plugins.module_utils._ejabberd import (
    Account,
    Server,
    have_accounts,
    lack_accounts,
    localpart,
)
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import Module
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.actions import Secret


def main() -> None:
    with Module(
        argument_spec=XMPP_USER,
        supports_check_mode=True,
        required_one_of=[["name", "users"]],
        mutually_exclusive=[["name", "users"], ["password", "users"]],
    ) as module:
        given = module.params
        server = Server(given["api_url"], given["xmpp_jid"], given["xmpp_password"])
        asked = given["users"] or [{"name": given["name"], "password": given["password"]}]
        accounts = {localpart(user["name"], server.domain): user["password"] for user in asked}
        if given["state"] == "absent":
            module.result = lack_accounts(server, list(accounts), check=module.check_mode)
        else:
            module.result = have_accounts(
                server,
                [Account(name, Secret(password) if password else None) for name, password in accounts.items()],
                update_password=given["update_password"],
                founder=module.run_command if given["founder"] else None,
                check=module.check_mode,
            )


if __name__ == "__main__":
    main()
