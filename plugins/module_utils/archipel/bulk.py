# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The same asked of many machines: which they are, so many at once, and what came of each.

How one machine is asked is the business of who carries it out: in this process, or in the agent, where each is a
request of its own with its rights, its lock and its event.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import typing as t

from .actions import ASKER, MACHINE, NO_PROGRESS, Action, Names, Phrase, Progress, Result, Secret, action, find
from .errors import ArchipelError, InvalidArgument, Unavailable
from .host import Check
from .lifecycle import STATES, Asked
from .machines import of_all
from .selection import M, Selector

MOST_AT_ONCE: t.Final = 64
# Of the failures so many are in the sentence; all of them are in the list.
TOLD: t.Final = 3
NOT_TRIED: t.Final = "not_tried"
# For a look at the arguments before any machine is asked.
NOBODY: t.Final = "00000000-0000-0000-0000-000000000000"
_CHECK: t.Final = "check"


class Arguments(Secret):
    """Arguments of another action, as JSON. Which of them are secret is its business, so none of them is told."""

    __slots__ = ()
    type_name = "dict"

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> Arguments:
        if not isinstance(untrusted, dict):
            raise InvalidArgument(f"{where}: {str(untrusted)[:80]!r} is not of type dict.")
        return cls(json.dumps(untrusted))


@dataclasses.dataclass(frozen=True)
class Errand:
    """What is done to each machine. ``own``: it is an action of the machine's own contact, else of its hypervisor's."""

    action: Action
    own: bool
    arguments: t.Mapping[str, t.Any]
    check: bool

    def arguments_for(self, uuid: str) -> dict[str, t.Any]:
        return dict(self.arguments) if self.own else {**self.arguments, "uuid": uuid}

    @property
    def skipped(self) -> Result | None:
        """What is told of each machine where it is not done, because nothing tells beforehand what it would do."""
        if not self.check or not self.action.changes or _CHECK in self.arguments:
            return None
        return {"changed": False, "msg": f"Check mode: {self.action.name} may change something."}

    def told(self, result: Result) -> Result:
        """Of the result of one machine, what is told among many."""
        told = {"changed": bool(result.get("changed")), "msg": result.get("msg") or self.action.sentence(result)}
        told.update({key: result[key] for key in ("changes", "restart_reasons") if result.get(key)})
        return told if self.action.changes else {**told, "result": result}


@dataclasses.dataclass(frozen=True)
class Bulk:
    """What is asked of all machines that are meant."""

    selector: Selector
    action: str
    arguments: t.Mapping[str, t.Any]
    max_parallel: int
    max_fail_percentage: float
    check: bool

    def errand(self, of_hypervisor: t.Mapping[str, Action], of_machine: t.Mapping[str, Action]) -> Errand:
        """UnknownAction, or InvalidArgument, before any machine is asked."""
        about_one = {name: each for name, each in of_hypervisor.items() if _is_about_one(each)}
        declared = find({**about_one, **of_machine}, self.action)
        known = {argument.name for argument in declared.arguments}
        said = {"name", "names", "uuid", _CHECK} & {*self.arguments}
        if said:
            raise InvalidArgument(
                f"arguments: {', '.join(sorted(said))} cannot be among them: what they say is said beside them."
            )
        own = self.action in of_machine
        # What the machine is afterwards is told nobody.
        more = {"brief": True, **({_CHECK: True} if self.check else {})}
        further = {name: value for name, value in more.items() if name in known}
        errand = Errand(declared, own, {**further, **self.arguments}, self.check)
        declared.bind(errand.arguments_for(NOBODY))
        return errand


def _is_about_one(declared: Action) -> bool:
    return declared.concerns == MACHINE and any(argument.name == "uuid" for argument in declared.arguments)


