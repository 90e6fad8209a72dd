# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How much room there is: bytes to us, a number of GiB or a text with a unit to people."""

from __future__ import annotations

import decimal
import re
import typing as t

from . import xmltree
from .elements import UNITS, Attribute
from .errors import InvalidArgument

_WRITTEN: t.Final = re.compile(r"(\d+(?:[.]\d+)?) *([A-Za-z]*)")
_BINARY: t.Final = ("TiB", "GiB", "MiB", "KiB")
_LARGEST: t.Final = 1 << 60


class Size(int):
    """Bytes. As text it is what a person would write: ``20GiB``, ``512MiB``, in the largest unit without a rest."""

    type_name: t.ClassVar[str] = "str"

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> Size:
        """From ``20`` or ``"20"``, which are GiB, or ``"512MiB"``, in any unit that libvirt knows."""
        written = _WRITTEN.fullmatch(str(untrusted).strip()) if isinstance(untrusted, (int, float, str)) else None
        unit = (written[2] or "GiB") if written else ""
        if written is None or unit not in UNITS:
            raise InvalidArgument(
                f"{where}: {str(untrusted)[:80]!r} is no size; write a number of GiB, or one with its unit like 512MiB."
            )
        size = int(decimal.Decimal(written[1]) * UNITS[unit])
        if not 0 < size <= _LARGEST:
            raise InvalidArgument(f"{where}: {str(untrusted)[:80]!r} is no size that a disk can have.")
        return cls(size)

    def __str__(self) -> str:
        unit = next((unit for unit in _BINARY if self and not int(self) % UNITS[unit]), "b")
        return f"{int(self) // UNITS[unit]}{unit}"

    def __repr__(self) -> str:
        return str(self)


def about(size: float) -> str:
    """Bytes as a person says them, rounded: ``1.5 GiB``, ``128 MiB``."""
    unit = next((unit for unit in _BINARY if size >= UNITS[unit]), "KiB")
    number = f"{size / UNITS[unit]:.1f}"
    return f"{number[:-2] if number.endswith('.0') else number} {unit}"


class Bytes(Attribute):
    """A size in the XML, in whatever unit it is there."""

    def read(self, node: t.Any) -> t.Any:
        text = xmltree.read(node, self.path)
        return None if text is None else Size(int(text) * UNITS[xmltree.read(node, f"{self.path}/@unit") or "bytes"])

    def write(self, node: t.Any, value: t.Any) -> None:
        xmltree.write(node, self.path, str(int(value))).set("unit", "bytes")
