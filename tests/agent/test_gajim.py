# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another client that nobody here wrote: nbxmpp, Gajim's library, with its own idea of ad-hoc commands and forms."""

from __future__ import annotations

import asyncio
import json
import pathlib
import typing as t

from world import TEST_UUID, World, contact_of

HV1 = "hv1@xmpp.test/hv1"
CLIENT = pathlib.Path(__file__).with_name("gajim.py")
# It is a package of Debian, for Debian's Python.
PYTHON = "/usr/bin/python3"


async def told(world: World, contact: str, node: str, *forms: dict[str, str]) -> dict[str, t.Any]:
    """What the client saw when it ran the command, and filled these values into its forms."""
    asked = {
        "user": "admin",
        "domain": world.server.domain,
        "password": world.server.password,
        "host": f"{world.server.host}:{world.server.port}",
        "certificates": str(world.server.directory / "server.pem"),
        "contact": contact,
        "node": node,
        "forms": forms,
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(PYTHON, str(CLIENT), stdin=pipe, stdout=pipe)
    output, _errors = await process.communicate(json.dumps(asked).encode())
    seen = t.cast("dict[str, t.Any]", json.loads(output))
    assert "error" not in seen
    return seen


async def test_gajim_runs_a_command_without_a_form(world: World) -> None:
    """The note and the result arrive as it reads them."""
    async with world.agent() as agent:
        seen = await told(world, await contact_of(agent), "state")
        assert seen["notes"][0].startswith("I am test. I am running on hv1")
        assert seen["result"]["state"] == "running"


async def test_gajim_fills_in_two_forms_and_chooses(world: World) -> None:
    """It takes the step that we name as the usual one, chooses from what we offer, and has the defaults."""
    async with world.agent() as agent:
        seen = await told(world, HV1, "vm_snapshot", {"name": "test"}, {"snapshot": "by-gajim", "memory": "0"})
        which, what = seen["forms"]
        assert which == {
            "name": {"type": "list-single", "label": "Name of the machine", "required": False, "options": ["test"]}
        }
        assert what["snapshot"]["required"] is True
        assert what["state"]["options"] == ["present", "absent", "reverted"]
        assert seen["notes"][0].startswith("vm_snapshot has begun as job")
        if job := agent.jobs.changing(TEST_UUID):
            assert (await agent.jobs.ended(job.id)).state == "succeeded"
        seen = await told(world, await contact_of(agent), "forget", {"snapshot": "by-gajim"})
        assert seen["notes"][0].startswith("forget has begun as job")
        if job := agent.jobs.changing(TEST_UUID):
            assert (await agent.jobs.ended(job.id)).state == "succeeded"
