# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import libvirt
import pytest
from archipel import belongings, xmltree
from archipel.errors import Conflict, InvalidArgument, NotFound, Unsupported
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS, Hypervisor

Run = t.Callable[..., dict[str, t.Any]]

GOLDEN = """
<domain type='test'>
  <name>golden</name><uuid>bbbbbbbb-0000-4000-8000-000000000001</uuid>
  <genid>bbbbbbbb-0000-4000-8000-0000000000ff</genid>
  <memory unit='MiB'>64</memory>
  <os><type>hvm</type></os>
  <sysinfo type='smbios'><system>
    <entry name='uuid'>bbbbbbbb-0000-4000-8000-000000000001</entry><entry name='serial'>x</entry>
  </system></sysinfo>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/golden.qcow2'/><target dev='vda'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/golden-1.qcow2'/><target dev='vdb'/>
    </disk>
    <disk type='file' device='disk'><source file='/srv/all.raw'/><target dev='vdc'/><shareable/></disk>
    <disk type='file' device='cdrom'><source file='/srv/installer.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <disk type='file' device='cdrom'>
      <source file='/var/lib/libvirt/images/golden-seed-0123456789ab.iso'/><target dev='sdb' bus='sata'/><readonly/>
    </disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
    <graphics type='vnc' port='5907' autoport='no'/>
    <console type='pty'><log file='/var/log/golden.log'/></console>
  </devices>
</domain>"""


@pytest.fixture
def golden(hypervisor: Hypervisor, run: Run) -> str:
    """A machine that is off, with two disks and a cloud-init seed of its own, and other people's things."""
    for number in ("", "-1"):
        run("volume", pool="default", name=f"golden{number}.qcow2", definition={"size": 1, "format": "qcow2"})
    run("vm", xml=GOLDEN)
    return "golden"


@pytest.fixture
def clone(run: Run) -> Run:
    return lambda name="web1", **asked: run("vm_clone", **{"name": "golden", "clone": name, **asked})


def volumes(run: Run) -> list[str]:
    return [volume["name"] for volume in run("volume_info", pool="default")["volumes"]]


def document(hypervisor: Hypervisor, name: str) -> t.Any:
    return hypervisor.machine(name).document(inactive=True)


