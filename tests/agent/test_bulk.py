# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request for many machines: each is a request of its own to the agent, with its rights, its lock and its event."""

from __future__ import annotations

import asyncio
import contextlib
import typing as t

import pytest
from archipel_agent.daemon import Agent
from client import Client
from grants import STRANGER, grant, withdraw_all
from slixmpp.exceptions import IqError
from world import World, machine

HV1 = "hv1@xmpp.test/hv1"
NAMES: t.Final = ("bulk1", "bulk2", "bulk3", "bulk4")
UUIDS: t.Final = {name: f"b0000000-0000-4000-8000-00000000000{name[-1]}" for name in NAMES}

Result = dict[str, t.Any]


@contextlib.asynccontextmanager
async def stage(world: World) -> t.AsyncIterator[tuple[Agent, Client]]:
    """An agent with four machines that are off, and its administrator."""
    await withdraw_all(world)
    async with world.agent(contacts="none") as agent, world.person() as admin:
        for name, uuid in UUIDS.items():
            await admin.call(HV1, "vm", {"name": name, "xml": machine(name, uuid)})
        while not UUIDS.keys() <= {state.name for state in agent.link.machines.values()}:
            await known(agent)
        admin.published.clear()
        try:
            yield agent, admin
        finally:
            await admin.call(HV1, "vm", {"names": list(NAMES), "state": "absent", "force": True})
            await withdraw_all(world)


async def known(agent: Agent) -> None:
    """Return when the agent has learned something of a machine."""
    learned = asyncio.Event()
    agent.link.changed.append(lambda _old, _new: learned.set())
    await learned.wait()


async def bulk(person: Client, **arguments: t.Any) -> Result:
    """The job of a vm_bulk when it has ended, its result or error in it."""
    begun = await person.call(HV1, "vm_bulk", arguments)
    return await person.call(HV1, "job", {"id": begun["job"], "wait": 50}, seconds=55)


async def test_each_machine_leaves_an_event_of_its_own(world: World) -> None:
    """One request and one job; who asked is told with each machine that changed."""
    async with stage(world) as (_agent, admin):
        job = await bulk(admin, machines=["bulk*"], state="running")
        assert job["result"]["counts"] == {"selected": 4, "changed": 4, "unchanged": 0, "failed": 0, "not_tried": 0}
        assert [vm["name"] for vm in job["result"]["vms"]] == list(NAMES)

        def told() -> dict[tuple[str, str], set[str]]:
            found: dict[tuple[str, str], set[str]] = {}
            for event in admin.events("changed"):
                assert event["who"] == "admin@xmpp.test"
                found.setdefault((event["action"], event["door"]), set()).update(event["subjects"])
            # That they were made.
            found.pop(("vm", "adhoc"), None)
            return found

        wanted = {("vm", "bulk"): {*UUIDS.values()}, ("vm_bulk", "adhoc"): set()}
        await admin.until(lambda: told() == wanted)
        jobs = [event["job"] for event in admin.events("job")]
        assert {told["id"] for told in jobs} == {job["id"]}
        assert {f"{done} of 4 machines" for done in range(1, 5)} <= {told["progress"]["text"] for told in jobs}
        again = await bulk(admin, machines=["bulk*"], state="running")
        assert (again["result"]["changed"], again["result"]["msg"]) == (False, "Of 4 machines 4 unchanged.")


