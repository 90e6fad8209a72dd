# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, or needs nothing, before anything moves. The moving itself needs two hosts."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

import pytest
from archipel.errors import ArchipelError, Conflict, InvalidArgument, NotFound, Unavailable
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS, Hypervisor

Run = t.Callable[..., dict[str, t.Any]]
EMPTY = "<node/>"
ELSEWHERE = """<node><domain type="test"><name>{name}</name><uuid>aaaaaaaa-0000-4000-8000-00000000000{number}</uuid>
<memory>1024</memory><os><type>hvm</type></os></domain></node>"""


class Hv2:
    """Knows of one other hypervisor, as an agent's peers do."""

    def __init__(self, state: str | None = None) -> None:
        self.state = state

    def destination(self, name: str, machine: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        if name != "hv2":
            raise Unavailable(f"{name} does not answer.")
        return {"hypervisor": "hv2", "uri": "nonsense:///", "present": self.state is not None, "state": self.state}

    @contextlib.contextmanager
    def expected(self, name: str, machine: t.Mapping[str, t.Any]) -> t.Iterator[None]:
        assert machine["uuid"]
        yield


@pytest.fixture
def there(tmp_path: pathlib.Path) -> t.Callable[[str], str]:
    """The URI of another host of the test driver."""

    def there(node: str) -> str:
        (tmp_path / "there.xml").write_text(node)
        return f"test://{tmp_path / 'there.xml'}"

    return there


def test_a_machine_is_where_it_is_to_go(run: Run) -> None:
    """Nothing changes, in check mode and for real, first and again."""
    for check in (True, False, False):
        result = run("vm_migrate", name="running", destination="hv1", check=check)
        assert (result["changed"], result["changes"]) == (False, [])
        assert result["msg"] == "running is on hv1 already."
        assert result["vm"] == {
            "name": "running", "uuid": "aaaaaaaa-0000-4000-8000-000000000001", "hypervisor": "hv1", "state": "running",
        }  # fmt: skip


def test_a_machine_that_is_there_and_not_here_has_moved(run: Run, there: t.Callable[[str], str]) -> None:
    """The second run of a task finds it at its destination."""
    uri = there(ELSEWHERE.format(name="web1", number=9))
    for identity in ({"name": "web1"}, {"uuid": "AAAAAAAA-0000-4000-8000-000000000009"}):
        result = run("vm_migrate", destination="hv2", destination_uri=uri, **identity)
        assert not result["changed"]
        assert (result["vm"]["hypervisor"], result["vm"]["state"]) == ("hv2", "running")


@pytest.mark.parametrize(
    ("task", "error", "reason"),
    [
        ({"name": "running"}, InvalidArgument, "Name the destination"),
        ({"destination": "hv2"}, InvalidArgument, "Name the machine"),
        ({"name": "running", "destination": "hv2"}, InvalidArgument, "How libvirt reaches hv2 is not known here"),
        ({"name": "nobody", "destination": "hv1"}, NotFound, "no machine 'nobody' on hv1"),
        ({"name": "running", "destination_uri": "nonsense:///"}, Unavailable, "nonsense:///"),
    ],
)
def test_what_is_not_said_or_not_known(run: Run, task: dict[str, t.Any], error: type[Exception], reason: str) -> None:
    """The message says what to give."""
    with pytest.raises(error, match=reason):
        run("vm_migrate", **task)


def test_a_machine_that_is_nowhere(run: Run, there: t.Callable[[str], str]) -> None:
    """Both places are named."""
    with pytest.raises(NotFound, match="neither on hv1 nor on hv2"):
        run("vm_migrate", name="nobody", destination="hv2", destination_uri=there(EMPTY))


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"name": "off"}, "off is shutoff; only a running machine moves live"),
        ({"name": "running", "live": False}, "running is running; shut it down first"),
        ({"name": "off", "live": False, "copy_storage": "all"}, "libvirt copies disks of running machines only"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_what_libvirt_cannot_move(
    run: Run, there: t.Callable[[str], str], task: dict[str, t.Any], reason: str, check: bool
) -> None:
    """It is said before anything moves, in check mode too."""
    with pytest.raises(Conflict, match=reason):
        run("vm_migrate", destination="hv2", destination_uri=there(EMPTY), check=check, **task)


def test_snapshots_stay_where_they_are(run: Run, hypervisor: Hypervisor, there: t.Callable[[str], str]) -> None:
    """So a machine that has some does too."""
    hypervisor.machine("running").domain.snapshotCreateXML("<domainsnapshot/>")
    with pytest.raises(Conflict, match="running has snapshots"):
        run("vm_migrate", name="running", destination="hv2", destination_uri=there(EMPTY))


@pytest.mark.parametrize("number", [1, 9])
def test_two_of_one_machine_must_not_be(run: Run, there: t.Callable[[str], str], number: int) -> None:
    """By UUID or by name."""
    uri = there(ELSEWHERE.format(name="running", number=number))
    with pytest.raises(Conflict, match="two of one machine must not be"):
        run("vm_migrate", name="running", destination="hv2", destination_uri=uri)


@pytest.mark.parametrize("state", ["running", "shutoff"])
def test_peers_say_what_is_there(hypervisor: Hypervisor, state: str) -> None:
    """And what they say is believed."""
    hypervisor = Hypervisor(hypervisor.connection, "hv1", Hv2(state))
    migrate = ACTIONS["vm_migrate"].function
    with pytest.raises(Conflict, match="hv2"):
        migrate(hypervisor, name="running", destination="hv2")
    with pytest.raises(Unavailable, match="hv3 does not answer"):
        migrate(hypervisor, name="running", destination="hv3")


def test_a_plan_tells_what_would_move(hypervisor: Hypervisor) -> None:
    """Check mode: from where to where, and what stays behind."""
    hypervisor = Hypervisor(hypervisor.connection, "hv1", Hv2())
    machine = MACHINE_ACTIONS["migrate"]
    plan = machine.function(hypervisor.machine("running"), destination="hv2", check=True)
    assert plan["changes"] == [{"path": "hypervisor", "old": "hv1", "new": "hv2", "scope": "live"}]
    assert machine.sentence(plan) == "running would move from hv1 to hv2."


def test_a_failed_move_says_where_the_machine_is(hypervisor: Hypervisor) -> None:
    """The test driver cannot move machines: it stays, and the error says so."""
    hypervisor = Hypervisor(hypervisor.connection, "hv1", Hv2())
    with pytest.raises(ArchipelError, match=r"running could not be moved: .* It is running on hv1\."):
        MACHINE_ACTIONS["migrate"].function(hypervisor.machine("running"), destination="hv2")
