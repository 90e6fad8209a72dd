# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd is told (sd_notify(3)): a datagram to the socket that the environment names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket


def notify(*assignments: str) -> None:
    """Tell systemd, for example ``READY=1``; nothing happens without systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto("\n".join(assignments).encode(), address)


async def keep_watchdog_quiet() -> None:
    """Report twice in each period of ``WatchdogSec`` that the event loop turns; for ever, asked for or not."""
    microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(microseconds / 2_000_000 if microseconds else 3600)
