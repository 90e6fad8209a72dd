# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules: what is due is run once, with its author's rights, over restarts, and where the machine is."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import json
import signal
import typing as t

import pytest
from archipel.connection import Connection
from archipel_agent import database
from archipel_agent.config import Config
from archipel_agent.daemon import Agent
from client import Client, error_of
from slixmpp.exceptions import IqError
from world import TEST_UUID, Daemon, World, machine

HV1, HV2 = "hv1@xmpp.test/hv1", "hv2@xmpp.test/hv2"
NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
PAUSE = {"action": "pause", "machine": "test", "cron": "30 2 * * *"}
OTHER = "11111111-2222-3333-4444-555555555555"


class Clock:
    """The time that an agent sees: it stands still until it is moved."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.now = NOW
        agent.timetable.now = lambda: self.now
        agent.timetable.wake()

    def set(self, text: str) -> None:
        self.now = datetime.datetime.fromisoformat(text)
        self._agent.timetable.wake()


@contextlib.asynccontextmanager
async def agent_of(world: World, name: str = "hv1", **settings: t.Any) -> t.AsyncIterator[tuple[Agent, Clock]]:
    """An agent and its clock. Its machine ``test`` runs, whatever an earlier test has left."""
    async with world.agent(name, **{"contacts": "none", **settings}) as agent:
        clock = Clock(agent)
        await agent.link.perform("changes", _run_test)
        yield agent, clock


def _run_test(hypervisor: t.Any) -> None:
    found = hypervisor.find(uuid=TEST_UUID)
    if found is not None:
        hypervisor.vm(uuid=TEST_UUID, state="running")


async def keep(person: Client, name: str, jid: str = HV1, **arguments: t.Any) -> dict[str, t.Any]:
    return await person.call(jid, "schedule", {"name": name, **arguments})


async def kept(person: Client, jid: str = HV1, **arguments: t.Any) -> list[dict[str, t.Any]]:
    return (await person.call(jid, "schedule_info", arguments))["schedules"]


async def runs(admin: Client, count: int = 1) -> list[dict[str, t.Any]]:
    """What the events since this person came tell of schedules, as soon as there are so many."""
    await admin.until(lambda: len(admin.events("schedule")) >= count)
    return [event["schedule"] for event in admin.events("schedule")]


async def refused(person: Client, **arguments: t.Any) -> str:
    with pytest.raises(IqError) as failed:
        await keep(person, "refused", **arguments)
    return t.cast(str, error_of(failed.value)["msg"])


async def test_what_is_due_is_run_in_its_authors_name(world: World) -> None:
    """Not before its time, and then once; audit and result name the author and this door."""
    async with agent_of(world) as (agent, clock), world.person() as admin:
        made = await keep(admin, "nightly", **PAUSE)
        assert (made["changed"], made["schedule"]["next"]) == (True, "2026-03-02T02:30:00Z")
        clock.set("2026-03-02T02:29:59+00:00")
        assert (await kept(admin))[0]["last"] is None
        clock.set("2026-03-02T02:30:00+00:00")
        (run,) = await runs(admin)
        assert run == {
            "name": "nightly", "machine": TEST_UUID, "action": "pause", "author": "admin@xmpp.test",
            "due": "2026-03-02T02:30:00Z", "outcome": "succeeded", "msg": run["msg"],
        }  # fmt: skip
        assert agent.link.machines[TEST_UUID].state == "paused"
        changed = [e for e in admin.events("changed") if e["action"] == "pause"]
        assert [(e["entity"], e["who"], e["door"]) for e in changed] == [(TEST_UUID, "admin@xmpp.test", "schedule")]
        (told,) = await kept(admin, upcoming=2)
        assert told["upcoming"] == ["2026-03-03T02:30:00Z", "2026-03-04T02:30:00Z"]
        assert [r["name"] for r in told["last"]["results"]] == ["test"]


async def test_a_schedule_runs_in_real_time(world: World) -> None:
    """Without a moved clock: what is to happen in two seconds does, and does not come again."""
    async with world.agent(contacts="none") as agent, world.person() as admin:
        await agent.link.perform("changes", _run_test)
        when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
        await keep(admin, "once", action="vm_info", at=when.isoformat())
        (run,) = await runs(admin)
        assert run["outcome"] == "succeeded"
        (told,) = await kept(admin)
        assert (told["next"], told["last"]["outcome"]) == (None, "succeeded")
        begun = datetime.datetime.fromisoformat(told["last"]["started"])
        assert when - datetime.timedelta(seconds=1) <= begun


async def test_a_second_time_changes_nothing(world: World) -> None:
    """What there is is compared with what is given; check mode tells what would change."""
    async with agent_of(world), world.person() as admin:
        planned = await keep(admin, "nightly", **PAUSE, check=True)
        assert planned["changed"] is True
        assert await kept(admin) == []
        made = await keep(admin, "nightly", **PAUSE)
        assert made["changes"] == planned["changes"]
        assert (await keep(admin, "nightly", **PAUSE))["changed"] is False
        changed = await keep(admin, "nightly", machine="test", cron="0 3 * * *", enabled=False)
        assert [(c["path"], c["old"], c["new"]) for c in changed["changes"]] == [
            ("cron", "30 2 * * *", "0 3 * * *"),
            ("enabled", True, False),
        ]
        (told,) = await kept(admin)
        assert (told["action"], told["next"]) == ("pause", None)
        for check, changes in ((True, True), (False, True), (False, False)):
            gone = await keep(admin, "nightly", machine="test", state="absent", check=check)
            assert gone["changed"] is changes
        assert await kept(admin) == []


async def test_a_rule_counts_from_when_it_was_made(world: World) -> None:
    """A rule without a start goes on from the same one when it is asked for again."""
    async with agent_of(world) as (_agent, clock), world.person() as admin:
        rule = {"action": "vm_info", "rrule": "FREQ=DAILY;INTERVAL=2", "timezone": "Europe/Berlin"}
        await keep(admin, "often", **rule)
        clock.set("2026-03-01T13:00:00+00:00")
        assert (await keep(admin, "often", **rule))["changed"] is False
        (told,) = await kept(admin, upcoming=20)
        assert told["start"] == "2026-03-01T12:00:00Z"
        assert told["upcoming"][:2] == ["2026-03-03T12:00:00Z", "2026-03-05T12:00:00Z"]
        assert len(told["upcoming"]) == 10


async def test_a_selector_is_evaluated_when_it_runs(world: World) -> None:
    """Machines that were not there when it was made are meant, those that do not fit are not."""
    async with agent_of(world) as (agent, clock), world.person() as admin:
        await keep(admin, "all", action="pause", machines=["te*", "late"], states=["running"], cron="0 13 * * *")
        await admin.call(HV1, "vm", {"xml": machine("late", OTHER), "state": "running"})
        await admin.call(HV1, "vm", {"name": "test", "state": "paused"})
        await known(agent, OTHER, "running")
        await known(agent, TEST_UUID, "paused")
        try:
            clock.set("2026-03-01T13:00:00+00:00")
            (run,) = await runs(admin)
            assert run["outcome"] == "succeeded"
            (told,) = await kept(admin)
            assert [(r["name"], r["outcome"]) for r in told["last"]["results"]] == [("late", "succeeded")]
            await known(agent, OTHER, "paused")
        finally:
            await admin.call(HV1, "vm", {"name": "late", "state": "absent", "force": True})


async def test_machines_are_selected_by_tags(world: World) -> None:
    """All of the tags that are named have to be there."""
    async with agent_of(world) as (agent, clock), world.person() as admin:
        tagged = dataclasses.replace(agent.link.machines[TEST_UUID], tags=frozenset(("web", "prod")))
        agent.link.machines[TEST_UUID] = tagged
        for name, tags in (("both", ["web", "prod"]), ("other", ["web", "db"])):
            await keep(admin, name, action="state", tags=tags, cron="0 13 * * *")
        clock.set("2026-03-01T13:00:00+00:00")
        await runs(admin, 2)
        assert [len(told["last"]["results"]) for told in await kept(admin)] == [1, 0]


async def test_a_long_action_is_followed_to_its_end(world: World) -> None:
    """The run ends when its job does, and is what its job is."""
    async with agent_of(world) as (_agent, clock), world.person() as admin:
        await keep(
            admin, "move", action="migrate", machine="test", arguments={"destination": "nosuch"}, cron="0 13 * * *"
        )
        clock.set("2026-03-01T13:00:00+00:00")
        (run,) = await runs(admin)
        (told,) = await kept(admin)
        (result,) = told["last"]["results"]
        job = await admin.call(HV1, "job", {"id": result["job"]})
        assert (run["outcome"], result["outcome"], job["state"]) == ("failed", "failed", "failed")


async def test_who_lost_their_rights_is_refused(world: World) -> None:
    """What counts are the author's rights when it runs; the refusal is an event, and the schedule tells it."""
    stranger = "stranger@xmpp.test"
    administrators = (world.server.administrator, stranger)
    async with agent_of(world, administrators=administrators) as (agent, clock), world.person() as admin:
        async with world.person("stranger") as person:
            await keep(person, "mine", **PAUSE)
        agent.authority.replace((world.server.administrator,), ())
        clock.set("2026-03-02T02:30:00+00:00")
        (run,) = await runs(admin)
        assert (run["author"], run["outcome"]) == (stranger, "refused")
        assert [(e["who"], e["door"]) for e in admin.events("refused")] == [(stranger, "schedule")]
        assert (await kept(admin))[0]["last"]["outcome"] == "refused"
        assert agent.link.machines[TEST_UUID].state == "running"


