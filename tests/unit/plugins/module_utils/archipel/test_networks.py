# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions ``network`` and ``network_info``: check mode equals the run, a second run changes nothing.

The test driver shows a running network's configuration nowhere, so what only a restart brings is tested on hosts.
"""

from __future__ import annotations

import typing as t

import pytest
from archipel.errors import Conflict, InvalidDefinition, InvalidRequest, NotFound
from archipel.hypervisor import Hypervisor
from archipel.network_definition import NETWORK

Result = dict[str, t.Any]
Run = t.Callable[..., Result]

LAB: dict[str, t.Any] = {
    "name": "lab",
    "bridge": "virbr9",
    "domain": "lab.example.org",
    "forward": {"mode": "nat", "nat": {"port_start": 2000, "port_end": 3000}},
    "ips": [
        {
            "address": "10.9.0.1",
            "netmask": "255.255.255.0",
            "dhcp": {
                "ranges": [{"start": "10.9.0.10", "end": "10.9.0.99"}],
                "hosts": [{"mac": "52:54:00:00:00:01", "name": "one", "ip": "10.9.0.2"}],
            },
        }
    ],
    "dns": {"txt": [{"name": "hello", "value": "world"}], "forwarders": [{"addr": "10.9.0.53"}]},
    "routes": [{"address": "10.10.0.0/16", "gateway": "10.9.0.254"}],
    "portgroups": [{"name": "fast", "default": True, "bandwidth": {"inbound": {"average": 1000}}}],
}
BESIDE = ("name", "uuid", "state", "xml", "autostart", "entries_mode", "apply", "force", "check")


@pytest.fixture
def network(run: Run) -> Run:
    """The action, with the definition's keys beside its arguments, as its module has them."""

    def network(**untrusted: t.Any) -> Result:
        arguments = {key: untrusted.pop(key) for key in BESIDE if key in untrusted}
        return run("network", **arguments, **({"definition": untrusted} if untrusted else {}))

    return network


@pytest.fixture
def everything(hypervisor: Hypervisor) -> t.Callable[[], dict[str, t.Any]]:
    """All that libvirt has of networks."""
    handle = hypervisor.connection.handle
    return lambda: {n.name(): (n.XMLDesc(), n.isActive(), n.autostart()) for n in handle.listAllNetworks()}


@pytest.fixture
def cycle(network: Run, everything: t.Callable[[], dict[str, t.Any]]) -> Run:
    """One task, four times: check and real, first and again."""

    def cycle(**task: t.Any) -> Result:
        before = everything()
        planned = network(check=True, **task)
        assert everything() == before
        done = network(**task)
        assert done["changed"]
        for key in ("changed", "changes", "diff", "restart_required", "restart_reasons"):
            assert planned[key] == done[key]
        after = everything()
        for check in (True, False):
            again = network(check=check, **task)
            assert (again["changed"], again["changes"]) == (False, [])
            assert again["msg"] == "Network lab is as asked."
        assert everything() == after
        return done

    return cycle


def told(result: Result) -> list[tuple[str, t.Any, t.Any, str]]:
    return [(c["path"], c["old"], c["new"], c["scope"]) for c in result["changes"]]


def hosts(result: Result) -> dict[str, str]:
    return {host["mac"]: host["ip"] for host in result["network"]["ips"][0]["dhcp"]["hosts"]}


def test_the_twelve_steps(cycle: Run) -> None:
    """Create, change and delete; each in check mode and for real, the first time and again."""
    made = cycle(**LAB, state="active", autostart=True)
    assert made["diff"]["before"]["state"] == "absent"
    assert made["diff"]["after"]["state"] == "active"
    assert made["network"]["active"]
    assert made["network"]["autostart"]
    assert made["network"]["ips"][0]["prefix"] == 24
    changed = cycle(name="lab", ips=[{"dhcp": {"hosts": [{"mac": "52:54:00:00:00:02", "ip": "10.9.0.3"}]}}])
    new = {"mac": "52:54:00:00:00:02", "ip": "10.9.0.3"}
    assert told(changed) == [("ips[10.9.0.1].dhcp.hosts[52:54:00:00:00:02]", None, new, "live")]
    assert hosts(changed) == {"52:54:00:00:00:01": "10.9.0.2", "52:54:00:00:00:02": "10.9.0.3"}
    gone = cycle(name="lab", state="absent")
    assert [change[:3] for change in told(gone)] == [("state", "active", "inactive"), ("state", "inactive", "absent")]


