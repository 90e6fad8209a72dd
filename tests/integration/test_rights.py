# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and grants as tasks write them, and what comes of them at the agent."""

from __future__ import annotations

import typing as t

import pytest
from playbook import assert_cycle, cycle

ROLE = "archipel.orchestrator.role"
PERMISSION = "archipel.orchestrator.permission"
INFO = "archipel.orchestrator.permission_info"


@pytest.fixture
def xmpp(over: t.Callable[[str], t.Any]) -> t.Any:
    return over("xmpp")


def test_a_role_comes_changes_and_goes(xmpp: t.Any) -> None:
    create = {ROLE: {"name": "night", "permissions": ["lifecycle", "view"], "description": "Until the morning"}}
    change = {ROLE: {"name": "night", "permissions": ["view", "screenshot"]}}
    results = xmpp.play(*cycle(create, change, {ROLE: {"name": "night", "state": "absent"}}))
    assert_cycle(results)
    assert results[1]["role"]["permissions"] == ["lifecycle", "view"]
    assert results[5]["changes"][0]["new"] == {"permissions": ["screenshot", "view"], "description": ""}


def test_a_grant_comes_changes_and_goes(xmpp: t.Any) -> None:
    create = {PERMISSION: {"name": "g", "jid": "Alice@xmpp.test", "role": "viewer", "scope": {"platform": True}}}
    change = {PERMISSION: {"name": "g", "group": "Web people", "permissions": ["view"], "scope": {"tag": "web"}}}
    results = xmpp.play(*cycle(create, change, {PERMISSION: {"name": "g", "state": "absent"}}))
    assert_cycle(results)
    assert results[1]["permission"] == {
        "name": "g",
        "state": "present",
        "jid": "alice@xmpp.test",
        "role": "viewer",
        "scope": {"platform": True},
    }


def test_what_somebody_may_is_told(xmpp: t.Any) -> None:
    _granted, told, _gone = xmpp.play(
        {PERMISSION: {"name": "g", "jid": "alice@xmpp.test", "permissions": ["vm_info"], "scope": {"platform": True}}},
        {INFO: {"hypervisor": "hv1", "jid": "alice@xmpp.test"}, "until": "result_1.actions | length > 0", "delay": 1},
        {PERMISSION: {"name": "g", "state": "absent"}},
    )
    allowed = {action["name"]: action["by"] for action in told["actions"]}
    assert allowed["vm_info"] == ["grant g"]
    assert "vm" not in allowed


GRANT: t.Final = {"name": "g", "jid": "alice@xmpp.test", "scope": {"platform": True}}
REFUSED: t.Final = (
    ({ROLE: {"name": "owner", "permissions": ["view"]}}, "ready-made"),
    ({ROLE: {"name": "owner", "state": "absent"}}, "ready-made"),
    ({ROLE: {"name": "x"}}, "at least one permission"),
    ({ROLE: {"name": "x", "permissions": ["lifecicle"]}}, "Did you mean lifecycle?"),
    ({ROLE: {"name": "x", "permissions": ["peer"]}}, "not to be granted"),
    ({PERMISSION: {**GRANT, "role": "operater"}}, "Did you mean operator?"),
    ({PERMISSION: {**GRANT, "permissions": ["vm_inf"]}}, "Did you mean vm_info"),
    ({PERMISSION: {**GRANT, "role": "viewer", "permissions": ["view"]}}, "one of them"),
    ({PERMISSION: GRANT}, "role or permissions"),
    ({PERMISSION: {**GRANT, "role": "viewer", "domain": "xmpp.test"}}, "jid, group or domain"),
    ({PERMISSION: {**GRANT, "role": "viewer", "scope": {"site": "a", "tag": "b"}}}, "scope: it is one of"),
    ({PERMISSION: {**GRANT, "role": "viewer", "scope": {"machine": "web1"}}}, "not a UUID"),
)


def test_what_cannot_be_is_refused_and_nothing_is_written(xmpp: t.Any) -> None:
    results = xmpp.play(*[task for task, _complaint in REFUSED])
    for (task, complaint), result in zip(REFUSED, results, strict=True):
        assert result["failed"], task
        assert complaint in result["msg"], task
        assert not result["changed"]
