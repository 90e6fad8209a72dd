# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants: what the nodes say is what people may, at once, at every agent, and as long as it stands there."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import time
import typing as t

import pytest
from archipel import xmltree
from archipel_agent.daemon import Agent
from client import Client
from grants import EVERYWHERE, PERMISSIONS, ROLES, STRANGER, grant, told, withdraw, withdraw_all
from slixmpp.exceptions import IqError
from world import TEST_UUID, World, contact_of, machine

HV1, HV2 = "hv1@xmpp.test/hv1", "hv2@xmpp.test/hv2"


@pytest.fixture
def world(world: World) -> t.Iterator[World]:
    """One whose nodes grant nothing, before and afterwards."""
    asyncio.run(withdraw_all(world))
    yield world
    asyncio.run(withdraw_all(world))


async def may(person: Client, jid: str, action: str, **arguments: t.Any) -> bool:
    """Whether they may; what they may can still fail."""
    try:
        await person.call(jid, action, arguments)
    except IqError as failure:
        return failure.condition not in ("item-not-found", "forbidden")
    return True


async def test_a_grant_shows_and_runs_what_it_gives_and_nothing_else(world: World) -> None:
    """A viewer of the platform sees and runs what looks, at the hypervisor and at its machines; nothing else."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        contact = await contact_of(agent)
        await grant(admin, "see", role="viewer")
        assert {"vm_info", "hypervisor_info", "network_info", "job"} <= await person.commands(HV1)
        assert {"vm", "vm_migrate", "network", "handover"}.isdisjoint(await person.commands(HV1))
        assert await may(person, contact, "state")
        assert "I am test" in await person.says(contact, "how are you")
        assert not await may(person, contact, "destroy")
        assert not await may(person, HV1, "vm", name="test", state="destroyed")
        assert agent.link.machines[TEST_UUID].state == "running"


async def test_a_grant_and_its_withdrawal_take_effect_within_a_second(world: World) -> None:
    """On every agent, for listing and for running, without anybody reconnecting."""
    async with world.agent(), world.agent("hv2"), world.person() as admin, world.person("stranger") as person:

        async def until(listed: bool) -> float:
            began = time.monotonic()
            for hypervisor in (HV1, HV2):
                while ("vm_info" in await person.commands(hypervisor)) != listed:
                    assert time.monotonic() - began < 20
                assert await may(person, hypervisor, "vm_info") is listed
            return time.monotonic() - began

        granted, withdrawn = [], []
        for _time in range(3):
            await admin.publish(PERMISSIONS, "see", {"jid": STRANGER, "role": "viewer", "scope": EVERYWHERE})
            granted.append(await until(True))
            await admin.plugin["xep_0060"].retract("pubsub.xmpp.test", PERMISSIONS, "see", notify=True)
            withdrawn.append(await until(False))
        # The best of them, since a busy machine proves nothing.
        assert max(min(granted), min(withdrawn)) < 1


async def test_a_grant_on_a_hypervisor_ends_there(world: World) -> None:
    """An operator of one hypervisor is a stranger at the other."""
    async with world.agent(), world.agent("hv2"), world.person() as admin, world.person("stranger") as person:
        await admin.publish(PERMISSIONS, "op", {"jid": STRANGER, "role": "operator", "scope": {"hypervisor": "hv1"}})
        await told(admin, "op", hypervisors=("hv1", "hv2"))
        assert "vm_info" in await person.commands(HV1)
        assert await may(person, HV1, "vm", name="test", state="running")
        assert not await may(person, HV1, "vm", name="test", state="running", definition={"memory": 64})
        assert await person.commands(HV2) == set()
        assert not await may(person, HV2, "vm_info")


async def test_a_role_of_ones_own_is_what_its_item_says(world: World) -> None:
    """A grant of a role that nobody knows gives nothing; when the role comes, changes or goes, so do the rights."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        contact = await contact_of(agent)
        await grant(admin, "nights", role="night-shift")
        assert await person.commands(contact) == set()
        await admin.publish(ROLES, "night-shift", {"permissions": ["lifecycle", "info"]})
        await told(admin, "night-shift")
        assert {"info", "start", "destroy"} <= await person.commands(contact)
        assert "state" not in await person.commands(contact)
        await admin.publish(ROLES, "owner", {"permissions": ["view"]})
        admin.published.clear()
        await admin.plugin["xep_0060"].retract("pubsub.xmpp.test", ROLES, "night-shift", notify=True)
        await told(admin, "night-shift", new=False)
        assert await person.commands(contact) == set()
        assert "define" in agent.authority.roles["owner"]


