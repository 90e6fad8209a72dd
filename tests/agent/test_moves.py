# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves as two agents agree on them: a job on either side, until both say the same of where the machine is.

libvirt's test driver does not migrate, so the other hypervisor is played by the test, or the move fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import typing as t

import pytest
from archipel.actions import Progress, Unsettled
from archipel.connection import Connection
from archipel.errors import NotFound
from archipel_agent.config import Libvirt
from archipel_agent.daemon import Agent
from archipel_agent.features.jobs import Job, new_id
from client import Client, error_of
from slixmpp.exceptions import IqError
from test_jobs import Peer, left_running
from world import TEST_UUID, Daemon, World, machine

HV1, HV2 = "hv1@xmpp.test/hv1", "hv2@xmpp.test/hv2"
UUID = "0f3c8a52-4d1e-4b77-9c0a-6a1d2e3f4b5c"
COMING: t.Final = {"uuid": UUID, "name": "web1", "disks": ["/default-pool/web1.qcow2", "/default-pool/there.qcow2"]}


PATH: t.Final = "/default-pool/web1.qcow2"
DISK: t.Final = f"<disk type='file'><source file='{PATH}'/><target dev='vda' bus='virtio'/></disk>"
REMOVED: t.Final = "volumes[default-pool/web1.qcow2]"
RESULT: t.Final[dict[str, t.Any]] = {
    "changed": True,
    "msg": "web1 has moved from hv1 to hv2.",
    "changes": [{"path": REMOVED, "old": {"size": "1 KiB"}, "new": None}],
    "diff": {"before": {REMOVED: {"size": "1 KiB"}}, "after": {REMOVED: None}},
    "source": "hv1",
    "destination": "hv2",
    "left_behind": [],
    "vm": {"name": "web1", "uuid": UUID, "hypervisor": "hv2", "state": "running"},
}
# What a job that moves it has in writing before.
PROMISE: t.Final = {
    "result": RESULT,
    "remove": "all",
    "going": {PATH: REMOVED},
    "document": machine("web1", UUID, devices=DISK),
    "needs": {},
    "disks": ["disks[vda]"],
}


@contextlib.asynccontextmanager
async def source(world: World, name: str = "hv1") -> t.AsyncIterator[Peer]:
    """A hypervisor, played by the test: it is sending the machine."""
    async with world.person(name, resource=name) as person:
        peer = Peer(person)
        peer.answers(where="leaving")
        yield peer


def volume(connection: Connection, name: str) -> None:
    pool = connection.handle.storagePoolLookupByName("default-pool")
    pool.createXML(f"<volume><name>{name}</name><capacity>1024</capacity></volume>")


def volumes(connection: Connection) -> list[str]:
    return sorted(connection.handle.storagePoolLookupByName("default-pool").listVolumes())


@contextlib.contextmanager
def beside(libvirtd: Daemon) -> t.Iterator[Connection]:
    """A connection of the test's own; the volume `there.qcow2` is in the pool."""
    with Connection(libvirtd.uri) as connection:
        if "there.qcow2" not in volumes(connection):
            volume(connection, "there.qcow2")
        yield connection


async def job(person: Client, id: str, *, of: str = HV2) -> dict[str, t.Any]:
    """The job, when it has ended."""
    return await person.call(of, "job", {"id": id, "wait": 20})


async def told(person: Client, text: str) -> dict[str, t.Any]:
    """The job of which an event has said that."""
    found = await person.until(lambda: [e for e in person.events("job") if text in e["job"]["progress"]["text"]])
    return t.cast("dict[str, t.Any]", found[-1]["job"])


