# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The data behind a disk: how large it is, and making it larger."""

from __future__ import annotations

import contextlib
import typing as t

from .connection import doing, libvirt
from .errors import Conflict
from .storage import GIB

if t.TYPE_CHECKING:
    from .machine import Machine


def gib(size: int) -> float:
    """Bytes as GiB, a whole number where it is one."""
    return size // GIB if size % GIB == 0 else size / GIB


class Block:
    """A disk of a machine by its ``target``, or a volume by its ``path``, or both.

    While the machine runs, QEMU holds the data and has to be asked; otherwise the pool that the volume is in.
    """

    def __init__(
        self, handle: t.Any, machine: Machine | None, target: str | None, path: str | None, *, running: bool
    ) -> None:
        self.machine = machine if target else None
        self.target = target
        self.path = path
        self.busy = running and self.machine is not None
        self._volume: t.Any = None
        with contextlib.suppress(libvirt.libvirtError):
            self._volume = handle.storageVolLookupByPath(path) if path else None

    @property
    def capacity(self) -> int:
        """In bytes, as the machine sees it."""
        with doing(f"Look at {self._name}"):
            if self._volume is not None:
                return self._volume.info()[1]
            if self.machine is not None:
                return self.machine.domain.blockInfo(self.target)[0]
        raise Conflict(f"{self._name} has no size that can be found out: it is no volume of an active pool.")

    @property
    def _name(self) -> str:
        return f"{self.target} of {self.machine.name}" if self.machine else str(self.path)

    def refuse(self, *, shrink: bool) -> None:
        """Say before anything is done what cannot be done."""
        if self.busy and shrink:
            raise Conflict(f"{self._name} cannot be made smaller while the machine runs; shut it down first.")
        if not self.busy and self._volume is None:
            raise Conflict(f"{self._name} is no volume of an active pool; it can grow while the machine runs.")

    def resize(self, size: int) -> None:
        """``size`` in bytes."""
        with doing(f"Resize {self._name}"):
            if self.busy:
                flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
                t.cast("Machine", self.machine).domain.blockResize(self.target, size, flags)
            else:
                smaller = size < self._volume.info()[1]
                self._volume.resize(size, libvirt.VIR_STORAGE_VOL_RESIZE_SHRINK if smaller else 0)