async def test_a_grant_by_tag_reaches_what_is_tagged(world: World) -> None:
    """A machine by its own tag, all of a hypervisor's machines by the hypervisor's; no longer when the tag is gone."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        contact = await contact_of(agent)
        await grant(admin, "web", role="operator", scope={"tag": "web"})
        assert await person.commands(contact) == set()
        for action, named in (("vm_tags", {"name": "test"}), ("hypervisor_tags", {})):
            await admin.call(HV1, action, {**named, "tags": ["web"]})
            async with asyncio.timeout(45):
                while "pause" not in await person.commands(contact):
                    pass  # libvirt's event is on its way
            await admin.call(HV1, action, {**named, "tags": ["web"], "tags_mode": "remove"})
            async with asyncio.timeout(45):
                while await person.commands(contact):
                    pass


async def test_an_owner_does_not_tag(world: World) -> None:
    """Who tags a machine brings it under other grants; that is for those who may give them."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        contact = await contact_of(agent)
        await grant(admin, "own", role="owner")
        assert {"tag", "untag"}.isdisjoint(await person.commands(contact))
        assert not await may(person, HV1, "vm_tags", name="test", tags=["web"])
        assert not await may(person, HV1, "hypervisor_tags", tags=["web"])
        assert agent.link.machines[TEST_UUID].tags == frozenset()


