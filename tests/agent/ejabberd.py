# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ejabberd on loopback, for tests and benchmarks.

A child process of the test, with its own ports, database and certificate authority. It is started without Erlang's
distribution, so that neither a cookie nor an epmd is involved and nothing stays behind. Accounts are made through its
HTTP API on loopback; its access rules mean the same as those that the role ``ejabberd`` writes.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import glob
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import typing as t

import client

DOMAIN: t.Final = "xmpp.test"
ADMINISTRATOR: t.Final = f"admin@{DOMAIN}"
PUBSUB: t.Final = f"pubsub.{DOMAIN}"
PASSWORD: t.Final = "not a secret, only of this test"
ROOT: t.Final = pathlib.Path(__file__).resolve().parents[2]
DECLARED: t.Final = json.loads((ROOT / "roles/agent/files/archipel_agent/nodes.json").read_text())
NODES: t.Final = {node["name"]: node["hypervisors"] for node in DECLARED["nodes"]}
STARTED = re.compile(r"Start accepting TCP connections at \S+:(\d+) ")

CONFIGURATION = """
loglevel: info
hosts: ["{domain}"]
certfiles: ["{directory}/server.pem"]
ca_file: "{directory}/ca.pem"
auth_password_format: scram
auth_scram_hash: {scram}
registration_timeout: infinity
disable_sasl_mechanisms: ["PLAIN", "digest-md5", "X-OAUTH2"]
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, max_stanza_size: 4194304, shaper: c2s_shaper, access: c2s,
     starttls_required: true, backlog: 1024}}
  - {{port: {api_port}, ip: "127.0.0.1", module: ejabberd_http,
     request_handlers: {{/api: mod_http_api, /xmlrpc: ejabberd_xmlrpc}}}}
acl:
  admin: {{user: ["{administrator}"]}}
  hypervisor: {{user: [{hypervisors}]}}
  machine_name: {{user_regexp: "^[0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}$"}}
access_rules:
  c2s: {{allow: all}}
  administrator: {{allow: admin}}
  configure: {{allow: admin}}
  people: [{{deny: machine_name}}, {{deny: hypervisor}}, {{allow: all}}]
  register_name: {{allow: machine_name}}
  register_from: {{allow: hypervisor}}
shaper: {{normal: 100000}}
shaper_rules:
  max_user_sessions: 10
  c2s_shaper: [{{none: admin}}, {{none: hypervisor}}, {{none: machine_name}}, {{normal: all}}]
api_permissions:
  tests: {{from: [mod_http_api], who: {{ip: ["127.0.0.0/8"]}}, what: ["*"]}}
  administrators: {{from: [ejabberd_xmlrpc], who: {{access: {{allow: [{{acl: admin}}]}}}}, what: ["*"]}}
modules:
  mod_adhoc: {{}}
  mod_admin_extra: {{}}
  mod_caps: {{}}
  mod_configure: {{}}
  mod_disco: {{}}
  mod_http_api: {{}}
  mod_offline: {{}}
  mod_muc:
    access_create: people
    max_users: 1000
    default_room_options: {{anonymous: false, members_only: true, persistent: true, public: false, max_users: 1000}}
  mod_ping: {{}}
  mod_private: {{}}
  mod_roster: {{}}
  mod_shared_roster: {{}}
  mod_time: {{}}
  mod_pubsub: {{access_createnode: administrator, plugins: [flat, pep], max_items_node: 100000}}
  mod_register:
    access: register_name
    access_from: register_from
    access_remove: register_name
    welcome_message: {{subject: "", body: ""}}
"""


def available() -> bool:
    return bool(shutil.which("erl") and glob.glob("/usr/lib/*/ejabberd-*/ebin/ejabberd.beam"))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return t.cast(int, listener.getsockname()[1])


