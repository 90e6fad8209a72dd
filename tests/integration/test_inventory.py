# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin: the platform's index and libvirt as sources, and what people write that must stay words."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest

VM = "archipel.orchestrator.vm"
VM_TAGS = "archipel.orchestrator.vm_tags"
HYPERVISOR_TAGS = "archipel.orchestrator.hypervisor_tags"
TEMPLATE = "{{ 'ren' ~ 'dered' }}"
MACHINES = ("web1", "web2", "db1")
UUID = re.compile("[0-9a-f]{8}")
OTHER_URI = f"test://{pathlib.Path(__file__).parents[1]}/data/node.xml"


@pytest.fixture
def xmpp(over: t.Callable[[str], t.Any]) -> t.Any:
    return over("xmpp")


@pytest.fixture
def source(ways: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    """A file's options for the platform alone."""
    return {key: value for key, value in ways["xmpp"].items() if key.startswith("xmpp_")}


@pytest.fixture(scope="module")
def machines(over: t.Callable[[str], t.Any], platform: t.Any) -> t.Iterator[None]:
    """Some machines, known to the index."""
    xmpp = over("xmpp")
    create = [
        {VM: {"name": name, "memory": 64, "state": "running" if name == "web1" else "present"}} for name in MACHINES
    ]
    names = "{% raw %}" + TEMPLATE + "{% endraw %}"
    tag = [{VM_TAGS: {"names": ["web*"], "tags": ["web"]}}, {VM_TAGS: {"name": "web1", "tags": ["acme:eu"]}}]
    xmpp.play(*create, {VM: {"name": names, "memory": 64}}, *tag)
    wanted = {*MACHINES, TEMPLATE}
    platform.wait_until(lambda: wanted <= index(platform), "the index does not know the machines")
    tagged = ({"web1", "web2"}, {"web1"})
    platform.wait_until(
        lambda: (index(platform, "web"), index(platform, "acme:eu")) == tagged, "the index does not know the tags"
    )
    yield
    xmpp.play(*({VM: {"name": name, "state": "absent", "force": True}} for name in (*MACHINES, names)))
    platform.wait_until(lambda: not wanted & index(platform), "the index still knows the machines")


def index(platform: t.Any, *tags: str) -> set[str]:
    """The names of the machines in the index that have these tags."""
    return {machine.name for machine in fleet(platform).machines if {*tags} <= {*machine.tags}}


def fleet(platform: t.Any) -> t.Any:
    """What the index tells."""
    from ansible_collections.archipel.orchestrator.plugins.plugin_utils.fleet import from_platform
    from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client

    return from_platform(Client(platform.account()), stale=True)


def hosts(inventory: dict[str, t.Any], group: str) -> list[str]:
    return sorted(inventory.get(group, {}).get("hosts", []))


@pytest.mark.usefixtures("machines")
def test_the_platform_becomes_hosts_and_groups(xmpp: t.Any, source: dict[str, t.Any]) -> None:
    inventory = xmpp.inventory(source)
    # The peer: one group for each UUID.
    assert not [group for group in inventory if UUID.search(group)]
    assert hosts(inventory, "hypervisors") == ["hv1"]
    assert set(MACHINES) <= set(hosts(inventory, "machines"))
    assert hosts(inventory, "hypervisor_hv1") == hosts(inventory, "machines")
    assert {"web1", "test"} <= set(hosts(inventory, "state_running"))
    assert {"web2", "db1"} <= set(hosts(inventory, "state_shutoff"))
    web1 = inventory["_meta"]["hostvars"]["web1"]
    assert web1["archipel_kind"] == "machine"
    assert web1["archipel_state"] == "running"
    assert web1["archipel_memory"] == 64
    assert web1["archipel_managed"] is True
    assert web1["archipel_stale"] is False
    assert inventory["_meta"]["hostvars"]["hv1"]["archipel_online"] is True


@pytest.mark.usefixtures("machines")
def test_tags_and_sites_become_groups(xmpp: t.Any, source: dict[str, t.Any], platform: t.Any) -> None:
    """Of machines and hypervisors; a machine stands where its hypervisor does. libvirt knows of no site."""
    xmpp.play({HYPERVISOR_TAGS: {"tags": ["nvme"], "tags_mode": "set"}})
    try:
        platform.wait_until(lambda: fleet(platform).hypervisors[0].tags == ("nvme",), "the index does not know the tag")
        inventory = xmpp.inventory(source)
    finally:
        xmpp.play({HYPERVISOR_TAGS: {"tags": [], "tags_mode": "set"}})
    assert hosts(inventory, "tag_web") == ["web1", "web2"]
    assert hosts(inventory, "tag_acme_eu") == ["web1"]
    assert hosts(inventory, "tag_nvme") == ["hv1"]
    assert hosts(inventory, "site_lab_1") == sorted([*hosts(inventory, "machines"), "hv1"])
    variables = inventory["_meta"]["hostvars"]
    assert variables["web1"]["archipel_tags"] == ["acme:eu", "web"]
    assert variables["db1"]["archipel_tags"] == []
    assert variables["web1"]["archipel_site"] == variables["hv1"]["archipel_site"] == "lab-1"
    assert variables["hv1"]["archipel_coordinates"] == {"latitude": 46.2, "longitude": 6.0}
    by_libvirt = xmpp.inventory({"uris": [platform.uri]})
    assert hosts(by_libvirt, "tag_web") == ["web1", "web2"]
    assert not [group for group in by_libvirt if group.startswith("site_")]


@pytest.mark.usefixtures("machines")
def test_libvirt_tells_the_same_machines(xmpp: t.Any, source: dict[str, t.Any], platform: t.Any) -> None:
    by_xmpp, by_libvirt = xmpp.inventory(source), xmpp.inventory({"uris": [platform.uri]})
    assert hosts(by_libvirt, "machines") == hosts(by_xmpp, "machines")
    assert hosts(by_libvirt, "state_running") == hosts(by_xmpp, "state_running")
    test = by_libvirt["_meta"]["hostvars"]["test"]
    assert test["archipel_addresses"]
    assert test["ansible_host"] == test["archipel_addresses"][0]
    both = xmpp.inventory({**source, "uris": [platform.uri]})
    assert hosts(both, "machines") == hosts(by_xmpp, "machines")


@pytest.mark.usefixtures("machines")
def test_a_name_with_template_characters_stays_a_name(xmpp: t.Any, source: dict[str, t.Any]) -> None:
    """Not as a host's name, not in a variable, not through a composed one."""
    configuration = {**source, "compose": {"twice": "archipel_name ~ archipel_name"}}
    inventory = xmpp.inventory(configuration)
    assert TEMPLATE in hosts(inventory, "machines")
    assert inventory["_meta"]["hostvars"][TEMPLATE]["twice"] == TEMPLATE * 2
    assert "rendered" not in json.dumps(inventory)
    tasks = [
        {
            "ansible.builtin.debug": {"msg": "{{ inventory_hostname }} {{ archipel_name }} {{ groups.machines }}"},
            "when": "'dered' in inventory_hostname",
        }
    ]
    (xmpp.directory / "play.json").write_text(
        json.dumps([{"hosts": "machines", "gather_facts": False, "tasks": tasks}])
    )
    said = xmpp.call("ansible-playbook", f"--inventory={xmpp.directory / 'archipel.yml'}", "play.json")
    assert f"{TEMPLATE} {TEMPLATE}" in said
    assert "rendered" not in said
    assert "failed=1" not in said


@pytest.mark.usefixtures("machines")
def test_machines_are_chosen_by_conditions(xmpp: t.Any, source: dict[str, t.Any]) -> None:
    chosen = xmpp.inventory({**source, "include": [{"name": "web*"}, {"name": "db*", "state": "running"}]})
    assert hosts(chosen, "machines") == ["web1", "web2"]
    left = xmpp.inventory({**source, "include": [{"managed": True}], "exclude": [{"state": "shutoff"}]})
    assert hosts(left, "machines") == ["web1"]
    tagged = xmpp.inventory({**source, "include": [{"tags": ["web", "acme:eu"]}, {"name": "db*", "site": "lab*"}]})
    assert hosts(tagged, "machines") == ["db1", "web1"]
    elsewhere = xmpp.inventory({**source, "include": [{"tags": ["web"], "site": "else*"}]})
    assert hosts(elsewhere, "machines") == []
    xmpp.inventory({**source, "include": [{"tags": "web"}]})
    assert "A condition's tags are a list, not 'web'" in xmpp.last
    refused = xmpp.inventory({**source, "include": [{"nme": "x"}]})
    assert "A condition has no 'nme'" in xmpp.last
    assert not hosts(refused, "machines")


@pytest.mark.usefixtures("machines")
def test_hosts_are_called_as_preferred(xmpp: t.Any, source: dict[str, t.Any]) -> None:
    named = xmpp.inventory({**source, "hostnames": ["title", "name ~ '.' ~ archipel_hypervisor"]})
    assert "web1.hv1" in hosts(named, "machines")
    same = xmpp.inventory({**source, "hostnames": ["'same'"], "include": [{"name": "web*"}]})
    assert len(hosts(same, "machines")) == 2
    assert all(name.startswith("same_") for name in hosts(same, "machines"))
    assert "is not unique" in xmpp.last
    reserved = xmpp.inventory({**source, "hostnames": ["'localhost'"], "include": [{"name": "web1"}]})
    assert "localhost" not in hosts(reserved, "machines")


@pytest.mark.usefixtures("machines")
def test_groups_and_variables_of_ones_own(xmpp: t.Any, source: dict[str, t.Any]) -> None:
    inventory = xmpp.inventory(
        {
            **source,
            "keyed_groups": [{"key": "archipel_memory | string", "prefix": "memory"}],
            "groups": {"small": "archipel_memory | default(0) | int < 100"},
            "compose": {"place": "'on ' ~ archipel_hypervisor"},
        }
    )
    assert "web1" in hosts(inventory, "memory_64")
    assert "web1" in hosts(inventory, "small")
    assert inventory["_meta"]["hostvars"]["web1"]["place"] == "on hv1"


@pytest.mark.usefixtures("machines")
def test_the_cache_answers_when_the_platform_does_not(xmpp: t.Any, source: dict[str, t.Any]) -> None:
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(xmpp.directory / "c")}
    first = xmpp.inventory({**source, **cache})
    assert xmpp.inventory({**source, **cache, "xmpp_port": 1}) == first


