# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test has: the server, a directory, agents in this process or as processes of their own, and people."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import pathlib
import subprocess
import sys
import typing as t

import client
from archipel_agent.config import Config, Libvirt, Xmpp
from archipel_agent.daemon import Agent
from ejabberd import DOMAIN, Ejabberd
from libvirtd import Libvirtd

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEST_UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"  # of the machine that the test driver brings


class Daemon(Libvirtd):
    """A libvirtd that can go away and come back at the same address."""

    def halt(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)
        self.socket.unlink(missing_ok=True)


class World:
    """A stage for one test."""

    def __init__(self, server: Ejabberd, directory: pathlib.Path) -> None:
        self.server = server
        self.directory = directory

    def config(self, name: str = "hv1", *, uri: str = "test:///default", **settings: t.Any) -> Config:
        """For a hypervisor of that name; its state is kept for the rest of the test."""
        state = self.directory / name
        state.mkdir(exist_ok=True)
        password = state / "password"
        password.touch(0o600)
        password.write_text(self.server.password)
        made = Config(
            name=name,
            xmpp=Xmpp(f"{name}@{DOMAIN}", password, (self.server.host,), self.server.port, self.server.ca_file),
            libvirt=Libvirt(uri, f"qemu+tls://{name}.test/system"),
            contacts="all",
            state_dir=state,
            administrators=(self.server.administrator,),
            peers=tuple(f"{other}@{DOMAIN}" for other in self.server.hypervisors if other != name),
        )
        return dataclasses.replace(made, **settings)

    @contextlib.asynccontextmanager
    async def running(self, config: Config) -> t.AsyncIterator[Agent]:
        """An agent in this process, whatever becomes of it."""
        agent = Agent(config)
        task = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            agent.stop()
            await task
            # A connection is open for as long as anything of it is, and a cycle of objects may hold a machine: the
            # next agent would find libvirt's ``test:///default``, one for each process, as this one has left it.
            gc.collect()

    @contextlib.asynccontextmanager
    async def agent(self, name: str = "hv1", **settings: t.Any) -> t.AsyncIterator[Agent]:
        """An agent in this process that is online and knows its machines."""
        async with self.running(self.config(name, **settings)) as agent:
            await agent.session.online.wait()
            await agent.link.up.wait()
            yield agent

    def person(self, name: str = "admin", **settings: t.Any) -> t.Any:
        return client.connected(self.server, name, **settings)

    def write(self, config: Config) -> pathlib.Path:
        """The configuration as a file."""
        file = config.state_dir / "agent.toml"
        lists = "\n".join(f"{key} = {list(getattr(config, key))!r}" for key in ("administrators", "peers"))
        file.write_text(
            f"name = {config.name!r}\ncontacts = {config.contacts!r}\nstate_dir = {str(config.state_dir)!r}\n{lists}\n"
            f"[xmpp]\njid = {config.xmpp.jid!r}\npassword_file = {str(config.xmpp.password_file)!r}\n"
            f"hosts = {list(config.xmpp.hosts)!r}\nport = {config.xmpp.port}\nca_file = {str(config.xmpp.ca_file)!r}\n"
            f"[libvirt]\nuri = {config.libvirt.uri!r}\nmigration_uri = {config.libvirt.migration_uri!r}\n"
        )
        return file

    def command(
        self, *arguments: str, module: str = "archipel_agent", before: t.Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """The agent's command, or another one of its wheel; ``before`` is one that runs it."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins/module_utils"), str(ROOT / "roles/agent/files")]),
        }
        line = [*before, sys.executable, "-m", module, *arguments]
        return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def start(self, config: Config) -> subprocess.Popen[str]:
        """An agent as a process of its own."""
        return self.command("--config", str(self.write(config)))


def machine(name: str, uuid: str, **further: str) -> str:
    """A minimal domain of the test driver."""
    inside = "".join(f"<{tag}>{text}</{tag}>" for tag, text in further.items())
    return (
        f"<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory>"
        f"<os><type arch='i686'>hvm</type></os>{inside}</domain>"
    )


async def contact_of(agent: Agent, uuid: str = TEST_UUID) -> str:
    """The machine's full JID, when its contact is online."""
    jid = f"{uuid}@{DOMAIN}/{agent.config.name}"
    while uuid not in agent.contacts.contacts or not agent.contacts.contacts[uuid].session.online.is_set():
        # The agent tells nobody inside its process; ten times a second is often enough.
        await asyncio.sleep(0.1)
    return jid
