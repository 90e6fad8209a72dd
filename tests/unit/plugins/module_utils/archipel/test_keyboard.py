# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys by name, and texts as keys."""

from __future__ import annotations

import pathlib
import re
import string

import pytest
from archipel import keyboard
from archipel.connection import libvirt
from archipel.errors import InvalidArgument

HEADER = pathlib.Path("/usr/include/linux/input-event-codes.h")


def test_every_key_has_the_number_that_linux_gives_it() -> None:
    """The header comes with the compiler that libvirt-python needs."""
    known = re.findall(r"^#define\s+KEY_(\w+)\s+(\d+)\b", HEADER.read_text(), re.MULTILINE)
    assert keyboard.KEYS.items() <= {name: int(code) for name, code in known}.items()


@pytest.mark.parametrize("written", ["ctrl+alt+delete", "KEY_LEFTCTRL + key_leftalt+DEL", "Ctrl+ALT+Del"])
def test_keys_have_names_that_people_write(written: str) -> None:
    assert keyboard.chord(written, "linux") == (29, 56, 111)


def test_in_another_codeset_keys_are_numbers() -> None:
    assert keyboard.chord("29+56+83", "xt") == (29, 56, 83)
    with pytest.raises(InvalidArgument, match="'ctrl' is no key of xt; a number"):
        keyboard.chord("ctrl+56", "xt")
    with pytest.raises(InvalidArgument, match="'65536' is no key of usb"):
        keyboard.chord("65536", "usb")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("ctlr+c", "no key 'ctlr'. Did you mean CTRL"),
        ("", "no key ''"),
        ("a++", "no key ''"),
        ("+".join("a" * 17), "17 keys"),
    ],
)
def test_what_is_no_key_is_refused(written: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(reason)):
        keyboard.chord(written, "linux")


def test_every_codeset_is_one_of_libvirts() -> None:
    numbers = {keyboard.number_of(name) for name in keyboard.Codeset.__args__}
    assert numbers == {value for name, value in vars(libvirt).items() if name.startswith("VIR_KEYCODE_SET_")}


def test_a_text_is_typed_on_a_us_keyboard() -> None:
    a, enter, shift, two, space = 30, 28, 42, 3, 57
    assert keyboard.typed("aA @\n") == [(a,), (shift, a), (space,), (shift, two), (enter,)]


def test_every_printable_character_of_ascii_can_be_typed() -> None:
    printable = sorted(set(string.printable) - set("\r\x0b\x0c"))
    keys = keyboard.typed("".join(printable))
    assert len(set(keys)) == len(printable)


def test_a_text_that_cannot_be_typed_is_refused_without_being_told() -> None:
    with pytest.raises(InvalidArgument, match="text: has 2 characters that a US keyboard") as refused:
        keyboard.typed("Gruß, Élise")
    assert "ß" not in str(refused.value)
