# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quickstart's story on real hosts, and what goes wrong in production. Each test needs those before it."""

from __future__ import annotations

import pathlib
import re
import shutil
import socket
import ssl
import time
import typing as t

import pytest

from lab import hosts
from lab.plan import REPOSITORY, STANDARD, XMPP_DOMAIN, Lab, host
from lab.steps import LabError
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

HYPERVISORS = ("hv1", "hv2")


def running_on(story: Story, name: str) -> list[str]:
    """The hypervisors on which libvirt runs that machine."""
    return [hv for hv in HYPERVISORS if name in story.on(hv, "virsh list --name --state-running").split()]


def registration(lab: Lab, name: str) -> str:
    """What the server says to somebody who asks for an account before he logs in (XEP-0077), from the first byte on."""
    trust = ssl.create_default_context(cafile=lab.platform / "ca.pem")
    address = (lab.address(host("xmpp1")), 5223)
    with socket.create_connection(address, 10) as tcp, trust.wrap_socket(tcp, server_hostname=XMPP_DOMAIN) as stream:
        stream.sendall(
            f"<stream:stream to='{XMPP_DOMAIN}' version='1.0' xmlns='jabber:client'"
            " xmlns:stream='http://etherx.jabber.org/streams'><iq type='set' id='1'><query xmlns='jabber:iq:register'>"
            f"<username>{name}</username><password>guessed</password></query></iq>".encode()
        )
        said = b""
        while not re.search(rb"</iq>|<iq [^>]*/>", said) and (more := stream.recv(65536)):
            said += more
    return said.decode()


def test_the_platform_is_applied(first_application: dict[str, int]) -> None:
    assert first_application.keys() == set(STANDARD)
    assert all(count > 0 for count in first_application.values())


def test_nobody_registers_a_machine_without_being_logged_in(story: Story, lab: Lab) -> None:
    """mod_register alone would let strangers have any name in the shape of a UUID."""
    name = "00000000-1111-4222-8333-444444444444"
    said = registration(lab, name)
    assert "<not-authorized" in said
    assert "iq-register" not in said
    assert name not in story.on("xmpp1", f"ejabberdctl registered_users {XMPP_DOMAIN}")


def test_applied_again_it_changes_nothing(story: Story) -> None:
    assert story.site() == dict.fromkeys(STANDARD, 0)


def test_a_task_defines_and_starts_a_machine(story: Story) -> None:
    assert story.machine()["hv1"] > 0
    assert running_on(story, "web1") == ["hv1"]


def test_the_same_task_again_changes_nothing(story: Story) -> None:
    assert story.machine() == {"hv1": 0, "hv2": 0}


def test_the_machine_answers_in_the_first_person(story: Story) -> None:
    contact, answer = story.answer()
    assert re.fullmatch(r"[0-9a-f-]{36}@xmpp[.]lab/hv1", contact)
    assert answer.startswith("I am web1. I am running on hv1")


def test_its_state_is_an_ad_hoc_command(story: Story) -> None:
    assert "running" in story.state().values()


def test_it_moves_with_its_disk_while_its_page_counts_on(story: Story) -> None:
    contact_before = story.answer()[0]
    moved = story.migration()
    assert moved.count_after > moved.count_before
    assert running_on(story, "web1") == ["hv2"]
    assert moved.contact == contact_before.replace("/hv1", "/hv2")
    assert "web1" not in story.on("hv1", "virsh list --all --name").split()


def test_both_ways_tell_the_same_of_a_machine(story: Story) -> None:
    """A module that libvirt answers on the host, and the agent that answers over XMPP."""
    name = "archipel.orchestrator.vm_info"
    libvirt, xmpp = (story.module("hv2", name, name="web1", via=via)["vms"] for via in ("libvirt", "xmpp"))
    assert libvirt == xmpp
    assert libvirt[0]["state"] == "running"


def test_moved_again_nothing_changes(story: Story) -> None:
    assert story.playbook("migration") == {"hv1": 0}


def test_a_foreign_domain_is_adopted_while_all_runs_on(story: Story) -> None:
    story.foreign()
    adopted = story.adoption()
    assert adopted.agent_after == adopted.agent_before != "0"
    assert adopted.domain_after == adopted.domain_before
    assert adopted.contact.endswith("/hv1")
    assert adopted.answer.startswith("I am foreign1. I am running on hv1")
    assert story.playbook("adoption") == {"hv1": 0}


def test_the_inventory_shows_it_all(story: Story) -> None:
    groups = story.inventory()
    print(groups)
    assert {"hv1", "hv2", "web1", "foreign1"} <= set(groups["_meta"]["hostvars"])


@pytest.mark.parametrize(("name", "unit"), [("hv2", "libvirtd"), ("xmpp1", "ejabberd"), ("hv2", "archipel-agent")])
def test_the_contact_is_back_after_a_restart_of(story: Story, name: str, unit: str) -> None:
    """Meanwhile it says what is missing, or nothing."""
    counted = story.count()
    story.on(name, f"systemctl restart {unit}")
    contact, answer = story.answer()
    end = time.monotonic() + 120
    while "I could not" in answer and time.monotonic() < end:
        contact, answer = story.answer()
    assert answer.startswith("I am web1. I am running on hv2")
    assert contact.endswith("/hv2")
    assert story.count() > counted


def test_a_power_cut_of_a_hypervisor_is_survived(story: Story, lab: Lab) -> None:
    hosts.crash(lab, host("hv1"))
    assert story.answer()[0].endswith("/hv2")
    hosts.start(lab, host("hv1"))
    hosts.await_ready(lab, host("hv1"))
    contact, answer = story.says("hv1", "how are you")
    assert contact == "hv1@xmpp.lab/hv1"
    assert answer.startswith("I am hv1")


