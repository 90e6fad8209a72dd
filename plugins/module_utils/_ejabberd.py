# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Accounts and shared roster groups of an XMPP server, by ejabberd's commands over XML-RPC.

XML-RPC, because ejabberd's HTTP API logs what it is given, passwords included. Faults quote it too, so they are told
without ejabberd's words. One connection serves all commands of a task.
"""

from __future__ import annotations

import dataclasses
import functools
import http.client
import re
import secrets
import typing as t
import urllib.parse
import xmlrpc.client

from .archipel.actions import Secret
from .archipel.elements import Change
from .archipel.errors import Conflict, Forbidden, InvalidArgument, NotFound, OperationFailed, Unavailable
from .archipel.plan import Plan

LOOPBACK: t.Final = frozenset(("127.0.0.1", "::1", "localhost"))
# RFC 7622, section 3.3: what no localpart has; and one that is written in another case is the same account.
_NO_LOCALPART: t.Final = re.compile(r"[\s\"&'/:<>@\x00-\x1f]|^$")
# AnsibleModule.run_command: status, stdout and stderr of a command.
Run = t.Callable[[list[str]], tuple[int, str, str]]
_GROUP: t.Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# ejabberd_xmlrpc's fault code for an argument of another type than the command's.
_WRONG_TYPE: t.Final = -122
EVERYBODY: t.Final = {"@all@": "all_users", "@online@": "online_users"}


@dataclasses.dataclass(frozen=True)
class Account:
    """What a task asks of an account; without a password it must be there already."""

    name: str
    password: Secret | None


class Server:
    """ejabberd's commands, with the rights of one account. Nothing is asked before the first command."""

    def __init__(self, url: str, jid: str | None, password: str | None) -> None:
        for name, value in (("jid", jid), ("password", password)):
            if not value:
                raise InvalidArgument(f"xmpp_{name} is needed, or ARCHIPEL_{name.upper()} in the environment.")
        where = urllib.parse.urlsplit(url)
        if where.scheme != "https" and (where.scheme != "http" or where.hostname not in LOOPBACK):
            raise InvalidArgument(f"api_url: {url!r} would carry passwords in clear; it is https, or http on loopback.")
        user, at, self.domain = str(jid).partition("@")
        if not at or "/" in self.domain:
            raise InvalidArgument(f"xmpp_jid: {jid!r} is not the JID of an account, like admin@example.org.")
        self.url = url
        self.user = user
        self._proxy = xmlrpc.client.ServerProxy(url, allow_none=False)
        self._account = {"user": user, "server": self.domain, "password": str(password), "admin": True}

    def call(self, command: str, older: t.Mapping[str, t.Any] | None = None, /, **arguments: t.Any) -> dict[str, t.Any]:
        """Run a command; what it answers. ``older`` are arguments as ejabberd 23.01 wants them, unlike 24.12."""
        try:
            return t.cast("dict[str, t.Any]", getattr(self._proxy, command)(self._account, arguments))
        except xmlrpc.client.Fault as fault:
            if older and fault.faultCode == _WRONG_TYPE:
                return self.call(command, **{**arguments, **older})
            if "Invalid authentication data" in fault.faultString:
                raise Forbidden(
                    f"{self.user}@{self.domain} is not let in at {self.url}: a wrong xmpp_password, or no such account."
                ) from None
            if "unauthorized" in fault.faultString:
                raise Forbidden(f"{self.user}@{self.domain} may not run {command} at {self.url}.") from None
            raise OperationFailed(f"ejabberd refused {command} (fault {fault.faultCode}); its log says why.") from None
        except (xmlrpc.client.ProtocolError, http.client.HTTPException) as error:
            raise OperationFailed(
                f"ejabberd failed at {command} ({type(error).__name__}); its log says why. Is ejabberd_xmlrpc at"
                f" {self.url}, and mod_admin_extra loaded?"
            ) from None
        except OSError as error:
            raise Unavailable(
                f"ejabberd's commands cannot be reached at {self.url}: {error}. They are on loopback of the server, so"
                " the task must run there (role ejabberd, ejabberd_api_port)."
            ) from None

    # -- accounts

    def has(self, user: str) -> bool:
        return self.call("check_account", user=user, host=self.domain)["res"] == 0

    def has_password(self, user: str, password: str) -> bool:
        return self.call("check_password", user=user, host=self.domain, password=str(password))["res"] == 0

    def register(self, user: str, password: str) -> None:
        self.call("register", user=user, host=self.domain, password=str(password))

    def set_password(self, user: str, password: str) -> None:
        self.call("change_password", user=user, host=self.domain, newpass=str(password))

    def unregister(self, user: str) -> None:
        self.call("unregister", user=user, host=self.domain)

    # -- groups

    def groups(self) -> list[str]:
        return _values(self.call("srg_list", host=self.domain)["groups"])

    def group(self, name: str) -> dict[str, t.Any] | None:
        """``{label, description, display, members}``, None when there is no such group."""
        if name not in self.groups():
            return None
        told: dict[str, str] = {}
        for entry in self.call("srg_get_info", group=name, host=self.domain)["informations"]:
            # In 23.01 each of the two is alone in a struct.
            items = entry.get("information", [entry])
            pair = {key: value for item in items for key, value in item.items()}
            told[pair["key"]] = pair["value"]
        members = set(_values(self.call("srg_get_members", group=name, host=self.domain)["members"]))
        members |= {word for word, option in EVERYBODY.items() if told.get(option) == "true"}
        # Erlang's way to write an empty text, and a list of texts.
        label, description = ("" if told.get(key, "[]") == "[]" else told[key] for key in ("label", "description"))
        # In 24.12 there are separators among them.
        display = re.findall(r'"([^", ]+)"', told.get("displayed_groups", ""))
        return {"label": label, "description": description, "display": display, "members": sorted(members)}

    def write_group(self, name: str, wanted: t.Mapping[str, t.Any]) -> None:
        """Make a group, or write what it is anew; ejabberd forgets then that all are its members."""
        facts = {key: wanted[key] for key in ("label", "description", "display")}
        self.call("srg_create", {"display": "\\n".join(wanted["display"])}, group=name, host=self.domain, **facts)
        for word in EVERYBODY.keys() & set(wanted["members"]):
            self.add_member(name, word)

    def delete_group(self, name: str) -> None:
        self.call("srg_delete", group=name, host=self.domain)

    def add_member(self, group: str, member: str) -> None:
        self.call("srg_user_add", **self._member(member), group=group, grouphost=self.domain)

    def remove_member(self, group: str, member: str) -> None:
        self.call("srg_user_del", **self._member(member), group=group, grouphost=self.domain)

    def _member(self, member: str) -> dict[str, str]:
        user, _at, host = (member, "", self.domain) if member in EVERYBODY else member.partition("@")
        return {"user": user, "host": host}


