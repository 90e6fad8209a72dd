# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Roles and grants: what a grant says, and what it reaches. Who keeps and asks them is not known here.

A grant allows, nothing forbids; what nobody allows is not allowed. It names somebody (a JID, a group of contacts, or a
domain), what they may (a role, or permissions), and where (the platform, a site, a hypervisor, a tag, or a machine).
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .actions import ASKER, PEER, PERMISSIONS, nearest
from .errors import InvalidArgument
from .host import canonical_uuid
from .hypervisor import ACTIONS, MACHINE_ACTIONS

GRANTABLE: t.Final = frozenset(PERMISSIONS) - {PEER, ASKER}
# Names of single actions of the core; an agent's own actions are granted by their permission.
_NAMES: t.Final = frozenset(ACTIONS) | frozenset(MACHINE_ACTIONS)
_VIEWER: t.Final = frozenset(("view",))
_OPERATOR: t.Final = _VIEWER | {"lifecycle", "console", "room"}
# What a machine's own contact can be asked, whatever it may be; but who tags it brings it under other grants.
_OWNER: t.Final = _OPERATOR | {action.permission for action in MACHINE_ACTIONS.values()} - {"tags"}

# They stand here and not in a node, so that nobody can make more of them there.
ROLES: t.Final[dict[str, frozenset[str]]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "owner": _OWNER,
    "administrator": GRANTABLE,
}

WHO: t.Final = ("jid", "group", "domain")
SCOPES: t.Final = ("platform", "site", "hypervisor", "tag", "machine")
LONGEST_NAME: t.Final = 256
_NAME: t.Final = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]+")
_JID: t.Final = re.compile(r"[^\s@/\x00-\x1f\x7f-\x9f]+@[^\s@/\x00-\x1f\x7f-\x9f]+")
_DOMAIN: t.Final = re.compile(r"[^\s@/\x00-\x1f\x7f-\x9f]+")
# Groups are known by their titles, in which there are blanks.
_LABEL: t.Final = re.compile(r"\S([^\x00-\x1f\x7f-\x9f\u2028\u2029]*\S)?")


@dataclasses.dataclass(frozen=True)
class Role:
    """``permissions`` are tokens, or names of actions."""

    name: str
    permissions: frozenset[str]
    description: str = ""

    @classmethod
    def bind(cls, name: str, untrusted: t.Any) -> Role:
        """From data; InvalidArgument says what is wrong with it."""
        data = _mapping(untrusted, "A role", ("permissions", "description"))
        if _text("name", name) in ROLES:
            raise InvalidArgument(f"The role {name} is ready-made, and cannot be another one. Take another name.")
        if not isinstance(data.get("description", ""), str):
            raise InvalidArgument("description: it is a text.")
        return cls(name, _permissions(data.get("permissions")), data.get("description", ""))

    def as_data(self) -> dict[str, t.Any]:
        return {"permissions": sorted(self.permissions), "description": self.description}


@dataclasses.dataclass(frozen=True)
class Place:
    """What a request is about: a machine, by its UUID, or without one all of a hypervisor. A machine's ``tags`` are its
    own and its hypervisor's; its ``owner`` is a bare JID."""

    hypervisor: str
    site: str | None = None
    tags: frozenset[str] = frozenset()
    machine: str | None = None
    owner: str | None = None


@dataclasses.dataclass(frozen=True)
class Grant:
    """``who`` is of the kind ``kind``; ``where`` is what of the kind ``scope``, empty for the platform. It has either a
    ``role`` or ``permissions``."""

    name: str
    kind: str
    who: str
    scope: str
    where: str
    role: str | None = None
    permissions: frozenset[str] = frozenset()

    @classmethod
    def bind(cls, name: str, untrusted: t.Any) -> Grant:
        """From data; InvalidArgument says what is wrong with it."""
        _text("name", name)
        data = _mapping(untrusted, "A grant", (*WHO, "role", "permissions", "scope"))
        kind, who = _one_of(data, WHO, "jid, group or domain: a grant is for one of them.")
        what, given = _one_of(data, ("role", "permissions"), "role or permissions: a grant gives one of them.")
        scope, where = _one_of(
            _mapping(data.get("scope"), "The scope", SCOPES), SCOPES, f"scope: it is one of {', '.join(SCOPES)}."
        )
        return cls(
            name,
            kind,
            _who(kind, who),
            scope,
            _where(scope, where),
            role=_text("role", given) if what == "role" else None,
            permissions=_permissions(given) if what == "permissions" else frozenset(),
        )

    def as_data(self) -> dict[str, t.Any]:
        what = {"permissions": sorted(self.permissions)} if self.role is None else {"role": self.role}
        return {self.kind: self.who, **what, "scope": {self.scope: self.where or True}}

    def reaches(self, place: Place) -> bool:
        if self.scope == "platform":
            return True
        if self.scope == "tag":
            return self.where in place.tags
        return self.where == {"site": place.site, "hypervisor": place.hypervisor, "machine": place.machine}[self.scope]


def unknown_permissions(permissions: t.Iterable[str]) -> None:
    """Refuse, for a person who writes a role or a grant, what no action asks for."""
    for name in sorted(permissions):
        if name not in GRANTABLE | _NAMES:
            raise InvalidArgument(
                f"permissions: {name[:80]!r} is neither a permission ({', '.join(sorted(GRANTABLE))}) nor an action."
                f"{nearest(name, GRANTABLE | _NAMES)}"
            )


def _mapping(untrusted: t.Any, what: str, keys: t.Collection[str]) -> dict[str, t.Any]:
    if not isinstance(untrusted, dict):
        raise InvalidArgument(f"{what} is a mapping with {', '.join(keys)}.")
    for key in untrusted:
        if key not in keys:
            raise InvalidArgument(f"{what} has no {str(key)[:80]!r}.{nearest(key, keys)}")
    return untrusted


def _one_of(data: t.Mapping[str, t.Any], keys: t.Sequence[str], otherwise: str) -> tuple[str, t.Any]:
    given = [key for key in keys if data.get(key) is not None]
    if len(given) != 1:
        raise InvalidArgument(otherwise)
    return given[0], data[given[0]]


def _text(where: str, untrusted: t.Any, form: re.Pattern[str] = _NAME) -> str:
    if not isinstance(untrusted, str) or not form.fullmatch(untrusted) or len(untrusted) > LONGEST_NAME:
        raise InvalidArgument(
            f"{where}: {str(untrusted)[:80]!r} is not possible; it is a word of at most {LONGEST_NAME} characters,"
            " a JID is name@domain."
        )
    return untrusted


def _who(kind: str, untrusted: t.Any) -> str:
    text = _text(kind, untrusted, {"jid": _JID, "domain": _DOMAIN, "group": _LABEL}[kind])
    return text if kind == "group" else text.lower()


def _where(scope: str, untrusted: t.Any) -> str:
    if scope == "platform":
        if untrusted is not True:
            raise InvalidArgument("scope.platform: it is true.")
        return ""
    if scope == "machine":
        return canonical_uuid(_text("scope.machine", untrusted))
    return _text(f"scope.{scope}", untrusted)


def _permissions(untrusted: t.Any) -> frozenset[str]:
    if not isinstance(untrusted, list) or not untrusted or len(untrusted) > LONGEST_NAME:
        raise InvalidArgument("permissions: a list with at least one permission or action is needed.")
    names = frozenset(_text("permissions", name) for name in untrusted)
    if names & {PEER, ASKER}:
        raise InvalidArgument(f"permissions: {PEER} and {ASKER} are not to be granted.")
    return names
