# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A definition as XML, against what libvirt with QEMU made of it."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from archipel import given, xmltree

ALIASES = {"q35": "pc-q35-9.1"}  # by now; the machine in defined.xml was made when it was 7.2


@pytest.fixture
def written(data: pathlib.Path) -> str:
    return (data / "given.xml").read_text()


@pytest.fixture
def defined(data: pathlib.Path) -> t.Any:
    return xmltree.parse_trusted((data / "defined.xml").read_text())


def differences(text: str, defined: t.Any) -> list[tuple[str, t.Any, t.Any]]:
    node = given.complete(xmltree.parse(text, "domain"), defined, ALIASES)
    return [(change.path, change.old, change.new) for change in given.compare(node, defined)]


def test_what_libvirt_added_is_no_difference(written: str, defined: t.Any) -> None:
    """Addresses, controllers, MACs, defaults, its forms of numbers and units."""
    assert differences(written, defined) == []


def test_what_libvirt_tells_of_a_running_machine_does_not_matter(data: pathlib.Path) -> None:
    """Its number, aliases and terminals are not kept, so a copy of a running machine's XML converges too."""
    running = (data / "running.xml").read_text()
    node = given.complete(xmltree.parse(running, "domain"), xmltree.parse_trusted(running), ALIASES)
    text = xmltree.serialise(node)
    assert node.get("id") is None
    assert not any(word in text for word in ("<alias", "tty=", "/dev/pts", "vnet"))
    assert differences(running, node) == []


def test_what_libvirt_wrote_is_no_difference_to_itself(defined: t.Any) -> None:
    """Whoever edits the output of virsh gives it back whole."""
    assert differences(xmltree.serialise(defined), defined) == []


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("<memory unit=\"MiB\">256", "<memory unit=\"GiB\">1", ("memory", "262144 KiB", "1048576 KiB")),
        ("<vcpu current=\"2\">2", "<vcpu>4", ("vcpu", "2", "4")),
        ("<vcpu current=\"2\">2", "<vcpu current=\"1\">2", ("vcpu/@current", None, "1")),
        ("<title>The first</title>", "<title>Other</title>", ("title", "The first", "Other")),
        ("<title>The first</title>", "", ("title", "<title>The first</title>\n", None)),
        ("machine=\"q35\"", "machine=\"pc-q35-8.0\"", ("os/type/@machine", "pc-q35-7.2", "pc-q35-8.0")),
        ("<boot dev=\"network\"/>", "", ("os/boot[0]", "<boot dev=\"network\"/>\n", None)),
        ("cache=\"none\"", "cache=\"unsafe\"", ("devices/disk[vda]/driver/@cache", "none", "unsafe")),
        ("bus=\"10\"", "bus=\"0x0b\"", ("devices/disk[vdb]/address/@bus", "0x0a", "0x0b")),
        ("model=\"qemu-xhci\"", "model=\"nec-xhci\"", ("devices/controller[usb]/@model", "qemu-xhci", "nec-xhci")),
        ("bridge=\"br0\"", "bridge=\"br1\"",
         ("devices/interface[52:54:00:ab:cd:ef]/source/@bridge", "br0", "br1")),
        ("present=\"no\"", "present=\"yes\"", ("clock/timer[hpet]/@present", "no", "yes")),
    ],
)  # fmt: skip
def test_a_difference_is_told_by_its_place(
    written: str, defined: t.Any, old: str, new: str, change: tuple[str, t.Any, t.Any]
) -> None:
    """One thing changed is one change, with old and new value."""
    assert old in written
    found = differences(written.replace(old, new), defined)
    assert [path for path, _old, _new in found] == [change[0]]
    assert found == [change]


@pytest.mark.parametrize("device", ["disk", "interface", "channel", "graphics", "rng"])
def test_a_device_that_is_not_given_has_to_go(written: str, defined: t.Any, device: str) -> None:
    """And one that is given and not there has to come."""
    node = xmltree.parse(written, "domain")
    devices = node.findall(f"devices/{device}")
    devices[-1].getparent().remove(devices[-1])
    paths = [path for path, _old, new in differences(xmltree.serialise(node), defined) if new is None]
    assert len(paths) == 1
    assert paths[0].startswith(f"devices/{device}[")
    for there in defined.findall(f"devices/{device}"):
        there.getparent().remove(there)
    found = differences(written, defined)
    assert {path.partition("[")[0] for path, old, _new in found if old is None} == {f"devices/{device}"}


def test_a_device_that_comes_is_not_taken_for_another(written: str, defined: t.Any) -> None:
    """An interface without a MAC, before those that are there."""
    interface = "<interface type='bridge'><source bridge='new'/></interface>"
    found = differences(written.replace("<devices>", f"<devices>{interface}"), defined)
    assert [(path, old) for path, old, _new in found] == [("devices/interface[0]", None)]


def test_passwords_are_never_told(written: str, defined: t.Any) -> None:
    """Neither the old one nor the new one, wherever they differ."""
    for text in (written.replace("letmein1", "letmein2"), written.replace('passwd="letmein1"', ""),
                 written.replace("vnc", "spice")):  # fmt: skip
        assert "letmein" not in str(differences(text, defined))
    assert differences(written.replace("letmein1", "letmein2"), defined) == [
        ("devices/graphics[vnc]/@passwd", given.HIDDEN, given.HIDDEN)
    ]


def test_the_identity_of_what_is_there_is_kept(written: str, defined: t.Any) -> None:
    """UUID, version of the machine type, and MACs: by what an interface is connected to, not by its place."""
    node = xmltree.parse(written, "domain")
    node.find("devices").insert(0, xmltree.parse("<interface type='network'><source network='a'/></interface>",
                                                 "interface"))  # fmt: skip
    node = given.complete(node, defined, ALIASES)
    assert xmltree.read(node, "uuid") == xmltree.read(defined, "uuid")
    assert xmltree.read(node, "os/type/@machine") == "pc-q35-7.2"
    assert [xmltree.read(i, "mac/@address") for i in node.findall("devices/interface")] == [
        None,
        "52:54:00:45:78:5e",
        "52:54:00:ab:cd:ef",
    ]


def test_our_metadata_is_kept_and_given(written: str, defined: t.Any) -> None:
    """A new machine gets our element; one that has it keeps it; a foreign one stays foreign."""
    place = "metadata/archipel:machine/archipel:location"
    node = xmltree.parse(written, "domain")
    assert xmltree.read(given.complete(node, None, ALIASES), "metadata/archipel:machine?") is not None
    assert xmltree.read(given.complete(node, defined, ALIASES), "metadata/archipel:machine?") is None
    xmltree.write(defined, place, "Lab")
    assert xmltree.read(given.complete(node, defined, ALIASES), place) == "Lab"


@pytest.mark.parametrize(
    ("memory", "kib"),
    [("<memory unit='b'>1000000</memory>", 977), ("<memory unit='MB'>1</memory>", 977), ("<memory>977</memory>", 977)],
)
def test_sizes_are_compared_as_libvirt_rounds_them(memory: str, kib: int) -> None:
    """Up to whole KiB, in any of its units."""
    there = xmltree.parse_trusted(f"<domain><memory unit='KiB'>{kib}</memory><devices/></domain>")
    assert differences(f"<domain>{memory}</domain>", there) == []
    assert differences("<domain><memory>978</memory></domain>", there) == [("memory", "977 KiB", "978 KiB")]
