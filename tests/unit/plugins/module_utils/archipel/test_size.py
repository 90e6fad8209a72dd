# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

import pytest
from archipel import xmltree
from archipel.errors import InvalidArgument
from archipel.size import Bytes, Size


@pytest.mark.parametrize(
    ("written", "size", "shown"),
    [
        (20, 20 << 30, "20GiB"),
        ("20", 20 << 30, "20GiB"),
        (0.5, 512 << 20, "512MiB"),
        ("1.5GiB", 1536 << 20, "1536MiB"),
        ("512MiB", 512 << 20, "512MiB"),
        (" 512 M ", 512 << 20, "512MiB"),
        ("1000KB", 1_000_000, "1000000b"),
        ("2TiB", 2 << 40, "2TiB"),
        ("1536bytes", 1536, "1536b"),
    ],
)
def test_a_size_is_gib_or_has_its_unit(written: t.Any, size: int, shown: str) -> None:
    """To people it is told as they would write it, to programs it is bytes."""
    bound = Size.bind(written, "size")
    assert (bound, str(bound), json.dumps(bound)) == (size, shown, str(size))
    assert Size.bind(str(bound), "size") == bound


@pytest.mark.parametrize("written", ["", "much", "20 apples", "-1", 0, "0MiB", True, None, [20], "1e3", "9" * 30])
def test_what_is_no_size_is_refused(written: t.Any) -> None:
    with pytest.raises(InvalidArgument, match="^size: "):
        Size.bind(written, "size")


def test_sizes_in_xml_have_units_of_their_own() -> None:
    capacity = Bytes("size", "capacity", "")
    node = xmltree.parse_trusted("<volume><capacity unit='MiB'>3</capacity></volume>")
    assert capacity.read(node) == 3 << 20
    capacity.write(node, Size(5))
    assert xmltree.serialise(node).split() == ["<volume>", "<capacity", 'unit="bytes">5</capacity>', "</volume>"]
    assert capacity.read(xmltree.parse_trusted("<volume><capacity>7</capacity></volume>")) == 7
