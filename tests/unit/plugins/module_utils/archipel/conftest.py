# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hypervisor of its own for each test: libvirt's test driver, on a host described by tests/data/node.xml."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t
import uuid

import pytest
from archipel.connection import Connection
from archipel.hypervisor import ACTIONS, Hypervisor

from tests.integration.libvirtd import Libvirtd

ROOT = pathlib.Path(__file__).resolve().parents[5]
NODE = ROOT / "tests/data/node.xml"

Result = dict[str, t.Any]
Run = t.Callable[..., Result]


@pytest.fixture
def data() -> pathlib.Path:
    return ROOT / "tests/data"


@pytest.fixture
def connection() -> t.Iterator[Connection]:
    with Connection(f"test://{NODE}") as connection:
        yield connection


@pytest.fixture
def hypervisor(connection: Connection) -> Hypervisor:
    return Hypervisor(connection, "hv1")


@pytest.fixture
def run(hypervisor: Hypervisor) -> Run:
    """Run an action of the hypervisor by its name, with arguments as they come from outside."""
    actions = ACTIONS

    def run(action: str, /, **untrusted: t.Any) -> Result:
        return actions[action].function(hypervisor, **actions[action].bind(untrusted))

    return run


@pytest.fixture
def vm(run: Run) -> Run:
    """The action ``vm``, with the definition's keys beside its arguments, as its module has them."""

    def vm(**untrusted: t.Any) -> Result:
        beside = {argument.name for argument in ACTIONS["vm"].arguments} - {"definition"}
        arguments = {key: untrusted.pop(key) for key in beside if key in untrusted}
        return run("vm", **arguments, **({"definition": untrusted} if untrusted else {}))

    return vm


@pytest.fixture(scope="session")
def daemon() -> t.Iterator[Libvirtd]:
    """libvirt's own drivers of storage and of secrets, as an unprivileged user's."""
    daemon = Libvirtd()
    daemon.start()
    yield daemon
    daemon.stop()


@dataclasses.dataclass
class Store:
    """A host of real storage: its one pool is a directory that belongs to libvirt's user."""

    hypervisor: Hypervisor
    directory: pathlib.Path
    pool: str = "images"

    def run(self, action: str, /, **untrusted: t.Any) -> Result:
        return ACTIONS[action].function(self.hypervisor, **ACTIONS[action].bind(untrusted))

    def volume(self, name: str, /, **untrusted: t.Any) -> Result:
        """The action ``volume``, with the definition's keys beside its arguments, as its module has them."""
        beside = {argument.name for argument in ACTIONS["volume"].arguments} - {"definition"}
        arguments = {key: untrusted.pop(key) for key in beside if key in untrusted}
        return self.run("volume", pool=self.pool, name=name, definition=untrusted, **arguments)


@pytest.fixture
def store(daemon: Libvirtd) -> t.Iterator[Store]:
    with Connection(f"storage+unix:///session?socket={daemon.socket}") as connection:
        store = Store(Hypervisor(connection, "hv1"), daemon.directory / uuid.uuid4().hex[:8])
        target = {"target": str(store.directory), "permissions": {"mode": "0755"}}
        store.run("pool", name=store.pool, state="active", build=True, definition=target)
        yield store
        for pool in connection.handle.listAllStoragePools():
            if pool.isActive():
                pool.destroy()
            pool.undefine()


@pytest.fixture
def vault(daemon: Libvirtd) -> t.Iterator[Run]:
    """The action ``secret`` on a host that keeps secrets."""
    with Connection(f"secret+unix:///session?socket={daemon.socket}") as connection:
        host = Hypervisor(connection, "hv1")
        yield lambda **untrusted: ACTIONS["secret"].function(host, **ACTIONS["secret"].bind(untrusted))
        for secret in connection.handle.listAllSecrets():
            secret.undefine()
