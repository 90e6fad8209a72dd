# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A picture of a screen: what drivers draw it in, and PNG."""

from __future__ import annotations

import dataclasses
import re
import struct
import typing as t
import zlib

from .errors import OperationFailed

_PNG: t.Final = b"\x89PNG\r\n\x1a\n"
# "P6", width, height and the largest value of a colour, apart by blanks or comments, then one byte of blank (ppm(5)).
_PPM: t.Final = re.compile(rb"P6(?:\s|#.*\n)+(\d+)(?:\s|#.*\n)+(\d+)(?:\s|#.*\n)+(\d+)\s")


@dataclasses.dataclass(frozen=True)
class Picture:
    """``png`` is the whole file; ``scale`` how many of the screen's pixels each way became one."""

    png: bytes
    width: int
    height: int
    scale: int = 1


def draw(data: bytes, limit: int) -> Picture:
    """What a driver drew, as PNG of ``limit`` bytes at most: a larger one is made of every second pixel each way, every
    third … until it fits."""
    if data.startswith(_PNG):
        if len(data) > limit:
            raise OperationFailed(f"The picture has {len(data)} bytes; {limit} are allowed.")
        return Picture(data, *struct.unpack(">II", data[16:24]))
    header = _PPM.match(data)
    width, height, largest = map(int, header.groups()) if header else (0, 0, 0)
    if header is None or largest != 255 or len(data) < header.end() + 3 * width * height or not width * height:
        raise OperationFailed(
            "The driver drew the screen in a format that is not known here; it is neither PNG nor PPM."
        )
    pixels = memoryview(data)[header.end() :]
    rows = [bytes(pixels[3 * width * y : 3 * width * (y + 1)]) for y in range(height)]
    for scale in range(1, min(width, height) + 1):
        picture = _encode([_every(scale, row) for row in rows[::scale]], scale)
        if len(picture.png) <= limit:
            return picture
    raise OperationFailed(f"No picture of the screen fits into {limit} bytes.")


def _every(scale: int, row: bytes) -> bytes:
    """Every ``scale``th pixel of a row of red, green, blue."""
    if scale == 1:
        return row
    thinned = bytearray(3 * -(-len(row) // (3 * scale)))
    for colour in range(3):
        thinned[colour::3] = row[colour :: 3 * scale]
    return bytes(thinned)


def _encode(rows: list[bytes], scale: int) -> Picture:
    """PNG of 8 bits a colour, without alpha; filter 0 before each row."""
    width, height = len(rows[0]) // 3, len(rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return Picture(_PNG + b"".join(_chunk(*chunk) for chunk in chunks), width, height, scale)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
