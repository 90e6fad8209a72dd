# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that speaks from the controller, over XMPP."""

from __future__ import annotations

import json
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.archipel import errors
from .untrusted import untrusted
from .xmpp import Account, Client


class PlatformAction(ActionBase):
    """A subclass has the ``answer``, and the options of the module of the same name."""

    _requires_connection = False

    def module_options(self) -> t.Mapping[str, t.Any]:
        """The module's argument spec."""
        raise NotImplementedError

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        """The task's result. ``hypervisor`` is the name of the one that is meant."""
        raise NotImplementedError

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        try:
            parameters = self._parameters()
            hypervisor = parameters["hypervisor"] or (task_vars or {}).get("inventory_hostname_short", "")
            answer = self.answer(_client(parameters), str(hypervisor), parameters)
        except errors.ArchipelError as failure:
            answer = {
                "failed": True,
                "msg": failure.message,
                "changed": bool(failure.changes),
                "changes": failure.changes,
                **({"vms": failure.vms} if failure.vms else {}),
            }
        result.update(untrusted(answer))
        return result

    def _parameters(self) -> dict[str, t.Any]:
        """The task's arguments, validated as its module would."""
        if self._task.async_val:
            raise errors.Unsupported("async does not go with via: xmpp; long work is a job of the hypervisor anyway.")
        validated = ArgumentSpecValidator(dict(self.module_options())).validate(dict(self._task.args))
        if validated.error_messages:
            unknown = isinstance(validated.errors[0], UnsupportedError)
            where = f"Unsupported parameters for ({self._task.action}) module: " if unknown else ""
            raise errors.InvalidArgument(where + validated.error_messages[0])
        # What is tagged (core 2.19 and newer) or vaulted becomes plain: all that leaves here is data of JSON.
        return json.loads(json.dumps(validated.validated_parameters, default=str))

    def show_progress(self, text: str, fraction: float | None) -> None:
        percent = "" if fraction is None else f" {fraction:.0%}"
        Display().display(f"{self._task.get_name()}: {text}{percent}")


def _client(parameters: t.Mapping[str, t.Any]) -> Client:
    given = {name: parameters[f"xmpp_{name}"] for name in ("jid", "password", "port", "ca_file")}
    for name in ("jid", "password"):
        if not given[name]:
            raise errors.InvalidArgument(f"via: xmpp needs xmpp_{name}, or ARCHIPEL_{name.upper()} in the environment.")
    return Client(Account(hosts=tuple(parameters["xmpp_host"] or ()), **given))


def harmless(answer: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An answer without the words by which a result changes the controller's facts, inventory, or view of the task."""
    powerful = ("failed", "skipped", "unreachable", "results", "add_host", "add_group", "exception", "invocation")
    return {
        key: value
        for key, value in answer.items()
        if key not in powerful and not key.startswith(("ansible_", "_ansible"))
    }