async def test_who_changes_a_schedule_becomes_its_author(world: World) -> None:
    """So nobody has others' rights lent to what they write; who only asks for the same changes nothing."""
    administrators = (world.server.administrator, "stranger@xmpp.test")
    async with agent_of(world, administrators=administrators), world.person() as admin:
        await keep(admin, "ours", **PAUSE)
        async with world.person("stranger") as person:
            await keep(person, "ours", **PAUSE)
            assert (await kept(admin))[0]["author"] == "admin@xmpp.test"
            await keep(person, "ours", machine="test", arguments={"wait": False})
            assert (await kept(admin))[0]["author"] == "stranger@xmpp.test"


async def test_nobody_schedules_what_they_may_not_do(world: World) -> None:
    """Neither strangers, nor administrators what is between hypervisors, nor anyone a schedule of schedules."""
    async with agent_of(world), world.person() as admin, world.person("stranger") as stranger:
        with pytest.raises(IqError, match="item-not-found"):
            await keep(stranger, "x", **PAUSE)
        assert "no action 'handover'" in await refused(admin, action="handover", cron="* * * * *")
        assert "no action 'nosuch'" in await refused(admin, action="nosuch", cron="* * * * *", machine="test")
        assert "makes no schedules" in await refused(
            admin, action="schedule", cron="* * * * *", arguments={"name": "x"}
        )
        assert await kept(admin) == []


