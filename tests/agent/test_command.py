# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``archipel-agent``: its configuration, ``--check``, signals, and what it tells systemd."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import socket
import sqlite3
import typing as t

import pytest
from archipel_agent.config import ConfigError, load
from slixmpp.exceptions import IqError
from world import World

HV1 = "hv1@xmpp.test/hv1"


def check(world: World, file: pathlib.Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit status of ``--check``, and the lines that it said."""
    process = world.command("--config", str(file), "--check", *arguments)
    said = process.communicate(timeout=40)[0]
    return process.returncode, said.splitlines()


def test_a_right_configuration_passes(world: World) -> None:
    """`--check` connects to libvirt and the XMPP server, says nothing and ends with 0."""
    assert check(world, world.write(world.config())) == (0, [])


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("contacts = 'all'", "contacts = 'some'", "contacts: 'some' is not possible; it is one of managed, all, none."),
        ("contacts =", "contact =", "contact: unknown setting. Did you mean contacts?"),
        ("port = ", "port = '5222' #", "xmpp.port: '5222' is not a whole number."),
        ("jid = 'hv1@", "jid = 'hv3@", "name: the hypervisor 'hv1' must have the account hv1@…, not hv3@xmpp.test."),
        ("jid = ", "#", "xmpp.jid: must be set."),
        ("/password'", "/nosuch'", "does not exist or may not be read"),
        ("/ca.pem'", "/ejabberd.yml'", "holds no certificates in PEM"),
        ("administrators = ['admin@", "administrators = ['", "administrators: 'xmpp.test' is not a JID"),
        ("[xmpp]", "[xmpp", "is not TOML"),
        ("state_dir = '", "state_dir = '/nosuch", "state_dir: /nosuch"),
        ("state_dir = '", "exchange = ['srv']\nstate_dir = '", "exchange: srv is not a directory"),
        ("state_dir = '", "site = 'no place'\nstate_dir = '", "site: 'no place' cannot be a site's name"),
        ("state_dir = '", "coordinates = {latitude = 91, longitude = 0}\nstate_dir = '", "coordinates.latitude: 91.0"),
        ("state_dir = '", "coordinates = {latitude = nan, longitude = 0}\nstate_dir = '", "coordinates.latitude: nan"),
        ("state_dir = '", "coordinates = {latitude = '1'}\nstate_dir = '", "coordinates.latitude: '1' is not a number"),
    ],
)
def test_faults_of_the_file_are_named(world: World, old: str, new: str, fault: str) -> None:
    """Each fault is a line that names the setting and what to do, and the status is 1."""
    file = world.write(world.config())
    file.write_text(file.read_text().replace(old, new))
    status, said = check(world, file, "--no-connect")
    assert status == 1
    assert any(fault in line for line in said), said
    assert all(line.startswith(f"{file}: ") for line in said)


def test_all_faults_are_told_at_once(world: World) -> None:
    """Whoever mends a configuration does it once."""
    file = world.write(world.config())
    file.write_text(file.read_text().replace("port = ", "prot = ").replace("contacts = 'all'", "contacts = 1"))
    with pytest.raises(ConfigError) as failed:
        load(file)
    assert len(failed.value.faults) == 2


def test_a_password_for_all_to_read_is_a_fault(world: World) -> None:
    """The file of the password must not be readable by everyone."""
    config = world.config()
    config.xmpp.password_file.chmod(0o644)
    assert "chmod 600" in check(world, world.write(config), "--no-connect")[1][0]


def test_what_cannot_be_reached_is_told(world: World) -> None:
    """libvirt that is not there and a password that is wrong are each a line."""
    config = world.config(uri="test+unix:///default?socket=/nosuch")
    config.xmpp.password_file.write_text("wrong")
    status, said = check(world, world.write(config))
    assert status == 1
    assert len(said) == 2
    assert said[0].startswith("libvirt at test+unix:///default?socket=/nosuch cannot be reached")
    assert said[1].startswith("The server refused the password of hv1@xmpp.test")


async def answers(world: World, person: t.Any) -> None:
    while True:
        try:
            await person.call(HV1, "hypervisor_info")
            return
        except IqError:
            await asyncio.sleep(0.05)


async def test_sigterm_is_a_clean_end(world: World) -> None:
    """On SIGTERM contacts log out, so that people see it at once, and the process ends with 0."""
    async with world.person() as admin:
        process = world.start(world.config())
        await answers(world, admin)
        admin.send_presence_subscription("hv1@xmpp.test")
        await admin.saw(HV1, "available")
        process.send_signal(signal.SIGTERM)
        await admin.saw(HV1, "unavailable")
        said = (await asyncio.to_thread(process.communicate, timeout=20))[0]
        assert process.returncode == 0, said
        assert world.server.password not in said


async def test_sighup_takes_over_administrators_and_contacts(world: World) -> None:
    """A reload changes who may and which machines are contacts, without a new start; a broken file changes nothing."""
    config = world.config(contacts="none")
    async with world.person() as admin, world.person("stranger") as other:
        process = world.start(config)
        try:
            await answers(world, admin)
            file = config.state_dir / "agent.toml"
            right = file.read_text()
            file.write_text(right.replace("['admin@xmpp.test']", "['stranger@xmpp.test']"))
            process.send_signal(signal.SIGHUP)
            while not await other.commands(HV1):
                await asyncio.sleep(0.05)
            assert await admin.commands(HV1) == set()
            file.write_text("name = ")
            process.send_signal(signal.SIGHUP)
            assert (await other.call(HV1, "hypervisor_info"))["changed"] is False
            file.write_text(right.replace("contacts = 'none'", "contacts = 'all'"))
            process.send_signal(signal.SIGHUP)
            while not await admin.commands(HV1):
                await asyncio.sleep(0.05)
            while len(world.server.api("connected_users")) < 4:
                await asyncio.sleep(0.05)
        finally:
            process.terminate()
            said = (await asyncio.to_thread(process.communicate, timeout=20))[0]
        assert "not reloaded: " in said


def test_systemd_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY when it is online, WATCHDOG while it turns, RELOADING around a reload, STOPPING at the end."""
    address = world.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        process = world.start(world.config())
        told: list[str] = []

        def until(words: str) -> None:
            while not told or words not in told[-1]:
                told.append(systemd.recv(4096).decode())

        until("READY=1")
        assert HV1 in world.server.api("connected_users")
        until("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        until("RELOADING=1")
        until("READY=1")
        process.send_signal(signal.SIGTERM)
        until("STOPPING=1")
        assert process.wait(20) == 0


def test_a_database_of_a_newer_agent_is_not_touched(world: World) -> None:
    """An agent that is older than its database says so and ends."""
    config = world.config()
    with sqlite3.connect(config.state_dir / "agent.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    process = world.start(config)
    said = process.communicate(timeout=20)[0]
    assert process.returncode == 1
    assert "written by a newer agent" in said
    assert os.stat(config.state_dir / "agent.db").st_mode & 0o077 == 0
