# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and filters that libvirt makes real: leases, packets that pass or do not, restarts. Each test needs those
before it."""

from __future__ import annotations

import typing as t

import pytest

from lab.story import Story

pytestmark = pytest.mark.timeout(600)

NETWORK, NETWORK_INFO, NWFILTER, NWFILTER_INFO, VM = (
    f"archipel.orchestrator.{name}" for name in ("network", "network_info", "nwfilter", "nwfilter_info", "vm")
)
Task = dict[str, t.Any]
Result = dict[str, t.Any]
Play = t.Callable[..., list[Result]]

MAC, ADDRESS = "52:54:00:00:09:01", "10.55.0.11"
LOG = "/var/log/libvirt/qemu/net1-serial.log"
DOMAIN = f"""
<domain type='qemu'>
  <name>net1</name><memory unit='MiB'>128</memory><vcpu>1</vcpu><cpu mode='custom'><model>qemu64</model></cpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/var/lib/libvirt/images/vmlinuz</kernel><initrd>/var/lib/libvirt/images/initrd.gz</initrd>
    <cmdline>console=ttyS0 quiet address=dhcp</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <interface type='network'>
      <source network='lab1'/><mac address='{MAC}'/><model type='virtio'/><filterref filter='lab1-web'/>
    </interface>
    <serial type='pty'><log file='{LOG}'/></serial>
  </devices>
</domain>
"""
LAB1: Task = {
    "name": "lab1",
    "bridge": "virbr-lab1",
    "domain": "lab1.example",
    "forward": {"mode": "nat"},
    "ips": [{"address": "10.55.0.1/24", "dhcp": {"ranges": [{"start": "10.55.0.100", "end": "10.55.0.110"}]}}],
}
WEB: Task = {
    "name": "lab1-web",
    "filterrefs": [{"filter": "clean-traffic"}],
    "rules": [{"action": "accept", "direction": "in", "protocol": "tcp", "match": {"dstportstart": "0x50"}}],
}
# libvirt writes them in its own way: masks as lengths, numbers, names of protocols, negations broken up.
RULES: t.Final = [
    {"action": "drop", "direction": "in", "protocol": "tcp",
     "match": {"srcipaddr": "10.0.0.0", "srcipmask": "255.0.0.0"}},
    {"action": "accept", "direction": "in", "protocol": "tcp", "negate": True, "stateful": False,
     "match": {"dstportstart": 22, "srcipaddr": "10.1.0.0", "srcipmask": 16, "state": "NEW,ESTABLISHED",
               "comment": "a b"}},
    {"action": "drop", "direction": "inout", "priority": 900, "protocol": "arp",
     "match": {"opcode": 1, "gratuitous": True, "arpsrcmacaddr": "AA:BB:CC:DD:EE:FF"}},
    {"action": "accept", "direction": "out", "protocol": "mac", "match": {"protocolid": "0x800"}},
    {"action": "accept", "direction": "out", "protocol": "ip", "match": {"protocol": 17, "dscp": 16}},
    {"action": "reject", "direction": "in", "protocol": "tcp", "match": {"flags": "SYN,ACK/SYN"}},
    {"action": "accept", "direction": "in", "protocol": "udp-ipv6", "match": {"dstportstart": "$PORT"}},
    {"action": "return", "direction": "in", "priority": -10},
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def nothing_stays(platform: Story) -> t.Iterator[None]:
    yield
    platform.module("hv1", VM, name="net1", state="absent", force=True)
    platform.module("hv1", NETWORK, name="lab1", state="absent", force=True)
    platform.module("hv1", NWFILTER, name="lab1-web", state="absent")


def cycle(*tasks: Task) -> list[Task]:
    """Each in check mode and for real, the first time and again."""
    return [{**task, "check_mode": check} for task in tasks for check in (True, False, True, False)]


def by_libvirt(*tasks: Task) -> list[Task]:
    """The same tasks, asked of libvirt on the host."""
    return [
        {key: {**value, "via": "libvirt"} if key.startswith("archipel.") else value for key, value in task.items()}
        for task in tasks
    ]


def assert_cycle(results: list[Result]) -> None:
    for i in range(0, len(results), 4):
        told, done, *again = results[i : i + 4]
        assert [r["failed"] for r in (told, done, *again)] == [False] * 4, (told["msg"], done["msg"], again)
        assert told["changed"], told
        assert done["changed"], done
        assert told["changes"] == done["changes"]
        assert [(r["changed"], r["changes"]) for r in again] == [(False, [])] * 2


def serves(story: Story, seconds: float = 60) -> bool:
    """Whether the machine's page is seen from its hypervisor in that time."""
    ask = f"""
import time, urllib.request
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    try:
        urllib.request.urlopen("http://{ADDRESS}/count", timeout=1)
        print("served")
        break
    except OSError:
        time.sleep(0.1)
"""
    return story.on("hv1", f"python3 - <<'X'\n{ask}\nX") == "served"


