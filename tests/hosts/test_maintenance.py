# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hypervisor is emptied, and its machines come home. What other tests left there is unknown to libvirt meanwhile."""

from __future__ import annotations

import typing as t

import pytest

from lab.plan import Lab
from lab.steps import LabError
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

Play = t.Callable[..., list[dict[str, t.Any]]]
VM, MIGRATE = "archipel.orchestrator.vm", "archipel.orchestrator.vm_migrate"
VOLUME: t.Final = "archipel.orchestrator.volume"
MAINTENANCE, INFO = "archipel.orchestrator.hypervisor_maintenance", "archipel.orchestrator.hypervisor_info"
# Two that move, one that does not since its disk is on hv1 alone, and one that is off, whose disk is there, too.
OCTETS: t.Final = {"away1": 121, "away2": 122, "stays1": 123, "off1": 124}
IMAGES: t.Final = "/var/lib/libvirt/images"


@pytest.fixture(scope="module")
def machines(platform: Story, play: Play, tiny: t.Callable[[str, int], dict[str, t.Any]]) -> t.Iterator[None]:
    running = platform.on("hv1", "virsh list --name --persistent").split()
    others = platform.on("hv1", "virsh list --all --name --persistent").split()
    for name in others:
        off = f"virsh -q destroy {name};" if name in running else ""
        forgotten = f"virsh -q undefine {name} --keep-nvram --managed-save --snapshots-metadata"
        platform.on("hv1", f"virsh dumpxml --inactive --security-info {name} > /root/{name}.xml; {off} {forgotten}")
    asked = {name: tiny(name, octet) for name, octet in OCTETS.items()}
    for name in ("stays1", "off1"):
        asked[name]["disks"] = [{"pool": "default", "size": 1, "format": "qcow2"}]
    states = {**dict.fromkeys(OCTETS, "running"), "off1": "present"}
    made = play("xmpp", *({VM: {**asked[name], "state": states[name]}} for name in OCTETS))
    assert not [result["msg"] for result in made if result["failed"]]
    yield
    goes = {"state": "absent", "force": True, "remove_volumes": "owned"}
    play("xmpp", {MAINTENANCE: {"state": "absent"}}, *({VM: {"name": name, **goes}} for name in OCTETS))
    platform.on("hv2", f"rm -f {IMAGES}/stays1.qcow2 {IMAGES}/off1.qcow2 && virsh -q pool-refresh default")
    for name in others:
        on = f"&& virsh -q start {name}" if name in running else ""
        platform.on("hv1", f"virsh -q define /root/{name}.xml {on}")


def here(story: Story, hypervisor: str, state: str = "running") -> set[str]:
    """Those of this test that are in that state there."""
    return {*OCTETS} & {*story.on(hypervisor, f"virsh list --all --name --state-{state}").split()}


@pytest.mark.usefixtures("machines")
def test_a_hypervisor_is_emptied_and_its_machines_come_home(platform: Story, play: Play, lab: Lab) -> None:
    address = f"{lab.network}.{OCTETS['away1']}"
    counted = platform.count(address=address, seconds=60)
    leave = {MAINTENANCE: {"cannot_move": "leave", "max_parallel": 2}}

    refused, plan = play("xmpp", {MAINTENANCE: {}}, {**leave, "check_mode": True})
    assert refused["failed"]
    assert "stays1 cannot move: " in refused["msg"]
    assert here(platform, "hv1") == {"away1", "away2", "stays1"}

    done, again, info = play("xmpp", leave, leave, {INFO: {}})
    assert (done["failed"], again["failed"], again["changed"]) == (False, False, False), (done["msg"], again["msg"])
    assert done["changes"] == plan["changes"]
    assert (here(platform, "hv1"), here(platform, "hv2")) == ({"stays1"}, {"away1", "away2"})
    assert here(platform, "hv1", "shutoff") == {"off1"}
    assert info["hypervisor"]["maintenance"] == done["maintenance"]
    assert platform.count(address=address) > counted

    # It takes none, over a restart of its agent too; and what is removed elsewhere is nobody's business here.
    platform.on("hv1", "systemctl restart archipel-agent")
    with pytest.raises(LabError, match="hv1 takes no machines: it is in maintenance"):
        platform.module("hv2", MIGRATE, via="xmpp", name="away2", destination="hv1", check=True)
    platform.module("hv2", VM, via="xmpp", name="away2", state="absent", force=True)

    home, again = play("xmpp", *[{MAINTENANCE: {"state": "absent"}}] * 2)
    assert (home["failed"], again["failed"], again["changed"]) == (False, False, False), (home["msg"], again["msg"])
    assert "away1.hypervisor" in {change["path"] for change in home["changes"]}
    assert "away2: It is not on hv2 any more" in home["msg"]
    assert (here(platform, "hv1"), here(platform, "hv2")) == ({"away1", "stays1"}, set())
    assert platform.count(address=address) > counted


@pytest.mark.usefixtures("machines")
def test_copies_that_stay_behind_are_nobodys_disks(platform: Story, play: Play) -> None:
    """Those of machines that run are written over when they come home; of one that is off it is told what to remove."""
    away = {MAINTENANCE: {"copy_storage": "all", "evacuate": True}}
    home = {MAINTENANCE: {"state": "absent"}}
    done, back = play("xmpp", away, home)
    assert not done["failed"], done["msg"]
    told = {vm["name"]: vm["error"]["msg"] for vm in back["vms"] if "error" in vm}
    assert (back["failed"], told.keys()) == (True, {"off1"})
    assert f"{IMAGES}/off1.qcow2 is on hv1 already; remove it there (module volume)" in told["off1"]
    assert (here(platform, "hv1"), here(platform, "hv2", "shutoff")) == ({"away1", "stays1"}, {"off1"})

    removed, back = play("xmpp", {VOLUME: {"pool": "default", "name": "off1.qcow2", "state": "absent"}}, home)
    assert (removed["failed"], back["failed"]) == (False, False), (removed["msg"], back["msg"])
    assert here(platform, "hv1", "shutoff") == {"off1"}

    (refused,) = play("xmpp", {MAINTENANCE: {"evacuate": True}})
    for name, remedy in (("stays1", "use"), ("off1", "remove it there (module volume) and use")):
        msg = f"{name} cannot move: {IMAGES}/{name}.qcow2 is there, but is not the disk vda"
        assert msg in refused["msg"]
        assert f"Where the two share no storage, {remedy} copy_storage: all." in refused["msg"]
    assert (here(platform, "hv1"), here(platform, "hv2")) == ({"away1", "stays1"}, set())
