# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles on Debian 13: a server and one hypervisor, in a lab of their own beside that of the other tests."""

from __future__ import annotations

import dataclasses
import time
import typing as t
import urllib.error
import urllib.request

import pytest

from lab import guest, lifecycle
from lab.environment import environment
from lab.plan import Lab, host
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

HOSTS: t.Final = ("xmpp1", "hv1")
LIMIT: t.Final = ("--limit", ",".join(HOSTS))


@pytest.fixture(scope="module")
def story13(lab: Lab) -> t.Iterator[Story]:
    first, second, third = lab.network.split(".")
    network = f"{first}.{second}.{int(third) ^ 128}"
    lab13 = dataclasses.replace(lab, name=f"{lab.name[:2]}13", network=network, suite="trixie")
    lifecycle.down(lab13)
    lifecycle.up(lab13, [host(name) for name in HOSTS])
    guest.make(lab13)
    yield Story(lab13)
    lifecycle.down(lab13)


def test_the_platform_is_applied_to_debian_13(story13: Story) -> None:
    assert story13.on("hv1", "cat /etc/debian_version").startswith("13")
    changed = story13.site(*LIMIT)
    assert changed.keys() == set(HOSTS)
    assert all(count > 0 for count in changed.values())


def test_applied_again_it_changes_nothing(story13: Story) -> None:
    assert story13.site(*LIMIT) == dict.fromkeys(HOSTS, 0)


def test_a_machine_runs_there_and_answers(story13: Story) -> None:
    assert story13.machine(*LIMIT)["hv1"] > 0
    assert story13.answer()[1].startswith("I am web1. I am running on hv1")
    assert story13.machine(*LIMIT) == {"hv1": 0}


def test_its_address_is_told_by_arp(story13: Story) -> None:
    """libvirt 9.0 of Debian 12 cannot read the table of a kernel from 6.9 on, this one can."""
    page(story13, "count")
    story13.on("hv1", f"bash -c 'exec 3<>/dev/tcp/{story13.lab.web1}/80'")
    told = story13.module("hv1", "archipel.orchestrator.vm", name="web1", wait_for_ip="arp", wait_timeout=180)
    assert [(a["address"], a["source"]) for a in told["vm"]["addresses"]] == [(story13.lab.web1, "arp")]


def test_a_group_of_contacts_comes_and_is_told(story13: Story) -> None:
    """Its ejabberd wants and tells lists in another way than that of Debian 12."""
    account = environment(story13.lab)
    who = {"xmpp_jid": account["ARCHIPEL_JID"], "xmpp_password": account["ARCHIPEL_PASSWORD"]}
    for name, display in (("staff", []), ("people", ["people", "staff"])):
        group = {"name": name, "label": "All", "display": display, "members": ["admin", "@online@"], **who}
        made, again = (story13.module("xmpp1", "archipel.orchestrator.xmpp_group", **group) for _time in range(2))
        assert (made["changed"], again["changed"]) == (True, False)


def test_a_machine_goes_back_to_an_external_snapshot(story13: Story) -> None:
    """Its libvirt can, other than that of Debian 12. What came later has not been, and the machine goes on as it ran
    then, without booting."""
    snapshot = {"via": "xmpp", "name": "web1", "snapshot": "before"}
    typed(story13, "cat /proc/sys/kernel/random/boot_id > /www/boot.new; mv /www/boot.new /www/boot", "boot")
    boot = page(story13, "boot")
    taken = story13.module("hv1", "archipel.orchestrator.vm_snapshot", kind="external", **snapshot)
    assert (taken["snapshot"]["kind"], taken["snapshot"]["memory"]) == ("external", True)
    typed(story13, "cp /www/boot /www/later", "later")
    back = story13.module("hv1", "archipel.orchestrator.vm_snapshot", state="reverted", **snapshot)
    assert back["vm"]["state"] == "running"
    assert page(story13, "boot") == boot
    with pytest.raises(urllib.error.HTTPError, match="404"):
        page(story13, "later")
    assert story13.answer()[1].startswith("I am web1. I am running on hv1")
    assert story13.module("hv1", "archipel.orchestrator.vm_snapshot", state="absent", **snapshot)["changed"]
    assert "before" not in story13.on("hv1", "ls /var/lib/libvirt/images")


def typed(story: Story, command: str, made: str) -> None:
    """Have web1's shell do something that makes a page. QEMU reads the line for as long as somebody has it open."""
    look = f"import urllib.request as r; r.urlopen('http://{story.lab.web1}/{made}', timeout=5)"
    until = f'timeout 60 sh -c "until python3 -c \\"{look}\\" 2>&-; do sleep 0.2; done"'
    story.on("hv1", f"exec 3<>$(virsh ttyconsole web1); echo '{command}' >&3; {until}")


def page(story: Story, name: str) -> str:
    """A page of web1, as soon as web1 answers."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while True:
        try:
            with direct.open(f"http://{story.lab.web1}/{name}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert time.monotonic() < end, "web1 does not answer"
            time.sleep(0.1)
