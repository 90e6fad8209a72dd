# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of modules. Those of an action derive from its declaration, the others are values here."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback

from .archipel.actions import Action, Argument

if t.TYPE_CHECKING:
    Options = dict[str, dict[str, t.Any]]

# Not options, because Ansible has a word of its own for it: check mode.
CHECK: t.Final = "check"


def _env(name: str) -> tuple[t.Any, list[str]]:
    return (env_fallback, [name])


XMPP: t.Final[Options] = {
    "xmpp_jid": {"type": "str", "fallback": _env("ARCHIPEL_JID")},
    "xmpp_password": {"type": "str", "no_log": True, "fallback": _env("ARCHIPEL_PASSWORD")},
    "xmpp_host": {"type": "list", "elements": "str", "fallback": _env("ARCHIPEL_HOST")},
    "xmpp_port": {"type": "int", "fallback": _env("ARCHIPEL_PORT")},
    "xmpp_ca_file": {"type": "path", "fallback": _env("ARCHIPEL_CA_FILE")},
}

# Of a module whose object is on a hypervisor: both ways lead there.
CONNECTION: t.Final[Options] = {
    "via": {"type": "str", "choices": ["libvirt", "xmpp"], "default": "libvirt"},
    "uri": {"type": "str", "fallback": _env("LIBVIRT_DEFAULT_URI")},
    "uri_username": {"type": "str"},
    "uri_password": {"type": "str", "no_log": True},
    "hypervisor": {"type": "str"},
    **XMPP,
}

# Of a module whose object is in the platform: one way. The rest is taken so that the action group's defaults fit.
PLATFORM: t.Final[Options] = {**CONNECTION, "via": {"type": "str", "choices": ["libvirt", "xmpp"], "default": "xmpp"}}

PUBSUB_NODE: t.Final[Options] = {
    "name": {"type": "str", "required": True, "aliases": ["node"]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "service": {"type": "str"},
    "config": {"type": "dict"},
    "affiliations": {"type": "dict"},
    "affiliations_mode": {"type": "str", "choices": ["add", "set"], "default": "add"},
    "items": {
        "type": "list",
        "elements": "dict",
        "options": {"id": {"type": "str", "required": True}, "data": {"type": "raw"}, "xml": {"type": "str"}},
        "mutually_exclusive": [["data", "xml"]],
    },
    "items_mode": {"type": "str", "choices": ["add", "set", "remove"], "default": "add"},
    **PLATFORM,
}

ROLE: t.Final[Options] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "permissions": {"type": "list", "elements": "str"},
    "description": {"type": "str"},
    **PLATFORM,
}

PERMISSION: t.Final[Options] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "jid": {"type": "str"},
    "group": {"type": "str"},
    "domain": {"type": "str"},
    "role": {"type": "str"},
    "permissions": {"type": "list", "elements": "str"},
    "scope": {
        "type": "dict",
        "options": {
            "platform": {"type": "bool"},
            "site": {"type": "str"},
            "hypervisor": {"type": "str"},
            "tag": {"type": "str"},
            "machine": {"type": "str"},
        },
    },
    **PLATFORM,
}

PERMISSION_INFO: t.Final[Options] = {
    "jid": {"type": "str"},
    "name": {"type": "str"},
    "uuid": {"type": "str"},
    **PLATFORM,
}

# Of actions that only the agent has; a test compares them with its declarations.
SCHEDULE: t.Final[Options] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "action": {"type": "str"},
    "arguments": {"type": "dict"},
    "machine": {"type": "str"},
    "machines": {"type": "list", "elements": "str"},
    "tags": {"type": "list", "elements": "str"},
    "states": {"type": "list", "elements": "str"},
    "at": {"type": "str"},
    "cron": {"type": "str"},
    "rrule": {"type": "str"},
    "start": {"type": "str"},
    "timezone": {"type": "str"},
    "misfire": {"type": "str", "choices": ["run", "skip"]},
    "grace": {"type": "int"},
    "enabled": {"type": "bool"},
    **PLATFORM,
}

SCHEDULE_INFO: t.Final[Options] = {
    "name": {"type": "str"},
    "machine": {"type": "str"},
    "upcoming": {"type": "int", "default": 1},
    **PLATFORM,
}

VM_PARK: t.Final[Options] = {
    "name": {"type": "str"},
    "uuid": {"type": "str"},
    "state": {"type": "str", "choices": ["parked", "present"], "default": "parked"},
    "force": {"type": "bool", "default": False},
    **PLATFORM,
}

VM_PARK_INFO: t.Final[Options] = {
    "name": {"type": "str"},
    "uuid": {"type": "str"},
    **PLATFORM,
}

