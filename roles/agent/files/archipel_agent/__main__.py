# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``archipel-agent``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import pathlib
import sys
import threading
import typing as t

from . import __version__, check
from .config import DEFAULT_FILE, ConfigError, load
from .daemon import serve
from .database import DatabaseError

try:
    import uvloop
except ImportError:
    # asyncio's own loop does the same with four times the memory for each contact.
    uvloop = None


class OneLine(logging.Formatter):
    """What is logged quotes names that others chose: no sign in one ends the line and begins another."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in super().formatMessage(record))


def main(arguments: t.Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("archipel-agent", description=__doc__)
    parser.add_argument(
        "--config", type=pathlib.Path, default=DEFAULT_FILE, help="configuration (default: %(default)s)"
    )
    parser.add_argument("--check", action="store_true", help="say what is wrong with the configuration, and end")
    parser.add_argument("--no-connect", action="store_true", help="with --check: read the file only, connect nowhere")
    parser.add_argument("--verbose", action="store_true", help="log more; the protocol's stanzas are not logged")
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(arguments)
    if options.check:
        logging.disable()
        found = check.faults(options.config, connect=not options.no_connect)
        for fault in found:
            print(fault)
        return 1 if found else 0
    logging.basicConfig(level=logging.INFO)
    logging.getLogger().handlers[0].setFormatter(OneLine("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger("archipel_agent").setLevel(logging.DEBUG if options.verbose else logging.INFO)
    # Its lower levels hold whole stanzas, and with them passwords; what matters of its errors is said by the session.
    logging.getLogger("slixmpp").setLevel(logging.CRITICAL)
    return _serve(options.config)


def _serve(file: pathlib.Path) -> int:
    try:
        config = load(file)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
            runner.run(serve(config, file))
    except (ConfigError, DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    busy = [thread for thread in threading.enumerate() if thread.name.startswith("libvirt-") and not thread.daemon]
    for thread in busy:
        thread.join(0.5)
    if any(thread.is_alive() for thread in busy):
        # A thread inside a call of libvirt cannot be cancelled, and Python would wait for it. libvirt's daemons carry
        # a migration on by themselves.
        logging.shutdown()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