async def test_an_expected_machine_is_changed_by_nobody_else(world: World, libvirtd: Daemon) -> None:
    """Neither by its name nor by its UUID, and no second peer can send it; what is under way is named."""
    async with world.agent("hv2", uri=libvirtd.uri), world.person() as admin, source(world) as hv1:
        agreed = await hv1.person.call(HV2, "expect", COMING)
        for who, action, arguments in (
            (admin, "vm", {"name": "web1", "state": "running"}),
            (admin, "vm", {"uuid": UUID, "state": "absent", "force": True}),
            (hv1.person, "expect", COMING),
        ):
            with pytest.raises(IqError, match="conflict") as failed:
                await who.call(HV2, action, arguments)
            assert agreed["job"] in error_of(failed.value)["msg"]
            assert "web1 comes from hv1" in error_of(failed.value)["msg"]
        await hv1.person.call(HV2, "settle", {"uuid": UUID, "moved": False})


async def test_a_machine_that_has_come_ends_the_job(world: World, libvirtd: Daemon) -> None:
    """Its source says that it has let it go, and it is here; its disks stay."""
    with beside(libvirtd) as connection:
        async with world.agent("hv2", uri=libvirtd.uri), world.person() as admin, source(world) as hv1:
            agreed = await hv1.person.call(HV2, "expect", COMING)
            volume(connection, "web1.qcow2")
            connection.handle.createXML(machine("web1", UUID))
            await hv1.person.call(HV2, "settle", {"uuid": UUID, "moved": True})
            ended = await job(admin, agreed["job"])
        assert (ended["state"], ended["result"]["vm"]["state"]) == ("succeeded", "running")
        assert volumes(connection) == ["there.qcow2", "web1.qcow2"]


async def test_of_a_machine_that_stays_at_its_source_nothing_is_left(world: World, libvirtd: Daemon) -> None:
    """Be it that it runs here, as where libvirt's answer was lost; volumes that were there before stay."""
    with beside(libvirtd) as connection:
        async with world.agent("hv2", uri=libvirtd.uri), world.person() as admin, source(world) as hv1:
            agreed = await hv1.person.call(HV2, "expect", COMING)
            volume(connection, "web1.qcow2")
            connection.handle.createXML(machine("web1", UUID))
            await hv1.person.call(HV2, "settle", {"uuid": UUID, "moved": False})
            ended = await job(admin, agreed["job"])
        assert (ended["state"], "stays on hv1" in ended["error"]["msg"]) == ("failed", True)
        assert [domain.name() for domain in connection.handle.listAllDomains()] == ["test"]
        assert volumes(connection) == ["there.qcow2"]


async def test_what_the_source_does_not_say_it_is_asked(world: World, libvirtd: Daemon) -> None:
    """Also by an agent that was not there meanwhile: what it agreed to is in writing."""
    with beside(libvirtd) as connection:
        async with world.person() as admin, source(world) as hv1:
            async with world.agent("hv2", uri=libvirtd.uri):
                agreed = await hv1.person.call(HV2, "expect", COMING)
            volume(connection, "web1.qcow2")
            hv1.answers(where="staying")
            async with world.agent("hv2", uri=libvirtd.uri):
                ended = await job(admin, agreed["job"])
        assert (ended["state"], volumes(connection)) == ("failed", ["there.qcow2"])


async def test_while_the_source_is_silent_nobody_can_know(world: World, libvirtd: Daemon) -> None:
    """The job waits, says so, and goes on when the source is back."""
    with beside(libvirtd) as connection:
        async with world.agent("hv2", uri=libvirtd.uri), world.person() as admin:
            async with source(world) as hv1:
                agreed = await hv1.person.call(HV2, "expect", COMING)
            connection.handle.createXML(machine("web1", UUID))
            await told(admin, "waits for hv1, which is silent; web1 is running here")
            async with source(world) as hv1:
                hv1.answers(where="gone")
                assert (await job(admin, agreed["job"]))["state"] == "succeeded"


async def test_a_source_that_keeps_a_definition_alone_has_let_the_machine_go(world: World, libvirtd: Daemon) -> None:
    """What has come is not thrown away; what has not come is undone, as after a crash at the source."""
    with beside(libvirtd) as connection:
        async with world.agent("hv2", uri=libvirtd.uri), world.person() as admin, source(world) as hv1:
            for come, state in ((True, "succeeded"), (False, "failed")):
                agreed = await hv1.person.call(HV2, "expect", COMING)
                if come:
                    domain = connection.handle.createXML(machine("web1", UUID))
                hv1.answers(where="off")
                assert (await job(admin, agreed["job"]))["state"] == state
                hv1.answers(where="leaving")
                if come:
                    assert domain.isActive()
                    domain.destroy()