@pytest.mark.parametrize(
    "payload",
    [
        "{",
        "[]",
        "null",
        {},
        {"jid": STRANGER, "role": "administrator"},
        {"jid": STRANGER, "role": "administrator", "scope": {}},
        {"jid": STRANGER, "role": "administrator", "scope": {"platform": False}},
        {"jid": STRANGER, "role": "administrator", "scope": {"platform": True, "site": "x"}},
        {"jid": STRANGER, "domain": "xmpp.test", "role": "administrator", "scope": EVERYWHERE},
        {"jid": STRANGER, "permissions": ["peer"], "scope": EVERYWHERE},
        {"jid": STRANGER, "permissions": "view", "scope": EVERYWHERE},
        {"jid": STRANGER, "role": "administrator", "scope": EVERYWHERE, "deny": True},
        {"jid": [STRANGER], "role": "administrator", "scope": EVERYWHERE},
        {"jid": STRANGER, "role": "administrator", "scope": EVERYWHERE, "group": "x" * 20_000},
        '{"jid": "stranger@xmpp.test", "role": "viewer", "role": "administrator", "scope": {"platform": true}}',
    ],
    ids=lambda payload: str(payload)[:40],
)
async def test_what_is_no_grant_grants_nothing(world: World, payload: t.Any) -> None:
    """An item that cannot be read as a grant is left out, also where it replaces one; those beside it hold."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        await grant(admin, "odd", role="administrator")
        admin.published.clear()
        await admin.publish(PERMISSIONS, "odd", payload)
        await told(admin, "odd", new=False)
        assert await person.commands(HV1) == set()
        await grant(admin, "good", role="viewer")
        assert set(agent.authority.grants) == {"good"}


async def test_grants_hold_while_the_server_is_away(world: World) -> None:
    """The last copy is on disk: an agent that starts without its nodes knows it, and reads anew when they are back."""
    async with world.agent(), world.person() as admin:
        await grant(admin, "see", role="viewer")
        await grant(admin, "op", role="operator")
    async with world.person() as admin:
        await admin.plugin["xep_0060"].retract("pubsub.xmpp.test", PERMISSIONS, "op", notify=True)
        config = world.config()
        agent = Agent(config)
        assert set(agent.authority.grants) == {"see", "op"}
        agent.database.close()
        async with world.agent() as agent:
            await told(admin, "op", new=False)
            assert set(agent.authority.grants) == {"see"}


async def test_what_a_node_holds_is_never_run(world: World, tmp_path: pathlib.Path) -> None:
    """Code is text, whatever part of an item it is: its name, its payload, or what stands in that."""
    trace = tmp_path / "run"
    code = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    async with world.agent() as agent, world.person() as admin:
        for node in (ROLES, PERMISSIONS):
            for name, payload in (("text", code), (code, {}), ("role", {"permissions": [code], "description": code})):
                await admin.publish(node, name, payload)
            await admin.publish(node, "grant", {"jid": code, "role": code, "scope": {"tag": code}})
        await grant(admin, "good", role="viewer")
        assert set(agent.authority.grants) == {"good"}
        assert not trace.exists()


async def test_only_the_platform_writes_the_nodes(world: World) -> None:
    """Neither a stranger nor a hypervisor publishes a grant, and a stranger does not read them."""
    payload = {"jid": STRANGER, "role": "administrator", "scope": EVERYWHERE}
    for who in ("stranger", "hv1"):
        async with world.person(who) as person:
            for node in (ROLES, PERMISSIONS):
                with pytest.raises(IqError, match="forbidden|not-allowed"):
                    await person.publish(node, "mine", payload)
    async with world.person("stranger") as stranger:
        for node in (ROLES, PERMISSIONS):
            with pytest.raises(IqError, match="forbidden|not-allowed"):
                await stranger.items(node)


async def test_a_message_like_the_services_grants_nothing(world: World) -> None:
    """An event of the pubsub service counts when the service sent it; the server lets nobody say they were it."""
    event = (
        "<message to='hv1@xmpp.test/hv1' {sender}><event xmlns='http://jabber.org/protocol/pubsub#event'>"
        "<items node='/archipel/permissions'><item id='mine'><json xmlns='urn:xmpp:json:0'>"
        '{{"jid": "stranger@xmpp.test", "role": "administrator", "scope": {{"platform": true}}}}'
        "</json></item></items></event></message>"
    )
    async with world.agent() as agent:
        for sender in ("", "from='pubsub.xmpp.test'"):
            async with world.person("stranger") as stranger:
                stranger.send_raw(event.format(sender=sender))
                with contextlib.suppress(IqError, TimeoutError):
                    # The server ends a stream whose sender is another's, or answers the ping after the message.
                    await asyncio.wait_for(stranger.plugin["xep_0199"].ping(HV1), 2)
                assert agent.authority.grants == {}


async def test_a_job_under_way_goes_on_when_the_right_goes(world: World) -> None:
    """What was begun with a right ends, though the right is withdrawn meanwhile."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        await grant(admin, "own", role="owner")
        begun = await person.call(await contact_of(agent), "snapshot", {"snapshot": "before"})
        await withdraw(admin, "own")
        assert (await agent.jobs.ended(begun["job"])).state == "succeeded"
        assert await person.commands(HV1) == set()


# Machines


WEB: t.Final = "8e6ac5a0-37a1-4b29-8a0e-6b3a4d1f2c52"
DANGEROUS: t.Final = (
    ("vm", {"xml": machine("web", WEB)}),
    ("vm", {"definition": {"disks": [{"path": "/etc/shadow"}]}}),
    ("vm", {"definition": {"disks": [{"pool": "default", "vol": "another.qcow2"}]}}),
    ("vm", {"definition": {"filesystems": [{"source": "/", "target": "root"}]}}),
    ("vm", {"definition": {"host_devices": [{"type": "pci", "address": "0000:00:02.0"}]}}),
    ("vm", {"definition": {"boot": {"kernel": "/etc/shadow"}}}),
    ("vm", {"definition": {"networks": [{"bridge": "br0"}]}}),
    ("vm_disk", {"disk": {"target": "vdb", "path": "/etc/shadow"}}),
    ("vm_media", {"path": "/etc/shadow"}),
    ("vm_nic", {"interface": {"network": "default"}}),
    ("vm_clone", {"clone": "twin"}),
    ("vm_migrate", {"destination_uri": "qemu+ssh://elsewhere/system"}),
    ("vm_migrate", {"destination": "hv2", "network_map": {"default": "lan"}}),
    ("vm_migrate", {"destination": "hv2", "storage_map": {"default": "fast"}}),
)


