# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Devices of the host that are given to a machine: keys are virt-install's."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from . import xmltree
from .elements import Attribute
from .errors import InvalidDefinition
from .groups import Devices, Values

_PCI: t.Final = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)
_USB: t.Final = re.compile(r"(\d{1,3})-(\d{1,3})")
_ID: t.Final = re.compile(r"0x[0-9a-f]{4}", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Address(Attribute):
    """``0000:00:1b.0`` of a PCI device, ``bus-device`` of a USB device, both as the host's tools write them."""

    def read(self, node: t.Any) -> str | None:
        address = node.find("source/address")
        if address is None or address.get("uuid"):
            return None
        number = {key: int(value, 0) for key, value in address.attrib.items() if value[:1].isdigit()}
        if "slot" in number:
            return "{:04x}:{bus:02x}:{slot:02x}.{function:x}".format(number.get("domain", 0), **number)
        return f"{number['bus']}-{number['device']}" if "device" in number else None

    def write(self, node: t.Any, value: t.Any) -> None:
        xmltree.write(node, "source/address", None)
        if found := _PCI.fullmatch(value):
            parts = dict(zip(("domain", "bus", "slot", "function"), (f"0x{part}" for part in found.groups())))
        elif found := _USB.fullmatch(value):
            parts = dict(zip(("bus", "device"), found.groups()))
        else:
            return
        for key, text in parts.items():
            xmltree.write(node, f"source/address/@{key}", text)


def _check(device: Values, where: str) -> None:
    address = device.get("address", "")
    kind = "pci" if _PCI.fullmatch(address) else "usb" if _USB.fullmatch(address) or "vendor" in device else None
    kind = "mdev" if "uuid" in device else kind
    if kind is None:
        raise InvalidDefinition(
            f"{where}: name the device: the address of a PCI device like 0000:00:1b.0 or of a USB device like 1-4,"
            " vendor and product of a USB device, or the uuid of a mediated device."
        )
    if device.setdefault("type", kind) != kind:
        raise InvalidDefinition(f"{where}: this names a device of type {kind}, not {device['type']}.")
    for key in ("vendor", "product"):
        if kind == "usb" and ("vendor" in device or "product" in device) and not _ID.fullmatch(device.get(key, "")):
            raise InvalidDefinition(f"{where}.{key}: a number like 0x1d6b is needed.")
    if "rom_file" in device and device["rom_file"][:1] not in ("", "/"):
        raise InvalidDefinition(f"{where}.rom_file: {device['rom_file']!r} must be absolute.")


def _new(wanted: t.Mapping[str, t.Any], _domain: t.Any) -> Values:
    if wanted["type"] == "mdev":
        return {"model": "vfio-pci", **wanted}
    return {"managed": True, **wanted} if wanted["type"] == "pci" else dict(wanted)


HOST_DEVICES: t.Final = Devices(
    "host_devices",
    (
        Attribute("type", "@type", "Kind of device; follows from what names it.", choices=("pci", "usb", "mdev"),
                  beside=(("@mode", "subsystem"),)),
        Address("address", "source/address", "Address of a PCI device, as lspci -D has it, or bus and device of a USB"
                " device.", folded=True, examples=("0000:00:1b.0", "0000:01:00.1")),
        Attribute("vendor", "source/vendor/@id", "Vendor of a USB device.", folded=True,
                  examples=("0x1d6b", "0x8086"), beside=(("source/product/@id", "0x0000"),)),
        Attribute("product", "source/product/@id", "Product of a USB device.", folded=True,
                  examples=("0x0002", "0x0003"), beside=(("source/vendor/@id", "0x0000"),)),
        Attribute("uuid", "source/address/@uuid", "UUID of a mediated device.", folded=True,
                  examples=("4b20d080-1b54-4048-85b3-a6a62d165c01", "c2177883-f1bb-47f0-914d-32a22e3a8804")),
        Attribute("model", "@model", "API of a mediated device.", choices=("vfio-pci", "vfio-ccw", "vfio-ap")),
        Attribute("managed", "@managed", "Whether libvirt takes it from its driver and gives it back, of PCI devices.",
                  bool),
        Attribute("startup_policy", "source/@startupPolicy", "What happens when a USB device is missing at the start.",
                  choices=("mandatory", "requisite", "optional")),
        Attribute("rom_bar", "rom/@bar", "Whether the guest sees its ROM.", bool, words=("on", "off")),
        Attribute("rom_file", "rom/@file", "File in place of its ROM."),
        Attribute("boot_order", "boot/@order", "Place in the order of boot devices.", int, minimum=1),
    ),
    path="devices/hostdev",
    help="Devices of the hypervisor that are given to the machine. Those that are not named are left alone.",
    identity=("type", "address", "vendor", "product", "uuid"),
    check=_check,
    new=_new,
)  # fmt: skip
