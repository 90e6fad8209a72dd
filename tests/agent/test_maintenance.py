# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hypervisor in maintenance: what is planned, what it takes no more, and what comes home.

libvirt's test driver does not migrate, so a move that is begun fails, or the other hypervisor is played by the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import typing as t

import pytest
from archipel.connection import Connection
from archipel_agent import database
from archipel_agent.daemon import Agent
from archipel_agent.wire import COMMANDS, JSON, command_element, json_element
from client import Client, error_of
from grants import STRANGER, grant, withdraw_all
from slixmpp.exceptions import IqError
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath
from world import TEST_UUID, Daemon, World, machine

HV1, HV2 = "hv1@xmpp.test/hv1", "hv2@xmpp.test/hv2"
WEB1 = "1d6f3a52-4d1e-4b77-9c0a-6a1d2e3f4b01"
DB1 = "1d6f3a52-4d1e-4b77-9c0a-6a1d2e3f4b02"
COMING: t.Final = {"uuid": WEB1, "name": "web1"}


async def ended(admin: Client, hypervisor: str = HV1, **arguments: t.Any) -> dict[str, t.Any]:
    """The job of a maintenance, when it has ended."""
    begun = await admin.call(hypervisor, "hypervisor_maintenance", {"memory_reserve": 0, **arguments})
    return await admin.call(hypervisor, "job", {"id": begun["job"], "wait": 40})


async def done(admin: Client, **arguments: t.Any) -> dict[str, t.Any]:
    job = await ended(admin, **arguments)
    assert job["state"] == "succeeded", job["error"]
    return t.cast("dict[str, t.Any]", job["result"])


async def refused(admin: Client, **arguments: t.Any) -> str:
    job = await ended(admin, **arguments)
    assert (job["state"], job["error"]["changes"]) == ("failed", [])
    return t.cast(str, job["error"]["msg"])


async def mark(admin: Client) -> dict[str, str] | None:
    """What the hypervisor tells of its maintenance."""
    told = (await admin.call(HV1, "hypervisor_info"))["hypervisor"]["maintenance"]
    return t.cast("dict[str, str] | None", told)


def told_of(admin: Client) -> list[dict[str, t.Any]]:
    """What events have said of jobs."""
    return [event["job"] for event in admin.events("job")]


async def failure(asked: t.Awaitable[t.Any]) -> tuple[str, str]:
    with pytest.raises(IqError) as failed:
        await asked
    error = error_of(failed.value)
    return error["code"], error["msg"]


@contextlib.contextmanager
def machines(libvirtd: Daemon, *xml: str) -> t.Iterator[Connection]:
    """A connection of the test's own, and running machines beside the one that the test driver brings."""
    with Connection(libvirtd.uri) as connection:
        for each in xml:
            connection.handle.defineXML(each).create()
        yield connection


def small(name: str, uuid: str) -> str:
    """A machine for which there is room: the test driver has 3 MiB left."""
    return machine(name, uuid).replace("'MiB'>64<", "'MiB'>1<")


def running(connection: Connection) -> list[str]:
    return sorted(domain.name() for domain in connection.handle.listAllDomains() if domain.isActive())


# What it is


async def test_one_in_maintenance_takes_no_machines(world: World, libvirtd: Daemon) -> None:
    """Neither what a peer sends, nor in a plan; it says since when and by whom, over a restart too, until that ends."""
    with machines(libvirtd) as connection:
        connection.handle.lookupByName("test").destroy()
        async with world.person() as admin, world.person("hv2", resource="hv2") as peer:
            async with world.agent(uri=libvirtd.uri):
                admin.send_presence_subscription("hv1@xmpp.test")
                await admin.saw(HV1, "available")
                entered = await done(admin)
                assert [change["path"] for change in entered["changes"]] == ["maintenance"]
                await admin.saw(HV1, "dnd", "in maintenance since ")
                assert (await done(admin))["changed"] is False
                code, said = await failure(peer.call(HV1, "expect", COMING))
                assert (code, "hv1 takes no machines: it is in maintenance, since " in said) == ("conflict", True)
            async with world.agent(uri=libvirtd.uri):
                told = await mark(admin)
                assert told is not None
                assert (told, told["by"]) == (entered["maintenance"], "admin@xmpp.test")
                while (await admin.items("/archipel/machines")).get("hypervisor:hv1", {}).get("maintenance") != told:
                    await asyncio.sleep(0.05)
                assert (await done(admin, state="absent", check=True))["changed"] is True
                assert await mark(admin) == told
                assert (await done(admin, state="absent"))["changed"] is True
                assert (await done(admin, state="absent"))["changed"] is False
                assert await mark(admin) is None
                assert (await peer.call(HV1, "expect", COMING))["changed"] is True
                await peer.call(HV1, "settle", {"uuid": WEB1, "moved": False})