async def defined(admin: Client) -> None:
    await admin.call(HV1, "vm", {"state": "present", "xml": machine("web", WEB)})


async def gone(admin: Client) -> None:
    await admin.call(HV1, "vm", {"uuid": WEB, "state": "absent", "force": True})


async def test_a_right_to_a_machine_is_a_right_to_that_machine(world: World) -> None:
    """Its owner has its contact whole and, at the hypervisor, what names it alone; other machines are not there."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        other = await contact_of(agent)
        await defined(admin)
        contact = await contact_of(agent, WEB)
        await grant(admin, "web", role="owner", scope={"machine": WEB})
        assert {"start", "eject", "migrate"} <= await person.commands(contact)
        assert "clone" not in await person.commands(contact)
        assert await person.commands(other) == set()
        assert {"vm", "vm_info"} <= await person.commands(HV1)
        assert {"hypervisor_info", "network_info", "pool", "vm_clone"}.isdisjoint(await person.commands(HV1))
        assert (await person.call(HV1, "vm", {"name": "web", "state": "running"}))["changed"]
        assert (await person.call(HV1, "vm", {"uuid": WEB.upper(), "definition": {"vcpus": 2}}))["changed"]
        others = ({"name": "test"}, {"uuid": TEST_UUID}, {"name": "new"}, {})
        for named in (*others, {"names": ["web", "test"]}, {"names": ["web", "new"]}, {"names": ["*"]}):
            assert not await may(person, HV1, "vm", state="destroyed", **named), named
        assert agent.link.machines[TEST_UUID].state == "running"
        # A new machine whose name is the UUID of one's own is a new machine.
        assert not await may(person, HV1, "vm", name=WEB, definition={"memory": 64})
        assert [vm["name"] for vm in (await person.call(HV1, "vm_info"))["vms"]] == ["web"]
        assert (await person.call(HV1, "vm_info", {"name": "te*"}))["vms"] == []
        assert await person.says(HV1, "list") == "web: running"
        await gone(admin)


async def test_a_right_to_a_machine_does_not_reach_the_hypervisor(world: World) -> None:
    """What a definition, or an argument, can take of the host needs a right to the host."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        await contact_of(agent)
        await grant(admin, "web", role="administrator", scope={"machine": TEST_UUID})
        for action, arguments in DANGEROUS:
            assert not await may(person, HV1, action, name="test", **arguments), (action, arguments)
        for action in ("disk", "media", "nic", "migrate"):
            arguments = dict(next(given for name, given in DANGEROUS if name == f"vm_{action}"))
            assert not await may(person, await contact_of(agent), action, **arguments), action
        await admin.until(lambda: len(admin.events("refused")) >= 6)
        assert {"subjects": [TEST_UUID], "who": STRANGER}.items() <= admin.events("refused")[0].items()


async def test_a_grant_on_a_site_is_for_its_hypervisors(world: World) -> None:
    """The hypervisors of another site know nothing of it."""
    async with (
        world.agent(site="geneva"),
        world.agent("hv2", site="vaud"),
        world.person() as admin,
        world.person("stranger") as person,
    ):
        await admin.publish(PERMISSIONS, "geneva", {"jid": STRANGER, "role": "viewer", "scope": {"site": "geneva"}})
        await told(admin, "geneva", hypervisors=("hv1", "hv2"))
        assert "vm_info" in await person.commands(HV1)
        assert await person.commands(HV2) == set()


