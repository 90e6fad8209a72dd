# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a role, or a grant, becomes what a task asks for: an item of its node."""

from __future__ import annotations

import typing as t

from ..module_utils.archipel import errors
from ..module_utils.archipel.actions import nearest
from ..module_utils.archipel.rights import ROLES, WHO, Grant, Role, unknown_permissions
from .pubsub import Payload, Service
from .pubsub_node import Wanted, converge
from .xmpp import Client

_ROLES: t.Final = "/archipel/roles"
_PERMISSIONS: t.Final = "/archipel/permissions"


def have_role(client: Client, parameters: t.Mapping[str, t.Any], *, check: bool) -> dict[str, t.Any]:
    """The task's result."""
    name = parameters["name"]
    if name in ROLES:
        raise errors.InvalidArgument(
            f"The role {name} is ready-made; it can be neither changed nor removed. Take another name."
        )
    data = None
    if parameters["state"] == "present":
        role = Role.bind(name, {key: parameters[key] or "" for key in ("permissions", "description")})
        unknown_permissions(role.permissions)
        data = role.as_data()
    return _have(_service(client), _ROLES, "role", name, data, check=check)


def have_grant(client: Client, parameters: t.Mapping[str, t.Any], *, check: bool) -> dict[str, t.Any]:
    """The task's result."""
    service = _service(client)
    data = None
    if parameters["state"] == "present":
        given = {key: parameters[key] for key in (*WHO, "role", "permissions") if parameters[key] is not None}
        scope = {key: value for key, value in (parameters["scope"] or {}).items() if value is not None}
        grant = Grant.bind(parameters["name"], {**given, "scope": scope})
        unknown_permissions(grant.permissions)
        # In check mode an earlier task may be about to make it.
        if grant.role is not None and grant.role not in ROLES and not check:
            _refuse_unknown_role(service, grant.role)
        data = grant.as_data()
    return _have(service, _PERMISSIONS, "permission", parameters["name"], data, check=check)


def _service(client: Client) -> Service:
    return Service(client, f"pubsub.{client.account.domain}")


def _refuse_unknown_role(service: Service, role: str) -> None:
    known = {*ROLES, *service.items(_ROLES)}
    if role not in known:
        raise errors.InvalidArgument(
            f"role: there is no role {role[:80]!r}; there are {', '.join(sorted(known))}.{nearest(role, known)}"
        )


def _have(
    service: Service, node: str, kind: str, name: str, data: dict[str, t.Any] | None, *, check: bool
) -> dict[str, t.Any]:
    if service.configuration(node) is None:
        # Made here, it would have the service's usual access rules, and those are not ours.
        raise errors.NotFound(f"{service.jid} has no node {node}. The playbook archipel.orchestrator.site makes it.")
    wanted = Wanted(
        name=node,
        present=True,
        config={},
        affiliations=None,
        affiliations_mode="add",
        items={name: Payload(data)},
        items_mode="remove" if data is None else "add",
    )
    result = converge(service, wanted, check=check)
    verb = ("would be" if check else "was") + (" removed" if data is None else " changed")
    before, after = (
        {"name": name, "state": "present", **items[name]} if name in items else {"name": name, "state": "absent"}
        for items in (result["diff"][when].get("items", {}) for when in ("before", "after"))
    )
    return {
        "changed": result["changed"],
        "msg": f"The {kind} {name} {verb}." if result["changed"] else f"The {kind} {name} is as it should be.",
        "changes": [{**change, "path": name} for change in result["changes"]],
        "diff": {"before": before, "after": after},
        kind: after,
    }
