# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long actions as jobs: begun at once, followed, refused to collide, and not forgotten when the agent dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import typing as t

import pytest
from archipel.connection import Connection
from archipel_agent import database
from archipel_agent.config import Config
from archipel_agent.wire import COMMANDS, command_element, json_element
from client import Client, error_of
from ejabberd import PUBSUB
from slixmpp.exceptions import IqError
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath
from world import TEST_UUID, Daemon, World, contact_of

HV1 = "hv1@xmpp.test/hv1"
GONE = "0f3c8a52-4d1e-4b77-9c0a-6a1d2e3f4b5d"


class Peer:
    """The other hypervisor, played by the test: it has been asked for these, and answers when it is told to."""

    def __init__(self, person: Client) -> None:
        self.person = person
        self.asked: list[t.Any] = []
        self.answer: dict[str, t.Any] | None = None
        person.remove_handler("Ad-Hoc Execute")
        path = MatchXPath(f"{{jabber:client}}iq/{{{COMMANDS}}}command")
        person.register_handler(Callback("peer", path, self._heard))

    def _heard(self, iq: t.Any) -> None:
        if iq["type"] != "set":
            return
        self.asked.append(iq)
        self.person._news.set()
        if self.answer is not None:
            self._reply(iq)

    def answers(self, **answer: t.Any) -> None:
        """Answer so, now and from now on."""
        self.answer = {"changed": False, "hypervisor": "hv2", "uri": "test:///default", **answer}
        for iq in self.asked:
            self._reply(iq)

    def _reply(self, iq: t.Any) -> None:
        reply = iq.reply()
        command = command_element("destination", status="completed")
        command.append(json_element(self.answer))
        reply.append(command)
        reply.send()


@contextlib.asynccontextmanager
async def peer(world: World) -> t.AsyncIterator[Peer]:
    async with world.person("hv2", resource="hv2") as person:
        yield Peer(person)


async def test_a_long_action_answers_at_once_with_its_job(world: World) -> None:
    """The job is told while it runs and when it has ended, to who asks for it, as presence and as events."""
    async with world.agent() as agent, world.person() as admin, peer(world) as hv2:
        jid = await contact_of(agent)
        admin.send_presence_subscription(jid.split("/")[0])
        await admin.saw(jid, "available", "running")
        begun = await admin.call(jid, "migrate", {"destination": "hv2"})
        job = await admin.call(HV1, "job", {"id": begun["job"]})
        assert (job["state"], job["action"], job["entity"]) == ("running", "migrate", TEST_UUID)
        assert job["author"] == "admin@xmpp.test"
        await admin.saw(jid, "dnd", "begun")
        hv2.answers(present=True, state="running")
        ended = await admin.call(HV1, "job", {"id": begun["job"], "wait": 20})
        assert (ended["state"], ended["error"]["code"]) == ("failed", "conflict")
        await admin.saw(jid, "available", "running", after=len(admin.seen) - 1)
        told = [event["job"]["state"] for event in await admin.until(lambda: _two(admin.events("job")))]
        assert told == ["running", "failed"]
        assert "result" not in admin.events("job")[0]["job"]


def _two(events: list[t.Any]) -> list[t.Any]:
    return events if len(events) >= 2 else []


async def test_a_job_can_succeed(world: World) -> None:
    """A job that succeeds holds what its action would have answered."""
    async with world.agent(), world.person() as admin, peer(world) as hv2:
        hv2.answers(present=True, state="running")
        begun = await admin.call(HV1, "vm_migrate", {"name": "elsewhere", "destination": "hv2"})
        job = await admin.call(HV1, "job", {"id": begun["job"], "wait": 20})
        assert (job["state"], job["result"]["changed"]) == ("succeeded", False)
        assert job["result"]["vm"]["hypervisor"] == "hv2"