def begin_move(story: Story, source: str, destination: str, *, bandwidth: int) -> str:
    """The job that has begun to move web1 and its disk of 1 GiB, at so many MiB a second."""
    started = story.module(
        source,
        "archipel.orchestrator.entity_command",
        action="vm_migrate",
        wait=False,
        arguments={"name": "web1", "destination": destination, "copy_storage": "all", "bandwidth": bandwidth},
    )
    moving = "virsh domjobinfo web1 | grep -q '^Job type: *Unbounded'"
    story.on(source, f'timeout 120 sh -c "until {moving}; do sleep 0.1; done"')
    return str(started["result"]["job"])


def end_of_job(story: Story, hypervisor: str, job: str) -> dict[str, t.Any]:
    """The job as its hypervisor tells it, when it runs no longer."""
    while True:
        command, arguments = "archipel.orchestrator.entity_command", {"id": job, "wait": 20}
        told = story.module(hypervisor, command, action="job", arguments=arguments)["result"]
        if told["state"] != "running":
            return t.cast("dict[str, t.Any]", told)


def test_an_agent_killed_in_the_middle_of_a_migration(story: Story) -> None:
    """The machine runs on exactly one side, and the job says what became of it."""
    id = begin_move(story, "hv2", "hv1", bandwidth=30)
    story.on("hv2", "systemctl kill --signal=KILL archipel-agent")
    story.says("hv2", "how are you")
    job = end_of_job(story, "hv2", id)
    (where,) = running_on(story, "web1")
    contact = story.answer()[0]
    assert contact.endswith(f"/{where}")
    assert story.count() > 0
    assert job["state"] in ("succeeded", "failed", "lost")
    assert job["state"] != "succeeded" or where == "hv1"
    if job["state"] != "succeeded":
        assert job["error"]["msg"]


@pytest.fixture
def next_version(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where Ansible finds a collection like this one, whose agent is newer."""
    tree = tmp_path / "ansible_collections/archipel/orchestrator"
    for part in ("meta", "playbooks", "plugins", "roles"):
        shutil.copytree(REPOSITORY / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "galaxy.yml", tree)
    version = tree / "roles/agent/files/archipel_agent/__init__.py"
    version.write_text(re.sub(r'^(__version__ = ".*)"', r'\1.post1"', version.read_text(), flags=re.MULTILINE))
    return tmp_path


def test_an_agent_is_upgraded_in_the_middle_of_a_migration(story: Story, lab: Lab, next_version: pathlib.Path) -> None:
    """The move goes on meanwhile, and the new agent tells what becomes of the job that the old one began."""
    (source,) = running_on(story, "web1")
    (destination,) = {*HYPERVISORS} - {source}
    # So slow that it lasts, however long the upgrade takes.
    id = begin_move(story, source, destination, bandwidth=5)
    assert Story(lab, next_version).playbook("agents", "--limit", source)[source] > 0
    assert ".post1" in story.on(source, "/opt/archipel/venv/bin/archipel-agent --version")
    command = "archipel.orchestrator.entity_command"
    job = story.module(source, command, action="job", arguments={"id": id})["result"]
    assert job["state"] == "running"
    assert f"looking into the job {id}" in story.on(source, "journalctl --unit archipel-agent --output cat --boot")
    counted = story.count()
    story.on(source, "virsh domjobabort web1")
    job = end_of_job(story, source, id)
    assert job["state"] == "failed"
    assert job["error"]["msg"] == f"web1 was not moved: it is running on {source}, and no move is under way."
    assert story.contact("web1") == story.answer()[0]
    assert story.count() > counted


def test_while_a_machine_comes_its_destination_refuses_to_change_it(story: Story) -> None:
    """The agent knows what it has agreed to; who asks libvirt sees a machine that seems to be paused."""
    (source,) = running_on(story, "web1")
    (destination,) = {*HYPERVISORS} - {source}
    id = begin_move(story, source, destination, bandwidth=5)
    for via, why in (("xmpp", f"web1 comes from {source}"), ("libvirt", "web1 is on its way here")):
        with pytest.raises(LabError, match=why):
            story.module(destination, "archipel.orchestrator.vm", via=via, name="web1", state="running")
    story.on(source, "virsh domjobabort web1")
    assert end_of_job(story, source, id)["state"] == "failed"
    assert "web1" not in story.on(destination, "virsh list --all --name").split()
    assert story.count() > 0


def test_a_machine_that_is_off_moves_as_a_definition(story: Story) -> None:
    """And its contact with it, though nothing of it ever ran there."""
    assert "foreign1" in story.on("hv1", "virsh list --all --name --state-shutoff").split()
    moved = story.module(
        "hv1", "archipel.orchestrator.vm_migrate", via="xmpp", name="foreign1", destination="hv2", live=False
    )
    assert moved["changed"]
    assert "foreign1" not in story.on("hv1", "virsh list --all --name").split()
    assert "foreign1" in story.on("hv2", "virsh list --all --name --state-shutoff").split()
    contact, answer = story.says("foreign1", "how are you")
    assert contact.endswith("/hv2")
    assert answer.startswith("I am foreign1. I am shutoff on hv2")


def test_the_index_says_where_a_machine_is_as_soon_as_it_has_moved(story: Story) -> None:
    for destination, source in (("hv1", "hv2"), ("hv2", "hv1")) * 3:
        moved = story.module(
            source, "archipel.orchestrator.vm_migrate", via="xmpp", name="foreign1", destination=destination, live=False
        )
        assert moved["changed"]
        assert story.contact("foreign1").endswith(f"/{destination}")