async def test_a_right_to_some_machines_reaches_those_only(world: World) -> None:
    """Others are left out of patterns and states; one that is named is missing, as if it did not exist, and refused."""
    async with stage(world) as (agent, admin), world.person("stranger") as person:
        with pytest.raises(IqError, match="item-not-found"):
            await person.call(HV1, "vm_bulk", {"machines": ["*"], "state": "running"})
        await grant(admin, "one", role="operator", scope={"machine": UUIDS["bulk2"]})
        result = (await bulk(person, machines=["*"], states=["shutoff"], state="running"))["result"]
        assert [(vm["name"], vm["changed"]) for vm in result["vms"]] == [("bulk2", True)]
        admin.published.clear()
        result = (await bulk(person, machines=["bulk2", "bulk3", UUIDS["bulk4"], "nobody"], state="paused"))["result"]
        assert [vm["name"] for vm in result["vms"]] == ["bulk2"]
        assert result["missing"] == ["bulk3", UUIDS["bulk4"], "nobody"]
        await admin.until(lambda: admin.events("refused"))
        refused = admin.events("refused")[0]
        assert (refused["action"], refused["who"], refused["door"]) == ("vm", STRANGER, "bulk")
        assert {*refused["subjects"]} == {UUIDS["bulk3"], UUIDS["bulk4"]}
        for beyond in ({"definition": {"memory": 128}}, {"remove_volumes": "all"}):
            result = (await bulk(person, machines=["*"], action="vm", arguments=beyond))["result"]
            assert (result["changed"], result["vms"]) == (False, [])
        states = {name: agent.link.machines[uuid].state for name, uuid in UUIDS.items()}
        assert states == {"bulk1": "shutoff", "bulk2": "paused", "bulk3": "shutoff", "bulk4": "shutoff"}


async def test_no_more_machines_are_at_it_than_asked_for(world: World) -> None:
    """And as many, where there are as many."""
    async with stage(world) as (agent, admin):
        perform, now, most = agent.link.perform, 0, 0

        async def counted(lane: str, work: t.Any) -> t.Any:
            nonlocal now, most
            if lane != "changes":
                return await perform(lane, work)
            now, most = now + 1, max(most, now + 1)
            try:
                return await perform(lane, work)
            finally:
                now -= 1

        agent.link.perform = counted  # type: ignore[method-assign]
        for limit in (1, 3):
            most = 0
            state = {1: "running", 3: "destroyed"}[limit]
            job = await bulk(admin, machines=["bulk*"], state=state, max_parallel=limit)
            assert (job["result"]["counts"]["changed"], most) == (4, limit)


async def test_it_stops_when_too_many_have_failed(world: World) -> None:
    """Who is off cannot be paused; the first failure is one too many here."""
    async with stage(world) as (_agent, admin):
        asked = {"machines": ["bulk*"], "action": "pause", "max_parallel": 1}
        job = await bulk(admin, **asked, max_fail_percentage=0)
        assert job["state"] == "succeeded"
        assert job["result"]["stopped"] == "More than 0 % failed."
        assert job["result"]["counts"] == {"selected": 4, "changed": 0, "unchanged": 0, "failed": 1, "not_tried": 3}
        assert job["result"]["vms"][0]["error"]["code"] == "conflict"
        assert (await bulk(admin, **asked))["result"]["counts"]["failed"] == 4


async def test_long_actions_are_followed_to_their_end(world: World) -> None:
    """Each is a job of its own; a machine at which another job is at work fails with a conflict, the others do not."""
    async with stage(world) as (agent, admin):
        asked = {"machines": ["bulk1", "bulk2"], "action": "vm_snapshot", "arguments": {"snapshot": "before"}}
        job = await bulk(admin, **asked)
        assert [vm["changes"][0]["path"] for vm in job["result"]["vms"]] == ["snapshots[before]"] * 2
        assert (await bulk(admin, **asked))["result"]["counts"]["unchanged"] == 2
        removed = await bulk(admin, machines=["bulk*"], action="forget", arguments={"snapshot": "before"})
        assert removed["result"]["counts"]["changed"] == 2
        assert not any(agent.jobs.changing(uuid) for uuid in UUIDS.values())


async def test_nothing_that_may_be_secret_is_kept_of_the_job(world: World) -> None:
    async with stage(world) as (agent, admin):
        given = {"definition": {"graphics": {"type": "vnc", "password": "s3cret"}}}
        job = await bulk(admin, machines=["bulk1"], action="vm", arguments=given, check=True)
        assert "s3cret" not in "".join(agent.database.iterdump())
        assert "s3cret" not in str(job)


async def test_what_cannot_be_done_fails_as_a_whole(world: World) -> None:
    async with stage(world) as (_agent, admin):
        job = await bulk(admin, machines=["bulk*"], action="strat")
        assert (job["state"], job["error"]["code"]) == ("failed", "unknown_action")
        assert "Did you mean state or start?" in job["error"]["msg"]
