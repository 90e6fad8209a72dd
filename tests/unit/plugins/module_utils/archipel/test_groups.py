# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups, devices and lists of devices: which one is meant, what becomes of it, what goes with it."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from archipel import definition, xmltree
from archipel.definition import Definition
from archipel.errors import InvalidRequest


@pytest.fixture
def defined(data: pathlib.Path) -> t.Any:
    """A machine of QEMU as libvirt has completed it."""
    return xmltree.parse_trusted((data / "defined.xml").read_text())


def apply(node: t.Any, **wanted: t.Any) -> list[tuple[str, t.Any, t.Any]]:
    values = Definition.bind(wanted, "").values
    changes = [(c.path, c.old, c.new) for c in definition.apply(node, values)]
    assert definition.apply(node, values) == []
    return changes


def test_a_device_of_the_same_type_is_changed_in_place(defined: t.Any) -> None:
    """What is not named stays, its password too."""
    (change,) = apply(defined, graphics={"type": "vnc", "listen": "192.0.2.1"})
    assert change[0] == "graphics.listen"
    assert defined.find("devices/graphics").get("passwd") == "letmein1"


def test_a_device_of_another_type_takes_its_place(defined: t.Any) -> None:
    """Nothing of the old one is left, and nobody else can see the new one."""
    removed, added = apply(defined, graphics={"type": "spice"})
    assert (removed[0], removed[2]) == ("graphics", None)
    assert added == ("graphics", None, {"type": "spice"})
    (graphics,) = defined.findall("devices/graphics")
    assert (graphics.get("passwd"), xmltree.read(graphics, "listen/@address")) == (None, "127.0.0.1")


def test_of_several_the_one_of_that_type_is_meant(defined: t.Any) -> None:
    """The other is left alone."""
    defined.find("devices").append(xmltree.element("graphics", type="spice", port="5900"))
    assert apply(defined, graphics={"type": "spice", "port": 5901}) == [
        ("graphics.port", 5900, 5901),
        ("graphics.autoport", None, False),
    ]
    assert len(defined.findall("devices/graphics")) == 2


@pytest.mark.parametrize(
    ("wanted", "path"),
    [({"graphics": {"type": "none"}}, "graphics"), ({"rng": {"model": "none"}}, "rng")],
)
def test_none_takes_a_device_away(defined: t.Any, wanted: dict[str, t.Any], path: str) -> None:
    """And where there is none, nothing is to be done."""
    assert [(change[0], change[2]) for change in apply(defined, **wanted)] == [(path, None)]
    assert defined.find(f"devices/{path}") is None


def test_an_empty_mapping_asks_for_a_device_as_it_usually_is(defined: t.Any) -> None:
    """One that is there is left as it is."""
    assert apply(defined, tpm={}) == [("tpm", None, {})]
    assert definition.read(defined)["tpm"]["version"] == "2.0"
    assert apply(defined, video={}) == []


def test_the_first_console_is_the_first_serial_port(defined: t.Any) -> None:
    """libvirt would make it of the port again; another kind of console is another device."""
    assert apply(defined, console_devices=[{"target_type": "serial", "log": "/one"}]) == [
        ("console_devices[0].log", None, "/one")
    ]
    assert xmltree.read(defined, "devices/serial/log/@file") == "/one"
    assert [c[0] for c in apply(defined, console_devices=[{"target_type": "virtio"}])] == ["console_devices[0]"]
    assert len(defined.findall("devices/console")) == 2


def test_a_port_that_is_connected_in_another_way_is_connected_elsewhere(defined: t.Any) -> None:
    """Nothing of the old connection is left."""
    apply(defined, serial_devices=[{"type": "tcp", "host": "127.0.0.1", "port": 4555, "protocol": "telnet"}])
    apply(defined, serial_devices=[{"type": "file", "path": "/one"}])
    serial = defined.find("devices/serial")
    assert (serial.find("protocol"), dict(serial.find("source").attrib)) == (None, {"path": "/one"})


def test_the_guest_agents_channel_comes_and_goes(defined: t.Any) -> None:
    assert apply(defined, guest_agent=True) == []
    assert apply(defined, guest_agent=False) == [("guest_agent", True, False)]
    assert defined.find("devices/channel") is None
    assert apply(defined, guest_agent=True) == [("guest_agent", False, True)]


