# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""libvirt's last error, kept while Python collects garbage.

libvirt-python asks for a thread's last error when the failed call has returned. When Python collects garbage just
then, and a domain or a volume is part of it, libvirt is told to free it, and that call resets the error: "not found"
becomes a failure without a reason. Seen with libvirt-python 9.0 under Python 3.11 and 3.12.
"""

from __future__ import annotations

import gc
import threading
import typing as t

_kept = threading.local()


def keep(libvirt: t.Any) -> None:
    """Have libvirt-python find the error it asks for, in every thread; twice is as once."""
    bindings = libvirt.libvirtmod
    read = bindings.virGetLastError
    if getattr(read, "__module__", None) == __name__:
        return

    def before_collection(phase: str, _info: dict[str, int]) -> None:
        # A second collection in a row finds the error reset, and must not forget what the first has kept.
        if phase == "start" and (error := read()):
            _kept.error = error

    def last_error() -> t.Any:
        kept = vars(_kept).pop("error", None)
        return read() or kept

    gc.callbacks.append(before_collection)
    bindings.virGetLastError = last_error
