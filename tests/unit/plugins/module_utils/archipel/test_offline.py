# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are copied from one libvirt to another, on libvirt's own storage. The rest of a move needs two hosts."""

from __future__ import annotations

import pathlib
import time
import typing as t

import pytest
from archipel import offline
from archipel.actions import NO_PROGRESS, Progress
from archipel.connection import Connection
from archipel.content import Terms
from archipel.errors import OperationFailed, Unsupported, WaitTimeout
from archipel.hypervisor import Hypervisor

if t.TYPE_CHECKING:
    from .conftest import Store

MIB: t.Final = 1 << 20
SIZE: t.Final = 16 * MIB
CONTENT: t.Final = bytes(range(256)) * (2 * MIB // 256)


class Telling(Progress):
    """Does what a test wants whenever it is told how far something is."""

    def __init__(self, tell: t.Callable[[str], object]) -> None:
        self.tell = tell

    def __call__(self, text: str, fraction: float | None = None) -> None:
        self.tell(text)


@pytest.fixture
def copy(store: Store, hypervisor: Hypervisor, tmp_path: pathlib.Path) -> t.Iterator[t.Callable[..., pathlib.Path]]:
    """Copies an image with 2 MiB of content in its middle, between two connections; the path of the copy."""
    source = tmp_path / "image"
    with source.open("wb") as file:
        file.seek(4 * MIB)
        file.write(CONTENT)
        file.truncate(SIZE)
    store.volume("image.raw", content={"path": str(source)})
    store.volume("copy.raw", size=SIZE // MIB / 1024, format="raw")
    there = store.directory / "copy.raw"
    volume = store.hypervisor.connection.handle.storageVolLookupByPath(str(store.directory / "image.raw"))

    with Connection(store.hypervisor.connection.uri) as other:

        def copy(*, progress: Progress = NO_PROGRESS, bandwidth: int | None = None, within: float = 60) -> pathlib.Path:
            terms = Terms(time.monotonic() + within, progress, None)
            machine = hypervisor.machine("off")
            offline.Copy(machine, [(volume, str(there))], other.handle, bandwidth, terms).run()
            return there

        yield copy


def test_a_copy_has_the_same_content_and_the_same_holes(copy: t.Callable[..., pathlib.Path]) -> None:
    """And it is told how much of how much is done."""
    told: list[str] = []
    there = copy(progress=Telling(told.append))
    content = there.read_bytes()
    assert content[4 * MIB : 6 * MIB] == CONTENT
    assert (len(content), content.count(0)) == (SIZE, SIZE - len(CONTENT) + CONTENT.count(0))
    assert there.stat().st_blocks * 512 < 4 * MIB
    assert told[-1] == "copying disks, 16 of 16 MiB"


def test_what_is_no_hole_takes_its_time(copy: t.Callable[..., pathlib.Path]) -> None:
    """2 MiB of content at 2 MiB per second, and not all 16 MiB."""
    began = time.monotonic()
    copy(bandwidth=2)
    assert 0.9 < time.monotonic() - began < 8


def test_a_copy_is_aborted_by_another_task(hypervisor: Hypervisor, copy: t.Callable[..., pathlib.Path]) -> None:
    """It is said where the machine is; without a copy it is libvirt that is asked to."""
    machine = hypervisor.machine("off")
    with pytest.raises(OperationFailed, match="somebody aborted it. It is shutoff on hv1"):
        copy(progress=Telling(lambda text: offline.abort(machine)))
    with pytest.raises(Unsupported, match="Abort the move of off"):
        offline.abort(machine)


def test_a_copy_ends_when_its_time_is_over(copy: t.Callable[..., pathlib.Path]) -> None:
    with pytest.raises(WaitTimeout, match="Copy image.raw to the destination"):
        copy(within=0)