# The plan


async def test_a_plan_says_who_goes_where_and_changes_nothing(world: World, libvirtd: Daemon) -> None:
    """By the destination's own words; who is off stays, unless asked for too."""
    with machines(libvirtd, small("web1", WEB1)) as connection:
        connection.handle.lookupByName("test").destroy()
        connection.handle.defineXML(machine("db1", DB1))
        async with world.agent(uri=libvirtd.uri), world.agent("hv2"), world.person() as admin:
            plan = await done(admin, check=True)
            assert [change["path"] for change in plan["changes"]] == ["maintenance", "web1.hypervisor"]
            assert [(vm["name"], vm["destination"]) for vm in plan["vms"]] == [("web1", "hv2")]
            said = await refused(admin, check=True, evacuate=True)
            # The test driver's own machine is on both, as if it were one.
            assert "There is room for web1 on hv2, db1 on hv2." in said
            assert "test cannot move: A machine test is running on hv2 too" in said
            assert (await mark(admin), running(connection)) == (None, ["web1"])


async def test_where_there_is_no_room_nothing_is_done(world: World, libvirtd: Daemon) -> None:
    """It is told who would fit, whatever is to become of who cannot move."""
    huge = machine("db1", DB1).replace("'MiB'>64<", "'GiB'>64<")
    with machines(libvirtd, small("web1", WEB1), huge) as connection:
        connection.handle.lookupByName("test").destroy()
        async with world.agent(uri=libvirtd.uri), world.agent("hv2"), world.person() as admin:
            for cannot_move in ("fail", "leave", "shutdown"):
                said = await refused(admin, cannot_move=cannot_move)
                assert "There is room for web1 on hv2. None is left for db1 (65536 MiB of memory): there is " in said
            assert "There is room for nobody." in await refused(admin, memory_reserve=65536)
            assert (await mark(admin), running(connection)) == (None, ["db1", "web1"])


async def test_destinations_are_who_answers_and_is_not_in_maintenance(world: World, libvirtd: Daemon) -> None:
    """Of others it is told why not; one that is named and takes none is an error."""
    with machines(libvirtd, small("web1", WEB1)):
        async with world.agent(uri=libvirtd.uri), world.person() as admin:
            said = await refused(admin)
            assert "web1 cannot move: hv2 is not online; does its agent run?" in said
            assert "hv2 is not online" in await refused(admin, destinations=["hv2"], cannot_move="leave")
            assert "'hv1' is no hypervisor that is known here" in await refused(admin, destinations=["hv1"])
            async with world.agent("hv2"):
                await ended(admin, HV2, cannot_move="leave")
                said = await refused(admin)
                assert "web1 cannot move: hv2 is in maintenance itself." in said
                assert await refused(admin, destinations=["hv2"]) == "hv2 is in maintenance itself."


async def test_who_cannot_move_is_left_or_shut_down_and_started_again(world: World, libvirtd: Daemon) -> None:
    """As it was decided beforehand; what people have started meanwhile is as it was."""
    with machines(libvirtd, small("web1", WEB1)) as connection:
        async with world.agent(uri=libvirtd.uri), world.person() as admin:
            left = await done(admin, cannot_move="leave")
            assert [(vm["name"], vm["changed"]) for vm in left["vms"]] == [("test", False), ("web1", False)]
            assert "web1 stays: " in left["msg"]
            plan = await done(admin, cannot_move="shutdown", check=True)
            shut = await done(admin, cannot_move="shutdown")
            assert shut["changes"] == plan["changes"]
            assert [change["path"] for change in shut["changes"]] == ["test.state", "web1.state"]
            assert running(connection) == []
            assert (await done(admin, cannot_move="shutdown"))["changed"] is False
        connection.handle.lookupByName("test").create()
        async with world.agent(uri=libvirtd.uri), world.person() as admin:
            plan = await done(admin, state="absent", check=True)
            assert running(connection) == ["test"]
            back = await done(admin, state="absent")
            assert back["changes"] == plan["changes"]
            assert [change["path"] for change in back["changes"]] == ["maintenance", "web1.state"]
            assert running(connection) == ["test", "web1"]


