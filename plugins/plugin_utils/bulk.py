# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that asks the same of the machines of several hypervisors: one request to each of them."""

from __future__ import annotations

import concurrent.futures
import functools
import typing as t

from ..module_utils._arguments import BULK, arguments_of
from ..module_utils.archipel import errors
from ..module_utils.archipel.bulk import together
from ..module_utils.archipel.selection import fits, is_pattern
from .action import harmless
from .fleet import from_platform
from .hypervisor import HypervisorAction
from .xmpp import Client

Answer = dict[str, t.Any] | errors.ArchipelError


class Bulk(HypervisorAction):
    def module_options(self) -> t.Mapping[str, t.Any]:
        return {**super().module_options(), **BULK}

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        several = BULK.keys() & self._task.args.keys()
        if several and self._task.args.get("via", "libvirt") != "xmpp":
            return {"failed": True, "msg": f"{', '.join(sorted(several))}: that goes with via: xmpp."}
        return super().run(tmp, task_vars)

    def answer(self, client: Client, hypervisor: str, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments = arguments_of(self.declared, parameters, check=self._task.check_mode)
        self.declared.bind(arguments)
        names = _hypervisors(client, hypervisor, parameters)
        total = parameters["max_parallel_total"] or len(names) * arguments["max_parallel"]
        if total < 1:
            raise errors.InvalidArgument(f"max_parallel_total: {total} is not possible; at least 1 is.")
        # What is allowed in all is divided beforehand, so that no two have to agree while they run.
        at_once = max(1, min(len(names), total))
        arguments["max_parallel"] = min(arguments["max_parallel"], total // at_once)
        stopped: list[str] = []

        def ask(name: str) -> Answer:
            if stopped:
                return errors.Conflict(f"Not begun, since {stopped[0]} has stopped.")
            progress = functools.partial(self._show, name if len(names) > 1 else "")
            try:
                jid, timeout = client.account.hypervisor(name), parameters["timeout"]
                answer = client.run(jid, self.declared.name, arguments, timeout=timeout, progress=progress)
            except errors.ArchipelError as error:
                return error
            if answer["stopped"]:
                stopped.append(name)
            return answer

        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            answers = dict(zip(names, pool.map(ask, names), strict=True))
        for answer in answers.values():
            if isinstance(answer, errors.ArchipelError) and len(answers) == 1:
                raise answer
        told = together(answers, check=self._task.check_mode)
        return {**harmless(told), "failed": told["failed"]}

    def _show(self, hypervisor: str, text: str, fraction: float | None) -> None:
        self.show_progress(f"{hypervisor}: {text}" if hypervisor else text, fraction)


def _hypervisors(client: Client, hypervisor: str, parameters: t.Mapping[str, t.Any]) -> list[str]:
    """The names of those that are meant; the index is asked where patterns or sites mean them."""
    named, sites = parameters["hypervisors"], parameters["sites"]
    if not named and not sites:
        return [hypervisor]
    named = named or ["*"]
    if not sites and not any(map(is_pattern, named)):
        return list(dict.fromkeys(named))
    there = from_platform(client, stale=True).hypervisors
    at_sites = [h.name for h in there if not sites or h.site in sites]
    meant = sorted(name for name in at_sites if any(fits(name, pattern) for pattern in named))
    if not meant:
        where = f" at {', '.join(sites)}" if sites else ""
        raise errors.NotFound(f"There is no hypervisor {' or '.join(named)}{where} on the platform.")
    return meant
