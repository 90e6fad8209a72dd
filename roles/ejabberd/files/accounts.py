# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make accounts by ejabberd's commands over XML-RPC on loopback, any number of them in one process.

Reads a JSON object from standard input: ``port``, ``domain``, ``admin`` and ``accounts`` (name -> password; the
administrator's is among them), ``update`` (also set the password of an account that has another), ``check`` (only say
what would be done). Writes ``{"changed": [names]}``.

Passwords are neither written nor given to another process. XML-RPC is used because ejabberd's HTTP API logs them.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import typing as t
import xmlrpc.client


class Refused(Exception):
    """The server did not run a command. What it says may hold a password, and is left out."""


class Server:
    """ejabberd's commands, with the rights of one account."""

    def __init__(self, port: int, domain: str, user: str, password: str) -> None:
        self.domain = domain
        self._proxy = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/xmlrpc")
        self._account = {"user": user, "server": domain, "password": password, "admin": True}

    def call(self, command: str, user: str, **arguments: str) -> int | None:
        """Run a command on an account; the command's ``res``, where it has one."""
        try:
            answer = getattr(self._proxy, command)(self._account, {"user": user, "host": self.domain, **arguments})
        except xmlrpc.client.Fault as fault:
            raise Refused(f"ejabberd refused {command} of {user}@{self.domain} (fault {fault.faultCode})") from None
        return t.cast("dict[str, int]", answer).get("res")

    def exists(self, user: str) -> bool:
        return self.call("check_account", user) == 0

    def has_password(self, user: str, password: str) -> bool:
        return self.call("check_password", user, password=password) == 0

    def register(self, user: str, password: str) -> None:
        self.call("register", user, password=password)

    def set_password(self, user: str, password: str) -> None:
        self.call("change_password", user, newpass=password)


def make_administrator(port: int, domain: str, name: str, password: str) -> None:
    """Make the first account: with a passing password, because others can read a process's arguments."""
    passing = secrets.token_hex(16)
    command = ["ejabberdctl", "register", name, domain, passing]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    if made.returncode != 0:
        raise Refused(f"{name}@{domain} has another password than the one given, or could not be made: {made.stdout}")
    Server(port, domain, name, passing).set_password(name, password)


def main() -> None:
    request = json.load(sys.stdin)
    port, domain, admin, check = request["port"], request["domain"], request["admin"], request["check"]
    accounts = dict(request["accounts"])
    admin_password = accounts.pop(admin)
    server = Server(port, domain, admin, admin_password)
    changed = []
    try:
        server.exists(admin)
    except Refused:
        changed.append(admin)
        if check:  # nothing can be asked without the administrator
            json.dump({"changed": [admin, *accounts]}, sys.stdout)
            return
        make_administrator(port, domain, admin, admin_password)

    for name, password in accounts.items():
        if not server.exists(name):
            change = server.register
        elif not server.has_password(name, password):
            if not request["update"]:
                raise Refused(f"{name}@{domain} has another password; ejabberd_update_password=always sets it")
            change = server.set_password
        else:
            continue
        changed.append(name)
        if not check:
            change(name, password)
    json.dump({"changed": changed}, sys.stdout)


try:
    main()
except (Refused, OSError) as error:
    sys.exit(str(error))
