# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Keys by name, and which of them write a text.

Names and numbers are those of Linux (``linux/input-event-codes.h``), which libvirt calls the codeset ``linux`` and
virsh's ``send-key`` understands too.
"""

from __future__ import annotations

import typing as t

from .actions import nearest
from .connection import libvirt
from .errors import InvalidArgument

# What virDomainSendKey takes at once (VIR_DOMAIN_SEND_KEY_MAX_KEYS in C), and the largest number of a key.
MAX_AT_ONCE: t.Final = 16
_MAX_CODE: t.Final = 0xFFFF

Codeset = t.Literal["linux", "xt", "atset1", "atset2", "atset3", "osx", "xt_kbd", "usb", "win32", "qnum"]


def _numbered(first: int, names: str) -> dict[str, int]:
    return {name: code for code, name in enumerate(names.split(), first)}


KEYS: t.Final = {
    **_numbered(1, "ESC 1 2 3 4 5 6 7 8 9 0 MINUS EQUAL BACKSPACE TAB Q W E R T Y U I O P LEFTBRACE RIGHTBRACE ENTER"),
    **_numbered(29, "LEFTCTRL A S D F G H J K L SEMICOLON APOSTROPHE GRAVE LEFTSHIFT BACKSLASH Z X C V B N M"),
    **_numbered(51, "COMMA DOT SLASH RIGHTSHIFT KPASTERISK LEFTALT SPACE CAPSLOCK F1 F2 F3 F4 F5 F6 F7 F8 F9 F10"),
    **_numbered(69, "NUMLOCK SCROLLLOCK KP7 KP8 KP9 KPMINUS KP4 KP5 KP6 KPPLUS KP1 KP2 KP3 KP0 KPDOT"),
    **_numbered(86, "102ND F11 F12"),
    **_numbered(96, "KPENTER RIGHTCTRL KPSLASH SYSRQ RIGHTALT LINEFEED HOME UP PAGEUP LEFT RIGHT END DOWN PAGEDOWN"),
    **_numbered(110, "INSERT DELETE MACRO MUTE VOLUMEDOWN VOLUMEUP POWER KPEQUAL KPPLUSMINUS PAUSE"),
    **_numbered(125, "LEFTMETA RIGHTMETA COMPOSE"),
    **_numbered(142, "SLEEP WAKEUP"),
    **_numbered(183, "F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23 F24"),
}  # fmt: skip
_ALSO: t.Final = {"CTRL": "LEFTCTRL", "ALT": "LEFTALT", "SHIFT": "LEFTSHIFT", "META": "LEFTMETA", "SUPER": "LEFTMETA",
                  "ALTGR": "RIGHTALT", "ESCAPE": "ESC", "RETURN": "ENTER", "DEL": "DELETE", "INS": "INSERT",
                  "PGUP": "PAGEUP", "PGDN": "PAGEDOWN", "PRINT": "SYSRQ"}  # fmt: skip

# Rows of the US layout by the code of their first key, without and with shift; a key follows the other.
_ROWS: t.Final = ((2, "1234567890-=", "!@#$%^&*()_+"), (16, "qwertyuiop[]", "QWERTYUIOP{}"),
                  (30, "asdfghjkl;'`", "ASDFGHJKL:\"~"), (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"))  # fmt: skip
_SHIFT: t.Final = (KEYS["LEFTSHIFT"],)
_US: t.Final[dict[str, tuple[int, ...]]] = {
    "\t": (KEYS["TAB"],),
    "\n": (KEYS["ENTER"],),
    " ": (KEYS["SPACE"],),
    **{character: (code,) for first, plain, _shifted in _ROWS for code, character in enumerate(plain, first)},
    **{c: (*_SHIFT, code) for first, _plain, shifted in _ROWS for code, c in enumerate(shifted, first)},
}


def number_of(codeset: str) -> int:
    """virKeycodeSet"""
    return int(getattr(libvirt, f"VIR_KEYCODE_SET_{codeset.upper()}"))


def chord(written: str, codeset: str) -> tuple[int, ...]:
    """The codes of keys that are pressed together, written ``ctrl+alt+delete``."""
    codes = tuple(_code(name.strip(), codeset) for name in written.split("+"))
    if len(codes) > MAX_AT_ONCE:
        raise InvalidArgument(f"keys: {written[:80]!r} are {len(codes)} keys at once; {MAX_AT_ONCE} are possible.")
    return codes


def _code(written: str, codeset: str) -> int:
    if codeset != "linux":
        if not (written.isascii() and written.isdigit() and int(written) <= _MAX_CODE):
            raise InvalidArgument(f"keys: {written[:80]!r} is no key of {codeset}; a number up to {_MAX_CODE} is.")
        return int(written)
    name = written.upper()
    name = name[4:] if name.startswith("KEY_") else name
    name = _ALSO.get(name, name)
    if name not in KEYS:
        raise InvalidArgument(f"keys: there is no key {written[:80]!r}.{nearest(name, [*KEYS, *_ALSO])}")
    return KEYS[name]


def typed(text: str) -> list[tuple[int, ...]]:
    """The keys that write a text on a keyboard of the US layout, one after another."""
    unknown = sorted({character for character in text if character not in _US})
    if unknown:
        raise InvalidArgument(f"text: has {len(unknown)} characters that a US keyboard does not have.")
    return [_US[character] for character in text]
