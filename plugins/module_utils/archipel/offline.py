# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Moving a machine that is off with its disks and its snapshots.

libvirt's migration takes the definition alone of such a machine, and none that has snapshots. Here the source opens a
connection to the destination's libvirt, and the machine is whole at the source until it is whole there: first its disks
byte for byte, with all that is inside of them, then its definition and its snapshots; then the source lets it go.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import typing as t

from . import content, xmltree
from .actions import Progress
from .connection import Connection, doing, libvirt
from .errors import ArchipelError, Conflict, OperationFailed
from .lifecycle import ACTIVE
from .snapshots import Knowledge

if t.TYPE_CHECKING:
    from .machine import Machine

# What ends the copy of a machine's disks that this process is at, by the machine's UUID.
_copies: t.Final[dict[str, threading.Event]] = {}


@dataclasses.dataclass(frozen=True)
class Cargo:
    """``disks`` are the source's volumes, each with the path of the one at the destination that it is copied into;
    ``definition``, XML, and ``snapshots`` are as they are to be there."""

    disks: t.Sequence[tuple[t.Any, str]]
    definition: str
    snapshots: Knowledge


def length(volume: t.Any) -> int:
    """What the file or device itself has, in bytes; not what a machine sees of it."""
    node = _described(volume)
    return int(xmltree.read(node, "physical") or xmltree.read(node, "capacity") or 0)


def carry(
    machine: Machine, cargo: Cargo, uri: str, *, undefine: bool, bandwidth: int | None, terms: content.Terms
) -> None:
    """Move it to the libvirt at ``uri``, where the volumes have been made. ``bandwidth`` in MiB per second.

    After an error the destination has neither definition nor snapshots, unless the source does not say what it has.
    """
    with Connection(uri) as connection:
        before = [_written(volume) for volume, _path in cargo.disks]
        Copy(machine, cargo.disks, connection.handle, bandwidth, terms).run()
        # libvirt has no lock for a machine that is off.
        if machine.status[0] in ACTIVE or before != [_written(volume) for volume, _path in cargo.disks]:
            raise Conflict(f"{machine.name} was not moved: it was started, or changed, while its disks were copied.")
        _hand_over(machine, cargo, connection.handle, undefine=undefine)


def abort(machine: Machine) -> None:
    """End its move: the copy of its disks, or libvirt's job."""
    if stop := _copies.get(machine.uuid):
        stop.set()
        return
    with doing(f"Abort the move of {machine.name}"):
        machine.domain.abortJob()


def _written(volume: t.Any) -> str | None:
    """When it was last written to, of a file."""
    return xmltree.read(_described(volume), "target/timestamps/mtime")


def _described(volume: t.Any) -> t.Any:
    with doing(f"Look at {volume.name()}"):
        return xmltree.parse_trusted(volume.XMLDesc())


def _hand_over(machine: Machine, cargo: Cargo, there: t.Any, *, undefine: bool) -> None:
    with doing(f"Define {machine.name} at the destination"):
        domain = there.defineXML(cargo.definition)
    try:
        cargo.snapshots.teach(domain)
        if undefine:
            machine.undefine(keep_nvram=True, keep_tpm=True)
    except ArchipelError:
        with contextlib.suppress(ArchipelError):
            # Who does not answer may have let it go.
            machine.document()
            with doing(f"Undefine {machine.name} at the destination"):
                domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
        raise


class Copy:
    """Disks on their way, one after the other. What is a hole stays one, and is not sent."""

    def __init__(
        self,
        machine: Machine,
        disks: t.Sequence[tuple[t.Any, str]],
        there: t.Any,
        bandwidth: int | None,
        terms: content.Terms,
    ) -> None:
        self.machine = machine
        self.disks = disks
        self.there = there
        self.rate = bandwidth and bandwidth << 20
        self.terms = terms
        self.stop = threading.Event()
        self.began = time.monotonic()
        self.sent = 0

    def run(self) -> None:
        lengths = [length(volume) for volume, _path in self.disks]
        done, total = 0, sum(lengths)
        _copies[self.machine.uuid] = self.stop
        try:
            for (volume, path), size in zip(self.disks, lengths):
                share = _Share(self.terms.progress, done, size, total)
                self._copy(volume, path, size, dataclasses.replace(self.terms, progress=share))
                done += size
        finally:
            del _copies[self.machine.uuid]

    def _copy(self, volume: t.Any, path: str, size: int, terms: content.Terms) -> None:
        what = f"Copy {volume.name()} to the destination"
        with doing(what):
            target = self.there.storageVolLookupByPath(path)
        with contextlib.closing(content.received(volume.connect(), volume, size, what, terms)) as pieces:
            content.write(self.there, target, size, self._paced(pieces), what)
        arrived = length(target)
        # A device may be larger than what was asked for.
        with doing(what):
            whole = arrived == size if target.info()[0] == libvirt.VIR_STORAGE_VOL_FILE else arrived >= size
        if not whole:
            raise OperationFailed(f"{what}: {arrived} bytes are there, of {size}.")

    def _paced(self, pieces: t.Iterable[content.Piece]) -> t.Iterator[content.Piece]:
        """Not faster than is allowed, and not when somebody has ended it."""
        for piece in pieces:
            self.sent += len(piece) if isinstance(piece, bytes) else 0
            early = self.began + self.sent / self.rate - time.monotonic() if self.rate else 0
            if self.stop.wait(max(early, 0)):
                name, where = self.machine.name, self.machine.hypervisor.name
                raise OperationFailed(f"{name} was not moved: somebody aborted it. It is shutoff on {where}.")
            yield piece


class _Share(Progress):
    """How far one disk is, as a part of how far all are; in bytes."""

    def __init__(self, progress: Progress, done: int, size: int, total: int) -> None:
        self.progress = progress
        self.done = done
        self.size = size
        self.total = total

    def __call__(self, text: str, fraction: float | None = None) -> None:
        done = self.done + round((fraction or 0) * self.size)
        self.progress(f"copying disks, {done >> 20} of {self.total >> 20} MiB", done / self.total)