@pytest.mark.usefixtures("golden")
def test_a_machine_is_cloned_once(clone: Run, run: Run) -> None:
    """What check mode tells is what is done, and the second time nothing is."""
    told, done, again = (clone(check=check) for check in (True, False, False))
    assert told["changes"] == done["changes"]
    assert [change["path"] for change in done["changes"]] == [
        "volumes[default/web1.qcow2]", "volumes[default/web1-1.qcow2]", "state", "source",
    ]  # fmt: skip
    assert (told["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert told["vm"]["state"] == "absent"
    assert again["msg"] == "web1 is there already."
    assert (done["vm"]["name"], done["vm"]["state"]) == ("web1", "shutoff")
    assert [disk["path"] for disk in done["vm"]["disks"]] == [
        "/var/lib/libvirt/images/web1.qcow2", "/var/lib/libvirt/images/web1-1.qcow2", "/srv/all.raw",
        "/srv/installer.iso",
    ]  # fmt: skip
    assert done["shared"] == ["/srv/all.raw", "/srv/installer.iso"]
    assert volumes(run) == ["golden-1.qcow2", "golden.qcow2", "web1-1.qcow2", "web1.qcow2"]


@pytest.mark.usefixtures("golden")
def test_nothing_makes_it_the_other_machine(clone: Run, hypervisor: Hypervisor) -> None:
    """UUID, also where the firmware tells it, MAC address, generation, display, files, cloud-init's seed."""
    told = clone()["vm"]
    old, new = document(hypervisor, "golden"), document(hypervisor, "web1")
    for path in ("uuid", "genid", "devices/interface/mac/@address"):
        assert xmltree.read(old, path)
        assert xmltree.read(new, path) not in (None, "", xmltree.read(old, path)), path
    assert new.find("sysinfo/system/entry[@name='uuid']").text == told["uuid"]
    assert (xmltree.read(new, "devices/graphics/@port"), xmltree.read(new, "devices/graphics/@autoport")) == (
        "-1",
        "yes",
    )
    assert xmltree.read(new, "devices/console/log/@file") == "/var/log/web1.log"
    assert "seed" not in xmltree.serialise(new)
    assert told["managed"]
    assert not told["autostart"]


@pytest.mark.usefixtures("golden")
def test_its_volumes_are_noted_as_its_own(clone: Run, run: Run, hypervisor: Hypervisor) -> None:
    """And the other machine's are not; so removing it takes what was made for it, and nothing else."""
    node = document(hypervisor, "golden")
    belongings.note(node, "default", "golden.qcow2")
    hypervisor.connection.handle.defineXML(xmltree.serialise(node))
    clone()
    assert belongings.noted(document(hypervisor, "web1")) == [("default", "web1.qcow2"), ("default", "web1-1.qcow2")]
    run("vm", name="web1", state="absent", remove_volumes="owned")
    assert volumes(run) == ["golden-1.qcow2", "golden.qcow2"]


@pytest.mark.usefixtures("golden")
def test_a_clone_that_changed_is_still_there(clone: Run, vm: Run) -> None:
    """It is left alone, and what differs is said."""
    clone()
    vm(name="web1", memory=128)
    again = clone()
    assert not again["changed"]
    assert again["msg"] == "web1 is there already; it differs from golden in memory, max_memory."


@pytest.mark.usefixtures("golden")
def test_a_clone_stays_when_what_it_was_made_of_is_gone(clone: Run, run: Run) -> None:
    clone()
    run("vm", name="golden", state="absent")
    assert not clone()["changed"]


@pytest.mark.usefixtures("golden")
def test_a_running_machine_is_not_cloned(clone: Run, run: Run) -> None:
    """Its disks are of no one moment; the remedy is named."""
    run("vm", name="golden", state="running")
    with pytest.raises(Conflict, match="is running.*external snapshot"):
        clone()
    run("vm_snapshot", name="golden", snapshot="inside")
    with pytest.raises(Conflict, match="internal one"):
        clone(snapshot="inside")
    with pytest.raises(NotFound, match="it has: inside"):
        clone(snapshot="outside")
    with pytest.raises(Conflict, match="must not change"):
        clone(linked=True)


@pytest.fixture
def frozen(golden: str, hypervisor: Hypervisor, run: Run) -> None:
    """An external snapshot, which the test driver knows only by being told of it; both disks go on in new images."""
    machine = hypervisor.machine(golden)
    new = "<disk name='{0}' snapshot='external' type='file'><source file='/var/lib/libvirt/images/{0}.new'/></disk>"
    parts = new.format("vda") + new.format("vdb")
    text = f"""<domainsnapshot><name>frozen</name><state>shutoff</state><creationTime>1</creationTime>
      <disks>{parts}<disk name='vdc' snapshot='no'/></disks>{machine.domain.XMLDesc()}</domainsnapshot>"""
    machine.domain.snapshotCreateXML(text, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
    run("vm", name=golden, state="running")


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("linked", [False, True])
def test_a_machine_is_cloned_as_it_was_at_a_snapshot(clone: Run, run: Run, linked: bool) -> None:
    """Though it runs; from the images that the snapshot has left unchanged."""
    told, done = (clone(snapshot="frozen", linked=linked, check=check) for check in (True, False))
    assert told["changes"] == done["changes"]
    assert done["changes"][0]["new"] == {"format": "qcow2", "from": "/var/lib/libvirt/images/golden.qcow2"}
    volume = run("volume_info", pool="default", name="web1.qcow2")["volumes"][0]
    assert bool(volume["backing_chain"]) == linked
    assert done["vm"]["disks"][0]["path"] == "/var/lib/libvirt/images/web1.qcow2"


@pytest.mark.usefixtures("frozen")
def test_what_linked_clones_lie_on_is_not_removed(clone: Run, run: Run) -> None:
    """The snapshot that keeps it unchanged names them, also through a clone of a clone that is off."""
    clone(snapshot="frozen", linked=True)
    clone("web2", snapshot="frozen", linked=True)
    with pytest.raises(Conflict, match="web1, web2 stand on"):
        run("vm_snapshot", name="golden", snapshot="frozen", state="absent")
    run("vm", name="golden", state="destroyed")
    with pytest.raises(Conflict, match="the volume web1.qcow2"):
        run("volume", pool="default", name="golden.qcow2", state="absent")


@pytest.mark.usefixtures("golden")
def test_a_volume_of_that_name_is_not_overwritten(clone: Run, run: Run) -> None:
    run("volume", pool="default", name="web1-1.qcow2", definition={"size": 1})
    with pytest.raises(Conflict, match="There is a volume web1-1.qcow2 in pool default already"):
        clone()
    assert "web1.qcow2" not in volumes(run)


@pytest.mark.usefixtures("golden")
def test_a_pool_that_is_too_full_is_said_before_anything_is_copied(clone: Run, run: Run) -> None:
    """The test driver's pool has 100 GiB."""
    run("volume", pool="default", name="filler", definition={"size": 60, "allocation": "full", "format": "raw"})
    run("volume", pool="default", name="big.raw", definition={"size": 30, "allocation": "full", "format": "raw"})
    run("vm", name="golden", definition={"disks": [{"target": "vdd", "path": "/var/lib/libvirt/images/big.raw"}]})
    with pytest.raises(Conflict, match="MiB left, and the disks of golden take .* Nothing was copied"):
        clone()
    assert "web1.qcow2" not in volumes(run)


@pytest.mark.usefixtures("golden")
def test_what_was_copied_is_removed_when_the_machine_cannot_be_made(
    clone: Run, run: Run, hypervisor: Hypervisor
) -> None:
    """libvirt refuses the definition: a UUID that is another machine's."""
    with pytest.raises(Conflict, match="mean two machines|already"):
        clone(clone_uuid="aaaaaaaa-0000-4000-8000-000000000001")
    from archipel import clones

    asked = clones.Asked("web1", "aaaaaaaa-0000-4000-8000-000000000001", False, None, None)
    work = clones._Work(hypervisor, hypervisor.machine("golden"), asked, float("inf"), lambda *_told: None)
    work.make(check=False)
    with pytest.raises(Exception, match="Define web1") as failure:
        work.plan.run()
    assert failure.value.changes == []  # type: ignore[attr-defined]
    assert volumes(run) == ["golden-1.qcow2", "golden.qcow2"]


@pytest.mark.usefixtures("golden")
def test_no_further_disk_is_copied_when_the_time_is_over(clone: Run, run: Run) -> None:
    from archipel.errors import WaitTimeout

    with pytest.raises(WaitTimeout, match="nothing is left"):
        clone(wait_timeout=-1)
    assert volumes(run) == ["golden-1.qcow2", "golden.qcow2"]


def test_a_disk_outside_of_pools_is_said(clone: Run, vm: Run) -> None:
    vm(name="golden", memory=64, disks=[{"path": "/somewhere/a.qcow2", "target": "vda"}])
    with pytest.raises(Conflict, match="in no active storage pool.*/somewhere"):
        clone()


def test_what_cannot_be_copied_is_said(clone: Run, run: Run) -> None:
    lun = "<disk type='block' device='lun'><source dev='/dev/x'/><target dev='sda' bus='scsi'/></disk>"
    run("vm", xml=f"<domain type='test'><name>golden</name><memory>65536</memory><os><type>hvm</type></os>"
        f"<devices>{lun}</devices></domain>")  # fmt: skip
    with pytest.raises(Unsupported, match="sda is a LUN"):
        clone()


@pytest.mark.parametrize("name", ["", "a/b", " a", "a\n", "x" * 256])
def test_what_cannot_be_a_name_is_refused(clone: Run, name: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot be a machine's name"):
        clone(name)


@pytest.mark.usefixtures("golden")
def test_nothing_is_a_clone_of_itself(clone: Run) -> None:
    with pytest.raises(InvalidArgument, match="of itself"):
        clone("golden")


def test_a_machine_that_is_not_there_yet(clone: Run) -> None:
    """Check mode tells what would be done once it is there; without, it is not found."""
    told = clone(check=True)
    assert told["changed"]
    assert "not there yet" in told["msg"]
    with pytest.raises(NotFound, match="golden"):
        clone()


@pytest.mark.usefixtures("golden")
def test_a_snapshot_that_is_not_there_yet(clone: Run) -> None:
    assert clone(snapshot="later", linked=True, check=True)["changed"]


@pytest.mark.usefixtures("golden")
def test_it_is_told_in_the_first_person(clone: Run) -> None:
    done, again = clone(), clone()
    assert MACHINE_ACTIONS["clone"].sentence(done).startswith("I have been cloned as web1")
    assert MACHINE_ACTIONS["clone"].sentence(again) == "web1 is there already."
    assert ACTIONS["vm_clone"].sentence(done) == "web1 is a clone of golden."