@pytest.mark.parametrize(
    ("key", "attribute", "there", "wanted"),
    [
        ("cputune", "emulator_cpuset", "0-1,3", "0-3,^2"),
        ("cputune", "emulator_cpuset", "1", "1,^3"),
        ("cputune", "vcpupin", {"0": "0-3"}, {"0": "0,1,2,3"}),
        ("video", "vram", 16384, 16383),
        ("numatune", "placement", None, "static"),
    ],
)
def test_what_libvirt_writes_in_its_own_form_is_no_difference(
    key: str, attribute: str, there: t.Any, wanted: t.Any
) -> None:
    """Lists of CPUs, sizes that it rounds, and what it leaves out."""
    declared = next(a for a in definition.PARTS[key].attributes if a.key == attribute)
    assert declared.same(there, wanted)
    assert not declared.same({"0": "7"} if isinstance(there, dict) else 77 if attribute == "vram" else "7", wanted)


def test_another_firmware_has_other_files(defined: t.Any) -> None:
    """Those of the old one are forgotten, its variables too."""
    apply(defined, boot={"loader": "/a.fd", "loader_type": "pflash", "nvram": "/vars.fd"})
    assert definition.read(defined)["boot"]["firmware"] == "efi"
    assert [c[0] for c in apply(defined, boot={"secure_boot": True})][:1] == ["boot.secure_boot"]
    told = definition.read(defined)["boot"]
    assert (told["firmware"], told["loader"], told["nvram"], told["enrolled_keys"]) == ("efi", None, None, True)
    apply(defined, boot={"firmware": "bios"})
    assert definition.read(defined)["boot"]["secure_boot"] is None


def test_features_and_parameters_that_are_not_named_stay(defined: t.Any) -> None:
    """An empty value takes one away."""
    apply(defined, cpu={"features": {"vmx": "require", "aes": "disable"}})
    assert apply(defined, cpu={"features": {"vmx": ""}}) == [("cpu.features", {"vmx": "require"}, {"vmx": ""})]
    assert definition.read(defined)["cpu"]["features"] == {"aes": "disable"}


def test_shared_directories_get_memory_that_is_shared(defined: t.Any) -> None:
    """virtiofs needs it, and it is told as a change."""
    paths = [c[0] for c in apply(defined, filesystems=[{"source": "/s", "target": "t", "driver": "virtiofs"}])]
    assert paths == ["memorybacking.source", "memorybacking.access", "filesystems[0]"]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"boot": {"secure_boot": True, "firmware": "bios"}}, "secure_boot is EFI's"),
        ({"clock": {"offset": "timezone"}}, "needs a timezone, for example Europe/Berlin"),
        ({"clock": {"offset": "utc", "timezone": "Europe/Berlin"}}, "goes with offset timezone, not with utc"),
        ({"cpu": {"features": {"vmx": "perhaps"}}}, "cpu.features.vmx: 'perhaps' is not possible"),
        ({"cpu": {"features": {"vmx": True}}}, "cpu.features.vmx: a text or a number is needed"),
        ({"graphics": {"port": 5901, "autoport": True}}, "autoport chooses the port itself"),
        ({"host_devices": [{}]}, "name the device: the address of a PCI device like 0000:00:1b.0"),
        ({"host_devices": [{"type": "usb", "address": "0000:00:1b.0"}]}, "a device of type pci, not usb"),
        ({"host_devices": [{"vendor": "1d6b", "product": "0x0002"}]}, "vendor: a number like 0x1d6b is needed"),
        ({"filesystems": [{"source": "/s"}]}, "name the target"),
        ({"filesystems": [{"target": "t"}]}, "There is no filesystem t; to add one, name its source"),
        ({"serial_devices": [{"type": "file"}]}, "type file needs a path"),
        ({"serial_devices": [{"type": "pty", "path": "/a"}]}, "path goes with type file or dev or pipe or unix"),
        ({"channel_devices": [{"name": "n", "port": 1}]}, "port: name the type of the new device, tcp or udp"),
        ({"networks": [{"network": "a", "inbound_peak": 9}]}, "need inbound_average"),
        ({"networks": [{"type": "direct"}]}, "type direct needs the name of the device in source"),
        ({"networks": [{"source": "eth0", "bridge": "br0"}]}, "bridge and source name two places"),
        ({"osinfo": {"id": "debian12"}}, "is none of libosinfo's"),
        ({"vsock": {"cid": 7, "auto_cid": True}}, "auto_cid chooses the cid itself"),
    ],
)
def test_what_contradicts_itself_is_refused(defined: t.Any, wanted: dict[str, t.Any], reason: str) -> None:
    """With what would go."""
    with pytest.raises(InvalidRequest, match=reason):
        apply(defined, **wanted)
