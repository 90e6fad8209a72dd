# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Screen, keyboard and consoles, over libvirt and over XMPP, on the same libvirtd."""

from __future__ import annotations

import base64
import pathlib
import typing as t

PNG = b"\x89PNG\r\n\x1a\n"
SCREENSHOT, SENDKEY, CONSOLE = (
    f"archipel.orchestrator.vm_{name}" for name in ("screenshot", "sendkey", "console_info")
)


def test_screen_keyboard_and_consoles_are_the_same_both_ways(over: t.Callable[[str], t.Any]) -> None:
    steps = (
        {SCREENSHOT: {"name": "test", "max_size": 100}},
        {SENDKEY: {"name": "test", "keys": ["ctrl+alt+delete"]}, "check_mode": True},
        {SENDKEY: {"name": "test", "keys": ["ctrl+alt+delete"]}},
        {CONSOLE: {"name": "test"}},
        {SENDKEY: {"name": "test", "keys": ["ctlr+c"]}},
        {SCREENSHOT: {"name": "test", "max_size": 1}},
        {SCREENSHOT: {"name": "nobody"}},
    )
    by_libvirt, over_xmpp = over("libvirt").play(*steps), over("xmpp").play(*steps)
    seen, told, pressed, consoles, *refused = over_xmpp
    assert base64.b64decode(seen["screenshot"]["image"]).startswith(PNG)
    assert told["changes"] == pressed["changes"]
    assert told["changed"]
    assert consoles["console"]["name"] == "test"
    assert [result["failed"] for result in refused] == [True] * 3
    assert plain(by_libvirt) == plain(over_xmpp)


def plain(results: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Without what every module that fails adds to its result."""
    return [{k: v for k, v in result.items() if k not in ("invocation", "exception")} for result in results]


def test_a_picture_is_written_on_the_controller_if_it_differs(ansible: t.Any, tmp_path: pathlib.Path) -> None:
    """Whichever way the machine is reached; in check mode it is not."""
    file = tmp_path / "test.png"
    take = {SCREENSHOT: {"name": "test", "dest": str(file)}}
    told, nothing, done, again, lost = ansible.play(
        {**take, "check_mode": True},
        {"ansible.builtin.stat": {"path": str(file)}},
        take,
        take,
        {SCREENSHOT: {"name": "test", "dest": str(tmp_path / "nosuch" / "test.png")}},
    )
    assert not nothing["stat"]["exists"]
    assert [told["changed"], done["changed"], again["changed"]] == [True, True, False]
    assert file.read_bytes().startswith(PNG)
    assert (done["screenshot"]["dest"], done["screenshot"]["image"]) == (str(file), None)
    assert lost["failed"]
    assert "nosuch/test.png: No such file or directory" in lost["msg"]


def test_what_is_typed_is_nowhere_in_what_ansible_tells(ansible: t.Any) -> None:
    """Not at the highest verbosity either."""
    play = {
        "hosts": "hv1",
        "gather_facts": False,
        "module_defaults": {"group/archipel.orchestrator.archipel": ansible.defaults},
        "tasks": [{SENDKEY: {"name": "test", "text": "correct horse\n"}, "diff": True}],
    }
    said = ansible.run([play], "-vvv")
    assert "6 keys" not in said
    assert "14 keys pressed" in said
    assert "correct horse" not in said
