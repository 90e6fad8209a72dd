# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told: steps with their seconds, commands that failed with the end of what they said."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time
import typing as t

_WIDTH: t.Final = 80
_TAIL: t.Final = 20
_LONGEST: t.Final = 600


class LabError(Exception):
    """Something that a person can mend. The message names the thing, what was wrong and what to do."""


@contextlib.contextmanager
def step(text: str) -> t.Iterator[t.Callable[[str], None]]:
    """Say what begins, and how many seconds it took. On a failure the line ends in ``failed``.

    What the yielded function is given is shown on a terminal until it is given something else.
    """
    line = f"  {text} ".ljust(_WIDTH, ".")
    terminal = sys.stdout.isatty()

    def show(shown: str) -> None:
        sys.stdout.write(f"\r{shown}" if terminal else shown)
        sys.stdout.flush()

    def now(doing: str) -> None:
        if terminal:
            show(f"  {text} · {doing}"[:_WIDTH].ljust(_WIDTH + 8))

    show(line)
    began = time.monotonic()
    try:
        yield now
    except BaseException:
        print(f"\r{line}  failed" if terminal else "  failed")
        raise
    print(f"\r{line}" if terminal else "", f"{time.monotonic() - began:6.1f} s", sep="")


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
    environment: t.Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    heard: t.Callable[[str], None] | None = None,
    failure: str = r"(?!)",
) -> str:
    """Run a command to its end and return what it wrote to stdout and stderr. ``log`` and ``heard`` get each line of it
    as it comes.

    Raises LabError when the command fails, with the lines that match ``failure`` and the end; ``name`` is what to call
    it then.
    """
    words = [os.fspath(word) for word in command]
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(log.open("a", encoding="utf-8")) if log else None
        process = stack.enter_context(
            subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                text=True,
                errors="replace",
            )
        )
        if process.stdin is not None:
            process.stdin.write(input or "")
            process.stdin.close()
        for line in process.stdout or ():
            said.append(line)
            if sink:
                sink.write(line)
                sink.flush()
            if heard:
                heard(line)
    if process.returncode:
        telling = [line for line in said[:-_TAIL] if re.match(failure, line)]
        tail = "".join(f"    {line.rstrip()[:_LONGEST]}\n" for line in [*telling, *said[-_TAIL:]])
        where = f"  All of it is in {log}.\n" if log else ""
        raise LabError(f"{name or ' '.join(words[:6])} ended with {process.returncode}:\n{tail}{where}".rstrip())
    return "".join(said)
