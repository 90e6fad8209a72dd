# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A small image of a CD: a handful of files in one directory, as ECMA-119 (ISO 9660) has it, with Joliet's names.

The same files make the same bytes. Systems without Joliet see the names in upper case, which Linux turns into
lower case again.
"""

from __future__ import annotations

import struct
import typing as t

SECTOR: t.Final = 2048
# Where things are, in sectors. The first 16 belong to whoever boots from it.
_PRIMARY, _JOLIET, _END, _TABLES, _ROOTS, _FILES = 16, 17, 18, 19, 23, 25
_DATE: t.Final = bytes((100, 1, 1, 0, 0, 0, 0))  # of 2000, so that nothing depends on when it was made
_DIRECTORY: t.Final = 2
_LEVEL_3: t.Final = b"%/E"  # UCS-2 with all that Joliet allows
_NO_TIME: t.Final = b"0" * 16 + b"\0"
_LARGEST: t.Final = 64 << 20


def image(label: str, files: t.Mapping[str, bytes]) -> bytes:
    """The image of a volume of that label. Names are ASCII without a slash, and fit into one directory's sector."""
    names = sorted(files)
    places, end = {}, _FILES
    for name in names:
        places[name] = end
        end += -(-len(files[name]) // SECTOR)
    if end * SECTOR > _LARGEST:
        raise ValueError(f"{end * SECTOR} bytes are too many for an image that is made in memory")
    sectors = [bytes(SECTOR)] * _PRIMARY
    for kind, number in ((1, 0), (2, 1)):
        sectors.append(_descriptor(kind, label, end, number))
    sectors.append(_sector(b"\xffCD001\x01"))
    for number in (0, 1):
        for order in "<>":
            # One directory, which is its own parent: its name is a zero.
            sectors.append(_sector(struct.pack(f"{order}BBIHxx", 1, 0, _ROOTS + number, 1)))
    for number, encoded in ((0, _upper), (1, _ucs2)):
        records = [_record(name, _ROOTS + number, SECTOR, _DIRECTORY) for name in (b"\0", b"\1")]
        records += [_record(encoded(name), places[name], len(files[name]), 0) for name in names]
        sectors.append(_sector(b"".join(records)))
    contents = b"".join(files[name] + bytes(-len(files[name]) % SECTOR) for name in names)
    return b"".join(sectors) + contents


def _upper(name: str) -> bytes:
    return f"{name.upper()}{'' if '.' in name else '.'};1".encode("ascii")


def _ucs2(text: str) -> bytes:
    return text.encode("utf-16-be")


def _both(format: str, value: int) -> bytes:
    """A number in both orders of bytes, as nearly all numbers are."""
    return struct.pack(f"<{format}", value) + struct.pack(f">{format}", value)


def _sector(data: bytes) -> bytes:
    if len(data) > SECTOR:
        raise ValueError("too many files for one directory")
    return data.ljust(SECTOR, b"\0")


def _record(name: bytes, place: int, size: int, flags: int) -> bytes:
    """A directory's entry (ECMA-119, 9.1)."""
    body = b"\0" + _both("I", place) + _both("I", size) + _DATE + bytes((flags, 0, 0)) + _both("H", 1)
    body += bytes((len(name),)) + name
    body += bytes((len(body) + 1) % 2)
    return bytes((len(body) + 1,)) + body


def _descriptor(kind: int, label: str, sectors: int, number: int) -> bytes:
    """A volume descriptor, primary or Joliet's (ECMA-119, 8.4 and 8.5)."""
    joliet = kind == 2

    def text(value: str, length: int) -> bytes:
        encoded = _ucs2(value) if joliet else value.encode("ascii")
        blank = _ucs2(" ") if joliet else b" "
        return (encoded + blank * length)[: length - length % len(blank)].ljust(length, b"\0")

    table = _TABLES + 2 * number
    return _sector(
        bytes((kind,)) + b"CD001\x01\0" + text("", 32) + text(label, 32) + bytes(8)
        + _both("I", sectors) + (_LEVEL_3 if joliet else b"").ljust(32, b"\0")
        + _both("H", 1) + _both("H", 1) + _both("H", SECTOR)
        + _both("I", 10) + struct.pack("<II", table, 0) + struct.pack(">II", table + 1, 0)
        + _record(b"\0", _ROOTS + number, SECTOR, _DIRECTORY)
        + text("", 128) * 4 + text("", 37) * 3 + _NO_TIME * 4 + b"\x01\0"
    )  # fmt: skip
