# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Screen and keyboard of a machine of the test driver; VNC with a password needs QEMU (tests/hosts)."""

from __future__ import annotations

import base64
import typing as t

import pytest
from archipel.errors import Conflict, InvalidArgument, InvalidDefinition, NotFound, Unsupported
from archipel.hypervisor import Hypervisor

Run = t.Callable[..., dict[str, t.Any]]

SCREEN = """
<domain type='test'>
  <name>screen</name><memory unit='MiB'>64</memory><os><type arch='i686'>hvm</type></os>
  <devices>
    <graphics type='vnc' port='5901' websocket='5701' passwd='secret' passwdValidTo='2026-01-01T00:00:00'>
      <listen type='address' address='127.0.0.1'/>
    </graphics>
    <serial type='tcp'>
      <source mode='bind' host='127.0.0.1' service='4555'/><log file='/var/log/screen.log'/><target port='0'/>
    </serial>
    <console type='pty'><target type='virtio' port='0'/></console>
  </devices>
</domain>
"""


@pytest.fixture
def screen(vm: Run) -> str:
    vm(xml=SCREEN, state="running")
    return "screen"


def test_a_screenshot_is_a_png(run: Run, screen: str) -> None:
    result = run("vm_screenshot", name=screen)
    seen = result["screenshot"]
    png = base64.b64decode(seen["image"])
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (seen["name"], seen["screen"], seen["scale"]) == (screen, 0, 1)
    assert png[16:24] == seen["width"].to_bytes(4, "big") + seen["height"].to_bytes(4, "big")
    assert result["changed"] is False


def test_what_is_pressed_is_told_and_what_is_typed_is_not(run: Run, screen: str) -> None:
    for check in (True, False):
        keys = run("vm_sendkey", name=screen, keys=["ctrl+alt+delete", "enter"], holdtime=1, check=check)
        text = run("vm_sendkey", name=screen, text="geheim\n", holdtime=1, check=check)
        assert [change["new"] for change in keys["changes"]] == [["ctrl+alt+delete", "enter"]]
        assert [change["new"] for change in text["changes"]] == ["(hidden)"]
        assert keys["changed"]
        assert text["changed"]
        assert "geheim" not in str(text)
        assert f"2 keys {'would be ' if check else ''}pressed" in keys["msg"]


