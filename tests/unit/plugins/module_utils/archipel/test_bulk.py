# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import typing as t

import libvirt
import pytest
from archipel.actions import HIDDEN, NO_PROGRESS, shown
from archipel.bulk import MOST_AT_ONCE, Arguments, Bulk, Tally, together
from archipel.connection import Connection
from archipel.errors import ArchipelError, Conflict, InvalidArgument, Unavailable, UnknownAction
from archipel.hypervisor import ACTIONS, Hypervisor
from archipel.selection import Candidate, Selector

Result = dict[str, t.Any]
Run = t.Callable[..., Result]

WEB1, WEB2, DB1 = (f"aaaaaaaa-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
MACHINES: t.Final = [
    Candidate(WEB2, "web2", "running", ("web",)),
    Candidate(WEB1, "web1", "shutoff", ("web", "test")),
    Candidate(DB1, "db1", "running", ()),
]


@pytest.fixture
def run(hypervisor: Hypervisor, connection: Connection) -> Run:
    """``vm_bulk``, with arguments as they come from outside, of a host with three machines that are off."""
    for domain in connection.handle.listAllDomains():
        lasting = domain.isPersistent()
        if domain.isActive():
            domain.destroy()
        if lasting:
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
    for machine in MACHINES:
        connection.handle.defineXML(
            f"<domain type='test'><name>{machine.name}</name><uuid>{machine.uuid}</uuid><memory unit='MiB'>64</memory>"
            "<os><type>hvm</type></os></domain>"
        )
    action = ACTIONS["vm_bulk"]
    return lambda **untrusted: t.cast("Result", action.function(hypervisor, **action.bind(untrusted)))


def outcomes(result: Result) -> dict[str, t.Any]:
    return {vm["name"]: vm["error"]["code"] if "error" in vm else vm["changed"] for vm in result["vms"]}


# Which machines


@pytest.mark.parametrize(
    ("asked", "found", "missing"),
    [
        ({"machines": ["web*"]}, ["web1", "web2"], []),
        ({"machines": ["db1", "web2", "db1"]}, ["db1", "web2"], []),
        ({"machines": [WEB1.upper(), "nobody", "no*"]}, ["web1"], ["nobody"]),
        ({"machines": ["WEB1"]}, [], ["WEB1"]),
        ({"machines": []}, [], []),
        ({"tags": ["web"]}, ["web1", "web2"], []),
        ({"tags": ["web", "test"]}, ["web1"], []),
        ({"states": ["running", "paused"]}, ["db1", "web2"], []),
        ({"states": []}, [], []),
        ({"machines": ["web1"], "states": ["running"]}, [], []),
        ({"machines": ["web*"], "tags": ["web"], "states": ["running"]}, ["web2"], []),
    ],
)
def test_machines_are_meant_that_fit_all_that_is_given(asked: t.Any, found: list[str], missing: list[str]) -> None:
    """In order of their names; what is named and is not there is told, whatever else is asked."""
    machines, absent = Selector(**asked).choose(MACHINES)
    assert ([machine.name for machine in machines], absent) == (found, missing)


def test_a_list_without_names_is_not_all_machines(run: Run) -> None:
    """An inventory group that is empty must not mean everything that has a tag or a state."""
    assert run(machines=[], states=["shutoff"], state="running")["counts"]["selected"] == 0
    with pytest.raises(InvalidArgument, match="say which machines"):
        run(state="running")


# What is asked of them


def test_a_state_is_reached_by_all_and_told_beforehand(run: Run) -> None:
    """Check mode tells what is done then; the second time there is nothing to do."""
    asked = {"machines": ["*"], "state": "running"}
    told, done, again = run(**asked, check=True), run(**asked), run(**asked)
    assert told["changes"] == done["changes"]
    assert {change["path"] for change in done["changes"]} == {"db1.state", "web1.state", "web2.state"}
    assert told["diff"] == done["diff"]
    assert told["msg"] == "Of 3 machines 3 would change."
    assert done["msg"] == "Of 3 machines 3 changed."
    assert (again["changed"], again["msg"], again["changes"]) == (False, "Of 3 machines 3 unchanged.", [])
    assert done["vms"][0] == {
        "name": "db1",
        "uuid": DB1,
        "hypervisor": "hv1",
        "changed": True,
        "msg": "db1: changed state.",
        "changes": [{"path": "state", "old": "shutoff", "new": "running", "scope": "live"}],
    }


def test_an_action_is_done_to_each(run: Run) -> None:
    """One of the hypervisor that is about a machine, one of the machine's own, and one that only looks."""
    asked = {"machines": ["web*"], "action": "vm_tags", "arguments": {"tags": ["web"]}}
    assert run(**asked, check=True)["changes"] == run(**asked)["changes"]
    assert outcomes(run(tags=["web"], action="start")) == {"web1": True, "web2": True}
    seen = run(states=["running"], action="state")
    assert {vm["name"]: vm["result"]["state"] for vm in seen["vms"]} == {"web1": "running", "web2": "running"}
    assert not seen["changed"]


def test_what_cannot_be_told_beforehand_is_not_done_in_check_mode(run: Run) -> None:
    """An action without a check of its own changes nothing then, and says so."""
    result = run(machines=["web1"], action="start", check=True)
    assert (result["changed"], result["vms"][0]["msg"]) == (False, "Check mode: start may change something.")
    assert run(machines=["web1"], action="state")["vms"][0]["result"]["state"] == "shutoff"


def test_a_machine_that_is_to_be_absent_may_be_missing(run: Run) -> None:
    """What else is named and is not there is a failure; not in check mode, where another task may make it."""
    asked = {"machines": ["web1"], "state": "absent"}
    first, again = run(**asked), run(**asked)
    assert (first["failed"], again["failed"], again["changed"]) == (False, False, False)
    late = {"machines": ["web1", "web2"], "state": "running"}
    assert not run(**late, check=True)["failed"]
    result = run(**late)
    assert (result["failed"], result["missing"], outcomes(result)) == (True, ["web1"], {"web2": True})
    assert "There is no machine 'web1'." in result["msg"]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({}, InvalidArgument, "one of them is needed"),
        ({"state": "running", "action": "start"}, InvalidArgument, "not both"),
        ({"action": "strat"}, UnknownAction, "Did you mean"),
        ({"action": "network"}, UnknownAction, "no action 'network'"),
        ({"action": "vm_bulk"}, UnknownAction, "no action 'vm_bulk'"),
        ({"action": "start", "arguments": {"wiat": 1}}, InvalidArgument, "unknown argument 'wiat'"),
        ({"action": "vm_tags", "arguments": {"tags": [], "names": ["*"]}}, InvalidArgument, "names cannot be"),
        ({"action": "vm", "arguments": {"check": False}}, InvalidArgument, "check cannot be"),
        ({"state": "running", "arguments": {"state": "paused"}}, InvalidArgument, "state is given beside"),
        ({"state": "running", "arguments": "a text"}, InvalidArgument, "not of type dict"),
        ({"state": "running", "max_parallel": 0}, InvalidArgument, "1 to 64"),
        ({"state": "running", "max_parallel": MOST_AT_ONCE + 1}, InvalidArgument, "1 to 64"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_machine(run: Run, asked: t.Any, error: t.Any, words: str) -> None:
    with pytest.raises(error, match=words):
        run(machines=["*"], **asked)
    assert run(states=["running"], action="state")["counts"]["selected"] == 0


def test_arguments_of_another_action_are_not_told() -> None:
    """Whoever keeps or logs a request does not know which of them are secret."""
    bound = ACTIONS["vm_bulk"].bind({"machines": ["a"], "action": "vm", "arguments": {"xml": "secret"}})
    assert shown(bound)["arguments"] == HIDDEN
    assert repr(Arguments.bind({"a": "secret"}, "arguments")) == HIDDEN


# How many at a time, and until when


@pytest.mark.parametrize(
    ("percentage", "reached"),
    [(100, ["conflict", True, "conflict"]), (0, ["conflict", False, False]), (33, ["conflict", False, False]),
     (34, ["conflict", True, "conflict"]), (67, ["conflict", True, "conflict"])],
)  # fmt: skip
def test_no_more_are_begun_when_too_many_have_failed(run: Run, percentage: float, reached: list[t.Any]) -> None:
    """More than the percentage of all that are selected; who was not asked is told, and the task fails."""
    run(machines=["web1"], state="running")
    result = run(machines=["*"], action="pause", max_fail_percentage=percentage, max_parallel=1)
    assert list(outcomes(result).values()) == reached
    stopped = percentage < 34
    assert [vm["name"] for vm in result["vms"] if vm.get("not_tried")] == (["web1", "web2"] if stopped else [])
    assert result["counts"]["not_tried"] == 2 * stopped
    assert bool(result["hypervisors"][0]["stopped"]) is (percentage < 67)
    assert result["failed"]
    assert "db1 is shutoff" in result["msg"]


def bulk(**given: t.Any) -> Bulk:
    return Bulk(**{"selector": Selector(), "action": "vm", "arguments": {}, "max_parallel": 5,
                   "max_fail_percentage": 100, "check": False, **given})  # fmt: skip


def test_when_libvirt_is_gone_nobody_else_is_asked() -> None:
    tally = Tally(bulk(), MACHINES, [], NO_PROGRESS)
    machine = tally.take()
    assert machine is not None
    tally.note(machine, Unavailable("libvirt is gone."))
    assert tally.take() is None
    assert tally.result()["stopped"] == "libvirt is gone."
    assert tally.result()["counts"]["not_tried"] == 2


@pytest.mark.parametrize(("limit", "workers"), [(1, 1), (2, 2), (64, 3)])
def test_there_are_no_more_workers_than_asked_for(limit: int, workers: int) -> None:
    assert Tally(bulk(max_parallel=limit), MACHINES, [], NO_PROGRESS).workers == workers


def test_progress_tells_how_many_are_done(hypervisor: Hypervisor, run: Run) -> None:
    told: list[tuple[str, t.Any]] = []
    given = ACTIONS["vm_bulk"].bind({"machines": ["web*", "db1"], "action": "pause", "max_parallel": 1})
    hypervisor.vm_bulk(**given, progress=lambda text, fraction=None: told.append((text, fraction)))  # type: ignore[arg-type]
    assert told == [(f"{done} of 3 machines, {done} failed", done / 3) for done in (1, 2, 3)]


# Of several hypervisors


def answer(*names: str, missing: t.Sequence[str] = (), failing: bool = False) -> Result:
    tally = Tally(bulk(), [Candidate(name, name, "running", ()) for name in names], missing, NO_PROGRESS)
    for machine in itertools.takewhile(bool, iter(tally.take, None)):
        tally.note(machine, Conflict("It is so.") if failing else {"changed": True, "msg": "Done."})
    return tally.result()


@pytest.mark.parametrize(
    ("answers", "failed", "missing"),
    [
        ({"hv1": answer("a"), "hv2": answer("b")}, False, []),
        ({"hv1": answer("a", missing=["b"]), "hv2": answer("b", missing=["a"])}, False, []),
        ({"hv1": answer("a", missing=["c"]), "hv2": answer("b", missing=["a", "c"])}, True, ["c"]),
        ({"hv1": answer("a"), "hv2": answer("b", failing=True)}, True, []),
        ({"hv1": answer("a", missing=["b"]), "hv2": Unavailable("It is silent.")}, True, []),
        ({"hv1": Unavailable("It is silent.")}, True, []),
    ],
)
def test_answers_become_one(answers: dict[str, Result | ArchipelError], failed: bool, missing: list[str]) -> None:
    """What no hypervisor has is missing, unless one did not answer, which may have it."""
    result = together(answers, check=False)
    assert (result["failed"], result["missing"]) == (failed, missing)
    assert [each["name"] for each in result["hypervisors"]] == list(answers)
    assert ("hv2: It is silent." in result["msg"]) is ("hv2" in answers and isinstance(answers["hv2"], Unavailable))
    assert {(vm["hypervisor"], vm["name"]) for vm in result["vms"]} <= {("hv1", "a"), ("hv2", "b")}
