# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that nobody here wrote: profanity, driven in a terminal."""

from __future__ import annotations

import asyncio
import os
import pathlib
import shlex
import shutil
import signal
import subprocess

import pytest
from world import TEST_UUID, World, contact_of

PATIENCE = 45


class Terminal:
    """A program in a terminal of tmux, with a server of its own that ends with the test."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._socket = directory / "tmux"
        self._directory = directory

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout

    def start(self, *command: str) -> None:
        home = self._directory / "home"
        home.mkdir()
        environment = {"HOME": str(home), "LANG": "C.UTF-8", "TERM": "screen-256color", "PATH": os.environ["PATH"]}
        settings = [f"{key}={value}" for key, value in environment.items()]
        line = shlex.join(["env", "-i", *settings, *command])
        self._tmux("new-session", "-d", "-x", "200", "-y", "60", line)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    async def shows(self, words: str) -> str:
        """The screen, as soon as these words are on it. A terminal tells nobody that it was drawn; it is looked at
        ten times a second."""
        async with asyncio.timeout(PATIENCE):
            while True:
                screen = await asyncio.to_thread(self._tmux, "capture-pane", "-p", "-J")
                if words in " ".join(screen.split()):
                    return screen
                await asyncio.sleep(0.1)

    def stop(self) -> None:
        pid = int(self._tmux("display-message", "-p", "#{pid}"))
        os.kill(pid, signal.SIGTERM)


@pytest.mark.skipif(not (shutil.which("profanity") and shutil.which("tmux")), reason="apt-get install profanity tmux")
async def test_a_person_talks_to_a_machine_and_runs_a_command(world: World, tmp_path: pathlib.Path) -> None:
    """With profanity one asks a machine how it is, pauses it in chat, sees its presence, and runs commands by forms."""
    terminal = Terminal(tmp_path)
    async with world.agent() as agent:
        jid = await contact_of(agent)
        bare = jid.split("/")[0]
        await asyncio.to_thread(terminal.start, "profanity", "--log", "ERROR")
        try:
            await terminal.shows("Profanity")
            for line in ("/splash off", "/carbons off"):
                terminal.type(line)
            terminal.type(
                f"/connect {world.server.administrator} server {world.server.host} port {world.server.port} tls trust"
            )
            await terminal.shows("password")
            terminal.type(world.server.password)
            await terminal.shows("logged in successfully")

            terminal.type(f"/sub request {bare}")
            await terminal.shows(f"Sent subscription request to {bare}")
            terminal.type(f"/msg {bare}")
            terminal.type("how are you")
            await terminal.shows("I am test. I am running on hv1")
            terminal.type("pause")
            await terminal.shows("I am paused now.")
            terminal.type("resume")
            await terminal.shows("I am running again.")

            terminal.type("/win 1")
            terminal.type(f"/cmd list {jid}")
            await terminal.shows("destroy")
            terminal.type(f"/cmd exec state {jid}")
            await terminal.shows("cpu_seconds")
            terminal.type(f"/cmd exec destroy {jid}")
            await terminal.shows("Seconds to wait at most")
            terminal.type("/form submit")
            await terminal.shows("running → shutoff")

            # The machines to choose from; then, knowing which, its snapshots are told.
            terminal.type("/win 1")
            terminal.type("/cmd exec vm_snapshot hv1@xmpp.test/hv1")
            await terminal.shows("Name of the machine")
            terminal.type("/field1 test")
            terminal.type("/form submit")
            await terminal.shows("What people say about it")
            terminal.type("/field2 before")
            terminal.type("/form submit")
            await terminal.shows("vm_snapshot has begun as job")
            job = agent.jobs.changing(TEST_UUID)
            assert job is None or (await agent.jobs.ended(job.id)).state == "succeeded"
            terminal.type("/win 1")
            terminal.type(f"/cmd exec revert {jid}")
            await terminal.shows("Name of the snapshot")
            terminal.type("/form help field1")
            assert " before" in await terminal.shows("list-single")
        except TimeoutError:
            print(await asyncio.to_thread(terminal._tmux, "capture-pane", "-p"))
            raise
        finally:
            await asyncio.to_thread(terminal.stop)
        # The test driver's machine is that of the next test, too.
        async with world.person() as admin:
            forgotten = await admin.call(jid, "forget", {"snapshot": "before"})
            await agent.jobs.ended(forgotten["job"])
            await admin.call(jid, "start")
