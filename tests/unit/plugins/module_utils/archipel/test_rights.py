# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a grant says and reaches, what a definition reaches, and what the ready-made roles are made of."""

from __future__ import annotations

import typing as t

import pytest
from archipel.actions import ASKER, PEER
from archipel.definition import OPTIONS, Definition
from archipel.errors import InvalidArgument
from archipel.hypervisor import ACTIONS, MACHINE_ACTIONS
from archipel.rights import ROLES, Grant, Place, Role

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
WEB1 = Place("hv1", "geneva", frozenset(("web", "ssd")), UUID)


def grant(**scope: t.Any) -> Grant:
    return Grant.bind("g", {"jid": "alice@example.org", "role": "viewer", "scope": scope})


@pytest.mark.parametrize(
    ("scope", "reaches"),
    [
        ({"platform": True}, True),
        ({"site": "geneva"}, True),
        ({"site": "vaud"}, False),
        ({"hypervisor": "hv1"}, True),
        ({"hypervisor": "hv2"}, False),
        ({"tag": "ssd"}, True),
        ({"tag": "db"}, False),
        ({"machine": UUID.upper()}, True),
        ({"machine": UUID.replace("6", "7")}, False),
    ],
)
def test_a_grant_reaches_what_its_scope_says(scope: dict[str, t.Any], reaches: bool) -> None:
    assert grant(**scope).reaches(WEB1) is reaches


def test_a_grant_on_a_machine_or_a_site_that_is_not_named_reaches_no_hypervisor() -> None:
    """What has no site, or is no machine, is not what a grant without one could mean."""
    assert not grant(machine=UUID).reaches(Place("hv1"))
    assert not grant(site="None").reaches(Place("hv1"))


def test_a_grant_and_a_role_come_back_from_their_data() -> None:
    for scope in ({"platform": True}, {"machine": UUID}):
        assert Grant.bind("g", grant(**scope).as_data()) == grant(**scope)
    role = Role.bind("night", {"permissions": ["view", "start"], "description": "Until the morning"})
    assert Role.bind("night", role.as_data()) == role


@pytest.mark.parametrize("permissions", [None, [], "view", ["peer"], ["asker"], [1], [["view"]], ["a b"], ["x"] * 300])
def test_what_is_no_list_of_permissions_is_refused(permissions: t.Any) -> None:
    with pytest.raises(InvalidArgument):
        Role.bind("night", {"permissions": permissions})


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "x" * 300, "owner"])
def test_a_role_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(InvalidArgument):
        Role.bind(name, {"permissions": ["view"]})


def test_ready_made_roles_follow_the_declarations() -> None:
    """Each is more than the one before, and together they are all that can be granted."""
    viewer, operator, owner, administrator = (ROLES[name] for name in ("viewer", "operator", "owner", "administrator"))
    assert viewer < operator < owner < administrator
    assert owner >= {action.permission for action in MACHINE_ACTIONS.values()} - {"tags"}
    assert administrator >= {action.permission for action in ACTIONS.values()} - {ASKER}
    assert PEER not in administrator


@pytest.mark.parametrize(
    ("given", "enough"),
    [
        ({"state": "running"}, True),
        ({"state": "shutdown", "force_after": 20, "apply": "live", "remove_volumes": "none", "definition": {}}, True),
        ({}, False),
        ({"state": "present"}, False),
        ({"state": "absent"}, False),
        ({"state": "running", "definition": {"memory": 64}}, False),
        ({"state": "running", "xml": "<domain/>"}, False),
        ({"state": "running", "autostart": False}, False),
        ({"state": "running", "disks_remove_unmanaged": True}, False),
        ({"state": "running", "apply": "restart"}, False),
    ],
)
def test_a_state_alone_is_lifecycle(given: dict[str, t.Any], enough: bool) -> None:
    """Who may start machines may ask vm for that, and for nothing else."""
    assert ("lifecycle" in ACTIONS["vm"].permissions(ACTIONS["vm"].bind({"name": "web1", **given}))) is enough


OWN = {
    *("memory", "max_memory", "vcpus", "max_vcpus", "cpu", "features", "clock", "pm", "osinfo", "video", "sound"),
    *("watchdog", "memballoon", "guest_agent", "metadata"),
}


@pytest.mark.parametrize("key", OPTIONS)
def test_a_definition_reaches_the_host_by_all_that_is_not_the_machines_own(key: str) -> None:
    assert Definition({key: None}).reaches is (key not in OWN)


def test_whatever_takes_of_the_host_reaches_it() -> None:
    """Of the actions that name machines; in the words in which they are asked."""
    reaching = {
        "vm": {"xml": "<domain/>"},
        "vm_clone": {},
        "vm_disk": {"disk": {"path": "/etc/shadow"}},
        "vm_media": {"path": "/etc/shadow"},
        "vm_nic": {"interface": {"network": "default"}},
        "vm_migrate": {"destination_uri": "qemu+ssh://elsewhere/system"},
    }
    harmless = {
        "vm": {"state": "running", "definition": {"memory": 64}},
        "vm_disk": {"disk": {"target": "vda", "size": 2}},
        "vm_media": {"state": "ejected"},
        "vm_nic": {"state": "absent", "interface": {"mac": "52:54:00:00:00:01"}},
        "vm_migrate": {"destination": "hv2"},
        "vm_snapshot": {"snapshot": "before"},
    }
    for asked, expected in ((reaching, True), (harmless, False)):
        for name, untrusted in asked.items():
            given = {"clone": "twin"} if name == "vm_clone" else untrusted
            assert ACTIONS[name].reaches(ACTIONS[name].bind(given)) is expected, name