async def test_what_has_gone_to_a_third_hypervisor_is_not_waited_for(world: World, libvirtd: Daemon) -> None:
    """Nobody told this one that the move had failed; nothing of it is left here."""
    with beside(libvirtd) as connection:
        async with world.agent("hv2", uri=libvirtd.uri), world.person() as admin, source(world) as hv1:
            agreed = await hv1.person.call(HV2, "expect", COMING)
            volume(connection, "web1.qcow2")
            hv1.answers(where="gone", destination="hv3")
            assert (await job(admin, agreed["job"]))["state"] == "failed"
        assert volumes(connection) == ["there.qcow2"]


async def test_where_a_machine_has_gone_is_told(world: World) -> None:
    """To a peer that expected it, by the job that moved it last; not where another was begun since."""

    async def failed(_progress: Progress) -> dict[str, t.Any]:
        raise NotFound("It is not there.")

    async def moved(_progress: Progress) -> dict[str, t.Any]:
        return {"changed": True, "vm": {"uuid": UUID}, "destination": "hv3"}

    async with world.agent() as agent, source(world, "hv2") as hv2:
        assert (await hv2.person.call(HV1, "whereabouts", {"uuid": UUID}))["destination"] is None
        await begun(agent, moved, UUID)
        told = await hv2.person.call(HV1, "whereabouts", {"uuid": UUID})
        assert (told["where"], told["destination"]) == ("gone", "hv3")
        await begun(agent, failed, UUID)
        assert (await hv2.person.call(HV1, "whereabouts", {"uuid": UUID}))["destination"] is None


async def test_a_machine_that_was_paused_has_arrived_when_it_is_paused(world: World) -> None:
    """One that ran is waited for, since libvirt has not let it run yet."""
    config = world.config()
    promise = {**PROMISE, "going": {}, "result": {**RESULT, "vm": {**RESULT["vm"], "state": "paused"}}}
    id = left_running(config, subject=UUID, promise=promise)
    async with world.person("hv2", resource="hv2") as person:
        Peer(person).answers(present=True, state="paused")
        async with world.running(config) as agent, asyncio.timeout(20):
            await agent.session.online.wait()
            assert (await agent.jobs.ended(id)).state == "succeeded"


async def test_a_source_that_is_gone_for_good_is_waited_for_until_somebody_ends_it(
    world: World, libvirtd: Daemon
) -> None:
    """Then the machine can be changed again, and the job says who ended it."""
    async with world.agent("hv2", uri=libvirtd.uri) as agent, world.person() as admin:
        async with source(world) as hv1:
            agreed = await hv1.person.call(HV2, "expect", COMING)
        await told(admin, "waits for hv1, which is silent; web1 is not here")
        await admin.call(HV2, "abort", {"id": agreed["job"]})
        ended = await job(admin, agreed["job"])
        assert (ended["state"], "admin@xmpp.test waits no longer" in ended["error"]["msg"]) == ("lost", True)
        assert agent.jobs.changing(UUID) is None
        with pytest.raises(IqError, match="has lost already"):
            await admin.call(HV2, "abort", {"id": agreed["job"]})


async def test_a_machine_that_is_on_neither_side_is_lost(world: World, libvirtd: Daemon) -> None:
    """Where it is let go by its source and has not come, no disk is touched, and the job says so."""
    with beside(libvirtd) as connection:
        async with world.agent("hv2", uri=libvirtd.uri), world.person() as admin, source(world) as hv1:
            agreed = await hv1.person.call(HV2, "expect", COMING)
            volume(connection, "web1.qcow2")
            await hv1.person.call(HV2, "settle", {"uuid": UUID, "moved": True})
            ended = await job(admin, agreed["job"])
        assert (ended["state"], "web1.qcow2" in volumes(connection)) == ("lost", True)