async def test_one_that_fails_does_not_keep_the_others(world: World, libvirtd: Daemon) -> None:
    """The job says who it was, and what was done all the same; the hypervisor stays in maintenance."""
    with machines(libvirtd, small("web1", WEB1)) as connection:
        async with world.agent(uri=libvirtd.uri), world.agent("hv2"), world.person() as admin:
            job = await ended(admin, cannot_move="shutdown")
            # libvirt's test driver does not migrate.
            assert (job["state"], "web1: " in job["error"]["msg"]) == ("failed", True)
            assert [change["path"] for change in job["error"]["changes"]] == ["maintenance", "test.state"]
            told = {vm["name"]: vm for vm in job["error"]["vms"]}
            assert (told["test"]["changed"], told["test"]["destination"]) == (True, None)
            assert (told["web1"]["error"]["msg"], told["web1"]["destination"]) == (told["web1"]["msg"], "hv2")
            # An event goes to many, and is no longer with many machines.
            jobs = await admin.until(lambda: [j for j in told_of(admin) if j["id"] == job["id"] and j["error"]])
            assert jobs[0]["error"].keys() == {"code", "msg", "changes"}
            assert (await mark(admin) is not None, running(connection)) == (True, ["web1"])
            back = await done(admin, state="absent")
            assert [(vm["name"], vm["changed"]) for vm in back["vms"]] == [("test", True), ("web1", False)]


async def test_what_they_may_not_is_told_before(world: World, libvirtd: Daemon) -> None:
    """A right to migrate is none to shut down; each machine is asked for in the name of who asks for the whole."""
    with machines(libvirtd, small("web1", WEB1)) as connection:
        async with world.agent(uri=libvirtd.uri), world.person() as admin, world.person("stranger") as person:
            await grant(admin, "movers", permissions=["migrate"])
            assert "vm" in await refused(person, cannot_move="shutdown")
            assert (await mark(admin), running(connection)) == (None, ["test", "web1"])
            assert (await done(person, cannot_move="leave"))["maintenance"]["by"] == STRANGER
    await withdraw_all(world)


async def test_one_that_the_agents_end_interrupts_goes_on_when_it_is_asked_again(world: World) -> None:
    """The job says so."""
    async with world.person("hv2", resource="hv2") as peer, world.person() as admin:
        host = Host(peer)
        async with world.agent():
            begun = await admin.call(HV1, "hypervisor_maintenance", {})
            await admin.until(lambda: host.asked)
        async with world.agent():
            job = await admin.call(HV1, "job", {"id": begun["job"], "wait": 40})
            assert (job["state"], "Ask again: it goes on" in job["error"]["msg"]) == ("lost", True)


async def test_what_is_promised_to_one_is_not_given_to_another(world: World, libvirtd: Daemon) -> None:
    """Two that are emptied at once have both seen the same room; who does not come gives it back."""
    with machines(libvirtd):
        async with world.agent(uri=libvirtd.uri), world.person("hv2", resource="hv2") as peer:
            Host(peer, whereabouts=[{"where": "leaving"}])

            async def room() -> int:
                return t.cast(int, (await peer.call(HV1, "capacity"))["memory"])

            left, other = await room(), {"uuid": DB1, "name": "db1"}
            await peer.call(HV1, "expect", {**COMING, "memory": left - 1, "reserve": 1})
            assert await room() == 1
            code, said = await failure(peer.call(HV1, "expect", {**other, "memory": 2}))
            assert (code, "db1 was not moved: it needs 2 MiB, and hv1 has 1 MiB of memory left" in said) == (
                "conflict",
                True,
            )
            await peer.call(HV1, "settle", {"uuid": WEB1, "moved": False})
            assert await room() == left
            assert (await failure(peer.call(HV1, "expect", {**other, "memory": left, "reserve": 1})))[0] == "conflict"
            await peer.call(HV1, "expect", {**other, "memory": left})
            await peer.call(HV1, "settle", {"uuid": DB1, "moved": False})


