# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole platform on loopback: a real ejabberd, a real libvirtd with its test driver, and the real agent between."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import time
import typing as t

from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Account, Client
from ejabberd import ADMINISTRATOR, PASSWORD, Ejabberd
from libvirtd import Libvirtd

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORE_AND_AGENT = f"{ROOT / 'plugins/module_utils'}{os.pathsep}{ROOT / 'roles/agent/files'}"
HYPERVISOR = "hv1"

CONFIGURATION = """
name = "{hypervisor}"
site = "lab-1"
coordinates = {{latitude = 46.2, longitude = 6}}
state_dir = "{directory}/state"
administrators = ["{administrator}"]
[xmpp]
jid = "{hypervisor}@{domain}"
password_file = "{directory}/password"
hosts = ["{host}"]
port = {port}
ca_file = "{ca_file}"
[libvirt]
uri = "{uri}"
"""


class Platform:
    """One hypervisor, ``hv1``, with the machine ``test`` that libvirt's test driver brings."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.server = Ejabberd(directory / "ejabberd")
        self.libvirtd = Libvirtd()
        self.uri = self.libvirtd.uri
        self._agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.server.prepare()
        self.libvirtd.start()
        self.start_agent()

    def stop(self) -> None:
        for part in (self.stop_agent, self.libvirtd.stop, self.server.stop):
            part()

    def account(self, name: str = "admin", password: str = PASSWORD) -> Account:
        server = self.server
        return Account(f"{name}@{server.domain}", password, (server.host,), server.port, str(server.ca_file))

    def start_agent(self) -> None:
        """Return when the hypervisor's contact answers."""
        (self.directory / "state").mkdir(exist_ok=True)
        password = self.directory / "password"
        password.touch(0o600)
        password.write_text(PASSWORD)
        configuration = self.directory / "agent.toml"
        configuration.write_text(
            CONFIGURATION.format(
                hypervisor=HYPERVISOR,
                directory=self.directory,
                administrator=ADMINISTRATOR,
                domain=self.server.domain,
                host=self.server.host,
                port=self.server.port,
                ca_file=self.server.ca_file,
                uri=self.uri,
            )
        )
        with (self.directory / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                [sys.executable, "-m", "archipel_agent", "--config", str(configuration)],
                env={**os.environ, "PYTHONPATH": CORE_AND_AGENT},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.wait_until(self.answers, "the agent does not answer")

    @property
    def agent_process(self) -> int:
        assert self._agent is not None
        return self._agent.pid

    def answers(self) -> bool:
        client = Client(self.account())
        return client.ping([client.account.hypervisor(HYPERVISOR)], timeout=1) == [None]

    def stop_agent(self) -> None:
        if self._agent is not None:
            self._agent.terminate()
            self._agent.wait(20)
            self._agent = None

    def wait_until(self, reached: t.Callable[[], bool], otherwise: str, seconds: float = 60) -> None:
        """For what no event tells this process."""
        end = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > end:
                log = ""
                with contextlib.suppress(OSError):
                    log = (self.directory / "agent.log").read_text()[-3000:]
                raise AssertionError(f"{otherwise} within {seconds:g} s\n{log}")
            time.sleep(0.1)
