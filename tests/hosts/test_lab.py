# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: hosts that are as real as the tests on them need."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from lab import hosts, layers, lifecycle, network
from lab.environment import environment
from lab.plan import REPOSITORY, Lab, host
from lab.steps import LabError, run

pytestmark = pytest.mark.timeout(300)

BARE = host("bare1")
On = t.Callable[[str, str], str]


@pytest.fixture(scope="module", autouse=True)
def up(lab: Lab) -> None:
    lifecycle.up(lab, [BARE])


def test_a_host_has_systemd_a_name_and_an_address_of_its_own(lab: Lab, on: On) -> None:
    assert on("bare1", "systemctl is-system-running; ps -o comm= 1; hostname") == "running\nsystemd\nbare1"
    assert lab.address(BARE) in on("bare1", "ip -brief address show br0")
    assert on("bare1", "cat /etc/machine-id") != pathlib.Path("/etc/machine-id").read_text().strip()


def test_packages_are_the_only_way_out(lab: Lab, on: On) -> None:
    assert on("bare1", "ip route show default") == ""
    on("bare1", "apt-get -qq update")
    with pytest.raises(LabError, match="403"):
        on("bare1", f"curl -sS --proxy {lab.proxy} https://example.org")


def test_starting_a_host_that_runs_changes_nothing(lab: Lab, on: On) -> None:
    boot = on("bare1", "cat /proc/sys/kernel/random/boot_id; systemctl show -P ActiveEnterTimestamp multi-user.target")
    lifecycle.up(lab, [BARE])
    assert boot == on(
        "bare1", "cat /proc/sys/kernel/random/boot_id; systemctl show -P ActiveEnterTimestamp multi-user.target"
    )


@pytest.mark.parametrize("off", [hosts.stop, hosts.crash], ids=["shut down", "power cut"])
def test_a_host_comes_back_with_its_disk(lab: Lab, on: On, off: t.Callable[..., None]) -> None:
    on("bare1", f"echo {off.__name__} > /root/kept; sync")
    off(lab, BARE)
    assert not hosts.is_running(lab, BARE)
    lifecycle.up(lab, [BARE])
    assert on("bare1", "cat /root/kept") == off.__name__


def test_a_host_without_its_cable_is_out_of_reach_until_it_is_plugged_in(lab: Lab, on: On) -> None:
    cable = hosts.interface(lab, BARE)
    network.set_link(cable, up=False)
    with pytest.raises(LabError, match="ended with 255"):
        on("bare1", "true")
    network.set_link(cable, up=True)
    hosts.await_ready(lab, BARE)


def test_what_a_layer_has_is_what_the_role_installs() -> None:
    assert "ejabberd" in layers.listed("ejabberd", "ejabberd_packages")
    with pytest.raises(LabError, match="no list ejabberd_nothing"):
        layers.listed("ejabberd", "ejabberd_nothing")


def test_ansible_finds_this_checkout_whichever_the_lab_was_made_from(lab: Lab, tmp_path: pathlib.Path) -> None:
    link = pathlib.Path(environment(lab)["ANSIBLE_COLLECTIONS_PATH"]) / "ansible_collections/archipel/orchestrator"
    link.unlink()
    link.symlink_to(tmp_path / "gone")
    environment(lab)
    assert link.resolve() == REPOSITORY


def test_nothing_is_left_behind(lab: Lab) -> None:
    lifecycle.down(lab)
    assert str(lab.state) not in pathlib.Path("/proc/mounts").read_text()
    assert str(lab.state) not in run("ps", "-eo", "args")
    assert not list(pathlib.Path("/sys/class/net").glob(f"*{lab.name}-*"))
    assert not list(pathlib.Path("/sys/fs/cgroup").glob(f"*/archipel-lab/{lab.name}-*"))
    assert not lab.state.exists()