async def test_what_cannot_be_kept_is_refused(world: World) -> None:
    """Secrets, what never comes, too much of it, and what contradicts itself."""
    async with agent_of(world) as (agent, _clock), world.person() as admin:
        graphics = {"name": "x", "definition": {"graphics": {"type": "vnc", "password": "open sesame"}}}
        assert "what is secret" in await refused(admin, action="vm", arguments=graphics, cron="* * * * *")
        text = {"action": "sendkey", "machine": "test", "arguments": {"text": "a password"}}
        assert "what is secret" in await refused(admin, **text, cron="* * * * *")
        info = {"action": "vm_info"}
        assert "one of them is needed" in await refused(admin, **info)
        assert "one of them is needed" in await refused(admin, **info, at="2027-01-01T00:00:00Z", cron="* * * * *")
        assert "is over" in await refused(admin, **info, at="2026-01-01T00:00:00Z")
        assert "never comes" in await refused(admin, **info, cron="0 0 30 2 *")
        assert "FREQ is needed" in await refused(admin, **info, rrule="FREQ=SECONDLY")
        assert "unknown argument 'nme'" in await refused(admin, **info, cron="* * * * *", arguments={"nme": "x"})
        assert "longer than" in await refused(admin, **info, cron="* * * * *", arguments={"name": "x" * 20_000})
        assert "is not on hv1" in await refused(admin, action="pause", machine="nosuch", cron="* * * * *")
        both = {"action": "pause", "machine": "test", "machines": ["*"]}
        assert "about one machine" in await refused(admin, **both, cron="* * * * *")
        assert "grace" in await refused(admin, **info, cron="* * * * *", grace=-1)
        assert "action: " in await refused(admin, cron="* * * * *")
        assert await kept(admin) == []
        assert "open sesame" not in json.dumps([list(map(str, row)) for row in agent.database.iterdump()])


