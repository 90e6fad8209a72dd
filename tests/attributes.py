# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A definition for each attribute that is declared, made from the declarations, for tests of all of them."""

from __future__ import annotations

import typing as t

from archipel.definition import DOMAIN, PARTS
from archipel.elements import Attribute
from archipel.groups import Devices, Part

_SPICE: t.Final = {"type": "spice"}
_SCSI: t.Final = {"bus": "scsi"}
_LUN: t.Final = {"device": "lun", "path": "/dev/sda", "bus": "scsi"}
_BRIDGE: t.Final = {"bridge": "br0", "type": "bridge"}
_PORT: t.Final = "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"
_TCP: t.Final = {"type": "tcp", "host": "127.0.0.1", "port": 4555}
_FLASH: t.Final = {"loader": "/a.fd", "loader_type": "pflash", "loader_readonly": True}
_MDEV: t.Final = {"address": None, "uuid": "4b20d080-1b54-4048-85b3-a6a62d165c01"}
# What has to be said beside any attribute of a part, and beside some.
_BESIDE: t.Final[dict[str, dict[str, t.Any]]] = {
    "disks": {"path": "/a.img"},
    "networks": {"type": "user"},
    "filesystems": {"target": "t", "source": "/s"},
    "host_devices": {"address": "0000:00:1b.0"},
    "numatune": {"nodeset": "0"},
    "boot.loader_type": {"loader": "/a.fd"},
    "boot.loader_readonly": {"loader": "/a.fd"},
    "boot.loader_secure": _FLASH,
    "boot.nvram": _FLASH,
    "boot.nvram_template": _FLASH,
    "clock.offset": {"timezone": "Europe/Berlin"},
    "cpu.migratable": {"mode": "maximum"},
    "cpu.features": {"mode": "host-model"},
    "disks.device": {"bus": "sata"},
    "disks.io": {"cache": "none"},
    "disks.rawio": _LUN,
    "disks.sgio": _LUN,
    "disks.removable": {"bus": "usb"},
    "disks.shareable": {"format": "raw"},
    "disks.startup_policy": {"device": "cdrom"},
    **dict.fromkeys(("disks.wwn", "disks.vendor", "disks.product", "disks.rotation_rate"), _SCSI),
    **{f"graphics.{key}": _SPICE for key in ("tls_port", "default_mode", "image_compression", "clipboard",
                                             "filetransfer", "gl")},
    "graphics.password_valid_to": {"password": "one"},
    "video.ram": {"model": "qxl"},
    "video.vgamem": {"model": "qxl"},
    **{f"filesystems.{key}": {"driver": "virtiofs"} for key in ("queue", "binary", "xattr")},
    **{f"{kind}_devices.{key}": _TCP for kind in ("serial", "console", "channel")
       for key in ("host", "port", "mode", "protocol")},
    **{f"{kind}_devices.{key}": {"type": "file"} for kind in ("serial", "console", "channel") for key in ("path",)},
    **{f"{kind}_devices.log_append": {"log": "/one"} for kind in ("serial", "console", "channel")},
    **{f"networks.{d}_{k}": {f"{d}_average": 9} for d in ("inbound", "outbound") for k in ("peak", "burst")},
    **{f"networks.{key}": _BRIDGE for key in ("mtu", "isolated", "filterref")},
    "networks.filter_parameters": {**_BRIDGE, "filterref": "clean-traffic"},
    "networks.network": {"type": "network"},
    "networks.bridge": {"type": "bridge"},
    "networks.source": {"type": "direct"},
    "networks.source_mode": {"source": "eth0", "type": "direct"},
    "networks.portgroup": {"network": "default", "type": "network"},
    "networks.virtualport": {**_BRIDGE, "interfaceid": _PORT},
    "networks.interfaceid": {**_BRIDGE, "virtualport": "openvswitch"},
    "host_devices.vendor": {"address": None, "product": "0x0001"},
    "host_devices.product": {"address": None, "vendor": "0x0001"},
    "host_devices.uuid": {"address": None},
    "host_devices.startup_policy": {"address": "1-4"},
    "host_devices.model": _MDEV,
    "input_devices.evdev": {"type": "passthrough", "bus": "virtio"},
    "rng.rate_period": {"rate_bytes": 1024},
    "tpm.path": {"type": "passthrough"},
    "tpm.version": {"model": "tpm-tis"},
}  # fmt: skip
# What else the machine has to have.
_WITH: t.Final[dict[str, dict[str, t.Any]]] = {
    "boot.loader_secure": {"features": {"smm": True}},
    "channel_devices.type": {"graphics": _SPICE},
    "cputune.vcpupin": {"vcpus": 2},
    "cputune.iothreadpin": {"iothreads": 2},
    "disks.iothread": {"iothreads": 9},
}
# What a value has to have beside it.
_VALUES: t.Final[dict[tuple[str, t.Any], dict[str, t.Any]]] = {
    ("clock.offset", "utc"): {"timezone": None},
    ("clock.offset", "localtime"): {"timezone": None},
    ("numatune.placement", "auto"): {"nodeset": None},
    ("networks.type", "network"): {"network": "one"},
    ("networks.type", "bridge"): {"bridge": "one"},
    ("host_devices.type", "usb"): {"address": "1-4"},
    **{(f"{kind}_devices.type", "file"): {"path": "/one"} for kind in ("serial", "console")},
}


def declared() -> list[tuple[Part, Attribute]]:
    return [(part, attribute) for part in (DOMAIN, *PARTS.values()) for attribute in part.attributes]


def name(part: Part, attribute: Attribute) -> str:
    return f"{part.key or 'domain'}.{attribute.key}"


def samples(attribute: Attribute) -> tuple[t.Any, t.Any]:
    """Two different values that the attribute takes."""
    if attribute.examples:
        return attribute.examples[0], attribute.examples[1]
    if attribute.type is bool:
        return True, False
    if attribute.type is int:
        least = attribute.minimum or 0
        return least + 7, least + 8
    if attribute.type is list:
        return list(attribute.choices[:2]), [attribute.choices[0]]
    if attribute.choices:
        return attribute.choices[0], attribute.choices[1]
    return "/one", "/two"


def beside(part: Part, attribute: Attribute) -> dict[str, t.Any]:
    """What else the part has to say for the attribute to be possible."""
    return {key: value for key, value in _BESIDE.get(name(part, attribute), {}).items() if value is not None}


def task(part: Part, attribute: Attribute, value: t.Any) -> dict[str, t.Any]:
    """A definition that names the attribute, and beside it no more than it needs."""
    if not part.key:
        return {attribute.key: value}
    key = name(part, attribute)
    more = _VALUES.get((key, value), {}) if isinstance(value, str) else {}
    inner = {**_BESIDE.get(part.key, {}), **_BESIDE.get(key, {}), attribute.key: value, **more}
    inner = {key: value for key, value in inner.items() if value is not None}
    beside = {"max_vcpus": value} if key in {f"cpu.{k}" for k in ("sockets", "dies", "cores", "threads")} else {}
    return {**beside, **_WITH.get(key, {}), part.key: [inner] if isinstance(part, Devices) else inner}