async def test_a_destination_is_told_what_a_machine_needs_before_it_moves(world: World, libvirtd: Daemon) -> None:
    """And what is to stay free: it looks whether it still has that."""
    inspected = {"findings": [], "missing_media": [], "paths": {}, "takes": {}}
    with machines(libvirtd, small("web1", WEB1)) as connection:
        connection.handle.lookupByName("test").destroy()
        async with world.person("hv2", resource="hv2") as peer, world.agent(uri=libvirtd.uri), world.person() as admin:
            there = {"hypervisor": "hv2", "uri": "qemu+tls://hv2.test/system", "present": False, "state": None}
            host = Host(
                peer,
                capacity=[{"memory": 8, "maintenance": None}],
                destination=[there],
                inspect=[inspected],
                expect=[{}],
                settle=[{}],
            )
            # libvirt's test driver does not migrate.
            assert (await ended(admin, destinations=["hv2"], memory_reserve=7))["state"] == "failed"
            word = next(arguments for action, arguments in host.asked if action == "expect")
            assert (word["returns"], word["memory"], word["reserve"]) == (True, 1, 7)


# Home


class Host:
    """The other hypervisor, played by the test: what it answers to each action, one answer after the other, and the
    last one again; to others it says nothing."""

    def __init__(self, person: Client, **answers: list[dict[str, t.Any]]) -> None:
        self.asked: list[tuple[str, dict[str, t.Any]]] = []
        self._answers = answers
        person.remove_handler("Ad-Hoc Execute")
        path = MatchXPath(f"{{jabber:client}}iq/{{{COMMANDS}}}command")
        person.register_handler(Callback("host", path, self._heard))

    def _heard(self, iq: t.Any) -> None:
        if iq["type"] != "set":
            return
        command = iq.xml.find(f"{{{COMMANDS}}}command")
        self.asked.append((command.get("node"), json.loads(command.find(f"{{{JSON}}}json").text)))
        if command.get("node") not in self._answers:
            return
        reply = iq.reply()
        answer = command_element(command.get("node"), status="completed")
        left = self._answers[command.get("node")]
        answer.append(json_element({"changed": False, **(left.pop(0) if len(left) > 1 else left[0])}))
        reply.append(answer)
        reply.send()


def away(world: World, *rows: tuple[str, str, str | None, bool]) -> None:
    """What the agent of hv1 has noted in an earlier run, in maintenance since then."""
    with contextlib.closing(database.connect(world.config().state_dir / "agent.db")) as noted:
        noted.execute("INSERT INTO maintenance VALUES ('2026-01-01T00:00:00Z', 'admin@xmpp.test')")
        for row in rows:
            noted.execute("INSERT INTO away VALUES (?, ?, ?, ?, ?)", (*row, '{"copy_storage": "all"}'))


async def test_machines_are_sent_home_as_they_went(world: World, libvirtd: Daemon) -> None:
    """By who has them, which is asked until it is done."""
    away(world, (WEB1, "web1", "hv2", False), (DB1, "db1", "hv2", False))
    with machines(libvirtd):
        async with world.person("hv2", resource="hv2") as peer, world.agent(uri=libvirtd.uri), world.person() as admin:
            moving, over, failed = ({"state": s, "job": "a", "msg": s} for s in ("running", "succeeded", "failed"))
            host = Host(peer, send_home=[{}, {}, failed, moving, over, over])
            plan = await done(admin, state="absent", check=True, max_parallel=1)
            assert [c["path"] for c in plan["changes"]] == ["maintenance", "db1.hypervisor", "web1.hypervisor"]
            assert await mark(admin) is not None
            job = await ended(admin, state="absent", max_parallel=1)
            assert (job["state"], "db1: failed" in job["error"]["msg"]) == ("failed", True)
            assert [c["path"] for c in job["error"]["changes"]] == ["maintenance", "web1.hypervisor"]
            again = await done(admin, state="absent")
            assert [change["path"] for change in again["changes"]] == ["db1.hypervisor"]
            assert (await done(admin, state="absent"))["changed"] is False
            how = {"arguments": {"copy_storage": "all"}}
            assert [arguments for _action, arguments in host.asked] == [
                {"uuid": DB1, **how, "check": True},
                {"uuid": WEB1, **how, "check": True},
                {"uuid": DB1, **how, "check": False},
                {"uuid": WEB1, **how, "check": False},
                {"uuid": WEB1, "job": "a"},
                {"uuid": DB1, **how, "check": False},
            ]