def test_the_twelve_steps_of_an_inactive_network_from_xml(cycle: Run, network: Run) -> None:
    made = cycle(xml="<network><name>lab</name><bridge name='virbr9'/><ip address='10.9.0.1' prefix='24'/></network>")
    assert not made["network"]["active"]
    text = "<network><name>lab</name><mtu size='1400'/><ip address='10.9.0.1' netmask='255.255.254.0'/></network>"
    changed = cycle(xml=text)
    assert told(changed) == [("mtu", None, 1400, "config"), ("ips[10.9.0.1].prefix", 24, 23, "config")]
    assert changed["network"]["bridge"] == "virbr9"
    cycle(name="lab", state="absent")


def test_absent_in_check_mode_leaves_an_inactive_network_alone(network: Run, everything: t.Any) -> None:
    """The peer: virt_net state=absent deletes an inactive network in check mode."""
    network(**LAB)
    planned = network(name="lab", state="absent", check=True)
    assert planned["changed"]
    assert "lab" in everything()


@pytest.mark.parametrize("state", ["present", "active", "inactive"])
def test_autostart_is_honoured_beside_every_state(network: Run, everything: t.Any, state: str) -> None:
    """The peer: autostart is ignored beside state=active."""
    network(**LAB, state=state, autostart=True)
    assert everything()["lab"][2] == 1
    result = network(name="lab", state=state, autostart=False)
    assert told(result) == [("autostart", True, False, "config")]
    assert everything()["lab"][2] == 0
    assert not network(name="lab", state=state)["changed"]


def test_a_changed_xml_is_applied(network: Run, everything: t.Any) -> None:
    """The peer: a changed XML of a network is ignored."""
    text = "<network><name>lab</name><ip address='10.9.0.1' prefix='24'/></network>"
    network(xml=text)
    assert network(xml=text.replace("10.9.0.1", "10.8.0.1"))["changed"]
    assert "10.8.0.1" in everything()["lab"][0]


def test_a_network_is_found_by_its_uuid(network: Run, run: Run) -> None:
    """The peer: looking up by UUID is impossible."""
    uuid = network(**LAB)["network"]["uuid"]
    assert network(uuid=uuid.upper(), state="active")["network"]["name"] == "lab"
    assert [n["name"] for n in run("network_info", uuid=uuid)["networks"]] == ["lab"]
    with pytest.raises(Conflict, match="mean two networks"):
        network(uuid=uuid, name="default", state="active")


def test_all_that_is_named_is_there_afterwards(network: Run) -> None:
    made = network(**LAB)["network"]
    assert made["forward"]["nat"]["port_end"] == 3000
    assert made["dns"]["txt"] == [{"name": "hello", "value": "world"}]
    assert made["dns"]["forwarders"] == [{"domain": None, "addr": "10.9.0.53"}]
    assert made["routes"][0]["prefix"] == 16
    assert made["portgroups"][0]["bandwidth"]["inbound"]["average"] == 1000
    assert made["portgroups"][0]["default"] is True


ENTRIES: t.Final = [
    ("ips", [{"dhcp": {"hosts": [{"mac": "52:54:00:00:00:07", "ip": "10.9.0.7"}]}}]),
    ("ips", [{"dhcp": {"ranges": [{"start": "10.9.0.200", "end": "10.9.0.210"}]}}]),
    ("dns", {"hosts": [{"ip": "10.9.0.1", "hostnames": ["gateway", "ntp"]}]}),
    ("dns", {"txt": [{"name": "second", "value": "2"}]}),
    ("dns", {"srv": [{"service": "ldap", "protocol": "tcp", "target": "one", "port": 389}]}),
    ("portgroups", [{"name": "slow"}]),
]


@pytest.mark.parametrize(("key", "entries"), ENTRIES)
def test_an_entry_comes_and_goes_in_a_running_network(network: Run, cycle: Run, key: str, entries: t.Any) -> None:
    """One can be added and removed without naming the others."""
    before = network(**LAB, state="active")["network"]
    added = cycle(name="lab", **{key: entries})
    assert [change[3] for change in told(added)] == ["live"]
    assert not added["restart_required"]
    assert added["network"] != before
    removed = cycle(name="lab", entries_mode="remove", **{key: entries})
    assert removed["network"] == before


