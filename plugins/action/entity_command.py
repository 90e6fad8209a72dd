# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module entity_command."""

from __future__ import annotations

import typing as t

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import CHECK, ENTITY_COMMAND
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.actions import Action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.hypervisor import ACTIONS, MACHINE_ACTIONS
from ansible_collections.archipel.orchestrator.plugins.plugin_utils import hypervisor as hypervisors
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.action import PlatformAction
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client

# The agent's own, which the core does not declare, and which only reads.
_READING: t.Final = frozenset(("job", "permission_info", "rooms", "schedule_info"))


class ActionModule(PlatformAction):
    """Any action of a contact."""

    def module_options(self) -> t.Mapping[str, t.Any]:
        return ENTITY_COMMAND

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        name, arguments = parameters["action"], dict(parameters["arguments"])
        declared = (MACHINE_ACTIONS if parameters["machine"] else ACTIONS).get(name)
        if self._task.check_mode:
            if _checks(declared):
                arguments[CHECK] = True
            elif name not in _READING and (declared is None or declared.changes):
                return {"changed": False, "skipped": True, "msg": f"Check mode: {name} may change something."}
        jid = hypervisors.contact(client, hypervisor, parameters["machine"])
        timeout = parameters["timeout"]
        if parameters["wait"]:
            result = client.run(jid, name, arguments, timeout=timeout, progress=self.show_progress)
        else:
            result = client.execute(jid, name, arguments, timeout)
        answer = {"changed": bool(result.get("changed")), "jid": jid, "result": result}
        answer.update((key, result[key]) for key in ("msg", "diff") if key in result)
        return answer


def _checks(declared: Action | None) -> bool:
    return declared is not None and any(argument.name == CHECK for argument in declared.arguments)