async def test_a_move_that_libvirt_refuses_is_undone_on_both_sides(world: World, libvirtd: Daemon) -> None:
    """When the job of the source ends, that of the destination has ended: the same can be asked for again."""
    with Connection(libvirtd.uri) as connection:
        domain = connection.handle.lookupByUUIDString(TEST_UUID)
        await asyncio.to_thread(lambda: (domain.destroy(), domain.undefine()))
        async with world.agent(), world.agent("hv2", uri=libvirtd.uri) as hv2, world.person() as admin:
            for _again in range(2):
                begun = await admin.call(HV1, "vm_migrate", {"name": "test", "destination": "hv2"})
                ended = await job(admin, begun["job"], of=HV1)
                assert (ended["state"], ended["error"]["code"]) == ("failed", "unsupported")
                assert hv2.jobs.changing(TEST_UUID) is None
                there = await told(admin, "test has not come: it stays on hv1.")
                assert (there["action"], there["author"], there["state"]) == ("expect", "hv1@xmpp.test", "failed")
                admin.published.clear()


SLEEPER: t.Final = "aaaaaaaa-0000-4000-8000-00000000000f"


async def test_a_machine_that_is_off_goes_with_its_snapshots(world: World, libvirtd: Daemon) -> None:
    """By a connection of its source's agent to the libvirt there, and both agents have it in writing."""
    with Connection(libvirtd.uri) as connection, Connection("test:///default") as source:
        domain = source.handle.defineXML(machine("sleeper", SLEEPER))
        domain.snapshotCreateXML("<domainsnapshot><name>clean</name></domainsnapshot>")
        hv2 = world.agent("hv2", libvirt=Libvirt(libvirtd.uri, libvirtd.uri))
        async with world.agent(), hv2, world.person() as admin:
            move = {"name": "sleeper", "destination": "hv2", "live": False, "snapshots": "keep"}
            begun = await admin.call(HV1, "vm_migrate", move)
            assert (await job(admin, begun["job"], of=HV1))["state"] == "succeeded"
            assert (await told(admin, "sleeper has come from hv1."))["state"] == "succeeded"
        arrived = connection.handle.lookupByUUIDString(SLEEPER)
        assert [snapshot.getName() for snapshot in arrived.listAllSnapshots()] == ["clean"]
        assert [each.name() for each in source.handle.listAllDomains()] == ["test"]


async def test_a_copy_that_fails_is_undone_on_both_sides(world: World, libvirtd: Daemon) -> None:
    """The volumes of the test driver have no content. The job says why, and that of the destination that it stays."""
    disk = "<disk type='file'><source file='/default-pool/sleeper.raw'/><target dev='vda'/></disk>"
    with beside(libvirtd) as connection, Connection("test:///default") as source:
        volume(source, "sleeper.raw")
        source.handle.defineXML(machine("sleeper", SLEEPER, devices=disk))
        hv2 = world.agent("hv2", libvirt=Libvirt(libvirtd.uri, libvirtd.uri))
        async with world.agent(), hv2, world.person() as admin:
            move = {"name": "sleeper", "destination": "hv2", "live": False, "copy_storage": "all"}
            begun = await admin.call(HV1, "vm_migrate", move)
            ended = await job(admin, begun["job"], of=HV1)
            assert (ended["state"], ended["error"]["code"]) == ("failed", "unsupported")
            assert "Copy sleeper.raw to the destination" in ended["error"]["msg"]
            await told(admin, "sleeper has not come: it stays on hv1.")
        assert volumes(connection) == ["there.qcow2"]
        source.handle.storageVolLookupByPath("/default-pool/sleeper.raw").delete()
        source.handle.lookupByUUIDString(SLEEPER).undefine()