def test_networks_and_filters_come_change_and_go(play: Play) -> None:
    """The twelve steps with QEMU's libvirt: what is only in the configuration, and after a restart, is known too. Both
    ways change the same."""
    network = {NETWORK: {**LAB1, "state": "active", "autostart": True}}
    entries = {
        NETWORK: {
            "name": "lab1",
            "ips": [{"dhcp": {"hosts": [{"mac": MAC, "name": "net1", "ip": ADDRESS}]}}],
            "dns": {
                "hosts": [{"ip": "10.55.0.1", "hostnames": ["gateway", "ntp"]}],
                "txt": [{"name": "hello", "value": "big world"}],
                "srv": [{"service": "http", "protocol": "tcp", "domain": "lab1.example", "target": "net1", "port": 80}],
            },
            "portgroups": [{"name": "slow", "bandwidth": {"inbound": {"average": 1000}}}],
        }
    }
    rest = {
        NETWORK: {"name": "lab1", "mtu": 1400, "dns": {"forwarders": [{"domain": "x.example", "addr": "10.55.0.9"}]}}
    }
    restart = {
        NETWORK: {**rest[NETWORK], "apply": "restart", "routes": [{"address": "10.56.0.0/16", "gateway": ADDRESS}]}
    }
    gone = {NETWORK: {"name": "lab1", "state": "absent"}}
    tasks = [
        *(network, entries, rest, restart, gone),
        *({NWFILTER: WEB}, {NWFILTER: {**WEB, "rules": RULES}}, {NWFILTER: {"name": "lab1-web", "state": "absent"}}),
    ]
    steps = cycle(*tasks)
    results = play("xmpp", *steps, *by_libvirt(*tasks))
    assert_cycle(results[: len(steps)])
    assert [r["changes"] for r in results[len(steps) :]] == [r["changes"] for r in results[1 : len(steps) : 4]]
    _made, changed, waiting, restarted, _gone = (results[i] for i in range(1, 20, 4))
    assert {change["scope"] for change in changed["changes"]} == {"live"}
    assert len(changed["changes"]) == 5
    assert {change["scope"] for change in waiting["changes"]} == {"config"}
    assert waiting["restart_required"]
    assert results[11]["restart_reasons"] == waiting["restart_reasons"]
    assert not waiting["network"]["mtu"]
    assert restarted["network"]["mtu"] == 1400
    assert not restarted["restart_required"]
    assert sorted(c["path"] for c in restarted["changes"]) == [
        "dns.forwarders[x.example/10.55.0.9]",
        "mtu",
        "routes[10.56.0.0/16]",
    ]


def test_a_machine_gets_the_address_that_is_kept_for_it(platform: Story, play: Play) -> None:
    """Kept while the network runs already. Its lease is seen, and that it is connected and filtered."""
    host = {"mac": MAC, "name": "net1", "ip": ADDRESS}
    made = play(
        "xmpp",
        {NETWORK: {**LAB1, "state": "active"}},
        {NETWORK: {"name": "lab1", "ips": [{"dhcp": {"hosts": [host]}}]}},
        {NWFILTER: WEB},
        {VM: {"xml": DOMAIN, "state": "running"}},
    )
    assert [result["changed"] for result in made] == [True] * 4, made
    platform.on("hv1", f"timeout 120 sh -c \"until grep -q 'leased {ADDRESS}' {LOG}; do sleep 0.1; done\"")
    asked = ({NETWORK_INFO: {"name": "lab1"}}, {NWFILTER_INFO: {"name": "lab1-*"}})
    results = play("xmpp", *asked, *by_libvirt(*asked))
    assert results[:2] == results[2:]
    (network,), (filtered,) = results[0]["networks"], results[1]["nwfilters"]
    (lease,) = network["leases"]
    assert (lease["mac"], lease["ip"], lease["prefix"], lease["hostname"]) == (MAC, ADDRESS, 24, "net1")
    assert lease["expires"] > 1_700_000_000
    assert network["machines"] == ["net1"]
    assert filtered["used_by"] == {"filters": [], "machines": ["net1"]}
    assert serves(platform)


