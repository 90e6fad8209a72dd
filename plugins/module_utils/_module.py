# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What stands between AnsibleModule and the core."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ._arguments import arguments_of, of_action
from .archipel.actions import actions_of
from .archipel.connection import Connection
from .archipel.errors import ArchipelError, LibvirtMissing

if t.TYPE_CHECKING:
    from ._arguments import Options
    from .archipel.host import Host


class Module(AnsibleModule):
    """A block: leaving it ends the module with its ``result``, an error of the core inside it with a failure."""

    result: dict[str, t.Any]

    def __enter__(self) -> Module:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, LibvirtMissing):
            self.fail_json(msg=missing_required_lib("libvirt (Debian: python3-libvirt)", reason="for via: libvirt"))
        if isinstance(error, ArchipelError):
            self.fail_json(msg=error.message, changed=bool(error.changes), changes=error.changes)
        if error is None:
            self.exit_json(**self.result)


def run_action(owner: type[Host], name: str, more: Options | None = None) -> None:
    """Be the module of that name: an action that ``owner`` declares, of the hypervisor that libvirt reaches from here.
    ``more`` options are its action plugin's. Not Hypervisor, which has them all: a module is shipped and compiled with
    whatever it imports."""
    action = actions_of(owner, "hypervisor")[name]
    with Module(argument_spec={**of_action(action), **(more or {})}, supports_check_mode=True) as module:
        given = module.params
        arguments = action.bind(arguments_of(action, given, check=module.check_mode))
        if given["via"] == "xmpp":
            # The action plugin has via: xmpp; it is not asked where a module is run by itself.
            module.fail_json(msg="via: xmpp works in a task, where the controller speaks to the platform.")
        credentials = {"username": given["uri_username"], "password": given["uri_password"]}
        with Connection(given["uri"], **credentials, events=action.changes) as connection:
            module.result = action.function(owner(connection, given["hypervisor"]), **arguments)


def only_in_the_controller(options: Options) -> None:
    """Be a module whose object is in the platform: its action plugin does all of it."""
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    module.fail_json(msg="This module works in a task, where the controller speaks to the platform.")