def _values(listed: t.Sequence[t.Any]) -> list[str]:
    """Of a list in an answer; in 23.01 each item is alone in a struct."""
    return [next(iter(item.values())) if isinstance(item, dict) else item for item in listed]


def localpart(untrusted: str, domain: str) -> str:
    """The name of an account of that domain, given as such or as a bare JID."""
    name, at, host = untrusted.partition("@")
    if at and host != domain:
        raise InvalidArgument(f"{untrusted!r} is not an account of {domain}.")
    if _NO_LOCALPART.search(name) or len(name.encode()) > 1023:
        raise InvalidArgument(f"{untrusted!r} cannot be the name of an account (no spaces, none of \"&'/:<>@).")
    return name.lower()


def have_accounts(
    server: Server, accounts: t.Sequence[Account], *, update_password: str, founder: Run | None, check: bool
) -> dict[str, t.Any]:
    """``changed, msg, changes, diff, users``: each account is there, with its password where that is asked for.

    With a ``founder``, which runs commands: where the server lets its administrator not in, because that account is yet
    to be made, and it is among ``accounts``, it is made by the server's own command.
    """
    plan = Plan()
    users = [{"jid": f"{account.name}@{server.domain}", "state": "present"} for account in accounts]
    if founder and not _is_founded(server, accounts):
        own = next(account for account in accounts if account.name == server.user)
        password = t.cast(Secret, own.password)
        plan.add([_registration(own)], lambda: _found(server, password, founder))
        # Nothing can be asked before, so there is nobody else.
        for account in accounts:
            if account is not own:
                _plan_registration(plan, server, account)
    else:
        for account in accounts:
            if not server.has(account.name):
                _plan_registration(plan, server, account)
            elif account.password is not None and update_password != "on_create":
                _plan_password(plan, server, account, update_password)
    if not check:
        plan.run()
    return {**plan.result(_together(users), check=check), "users": users}


def lack_accounts(server: Server, names: t.Sequence[str], *, check: bool) -> dict[str, t.Any]:
    """``changed, msg, changes, diff, users``: none of the accounts is there."""
    if server.user in names:
        raise Conflict(f"{server.user}@{server.domain} is the account that this task works with; use another one.")
    plan = Plan()
    users = [{"jid": f"{name}@{server.domain}", "state": "absent"} for name in names]
    for name in names:
        if server.has(name):
            plan.add([Change(f"users[{name}]", "present", "absent")], functools.partial(server.unregister, name))
    if not check:
        plan.run()
    return {**plan.result(_together(users), check=check), "users": users}


def _together(users: t.Sequence[t.Mapping[str, str]]) -> str:
    return ", ".join(user["jid"] for user in users)


def _registration(account: Account) -> Change:
    return Change(f"users[{account.name}]", None, {"password": account.password})


def _plan_registration(plan: Plan, server: Server, account: Account) -> None:
    password = account.password
    if password is None:
        raise NotFound(f"There is no account {account.name}@{server.domain}; give a password to make it.")
    plan.add([_registration(account)], lambda: server.register(account.name, password))


