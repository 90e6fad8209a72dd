# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that is an action of a hypervisor: over XMPP from here, or as a module on the task's host."""

from __future__ import annotations

import functools
import re
import typing as t

from ..module_utils._arguments import arguments_of, of_action
from ..module_utils.archipel import errors
from ..module_utils.archipel.actions import Action, actions_of
from .action import PlatformAction, harmless
from .xmpp import Client

_UUID: t.Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

# What an agent may need beyond the time that the task gives to the action itself.
_ANSWER: t.Final = 60.0
# What an action gives itself at most, where the task does not say.
_LONGEST: t.Final = 3600.0
# Machines in one answer: with 5 kB for each it is still smaller than the server's max_stanza_size.
_PAGE: t.Final = 200


def contact(client: Client, hypervisor: str, machine: str | None) -> str:
    """The JID of a hypervisor, or of one of its machines by UUID or name."""
    account = client.account
    if machine is None:
        return account.hypervisor(hypervisor)
    if not _UUID.fullmatch(machine):
        found = client.execute(account.hypervisor(hypervisor), "vm_info", {"name": machine})["vms"]
        # A name with * or ? is a pattern to vm_info.
        if len(found) != 1 or found[0]["name"] != machine:
            raise errors.NotFound(f"There is no machine {machine!r} on {hypervisor}.")
        machine = str(found[0]["uuid"])
    return account.machine(machine.lower(), hypervisor)


class HypervisorAction(PlatformAction):
    """The action has the module's name, and its declaration, by ``owner``, gives the module's options."""

    owner: type

    # As a module it needs both.
    _requires_connection = True
    _supports_async = True

    @functools.cached_property
    def declared(self) -> Action:
        return actions_of(self.owner, "hypervisor")[self._task.action.rpartition(".")[2]]

    def module_options(self) -> t.Mapping[str, t.Any]:
        return of_action(self.declared)

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        if self._task.args.get("via", "libvirt") == "xmpp":
            return super().run(tmp, task_vars)
        return self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val)

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments = arguments_of(self.declared, parameters, check=self._task.check_mode)
        # A module would refuse here too, in the same words and before anything is asked.
        self.declared.bind(arguments)

        # None is the action's own, which depends on what is asked.
        patience = parameters.get("wait_timeout", 0)
        patience = _LONGEST if patience is None else patience

        def ask(**page: t.Any) -> dict[str, t.Any]:
            return client.run(
                client.account.hypervisor(hypervisor),
                self.declared.name,
                {**arguments, **page},
                timeout=patience + _ANSWER,
                progress=self.show_progress,
            )

        in_pages = any(argument.name == "after" for argument in self.declared.arguments)
        return harmless(_all_pages(ask, arguments.get("limit")) if in_pages else ask())


def _all_pages(ask: t.Callable[..., dict[str, t.Any]], limit: int | None) -> dict[str, t.Any]:
    """One answer of as many as it takes to tell of ``limit`` machines, or of all."""
    answer = ask(limit=_PAGE if limit is None else min(_PAGE, limit))
    vms = answer["vms"]
    while answer["next"] and len(vms) != limit:
        left = _PAGE if limit is None else limit - len(vms)
        answer = ask(limit=min(_PAGE, left), after=answer["next"])
        vms += answer["vms"]
    return {**answer, "vms": vms}