class Ejabberd:
    """``host``, ``port`` and ``ca_file`` are what a client needs."""

    host = "127.0.0.1"
    domain = DOMAIN
    administrator = ADMINISTRATOR
    password = PASSWORD
    scram = "sha256"

    def __init__(self, directory: pathlib.Path, hypervisors: t.Sequence[str] = ("hv1", "hv2")) -> None:
        self.directory = directory
        self.hypervisors = tuple(hypervisors)
        self.port, self.api_port = free_port(), free_port()
        self.ca_file = directory / "ca.pem"
        self._process: subprocess.Popen[str] | None = None

    def prepare(self) -> None:
        """Certificates, configuration, accounts and pubsub nodes; the server runs afterwards."""
        self.directory.mkdir(parents=True, exist_ok=True)
        certificate(self.directory, DOMAIN)
        self.configure()
        self.start()
        for name in ("admin", *self.hypervisors):
            self.register(name)
        self._make_nodes()

    def configure(self) -> None:
        (self.directory / "ejabberd.yml").write_text(
            CONFIGURATION.format(
                domain=DOMAIN,
                directory=self.directory,
                port=self.port,
                api_port=self.api_port,
                administrator=ADMINISTRATOR,
                scram=self.scram,
                hypervisors=", ".join(f'"{name}@{DOMAIN}"' for name in self.hypervisors),
            )
        )

    def start(self) -> None:
        """Return when every listener accepts."""
        spool = self.directory / "spool"
        spool.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "ERL_LIBS": str(pathlib.Path(glob.glob("/usr/lib/*/ejabberd-*/ebin")[0]).parent.parent),
            "EJABBERD_CONFIG_PATH": str(self.directory / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.directory / "ejabberd.log"),
            "ERL_CRASH_DUMP": str(self.directory / "crash.dump"),
        }
        self._process = subprocess.Popen(
            ["erl", "+SDio", "1", "-noinput", "-mnesia", "dir", json.dumps(str(spool)), "-s", "ejabberd"],
            cwd=spool,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout
        missing = {str(self.port), str(self.api_port)}
        said = []
        for line in self._process.stdout:
            said.append(line)
            if found := STARTED.search(line):
                missing.discard(found.group(1))
            if not missing:
                break
        else:
            raise RuntimeError("ejabberd did not start:\n" + "".join(said[-30:]))
        # What it says from here on is in ejabberd.log too; but a pipe that nobody empties would stop it.
        threading.Thread(target=collections.deque, args=(self._process.stdout, 0), daemon=True).start()

    def stop(self, *, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def api(self, command: str, **arguments: t.Any) -> t.Any:
        """One command of ejabberd's HTTP API."""
        connection = http.client.HTTPConnection(self.host, self.api_port, timeout=20)
        with contextlib.closing(connection):
            connection.request("POST", f"/api/{command}", json.dumps(arguments), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read().decode()
            if answer.status != 200:
                raise RuntimeError(f"ejabberd refused {command}: {body}")
            return json.loads(body)

    def register(self, name: str, password: str = PASSWORD) -> str:
        self.api("register", user=name, host=DOMAIN, password=password)
        return f"{name}@{DOMAIN}"

    def registered(self) -> set[str]:
        return set(self.api("registered_users", host=DOMAIN))

    def _make_nodes(self) -> None:
        """As the role does it: owned by the administrator, written by hypervisors, closed to others."""

        async def make() -> None:
            async with client.connected(self, "admin") as administrator:
                for node, affiliation in NODES.items():
                    hypervisors = [f"{name}@{DOMAIN}" for name in self.hypervisors]
                    await administrator.create_node(node, dict.fromkeys(hypervisors, affiliation))

        asyncio.run(make())


def certificate(directory: pathlib.Path, name: str) -> None:
    """``ca.pem`` and ``server.pem`` (chain and key) for a host of that name, good for a day."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
    openssl(
        "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a CA of tests", "-days", "1",
        # Python 3.13 insists (VERIFY_X509_STRICT).
        "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    names = f"subjectAltName=DNS:{name},DNS:pubsub.{name}"
    openssl(
        "req", "-x509", *key, "-keyout", "server.key", "-out", "server.crt", "-subj", f"/CN={name}", "-days", "1",
        "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key",
    )  # fmt: skip
    (directory / "server.pem").write_text(
        (directory / "server.crt").read_text() + (directory / "server.key").read_text()
    )