async def test_nobody_has_schedules_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipel_agent.features.schedule.MOST", 2)
    async with agent_of(world), world.person() as admin:
        for name in ("a", "b"):
            await keep(admin, name, action="vm_info", cron="* * * * *")
        assert "You have 2 schedules" in await refused(admin, action="vm_info", cron="* * * * *")
        await keep(admin, "a", cron="0 * * * *")


@pytest.mark.parametrize(
    ("policy", "back", "outcome"),
    [
        ({}, "2026-03-04T03:00:00+00:00", "succeeded"),
        ({}, "2026-03-04T04:00:00+00:00", "missed"),
        ({"grace": 7200}, "2026-03-04T04:00:00+00:00", "succeeded"),
        ({"misfire": "skip"}, "2026-03-04T02:31:00+00:00", "succeeded"),
        ({"misfire": "skip"}, "2026-03-04T02:32:00+00:00", "missed"),
    ],
)
async def test_what_was_due_while_the_agent_was_away(
    world: World, policy: dict[str, t.Any], back: str, outcome: str
) -> None:
    """At most one run is made up for, if it is not too late; then the next ones are as always."""
    async with agent_of(world), world.person() as admin:
        await keep(admin, "nightly", **PAUSE, **policy)
    config = dataclasses.replace(world.config(), contacts="none")
    async with world.person() as admin, world.running(config) as agent:
        Clock(agent).set(back)
        (run,) = await runs(admin)
        assert (run["due"], run["outcome"]) == (f"2026-03-0{2 if outcome == 'missed' else 4}T02:30:00Z", outcome)
        await agent.session.online.wait()
        (told,) = await kept(admin)
        assert (told["next"], told["last"]["outcome"]) == ("2026-03-05T02:30:00Z", outcome)
        assert len(await runs(admin)) == 1


async def test_schedules_survive_a_killed_agent(world: World, libvirtd: Daemon) -> None:
    """After kill -9 the schedule is there; what was being run then is lost, and not run again."""
    config = dataclasses.replace(world.config(uri=libvirtd.uri), contacts="none")
    async with world.person() as admin:
        process = world.start(config)
        try:
            await _answers(admin, HV1)
            await keep(admin, "nightly", **PAUSE)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(20)
        _set_last(config, {"due": "2026-03-01T02:30:00Z", "outcome": "running", "results": []})
        async with world.running(config) as agent:
            await agent.session.online.wait()
            (run,) = await runs(admin)
            assert (run["outcome"], run["name"]) == ("lost", "nightly")
            (told,) = await kept(admin)
            assert (told["action"], told["last"]["outcome"]) == ("pause", "lost")
            assert agent.link.machines[TEST_UUID].state == "running"