class Tally(t.Generic[M]):
    """Who is still to be asked, and what came of the others. Several threads may work it off."""

    def __init__(self, bulk: Bulk, machines: t.Sequence[M], missing: t.Sequence[str], progress: Progress) -> None:
        self._bulk = bulk
        self._machines = machines
        # What is to be absent may be.
        self._missing = [] if bulk.arguments.get("state") == "absent" else list(missing)
        self._progress = progress
        self._next = 0
        self._told: dict[str, Result] = {}
        self._counts = {"changed": 0, "unchanged": 0, "failed": 0}
        self._why: str | None = None
        self._lock = threading.Lock()

    @property
    def workers(self) -> int:
        return min(self._bulk.max_parallel, len(self._machines))

    def take(self) -> M | None:
        """Who is next; None, when there is nobody, or no more are to be asked."""
        with self._lock:
            if self._why is not None or self._next == len(self._machines):
                return None
            self._next += 1
            return self._machines[self._next - 1]

    def note(self, machine: M, came: Result | ArchipelError) -> None:
        with self._lock:
            if isinstance(came, ArchipelError):
                self._told[machine.uuid] = {"changed": bool(came.changes), "msg": came.message, "error": came.as_data()}
                self._counts["failed"] += 1
                self._judge(came)
            else:
                self._told[machine.uuid] = came
                self._counts["changed" if came["changed"] else "unchanged"] += 1
            done, failed, all_of_them = len(self._told), self._counts["failed"], len(self._machines)
        self._progress(f"{done} of {all_of_them} machines{f', {failed} failed' if failed else ''}", done / all_of_them)

    def _judge(self, error: ArchipelError) -> None:
        if isinstance(error, Unavailable):
            # What the others would need, too.
            self._why = error.message
        elif self._counts["failed"] * 100 > self._bulk.max_fail_percentage * len(self._machines):
            self._why = f"More than {self._bulk.max_fail_percentage:g} % failed."

    def result(self) -> Result:
        """``changed, msg, counts, missing, stopped, vms``: those of one hypervisor, in order of their names."""
        left = {"changed": False, "msg": f"Not tried. {self._why}", NOT_TRIED: True}
        vms = [{"name": m.name, "uuid": m.uuid, **self._told.get(m.uuid, left)} for m in self._machines]
        counts = {"selected": len(vms), **self._counts, NOT_TRIED: len(vms) - len(self._told)}
        return {
            "changed": any(vm["changed"] for vm in vms),
            "msg": _sentence(counts, vms, self._missing, check=self._bulk.check),
            "counts": counts,
            "missing": self._missing,
            "stopped": self._why,
            "vms": vms,
        }


class BulkActions:
    """Asked of a hypervisor; ``carry_out`` is how its machines are asked."""

    @action(
        # Each machine is asked for by itself, with the rights that are needed there.
        permission=ASKER,
        changes=True,
        long=True,
        phrases=(
            Phrase("start all {machines}", {"state": "running"}),
            Phrase("shut down all {machines}", {"state": "shutdown"}),
            Phrase("power off all {machines}", {"state": "destroyed"}),
        ),
        asks="That is for each of my machines that fits {machines}, at once.",
        says="{msg}",
    )
    def vm_bulk(
        self,
        *,
        machines: t.Annotated[
            t.Optional[list[str]],
            "Names, patterns like web* or UUIDs of machines, of which any is to fit. C(*) is all of them.",
            Names("machine", free=True),
        ] = None,
        tags: t.Annotated[t.Optional[list[str]], "Only machines that have all of these tags."] = None,
        states: t.Annotated[
            t.Optional[list[t.Literal[STATES]]],  # type: ignore[valid-type]
            "Only machines that are in one of these states; in libvirt's words, not in those of O(state).",
        ] = None,
        state: t.Annotated[t.Optional[Asked], "What each machine is to be."] = None,
        action: t.Annotated[
            t.Optional[str],
            "What is to be done to each machine: an action of machines, or one of the hypervisor that is about a"
            " machine, like vm_snapshot.",
        ] = None,
        arguments: t.Annotated[
            t.Optional[Arguments], "Arguments of O(action); with O(state), those that vm has beside it."
        ] = None,
        max_parallel: t.Annotated[int, "How many machines of the hypervisor at a time, at most 64."] = 5,
        max_fail_percentage: t.Annotated[
            float,
            "No further machines are begun when more than so many percent of the hypervisor's have failed; 0 stops at"
            " the first failure, 100 never.",
        ] = 100,
        check: Check = False,
        progress: Progress = NO_PROGRESS,
    ) -> t.Any:
        """Ask the same of many machines.

        Of machines that fit a pattern, a tag or a state, those are left out to which who asks may not do it.
        """
        selector = Selector(machines, tags or (), states)
        if not selector:
            raise InvalidArgument("machines, tags, states: say which machines; machines: ['*'] are all of them.")
        if (state is None) == (action is None):
            raise InvalidArgument("state, action: one of them is needed, and not both.")
        if not 1 <= max_parallel <= MOST_AT_ONCE:
            raise InvalidArgument(f"max_parallel: {max_parallel} is not possible; 1 to {MOST_AT_ONCE} are.")
        given = json.loads(arguments or "{}")
        if state is not None:
            if "state" in given:
                raise InvalidArgument("arguments: state is given beside them already.")
            action, given = "vm", {"state": state, **given}
        bulk = Bulk(selector, t.cast(str, action), given, max_parallel, max_fail_percentage, check)
        return self.carry_out(bulk, progress)

    def carry_out(self, bulk: Bulk, progress: Progress) -> t.Any:
        """The result of a Tally, or what it takes to have it."""
        raise NotImplementedError


