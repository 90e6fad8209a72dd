# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A plan: all that is to be done, made whole before any of it is done.

Check mode is the plan without the run, so it tells just what the run would change.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .actions import shown
from .connection import libvirt
from .elements import Change
from .errors import ArchipelError


@dataclasses.dataclass(frozen=True)
class Step:
    """A part of the plan: what it changes, how, and how to take it back if the next step fails."""

    changes: list[Change]
    run: t.Callable[[], t.Any]
    undo: t.Callable[[], t.Any] | None = None


class Plan:
    """Steps in their order. ``done`` is what they have changed so far."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.done: list[Change] = []

    @property
    def changes(self) -> list[Change]:
        return [change for step in self.steps for change in step.changes]

    def add(self, changes: list[Change], run: t.Callable[[], t.Any], undo: t.Callable[[], t.Any] | None = None) -> None:
        self.steps.append(Step(changes, run, undo))

    def run(self) -> None:
        """An error carries what was changed before it. What only served a step that failed is taken back."""
        undone: list[Step] = []
        for step in self.steps:
            try:
                step.run()
            except ArchipelError as error:
                self._undo(undone)
                error.changes = [change.as_data() for change in self.done]
                raise
            self.done += step.changes
            undone = [*undone, step] if step.undo else []

    def _undo(self, steps: list[Step]) -> None:
        for step in reversed(steps):
            with contextlib.suppress(ArchipelError, libvirt.libvirtError):
                t.cast(t.Callable[[], t.Any], step.undo)()
                self.done = [change for change in self.done if change not in step.changes]

    def result(self, who: str, *, check: bool) -> dict[str, t.Any]:
        """``changed, msg, changes, diff`` of the whole plan, as it was or would be run. ``who`` is what it is about."""
        changes = self.changes
        paths = ", ".join(dict.fromkeys(change.path for change in changes))
        return {
            "changed": bool(changes),
            "msg": f"{who}: {'would change' if check else 'changed'} {paths}." if changes else f"{who} is as asked.",
            "changes": [change.as_data() for change in changes],
            # A path that changes twice (absent → shutoff → running) began as the first says and ends as the last.
            "diff": {
                "before": {c.path: shown(c.old) for c in reversed(changes)},
                "after": {c.path: shown(c.new) for c in changes},
            },
        }
