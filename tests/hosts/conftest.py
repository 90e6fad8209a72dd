# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on real hosts: a lab of their own beside the one that a person may have up."""

from __future__ import annotations

import dataclasses
import sys
import time
import typing as t

import pytest

from lab import hosts, lifecycle
from lab.plan import Lab, host
from lab.steps import run


@pytest.fixture(scope="session")
def lab() -> t.Iterator[Lab]:
    lab = dataclasses.replace(Lab.from_environment(), name="test", network="10.97.0")
    lifecycle.down(lab)
    yield lab
    lifecycle.down(lab)


@pytest.fixture(scope="session")
def on(lab: Lab) -> t.Callable[[str, str], str]:
    """What a command on a host writes; LabError when it fails."""
    return lambda name, command: run(*hosts.ssh(lab, host(name), command)).strip()


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> t.Iterator[None]:
    """How long each step took, though pytest keeps the rest to itself."""
    began = time.monotonic()
    yield
    with capsys.disabled():
        print(f"  {request.node.name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
