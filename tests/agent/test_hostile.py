# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input that means harm, or is broken: it is refused, nothing changes, and the agent serves on."""

from __future__ import annotations

import asyncio
import json

import pytest
from client import COMMANDS, error_of
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from world import World, contact_of, machine

HV1 = "hv1@xmpp.test/hv1"
BOMB = """<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><domain type='test'><name>&c;</name></domain>"""
OUTSIDE = "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain type='test'><name>&a;</name></domain>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"vm"',
        "NaN",
        '{"name": NaN}',
        '{"name": "a", "name": "b"}',
        "[" * 100_000,
        '{"name": ' + "[" * 40 + "]" * 40 + "}",
        '{"limit": ' + "9" * 10_000 + "}",
        json.dumps({"name": "x" * 300_000}) * 3,
    ],
    ids=lambda text: text[:12],
)
async def test_broken_json_is_refused(world: World, text: str) -> None:
    """JSON that is broken, ambiguous, too deep or no object is a bad request, and the next request is answered."""
    async with world.agent(), world.person() as admin:
        with pytest.raises(IqError) as failed:
            await admin.command(HV1, "vm_info", json_text=text)
        assert failed.value.condition == "bad-request"
        assert (await admin.call(HV1, "hypervisor_info"))["changed"] is False


@pytest.mark.parametrize(
    "xml",
    ["<domain", "<html/>", BOMB, OUTSIDE, "<domain type='test'><name>../../etc</name></domain>"],
    ids=["malformed", "no domain", "bomb", "outside entity", "path as name"],
)
async def test_harmful_xml_is_refused(world: World, xml: str) -> None:
    """XML that is malformed, grows, or reads files is refused, and nothing is defined."""
    async with world.agent() as agent, world.person() as admin:
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm", {"state": "present", "xml": xml})
        assert failed.value.condition == "bad-request"
        assert "root:" not in error_of(failed.value)["msg"]
        assert [state.name for state in agent.link.machines.values()] == ["test"]


async def test_a_name_with_template_characters_is_only_a_name(world: World) -> None:
    """Braces in a machine's name and description come back as they are, at every door."""
    name, uuid = "{{ 7 * 7 }}{name} %s", "3f0b6f5e-8d5c-4f58-9a8e-0f4a2f1a7c11"
    async with world.agent() as agent, world.person() as admin:
        await admin.call(HV1, "vm", {"state": "present", "xml": machine(name, uuid, description="{msg} {0}")})
        contact = await contact_of(agent, uuid)
        assert (await admin.says(contact, "how are you")).startswith(f"I am {name}. I am shutoff")
        assert (await admin.call(contact, "state"))["name"] == name
        assert name in await admin.says(HV1, "list")
        await admin.call(HV1, "vm", {"name": name, "state": "absent"})


async def test_a_form_with_unknown_or_repeated_fields_is_refused(world: World) -> None:
    """A submitted form may hold each argument once, and nothing else."""
    async with world.agent(), world.person() as admin:
        for fields in (("name", "name"), ("name", "nosuch")):
            iq = admin.make_iq_set(ito=HV1)  # type: ignore[arg-type]
            command = ET.SubElement(iq.xml, f"{{{COMMANDS}}}command", {"node": "vm", "action": "execute"})
            form = ET.SubElement(command, "{jabber:x:data}x", {"type": "submit"})
            for name in fields:
                field = ET.SubElement(form, "{jabber:x:data}field", {"var": name})
                ET.SubElement(field, "{jabber:x:data}value").text = "test"
            with pytest.raises(IqError, match="bad-request"):
                await iq.send()


async def test_characters_that_xml_cannot_carry_do_not_end_the_stream(world: World) -> None:
    """An answer that quotes control characters or half a surrogate pair arrives, without them."""
    async with world.agent(), world.person() as admin:
        for name in ("\x00\x1b[31m", "\ud800"):
            with pytest.raises(IqError) as failed:
                await admin.call(HV1, "vm", {"name": name, "state": "running"})
            assert failed.value.condition in ("bad-request", "item-not-found")
        assert (await admin.call(HV1, "hypervisor_info"))["changed"] is False


async def test_an_answer_that_no_stanza_holds_is_refused(world: World) -> None:
    """An answer larger than the server takes is an error that says what to do, and the stream goes on."""
    async with world.agent() as agent, world.person() as admin:
        agent.session.server = type(agent.session.server)(
            **{**vars(agent.session.server), "max_stanza_size": 8192 + 300}
        )
        with pytest.raises(IqError) as failed:
            await admin.call(HV1, "vm_info")
        assert "too large" in error_of(failed.value)["msg"]
        assert (await admin.call(HV1, "vm_info", {"name": "nosuch"}))["vms"] == []


async def test_a_flood_of_one_does_not_stop_others(world: World) -> None:
    """While one JID floods the agent, another one's requests are answered; what is too much is told to come later."""
    async with world.agent(), world.person() as flooder, world.person("hv2", resource="hv2") as other:
        flood = [asyncio.create_task(flooder.call(HV1, "vm_info")) for _call in range(600)]
        answer = await other.call(HV1, "destination", {"name": "test"})
        assert answer["present"] is True
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        refused = [o for o in outcomes if isinstance(o, IqError)]
        assert all(error.condition == "service-unavailable" for error in refused)
        assert len(refused) < len(outcomes)
