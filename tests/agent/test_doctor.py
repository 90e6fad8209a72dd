# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``archipel-doctor``: what is well, and each thing that can be wrong, found by the command itself."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pathlib
import re
import typing as t

import pytest
from archipel_agent.config import Libvirt
from ejabberd import DOMAIN, NODES
from world import World

HV1 = f"hv1@{DOMAIN}"
# Migrations never go there; that a peer lets us in can be told from any URI.
LIBVIRT = Libvirt("test:///default", "test:///default")
# The server's certificate in these tests lasts a day.
USUAL = {"certificate"}


Found = dict[str, list[tuple[bool, str]]]


async def findings(world: World, file: pathlib.Path, *, before: t.Sequence[str] = ()) -> Found:
    """Topic to its findings, each well or not, with its text."""
    process = world.command("--config", str(file), "--json", module="archipel_agent.doctor", before=before)
    said, _nothing = await asyncio.to_thread(process.communicate, timeout=50)
    found: Found = {}
    for line in said.splitlines():
        finding = json.loads(line)
        found.setdefault(finding["topic"], []).append((finding["well"], finding["text"]))
    assert process.returncode == int(any(not well for of_topic in found.values() for well, _text in of_topic))
    return found


def wrong(found: Found) -> dict[str, str]:
    """Topic to the text of what is not well."""
    return {topic: text for topic, of_topic in found.items() for well, text in of_topic if not well}


async def test_what_is_well_is_told_topic_by_topic(world: World) -> None:
    """Both hypervisors are up. What the doctor says last depends on all that it says before."""
    async with world.agent(libvirt=LIBVIRT) as agent, world.agent("hv2", libvirt=LIBVIRT):
        found = await findings(world, world.write(agent.config))
    assert list(found) == [
        "configuration", "libvirt", "names", "account", "certificate", "clock", "nodes", "agent", "peers",
    ]  # fmt: skip
    assert wrong(found).keys() == USUAL
    assert "ends on" in found["certificate"][0][1]
    assert "warns that it lacks conference.xmpp.test, which" in found["certificate"][0][1]
    assert (True, f"The agent is online as {HV1}/hv1.") in found["agent"]
    assert (True, "hv2 answers, and takes machines at test:///default.") in found["peers"]
    assert {text for _well, text in found["nodes"]} == {f"{HV1} is {role} of {node}." for node, role in NODES.items()}


async def test_who_is_not_there_is_found_out(world: World) -> None:
    """Neither this hypervisor's agent nor the other's."""
    ill = wrong(await findings(world, world.write(world.config(libvirt=LIBVIRT))))
    assert ill.keys() == {"agent", "peers", *USUAL}
    assert "systemctl status archipel-agent" in ill["agent"]
    assert ill["peers"] == "hv2: hv2 is not online; does its agent run?"


async def test_a_clock_that_is_wrong_is_found_out(world: World) -> None:
    """By an hour, which the certificate outlives."""
    config = world.config(libvirt=LIBVIRT, peers=())
    ill = wrong(await findings(world, world.write(config), before=("faketime", "-f", "+1h")))
    assert re.fullmatch(
        r"This clock and the server's are 3[56]\d\d\.\d s apart, the server's is behind: .* NTP\.", ill["clock"]
    )


@pytest.mark.parametrize(
    ("node", "is_", "has_to_be"),
    [("/archipel/events", "none", "publisher"), ("/archipel/permissions", "publisher", "member")],
)
async def test_too_few_rights_to_a_node_are_found_out_and_too_many(
    world: World, node: str, is_: str, has_to_be: str
) -> None:
    """Somebody has taken them away; or has let a hypervisor write grants."""
    async with world.person() as admin:
        service = admin.plugin["xep_0060"]
        await service.modify_affiliations(f"pubsub.{DOMAIN}", node, [(HV1, is_)])
        try:
            ill = wrong(await findings(world, world.write(world.config(libvirt=LIBVIRT, peers=()))))
        finally:
            await service.modify_affiliations(f"pubsub.{DOMAIN}", node, [(HV1, has_to_be)])
    told = f"{HV1} has to be {has_to_be} of {node} and is {'nothing' if is_ == 'none' else is_} of it: run site.yml"
    assert ill["nodes"].startswith(told)


async def test_services_that_nothing_can_be_pushed_to_are_found_out(world: World) -> None:
    """Each file is looked at, and no URL is told."""
    file = world.write(world.config(libvirt=LIBVIRT, peers=()))
    good, open_ = (file.with_name(name) for name in ("good.urls", "open.urls"))
    for urls, mode in ((good, 0o600), (open_, 0o644)):
        urls.write_text("json://127.0.0.1/open-sesame\n")
        urls.chmod(mode)
    file.write_text("".join([file.read_text(), *(f"[[push]]\nurls_file = '{urls}'\n" for urls in (open_, good))]))
    assert (await findings(world, file))["push"] == [
        (False, f"{open_} can be read by others; chmod 600 it."),
        (True, f"{good} can be read, services in it: 1."),
    ]


async def test_what_the_rest_depends_on_comes_first(world: World) -> None:
    """A wrong password, a name that is none, a file that is none: nothing is said of what follows."""
    config = world.config(uri="test+unix:///default?socket=/nosuch")
    file = world.write(config)
    config.xmpp.password_file.write_text("wrong")
    found = await findings(world, file)
    assert list(found) == ["configuration", "libvirt", "names", "account"]
    assert wrong(found).keys() == {"libvirt", "account"}
    assert "refused the password" in wrong(found)["account"]

    nowhere = dataclasses.replace(config, xmpp=dataclasses.replace(config.xmpp, hosts=("nowhere.invalid",)))
    assert "nowhere.invalid has no address" in wrong(await findings(world, world.write(nowhere)))["names"]

    file.write_text("name = ")
    assert list(await findings(world, file)) == ["configuration"]
