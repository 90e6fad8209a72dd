# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is secret in a request is neither shown where it is typed, nor kept, nor told."""

from __future__ import annotations

import logging
import typing as t

import pytest
from archipel.actions import HIDDEN, SECRET, Action, Progress, action, actions_of
from archipel_agent import wire
from archipel_agent.entity import Result
from world import World

CODE = "correct horse"


class Safe:
    @action(permission="define", changes=True, long=True, says="{msg}")
    def lock(self, *, code: t.Annotated[str, "A code.", SECRET]) -> None:
        """Lock it."""


@pytest.fixture
def lock() -> Action:
    return actions_of(Safe, "hypervisor")["lock"]


def test_a_form_asks_for_a_secret_in_private(lock: Action) -> None:
    """XEP-0004's field for what is not to be shown while it is typed."""
    fields = wire.form_element(lock, lock.arguments).findall(f"{{{wire.DATA}}}field")
    assert [(field.get("var"), field.get("type")) for field in fields] == [("code", "text-private")]


async def test_a_job_keeps_no_secret(world: World, lock: Action, caplog: pytest.LogCaptureFixture) -> None:
    """It is neither in the database nor in events nor in the log; the work has it."""
    caplog.set_level(logging.DEBUG)
    arguments = lock.bind({"code": CODE})
    async with world.agent() as agent, world.person() as admin:

        async def work(_progress: Progress) -> Result:
            return {"changed": True, "msg": f"{len(arguments['code'])} characters"}

        job = agent.jobs.begin(agent.hypervisor.entity, lock, arguments, (), "admin@xmpp.test", "adhoc", work)
        ended = await agent.jobs.ended(job.id)
        assert (ended.text, ended.arguments) == ("13 characters", {"code": HIDDEN})
        await admin.until(lambda: len(admin.events("job")) == 2)
        assert CODE not in str(admin.events("job"))
        assert CODE not in "\n".join(agent.database.iterdump())
    assert CODE not in caplog.text
