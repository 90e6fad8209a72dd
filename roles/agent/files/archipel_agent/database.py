# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent keeps over a restart: passwords, jobs, grants, tags, what it has published. One SQLite file, 0600."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3
import typing as t

# The schema is what these scripts, run in order, make; PRAGMA user_version counts those that have run.
MIGRATIONS: t.Final = (
    """
    CREATE TABLE accounts (
        uuid TEXT PRIMARY KEY,
        password TEXT NOT NULL,
        registered INTEGER NOT NULL DEFAULT 0,
        elsewhere INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        action TEXT NOT NULL,
        kind TEXT NOT NULL,
        entity TEXT NOT NULL,
        author TEXT NOT NULL,
        door TEXT NOT NULL,
        arguments TEXT NOT NULL,
        subjects TEXT NOT NULL,
        state TEXT NOT NULL,
        text TEXT,
        fraction REAL,
        started TEXT NOT NULL,
        ended TEXT,
        result TEXT,
        error TEXT
    ) STRICT;
    CREATE TABLE published (item TEXT PRIMARY KEY) STRICT;
    """,
    """
    CREATE TABLE health (
        time INTEGER NOT NULL,
        every REAL NOT NULL,
        host TEXT NOT NULL,
        vms BLOB NOT NULL,
        PRIMARY KEY (every, time)
    ) STRICT;
    """,
    """
    CREATE TABLE rights (
        node TEXT NOT NULL,
        item TEXT NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (node, item)
    ) STRICT;
    """,
    "CREATE TABLE tags (tag TEXT PRIMARY KEY) STRICT;",
    """
    CREATE TABLE schedules (
        machine TEXT NOT NULL,
        name TEXT NOT NULL,
        machine_name TEXT NOT NULL,
        author TEXT NOT NULL,
        definition TEXT NOT NULL,
        next TEXT,
        last TEXT,
        leaving TEXT,
        token TEXT,
        PRIMARY KEY (machine, name)
    ) STRICT;
    CREATE TABLE inherited (token TEXT PRIMARY KEY, taken INTEGER NOT NULL, time TEXT NOT NULL) STRICT;
    """,
    "CREATE TABLE groups (jid TEXT PRIMARY KEY, labels TEXT NOT NULL) STRICT;",
    "CREATE TABLE parked (item TEXT PRIMARY KEY) STRICT;",
    """
    CREATE TABLE maintenance (since TEXT NOT NULL, "by" TEXT NOT NULL) STRICT;
    CREATE TABLE away (
        uuid TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        hypervisor TEXT,
        stopped INTEGER NOT NULL,
        arguments TEXT NOT NULL
    ) STRICT;
    CREATE TABLE lodgers (uuid TEXT PRIMARY KEY, home TEXT NOT NULL) STRICT;
    """,
)


class DatabaseError(Exception):
    """The file is of a newer agent, or not ours."""


def connect(path: pathlib.Path) -> sqlite3.Connection:
    """An open database of the newest schema, in autocommit; rows are addressed by column name."""
    # SQLite gives its -wal and -shm files the mode of the database.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    os.chmod(path, 0o600)
    database = sqlite3.connect(path, isolation_level=None)
    database.row_factory = sqlite3.Row
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise DatabaseError(f"{path}: {error}. Move it away, and the agent begins with a new one.") from error
    if version > len(MIGRATIONS):
        raise DatabaseError(
            f"{path} is of schema {version}, this agent knows {len(MIGRATIONS)}: it was written by a newer agent."
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        database.executescript(f"BEGIN; {script} PRAGMA user_version={number}; COMMIT;")
    return database


@contextlib.contextmanager
def durably(database: sqlite3.Connection) -> t.Iterator[None]:
    """All of it or nothing, and not even a power cut takes it back."""
    database.execute("PRAGMA synchronous=FULL")
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    else:
        database.execute("COMMIT")
    finally:
        database.execute("PRAGMA synchronous=NORMAL")