def test_set_leaves_only_what_is_named(network: Run, cycle: Run) -> None:
    network(**LAB, state="active")
    host = {"mac": "52:54:00:00:00:07", "ip": "10.9.0.7"}
    result = cycle(name="lab", entries_mode="set", ips=[{"address": "10.9.0.1", "dhcp": {"hosts": [host]}}])
    assert hosts(result) == {"52:54:00:00:00:07": "10.9.0.7"}
    assert result["network"]["dns"]["txt"]


def test_an_entry_is_changed_where_it_stands(network: Run, cycle: Run) -> None:
    network(**LAB, state="active")
    result = cycle(name="lab", ips=[{"dhcp": {"hosts": [{"mac": "52:54:00:00:00:01", "ip": "10.9.0.9"}]}}])
    assert told(result) == [("ips[10.9.0.1].dhcp.hosts[52:54:00:00:00:01].ip", "10.9.0.2", "10.9.0.9", "live")]
    result = cycle(name="lab", ips=[{"dhcp": {"ranges": [{"start": "10.9.0.10", "end": "10.9.0.50"}]}}])
    assert result["network"]["ips"][0]["dhcp"]["ranges"][0]["end"] == "10.9.0.50"
    result = cycle(name="lab", portgroups=[{"name": "fast", "vlan": {"tags": [{"id": 42}]}}])
    assert result["network"]["portgroups"][0]["vlan"]["tags"][0]["id"] == 42


def test_an_address_passes_to_another_machine(network: Run, cycle: Run) -> None:
    """The new network card of a machine gets the address of the old one."""
    network(**LAB, state="active")
    result = cycle(name="lab", ips=[{"dhcp": {"hosts": [{"mac": "52:54:00:00:00:0f", "ip": "10.9.0.2"}]}}])
    assert hosts(result) == {"52:54:00:00:00:0f": "10.9.0.2"}


def test_what_cannot_be_live_waits_for_a_restart_and_says_so(network: Run) -> None:
    network(**LAB, state="active")
    result = network(name="lab", mtu=9000, dns={"txt": [{"name": "new", "value": "1"}]})
    assert sorted(change[::3] for change in told(result)) == [("dns.txt[new]", "live"), ("mtu", "config")]
    assert result["restart_required"]
    assert result["restart_reasons"] == ["mtu is changed in the configuration; the network runs on with the old one."]


def test_apply_config_leaves_the_running_network_alone(network: Run, everything: t.Any) -> None:
    network(**LAB, state="active")
    before = everything()
    result = network(name="lab", apply="config", dns={"txt": [{"name": "new", "value": "1"}]})
    assert [change[3] for change in told(result)] == ["config"]
    assert result["restart_required"]
    assert everything() == before


def test_a_network_that_is_stopped_has_it_all_in_its_configuration(network: Run) -> None:
    network(**LAB, state="active")
    result = network(name="lab", state="inactive", mtu=9000)
    assert [change[::3] for change in told(result)] == [("mtu", "config"), ("state", "live")]
    assert not result["restart_required"]


def test_a_forwarding_network_becomes_an_isolated_one(network: Run, cycle: Run) -> None:
    network(**LAB)
    result = cycle(name="lab", forward={"mode": "none"}, isolated=True)
    assert result["network"]["forward"]["mode"] is None
    assert result["network"]["isolated"] is True


def test_the_address_of_a_network_changes_in_place(network: Run, cycle: Run) -> None:
    network(name="lab", ips=[{"address": "10.9.0.1/24"}, {"address": "fd00::1/64"}])
    result = cycle(name="lab", ips=[{"address": "10.8.0.1/24"}])
    assert [ip["address"] for ip in result["network"]["ips"]] == ["10.8.0.1", "fd00::1"]
    result = cycle(name="lab", ips=[{"address": "fd00::2/64"}])
    assert [ip["address"] for ip in result["network"]["ips"]] == ["10.8.0.1", "fd00::2"]


def test_what_a_play_has_yet_to_make_is_no_error_in_check_mode(network: Run) -> None:
    result = network(name="lab", state="active", autostart=True, check=True)
    assert [change[:3] for change in told(result)] == [("autostart", False, True), ("state", "absent", "active")]
    assert "There is no such network on hv1 yet." in result["msg"]
    with pytest.raises(NotFound, match="nothing says what it is to be made of"):
        network(name="lab", state="active")


