# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark plays on: a libvirtd with the test driver, an ejabberd, an agent, all real and only its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import libvirt
from archipel.xmltree import NAMESPACE
from controller import ROOT, Controller
from ejabberd import Ejabberd
from libvirtd import Libvirtd

NAME: t.Final = "hv1"
PATIENCE: t.Final = 600.0

MACHINE: t.Final = """
<domain type='test'>
  <name>{name}</name>
  <metadata>{metadata}</metadata>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='i686'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='/var/lib/images/{name}.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><source network='default'/></interface>
  </devices>
</domain>
"""


@dataclasses.dataclass(frozen=True)
class Host:
    """A hypervisor with machines called ``names``. libvirtd forgets the test driver's machines with its last
    connection, so ``connection`` stays open."""

    uri: str
    connection: libvirt.virConnect
    names: list[str]

    def expect(self, running: int, *, by: str) -> None:
        """RuntimeError, unless so many machines run after that way has done its work."""
        if (there := self.connection.numOfDomains()) != running:
            raise RuntimeError(f"{there} machines run, not {running}, by {by}.")

    def stop(self) -> None:
        for domain in self.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            domain.destroy()


class Process:
    """A program under observation."""

    def __init__(self, command: t.Sequence[str], environment: t.Mapping[str, str], log: pathlib.Path) -> None:
        with log.open("a") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command], env={**os.environ, **environment}, stdout=output, stderr=output
            )
        self._name = " ".join(command)
        self._log = log

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def memory(self) -> float:
        """MiB that are resident (proc(5), VmRSS)."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def settle(self) -> None:
        """Return when it has nothing more to do: for half a second it took next to no processor time."""
        before = -1.0
        while (now := self._cpu_seconds()) - before > 0.02:
            before = now
            time.sleep(0.5)

    def busy(self, seconds: float) -> float:
        """The processor time, in seconds, that it takes in so many seconds from now."""
        before = self._cpu_seconds()
        time.sleep(seconds)
        return self._cpu_seconds() - before

    def _cpu_seconds(self) -> float:
        if self._process.poll() is not None:
            raise RuntimeError(
                f"{self._name} has ended with {self._process.returncode}:\n{self._log.read_text()[-3000:]}"
            )
        # User and system time in ticks are fields 14 and 15; the name before them is in parentheses (proc(5)).
        fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stage:
    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._rooms = 0

    def room(self) -> pathlib.Path:
        """A new directory."""
        self._rooms += 1
        room = self._directory / str(self._rooms)
        room.mkdir()
        return room

    @contextlib.contextmanager
    def host(
        self, machines: int, *, managed: bool = False, running: bool = False, prefix: str = "machine"
    ) -> t.Iterator[Host]:
        metadata = f"<archipel:machine xmlns:archipel='{NAMESPACE}'/>" if managed else ""
        names = [f"{prefix}{number:04}" for number in range(machines)]
        libvirtd = Libvirtd()
        try:
            libvirtd.start()
            connection = libvirt.open(libvirtd.uri)
            # The driver begins with a machine of its own.
            for domain in connection.listAllDomains():
                domain.destroy()
                domain.undefine()
            for name in names:
                domain = connection.defineXML(MACHINE.format(name=name, metadata=metadata))
                if running:
                    domain.create()
            yield Host(libvirtd.uri, connection, names)
            connection.close()
        finally:
            libvirtd.stop()

    @contextlib.contextmanager
    def server(self, hypervisors: t.Sequence[str] = (NAME,)) -> t.Iterator[Ejabberd]:
        server = Ejabberd(self.room(), hypervisors)
        server.prepare()
        try:
            yield server
        finally:
            server.stop()

    @contextlib.contextmanager
    def agent(self, host: Host, server: Ejabberd, *, contacts: str = "none") -> t.Iterator[Process]:
        """An agent that is online with its contacts and has written its index."""
        with self.start_agent(host, server, self.room(), contacts=contacts) as agent:
            online(server, 1 if contacts == "none" else 1 + len(host.names))
            agent.settle()
            yield agent

    def start_agent(
        self, host: Host, server: Ejabberd, state_dir: pathlib.Path, *, contacts: str, name: str = NAME
    ) -> Process:
        room = self.room()
        password = room / "password"
        password.touch(mode=0o600)
        password.write_text(server.password)
        configuration = room / "agent.toml"
        strings = {key: json.dumps(str(value)) for key, value in {
            "name": name, "contacts": contacts, "state_dir": state_dir, "administrator": server.administrator,
            "jid": f"{name}@{server.domain}", "password": password, "host": server.host, "ca": server.ca_file,
            "uri": host.uri,
        }.items()}  # fmt: skip
        configuration.write_text(AGENT.format(port=server.port, **strings))
        path = f"{ROOT / 'plugins/module_utils'}:{ROOT / 'roles/agent/files'}"
        return Process(
            ["-m", "archipel_agent", "--config", str(configuration)], {"PYTHONPATH": path}, room / "agent.log"
        )

    def crowd(self, server: Ejabberd, names: t.Sequence[str]) -> Process:
        """A process with a plain slixmpp client for each of these accounts."""
        environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
        arguments = [server.domain, server.password, server.host, str(server.port), str(server.ca_file), *names]
        return Process([str(ROOT / "tests/benchmark/crowd.py"), *arguments], environment, self.room() / "crowd.log")

    def controller(self, server: Ejabberd) -> Controller:
        """A controller whose environment names the platform's administrator."""
        return Controller(
            self.room(),
            {
                "ARCHIPEL_JID": server.administrator,
                "ARCHIPEL_PASSWORD": server.password,
                "ARCHIPEL_HOST": server.host,
                "ARCHIPEL_PORT": str(server.port),
                "ARCHIPEL_CA_FILE": str(server.ca_file),
            },
        )


AGENT: t.Final = """
name = {name}
contacts = {contacts}
state_dir = {state_dir}
administrators = [{administrator}]
[xmpp]
jid = {jid}
password_file = {password}
hosts = [{host}]
port = {port}
ca_file = {ca}
[libvirt]
uri = {uri}
"""


def online(server: Ejabberd, sessions: int) -> None:
    """Return when the server counts so many sessions."""
    ends = time.monotonic() + PATIENCE
    while (there := server.api("connected_users_number")["num_sessions"]) != sessions:
        if time.monotonic() > ends:
            raise RuntimeError(f"{there} of {sessions} sessions are there after {PATIENCE:g} s.")
        time.sleep(0.02)