def together(answers: t.Mapping[str, Result | ArchipelError], *, check: bool) -> Result:
    """What several hypervisors answered, by their names, as the result of one task: ``failed``, if anything did."""
    told = {name: answer for name, answer in answers.items() if not isinstance(answer, ArchipelError)}
    errors = {name: answer for name, answer in answers.items() if isinstance(answer, ArchipelError)}
    vms = [{**vm, "hypervisor": name} for name, answer in told.items() for vm in answer["vms"]]
    keys = ("selected", "changed", "unchanged", "failed", NOT_TRIED)
    counts = {key: sum(answer["counts"][key] for answer in told.values()) for key in keys}
    # A machine is missing where no hypervisor has it; who did not answer may.
    missing = (
        sorted(set.intersection(*({*answer["missing"]} for answer in told.values()))) if told and not errors else []
    )
    changes = of_all({**vm, "changes": vm.get("changes") or vm.get("error", {}).get("changes", ())} for vm in vms)
    msg = _sentence(counts, vms, missing, check=check)
    return {
        "changed": any(answer["changed"] for answer in told.values()),
        # In check mode another task may make what is missing before this one runs.
        "failed": bool(counts["failed"] or counts[NOT_TRIED] or errors or (missing and not check)),
        "msg": " ".join([msg, *(f"{name}: {error.message}" for name, error in errors.items())]),
        "counts": counts,
        "missing": missing,
        "hypervisors": [
            *({"name": name, **answer["counts"], "stopped": answer["stopped"]} for name, answer in told.items()),
            *({"name": name, "error": error.as_data()} for name, error in errors.items()),
        ],
        "changes": changes,
        "diff": {
            "before": {change["path"]: change["old"] for change in reversed(changes)},
            "after": {change["path"]: change["new"] for change in changes},
        },
        "vms": vms,
    }


def _sentence(counts: t.Mapping[str, int], vms: t.Sequence[Result], missing: t.Sequence[str], *, check: bool) -> str:
    words = {
        "changed": "would change" if check else "changed",
        "unchanged": "unchanged",
        "failed": "failed",
        NOT_TRIED: "not tried",
    }
    parts = [f"{counts[key]} {word}" for key, word in words.items() if counts[key]]
    noun = "machine" if counts["selected"] == 1 else "machines"
    said = f"Of {counts['selected']} {noun} {', '.join(parts)}." if parts else "No machine fits."
    failures = [f"{vm['name']}: {vm['msg']}" for vm in vms if "error" in vm]
    failures += [f"There is no machine {name!r}." for name in missing]
    more = [f"And {len(failures) - TOLD} more."] if len(failures) > TOLD else []
    return " ".join([said, *failures[:TOLD], *more])