def _plan_password(plan: Plan, server: Server, account: Account, update_password: str) -> None:
    password = t.cast(Secret, account.password)
    if server.has_password(account.name, password):
        return
    if update_password == "refuse":
        raise Conflict(
            f"{account.name}@{server.domain} has another password than the one given; update_password: always sets it."
        )
    change = Change(f"users[{account.name}].password", Secret("another"), password)
    plan.add([change], lambda: server.set_password(account.name, password))


def _is_founded(server: Server, accounts: t.Sequence[Account]) -> bool:
    own = next((account for account in accounts if account.name == server.user), None)
    if own is None or own.password is None:
        return True
    try:
        return server.has(server.user)
    except Forbidden:
        return False


def _found(server: Server, password: Secret, run: Run) -> None:
    """Make the first account: with a passing password, because others can read a process's arguments."""
    passing = secrets.token_hex(16)
    command = ["timeout", "60", "ejabberdctl", "register", server.user, server.domain, passing]
    status, said, error = run(command)
    if status in (124, 126, 127):  # as timeout says that the time is over, or that there is no such command
        why = " ".join(error.split())[:200] or "it did not end within 60 s"
        raise Unavailable(f"ejabberdctl cannot be run, so nobody makes the first account: {why}.")
    if status != 0:
        raise Conflict(
            f"{server.user}@{server.domain} has another password than the one given, or could not be made:"
            f" {' '.join(said.split())[:200]}"
        )
    Server(server.url, f"{server.user}@{server.domain}", passing).set_password(server.user, password)


@dataclasses.dataclass(frozen=True)
class Group:
    """What a task asks of a group; None is not asked. Members are bare JIDs, or words of EVERYBODY."""

    name: str
    label: str | None
    description: str | None
    display: list[str] | None
    members: list[str] | None
    members_mode: str


def group_name(untrusted: str) -> str:
    if not _GROUP.fullmatch(untrusted):
        raise InvalidArgument(f"{untrusted[:60]!r} cannot be the name of a group (letters, digits, and . _ - in it).")
    return untrusted


def have_group(server: Server, wanted: Group, *, check: bool) -> dict[str, t.Any]:
    """``changed, msg, changes, diff, group``: the group is there and is what is asked of it."""
    there = server.group(wanted.name)
    _refuse_unknown_groups(server, wanted, check=check)
    old = there or {"label": "", "description": "", "display": [], "members": []}
    new = {
        "label": old["label"] or wanted.name if wanted.label is None else wanted.label,
        "description": old["description"] if wanted.description is None else wanted.description,
        "display": old["display"] if wanted.display is None else wanted.display,
        "members": _members(server, old["members"], wanted),
    }
    plan = Plan()
    facts = [Change(key, old[key], new[key]) for key in ("label", "description", "display") if old[key] != new[key]]
    if there is None:
        facts.insert(0, Change("state", "absent", "present"))
    if facts:
        kept = {**new, "members": [word for word in new["members"] if word in old["members"]]}
        plan.add(facts, lambda: server.write_group(wanted.name, kept))
    for member in sorted(set(old["members"]) ^ set(new["members"])):
        if member in new["members"]:
            change, run = Change(f"members[{member}]", None, member), server.add_member
        else:
            change, run = Change(f"members[{member}]", member, None), server.remove_member
        plan.add([change], functools.partial(run, wanted.name, member))
    if not check:
        plan.run()
    return {**plan.result(wanted.name, check=check), "group": {"name": wanted.name, "state": "present", **new}}


def lack_group(server: Server, name: str, *, check: bool) -> dict[str, t.Any]:
    """``changed, msg, changes, diff, group``: the group is not there."""
    plan = Plan()
    if name in server.groups():
        others = [other for other in server.groups() if other != name and name in _displayed(server, other)]
        if others:
            # ejabberd fails at members of a group that displays one that is not there.
            raise Conflict(f"The group {name} is displayed to {', '.join(others)}; change that first.")
        plan.add([Change("state", "present", "absent")], lambda: server.delete_group(name))
    if not check:
        plan.run()
    return {**plan.result(name, check=check), "group": {"name": name, "state": "absent"}}


def _displayed(server: Server, group: str) -> list[str]:
    return t.cast("list[str]", (server.group(group) or {"display": []})["display"])


def _refuse_unknown_groups(server: Server, wanted: Group, *, check: bool) -> None:
    known = {*server.groups(), wanted.name}
    missing = [group for group in wanted.display or () if group not in known]
    # In check mode a task before this one may be what makes them.
    if missing and not check:
        raise NotFound(f"{wanted.name} is to display {', '.join(missing)}, which is not there; make it first.")


def _members(server: Server, there: t.Sequence[str], wanted: Group) -> list[str]:
    if wanted.members is None:
        return sorted(there)
    named = {
        member if member in EVERYBODY else f"{localpart(member, server.domain)}@{server.domain}"
        for member in wanted.members
    }
    return sorted({"set": named, "add": named | set(there), "remove": set(there) - named}[wanted.members_mode])
