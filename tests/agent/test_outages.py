# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not there, goes away and comes back: the XMPP server, libvirt, the password, the certificate."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import typing as t

import pytest
from archipel_agent import session as sessions
from client import error_of
from ejabberd import Ejabberd, certificate, free_port
from slixmpp.exceptions import IqError
from world import DOMAIN, TEST_UUID, Daemon, World, contact_of

HV1 = "hv1@xmpp.test/hv1"


async def said(log: pytest.LogCaptureFixture, words: str) -> str:
    """The log's message with these words, as soon as it is there."""
    while True:
        for record in log.records:
            if words in record.getMessage():
                return record.getMessage()
        await asyncio.sleep(0.05)


async def test_the_agent_starts_without_a_server(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Without an XMPP server the agent runs, says what it cannot reach, goes on trying, and comes online by itself."""
    port = free_port()
    config = world.config()
    config = dataclasses.replace(config, xmpp=dataclasses.replace(config.xmpp, port=port))
    async with world.running(config) as agent:
        message = await said(caplog, "cannot be reached")
        assert f"127.0.0.1:{port}" in message
        assert "xmpp.port" in message
        await agent.link.up.wait()
        assert agent.link.machines[TEST_UUID].state == "running"
        # The server comes up: a relay to the real one.
        relay = await asyncio.start_server(_relay_to(world.server), "127.0.0.1", port)
        async with relay:
            agent.session.hurry()
            await agent.session.online.wait()


def _relay_to(server: Ejabberd):  # type: ignore[no-untyped-def]
    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(server.host, server.port)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer), return_exceptions=True)

    return relay


@contextlib.asynccontextmanager
async def _node(server: Ejabberd, host: str, port: int) -> t.AsyncIterator[None]:
    """The server at another address, which at the end is gone without a word."""
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await _relay_to(server)(reader, writer)

    async with await asyncio.start_server(serve, host, port) as listener:
        yield
        listener.close()
        for writer in connections:
            writer.transport.abort()


async def test_from_a_server_that_is_gone_all_go_to_the_next(world: World) -> None:
    """Hypervisor and machines log in at whichever of the servers in the list is there, and begin with the next when
    theirs is gone."""
    hosts, port = ("127.0.0.2", "127.0.0.3"), free_port()
    config = world.config()
    config = dataclasses.replace(config, xmpp=dataclasses.replace(config.xmpp, hosts=hosts, port=port))
    async with contextlib.AsyncExitStack() as second, world.person() as admin:
        # At the beginning nobody is at the first address.
        await second.enter_async_context(_node(world.server, hosts[1], port))
        async with world.running(config) as agent:
            jid = await contact_of(agent)
            assert agent.session.server.last == (hosts[1], port)
            for contact in (jid, HV1):
                admin.send_presence_subscription(contact.split("/")[0])
                await admin.saw(contact, "available")
            before = len(admin.seen)
            async with _node(world.server, hosts[0], port):
                await second.aclose()
                for contact in (jid, HV1):
                    await admin.saw(contact, "unavailable", after=before)
                    await admin.saw(contact, "available", after=before)
                assert agent.session.server.last == (hosts[0], port)
                agent.stop()


async def test_who_is_let_in_calls_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that could not reach the server do not sit out their pauses, each of its own length, when one could."""
    monkeypatch.setattr(sessions, "SHORTEST_PAUSE", 600.0)
    monkeypatch.setattr(sessions, "LONGEST_PAUSE", 600.0)
    host, port = "127.0.0.2", free_port()
    config = world.config()
    config = dataclasses.replace(config, xmpp=dataclasses.replace(config.xmpp, hosts=(host,), port=port))
    async with contextlib.AsyncExitStack() as stack:
        async with _node(world.server, host, port):
            agent = await stack.enter_async_context(world.running(config))
            await contact_of(agent)
            machine = agent.contacts.contacts[TEST_UUID].session
        while len(agent.session.server.waiting) < 2:
            for session in (agent.session, machine):
                session.hurry()
            await asyncio.sleep(0.1)
        async with _node(world.server, host, port):
            machine.hurry()
            await agent.session.online.wait()
            agent.stop()


async def test_the_agent_starts_without_libvirt(
    world: World, libvirtd: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    """Without libvirt the hypervisor is online as dnd, answers that libvirt cannot be reached, and mends itself."""
    await asyncio.to_thread(libvirtd.halt)
    async with world.running(world.config(uri=libvirtd.uri)) as agent, world.person() as admin:
        await agent.session.online.wait()
        admin.send_presence_subscription("hv1@xmpp.test")
        await admin.saw(HV1, "dnd", "libvirt is not reachable")
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm_info")
        assert failed.value.condition == "service-unavailable"
        assert "cannot be reached" in error_of(failed.value)["msg"]
        await said(caplog, "libvirt at test+unix")
        await asyncio.to_thread(libvirtd.start)
        await agent.link.up.wait()
        await admin.saw(HV1, "available", "1 machines")
        assert (await admin.call(HV1, "vm_info"))["vms"][0]["name"] == "test"


async def test_libvirtd_restarts_under_the_agent(world: World, libvirtd: Daemon) -> None:
    """When libvirtd goes, contacts become dnd and stay; when it is back, they are what they are, and events come."""
    async with world.agent(uri=libvirtd.uri) as agent, world.person() as admin:
        jid = await contact_of(agent)
        admin.send_presence_subscription(jid.split("/")[0])
        await admin.saw(jid, "available", "running")
        await asyncio.to_thread(libvirtd.halt)
        await admin.saw(jid, "dnd", "libvirt is not reachable")
        before = len(admin.seen)
        await asyncio.to_thread(libvirtd.start)
        await admin.saw(jid, "available", "running", after=before)
        assert not [seen for seen in admin.seen if seen[0] == jid and seen[1] == "unavailable"]
        await admin.call(jid, "destroy")
        await admin.saw(jid, "xa", "shutoff")


async def test_the_server_restarts_under_the_agent(world: World) -> None:
    """When the server is back, hypervisor and machines are, and what happened meanwhile is told in order."""
    async with world.agent() as agent:
        await contact_of(agent)
        await asyncio.to_thread(world.server.stop)
        while agent.session.online.is_set():
            await asyncio.sleep(0.05)
        domain = await agent.link.perform("reads", lambda hypervisor: hypervisor.machine(uuid=TEST_UUID).domain)
        await asyncio.to_thread(lambda: (domain.suspend(), domain.resume()))
        await asyncio.to_thread(world.server.start)
        await agent.session.online.wait()
        await contact_of(agent)
        async with world.person() as admin:
            assert (await admin.call(HV1, "vm_info"))["vms"][0]["state"] == "running"
            while True:
                items = await admin.items("/archipel/events")
                states = [items[key]["state"] for key in sorted(items) if items[key]["type"] == "lifecycle"]
                if states[-2:] == ["paused", "running"]:
                    break
                await asyncio.sleep(0.05)


async def test_a_wrong_password_is_said_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password is said with what to do, is not tried again and again, and mended without a restart."""
    config = world.config()
    config.xmpp.password_file.write_text("wrong")
    async with world.running(config) as agent:
        message = await said(caplog, "refused the password of hv1@xmpp.test")
        assert "Check that the account exists" in message
        config.xmpp.password_file.write_text(world.server.password)
        agent.session.hurry()
        await agent.session.online.wait()
        assert sum("refused the password" in record.getMessage() for record in caplog.records) == 1


async def test_a_wrong_certificate_is_refused(
    world: World, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server whose certificate comes from an unknown authority is not spoken to, and no password is sent."""
    (tmp_path / "other").mkdir()
    certificate(tmp_path / "other", DOMAIN)
    config = world.config()
    config = dataclasses.replace(config, xmpp=dataclasses.replace(config.xmpp, ca_file=tmp_path / "other/ca.pem"))
    async with world.running(config) as agent:
        message = await said(caplog, "certificate is not accepted for xmpp.test")
        assert "xmpp.ca_file" in message
        assert not agent.session.online.is_set()


async def test_a_certificate_for_another_name_is_refused(
    world: World, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate of the right authority for another host's name is not accepted."""
    imposter = Ejabberd(tmp_path / "imposter")
    imposter.directory.mkdir()
    certificate(imposter.directory, "elsewhere.test")
    imposter.configure()
    await asyncio.to_thread(imposter.start)
    try:
        config = world.config()
        xmpp = dataclasses.replace(config.xmpp, port=imposter.port, ca_file=imposter.ca_file)
        async with world.running(dataclasses.replace(config, xmpp=xmpp)):
            assert "Hostname mismatch" in await said(caplog, "certificate is not accepted")
    finally:
        await asyncio.to_thread(imposter.stop)


async def test_registration_refused_by_the_server_is_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Where the server lets this hypervisor register nothing, the log says so, and the hypervisor serves on."""
    world.server.register("hv9")
    async with world.agent("hv9"), world.person() as admin:
        await said(caplog, f"the server refuses an account for {TEST_UUID}")
        assert (await admin.call("hv9@xmpp.test/hv9", "vm_info"))["vms"][0]["name"] == "test"
    world.server.api("unregister", user="hv9", host=DOMAIN)


async def test_two_agents_of_one_name_do_not_chase_each_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A second session with the same resource takes it; the first says so and does not take it back at once."""
    async with world.agent() as agent, world.person("hv1", resource="hv1") as second:
        await said(caplog, "another session took this resource")
        assert not agent.session.online.is_set()
        await second.plugin["xep_0199"].send_ping(DOMAIN)
    assert sessions.PAUSE_AFTER_REFUSAL >= 30


async def test_nothing_is_left_of_lost_connections(world: World, libvirtd: Daemon) -> None:
    """An agent that has lost libvirt and found it again has as many files open as before."""
    async with world.person() as admin:
        process = world.start(world.config(uri=libvirtd.uri, contacts="none"))
        try:
            admin.send_presence_subscription("hv1@xmpp.test")
            await admin.saw(HV1, "available", "1 machines")
            opened = []
            for _attempt in range(3):
                before = len(admin.seen)
                await asyncio.to_thread(libvirtd.halt)
                await admin.saw(HV1, "dnd", after=before)
                before = len(admin.seen)
                await asyncio.to_thread(libvirtd.start)
                await admin.saw(HV1, "available", "1 machines", after=before)
                opened.append(len(os.listdir(f"/proc/{process.pid}/fd")))
            assert opened[0] == opened[-1]
        finally:
            process.terminate()
            await asyncio.to_thread(process.communicate, timeout=20)
