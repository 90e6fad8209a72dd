# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hypervisor of its own for each test: libvirt's test driver, on a host described by tests/data/node.xml."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from archipel.connection import Connection
from archipel.hypervisor import ACTIONS, Hypervisor

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
        beside = ("name", "uuid", "state", "xml", "force", "wait", "wait_timeout", "check")
        arguments = {key: untrusted.pop(key) for key in beside if key in untrusted}
        return run("vm", **arguments, **({"definition": untrusted} if untrusted else {}))

    return vm