async def test_nothing_else_changes_what_a_job_changes(world: World) -> None:
    """While a job is at work on a machine, other changes of it are refused as a conflict, whoever is asked."""
    async with world.agent() as agent, world.person() as admin, peer(world) as hv2:
        jid = await contact_of(agent)
        begun = await admin.call(jid, "migrate", {"destination": "hv2"})
        for contact, action, arguments in (
            (jid, "destroy", {}),
            (HV1, "vm", {"name": "test", "state": "destroyed"}),
            (HV1, "vm_migrate", {"uuid": TEST_UUID, "destination": "hv2"}),
        ):
            with pytest.raises(IqError, match="conflict") as failed:
                await admin.call(contact, action, arguments)
            assert begun["job"] in error_of(failed.value)["msg"]
        assert (await admin.call(jid, "state"))["state"] == "running"
        hv2.answers(present=True, state="running")
        await admin.call(HV1, "job", {"id": begun["job"], "wait": 20})
        assert (await admin.call(jid, "pause"))["changed"] is True
        await admin.call(jid, "resume")


async def test_an_unknown_job_is_not_there(world: World) -> None:
    """A job that this hypervisor does not know is item-not-found."""
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError, match="item-not-found"):
            await admin.call(HV1, "job", {"id": "nosuch"})


async def test_ended_jobs_survive_a_restart(world: World) -> None:
    """What became of a job can be asked for after a restart."""
    async with world.agent(), world.person() as admin, peer(world) as hv2:
        hv2.answers(present=True, state="running")
        begun = await admin.call(HV1, "vm_migrate", {"name": "elsewhere", "destination": "hv2"})
        before = await admin.call(HV1, "job", {"id": begun["job"], "wait": 20})
    async with world.agent(), world.person() as admin:
        assert await admin.call(HV1, "job", {"id": begun["job"]}) == before


async def test_a_killed_agent_looks_into_its_jobs(world: World, libvirtd: Daemon) -> None:
    """After kill -9 in the middle of a job, the next start finds that the machine stayed, and the job says so."""
    config = world.config(uri=libvirtd.uri)
    async with world.person() as admin, peer(world) as hv2:
        process = world.start(config)
        try:
            await _answers(admin, HV1)
            begun = await admin.call(HV1, "vm_migrate", {"name": "test", "destination": "hv2"})
            await hv2.person.until(lambda: hv2.asked)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(20)
        hv2.answers(present=False, state=None)
        async with world.running(config) as agent:
            await agent.session.online.wait()
            job = await admin.call(HV1, "job", {"id": begun["job"], "wait": 20})
            assert job["state"] == "failed"
            assert "was not moved: it is running on hv1" in job["error"]["msg"]


async def _answers(person: Client, jid: str) -> None:
    while True:
        with contextlib.suppress(IqError):
            await person.call(jid, "hypervisor_info")
            return


def left_running(
    config: Config, *, action: str = "vm_migrate", subject: str = "gone", promise: dict[str, t.Any] | None = None
) -> str:
    """A job that an earlier run of the agent has not brought to an end."""
    known = database.connect(config.state_dir / "agent.db")
    row = {
        "id": "0123456789abcdef", "action": action, "kind": "hypervisor", "entity": "hv1",
        "author": "admin@xmpp.test", "door": "adhoc", "arguments": json.dumps({"name": "gone", "destination": "hv2"}),
        "subjects": json.dumps([subject]), "state": "running", "started": "2026-01-01T10:00:00Z",
        "result": json.dumps(promise), "error": "null",
    }  # fmt: skip
    known.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    known.close()
    return row["id"]


async def test_a_move_that_went_on_without_the_agent_has_succeeded(world: World) -> None:
    """A machine that has left and runs on the other side has moved, and the job says so."""
    config = world.config()
    id = left_running(config)
    async with world.person() as admin, peer(world) as hv2:
        hv2.answers(present=True, state="running")
        async with world.running(config) as agent:
            await agent.session.online.wait()
            job = await admin.call(HV1, "job", {"id": id, "wait": 20})
            assert (job["state"], job["result"]["vm"]["hypervisor"]) == ("succeeded", "hv2")