def test_the_bridge_of_another_network_is_refused(network: Run) -> None:
    network(name="office", bridge="virbr9")
    with pytest.raises(Conflict, match="the bridge virbr9 is the network office's"):
        network(**LAB)


def test_addresses_of_another_active_network_are_refused(network: Run) -> None:
    network(name="office", state="active", ips=[{"address": "10.9.0.129/25"}])
    with pytest.raises(Conflict, match=r"10\.9\.0\.0/24 overlaps 10\.9\.0\.128/25 of the active network office"):
        network(**LAB, state="active", check=True)
    assert network(**LAB)["changed"]


def test_a_transient_network_becomes_persistent_when_it_is_defined(network: Run, hypervisor: Hypervisor) -> None:
    hypervisor.connection.handle.networkCreateXML("<network><name>lab</name><bridge name='virbr9'/></network>")
    result = network(name="lab", dns={"txt": [{"name": "a", "value": "b"}]})
    assert ("persistent", False, True, "config") in told(result)


def test_what_only_served_a_definition_that_libvirt_refuses_is_taken_back(network: Run, everything: t.Any) -> None:
    """NAT needs an address: the record that was made in the running network before that is known goes again."""
    network(name="lab", state="active", bridge="virbr9")
    before = everything()
    with pytest.raises(InvalidDefinition, match="no IP address provided") as caught:
        network(name="lab", forward={"mode": "nat"}, dns={"txt": [{"name": "t", "value": "v"}]})
    assert caught.value.changes == []
    assert "<txt" not in everything()["lab"][0]
    assert everything().keys() == before.keys()


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        ({}, "give its name or its uuid"),
        ({"name": "a/b"}, "cannot be a network's name"),
        ({"name": "lab", "state": "running"}, "present, absent, active, inactive"),
        ({"name": "lab", "xml": "<domain/>"}, "a <network> is needed"),
        ({"name": "lab", "xml": "<network><name>other</name></network>"}, "give one, or the same"),
        ({"name": "lab", "xml": "<network/>", "mtu": 1400}, "mtu cannot be given beside it"),
        (
            {"name": "lab", "xml": "<network><mtu size='big'/></network>"},
            "cannot be read as a network: invalid literal",
        ),
        ({"name": "lab", "xml": "<network><ip address='home'/></network>"}, "cannot be read as a network"),
        ({"name": "lab", "xml": "<network><ip address='::1' prefix='300'/></network>"}, "cannot be read as a network"),
        (
            {
                "name": "lab",
                "xml": "<network><ip address='10.0.0.1'><dhcp><range start='::1' end='10.0.0.2'/></dhcp></ip>"
                "</network>",
            },
            "is not within",
        ),
        ({"uuid": "12", "state": "absent"}, "is not a UUID"),
        ({"name": "lab", "brigde": "br0"}, "Did you mean bridge"),
    ],
)
def test_bad_input_is_refused(network: Run, task: dict[str, t.Any], complaint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        network(**task)
    assert complaint in caught.value.message


def test_addresses_that_cannot_be_are_refused_but_what_is_there_already_is_left(
    network: Run, hypervisor: Hypervisor
) -> None:
    bad = {"address": "10.9.0.1/24", "dhcp": {"hosts": [{"mac": "52:54:00:00:00:01", "ip": "10.99.0.2"}]}}
    with pytest.raises(InvalidDefinition, match=r"10\.99\.0\.2, kept for 52:54:00:00:00:01, is not in 10\.9\.0\.0/24"):
        network(name="lab", ips=[bad])
    hypervisor.connection.handle.networkDefineXML(
        "<network><name>lab</name><ip address='10.9.0.1' prefix='24'><dhcp><host mac='52:54:00:00:00:01'"
        " ip='10.99.0.2'/></dhcp></ip></network>"
    )
    assert network(name="lab", mtu=1400)["changed"]


def test_info_tells_of_networks_by_pattern_with_typed_keys(network: Run, run: Run) -> None:
    network(**LAB)
    network(name="lab2", mtu=1400)
    assert [n["name"] for n in run("network_info", name="lab*")["networks"]] == ["lab", "lab2"]
    assert run("network_info", name="nobody")["networks"] == []
    everything = run("network_info")["networks"]
    assert [n["name"] for n in everything] == ["default", "lab", "lab2", "other"]
    for found in everything:
        assert set(NETWORK.options()) <= set(found)
        assert isinstance(found["active"], bool)
        assert found["leases"] == []
        assert found["hypervisor"] == "hv1"
