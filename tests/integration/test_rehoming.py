# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hypervisor_rehome: a hypervisor that was never more than what it wrote is dead, and hv1 takes its machine over."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

import pytest
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel import errors
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.fleet import INDEX
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.pubsub import Payload, Service
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.rehoming import Rehoming
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client

REHOME: t.Final = "archipel.orchestrator.hypervisor_rehome"
VM: t.Final = "archipel.orchestrator.vm"
UUID: t.Final = "7d0a2c51-6f0b-4a86-9f0d-5f8a1f6c0d31"
XML: t.Final = f"""
<domain type='test'><name>lost1</name><uuid>{UUID}</uuid><memory unit='MiB'>64</memory>
<metadata><archipel:machine xmlns:archipel='https://archipel-orchestrator.org/ns/machine/1'/></metadata>
<os><type arch='i686'>hvm</type></os></domain>
"""
NODES: t.Final = (INDEX, "/archipel/definitions", "/archipel/fences", "/archipel/rehomed")
HERE: t.Final = {"uuid": UUID, "name": "lost1", "hypervisor": "hv2"}


@pytest.fixture
def platform_of_two(platform: t.Any, over: t.Callable[[str], t.Any]) -> t.Iterator[Service]:
    """What hv2 wrote before it died: of itself, and of a machine that ran."""
    dead = Client(platform.account("hv2"))
    service = Service(dead, f"pubsub.{platform.server.domain}")
    service.publish(INDEX, "hypervisor:hv2", Payload({"kind": "hypervisor", "name": "hv2", "memory": 4096}))
    told = {**HERE, "kind": "machine", "state": "running", "managed": True, "memory": 64}
    service.publish(INDEX, UUID, Payload(told))
    service.publish("/archipel/definitions", UUID, Payload({**HERE, "without": [], "xml": XML, "autostart": True}))
    platform.server.api("register", user=UUID, host=platform.server.domain, password="what only hv2 knew")
    dead.close()
    owner = Service(Client(platform.account()), service.jid)
    yield owner
    over("xmpp").play({VM: {"name": "lost1", "state": "absent", "force": True}})
    owner.retract(INDEX, "hypervisor:hv2")
    for node in NODES[2:]:
        for item in owner.items(node):
            # The agent of hv1 tidies up, too.
            with contextlib.suppress(errors.NotFound):
                owner.retract(node, item)


def guardless(name: str, result: dict[str, t.Any]) -> bool:
    """Whether it is warned of the hypervisor's return."""
    return any(said.startswith(f"{name} is not known to have a guard") for said in result.get("warnings", ()))


def test_a_machine_of_a_dead_hypervisor_comes_up_once(
    platform: t.Any, platform_of_two: Service, over: t.Callable[[str], t.Any], tmp_path: pathlib.Path
) -> None:
    """Not without a fence, nor when the power switch fails; with one, its contact is there, too."""
    cut = tmp_path / "power is off"
    task = {"name": "hv2", "machines": ["lost*"]}
    switch = {**task, "fence": {"command": ["touch", str(cut)]}}
    bare, broken, plan, done, again = over("xmpp").play(
        {REHOME: task},
        {REHOME: {**task, "fence": {"command": ["false"]}}},
        {REHOME: switch, "check_mode": True},
        {REHOME: switch},
        {REHOME: task},
    )
    assert (bare["failed"], "hv2 is not fenced" in bare["msg"]) == (True, True)
    assert (broken["failed"], "fence.command ended with 1" in broken["msg"]) == (True, True)
    assert [(change["path"], change["old"], change["new"]) for change in done["changes"]] == [
        ("lost1.hypervisor", "hv2", "hv1"),
        ("lost1.state", "shutoff", "running"),
    ]
    assert (plan["changes"], plan["changed"], done["failed"]) == (done["changes"], True, False)
    assert (again["changed"], again["failed"], again["changes"]) == (False, False, [])
    assert [guardless("hv2", result) for result in (plan, done, again)] == [True, True, False]
    assert cut.exists()
    assert not Rehoming(platform_of_two.client, task, print)._take_account(UUID.replace("7d", "5d"), "no such account")
    fence = platform_of_two.items("/archipel/fences")["hv2"].data
    assert (fence["by"], fence["command"]) == (platform.server.administrator, ["touch", str(cut)])
    client = platform_of_two.client
    contact = client.account.machine(UUID, "hv1")
    platform.wait_until(lambda: client.ping([contact], timeout=1) == [None], "lost1 has no contact")
    for node in NODES[:2]:
        platform.wait_until(
            lambda node=node: platform_of_two.items(node, [UUID])[UUID].data["hypervisor"] == "hv1",
            f"hv1 does not speak for lost1 in {node}",
        )


def test_who_answers_is_not_dead(over: t.Callable[[str], t.Any]) -> None:
    """Whatever a person says, and whatever a command has ended with."""
    fences = ({"confirmed_by": "a hopeful person"}, {"command": ["true"]})
    with_machine = {VM: {"name": "alive1", "memory": 64}}
    _made, *refused, _gone = over("xmpp").play(
        with_machine,
        *({REHOME: {"name": "hv1", "fence": fence, "state": "present", "destinations": []}} for fence in fences),
        {VM: {"name": "alive1", "state": "absent"}},
    )
    for result in refused:
        assert (result["failed"], "hv1 answers from hv1, which is not dead" in result["msg"]) == (True, True)