async def test_a_machine_that_was_not_let_go_while_it_was_off_stays(world: World, libvirtd: Daemon) -> None:
    """The agent ended when it was on both sides: it may be there without its snapshots."""

    async def lost(_progress: Progress) -> dict[str, t.Any]:
        raise Unsettled("test could not be moved: client socket is closed.")

    with Connection(libvirtd.uri) as connection:
        await asyncio.to_thread(connection.handle.lookupByUUIDString(TEST_UUID).destroy)
        async with world.agent(uri=libvirtd.uri) as agent, world.person("hv2", resource="hv2") as person:
            Peer(person).answers(present=True, state="shutoff", where="leaving")
            ended = await begun(agent, lost, live=False)
        assert (ended.state, "It stays on hv1" in (ended.error or {})["msg"]) == ("failed", True)
        assert [domain.name() for domain in connection.handle.listAllDomains()] == ["test"]


async def begun(
    agent: Agent, work: t.Callable[[Progress], t.Awaitable[dict[str, t.Any]]], uuid: str = TEST_UUID, **how: t.Any
) -> Job:
    """A job that moves a machine, and ends."""
    arguments = {"name": "test", "destination": "hv2", **how}
    one = Job(new_id(), "vm_migrate", "hypervisor", "hv1", "admin@xmpp.test", "adhoc", arguments, (uuid,))
    agent.jobs.start(one, work)
    return await agent.jobs.ended(one.id)


async def test_a_move_that_libvirt_was_lost_in_is_looked_into(world: World) -> None:
    """The agent finds out by itself what became of it, without being restarted."""

    async def lost(_progress: Progress) -> dict[str, t.Any]:
        raise Unsettled("test could not be moved: client socket is closed.")

    async with world.agent() as agent:
        ended = await begun(agent, lost)
        assert ended.state == "failed"
        assert "test was not moved: it is running on hv1" in (ended.error or {})["msg"]
        assert "client socket is closed" in (ended.error or {})["msg"]


@pytest.mark.parametrize(("where", "state", "left"), [("leaving", "succeeded", []), ("staying", "lost", ["test"])])
async def test_what_libvirtd_had_no_time_to_undefine_goes(
    world: World, libvirtd: Daemon, where: str, state: str, left: list[str]
) -> None:
    """Killed after the machine had left, libvirtd has it still, as one that is off. It stays when the destination has
    a machine like it and has agreed to none."""

    async def lost(_progress: Progress) -> dict[str, t.Any]:
        raise Unsettled("test could not be moved: client socket is closed.")

    with Connection(libvirtd.uri) as connection:
        await asyncio.to_thread(connection.handle.lookupByUUIDString(TEST_UUID).destroy)
        async with world.agent(uri=libvirtd.uri) as agent, world.person("hv2", resource="hv2") as person:
            Peer(person).answers(present=True, state="running", where=where)
            ended = await begun(agent, lost)
        assert ended.state == state
        assert [domain.name() for domain in connection.handle.listAllDomains()] == left


@pytest.mark.parametrize(
    ("findings", "behind"), [([], []), ([{"what": "disks[vda]", "severity": "error", "msg": "Not there."}], [PATH])]
)
async def test_what_is_to_be_removed_from_the_source_is_so_by_another_run_of_the_agent(
    world: World, libvirtd: Daemon, findings: list[t.Any], behind: list[str]
) -> None:
    """When the machine is found at the destination with its disks; else the job says what was left behind."""
    config = world.config(uri=libvirtd.uri)
    with beside(libvirtd) as connection:
        volume(connection, "web1.qcow2")
        id = left_running(config, subject=UUID, promise=PROMISE)
        async with world.person("hv2", resource="hv2") as person:
            Peer(person).answers(present=True, state="running", findings=findings)
            async with world.running(config) as agent:
                await agent.session.online.wait()
                ended = await agent.jobs.ended(id)
        assert ended.state == "succeeded"
        result = ended.result or {}
        assert result["left_behind"] == behind
        assert [change["path"] for change in result["changes"]] == ([] if behind else [REMOVED])
        assert ("could not be verified: Not there." in result["msg"]) is bool(behind)
        assert volumes(connection) == ["there.qcow2", *(["web1.qcow2"] if behind else [])]
        for path in behind:
            connection.handle.storageVolLookupByPath(path).delete(0)


