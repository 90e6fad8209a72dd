# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage of these tests: one ejabberd for all of them, agents and people as each test wants them.

Tests are coroutines; each has 100 s. Agents run in the test's own process with libvirt's test driver, whose machine
``test`` is running when nobody has changed it, or as a process where signals and crashes matter.
"""

from __future__ import annotations

import asyncio
import inspect
import pathlib
import sys
import typing as t

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# libvirtd.py is shared with the tests of the modules.
sys.path[:0] = [str(ROOT / "tests/agent"), str(ROOT / "tests/integration")]

from ejabberd import DOMAIN, Ejabberd, available  # noqa: E402
from world import Daemon, World  # noqa: E402

SECONDS = 100


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def play() -> None:
        async with asyncio.timeout(SECONDS):
            await pyfuncitem.obj(**wanted)

    asyncio.run(play())
    return True


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Ejabberd]:
    if not available():
        pytest.fail("ejabberd is missing: apt-get install ejabberd")
    made = Ejabberd(tmp_path_factory.mktemp("ejabberd"))
    try:
        made.prepare()
        made.register("stranger")
        yield made
    finally:
        made.stop()


@pytest.fixture
def libvirtd() -> t.Iterator[Daemon]:
    daemon = Daemon()
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture
def world(server: Ejabberd, tmp_path: pathlib.Path) -> t.Iterator[World]:
    yield World(server, tmp_path)
    # The next test's agent has a new state, so it must be able to make the machines' accounts anew.
    for name in server.registered() - {"admin", "stranger", *server.hypervisors}:
        server.api("unregister", user=name, host=DOMAIN)
