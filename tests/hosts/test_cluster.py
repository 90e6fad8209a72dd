# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two XMPP servers that are one platform, in a lab of their own: what a power cut of one costs, and how one leaves.

Each test needs those before it.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import re
import sys
import threading
import time
import typing as t

import pytest

from lab import hosts, lifecycle, network
from lab.controller import client, part
from lab.plan import XMPP_DOMAIN, Lab, host
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

HOSTS: t.Final = ("xmpp1", "xmpp2", "hv1")
SERVERS: t.Final = HOSTS[:2]
LIMIT: t.Final = ("--limit", ",".join(HOSTS))
# Tells accounts with their passwords' hashes, and pubsub's nodes, as a server has them.
KEPT: t.Final = (
    "cd /var/lib/ejabberd && for table in passwd pubsub_node; do"
    " ejabberdctl dump_table $PWD/kept $table && sort kept; done; rm kept"
)
MACHINES: t.Final = tuple(f"many{number:02}" for number in range(50))
SMALLEST: t.Final = 64
BOUND: t.Final = 30
HV1: t.Final = f"hv1@{XMPP_DOMAIN}/hv1"
# What a platform cannot do without: accounts, contact lists, groups, and pubsub's nodes, affiliations and items.
TABLES: t.Final = ("passwd", "roster", "sr_group", "sr_user", "pubsub_node", "pubsub_state", "pubsub_item", "schema")


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> t.Iterator[Story]:
    first, second, third = lab.network.split(".")
    own = dataclasses.replace(lab, name=f"{lab.name[:2]}cl", network=f"{first}.{second}.{int(third) ^ 64}")
    lifecycle.down(own)
    lifecycle.up(own, [host(name) for name in ("xmpp1", "hv1")])
    yield Story(own)
    lifecycle.down(own)


class Controller:
    """The collection's own client, which knows both servers, as a person's resource each that it is made for."""

    def __init__(self, cluster: Story) -> None:
        self.Unavailable = part(cluster.lab, "module_utils.archipel.errors").Unavailable
        self.clients = [client(cluster.lab, role) for role in ("commands", "watches")]

    def memory(self, name: str, mib: int) -> list[dict[str, t.Any]]:
        """The changes that it takes until the machine has that much memory."""
        definition = {"type": "qemu", "memory": mib}
        told = self.clients[0].execute(HV1, "vm", {"name": name, "definition": definition}, timeout=60)
        return t.cast("list[dict[str, t.Any]]", told["changes"])

    def all_there(self, contacts: list[str]) -> bool:
        try:
            return bool(self.clients[1].ping(contacts, timeout=3) == [None] * len(contacts))
        except self.Unavailable:
            return False

    def close(self) -> None:
        for each in self.clients:
            each.close()


@pytest.fixture
def controller(cluster: Story) -> t.Iterator[Controller]:
    made = Controller(cluster)
    yield made
    made.close()


@dataclasses.dataclass
class Told:
    """What became of the commands to one machine: those that were answered, from what to what each changed it, and
    when; those of which nobody knows whether they arrived."""

    answered: list[tuple[int, int, float]] = dataclasses.field(default_factory=list)
    unknown: list[int] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        """Each change found what the one before it had left: none was lost, and none was done again later on."""
        for (_old, left, _then), (found, made, _when) in itertools.pairwise(self.answered):
            assert found == left or (found in self.unknown and left < found < made), (left, found, made)

    def silence(self) -> float:
        """The longest time without an answer, in seconds."""
        return max(later - earlier for earlier, later in itertools.pairwise(when for *_change, when in self.answered))

    def answered_since(self, moment: float) -> bool:
        return bool(self.answered) and self.answered[-1][2] > moment


def command(controller: Controller, name: str, told: Told, enough: threading.Event) -> None:
    """A MiB more with each command, until it is enough."""
    for mib in itertools.count(SMALLEST + 1):
        if enough.is_set():
            return
        try:
            (change,) = controller.memory(name, mib)
        except controller.Unavailable as error:
            if "is not online" not in error.message:
                told.unknown.append(mib)
            enough.wait(0.2)
            continue
        assert change["new"] == mib
        told.answered.append((change["old"], mib, time.monotonic()))


def nodes(cluster: Story, name: str) -> list[str]:
    """Those that run, as one of them sees it; while it does not run itself, what ejabberdctl says of that."""
    return sorted(cluster.on(name, "ejabberdctl list_cluster || true").split())


def await_both(cluster: Story, *, seconds: float = 240) -> None:
    """Return when each node sees the other. One that did not find the other when it started is started anew after some
    75 s."""
    both = [f"ejabberd@{server}" for server in SERVERS]
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(nodes(cluster, name) != both for name in SERVERS):
        time.sleep(1)
    assert {name: nodes(cluster, name) for name in SERVERS} == dict.fromkeys(SERVERS, both)


def test_one_server_is_applied(cluster: Story) -> None:
    changed = cluster.site("--limit", "xmpp1,hv1")
    assert all(count > 0 for count in changed.values())
    assert nodes(cluster, "xmpp1") == ["ejabberd@localhost"]