HYPERVISOR_MAINTENANCE: t.Final[Options] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "destinations": {"type": "list", "elements": "str"},
    "max_parallel": {"type": "int", "default": 2},
    "cannot_move": {"type": "str", "choices": ["fail", "shutdown", "leave"], "default": "fail"},
    "evacuate": {"type": "bool", "default": False},
    "memory_reserve": {"type": "int", "default": 512},
    "copy_storage": {"type": "str", "choices": ["none", "all", "incremental"], "default": "none"},
    "bandwidth": {"type": "int"},
    "auto_converge": {"type": "bool", "default": False},
    "post_copy": {"type": "bool", "default": False},
    "media": {"type": "str", "choices": ["keep", "eject"], "default": "keep"},
    "remove_source_volumes": {"type": "str", "choices": ["none", "owned", "all"], "default": "none"},
    "wait_timeout": {"type": "int", "default": 3600},
    **PLATFORM,
}

HYPERVISOR_REHOME: t.Final[Options] = {
    "name": {"type": "str", "required": True},
    "machines": {"type": "list", "elements": "str", "default": ["*"]},
    "destinations": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["as_before", "present", "running"], "default": "as_before"},
    "fence": {
        "type": "dict",
        "options": {
            "confirmed_by": {"type": "str"},
            "command": {"type": "list", "elements": "str"},
            "timeout": {"type": "int", "default": 60},
        },
        "mutually_exclusive": [["confirmed_by", "command"]],
        "required_one_of": [["confirmed_by", "command"]],
    },
    "max_parallel": {"type": "int", "default": 4},
    "wait_timeout": {"type": "int", "default": 300},
    **PLATFORM,
}

ENTITY_COMMAND: t.Final[Options] = {
    "action": {"type": "str", "required": True, "aliases": ["command"]},
    "arguments": {"type": "dict", "default": {}},
    "machine": {"type": "str"},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 300},
    **PLATFORM,
}

# Beside the options that an action declares: what its action plugin does with the answer.
SCREENSHOT: t.Final[Options] = {"dest": {"type": "path"}}
# Of several hypervisors, of which each is asked for its part.
BULK: t.Final[Options] = {
    "hypervisors": {"type": "list", "elements": "str"},
    "sites": {"type": "list", "elements": "str"},
    "max_parallel_total": {"type": "int"},
    "timeout": {"type": "int", "default": 3600},
}

# Of a module that speaks with ejabberd itself, on the task's host. The rest is taken as above.
SERVER: t.Final[Options] = {
    **CONNECTION,
    "api_url": {"type": "str", "default": "http://127.0.0.1:5280/xmlrpc"},
}

XMPP_USER: t.Final[Options] = {
    "name": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "users": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "password": {"type": "str", "no_log": True}},
    },
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "update_password": {
        "type": "str",
        "choices": ["on_create", "always", "refuse"],
        "default": "on_create",
        "no_log": False,
    },
    "founder": {"type": "bool", "default": False},
    **SERVER,
}

XMPP_GROUP: t.Final[Options] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "label": {"type": "str"},
    "description": {"type": "str"},
    "display": {"type": "list", "elements": "str"},
    "members": {"type": "list", "elements": "str"},
    "members_mode": {"type": "str", "choices": ["add", "set", "remove"], "default": "add"},
    **SERVER,
}


def of_action(action: Action) -> Options:
    """The options of a module that is an action of a hypervisor."""
    options: Options = {}
    for argument in action.arguments:
        options.update(_as_spec(of_argument(argument)))
    return {**options, **CONNECTION}


def of_argument(argument: Argument) -> Options:
    """The options that an argument becomes, each with its ``help``: a definition becomes one for each of its keys."""
    inner = getattr(argument.type, "options", None)
    if inner:
        return inner
    return {} if argument.name == CHECK else {argument.name: _option(argument)}


def arguments_of(action: Action, parameters: t.Mapping[str, t.Any], *, check: bool) -> dict[str, t.Any]:
    """The arguments of an action, from the validated parameters of its module. What is not given is left out."""
    given = {name: value for name, value in parameters.items() if value is not None}
    arguments: dict[str, t.Any] = {}
    for argument in action.arguments:
        inner = getattr(argument.type, "options", None)
        if inner:
            named = {name: given[name] for name in inner if name in given}
            if named:
                arguments[argument.name] = named
        elif argument.name == CHECK:
            arguments[CHECK] = check
        elif argument.name in given:
            arguments[argument.name] = given[argument.name]
    return arguments


def _option(argument: Argument) -> dict[str, t.Any]:
    option: dict[str, t.Any] = {"type": argument.type_name, "help": argument.help}
    if argument.required:
        option["required"] = True
    elif argument.default is not None:
        option["default"] = argument.default
    if argument.choices:
        option["choices"] = list(argument.choices)
    if argument.elements is not None:
        option["elements"] = Argument(argument.name, argument.elements, "").type_name
    if argument.secret:
        option["no_log"] = True
    return option


def _as_spec(options: t.Mapping[str, t.Mapping[str, t.Any]]) -> Options:
    """Without help. What is secret is declared so; from a name like ``keymap`` Ansible would guess that it is."""
    return {
        name: {
            "no_log": False,
            **{key: _as_spec(value) if key == "options" else value for key, value in option.items() if key != "help"},
        }
        for name, option in options.items()
    }
