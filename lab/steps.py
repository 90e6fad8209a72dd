# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told: steps with their seconds, commands that failed with the end of what they said."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import subprocess
import sys
import time
import typing as t

_WIDTH: t.Final = 72
_TAIL: t.Final = 25


class LabError(Exception):
    """Something that a person can mend. The message names the thing, what was wrong and what to do."""


@contextlib.contextmanager
def step(text: str, *, indent: int = 2) -> t.Iterator[None]:
    """Say what begins, and how many seconds it took. On a failure the line ends in ``failed``."""
    sys.stdout.write(f"{' ' * indent}{text} ".ljust(_WIDTH, "."))
    sys.stdout.flush()
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print("  failed")
        raise
    print(f"{time.monotonic() - began:6.1f} s")


def together(text: str, works: dict[str, t.Callable[[], object]]) -> None:
    """Do works at the same time, each named by its key; then tell how long each took. All end before a failure
    is raised."""
    if len(works) <= 1:
        for name, work in works.items():
            with step(name):
                work()
        return
    seconds: dict[str, float] = {}

    def timed(name: str, work: t.Callable[[], object]) -> None:
        began = time.monotonic()
        work()
        seconds[name] = time.monotonic() - began

    with step(text), concurrent.futures.ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(timed, name, work) for name, work in works.items()]
        concurrent.futures.wait(futures)
        for future in futures:
            future.result()
    for name, spent in seconds.items():
        print(f"      {name} ".ljust(_WIDTH) + f"{spent:6.1f} s")


def run(
    *command: str | os.PathLike[str],
    name: str | None = None,
    log: pathlib.Path | None = None,
    input: str | None = None,
    environment: dict[str, str] | None = None,
    cwd: pathlib.Path | None = None,
) -> str:
    """Run a command to its end and return what it wrote to stdout and stderr; ``log`` gets it too, as it comes.

    Raises LabError with the end of it when the command fails; ``name`` is what to call it then.
    """
    words = [os.fspath(word) for word in command]
    path = log or pathlib.Path(os.devnull)
    with path.open("a+", encoding="utf-8", errors="replace") as sink:
        begin = sink.tell()
        done = subprocess.run(
            words,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=sink if log else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            text=True,
            errors="replace",
            check=False,
        )
        if log:
            sink.seek(begin)
        said = sink.read() if log else done.stdout
    if done.returncode:
        tail = "\n".join(f"    {line}" for line in said.splitlines()[-_TAIL:])
        where = f"\n  All of it is in {log}." if log else ""
        raise LabError(f"{name or ' '.join(words[:6])} ended with {done.returncode}:\n{tail}{where}")
    return said
