# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the noxfile's sessions one after another, whatever fails, and say what each took.

``run.py [--tags TAG...]``: without a tag, those that nox runs when none is named. A session whose tests pytest
counted into ``.cache/results/<session>.xml`` counts as that many, any other as one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import time
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".cache/results"
NOX = (sys.executable, "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"))


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    seconds: float
    succeeded: bool
    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        counts = f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")
        return f"{self.name:<24}{self.seconds:>7.1f} s  {'ok    ' if self.succeeded else 'FAILED'}  {counts}"


def sessions(selection: list[str]) -> list[str]:
    """The names of the selected sessions, in the noxfile's order."""
    listing = subprocess.run([*NOX, "--list", "--json", *selection], check=True, stdout=subprocess.PIPE)
    return [session["session"] for session in json.loads(listing.stdout)]


def run(name: str) -> Part:
    results = RESULTS / f"{name}.xml"
    results.unlink(missing_ok=True)
    started = time.monotonic()
    nox = subprocess.run([*NOX, "--session", name], check=False, stdin=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    succeeded = nox.returncode == 0
    if not results.exists():
        return Part(name, seconds, succeeded, int(succeeded), int(not succeeded), 0)
    suite = ElementTree.parse(results).getroot()[0]
    total, failures, errors, skipped = (int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped"))
    # A session can also fail around its tests, that is one more. A test that was left out has not passed.
    failed = failures + errors + int(not succeeded and not failures + errors)
    return Part(name, seconds, succeeded and not skipped, total - failures - errors - skipped, failed, skipped)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tags", nargs="+", default=[])
    tags = parser.parse_args().tags
    RESULTS.mkdir(parents=True, exist_ok=True)
    names = sessions(["--tags", *tags] if tags else [])
    parts = []
    for position, name in enumerate(names, 1):
        print(f"\n=== {name} ({position} of {len(names)})", flush=True)
        parts.append(run(name))
        print(parts[-1], flush=True)
    print("\n=== all parts")
    print(*parts, sep="\n")
    print(f"{'together':<24}{sum(part.seconds for part in parts):>7.1f} s")
    print(f"{sum(part.passed for part in parts)} passed, {sum(part.failed for part in parts)} failed")
    return int(not parts or not all(part.succeeded for part in parts))


if __name__ == "__main__":
    sys.exit(main())