async def test_a_grant_to_a_group_is_for_its_members(world: World) -> None:
    """Whoever comes into a shared group, or leaves it, has or loses its rights at once; other groups do not matter."""
    api = world.server.api
    stranger, hypervisor = {"user": "stranger", "host": "xmpp.test"}, {"user": "hv1", "host": "xmpp.test"}
    names = ("web-people", "db-people", "hypervisors")
    try:
        for name, display in ((names[0], ()), (names[1], ()), (names[2], names[:2])):
            title = name.replace("-", " ").title()
            api("srg_create", group=name, host="xmpp.test", label=title, description="", display="\\n".join(display))
        api("srg_user_add", **hypervisor, group="hypervisors", grouphost="xmpp.test")
        async with world.agent(), world.person() as admin, world.person("stranger") as person:
            await grant(admin, "web", jid=None, group="Web People", role="viewer")
            for action, group, seen in (
                ("srg_user_add", "web-people", True),
                ("srg_user_add", "db-people", True),
                ("srg_user_del", "db-people", True),
                ("srg_user_del", "web-people", False),
            ):
                api(action, **stranger, group=group, grouphost="xmpp.test")
                while ("vm_info" in await person.commands(HV1)) != seen:
                    await asyncio.sleep(0.05)
    finally:
        for name in names:
            api("srg_delete", group=name, host="xmpp.test")


async def test_a_domain_is_everybody_there(world: World) -> None:
    """Every account of that domain, and of no other."""
    async with world.agent(), world.person() as admin, world.person("stranger") as person:
        await grant(admin, "all", jid=None, domain="xmpp.test", role="viewer")
        assert "vm_info" in await person.commands(HV1)
        await grant(admin, "all", jid=None, domain="test", role="viewer", permissions=None)
        assert await person.commands(HV1) == set()


async def test_people_are_told_what_they_may_and_why(world: World) -> None:
    """Everybody who may anything asks for himself, administrators for all; the answer is the authority's own."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        contact = await contact_of(agent)
        assert not await may(person, HV1, "permission_info")
        await grant(admin, "see", role="viewer")
        await grant(admin, "restart", permissions=["reboot"], scope={"machine": TEST_UUID})
        mine = await person.call(HV1, "permission_info", {"name": "test"})
        assert {each["name"] for each in mine["actions"]} == await person.commands(contact)
        assert {"name": "reboot", "permission": "lifecycle", "by": ["grant restart"]} in mine["actions"]
        assert {"name": "state", "permission": "view", "by": ["grant see"]} in mine["actions"]
        assert mine == await admin.call(HV1, "permission_info", {"jid": STRANGER, "uuid": TEST_UUID})
        for jid in ("admin@xmpp.test", "nobody@xmpp.test"):
            with pytest.raises(IqError, match="forbidden"):
                await person.call(HV1, "permission_info", {"jid": jid})
        assert "vm_info" in await person.says(HV1, "what may I do")


async def test_whoever_makes_a_machine_owns_it(world: World) -> None:
    """The maker has an owner's rights to it, also when what let him make it is gone; no definition takes them away."""
    async with world.agent() as agent, world.person() as admin, world.person("stranger") as person:
        other = await contact_of(agent)
        await grant(admin, "make", permissions=["define"], scope={"hypervisor": "hv1"})
        await person.call(HV1, "vm", {"name": "mine", "uuid": WEB, "definition": {"memory": 64}})
        await withdraw(admin, "make")
        contact = await contact_of(agent, WEB)
        async with asyncio.timeout(45):
            while "migrate" not in await person.commands(contact):
                pass  # libvirt's event is on its way
        assert (await person.call(contact, "start"))["changed"]
        why = await person.call(HV1, "permission_info", {"name": "mine"})
        assert {"name": "start", "permission": "lifecycle", "by": ["owner of the machine"]} in why["actions"]
        assert await person.commands(other) == set()
        assert {"network", "pool", "vm_clone"}.isdisjoint(await person.commands(HV1))
        await admin.call(HV1, "vm_tags", {"name": "mine", "tags": ["web"], "tags_mode": "set"})
        stolen = machine("mine", WEB).replace(
            "<memory", f"<metadata><t:tags xmlns:t='{xmltree.TAGS_NAMESPACE}' owner='x@y'/></metadata><memory"
        )
        await admin.call(HV1, "vm", {"state": "present", "xml": stolen})
        assert agent.link.machines[WEB].owner == STRANGER
        assert (await person.call(HV1, "vm", {"name": "mine", "state": "absent", "force": True}))["changed"]
        async with asyncio.timeout(45):
            while await person.commands(HV1):
                pass
