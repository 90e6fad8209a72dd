# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Screen, keyboard and VNC of a machine that QEMU runs. Each test needs those before it."""

from __future__ import annotations

import pathlib
import struct
import time
import typing as t
import zlib

import pytest

from lab.story import Story

pytestmark = pytest.mark.timeout(600)

NAME: t.Final = "console1"
LOG: t.Final = f"/var/log/libvirt/qemu/{NAME}-serial.log"
RFB: t.Final = pathlib.Path(__file__).with_name("rfb.py").read_text()
VM, SCREENSHOT, SENDKEY, CONSOLE = (
    f"archipel.orchestrator.{name}" for name in ("vm", "vm_screenshot", "vm_sendkey", "vm_console_info")
)
# Its shell, whose console is the serial port, begins by reading what is typed on the keyboard. Nobody can enter by VNC
# before somebody is let in.
DOMAIN: t.Final = f"""
<domain type='qemu'>
  <name>{NAME}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu><cpu mode='custom'><model>qemu64</model></cpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/var/lib/libvirt/images/vmlinuz</kernel><initrd>/var/lib/libvirt/images/initrd.gz</initrd>
    <cmdline>console=ttyS0 quiet ENV=/dev/tty1</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <graphics type='vnc' autoport='yes' passwd='nobody' passwdValidTo='1970-01-01T00:00:01'>
      <listen type='address' address='127.0.0.1'/>
    </graphics>
    <video><model type='vga'/></video>
    <serial type='pty'><log file='{LOG}'/></serial>
  </devices>
</domain>
"""


@pytest.fixture(scope="module", autouse=True)
def console1(platform: Story) -> t.Iterator[None]:
    platform.module("hv1", VM, via="xmpp", xml=DOMAIN, state="running")
    # What is typed before its shell reads is lost.
    serial(platform, "BusyBox")
    yield
    platform.module("hv1", VM, via="xmpp", name=NAME, state="absent", force=True)


@pytest.fixture(params=["libvirt", "xmpp"])
def via(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def serial(story: Story, text: str, seconds: float = 120) -> str:
    """What the machine has said on its serial port, once that text is in it."""
    heard = f"until grep -q '{text}' {LOG}; do sleep 0.1; done"
    return story.on("hv1", f'timeout {seconds} sh -c "{heard}"; cat {LOG}')


def knock(story: Story, port: int, password: str = "") -> str:
    return story.on("hv1", f"python3 - {port} {password} <<'X'\n{RFB}\nX")


def test_the_screen_is_seen_as_a_png_on_the_controller(platform: Story, via: str, tmp_path: pathlib.Path) -> None:
    """Text of the firmware: light on black, of the size of a text screen, and less than 20 kB."""
    file = tmp_path / "screen.png"
    seen = platform.module("hv1", SCREENSHOT, via=via, name=NAME, dest=str(file))["screenshot"]
    assert (seen["width"], seen["height"], seen["scale"]) == (720, 400, 1)
    png = file.read_bytes()
    assert len(png) < 20_000
    (size,) = struct.unpack(">I", png[33:37])
    rows = zlib.decompress(png[41 : 41 + size])
    pixels = [rows[y * 2161 + 1 + 3 * x :][:3] for y in range(0, 400) for x in range(720)]
    lit = sum(pixel != b"\0\0\0" for pixel in pixels) / len(pixels)
    assert 0.001 < lit < 0.2


def test_what_is_typed_is_what_the_machine_reads(platform: Story, via: str) -> None:
    """Its shell runs it and answers on the serial port: the US layout, with shift and without."""
    word = f"{via} ~!@#%^&*()_+ {{}}|:<>? `-=[];,./ AZ az 09"
    platform.module("hv1", SENDKEY, via=via, name=NAME, holdtime=20, text=f"echo '{word}' >/dev/console\n")
    assert word in serial(platform, f"^{via} .* 09").replace("\r", "")


def test_keys_that_are_pressed_together_arrive_together(platform: Story, via: str) -> None:
    """The rest of a line is thrown away by control and u."""
    platform.module("hv1", SENDKEY, via=via, name=NAME, text="echo wrong")
    keys = ["ctrl+u", *"echo", "space", *"press", "shift+E", "d", *f"{via}"[:1], "enter"]
    told = platform.module("hv1", SENDKEY, check=True, via=via, name=NAME, keys=keys)
    done = platform.module("hv1", SENDKEY, via=via, name=NAME, keys=keys)
    assert told["changes"] == done["changes"]
    assert "wrong" not in serial(platform, f"pressEd{via[0]}")


def test_vnc_lets_in_with_the_password_while_it_is_valid(platform: Story, via: str) -> None:
    """And nobody else, before and afterwards."""
    told = platform.module("hv1", CONSOLE, via=via, name=NAME)
    vnc = told["console"]["graphics"][0]
    assert (vnc["type"], vnc["address"], vnc["protected"], told["changed"]) == ("vnc", "127.0.0.1", True, False)
    assert knock(platform, vnc["port"], "nobody") == "refused"
    plan = platform.module("hv1", CONSOLE, check=True, via=via, name=NAME, access_for=60)
    assert plan["console"]["password"] is None
    access = platform.module("hv1", CONSOLE, via=via, name=NAME, access_for=60)
    assert access["changes"] == plan["changes"]
    password = access["console"]["password"]
    assert [knock(platform, vnc["port"], tried) for tried in ("", "wrong", password)] == ["refused", "refused", "in"]
    short = platform.module("hv1", CONSOLE, via=via, name=NAME, access_for=2)["console"]["password"]
    assert knock(platform, vnc["port"], password) == "refused"
    end = time.monotonic() + 60
    while knock(platform, vnc["port"], short) != "refused":
        assert time.monotonic() < end
    assert password not in platform.on("hv1", f"cat {LOG}; journalctl -b; ps axww")
