# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import types
import typing as t

import pytest
from archipel.actions import OfMachine, action, actions_of
from archipel.errors import Conflict, InvalidArgument, NotFound, Unsupported
from archipel.host import Host, Name, Uuid
from archipel.hypervisor import Hypervisor, of_machines

Run = t.Callable[..., dict[str, t.Any]]
Text = t.Annotated[str, "A text."]
Flag = t.Annotated[bool, "A flag."]


def test_it_tells_what_it_is(run: Run) -> None:
    """Its name is the one that it was given; its machines are counted by state."""
    told = run("hypervisor_info")["hypervisor"]
    assert (told["name"], told["type"], told["arch"]) == ("hv1", "TEST", "i686")
    assert told["machines"] == {"total": 6, "running": 2, "shutoff": 2, "paused": 1, "crashed": 1}
    assert told["libvirt_version"].count(".") == 2


def test_its_name_is_its_hosts_unless_given(hypervisor: Hypervisor) -> None:
    """Without the domain."""
    host = hypervisor.connection.handle.getHostname()
    assert Hypervisor(hypervisor.connection).name == host.split(".")[0]


def test_a_machine_is_looked_up_by_name_or_uuid(hypervisor: Hypervisor) -> None:
    """Both together have to mean one machine."""
    uuid = "aaaaaaaa-0000-4000-8000-000000000002"
    for identity in ({"name": "off"}, {"uuid": uuid}, {"uuid": uuid.upper()}, {"name": "off", "uuid": uuid.upper()}):
        assert hypervisor.machine(**identity).uuid == uuid
    with pytest.raises(NotFound, match="There is no machine 'nobody' on hv1"):
        hypervisor.machine("nobody")
    with pytest.raises(Conflict, match="mean two machines"):
        hypervisor.machine("running", uuid)
    with pytest.raises(InvalidArgument, match="Name the machine"):
        hypervisor.machine()


# -- what this host can run


def test_a_new_machine_is_of_what_the_host_has(hypervisor: Hypervisor) -> None:
    """The host's own architecture and its best type."""
    assert hypervisor.defaults(None, None) == {"type": "test", "arch": "i686"}
    with pytest.raises(Unsupported, match="it runs i686"):
        hypervisor.defaults(None, "s390x")
    with pytest.raises(Unsupported, match="it runs test"):
        hypervisor.defaults("kvm", None)


class Things(Host):
    @action(
        permission="view",
        changes=True,
        says="It is {state}.",
        of_machine=(
            OfMachine("put", phrases=("put {thing}",), help="Put a thing.", given={"state": "present"}),
            OfMachine("take", phrases=("take {thing}",), given={"state": "absent"}, takes=("thing",)),
        ),
    )
    def thing(
        self, *, name: Name = None, uuid: Uuid = None, thing: Text, state: Text = "present", force: Flag = False
    ) -> dict[str, t.Any]:
        """Have a thing, or not."""
        return {"uuid": uuid, "thing": thing, "state": state, "force": force}


def test_what_is_a_state_to_a_module_is_a_verb_to_a_machine() -> None:
    """Each verb has its words, and the arguments that it leaves open."""
    verbs = of_machines(actions_of(Things, "hypervisor"))
    put, take = verbs["put"], verbs["take"]
    assert (put.help, take.help) == ("Put a thing.", "Have a thing, or not.")
    assert [argument.name for argument in put.arguments] == ["thing", "force"]
    assert [argument.name for argument in take.arguments] == ["thing"]
    machine = types.SimpleNamespace(hypervisor=None, uuid="u")
    assert take.function(machine, **take.bind({"thing": "x"})) == {
        "uuid": "u", "thing": "x", "state": "absent", "force": False,
    }  # fmt: skip


@pytest.mark.parametrize("verb", [{"given": {"no": 1}}, {"takes": ("no",)}, {"phrases": ("be {state}",)}])
def test_a_verb_with_words_for_what_is_not_open_is_no_declaration(verb: dict[str, t.Any]) -> None:
    """Of arguments that are not there, or that the verb has said itself."""
    with pytest.raises(TypeError, match="not there"):
        action(permission="p", changes=True, says="x", of_machine=OfMachine("v", **{"given": {"state": "a"}, **verb}))(
            Things.thing
        )