async def test_what_people_moved_on_or_removed_stays_so(world: World, libvirtd: Daemon) -> None:
    """It is named, and no concern of maintenance any more."""
    away(world, (WEB1, "web1", "hv2", False), (DB1, "db1", None, True))
    with machines(libvirtd):
        async with world.agent(uri=libvirtd.uri), world.agent("hv2"), world.person() as admin:
            over = await done(admin, state="absent")
            assert [(vm["name"], vm["changed"], vm["left"]) for vm in over["vms"]] == [
                ("db1", False, True),
                ("web1", False, True),
            ]
            assert "web1: It is not on hv2 any more" in over["msg"]
            assert (await done(admin, state="absent"))["vms"] == []


async def test_while_a_hypervisor_is_silent_its_machines_are_not_forgotten(world: World, libvirtd: Daemon) -> None:
    """Nor do those of others have to wait."""
    away(world, (DB1, "db1", "hv2", False), (WEB1, "web1", None, True))
    with machines(libvirtd) as connection:
        connection.handle.defineXML(small("web1", WEB1))
        async with world.agent(uri=libvirtd.uri), world.person() as admin:
            job = await ended(admin, state="absent", max_parallel=1)
            assert (job["state"], "db1: hv2 is not online" in job["error"]["msg"]) == ("failed", True)
            assert running(connection) == ["test", "web1"]
            assert "Of 1 machine 1 failed." in (await ended(admin, state="absent"))["error"]["msg"]


async def seen(agent: Agent, *, here: bool) -> None:
    """Return when the agent knows that web1 is here, or is not; it tells nobody inside its process."""
    while (WEB1 in agent.link.machines) is not here:
        await asyncio.sleep(0.05)


async def test_a_peer_has_sent_home_what_it_sent_and_nothing_else(world: World, libvirtd: Daemon) -> None:
    """Not what is here by itself, what another one sent, or what came, or came again, without that word; and not
    elsewhere."""
    with machines(libvirtd) as connection:
        async with world.agent("hv2", uri=libvirtd.uri) as hv2, world.person("hv1", resource="hv1") as home:
            Host(home, whereabouts=[{"where": "leaving"}], destination=[{"uri": "x", "hypervisor": "hv1"}])

            async def sent(uuid: str = WEB1, **more: t.Any) -> str:
                return (await failure(home.call(HV2, "send_home", {"uuid": uuid, **more})))[0]

            async def comes(**word: bool) -> t.Any:
                await home.call(HV2, "expect", {**COMING, **word})
                domain = connection.handle.createXML(small("web1", WEB1))
                await home.call(HV2, "settle", {"uuid": WEB1, "moved": True})
                await seen(hv2, here=True)
                return domain

            async def goes(domain: t.Any) -> None:
                domain.destroy()
                await seen(hv2, here=False)

            assert await sent(TEST_UUID) == "not_found"
            domain = await comes()
            assert await sent() == "not_found"
            await goes(domain)
            domain = await comes(returns=True)
            assert await sent(arguments={"destination_uri": "qemu+ssh://elsewhere/system"}) == "invalid_argument"
            # libvirt's test driver does not migrate, but it has been tried.
            begun = await home.call(HV2, "send_home", {"uuid": WEB1})
            assert begun["state"] in ("failed", "lost")
            assert await home.call(HV2, "send_home", {"uuid": WEB1, "job": begun["job"]}) == begun
            hv2.database.execute("UPDATE lodgers SET home = 'hv3'")
            assert await sent() == "not_found"
            hv2.database.execute("UPDATE lodgers SET home = 'hv1'")
            await goes(domain)
            connection.handle.createXML(small("web1", WEB1))
            await seen(hv2, here=True)
            assert await sent() == "not_found"
