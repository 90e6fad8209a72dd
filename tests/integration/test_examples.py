# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the documentation, run as they are written, but for where the platform is."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client
from ejabberd import PASSWORD

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What examples need: machines that they speak of. Those of nwfilter, vm, vm_console_info, vm_import and vm_migrate need
# QEMU or a second hypervisor, and are validated in tests/unit; those of secret and volume run in test_storage.py.
MODULES = (
    *("entity_command", "hypervisor_info", "hypervisor_maintenance", "hypervisor_tags", "network", "network_info"),
    *("permission", "permission_info", "pool", "pool_info", "pubsub_node", "role", "schedule", "schedule_info"),
    *("vm_bulk", "vm_info", "vm_park_info", "vm_screenshot", "vm_sendkey", "vm_snapshot", "vm_snapshot_info"),
    *("vm_tags", "volume_info"),
)
WEB1 = "2a5bb1d6-3e0b-4e59-9c4b-0b3c1f6a7d11"


def examples(module: str, domain: str) -> list[dict[str, t.Any]]:
    source: dict[str, t.Any] = {}
    exec((ROOT / "plugins/modules" / f"{module}.py").read_text().partition("\nfrom ansible_collections")[0], source)
    return t.cast("list[dict[str, t.Any]]", yaml.safe_load(source["EXAMPLES"].replace("example.org", domain)))


@pytest.fixture(scope="module")
def web1(over: t.Callable[[str], t.Any], platform: t.Any) -> t.Iterator[None]:
    """The machine that the examples speak of, with its contact."""
    xmpp = over("xmpp")
    xmpp.play({"archipel.orchestrator.vm": {"name": "web1", "uuid": WEB1, "memory": 64, "state": "running"}})
    platform.wait_until(lambda: _has_contact(platform), "web1 has no contact")
    yield
    xmpp.play(
        {"archipel.orchestrator.vm": {"name": "web1", "state": "absent", "force": True}},
        {"archipel.orchestrator.pubsub_node": {"name": "/archipel/tags", "state": "absent"}},
    )


@pytest.mark.usefixtures("web1")
@pytest.mark.parametrize("module", MODULES)
def test_documented_examples_run(over: t.Callable[[str], t.Any], platform: t.Any, module: str) -> None:
    ansible = over("xmpp")
    # What they leave to the environment or to the task's host.
    known = {name: ansible.defaults[name] for name in ("xmpp_host", "xmpp_port", "xmpp_ca_file")}
    tasks = [
        {**{key: value for key, value in task.items() if key != "register"}, "vars": {"admin_password": PASSWORD}}
        for task in examples(module, platform.server.domain)
    ]
    results = ansible.play(*tasks, defaults={**known, "uri": platform.uri})
    for task, result in zip(tasks, results, strict=True):
        assert not result["failed"], (task["name"], result["msg"])


def _has_contact(platform: t.Any) -> bool:
    client = Client(platform.account())
    return client.ping([client.account.machine(WEB1, "hv1")], timeout=1) == [None]
