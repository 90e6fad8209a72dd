# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Serial ports, consoles and channels: keys are virt-install's."""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from . import xmltree
from .elements import ON_OFF, Attribute
from .errors import InvalidDefinition
from .groups import Devices, Values, Wanted

AGENT: t.Final = "org.qemu.guest_agent.0"
_FILES: t.Final = ("file", "dev", "pipe")
_SOCKETS: t.Final = ("tcp", "udp")
_GOES_WITH: t.Final = {"path": (*_FILES, "unix"), "host": _SOCKETS, "port": _SOCKETS, "mode": (*_SOCKETS, "unix"),
                       "protocol": ("tcp",)}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class GuestAgent(Attribute):
    """Whether the channel of QEMU's guest agent is there."""

    type: t.Any = bool

    def read(self, node: t.Any) -> bool:
        return self._channel(node) is not None

    def write(self, node: t.Any, value: t.Any) -> None:
        channel = self._channel(node)
        if value and channel is None:
            made = xmltree.element("channel", type="unix")
            xmltree.write(made, "target/@type", "virtio")
            xmltree.write(made, "target/@name", AGENT)
            xmltree.write(node, "devices?", "").append(made)
        elif not value and channel is not None:
            channel.getparent().remove(channel)

    @staticmethod
    def _channel(node: t.Any) -> t.Any:
        channels = node.iterfind("devices/channel")
        return next((each for each in channels if xmltree.read(each, "target/@name") == AGENT), None)


def _check(device: Values, where: str) -> None:
    kind = device.get("type")
    if kind in _FILES and not device.get("path"):
        raise InvalidDefinition(f"{where}: type {kind} needs a path.")
    if kind == "tcp" and not ("port" in device and "host" in device):
        raise InvalidDefinition(f"{where}: type tcp needs a host and a port.")
    for key, kinds in _GOES_WITH.items():
        if key in device and kind is not None and kind not in kinds:
            raise InvalidDefinition(f"{where}: {key} goes with type {' or '.join(kinds)}, not with {kind}.")
    for key in ("path", "log"):
        # ESX names a file by its [datastore].
        if device.get(key, "/")[:1] not in ("", "/", "["):
            raise InvalidDefinition(f"{where}.{key}: {device[key]!r} must be absolute.")


def _forget(device: t.Any, changed: t.Collection[str]) -> None:
    """What is connected in another way is connected elsewhere."""
    if "type" in changed:
        for tag in ("source", "protocol"):
            xmltree.write(device, tag, None)
        xmltree.write(device, "@tty", None)
    if "target_type" in changed:
        for tag in ("target", "address"):
            xmltree.write(device, tag, None)


def _attributes(*types: str) -> tuple[Attribute, ...]:
    """What each of them has; a new one is of the first type."""
    return (
        Attribute("type", "@type", "How it is connected on the hypervisor.", choices=types),
        Attribute("path", "source/@path", "File, device or socket on the hypervisor."),
        Attribute("host", "source/@host", "Address on which to listen, or to which to connect.",
                  examples=("127.0.0.1", "192.0.2.1")),
        Attribute("port", "source/@service", "Port of that address.", int),
        Attribute("mode", "source/@mode", "Whether to listen or to connect.", choices=("bind", "connect")),
        Attribute("protocol", "protocol/@type", "What is spoken over TCP.", choices=("raw", "telnet")),
        Attribute("log", "log/@file", "File on the hypervisor that gets a copy of what is said.", whole=True),
        Attribute("log_append", "log/@append", "Whether that file is kept when the machine starts.", bool,
                  words=ON_OFF),
    )  # fmt: skip


def _new(kind: str, **target: str) -> t.Callable[[t.Mapping[str, t.Any], t.Any], Values]:
    def new(wanted: t.Mapping[str, t.Any], _domain: t.Any) -> Values:
        for key, kinds in _GOES_WITH.items():
            if key in wanted and wanted.get("type", kind) not in kinds:
                raise InvalidDefinition(f"{key}: name the type of the new device, {' or '.join(kinds)}.")
        values: Values = {"type": kind, **target, **wanted}
        if values["type"] == "tcp":
            values = {"mode": "bind", "protocol": "raw", **values}
        elif values["type"] == "unix" and values.get("path"):
            values = {"mode": "bind", **values}
        return values

    return new


SERIALS: t.Final = Devices(
    "serial_devices",
    (
        *_attributes("pty", "file", "tcp", "unix", "dev", "pipe", "null", "stdio", "vc", "udp",
                     "spiceport", "dbus", "nmdm"),
        Attribute("target_type", "target/@type", "Kind of port; libvirt chooses by default.",
                  choices=("isa-serial", "usb-serial", "pci-serial", "spapr-vio-serial", "system-serial",
                           "sclp-serial", "isa-debug")),
    ),
    path="devices/serial",
    help="Serial ports, in their order. The first is the machine's console.",
    check=_check,
    forget=_forget,
    new=_new("pty"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Consoles(Devices):
    """The first one is the first serial port, by another name; libvirt takes what it is from there."""

    def alter(self, node: t.Any, wanted: Wanted, changed: t.Collection[str]) -> None:
        super().alter(node, wanted, changed)
        port = node.getparent().find("serial")
        if port is not None and xmltree.read(node, "target/@type") in (None, "serial"):
            port.set("type", node.get("type"))
            for tag in ("source", "protocol", "log"):
                xmltree.write(port, tag, None)
                port.extend(copy.deepcopy(child) for child in node.findall(tag))


CONSOLES: t.Final = Consoles(
    "console_devices",
    (
        *_attributes("pty", "file", "tcp", "unix", "dev", "pipe", "null", "stdio", "vc", "udp",
                     "spiceport", "dbus", "nmdm"),
        Attribute("target_type", "target/@type", "Kind of console.",
                  choices=("serial", "virtio", "xen", "lxc", "sclp", "sclplm")),
    ),
    path="devices/console",
    help="Consoles, those of a kind in their order. The first is the first serial port, where there is one.",
    identity=("target_type",),
    check=_check,
    forget=_forget,
    new=_new("pty"),
)  # fmt: skip

CHANNELS: t.Final = Devices(
    "channel_devices",
    (
        *_attributes("unix", "spicevmc", "pty", "file", "tcp", "udp", "pipe", "qemu-vdagent", "spiceport", "dbus"),
        Attribute("target_type", "target/@type", "Kind of channel.", choices=("virtio", "xen", "guestfwd")),
        Attribute("name", "target/@name", "Name that the guest sees.",
                  examples=("org.example.one.0", "org.example.two.0")),
    ),
    path="devices/channel",
    help="Channels between the host and the guest. The guest agent's is O(guest_agent).",
    identity=("name",),
    check=_check,
    forget=_forget,
    new=_new("unix", target_type="virtio"),
)  # fmt: skip