def test_a_hypervisor_that_is_gone_warns_or_is_stale_or_fails(
    xmpp: t.Any, source: dict[str, t.Any], platform: t.Any
) -> None:
    platform.wait_until(lambda: "test" in index(platform), "the index does not know the machine test")
    platform.stop_agent()
    try:
        warned = xmpp.inventory({**source, "unreachable": "warn"})
        assert hosts(warned, "machines") == []
        assert hosts(warned, "hypervisors") == ["hv1"]
        assert "The hypervisor hv1 does not answer" in xmpp.last
        stale = xmpp.inventory({**source, "unreachable": "stale"})
        assert "test" in hosts(stale, "machines")
        assert stale["_meta"]["hostvars"]["test"]["archipel_stale"] is True
        failed = xmpp.inventory({**source, "unreachable": "fail"})
        assert not hosts(failed, "hypervisors")
        assert "The hypervisor hv1 does not answer" in xmpp.last
    finally:
        platform.start_agent()


@pytest.mark.parametrize(
    ("configuration", "complaint"),
    [
        ({"xmpp_password": "wrong"}, "wrong xmpp_password"),
        ({"xmpp_port": 1}, "cannot be reached"),
        ({"xmpp_jid": ""}, "There is nobody to ask"),
        ({"xmpp_jid": "", "uris": ["test+unix:///default?socket=/nowhere"]}, "cannot be reached"),
        ({"xmpp_jid": "hv9@xmpp.test"}, "no such account"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_source_that_cannot_be_asked_is_said_clearly(
    xmpp: t.Any, source: dict[str, t.Any], configuration: dict[str, t.Any], complaint: str
) -> None:
    xmpp.inventory({**source, **configuration})
    assert complaint in xmpp.last
    assert "Traceback" not in xmpp.last


def test_sources_that_answer_are_enough(xmpp: t.Any, source: dict[str, t.Any], platform: t.Any) -> None:
    """The peer: it knows one URI."""
    inventory = xmpp.inventory({**source, "xmpp_port": 1, "uris": [platform.uri, OTHER_URI]})
    assert {"test", "paused"} <= set(hosts(inventory, "machines"))
    assert "cannot be reached" in xmpp.last
