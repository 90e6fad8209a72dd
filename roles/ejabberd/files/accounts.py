# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make accounts over ejabberd's HTTP API on loopback, any number of them in one process.

Reads a JSON object from standard input: ``port``, ``domain``, ``admin`` and ``accounts`` (name -> password; the
administrator's is among them), ``update`` (also set the password of an account that has another), ``check`` (only say
what would be done). Writes ``{"changed": [names]}``. Passwords are never written, nor given to another process.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import subprocess
import sys
import typing as t


class Api:
    """ejabberd's commands (mod_http_api), with the rights of one account."""

    def __init__(self, port: int, domain: str, user: str, password: str) -> None:
        credentials = base64.b64encode(f"{user}@{domain}:{password}".encode()).decode()
        self.domain = domain
        self._headers = {
            "Host": domain,
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
        }
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, command: str, **arguments: str) -> t.Any:
        """Run a command, with the domain as its ``host``; PermissionError says that the password is not right."""
        body = json.dumps({"host": self.domain, **arguments})
        self._connection.request("POST", f"/api/{command}", body, self._headers)
        response = self._connection.getresponse()
        answer = response.read().decode()
        if response.status in (401, 403):
            raise PermissionError(answer)
        if response.status != 200:
            raise RuntimeError(f"ejabberd refused {command}: {response.status} {answer}")
        return json.loads(answer)

    def has_password(self, user: str, password: str) -> bool:
        return self.call("check_password", user=user, password=password) == 0

    def exists(self, user: str) -> bool:
        return self.call("check_account", user=user) == 0


def make_administrator(request: dict[str, t.Any]) -> None:
    """The first account; with a passing password, for arguments of a process can be read by others."""
    domain, admin = request["domain"], request["admin"]
    passing = secrets.token_hex(16)
    made = subprocess.run(["ejabberdctl", "register", admin, domain, passing], capture_output=True, text=True)
    if made.returncode != 0:
        sys.exit(f"{admin}@{domain} cannot be made, or exists with another password: {made.stdout}{made.stderr}")
    Api(request["port"], domain, admin, passing).call(
        "change_password", user=admin, newpass=request["accounts"][admin]
    )


def main() -> None:
    request = json.load(sys.stdin)
    admin, accounts = request["admin"], dict(request["accounts"])
    api = Api(request["port"], request["domain"], admin, accounts[admin])
    changed = []
    try:
        api.exists(admin)
    except PermissionError:
        changed.append(admin)
        if not request["check"]:
            make_administrator(request)
    del accounts[admin]

    for name, password in sorted(accounts.items()):
        if request["check"] and changed[:1] == [admin]:
            changed.append(name)
        elif not api.exists(name):
            changed.append(name)
            if not request["check"]:
                api.call("register", user=name, password=password)
        elif not api.has_password(name, password):
            if not request["update"]:
                sys.exit(f"{name}@{request['domain']} exists with another password; ejabberd_update_password: always sets it")
            changed.append(name)
            if not request["check"]:
                api.call("change_password", user=name, newpass=password)
    json.dump({"changed": changed}, sys.stdout)


main()
