# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How a machine boots: firmware, devices, or a kernel of the host. Keys are virt-install's."""

from __future__ import annotations

import dataclasses
import typing as t

from . import xmltree
from .elements import Attribute, Offers
from .errors import InvalidDefinition
from .groups import Group, Values

_SECURE: t.Final = "firmware/feature[name=secure-boot]/@enabled"
_ENROLLED: t.Final = "firmware/feature[name=enrolled-keys]/@enabled"


@dataclasses.dataclass(frozen=True)
class Firmware(Attribute):
    """``efi`` by libvirt's choice of a file that fits, or by a file that is given; ``bios`` is what is there
    otherwise."""

    def read(self, node: t.Any) -> str | None:
        if xmltree.read(node, "type") not in (None, "hvm"):
            return None
        if xmltree.read(node, "loader/@type") == "pflash":
            return "efi"
        return xmltree.read(node, "@firmware") or "bios"

    def text(self, value: t.Any) -> str | None:
        return None if value == "bios" else super().text(value)

    def refuse(self, value: t.Any, where: str, offers: Offers) -> None:
        # An empty enumeration says that no file describes a firmware, which is how most hosts have their BIOS.
        if value != "bios":
            super().refuse(value, where, offers)


def _check(boot: Values, where: str) -> None:
    for key in ("secure_boot", "enrolled_keys"):
        if key in boot and boot.setdefault("firmware", "efi") != "efi":
            raise InvalidDefinition(f"{where}: {key} is EFI's; it does not go with firmware {boot['firmware']}.")
    if "secure_boot" in boot:
        # Without keys nothing is signed by anybody.
        boot.setdefault("enrolled_keys", boot["secure_boot"])
    for key in ("kernel", "initrd", "dtb", "loader", "nvram", "nvram_template"):
        if boot.get(key, "/")[:1] not in ("", "/"):
            raise InvalidDefinition(f"{where}.{key}: {boot[key]!r} must be absolute.")


def _forget(os: t.Any, changed: t.Collection[str]) -> None:
    """Another firmware is in other files, and has variables of its own."""
    if {"firmware", "secure_boot", "enrolled_keys"} & set(changed):
        for tag in ("loader", "nvram", "firmware"):
            xmltree.write(os, tag, None)


BOOT: t.Final = Group(
    "boot",
    (
        Firmware("firmware", "@firmware", "Firmware; the host chooses the files for it.", choices=("bios", "efi"),
                 offered="os/firmware"),
        Attribute("secure_boot", _SECURE, "Whether EFI starts only what is signed. By default the host chooses.", bool,
                  offered="os/loader/secure"),
        Attribute("enrolled_keys", _ENROLLED, "Whether the usual keys are there from the beginning. With"
                  " O(boot.secure_boot) they are, unless this says otherwise.", bool),
        Attribute("loader", "loader", "File of the firmware on the hypervisor, in place of the host's choice.",
                  examples=("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd")),
        Attribute("loader_type", "loader/@type", "How the file is put into the machine.", choices=("rom", "pflash")),
        Attribute("loader_readonly", "loader/@readonly", "Whether the machine may only read it.", bool),
        Attribute("loader_secure", "loader/@secure", "Whether it does secure boot.", bool),
        Attribute("nvram", "nvram", "File for the firmware's variables.",
                  examples=("/var/lib/libvirt/qemu/nvram/one_VARS.fd", "/var/lib/libvirt/qemu/nvram/two_VARS.fd")),
        Attribute("nvram_template", "nvram/@template", "File that the variables begin as.",
                  examples=("/usr/share/OVMF/OVMF_VARS.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")),
        Attribute("kernel", "kernel", "Kernel on the hypervisor to boot directly."),
        Attribute("initrd", "initrd", "Initial RAM disk for O(boot.kernel)."),
        Attribute("kernel_args", "cmdline", "Command line for O(boot.kernel)."),
        Attribute("dtb", "dtb", "Device tree on the hypervisor."),
        Attribute("devices", "boot/@dev", "Devices to boot from, in order: V(hd), V(cdrom), V(network), V(fd).",
                  list, choices=("hd", "cdrom", "network", "fd")),
        Attribute("menu", "bootmenu/@enable", "Whether the firmware offers a menu.", bool),
        Attribute("menu_timeout", "bootmenu/@timeout", "Milliseconds that the menu waits.", int,
                  beside=(("bootmenu/@enable", "yes"),)),
        Attribute("useserial", "bios/@useserial", "Whether the BIOS writes to the serial port.", bool),
        Attribute("reboot_timeout", "bios/@rebootTimeout", "Milliseconds after which the BIOS tries again when nothing"
                  " boots; -1 for never.", int),
    ),
    path="os",
    help="How the machine boots.",
    check=_check,
    forget=_forget,
)  # fmt: skip
