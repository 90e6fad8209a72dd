# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How a machine's memory lies in the host's: keys are virt-install's."""

from __future__ import annotations

import typing as t

from .elements import Attribute
from .groups import Group

MEMORYBACKING: t.Final = Group(
    "memorybacking",
    (
        Attribute("hugepages", "hugepages?", "Whether it lies in huge pages.", bool),
        Attribute("hugepage_size", "hugepages/page/@size", "Size of the huge pages in KiB, of those that the host has.",
                  int, unit="KiB", minimum=1),
        Attribute("nosharepages", "nosharepages?", "Whether the host may not merge equal pages.", bool),
        Attribute("locked", "locked?", "Whether the host may not swap it out.", bool),
        Attribute("source", "source/@type", "What it is made of; V(memfd) can be shared.",
                  choices=("file", "anonymous", "memfd"), offered="memoryBacking/sourceType"),
        Attribute("access", "access/@mode", "Whether other processes of the host see it, as virtiofs needs.",
                  choices=("shared", "private")),
        Attribute("allocation", "allocation/@mode", "When it is allocated.", choices=("immediate", "ondemand")),
        Attribute("discard", "discard?", "Whether it is thrown away when the machine stops.", bool),
    ),
    path="memoryBacking",
    help="What the machine's memory is made of.",
)  # fmt: skip

MEMTUNE: t.Final = Group(
    "memtune",
    (
        Attribute("hard_limit", "hard_limit", "KiB that the machine with its emulator may use at most.", int,
                  unit="KiB", minimum=1),
        Attribute("soft_limit", "soft_limit", "KiB that it keeps to where memory is short.", int, unit="KiB",
                  minimum=1),
        Attribute("swap_hard_limit", "swap_hard_limit", "KiB of memory and swap together.", int, unit="KiB",
                  minimum=1),
    ),
    path="memtune",
    help="Limits to the machine's use of the host's memory.",
)  # fmt: skip

BLKIOTUNE: t.Final = Group(
    "blkiotune",
    (
        Attribute("weight", "weight", "Weight against other machines where the disks are busy, 100 to 1000.", int,
                  minimum=100),
    ),
    path="blkiotune",
    help="How much of the host's disks the machine gets.",
)  # fmt: skip
