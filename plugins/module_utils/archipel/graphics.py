# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a person sees, hears and types: keys are virt-install's."""

from __future__ import annotations

import dataclasses
import typing as t

from . import osinfo, xmltree
from .elements import Attribute
from .errors import InvalidDefinition
from .groups import Device, Devices, Values

LOOPBACK: t.Final = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class Listen(Attribute):
    """An address, ``none``, or ``socket``; libvirt has it as an element, and addresses once more as an attribute."""

    def read(self, node: t.Any) -> str | None:
        kind = xmltree.read(node, "listen/@type")
        if kind in ("none", "socket"):
            return kind
        return xmltree.read(node, "listen/@address") or xmltree.read(node, "@listen")

    def write(self, node: t.Any, value: t.Any) -> None:
        for name in ("listen", "socket"):
            xmltree.write(node, f"@{name}", None)
        xmltree.write(node, "listen", None)
        if value:
            kind = value if value in ("none", "socket") else "address"
            xmltree.write(node, "listen/@type", kind)
            xmltree.write(node, "listen/@address", value if kind == "address" else None)


@dataclasses.dataclass(frozen=True)
class ValidTo(Attribute):
    """libvirt forgets it without saying so where there is no password."""

    def write(self, node: t.Any, value: t.Any) -> None:
        if value and not xmltree.read(node, "@passwd"):
            raise InvalidDefinition(f"graphics.{self.key}: there is no password that it could end; give one too.")
        super().write(node, value)


def _check(graphics: Values, where: str) -> None:
    ports = (graphics.get(key, -1) for key in ("port", "tls_port"))
    if max(ports) >= 0 and graphics.setdefault("autoport", False):
        raise InvalidDefinition(f"{where}: autoport chooses the port itself; leave port out.")


def _new(wanted: t.Mapping[str, t.Any], domain: t.Any) -> Values:
    del domain
    values = {"type": "vnc", **wanted}
    if values["type"] in ("vnc", "spice"):
        # Whoever reaches the port sees the screen.
        values = {"listen": LOOPBACK, "autoport": True, **values}
    return values


GRAPHICS: t.Final = Device(
    "graphics",
    (
        Attribute("type", "@type", "Kind of display; V(none) takes it away.", offered="devices/graphics/type",
                  choices=("vnc", "spice", "none", "sdl", "rdp", "desktop", "egl-headless", "dbus")),
        Listen("listen", "listen/@address", f"Address to listen on, by default V({LOOPBACK}); V(none) or V(socket) for"
               " no port at all.", examples=("127.0.0.1", "0.0.0.0")),
        Attribute("port", "@port", "Port to listen on; by default libvirt chooses one when the machine starts.", int),
        Attribute("autoport", "@autoport", "Whether libvirt chooses the port.", bool),
        Attribute("tls_port", "@tlsPort", "Port for TLS, of SPICE.", int),
        Attribute("websocket", "@websocket", "Port for browsers, of VNC; -1 lets libvirt choose.", int),
        Attribute("keymap", "@keymap", "Layout of the keyboard, of VNC.", examples=("de", "en-us")),
        Attribute("password", "@passwd", "Password that a viewer has to give, of VNC and SPICE; at most 8 characters of"
                  " VNC. C(vm_console_info) lets people in for a while, on a machine that was"
                  " started with one.", secret=True, examples=("one", "two")),
        ValidTo("password_valid_to", "@passwdValidTo", "Until when it is valid, in UTC. With a time that has passed"
                " nobody is let in but by C(vm_console_info).",
                examples=("1970-01-01T00:00:01", "2100-01-01T00:00:00")),
        Attribute("share_policy", "@sharePolicy", "Whether several may look at once, of VNC.",
                  choices=("allow-exclusive", "force-shared", "ignore")),
        Attribute("default_mode", "@defaultMode", "Which channels are encrypted, of SPICE.",
                  choices=("secure", "insecure", "any")),
        Attribute("image_compression", "image/@compression", "How pictures are compressed, of SPICE.",
                  choices=("auto_glz", "auto_lz", "quic", "glz", "lz", "off")),
        Attribute("clipboard", "clipboard/@copypaste", "Whether text can be copied, of SPICE.", bool),
        Attribute("filetransfer", "filetransfer/@enable", "Whether files can be copied, of SPICE.", bool),
        Attribute("gl", "gl/@enable", "Whether OpenGL is used, of SPICE.", bool),
    ),
    path="devices/graphics",
    help="Where the machine's screen can be seen. A new machine has none unless it is asked for.",
    check=_check,
    new=_new,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class VideoMemory(Attribute):
    """KiB, which libvirt rounds up to a power of two."""

    def same(self, old: t.Any, new: t.Any) -> bool:
        return old in (new, 1 << (new - 1).bit_length())


def _new_video(wanted: t.Mapping[str, t.Any], domain: t.Any) -> Values:
    return {"model": "virtio" if osinfo.virtio(domain) else "vga", **wanted}


VIDEO: t.Final = Device(
    "video",
    (
        Attribute("model", "model/@type", "Model of the video device; V(none) for none.",
                  offered="devices/video/modelType",
                  choices=("virtio", "vga", "qxl", "bochs", "cirrus", "vmvga", "xen", "vbox", "gop", "ramfb", "none")),
        VideoMemory("vram", "model/@vram", "Video memory in KiB.", int, minimum=1),
        VideoMemory("ram", "model/@ram", "Memory of the primary bar in KiB, of V(qxl).", int, minimum=1),
        VideoMemory("vgamem", "model/@vgamem", "VGA's part of the video memory in KiB, of V(qxl).", int, minimum=1024,
                    examples=(16384, 32768)),
        Attribute("heads", "model/@heads", "Number of screens.", int, minimum=1),
        Attribute("accel3d", "model/acceleration/@accel3d", "Whether it does 3D, of V(virtio).", bool),
        Attribute("width", "model/resolution/@x", "Width that it begins with.", int, minimum=1,
                  beside=(("model/resolution/@y", "768"),)),
        Attribute("height", "model/resolution/@y", "Height that it begins with.", int, minimum=1,
                  beside=(("model/resolution/@x", "1024"),)),
    ),
    path="devices/video",
    help="The video device.",
    new=_new_video,
    absent=None,
)  # fmt: skip

SOUND: t.Final = Device(
    "sound",
    (
        Attribute("model", "@model", "Model of the sound card; V(none) takes it away.",
                  choices=("ich9", "ich6", "ich7", "ac97", "es1370", "sb16", "pcspk", "usb", "none")),
    ),
    path="devices/sound",
    help="The sound card.",
    new=lambda wanted, _domain: {"model": "ich9", **wanted},
)  # fmt: skip

INPUTS: t.Final = Devices(
    "input_devices",
    (
        Attribute("type", "@type", "Kind of device.", choices=("tablet", "keyboard", "mouse", "passthrough", "evdev")),
        Attribute("bus", "@bus", "Bus of the device.", choices=("usb", "virtio", "ps2", "xen")),
        Attribute("model", "@model", "Model, of devices on V(virtio).",
                  choices=("virtio", "virtio-transitional", "virtio-non-transitional")),
        Attribute("evdev", "source/@evdev", "Device of the hypervisor, for V(passthrough).",
                  examples=("/dev/input/event1", "/dev/input/event2")),
    ),
    path="devices/input",
    help="Keyboards, mice, tablets. Those that are not named are left alone.",
    identity=("type", "bus"),
    new=lambda wanted, _domain: {"type": "tablet", **({"bus": "virtio"} if "model" in wanted else {}), **wanted},
)  # fmt: skip
