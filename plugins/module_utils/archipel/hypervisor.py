# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One hypervisor: all that it can be asked."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from .actions import Action, Progress, Result, actions_of, as_phrases
from .attachments import Attachments
from .bulk import Bulk, BulkActions, Errand, Tally, together
from .clones import Clones
from .console import Consoles
from .errors import ArchipelError
from .machine import Machine
from .moves import Moves
from .networks import Networks
from .nwfilters import NwFilters
from .overview import Overview
from .pools import Pools
from .secrets import Secrets
from .selection import Selectable
from .snapshots import Snapshots
from .tagging import Tagging
from .volumes import Volumes


class Hypervisor(
    Overview,
    Tagging,
    Moves,
    Attachments,
    Consoles,
    Pools,
    Volumes,
    Secrets,
    Networks,
    NwFilters,
    Snapshots,
    Clones,
    BulkActions,
):
    """What it is, and the actions of each kind of thing that it has."""

    def carry_out(self, bulk: Bulk, progress: Progress) -> Result:
        """In threads of this process: libvirt's connection may be used by several."""
        errand = bulk.errand(ACTIONS, MACHINE_ACTIONS)
        machines, missing = bulk.selector.choose(self.candidates(tags=bool(bulk.selector.tags)))
        tally = Tally(bulk, machines, missing, progress)

        def work() -> None:
            while (machine := tally.take()) is not None:
                tally.note(machine, self._attempt(errand, machine))

        with concurrent.futures.ThreadPoolExecutor(max(tally.workers, 1)) as pool:
            for worker in [pool.submit(work) for number in range(tally.workers)]:
                worker.result()
        return together({self.name: tally.result()}, check=bulk.check)

    def _attempt(self, errand: Errand, machine: Selectable) -> Result | ArchipelError:
        if errand.skipped:
            return errand.skipped
        try:
            whose = self.machine(uuid=machine.uuid) if errand.own else self
            given = errand.action.bind(errand.arguments_for(machine.uuid))
            return errand.told(errand.action.function(whose, **given))
        except ArchipelError as error:
            return error


def of_machines(actions: t.Mapping[str, Action]) -> dict[str, Action]:
    """Those that a machine's own contact has too. Which machine is meant is known there."""
    found = {}
    for declared in actions.values():
        for verb in declared.of_machine:
            found[verb.name] = dataclasses.replace(
                declared,
                name=verb.name,
                entity="machine",
                help=verb.help or declared.help,
                phrases=as_phrases(verb.phrases),
                says=verb.says or declared.says,
                asks=verb.asks,
                arguments=verb.arguments(declared.arguments),
                function=_of_one(declared.function, verb.given),
            )
    return found


def _of_one(function: t.Callable[..., Result], said: t.Mapping[str, t.Any]) -> t.Callable[..., Result]:
    return lambda machine, **given: function(machine.hypervisor, uuid=machine.uuid, **said, **given)


ACTIONS: t.Final = actions_of(Hypervisor, "hypervisor")
MACHINE_ACTIONS: t.Final = {**actions_of(Machine, "machine"), **of_machines(ACTIONS)}
