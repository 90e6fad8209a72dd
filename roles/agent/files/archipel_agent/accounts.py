# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of machines, as this agent keeps them."""

from __future__ import annotations

import secrets
import sqlite3


class Accounts:
    """Their passwords, and whose machines are on another hypervisor. An account is ``registered`` when the server is
    known to have it with this password."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def password(self, uuid: str) -> str:
        """Made now for a machine that was never here."""
        self._database.execute(
            "INSERT OR IGNORE INTO accounts (uuid, password) VALUES (?, ?)", (uuid, secrets.token_urlsafe(24))
        )
        row = self._database.execute("SELECT password FROM accounts WHERE uuid = ?", (uuid,)).fetchone()
        return str(row["password"])

    def registered(self, uuid: str) -> str | None:
        """The password, if the server has the account."""
        row = self._database.execute("SELECT password FROM accounts WHERE uuid = ? AND registered", (uuid,)).fetchone()
        return None if row is None else str(row["password"])

    def note(self, uuid: str, password: str) -> None:
        """The server has the account with this password, and the machine is here."""
        self._database.execute(
            "INSERT OR REPLACE INTO accounts (uuid, password, registered) VALUES (?, ?, 1)", (uuid, password)
        )

    def elsewhere(self) -> set[str]:
        """UUIDs of machines that have gone to another hypervisor."""
        return {row["uuid"] for row in self._database.execute("SELECT uuid FROM accounts WHERE elsewhere")}

    def mark(self, uuid: str, *, elsewhere: bool) -> None:
        self._database.execute("UPDATE accounts SET elsewhere = ? WHERE uuid = ?", (elsewhere, uuid))
