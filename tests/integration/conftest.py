# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform for all tests of this directory, and Ansible at its door."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_configure(config: pytest.Config) -> None:
    tree = ROOT / ".cache/collections"
    link = tree / "ansible_collections/archipel/orchestrator"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT, target_is_directory=True)
    # The platform's server is the one of the agent's tests.
    sys.path[:0] = [str(tree), str(ROOT / "tests/agent"), str(ROOT / "tests/integration")]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Any]:
    from platform_under_test import Platform

    made = Platform(tmp_path_factory.mktemp("platform"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def ways(platform: t.Any) -> dict[str, dict[str, t.Any]]:
    """Both ways to the same libvirtd, as defaults of the action group."""
    server = platform.server
    return {
        "libvirt": {"via": "libvirt", "uri": platform.uri, "hypervisor": "hv1"},
        "xmpp": {
            "via": "xmpp",
            "xmpp_jid": server.administrator,
            "xmpp_password": server.password,
            "xmpp_host": server.host,
            "xmpp_port": server.port,
            "xmpp_ca_file": str(server.ca_file),
        },
    }


@pytest.fixture(scope="session")
def over(ways: dict[str, dict[str, t.Any]], tmp_path_factory: pytest.TempPathFactory) -> t.Callable[[str], t.Any]:
    """Ansible, that goes ``libvirt`` or ``xmpp``."""
    from playbook import Ansible

    return lambda way: Ansible(tmp_path_factory.mktemp(way), ROOT / ".cache/collections", ways[way])


@pytest.fixture(params=["libvirt", "xmpp"])
def ansible(request: pytest.FixtureRequest, over: t.Callable[[str], t.Any]) -> t.Any:
    """Ansible, both ways."""
    return over(request.param)
