# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent takes to decide whether somebody may do something to a machine, and how soon a grant holds.

Of a thousand grants one may be the asker's, or all of them, and none of these is of use: that is the longest way to a
no. A grant holds as soon as the agent lists an action to whom it was given; the one who waits asks again and again, so
one listing is the least that it can be.
"""

from __future__ import annotations

import asyncio
import time
import typing as t

import slixmpp
from archipel.hypervisor import MACHINE_ACTIONS
from archipel.rights import Grant, Place
from archipel_agent.authority import Authority
from client import Client, connected
from measure import Figure, Table, Way, compare, seconds
from stage import NAME, PATIENCE, Stage

GRANTS: t.Final = 1000
DECISIONS: t.Final = 10_000
TIMES: t.Final = 20
DECISION: t.Final = Figure("a decision", "µs")
EFFECT: t.Final = Figure("until the agent lists what is granted, or no longer", "ms")
NODE: t.Final = "/archipel/permissions"
WHO: t.Final = slixmpp.JID("person@example.org/phone")
PLACE: t.Final = Place("hv1", "geneva", frozenset(("web", "ssd")), "6695eb01-f6a4-8304-79aa-97f2502e193f")


def run(stage: Stage, rounds: int) -> list[Table]:
    return [*_decisions(rounds), *_effects(stage, rounds)]


def _decisions(rounds: int) -> list[Table]:
    action = MACHINE_ACTIONS["start"]

    def way(name: str, authority: Authority, *, may: bool, yardstick: bool = False) -> Way:
        def decide() -> None:
            for _decision in range(DECISIONS):
                assert authority.may(WHO, action, PLACE) is may

        return Way(name, lambda: {DECISION: seconds(decide) / DECISIONS * 1e6}, yardstick)

    def granted(whom: t.Callable[[int], str], role: str) -> Authority:
        authority = Authority(["admin@example.org"], [])
        for number in range(GRANTS):
            data = {"jid": whom(number), "role": role, "scope": {"site": "geneva"}}
            authority.set_grant(str(number), Grant.bind(str(number), data))
        return authority

    one_of_many = granted(lambda number: f"person{number or ''}@example.org", "operator")
    all_for_nothing = granted(lambda number: "person@example.org", "viewer")
    return compare(
        [
            way("an administrator", Authority(["person@example.org"], []), may=True, yardstick=True),
            way(f"one of {GRANTS:,} grants is the asker's", one_of_many, may=True),
            way(f"all of {GRANTS:,} are, and none is of use", all_for_nothing, may=False),
        ],
        rounds,
    )


def _effects(stage: Stage, rounds: int) -> list[Table]:
    with stage.host(0) as host, stage.server() as server, stage.agent(host, server):
        server.register("person")
        contact = f"{NAME}@{server.domain}/{NAME}"
        grant = {"jid": f"person@{server.domain}", "role": "viewer", "scope": {"platform": True}}

        async def until(person: Client, *, listed: bool) -> None:
            while ("vm_info" in await person.commands(contact)) != listed:
                pass

        async def change() -> float:
            people = connected(server, "admin"), connected(server, "person")
            async with asyncio.timeout(PATIENCE), people[0] as admin, people[1] as person:
                began = time.perf_counter()
                for _time in range(TIMES):
                    await admin.publish(NODE, "person", grant)
                    await until(person, listed=True)
                    await admin.plugin["xep_0060"].retract(f"pubsub.{server.domain}", NODE, "person", notify=True)
                    await until(person, listed=False)
                return (time.perf_counter() - began) * 1000 / TIMES / 2

        async def listings() -> float:
            async with asyncio.timeout(PATIENCE), connected(server, "person") as person:
                began = time.perf_counter()
                for _time in range(TIMES):
                    await person.commands(contact)
                return (time.perf_counter() - began) * 1000 / TIMES

        return compare(
            [
                Way("one listing", lambda: {EFFECT: asyncio.run(listings())}, yardstick=True),
                Way("a grant, and its withdrawal", lambda: {EFFECT: asyncio.run(change())}),
            ],
            rounds,
        )
