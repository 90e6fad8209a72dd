# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defines machines by the core, hundreds in seconds. Runs on a host: ``python - TASKS``, which is JSON, compressed, in
base64: ``[[definition, other definition] ...]``.

Each machine is made as the first says and changed to what the other says. Writes for each of both as JSON what was
refused, and what the same definition would change again.
"""

from __future__ import annotations

import base64
import json
import sys
import typing as t
import zlib

from archipel.connection import Connection
from archipel.errors import ArchipelError
from archipel.hypervisor import ACTIONS, Hypervisor

NAME = "kept1"


def main() -> None:
    pairs = json.loads(zlib.decompress(base64.b64decode(sys.argv[1])))
    action = ACTIONS["vm"]
    with Connection("qemu:///system") as connection:
        hypervisor = Hypervisor(connection, "hv1")

        def vm(**arguments: t.Any) -> dict[str, t.Any]:
            return t.cast("dict[str, t.Any]", action.function(hypervisor, **action.bind({"name": NAME, **arguments})))

        results = []
        for pair in pairs:
            found = []
            for definition in pair:
                try:
                    vm(definition=definition)
                    found.append({"refused": None, "again": vm(definition=definition, check=True)["changes"]})
                except ArchipelError as error:
                    found.append({"refused": error.message, "again": []})
            vm(state="absent", force=True)
            results.append(found)
    print(json.dumps(results))


main()