@pytest.mark.parametrize("state", ["succeeded", "failed"])
async def test_snapshots_that_libvirt_had_to_forget_are_known_again_by_another_run_of_the_agent(
    world: World, libvirtd: Daemon, state: str
) -> None:
    """Where the machine is: at the destination, or where it was."""
    noted = "<name>clean</name><creationTime>1767225600</creationTime><state>running</state>"
    xml = f"<domainsnapshot>{noted}{machine('test', TEST_UUID)}</domainsnapshot>"
    known = {"xml": [xml], "current": "clean"}
    vm = {**RESULT["vm"], "name": "test", "uuid": TEST_UUID}
    result = {**RESULT, "vm": vm}
    promise = {**PROMISE, "going": {}, "result": result, "snapshots": {"here": known, "there": known}}
    moved = state == "succeeded"
    config = world.config() if moved else world.config(uri=libvirtd.uri)
    id = left_running(config, subject=TEST_UUID, promise=promise)
    with Connection(libvirtd.uri) as connection, Connection("test:///default") as source:
        if moved:
            gone = source.handle.lookupByUUIDString(TEST_UUID)
            await asyncio.to_thread(lambda: (gone.destroy(), gone.undefine()))
        async with world.person("hv2", resource="hv2") as person:
            Peer(person).answers(present=moved, state="running", uri=libvirtd.uri)
            async with world.running(config) as agent, asyncio.timeout(20):
                await agent.session.online.wait()
                ended = await agent.jobs.ended(id)
        assert ended.state == state, ended.error
        domain = connection.handle.lookupByUUIDString(TEST_UUID)
        assert domain.snapshotCurrent().getName() == "clean"


async def test_what_a_job_has_promised_is_no_result(world: World) -> None:
    """It is kept from before the work is done, and told only when it is."""
    async with world.agent() as agent:
        seen: list[t.Any] = []

        async def failing(progress: Progress) -> dict[str, t.Any]:
            await asyncio.to_thread(progress.promise, {"changed": True})
            (one,) = agent.jobs._running.values()
            seen.extend((one.result, one.as_data()["result"]))
            raise NotFound("It is not there.")

        ended = await begun(agent, failing)
        assert (seen, ended.state, ended.result) == ([{"changed": True}, None], "failed", None)


async def test_a_machine_that_has_moved_has_moved(world: World) -> None:
    """Whatever fails of what is to follow; the job says that it did."""

    async def moved(_progress: Progress) -> dict[str, t.Any]:
        return {"changed": True, "msg": "test has moved.", "vm": {"uuid": TEST_UUID}}

    async with world.agent() as agent:
        # The ending finds no destination in it.
        ended = await begun(agent, moved)
        assert (ended.state, ended.error) == ("succeeded", None)
        assert "KeyError" in (ended.result or {})["warnings"][0]


async def test_a_result_that_cannot_be_told_does_not_keep_a_job_running(world: World) -> None:
    """What is no JSON is a fault of ours, and the job says so."""

    async def faulty(_progress: Progress) -> dict[str, t.Any]:
        return {"changed": False, "vm": {"uuid": TEST_UUID}, "odd": object()}

    async with world.agent() as agent:
        ended = await begun(agent, faulty)
        assert (ended.state, ended.result) == ("failed", None)
        assert "cannot be told" in (ended.error or {})["msg"]
        assert agent.jobs.changing(TEST_UUID) is None


async def test_arguments_that_cannot_be_written_do_not_begin_a_job(world: World) -> None:
    """What could not be found again after a restart is not begun."""
    async with world.agent() as agent:
        odd = Job(new_id(), "dream", "hypervisor", "hv1", "admin@xmpp.test", "adhoc", {"odd": object()}, (TEST_UUID,))
        with pytest.raises(TypeError):
            agent.jobs.start(odd, asyncio.sleep)  # type: ignore[arg-type]
        assert agent.jobs.changing(TEST_UUID) is None
