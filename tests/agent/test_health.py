# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent measures by itself, and keeps for charts."""

from __future__ import annotations

import asyncio
import time
import typing as t

import pytest
from archipel_agent.daemon import Agent
from archipel_agent.features import health
from archipel_agent.features.health import Ring
from client import Client, error_of
from slixmpp.exceptions import IqError
from world import TEST_UUID, World

HV1 = "hv1@xmpp.test/hv1"
HOUR, WEEK = 60, 7 * 24 * 60


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> tuple[Ring, Ring]:
    """A ring that keeps 0.5 s, and one that keeps longer."""
    rings = (Ring(0.05, 0.5, disks=False), Ring(0.2, 60, disks=True))
    monkeypatch.setattr(health, "RINGS", rings)
    return rings


def kept(agent: Agent, ring: Ring) -> int:
    return int(agent.database.execute("SELECT count(*) FROM health WHERE every = ?", (ring.every,)).fetchone()[0])


async def until(reached: t.Callable[[], bool]) -> None:
    async with asyncio.timeout(45):
        while not reached():
            await asyncio.sleep(0.05)


async def history(person: Client, minutes: int, **further: t.Any) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", await person.call(HV1, "hypervisor_info", {"history": minutes, **further}))


async def test_the_past_is_told_of_the_host_and_of_machines(world: World, quick: tuple[Ring, Ring]) -> None:
    async with world.agent() as agent, world.person() as admin:
        await until(lambda: kept(agent, quick[0]) > 2)
        answer = await history(admin, 1, vms=["te*"])
        host, (vm,) = answer["hypervisor"]["history"], answer["vms"]
        assert len(host) > 2
        assert host[0].keys() == {"time", "cpu", "memory_total", "memory_used", "swap_total", "swap_used", "load"}
        assert (vm["uuid"], [entry["time"] for entry in vm["history"]]) == (TEST_UUID, [e["time"] for e in host])
        assert vm["history"][-1]["memory"] == 2048
        assert vm["history"][-1]["cpu"] > 0


async def test_the_finest_is_told_of_each_time(world: World, quick: tuple[Ring, Ring]) -> None:
    """The coarse ring goes on where the fine one has forgotten, and nothing is told twice."""
    fine, coarse = quick
    async with world.agent() as agent:
        begun = time.monotonic()
        await until(lambda: kept(agent, coarse) > 8)
        seconds = time.monotonic() - begun
        entries = agent.health.since(1)
        assert kept(agent, fine) <= fine.kept / (0.95 * fine.every) + 1
        oldest = agent.database.execute("SELECT min(time) FROM health WHERE every = ?", (fine.every,)).fetchone()[0]
        before = agent.database.execute("SELECT count(*) FROM health WHERE time < ?", (oldest,)).fetchone()[0]
        assert 0 < before <= seconds / (0.95 * coarse.every)
        assert len(entries) == before + kept(agent, fine)


async def test_the_past_survives_a_restart(world: World, quick: tuple[Ring, Ring]) -> None:
    async with world.agent() as agent:
        await until(lambda: kept(agent, quick[1]) > 0)
        before = agent.health.since(HOUR)
    async with world.agent() as agent:
        assert {entry.time for entry in before} <= {entry.time for entry in agent.health.since(HOUR)}


@pytest.mark.parametrize("minutes", [0, WEEK + 1])
async def test_more_than_is_kept_is_refused(world: World, minutes: int) -> None:
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError) as refused:
            await history(admin, minutes)
        assert "history" in error_of(refused.value)["msg"]


async def test_a_person_is_told_how_busy_it_is(world: World) -> None:
    async with world.agent(), world.person() as admin:
        answer = await admin.command(HV1, "hypervisor_info", json_text='{"health": true}')
        assert "My CPUs are busy for" in answer.find("{http://jabber.org/protocol/commands}note").text
