# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast Archipel is, beside libvirt itself and beside community.libvirt."""

from __future__ import annotations

import argparse
import importlib
import pathlib
import signal
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The core, the agent, and the servers of other tests.
sys.path += [
    str(ROOT / part) for part in ("plugins/module_utils", "roles/agent/files", "tests/agent", "tests/integration")
]

import report  # noqa: E402
from stage import Stage  # noqa: E402

PARTS = {
    "lifecycle": "Start and stop",
    "bulk": "Many machines at once",
    "hosts": "Machines as hosts",
    "converge": "Nothing to do",
    "info": "Information",
    "inventory": "Inventory",
    "accounts": "Accounts",
    "contacts": "Contacts",
    "idle": "An idle agent",
    "latency": "Requests",
    "events": "Events",
    "rights": "Rights",
    "push": "Push",
    "migration": "Migration",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if options.write and options.parts:
        parser.error("only a whole run is written")

    # So that what was started here is ended.
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(1))
    written = [report.head(options.rounds)]
    print(written[0], flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        stage = Stage(pathlib.Path(directory))
        for name in options.parts or PARTS:
            print(name, file=sys.stderr, flush=True)
            part = importlib.import_module(name)
            written.append(report.section(PARTS[name], part.__doc__ or "", part.run(stage, options.rounds)))
            print(written[-1], flush=True)
    if options.write:
        (ROOT / "docs/performance.md").write_text("\n".join(written).rstrip() + "\n")


if __name__ == "__main__":
    main()