def test_it_becomes_the_first_of_two_and_keeps_what_it_has(cluster: Story) -> None:
    kept = cluster.on("xmpp1", KEPT)
    assert "hv1" in kept
    lifecycle.up(cluster.lab, [host("xmpp2")])
    changed = cluster.site(*LIMIT)
    assert changed.keys() == set(HOSTS)
    for name in SERVERS:
        assert nodes(cluster, name) == [f"ejabberd@{server}" for server in SERVERS]
        assert cluster.on(name, KEPT) == kept


def test_applied_again_nothing_changes(cluster: Story) -> None:
    """To the servers; hv1's turn comes when one has left."""
    assert cluster.site("--limit", ",".join(SERVERS)) == dict.fromkeys(SERVERS, 0)


def test_each_node_has_all_that_matters_on_its_disk(cluster: Story) -> None:
    for table in TABLES:
        told = cluster.on("xmpp1", f"ejabberdctl mnesia_table_info {table}")
        on_disk = re.findall(r"\{disc(?:_only)?_copies,\[(.*?)\]\}", told, re.DOTALL)
        assert {node for nodes in on_disk for node in re.findall(r"[^,\s]+", nodes)} == {
            f"ejabberd@{server}" for server in SERVERS
        }, table


def test_nodes_speak_tls_with_those_alone_that_the_authority_certified(cluster: Story) -> None:
    address = cluster.lab.address(host("xmpp1"))
    said = cluster.on("hv1", f"timeout 20 openssl s_client -ign_eof -connect {address}:5210 </dev/null 2>&1; true")
    assert "alert certificate required" in said


def test_a_power_cut_of_one_server_loses_nothing_and_all_are_back_soon(
    cluster: Story, controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    """While 50 machines are commanded: each command that was answered was carried out, and once."""
    for name in MACHINES:
        controller.memory(name, SMALLEST)
    uuids = cluster.on("hv1", "virsh list --all --uuid").split()
    contacts = [HV1, *(f"{uuid}@{XMPP_DOMAIN}/hv1" for uuid in uuids)]
    assert len(contacts) == len(MACHINES) + 1
    while not controller.all_there(contacts):
        time.sleep(0.2)
    told, enough = [Told() for _name in MACHINES], threading.Event()
    with concurrent.futures.ThreadPoolExecutor(len(MACHINES)) as pool:
        commanded = [pool.submit(command, controller, *one, enough) for one in zip(MACHINES, told, strict=True)]
        try:
            while not all(one.answered for one in told):
                time.sleep(0.1)
            cut = time.monotonic()
            # First the cable: the kernel would tell everybody that its connections end.
            network.set_link(hosts.interface(cluster.lab, host("xmpp1")), up=False)
            hosts.crash(cluster.lab, host("xmpp1"))
            while not controller.all_there(contacts):
                time.sleep(0.2)
            back = time.monotonic() - cut
            while not all(one.answered_since(cut + back) for one in told):
                time.sleep(0.1)
        finally:
            enough.set()
    for thread in commanded:
        thread.result()
    answered = [when > cut for one in told for *_change, when in one.answered]
    unknown = sum(len(one.unknown) for one in told)
    with capsys.disabled():
        print(
            f"\n  {len(MACHINES)} machines, {len(answered)} commands answered, {sum(answered)} of them after the cut;"
            f" {unknown} not answered; the longest silence of a machine {max(one.silence() for one in told):.1f} s;"
            f" all {len(contacts)} contacts back after {back:.1f} s",
            file=sys.stderr,
        )
    for one in told:
        one.check()
    assert back < BOUND


def test_accounts_and_nodes_are_on_the_server_that_is_left(cluster: Story) -> None:
    assert nodes(cluster, "xmpp2") == ["ejabberd@xmpp2"]
    accounts = cluster.on("xmpp2", f"ejabberdctl registered_users {XMPP_DOMAIN}").split()
    assert {"admin", "hv1"} < {*accounts}
    assert len(accounts) >= len(MACHINES) + 2
    node = cluster.module("hv1", "archipel.orchestrator.pubsub_node", name="/archipel/machines", config={})
    assert not node["changed"]


def test_the_server_is_a_node_again_when_it_has_power(cluster: Story) -> None:
    lifecycle.up(cluster.lab, [host("xmpp1")])
    await_both(cluster)


def test_a_node_leaves_and_comes_back(cluster: Story) -> None:
    leave = ("archipel.orchestrator.xmpp_leave", "--extra-vars", "leaving=xmpp2")
    assert cluster.playbook(*leave)["xmpp2"] > 0
    assert nodes(cluster, "xmpp1") == ["ejabberd@xmpp1"]
    assert not any(cluster.playbook(*leave).values())
    accounts = cluster.on("xmpp1", f"ejabberdctl registered_users {XMPP_DOMAIN}")
    changed = cluster.site(*LIMIT)
    assert (changed["xmpp1"], changed["hv1"]) == (0, 0)
    await_both(cluster)
    assert cluster.on("xmpp2", f"ejabberdctl registered_users {XMPP_DOMAIN}") == accounts
