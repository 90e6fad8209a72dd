# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image of a CD, read by a library that nobody here wrote."""

from __future__ import annotations

import io
import typing as t

import pycdlib
import pytest
from archipel import iso9660

FILES: dict[str, bytes] = {
    "user-data": b"#cloud-config\n",
    "meta-data": b"",
    "network-config": bytes(range(256)) * 100,
    "sector": b"x" * iso9660.SECTOR,
}


def read(image: bytes, path: str, **names: str) -> bytes:
    disc, found = pycdlib.PyCdlib(), io.BytesIO()
    disc.open_fp(io.BytesIO(image))
    disc.get_file_from_iso_fp(found, **{path: names["name"]})
    disc.close()
    return found.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_there_by_both_of_its_names(name: str) -> None:
    """Joliet's, and that of systems without it."""
    image = iso9660.image("cidata", FILES)
    assert read(image, "joliet_path", name=f"/{name}") == FILES[name]
    assert read(image, "iso_path", name=f"/{name.upper()}.;1") == FILES[name]


def test_it_has_its_label_and_its_length() -> None:
    """cloud-init looks for the one; the other is what the volume has to hold."""
    image = iso9660.image("cidata", FILES)
    disc = pycdlib.PyCdlib()
    disc.open_fp(io.BytesIO(image))
    assert disc.pvd.volume_identifier.strip() == b"cidata"
    assert disc.joliet_vd.volume_identifier.decode("utf-16-be").strip() == "cidata"
    # ECMA-119, 8.4.8; pycdlib believes the file's length instead.
    for descriptor in (16, 17):
        space = image[descriptor * iso9660.SECTOR + 80 :][:8]
        little, big = int.from_bytes(space[:4], "little"), int.from_bytes(space[4:], "big")
        assert little == big == len(image) // iso9660.SECTOR


def test_the_same_files_make_the_same_bytes() -> None:
    """Whatever their order, whenever it is made; others make others."""
    one = iso9660.image("cidata", FILES)
    assert iso9660.image("cidata", dict(reversed(list(FILES.items())))) == one
    assert iso9660.image("cidata", {**FILES, "user-data": b""}) != one


@pytest.mark.parametrize(
    ("files", "reason"),
    [({"a": bytes(65 << 20)}, "too many for an image"), ({f"f{n}": b"" for n in range(99)}, "too many files")],
)
def test_what_does_not_fit_is_refused(files: dict[str, t.Any], reason: str) -> None:
    """It is made in memory, with one sector for its directory."""
    with pytest.raises(ValueError, match=reason):
        iso9660.image("cidata", files)
