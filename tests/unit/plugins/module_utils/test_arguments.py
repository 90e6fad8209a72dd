# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules derive from the actions' declarations, and back."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible.module_utils.basic import PASSWORD_MATCH
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.archipel.orchestrator.plugins.module_utils import _arguments
from archipel.actions import Action, Argument, actions_of
from archipel.definition import OPTIONS
from archipel.hypervisor import ACTIONS
from archipel_agent.features.maintenance import Maintenance
from archipel_agent.features.parking import Parking
from archipel_agent.features.schedule import Schedules

ROOT = pathlib.Path(__file__).resolve().parents[4]
OF_AGENT = {name: a for f in (Maintenance, Parking, Schedules) for name, a in actions_of(f, "hypervisor").items()}
SPECS = {
    **{name: _arguments.of_action(action) for name, action in ACTIONS.items()},
    "vm_bulk": {**_arguments.of_action(ACTIONS["vm_bulk"]), **_arguments.BULK},
    "vm_screenshot": {**_arguments.of_action(ACTIONS["vm_screenshot"]), **_arguments.SCREENSHOT},
    "hypervisor_rehome": _arguments.HYPERVISOR_REHOME,
    "pubsub_node": _arguments.PUBSUB_NODE,
    "schedule": _arguments.SCHEDULE,
    "schedule_info": _arguments.SCHEDULE_INFO,
    "hypervisor_maintenance": _arguments.HYPERVISOR_MAINTENANCE,
    "vm_park": _arguments.VM_PARK,
    "vm_park_info": _arguments.VM_PARK_INFO,
    "entity_command": _arguments.ENTITY_COMMAND,
    "xmpp_group": _arguments.XMPP_GROUP,
    "xmpp_user": _arguments.XMPP_USER,
}


@pytest.mark.parametrize("name", OF_AGENT)
def test_an_action_that_only_the_agent_has_is_declared_as_its_module(name: str) -> None:
    declared = {**_arguments.of_action(OF_AGENT[name]), **_arguments.PLATFORM}
    plain = {
        key: {word: value for word, value in option.items() if (word, value) != ("no_log", False)}
        for key, option in declared.items()
    }
    assert plain == SPECS[name]


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
def test_no_argument_of_an_action_hides_an_option_of_the_connection(action: Action) -> None:
    options = [name for argument in action.arguments for name in _arguments.of_argument(argument)]
    assert len(set(options)) == len(options)
    assert not set(options) & set(_arguments.CONNECTION)


def test_check_mode_is_not_an_option() -> None:
    assert "check" not in SPECS["vm"]
    assert _arguments.arguments_of(ACTIONS["vm"], {"name": "a"}, check=True) == {"name": "a", "check": True}


def test_an_action_without_check_is_not_told_of_check_mode() -> None:
    assert _arguments.arguments_of(ACTIONS["vm_info"], {"name": "a"}, check=True) == {"name": "a"}


def test_the_definition_is_written_beside_the_other_options() -> None:
    assert set(OPTIONS) < set(SPECS["vm"])
    arguments = _arguments.arguments_of(ACTIONS["vm"], {"name": "a", "memory": 64, "vcpus": None}, check=False)
    assert arguments == {"name": "a", "definition": {"memory": 64}, "check": False}


def test_a_secret_argument_is_not_logged() -> None:
    option = _arguments.of_argument(Argument("code", str, "A code.", None, secret=True))
    assert option == {"code": {"type": "str", "help": "A code.", "no_log": True}}


def test_passwords_are_not_logged() -> None:
    for options in SPECS.values():
        for name, option in options.items():
            assert option.get("no_log") or "choices" in option or not PASSWORD_MATCH.search(name), name


def test_a_text_that_is_typed_is_not_logged() -> None:
    """People log in that way."""
    assert SPECS["vm_sendkey"]["text"]["no_log"] is True


def documented(module: str) -> dict[str, t.Any]:
    source: dict[str, t.Any] = {}
    text = (ROOT / "plugins/modules" / f"{module}.py").read_text(encoding="utf-8")
    exec(text.partition("\nfrom ansible_collections")[0], source)
    return source


@pytest.mark.parametrize("module", SPECS)
def test_documented_examples_are_valid(module: str) -> None:
    tasks = yaml.safe_load(documented(module)["EXAMPLES"])
    assert tasks
    prefix = "archipel.orchestrator."
    assert any(prefix + module in task for task in tasks)
    for task in tasks:
        # An example may need another module's task before it.
        for key in task:
            if key.startswith(prefix):
                result = ArgumentSpecValidator(SPECS[key[len(prefix) :]]).validate(task[key] or {})
                assert not result.error_messages, task["name"]
