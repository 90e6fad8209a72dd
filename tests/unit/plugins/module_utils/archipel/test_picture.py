# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of screens: what QEMU draws, as PNG, and small enough."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from archipel.errors import OperationFailed
from archipel.picture import Picture, draw

PLENTY = 1 << 20


def ppm(width: int, height: int, pixels: bytes) -> bytes:
    return b"P6\n%d %d\n255\n" % (width, height) + pixels


def pixels_of(picture: Picture) -> list[list[bytes]]:
    """What another reader of PNG would see: rows of pixels."""
    assert picture.png.startswith(b"\x89PNG\r\n\x1a\n")
    found, at = {}, 8
    while at < len(picture.png):
        (size,) = struct.unpack(">I", picture.png[at : at + 4])
        kind, data = picture.png[at + 4 : at + 8], picture.png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", picture.png[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + data),)
        found[kind] = data
        at += 12 + size
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    assert found[b"IHDR"] == struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)
    raw, length = zlib.decompress(found[b"IDAT"]), 1 + 3 * picture.width
    rows = [raw[i : i + length] for i in range(0, len(raw), length)]
    assert {row[:1] for row in rows} == {b"\0"}
    return [[row[i : i + 3] for i in range(1, length, 3)] for row in rows]


def test_what_qemu_draws_becomes_a_png_with_the_same_pixels() -> None:
    picture = draw(ppm(3, 2, bytes(range(18))), PLENTY)
    assert (picture.width, picture.height, picture.scale) == (3, 2, 1)
    assert b"".join(pixel for row in pixels_of(picture) for pixel in row) == bytes(range(18))


@pytest.mark.parametrize("header", [b"P6 1 1 255\n", b"P6\n# by hand\n1\n# again\n1\t255 "])
def test_a_header_may_have_comments_and_any_blanks(header: bytes) -> None:
    assert pixels_of(draw(header + b"abc", PLENTY)) == [[b"abc"]]


def test_a_picture_that_is_too_large_is_made_of_fewer_pixels() -> None:
    """Of every second one each way, every third … until it fits; noise does not become smaller otherwise."""
    noise = random.Random(1).randbytes(3 * 50 * 40)
    whole = draw(ppm(50, 40, noise), PLENTY)
    picture = draw(ppm(50, 40, noise), len(whole.png) // 5)
    assert (picture.width, picture.height, picture.scale) == (17, 14, 3)
    assert len(picture.png) <= len(whole.png) // 5
    assert pixels_of(picture) == [row[::3] for row in pixels_of(whole)[::3]]


def test_nothing_fits_into_nothing() -> None:
    with pytest.raises(OperationFailed, match="fits into 10 bytes"):
        draw(ppm(2, 2, bytes(12)), 10)


def test_png_passes_as_it_is_if_it_is_not_too_large() -> None:
    drawn = draw(ppm(3, 2, bytes(18)), PLENTY)
    assert draw(drawn.png, PLENTY) == drawn
    with pytest.raises(OperationFailed, match="bytes; 20 are allowed"):
        draw(drawn.png, 20)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"P6\n2 2\n65535\n" + bytes(24), ppm(2, 2, bytes(11)), ppm(0, 0, b""), b"P6\n-1 2\n255\n"]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(OperationFailed, match="neither PNG nor PPM"):
        draw(data, PLENTY)
