# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks over libvirt and over XMPP, on the same libvirtd with the test driver, which has no filters."""

from __future__ import annotations

import typing as t

from playbook import assert_cycle, cycle

UUID = "4d2c2b6f-9b60-4a5e-8e47-1d6e2f3a4b5c"
NETWORK = "archipel.orchestrator.network"
INFO = "archipel.orchestrator.network_info"
NWFILTER = "archipel.orchestrator.nwfilter"
XML = """
<network>
  <name>from-xml</name><uuid>{uuid}</uuid><bridge name='virbr-xml'/><ip address='10.66.0.1' prefix='24'/>
</network>
"""

CREATE = {
    NETWORK: {
        "name": "lab",
        "uuid": UUID,
        "state": "active",
        "autostart": True,
        "bridge": "virbr-lab",
        "forward": {"mode": "nat"},
        "ips": [{"address": "10.65.0.1/24", "dhcp": {"ranges": [{"start": "10.65.0.100", "end": "10.65.0.199"}]}}],
    }
}
CHANGE = {
    NETWORK: {
        "name": "lab",
        "autostart": False,
        "ips": [{"dhcp": {"hosts": [{"mac": "52:54:00:00:00:01", "name": "web1", "ip": "10.65.0.11"}]}}],
        "dns": {"hosts": [{"ip": "10.65.0.1", "hostnames": ["gateway"]}]},
    }
}
DELETE = {NETWORK: {"name": "lab", "state": "absent"}}


def test_a_network_comes_changes_and_goes_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    """Check mode tells what the run does, a second run does nothing, and the ways differ in nothing."""
    steps = [*cycle(CREATE, CHANGE, DELETE), {INFO: {}}]
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    assert_cycle(by_libvirt[:12])
    assert_cycle(over_xmpp[:12])
    assert over_xmpp == by_libvirt
    changed = by_libvirt[5]["changes"]
    assert {change["path"]: change["scope"] for change in changed} == {
        "ips[10.65.0.1].dhcp.hosts[52:54:00:00:00:01]": "live",
        "dns.hosts[10.65.0.1]": "live",
        "autostart": "config",
    }


def test_a_network_made_from_xml_is_the_same_at_the_second_run(ansible: t.Any) -> None:
    define = {NETWORK: {"xml": XML.format(uuid=UUID)}}
    change = {NETWORK: {"xml": XML.format(uuid=UUID).replace("10.66.0.1", "10.67.0.1"), "autostart": True}}
    assert_cycle(ansible.play(*cycle(define, change, {NETWORK: {"uuid": UUID, "state": "absent"}})))


def test_every_state_is_reached_and_then_held(ansible: t.Any) -> None:
    states = ("present", "active", "present", "inactive", "active", "absent")
    steps = [{NETWORK: {"name": "states", "mtu": 1400, "state": state}} for state in states for _again in range(2)]
    results = ansible.play(*steps)
    assert [result["changed"] for result in results] == [True, False, True, False, False, False] + [True, False] * 3
    assert [result["network"]["active"] for result in results[::2]] == [False, True, True, False, True, False]


def test_a_play_passes_check_mode_from_nothing(ansible: t.Any) -> None:
    """Define, start and extend what is not there yet."""
    steps = (
        CREATE,
        {NETWORK: {"name": "lab", "state": "active", "autostart": True}},
        CHANGE,
        DELETE,
        {INFO: {"name": "lab"}},
    )
    results = ansible.play(*({**step, "check_mode": True} for step in steps))
    assert [result["failed"] for result in results] == [False] * 5
    assert [result["changed"] for result in results] == [True, True, True, False, False]


def test_info_of_networks_is_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    steps = ({INFO: {}}, {INFO: {"name": "def*"}}, {INFO: {"name": "nobody"}})
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    everything, named, nobody = by_libvirt
    assert [network["name"] for network in named["networks"]] == ["default"]
    assert named["networks"][0] in everything["networks"]
    assert nobody["networks"] == []
    assert over_xmpp == by_libvirt


REFUSED = (
    ({NETWORK: {"name": "x", "brigde": "br0"}}, "brigde"),
    ({NETWORK: {"name": "x", "ips": [{"address": "10.0.0.1/40"}]}}, "at most 32"),
    ({NETWORK: {"name": "x", "ips": [{"adress": "10.0.0.1"}]}}, "adress"),
    ({NETWORK: {"name": "x", "mtu": "much"}}, "much"),
    ({NETWORK: {"name": "x", "state": "running"}}, "running"),
    ({NETWORK: {"name": "x", "state": "active"}}, "nothing says what it is to be made of"),
    ({NETWORK: {}}, "give its name or its uuid"),
    ({NETWORK: {"name": "x", "bridge": "virbr0"}}, "the bridge virbr0 is the network default's"),
    ({NETWORK: {"name": "x", "state": "active", "ips": [{"address": "192.168.122.9/24"}]}}, "network default"),
    ({NETWORK: {"xml": "<network><name>x</name>"}}, "XML"),
    ({NETWORK: {"name": "x", "xml": "<network/>", "mtu": 1400}}, "mtu"),
    ({NWFILTER: {"name": "x", "rules": [{"action": "drop", "direction": "in", "protocol": "tpc"}]}}, "tpc"),
    ({NWFILTER: {"name": "x", "chain": "root"}}, "not supported"),
)


def test_bad_input_is_refused_in_the_same_words_both_ways(over: t.Callable[[str], t.Any]) -> None:
    tasks = [task for task, _complaint in REFUSED]
    by_libvirt, over_xmpp = over("libvirt").play(*tasks), over("xmpp").play(*tasks)
    for (_task, complaint), here, there in zip(REFUSED, by_libvirt, over_xmpp, strict=True):
        assert here["failed"]
        assert not here["changed"]
        assert complaint in here["msg"]
        assert "Traceback" not in str(here)
        assert there["msg"] == here["msg"]
