# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host can, and what a new machine gets of it."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from archipel import definition, xmltree
from archipel.capabilities import Capabilities
from archipel.definition import Definition
from archipel.errors import Unsupported
from archipel.hypervisor import Hypervisor


@pytest.fixture
def offers(data: pathlib.Path) -> Capabilities:
    return Capabilities(xmltree.parse_trusted((data / "domcapabilities.xml").read_text()))


def new(offers: Capabilities | None, kind: str = "qemu", **wanted: t.Any) -> dict[str, t.Any]:
    values = Definition.bind(wanted, "").values
    node = definition.new("one", None, {"type": kind, "arch": "x86_64", "machine": "q35"}, values, offers)
    definition.apply(node, values)
    return definition.read(node)


@pytest.mark.parametrize(
    ("path", "some", "none"),
    [
        ("devices/video/modelType", "virtio", "gop"),
        ("devices/tpm/backendVersion", "2.0", "3.0"),
        ("os/firmware", "efi", "bios"),
        ("os/loader/secure", "yes", "perhaps"),
        ("cpu/mode", "maximum", "host-passthrough"),
        ("cpu/model", "486", "Cray-1"),
    ],
)
def test_what_a_host_can_is_listed(offers: Capabilities, path: str, some: str, none: str) -> None:
    values = offers.values(path)
    assert values is not None
    assert some in values
    assert none not in values


def test_what_a_host_does_not_tell_is_not_known(offers: Capabilities) -> None:
    """Which is not the same as nothing."""
    assert offers.values("devices/sound/model") is None
    assert offers.values("devices/video/colours") is None
    offers.node.find("devices/tpm").set("supported", "no")
    assert offers.values("devices/tpm/model") == ()


def test_the_refusal_of_a_cpu_names_those_that_there_are(offers: Capabilities) -> None:
    with pytest.raises(
        Unsupported, match=r"cpu\.mode: host-passthrough is not possible .* custom, host-model, maximum"
    ):
        definition.refuse_missing({"cpu": {"mode": "host-passthrough"}}, offers)
    definition.refuse_missing({"cpu": {"mode": "custom", "model": "486"}, "boot": {"firmware": "bios"}}, offers)


def test_a_new_machine_has_what_the_host_offers_of_the_usual(offers: Capabilities) -> None:
    """Random numbers where they can be had; the newest CPU that moves, where there is KVM."""
    told = new(offers)
    assert (told["rng"]["model"], told["guest_agent"], told["cpu"]) == ("virtio", True, None)
    assert (new(None)["rng"], new(None)["guest_agent"]) == (None, True)
    assert new(offers, "kvm")["cpu"]["mode"] == "host-model"
    plain = new(offers, "test")
    assert (plain["rng"], plain["guest_agent"], plain["console_devices"]) == (None, False, [])


def test_a_screen_comes_with_what_it_takes_to_use_it(offers: Capabilities) -> None:
    """A video device and a pointer that is where the person's is; and nobody else can see it."""
    told = new(offers, graphics={"type": "vnc"})
    assert (told["graphics"]["listen"], told["video"]["model"]) == ("127.0.0.1", "virtio")
    assert [(each["type"], each["bus"]) for each in told["input_devices"]] == [("tablet", "usb")]
    bare = new(offers, graphics={"type": "none"})
    assert (bare["graphics"], bare["video"], bare["input_devices"]) == (None, None, [])


def test_what_people_say_otherwise_is_so(offers: Capabilities) -> None:
    told = new(offers, guest_agent=False, rng={"model": "none"}, console_devices=[{"target_type": "virtio"}])
    assert (told["guest_agent"], told["rng"]) == (False, None)
    assert [console["target_type"] for console in told["console_devices"]] == ["virtio"]


def test_windows_gets_devices_that_it_has_drivers_for(offers: Capabilities) -> None:
    """And a clock that shows what it expects."""
    identifier = "http://microsoft.com/win/11"
    told = new(offers, osinfo={"id": identifier}, disks=[{"path": "/a"}], networks=[{"network": "n"}], graphics={})
    assert (told["disks"][0]["bus"], told["networks"][0]["model"], told["video"]["model"]) == ("sata", "e1000e", "vga")
    assert told["clock"]["offset"] == "localtime"


def test_a_driver_without_domain_capabilities_refuses_nothing_by_itself(hypervisor: Hypervisor) -> None:
    """libvirt does, when it is to define the machine."""
    assert hypervisor.domain_capabilities("test", "i686", None) is None


def test_an_unknown_machine_type_is_refused_with_those_that_there_are(hypervisor: Hypervisor) -> None:
    """Of each kind the newest; a driver that lists none refuses none."""
    node = xmltree.parse('<domain><os><type arch="x86_64">hvm</type></os></domain>', "domain")
    machines = '<machine canonical="pc-q35-7.2">q35</machine><machine>pc-q35-7.2</machine><machine>pc-q35-6.0</machine>'
    guest = f'<guest><arch name="x86_64">{machines}</arch></guest>'
    hypervisor.refuse_machine("anything", node)
    hypervisor.capabilities.append(xmltree.parse(guest, "guest"))
    hypervisor.refuse_machine("pc-q35-6.0", node)
    with pytest.raises(
        Unsupported, match=r"'pc-q35-9.0' is not possible on hv1 for x86_64; it can: q35\. Did you mean pc-q35"
    ):
        hypervisor.refuse_machine("pc-q35-9.0", node)