async def test_a_job_that_moved_a_machine_ends_when_the_index_says_so(
    world: World, libvirtd: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source lets the machine's item go and tells the destination, which until then was refused it."""
    # By itself the destination would not try again.
    monkeypatch.setattr("archipel_agent.features.index.SHORTEST_PAUSE", 1000)
    config = world.config(uri=libvirtd.uri)
    async with world.person() as admin:
        await admin.empty("/archipel/machines")
        with Connection(libvirtd.uri) as beside:
            async with world.running(config):
                await admin.until(lambda: indexed(admin, TEST_UUID))
            async with world.agent("hv2", contacts="none"):
                # It has been refused the machine's item before it wrote its own.
                await admin.until(lambda: indexed(admin, "hypervisor:hv2"))
                domain = beside.handle.lookupByUUIDString(TEST_UUID)
                await asyncio.to_thread(lambda: (domain.destroy(), domain.undefine()))
                id = left_running(config, subject=TEST_UUID)
                async with world.running(config) as source:
                    await source.session.online.wait()
                    job = await admin.call(HV1, "job", {"id": id, "wait": 20})
                    items = await admin.items("/archipel/machines")
    assert job["state"] == "succeeded"
    assert indexed(admin, TEST_UUID)[0]["hypervisor"] == "hv1"
    assert items[TEST_UUID]["hypervisor"] == "hv2"


async def test_the_index_is_read_again_whenever_it_may_be_another(world: World) -> None:
    """Sessions that come up while it is written leave nothing unwritten, and whoever waits for it is served."""
    async with world.person() as admin, contextlib.AsyncExitStack() as stack:
        await admin.empty("/archipel/machines")
        agent = await stack.enter_async_context(world.agent())
        await admin.until(lambda: indexed(admin, TEST_UUID))
        ask, again = agent.pubsub._send, 8

        async def asked(*what: t.Any) -> t.Any:
            nonlocal again
            if again:
                again -= 1
                agent.index.resync()
            return await ask(*what)

        agent.pubsub._send = asked  # type: ignore[method-assign]
        await agent.pubsub.publish("/archipel/machines", GONE, {"kind": "machine", "hypervisor": "hv1"})
        await agent.pubsub.retract("/archipel/machines", TEST_UUID)
        await agent.index.refresh(GONE)
        items = await admin.items("/archipel/machines")
        assert (again, GONE in items, items[TEST_UUID]["hypervisor"]) == (0, False, "hv1")


def indexed(person: Client, item: str) -> list[dict[str, t.Any]]:
    """What the index has said of this item since this person came."""
    return [entry for node, id, entry in person.published if (node, id) == ("/archipel/machines", item) and entry]


async def test_a_machine_is_not_taken_over_while_another_holds_it(world: World) -> None:
    """Whatever a peer says: an item of the index is written by another when its author has let it go."""
    async with world.person() as admin, world.person("hv1") as holder:
        await admin.empty("/archipel/machines")
        payload = json_element({"kind": "machine", "hypervisor": "hv1"})
        await holder.plugin["xep_0060"].publish(PUBSUB, "/archipel/machines", TEST_UUID, payload=payload)
        async with world.agent("hv2", contacts="none"):
            answer = await holder.call("hv2@xmpp.test/hv2", "takeover", {"uuid": TEST_UUID})
            assert answer["indexed"] is False
            assert (await admin.items("/archipel/machines"))[TEST_UUID]["hypervisor"] == "hv1"
            await holder.plugin["xep_0060"].retract(PUBSUB, "/archipel/machines", TEST_UUID)
            answer = await holder.call("hv2@xmpp.test/hv2", "takeover", {"uuid": TEST_UUID.upper()})
            assert answer["indexed"] is True
            assert (await admin.items("/archipel/machines"))[TEST_UUID]["hypervisor"] == "hv2"


async def test_a_job_of_which_nobody_knows_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither this side nor the other can tell what became of a move, the job is lost and says what is known."""
    monkeypatch.setattr("archipel_agent.features.migration.PATIENCE", 0)
    config = world.config()
    id = left_running(config)
    async with world.person() as admin, world.running(config) as agent:
        await agent.session.online.wait()
        job = await admin.call(HV1, "job", {"id": id, "wait": 20})
        assert job["state"] == "lost"
        assert "Look there before you start it" in job["error"]["msg"]


async def test_a_job_without_inquiry_is_lost(world: World) -> None:
    """A job of an action that leaves no traces is lost with its agent."""
    config = world.config()
    id = left_running(config, action="dream")
    async with world.person() as admin, world.running(config) as agent:
        await agent.session.online.wait()
        assert (await admin.call(HV1, "job", {"id": id}))["state"] == "lost"
