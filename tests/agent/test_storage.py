# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a hypervisor, which nobody has through its agent unless its configuration says where."""

from __future__ import annotations

import pathlib
import typing as t

from archipel_agent.daemon import Agent
from client import Client
from world import World

HV1 = "hv1@xmpp.test/hv1"


async def failure(agent: Agent, person: Client, content: dict[str, t.Any], **arguments: t.Any) -> str:
    """Why no such volume is made."""
    volume = {"pool": "default-pool", "name": "a", "definition": {"content": content}, **arguments}
    begun = await person.call(HV1, "volume", volume)
    error = (await agent.jobs.ended(begun["job"])).error
    assert error is not None
    return str(error["msg"])


async def test_no_file_is_read_by_default(world: World) -> None:
    """Nor is it told whether it is there."""
    async with world.agent() as agent, world.person() as admin:
        for path in ("/etc/passwd", "/nosuch"):
            assert "reads and writes files nowhere" in await failure(agent, admin, {"path": path})
            assert "reads and writes files nowhere" in await failure(agent, admin, {"path": path}, check=True)


async def test_files_are_read_where_the_configuration_allows(world: World, tmp_path: pathlib.Path) -> None:
    """The test driver, which then cannot take their content, says so."""
    (tmp_path / "image").write_bytes(b"image")
    async with world.agent(exchange=(str(tmp_path),)) as agent, world.person() as admin:
        assert "virStorageVolUpload" in await failure(agent, admin, {"path": f"{tmp_path}/image"})
        assert f"files below {tmp_path}" in await failure(agent, admin, {"path": f"{tmp_path}/../passwd"})