def test_a_changed_filter_holds_for_a_running_machine_at_once(platform: Story, play: Play) -> None:
    drop = {"action": "drop", "direction": "in", "protocol": "tcp", "match": {"dstportstart": 80}}
    (closed,) = play("xmpp", {NWFILTER: {"name": "lab1-web", "rules": [drop]}})
    assert [change["scope"] for change in closed["changes"]] == ["live"]
    assert not serves(platform, 3)
    (opened,) = play("xmpp", {NWFILTER: WEB})
    assert opened["changed"]
    assert serves(platform)


def test_what_is_used_is_not_taken_away_and_it_says_by_whom(play: Play) -> None:
    results = play(
        "xmpp",
        {NETWORK: {"name": "lab1", "state": "absent"}},
        {NETWORK: {"name": "lab1", "state": "inactive"}, "check_mode": True},
        {NWFILTER: {"name": "lab1-web", "state": "absent"}},
        {NWFILTER: {"name": "clean-traffic", "state": "absent"}},
        {NWFILTER: {"name": "lab1-web", "filterrefs": [{"filter": "clean-trafic"}]}},
    )
    assert [result["failed"] for result in results] == [True] * 5
    assert "lab1 is used by net1" in results[0]["msg"]
    assert "lab1 is used by net1" in results[1]["msg"]
    assert "used by the machine net1" in results[2]["msg"]
    assert "used by the filter lab1-web, the machine net1" in results[3]["msg"]
    assert "Did you mean clean-traffic" in results[4]["msg"]


def test_machines_are_connected_again_after_their_network_has_restarted(platform: Story, play: Play) -> None:
    """libvirt leaves them cut off."""
    tasks: list[Task] = [
        {NETWORK: {"name": "lab1", "mtu": 1300}},
        {NETWORK: {"name": "lab1", "mtu": 1300, "apply": "restart"}, "check_mode": True},
        {NETWORK: {"name": "lab1", "mtu": 1300, "apply": "restart"}},
        {NETWORK: {"name": "lab1", "mtu": 1300, "apply": "restart"}},
    ]
    over_xmpp = play("xmpp", *tasks)
    assert serves(platform)
    back, *results = play("xmpp", {NETWORK: {"name": "lab1", "mtu": 1500, "apply": "restart"}}, *by_libvirt(*tasks))
    assert serves(platform)
    assert back["network"]["machines"] == ["net1"]
    for waiting, told, done, again in (over_xmpp, results):
        assert waiting["restart_reasons"] == [
            "mtu is changed in the configuration; the network runs on with the old one.",
            "While it restarts, it is cut off from: net1.",
        ]
        assert told["changes"] == done["changes"]
        assert (done["changed"], done["restart_required"], again["changed"]) == (True, False, False)
        assert done["network"]["mtu"] == 1300
        assert done["network"]["machines"] == ["net1"]
    assert "archipel-" not in platform.on("hv1", "virsh net-list --all --name; virsh domiflist net1")


def test_a_network_that_does_not_start_as_asked_runs_on_as_it_was(platform: Story, play: Play) -> None:
    """The address is in a network that the hypervisor itself is in, which only the start finds out."""
    taken = {"address": f"{platform.lab.network}.250/24", "dhcp": {"ranges": [], "hosts": []}}
    failed, told = play(
        "xmpp",
        {NETWORK: {"name": "lab1", "ips": [taken], "entries_mode": "set", "apply": "restart"}},
        {NETWORK_INFO: {"name": "lab1"}},
    )
    assert failed["failed"]
    assert "already in use by interface" in failed["msg"]
    assert failed["changes"] == []
    assert told["networks"][0]["active"]
    assert told["networks"][0]["ips"][0]["address"] == "10.55.0.1"
    assert serves(platform)
    assert ADDRESS in platform.on("hv1", "virsh net-dumpxml --inactive lab1")


def test_a_network_is_stopped_by_force_and_its_machine_is_back_when_it_starts(platform: Story, play: Play) -> None:
    stopped, started = play(
        "xmpp",
        {NETWORK: {"name": "lab1", "state": "inactive", "force": True}},
        {NETWORK: {"name": "lab1", "state": "active", "autostart": True}},
    )
    assert not stopped["network"]["active"]
    assert started["network"]["machines"] == ["net1"]
    assert "Autostart:      yes" in platform.on("hv1", "virsh net-info lab1")
    assert serves(platform)