def test_no_key_changes_nothing(run: Run, screen: str) -> None:
    assert run("vm_sendkey", name=screen, keys=[])["changed"] is False


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "Give keys to press, or text"),
        ({"keys": ["a"], "text": "a"}, "Give keys to press, or text"),
        ({"text": "a" * 601}, "601 keys of 50 ms"),
        ({"keys": ["a"], "holdtime": 0}, "1 keys of 0 ms"),
        ({"keys": ["nosuch"]}, "no key 'nosuch'"),
    ],
)
def test_keys_that_cannot_be_pressed_are_refused(run: Run, screen: str, arguments: t.Any, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        run("vm_sendkey", name=screen, **arguments)


def test_consoles_are_told_without_their_passwords(run: Run, screen: str) -> None:
    result = run("vm_console_info", name=screen)
    console = result["console"]
    assert console["graphics"] == [
        {
            "type": "vnc", "address": "127.0.0.1", "port": 5901, "tls_port": None, "websocket": 5701, "socket": None,
            "protected": True, "valid_until": "2026-01-01T00:00:00Z",
        }
    ]  # fmt: skip
    told = {"path": None, "address": None, "port": None, "log": None}
    assert console["serials"] == [
        {**told, "type": "tcp", "target": console["serials"][0]["target"], "number": 0, "address": "127.0.0.1",
         "port": 4555, "log": "/var/log/screen.log"},
        {**told, "type": "pty", "target": "virtio", "number": 0, "path": console["serials"][1]["path"]},
    ]  # fmt: skip
    assert (console["password"], console["valid_until"], result["changed"]) == (None, None, False)
    assert "secret" not in str(result)


def test_access_is_planned_without_telling_the_password(run: Run, screen: str) -> None:
    result = run("vm_console_info", name=screen, access_for=60, check=True)
    assert result["changes"] == [
        {"path": "graphics[vnc].password", "old": "(hidden)", "new": "(hidden)", "scope": "live"}
    ]
    assert result["console"]["password"] is None
    with pytest.raises(Unsupported):
        run("vm_console_info", name=screen, access_for=60)  # by the test driver


def test_access_needs_graphics_and_a_time(run: Run, vm: Run) -> None:
    vm(name="blind", memory=64, state="running")
    with pytest.raises(NotFound, match="blind has neither VNC nor SPICE"):
        run("vm_console_info", name="blind", access_for=60)
    with pytest.raises(InvalidArgument, match="access_for: 0 is not possible"):
        run("vm_console_info", name="blind", access_for=0)


ASKED: t.Any = [
    ("vm_screenshot", {}),
    ("vm_sendkey", {"keys": ["enter"]}),
    ("vm_console_info", {"access_for": 60}),
]


@pytest.mark.parametrize(("action", "arguments"), ASKED)
def test_a_machine_that_is_off_has_neither_screen_nor_keyboard(
    run: Run, vm: Run, screen: str, action: str, arguments: t.Any
) -> None:
    vm(name=screen, state="destroyed")
    with pytest.raises(Conflict, match="screen is shutoff: it has neither"):
        run(action, name=screen, **arguments)
    assert "not there, or off yet" in run(action, name=screen, check=True, **arguments)["msg"]


def test_a_machine_that_is_off_has_no_consoles(run: Run, vm: Run, screen: str) -> None:
    vm(name=screen, state="destroyed")
    console = run("vm_console_info", name=screen)["console"]
    assert (console["state"], console["graphics"], console["serials"]) == ("shutoff", [], [])


@pytest.mark.parametrize(("action", "arguments"), [*ASKED, ("vm_console_info", {})])
def test_a_machine_that_an_earlier_task_would_make_passes_check_mode(run: Run, action: str, arguments: t.Any) -> None:
    """And only that."""
    assert "not there, or off yet" in run(action, name="new", check=True, **arguments)["msg"]
    with pytest.raises(NotFound, match="no machine 'new'"):
        run(action, name="new", **arguments)


@pytest.mark.parametrize("arguments", [{"max_size": 0}, {"max_size": 4096}, {"screen": -1}])
def test_a_picture_that_cannot_be_is_refused(run: Run, arguments: t.Any) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(arguments))):
        run("vm_screenshot", name="test", **arguments)


def test_a_password_of_graphics_is_written_and_never_told(run: Run, vm: Run, hypervisor: Hypervisor) -> None:
    """Not when it is new, not when it changes, not in check mode, and it is no change the second time."""
    told = []
    for password in ("first1", "first1", "second2"):
        for check in (True, False):
            graphics = {"type": "vnc", "password": password, "password_valid_to": "1970-01-01T00:00:01"}
            told.append(vm(name="seen", memory=64, graphics=graphics, check=check))
    assert [result["changed"] for result in told] == [True, True, False, False, True, True]
    assert told[-1]["changes"] == [
        {"path": "graphics.password", "old": "(hidden)", "new": "(hidden)", "scope": "config"}
    ]
    told.append(run("vm_info", name="seen"))
    assert not any(password in str(told) for password in ("first1", "second2"))
    assert hypervisor.machine("seen").document(secure=True).find("devices/graphics").get("passwd") == "second2"


def test_graphics_listen_on_loopback_unless_told_otherwise(vm: Run, run: Run) -> None:
    """A console without a password is for who is logged in on the hypervisor."""
    for kind in ("vnc", "spice"):
        vm(name=kind, memory=64, graphics={"type": kind})
        assert run("vm_info", name=kind)["vms"][0]["graphics"]["listen"] == "127.0.0.1"
    vm(name="vnc", graphics={"listen": "192.0.2.1"})
    assert run("vm_info", name="vnc")["vms"][0]["graphics"]["listen"] == "192.0.2.1"


def test_an_end_of_a_password_needs_the_password(vm: Run) -> None:
    graphics = {"type": "vnc", "password_valid_to": "1970-01-01T00:00:01"}
    with pytest.raises(InvalidDefinition, match=r"graphics\.password_valid_to: there is no password that it could end"):
        vm(name="seen", memory=64, graphics=graphics)
    vm(name="seen", memory=64, graphics={"type": "vnc", "password": "first1"})
    assert vm(name="seen", graphics=graphics)["changed"]
    assert not vm(name="seen", graphics=graphics)["changed"]
