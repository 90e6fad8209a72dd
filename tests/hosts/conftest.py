# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on real hosts: a lab of their own beside the one that a person may have up, the same one for all of them.

The story comes first, since it sees what a platform's first application changes; the tests of the lab itself come last,
since they take it down.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import sys
import time
import typing as t

import pytest

from lab import guest, hosts, lifecycle
from lab.plan import STANDARD, Lab, host
from lab.steps import run
from lab.story import Story

HYPERVISORS: t.Final = ("hv1", "hv2")
SERVER: t.Final = "xmpp1"
INSTALL: t.Final = "apt-get -qq update && apt-get -qq install --no-install-recommends"
FIRST, LAST = "test_story.py", "test_lab.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (item.path.name != FIRST, item.path.name == LAST))


@pytest.fixture(scope="session")
def lab() -> t.Iterator[Lab]:
    lab = Lab.from_environment()
    if "ARCHIPEL_LAB_NAME" not in os.environ:
        lab = dataclasses.replace(lab, name="test", network="10.97.0")
    lifecycle.down(lab)
    yield lab
    lifecycle.down(lab)


@pytest.fixture(scope="session")
def story(lab: Lab) -> Story:
    """The standard hosts, up and still bare."""
    lifecycle.up(lab, [host(name) for name in STANDARD])
    guest.make(lab)
    return Story(lab)


@pytest.fixture(scope="session")
def first_application(story: Story) -> dict[str, int]:
    """How many changes the platform's first application made on each host."""
    return story.site()


@pytest.fixture(scope="session")
def platform(story: Story, first_application: dict[str, int]) -> Story:
    """A platform on real hosts: an XMPP server and two hypervisors with agents, which have the tiny guest's kernel and
    initramfs. What earlier tests left is there."""
    story.guest()
    return story


def everywhere(work: t.Callable[[str], object], names: t.Sequence[str]) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(work, names))


@pytest.fixture(scope="module")
def shared_pool(platform: Story) -> t.Iterator[None]:
    """A pool `shared` on both hypervisors: GlusterFS, which libvirt knows to be shared."""
    packages = {SERVER: "glusterfs-server", **dict.fromkeys(HYPERVISORS, "glusterfs-client")}
    everywhere(lambda name: platform.on(name, f"{INSTALL} {packages[name]}"), [*packages])
    volume = f"gluster volume create shared {SERVER}:/srv/brick force && gluster volume start shared"
    platform.on(SERVER, f"systemctl start glusterd && mkdir -p /srv/brick && {volume}")
    mount = f"mkdir -p /srv/shared && mount -t glusterfs {SERVER}:/shared /srv/shared"
    pool = "virsh -q pool-define-as shared dir --target /srv/shared && virsh -q pool-start shared"
    everywhere(lambda name: platform.on(name, f"{mount} && {pool}"), HYPERVISORS)
    yield
    taken_away = (
        "virsh -q pool-destroy shared; virsh -q pool-undefine shared; umount /srv/shared || ! mountpoint -q /srv/shared"
    )
    everywhere(lambda name: platform.on(name, taken_away), HYPERVISORS)
    gluster = "gluster --mode=script volume"
    platform.on(
        SERVER, f"{gluster} stop shared && {gluster} delete shared && systemctl stop glusterd; rm -r /srv/brick"
    )


@pytest.fixture(scope="session")
def tiny(lab: Lab) -> t.Callable[[str, int], dict[str, t.Any]]:
    """Arguments of `vm` for a tiny guest of that name, without disks, at an address of the lab's network."""
    return lambda name, octet: {
        "name": name,
        "type": "qemu",
        "memory": 128,
        "vcpus": 1,
        "cpu": {"model": "qemu64"},
        "boot": {
            "kernel": "/var/lib/libvirt/images/vmlinuz",
            "initrd": "/var/lib/libvirt/images/initrd.gz",
            "kernel_args": f"console=ttyS0 quiet address={lab.network}.{octet}/24",
        },
        "networks": [{"bridge": "br0", "mac": f"52:54:00:00:01:{octet:02x}"}],
    }


@pytest.fixture(scope="session")
def play(platform: Story, tmp_path_factory: pytest.TempPathFactory) -> t.Callable[..., list[dict[str, t.Any]]]:
    """Tasks in one play on hv1: the result of each; one that fails does not end the play."""
    directory = tmp_path_factory.mktemp("play")

    def play(via: str, *tasks: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        names = [f"result_{number}" for number in range(len(tasks))]
        noted = [{**task, "register": name, "ignore_errors": True} for task, name in zip(tasks, names, strict=True)]
        answers = directory / "results.json"
        write = {
            "ansible.builtin.copy": {"content": "{{ [" + ", ".join(names) + "] | to_json }}", "dest": str(answers)},
            "check_mode": False,
            "delegate_to": "localhost",
        }
        file = directory / "play.json"
        defaults = {"group/archipel.orchestrator.archipel": {"via": via}}
        steps = [{"hosts": "hv1", "gather_facts": False, "module_defaults": defaults, "tasks": [*noted, write]}]
        file.write_text(json.dumps(steps))
        platform.playbook(str(file))
        return t.cast("list[dict[str, t.Any]]", json.loads(answers.read_text()))

    return play


@pytest.fixture(scope="session")
def on(lab: Lab) -> t.Callable[[str, str], str]:
    """What a command on a host writes; LabError when it fails."""
    return lambda name, command: run(*hosts.ssh(lab, host(name), command)).strip()


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> t.Iterator[None]:
    """How long each step took, though pytest keeps the rest to itself."""
    began = time.monotonic()
    yield
    with capsys.disabled():
        print(f"  {request.node.name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
