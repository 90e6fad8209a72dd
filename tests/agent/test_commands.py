# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of old, as processes: what they do, that they do nothing the second time, and what they refuse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from archipel.connection import Connection
from archipel_agent.nodes import NODES
from slixmpp.exceptions import IqError
from world import ROOT, TEST_UUID, World, contact_of

sys.path.insert(0, str(ROOT / "roles/agent/files"))
from wheel import COMMANDS

ROLES = "/archipel/roles"


async def run(world: World, name: str, *arguments: str, file: pathlib.Path | None = None) -> tuple[int, list[str]]:
    """The exit status of ``archipel-<name>``, and the lines that it said."""
    module, function = COMMANDS[f"archipel-{name}"].split(":")
    path = [str(ROOT / "plugins/module_utils"), str(ROOT / "roles/agent/files")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "ARCHIPEL_PASSWORD": world.server.password}
    code = f"import sys, {module} as m; sys.exit(m.{function}())"
    configured = ("--config", str(file or world.write(world.config())))
    process = subprocess.Popen(
        [sys.executable, "-c", code, *configured, *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    said, _nothing = await asyncio.to_thread(process.communicate, timeout=50)
    return process.returncode, said.splitlines()


@pytest.fixture
def world(world: World) -> t.Iterator[World]:
    """One without roles afterwards."""
    yield world

    async def empty() -> None:
        async with world.person() as admin:
            await admin.empty(ROLES)

    asyncio.run(empty())


async def test_initinstall_makes_what_is_missing_and_mends_what_is_wrong(world: World) -> None:
    """A node that is gone is made, a right that is another is given; then all is as it should be."""
    async with world.person() as admin:
        pubsub = admin.plugin["xep_0060"]
        await pubsub.delete_node("pubsub.xmpp.test", ROLES)
        await pubsub.modify_affiliations("pubsub.xmpp.test", "/archipel/events", [("hv2@xmpp.test", "none")])
        try:
            status, said = await run(world, "initinstall")
        finally:
            with contextlib.suppress(IqError):
                await admin.create_node(ROLES, {f"{name}@xmpp.test": "member" for name in world.server.hypervisors})
        assert status == 0, said
        assert f"{ROLES}: made, hv1@xmpp.test is member now, hv2@xmpp.test is member now" in said
        assert any(line.startswith("/archipel/events: ") and "hv2@xmpp.test is publisher now" in line for line in said)
        assert await run(world, "initinstall") == (0, [f"{node.name}: as it should be" for node in NODES])
        await pubsub.subscribe("pubsub.xmpp.test", ROLES)


async def test_roles_are_set_told_and_deleted(world: World) -> None:
    """What is set is in the node; what nobody knows, and what is ready-made, is refused."""
    async with world.person() as admin:
        assert await run(world, "rolesnode", "set", "night", "view", "start", "--description", "shift") == (
            0, ["night is set."],
        )  # fmt: skip
        assert (await admin.items(ROLES))["night"] == {"permissions": ["start", "view"], "description": "shift"}
        for arguments in (("set", "night", "start", "view", "--description", "shift"), ("create",)):
            assert (await run(world, "rolesnode", *arguments))[1][0].endswith(("is so already.", "as it should be"))
        assert "night: start, view" in (await run(world, "rolesnode", "list"))[1]
        assert await run(world, "rolesnode", "delete", "night") == (0, ["night is deleted."])
        assert "night" not in await admin.items(ROLES)
        for arguments in (("set", "night", "fly"), ("delete", "viewer")):
            status, said = await run(world, "rolesnode", *arguments)
            assert (status, len(said)) == (1, 1)


async def test_tags_are_set_by_the_agent_that_has_the_machine(world: World) -> None:
    """A machine is found by the index, and tagged where it is; so is a hypervisor."""
    async with world.agent() as agent:
        await contact_of(agent)
        file = world.write(agent.config)
        while (await run(world, "tagnode", "get", "test", file=file))[0]:
            # Until it is in the index.
            await asyncio.sleep(0.1)
        assert await run(world, "tagnode", "set", "test", "web", "db", file=file) == (0, ["test is tagged."])
        assert await run(world, "tagnode", "add", TEST_UUID, "web", file=file) == (0, ["test is so already."])
        assert agent.link.machines[TEST_UUID].tags == {"db", "web"}
        assert await run(world, "tagnode", "add", "hv1", "ssd", file=file) == (0, ["hv1 is tagged."])
        assert agent.label.tags == ("ssd",)
        assert (await run(world, "tagnode", "set", "nosuch", file=file))[0] == 1


async def test_machines_are_imported_and_released(world: World, libvirtd: t.Any) -> None:
    """By name or pattern, without the server; a second time nothing is to be done."""
    file = world.write(world.config(uri=libvirtd.uri))
    # The test driver forgets when nobody is connected.
    with Connection(libvirtd.uri):
        assert await run(world, "importvirtualmachine", "te*", file=file) == (0, ["test adopted."])
        assert await run(world, "importvirtualmachine", "test", file=file) == (0, ["All are as asked."])
        status, said = await run(world, "importvirtualmachine", "--release", "test", file=file)
        assert (status, said) == (0, ["test let go."])
    assert (await run(world, "importvirtualmachine", "nosuch", file=file))[0] == 1


async def test_the_server_is_tested(world: World) -> None:
    """Each of what a platform needs is a line, and the account that was made for it is gone afterwards."""
    before = world.server.registered()
    status, said = await run(world, "testxmppserver", "--json")
    found = [json.loads(line) for line in said]
    topics = ["configuration", "names", "account", "certificate", "clock", "registration", "contacts", "nodes"]
    assert list(dict.fromkeys(each["topic"] for each in found)) == topics
    # The server's certificate in these tests lasts a day.
    assert [each["text"] for each in found if not each["well"] and each["topic"] != "certificate"] == []
    assert status == 1
    assert world.server.registered() == before


async def test_whoever_may_not_register_is_told(world: World) -> None:
    """An account that is no hypervisor's neither registers machines nor has the nodes."""
    config = world.config("stranger")
    file = world.write(config)
    status, said = await run(world, "testxmppserver", "--json", file=file)
    wrong = {each["topic"]: each["text"] for each in map(json.loads, said) if not each["well"]}
    assert status == 1
    assert "may not register machines" in wrong["registration"]
    assert "nothing of it" in wrong["nodes"]


async def test_what_goes_wrong_is_one_line(world: World) -> None:
    """A password that is wrong, a file that is not there, an account that owns nothing."""
    password = world.directory / "wrong"
    password.write_text("wrong")
    mine = world.directory / "mine"
    mine.write_text(world.server.password)
    for arguments, told in (
        (("--password-file", str(password)), "refused the password of admin@xmpp.test"),
        (("--password-file", "/nosuch"), "No such file"),
        (("--jid", "stranger@xmpp.test", "--password-file", str(mine)), "refuses that to this account"),
    ):
        status, said = await run(world, "initinstall", *arguments)
        assert (status, len(said)) == (1, 1), said
        assert told in said[0]
    assert (await run(world, "rolesnode"))[0] == 2