async def test_schedules_and_jobs_survive_an_upgrade(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is of an agent that had nothing newer than schedules: they are run, and its jobs looked into."""
    async with agent_of(world), world.person() as admin:
        await keep(admin, "nightly", **PAUSE)
        begun = await admin.call(HV1, "vm_bulk", {"machines": ["test"], "state": "running"})
        await admin.call(HV1, "job", {"id": begun["job"], "wait": 20})
    config = dataclasses.replace(world.config(), contacts="none")
    file = config.state_dir / "agent.db"
    with contextlib.closing(database.connect(file)) as newest:
        rows = {table: dict(newest.execute(f"SELECT * FROM {table}").fetchone()) for table in ("jobs", "schedules")}
    file.unlink()
    age = next(age for age, script in enumerate(database.MIGRATIONS, start=1) if "TABLE schedules" in script)
    with monkeypatch.context() as then:
        then.setattr(database, "MIGRATIONS", database.MIGRATIONS[:age])
        with contextlib.closing(database.connect(file)) as older:
            for table, row in (("jobs", {**rows["jobs"], "state": "running"}), ("schedules", rows["schedules"])):
                had = {column["name"]: row[column["name"]] for column in older.execute(f"PRAGMA table_info({table})")}
                older.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(had))})", tuple(had.values()))
    async with world.person() as admin, world.running(config) as agent:
        Clock(agent).set("2026-03-02T02:30:00+00:00")
        (run,) = await runs(admin)
        assert (run["name"], run["outcome"]) == ("nightly", "succeeded")
        assert (await admin.call(HV1, "job", {"id": begun["job"]}))["state"] == "lost"


async def _answers(person: Client, jid: str) -> None:
    while True:
        with contextlib.suppress(IqError):
            await person.call(jid, "hypervisor_info")
            return


def _set_last(config: Config, last: dict[str, t.Any]) -> None:
    known = database.connect(config.state_dir / "agent.db")
    known.execute("UPDATE schedules SET last = ?", (json.dumps({"started": "", "ended": None, "msg": "", **last}),))
    known.close()


async def test_a_run_waits_for_nothing_of_its_own(world: World) -> None:
    """While a run is under way, the next one is missed."""
    async with agent_of(world) as (agent, clock), world.person() as admin:
        await keep(admin, "often", **{**PAUSE, "cron": "* * * * *"})
        # Somebody else changes the machine for so long.
        lock = agent.dispatcher._locks.setdefault(TEST_UUID, asyncio.Lock())
        async with lock:
            clock.set("2026-03-01T12:01:00+00:00")
            while not agent.timetable._busy:
                await asyncio.sleep(0)
            clock.set("2026-03-01T12:02:00+00:00")
            (missed,) = await runs(admin)
            assert (missed["outcome"], missed["msg"]) == ("missed", "The run before it has not ended.")
        _missed, ended = await runs(admin, 2)
        assert (ended["due"], ended["outcome"]) == ("2026-03-01T12:01:00Z", "succeeded")


# Where the machine goes


def _take_away(uri: str) -> None:
    """As a migration by somebody else leaves it."""
    with Connection(uri) as connection:
        domain = connection.handle.lookupByUUIDString(TEST_UUID)
        if domain.isActive():
            domain.destroy()
        domain.undefine()


async def taken_away(agent: Agent) -> None:
    _take_away(agent.config.libvirt.uri)
    while TEST_UUID in agent.link.machines:
        await asyncio.sleep(0.05)


async def known(agent: Agent, uuid: str, state: str) -> None:
    """When libvirt's event has come, which may be after the answer to who asked for the change."""
    while uuid not in agent.link.machines or agent.link.machines[uuid].state != state:
        await asyncio.sleep(0.05)


async def gone_from(admin: Client, jid: str) -> None:
    while await kept(admin, jid):
        await asyncio.sleep(0.05)


async def test_a_schedule_follows_its_machine(world: World, libvirtd: Daemon) -> None:
    """With its author and its next time; those of the hypervisor stay."""
    async with (
        agent_of(world, libvirt=world.config(uri=libvirtd.uri).libvirt) as (_agent, _clock),
        agent_of(world, "hv2") as (there, clock),
        world.person() as admin,
    ):
        await keep(admin, "nightly", **PAUSE)
        await keep(admin, "look", action="vm_info", cron="* 1 * * *")
        before = next(told for told in await kept(admin) if told["name"] == "nightly")
        _take_away(libvirtd.uri)
        while len(await kept(admin)) == 2:
            await asyncio.sleep(0.05)
        assert [told["name"] for told in await kept(admin)] == ["look"]
        assert await kept(admin, HV2) == [before]
        clock.set("2026-03-02T02:30:00+00:00")
        (run,) = await runs(admin)
        assert (run["author"], run["outcome"]) == ("admin@xmpp.test", "succeeded")
        assert there.link.machines[TEST_UUID].state == "paused"


async def test_a_schedule_waits_for_an_agent_that_is_away(
    world: World, libvirtd: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is due and its machine is gone, others are asked; while one of them is silent it is not missed."""
    monkeypatch.setattr("archipel_agent.features.succession.PAUSES", (0.1,) * 500)
    here = world.config(uri=libvirtd.uri).libvirt
    async with agent_of(world, libvirt=here) as (agent, clock), world.person() as admin:
        agent.peers.jids = ("hv2@xmpp.test",)
        await keep(admin, "nightly", **PAUSE)
        await taken_away(agent)
        clock.set("2026-03-02T02:30:00+00:00")
        while not agent.timetable._busy:
            await asyncio.sleep(0.05)
        async with agent_of(world, "hv2") as (there, later):
            later.set("2026-03-02T02:40:00+00:00")
            (run,) = await runs(admin)
            assert (run["outcome"], run["due"]) == ("succeeded", "2026-03-02T02:30:00Z")
            assert there.link.machines[TEST_UUID].state == "paused"
            await gone_from(admin, HV1)


async def test_a_schedule_of_a_machine_that_is_nowhere_is_kept(world: World, libvirtd: Daemon) -> None:
    """Its runs are missed, and say why."""
    async with (
        agent_of(world, libvirt=world.config(uri=libvirtd.uri).libvirt) as (agent, clock),
        world.person() as admin,
    ):
        agent.peers.jids = ()
        await keep(admin, "nightly", **PAUSE)
        await taken_away(agent)
        clock.set("2026-03-02T02:30:00+00:00")
        (run,) = await runs(admin)
        assert (run["outcome"], run["msg"]) == (
            "missed",
            "The machine is neither on hv1 nor on another hypervisor.",
        )
        (told,) = await kept(admin)
        assert told["next"] == "2026-03-03T02:30:00Z"
        assert (await keep(admin, "nightly", machine=TEST_UUID, state="absent"))["changed"] is True


@pytest.mark.parametrize(
    ("action", "named"),
    [
        ("vm", {"name": "late"}),
        ("vm", {"uuid": OTHER.upper()}),
        ("vm", {"names": ["la*", "nosuch"]}),
        ("vm_bulk", {"machines": ["late"]}),
    ],
    ids=["name", "uuid", "names", "bulk"],
)
async def test_schedules_go_with_a_machine_that_is_removed(world: World, action: str, named: dict[str, t.Any]) -> None:
    """However it is named, and not in check mode; an event tells it. Those of other machines stay."""
    async with agent_of(world) as (agent, _clock), world.person() as admin:
        await defined(agent, admin)
        await keep(admin, "nightly", **PAUSE)
        await keep(admin, "nightly", **{**PAUSE, "machine": "late"})
        await admin.call(HV1, "vm", {"name": "late", "state": "absent", "check": True})
        assert len(await kept(admin)) == 2
        await admin.call(HV1, action, {**named, "state": "absent"})
        (told,) = await runs(admin)
        assert (told["name"], told["machine"], told["outcome"]) == ("nightly", OTHER, "removed")
        assert [each["machine_name"] for each in await kept(admin)] == ["test"]


async def test_what_is_not_removed_for_good_keeps_its_schedules(world: World) -> None:
    """A parked machine comes back; and when what a move has left behind is cleared away, the machine is elsewhere."""
    async with agent_of(world) as (agent, _clock), world.person() as admin:
        await defined(agent, admin)
        await keep(admin, "nightly", **{**PAUSE, "machine": "late"})
        for state in ("parked", "present"):
            await admin.call(HV1, "vm_park", {"name": "late", "state": state})
            assert len(await kept(admin)) == 1
        await known(agent, OTHER, "shutoff")
        left = dataclasses.replace(agent.link.machines[OTHER], state="shutoff", reason="migrated")
        agent.link.machines[OTHER] = left
        await admin.call(HV1, "vm", {"name": "late", "state": "absent"})
        assert len(await kept(admin)) == 1


async def defined(agent: Agent, admin: Client) -> None:
    await admin.call(HV1, "vm", {"xml": machine("late", OTHER)})
    await known(agent, OTHER, "shutoff")


def _mark_leaving(agent: Agent, token: str) -> None:
    """As the agent does before it offers, and then dies."""
    agent.database.execute("UPDATE schedules SET leaving = 'hv2', token = ?", (token,))


async def test_what_was_taken_over_does_not_come_back(world: World, libvirtd: Daemon) -> None:
    """The source died before it heard the answer, and the schedule was removed at the destination: it stays removed."""
    here = {"libvirt": world.config(uri=libvirtd.uri).libvirt}
    async with world.person() as admin, agent_of(world, "hv2"):
        async with agent_of(world, **here) as (agent, _clock):
            await keep(admin, "nightly", **PAUSE)
            _mark_leaving(agent, "a-token")
            told = [{**vars(s), "order": dataclasses.asdict(s.order)} for s in agent.timetable.store.all()]
            offer = {"uuid": TEST_UUID, "token": "a-token", "schedules": told}
            assert (await agent.peers.ask("hv2", "inherit", offer))["taken"] is True
        _take_away(libvirtd.uri)
        assert (await keep(admin, "nightly", HV2, machine="test", state="absent"))["changed"] is True
        async with agent_of(world, **here):
            await gone_from(admin, HV1)
            assert await kept(admin, HV2) == []


async def test_what_was_not_taken_over_is_not_lost(world: World, libvirtd: Daemon) -> None:
    """The source died before the destination had heard anything: it offers again."""
    here = {"libvirt": world.config(uri=libvirtd.uri).libvirt}
    async with world.person() as admin, agent_of(world, "hv2"):
        async with agent_of(world, **here) as (agent, _clock):
            await keep(admin, "nightly", **PAUSE)
            _mark_leaving(agent, "a-token")
        _take_away(libvirtd.uri)
        async with agent_of(world, **here):
            await gone_from(admin, HV1)
            assert [told["name"] for told in await kept(admin, HV2)] == ["nightly"]


async def test_what_is_on_its_way_is_not_run_here(world: World) -> None:
    """Even if the machine is here: until the other side answers, it may be there too."""
    async with agent_of(world) as (agent, clock), world.person() as admin:
        await keep(admin, "nightly", **PAUSE, misfire="skip")
        _mark_leaving(agent, "a-token")
        clock.set("2026-03-02T02:32:00+00:00")
        (run,) = await runs(admin)
        assert run["outcome"] == "missed"
        assert "go to hv2" in run["msg"]
        assert agent.link.machines[TEST_UUID].state == "running"


async def test_only_schedules_of_a_machine_that_is_here_are_taken_over(world: World) -> None:
    """And only from a peer; the same attempt has the same answer later, too."""
    order = {"action": "pause", "cron": "* * * * *"}
    told = {
        "name": "x",
        "machine_name": "late",
        "author": "admin@xmpp.test",
        "next": None,
        "last": None,
        "order": order,
    }
    offer = {"uuid": OTHER, "token": "one", "schedules": [told]}
    async with (
        agent_of(world) as (agent, _clock),
        world.person() as admin,
        world.person("hv2", resource="hv2") as peer,
    ):
        with pytest.raises(IqError, match="item-not-found"):
            await admin.call(HV1, "inherit", offer)
        assert (await peer.call(HV1, "inherit", offer))["taken"] is False
        await admin.call(HV1, "vm", {"xml": machine("late", OTHER)})
        await known(agent, OTHER, "shutoff")
        try:
            assert (await peer.call(HV1, "inherit", offer))["taken"] is False
            assert (await peer.call(HV1, "inherit", {**offer, "token": "two"}))["taken"] is True
            assert [told["machine_name"] for told in await kept(admin, machine=OTHER)] == ["late"]
            for broken in ({}, {**told, "order": {"nosuch": 1}}, {**told, "author": "@"}, {**told, "next": "soon"}):
                with pytest.raises(IqError) as failed:
                    await peer.call(HV1, "inherit", {"uuid": OTHER, "token": "three", "schedules": [broken]})
                assert error_of(failed.value)["code"] == "invalid_argument"
        finally:
            await admin.call(HV1, "vm", {"name": "late", "state": "absent"})


async def test_what_is_planned_can_be_asked_in_a_chat(world: World) -> None:
    async with agent_of(world), world.person() as admin:
        assert await admin.says(HV1, "what is planned") == "I have nothing to do later."
        await keep(admin, "nightly", **PAUSE)
        assert "nightly: pause on test, next at 2026-03-02T02:30:00Z" in await admin.says(HV1, "what is planned?")
