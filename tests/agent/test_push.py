# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushed events: Apprise itself, against a real HTTP server that takes what it posts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import pathlib
import typing as t

import pytest
from archipel_agent.config import Push
from archipel_agent.daemon import Agent
from client import Client
from world import TEST_UUID, World

SECRET = "open-sesame"
HV1 = "hv1@xmpp.test/hv1"


class Service:
    """What was posted to it, as soon as it is asked for. ``up`` tells whether it takes anything."""

    def __init__(self) -> None:
        self.posts: list[dict[str, t.Any]] = []
        self.refused = 0
        self.up = True
        self.news = asyncio.Event()
        self.file = pathlib.Path()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        post = json.loads(await reader.readexactly(length))
        if self.up:
            self.posts.append(post)
        else:
            self.refused += 1
        self.news.set()
        status = b"200 OK" if self.up else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def until(self, reached: t.Callable[[], t.Any]) -> None:
        async with asyncio.timeout(45):
            while not reached():
                self.news.clear()
                await self.news.wait()

    def told(self) -> list[tuple[str, str, str]]:
        return [(post["title"], post["message"], post["type"]) for post in self.posts]


@contextlib.asynccontextmanager
async def service(directory: pathlib.Path) -> t.AsyncIterator[Service]:
    """A service, whose ``file`` names it."""
    made = Service()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        made.file = urls(directory, f"# where people are\n\njson://user:{SECRET}@127.0.0.1:{port}/{SECRET}\n")
        yield made


def urls(directory: pathlib.Path, text: str, mode: int = 0o600) -> pathlib.Path:
    file = directory / "push.urls"
    file.touch(0o600)
    file.write_text(text)
    file.chmod(mode)
    return file


@contextlib.asynccontextmanager
async def pushing(world: World, *wants: Push) -> t.AsyncIterator[tuple[Agent, Client]]:
    async with world.agent(contacts="none", push=wants) as agent, world.person() as admin:
        await admin.call(HV1, "vm", {"name": "test", "state": "running"})
        yield agent, admin


async def test_events_are_pushed(world: World, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """What happens to machines and who did it; nothing of the URL is in the log."""
    caplog.set_level(logging.DEBUG)
    async with service(tmp_path) as phone, pushing(world, Push(phone.file)) as (_agent, admin):
        await admin.call(HV1, "vm", {"name": "test", "state": "paused"})
        await phone.until(lambda: len(phone.posts) >= 2)
        assert ("hv1: lifecycle", "test is paused (user).", "info") in phone.told()
        assert ("hv1: changed", "admin@xmpp.test: vm on hv1 (adhoc): changed.", "info") in phone.told()
    assert "hv1" in caplog.text
    assert SECRET not in caplog.text


async def test_only_what_is_wanted_is_pushed(world: World, tmp_path: pathlib.Path) -> None:
    """Filters of one kind add up, those of several kinds all have to fit."""
    wants = (Push(tmp_path / "push.urls", types=("lifecycle",), machines=("te*",), states=("paused",)),)
    async with service(tmp_path) as phone, pushing(world, *wants) as (_agent, admin):
        for state in ("paused", "running", "paused"):
            await admin.call(HV1, "vm", {"name": "test", "state": state})
        await phone.until(lambda: len(phone.posts) >= 2)
        assert phone.told() == [("hv1: lifecycle", "test is paused (user).", "info")] * 2


LIFECYCLE: t.Final = {"type": "lifecycle", "uuid": "x", "name": "web1", "state": "crashed", "reason": "panicked"}
JOB: t.Final = {"type": "job", "job": {"entity": TEST_UUID, "state": "failed"}}
REFUSED: t.Final = {"type": "refused", "entity": TEST_UUID, "who": "a@b", "action": "start", "door": "chat"}
SCHEDULE: t.Final = {"type": "schedule", "schedule": {"machine": None, "outcome": "missed"}}


@pytest.mark.parametrize(
    ("wants", "expected"),
    [
        ({}, [LIFECYCLE, JOB, REFUSED, SCHEDULE]),
        ({"types": ("job", "schedule")}, [JOB, SCHEDULE]),
        ({"machines": ("web*",)}, [LIFECYCLE]),
        ({"machines": ("test",)}, [JOB, REFUSED]),
        ({"states": ("running",)}, [JOB, REFUSED, SCHEDULE]),
        ({"outcomes": ("refused", "missed")}, [LIFECYCLE, REFUSED, SCHEDULE]),
    ],
)
async def test_filters(
    world: World, tmp_path: pathlib.Path, wants: dict[str, t.Any], expected: list[dict[str, t.Any]]
) -> None:
    """A filter of states holds only those events back that have a state, and so do outcomes."""
    file = urls(tmp_path, "json://127.0.0.1:1/\n")
    async with pushing(world, Push(file, **wants)) as (agent, _admin):
        (wanted,) = (service.wants for service in agent.pushes.services)
        progress = {"type": "job", "job": {"entity": TEST_UUID, "state": "running"}}
        events = [LIFECYCLE, JOB, REFUSED, SCHEDULE, progress]
        assert [event for event in events if agent.pushes._wanted(event, wanted)] == expected


async def test_a_service_that_is_away_gets_it_later(
    world: World, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In order, and the agent goes on meanwhile; of more than can wait the oldest are lost, and counted."""
    monkeypatch.setattr("archipel_agent.features.push.PAUSES", (0.05,) * 400)
    monkeypatch.setattr("archipel_agent.features.push.MAX_WAITING", 3)
    async with service(tmp_path) as phone, pushing(world, Push(phone.file, types=("note",))) as (agent, admin):
        (made,) = agent.pushes.services
        made.waiting = type(made.waiting)(maxlen=3)
        phone.up = False
        agent.events.publish("note", number=0)
        await phone.until(lambda: phone.refused > 1)
        for number in range(1, 6):
            agent.events.publish("note", number=number)
        assert (await admin.call(HV1, "hypervisor_info"))["hypervisor"]["name"] == "hv1"
        phone.up = True
        await phone.until(lambda: len(phone.posts) >= 4)
        assert [post["message"] for post in phone.posts] == [f'{{"number": {n}}}' for n in (0, 3, 4, 5)]
    assert "2 events were lost to line 3 of" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("text", "mode", "complaint"),
    [
        (f"json://127.0.0.1/{SECRET}\n", 0o644, "can be read by others"),
        (f"\nnosuch://127.0.0.1/{SECRET}\n", 0o600, "line 2 is no URL of a service"),
        (None, 0o600, "cannot be read"),
    ],
)
async def test_a_file_that_cannot_be_used_is_told(
    world: World, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, text: str | None, mode: int, complaint: str
) -> None:
    """By ``--check``, and in the log of an agent that runs all the same; the URL is in neither."""
    file = urls(tmp_path, text, mode) if text is not None else tmp_path / "none"
    async with pushing(world, Push(file)) as (agent, _admin):
        assert agent.pushes.services == []
        assert complaint in caplog.text
        assert SECRET not in caplog.text
    config = dataclasses.replace(world.config(), contacts="none")
    written = world.write(config)
    written.write_text(f"{written.read_text()}[[push]]\nurls_file = {str(file)!r}\ntypes = ['job']\n")
    process = world.command("--config", str(written), "--check", "--no-connect")
    output = await asyncio.to_thread(lambda: process.communicate(timeout=30)[0])
    assert process.returncode == 1
    assert complaint in output
    assert SECRET not in output
