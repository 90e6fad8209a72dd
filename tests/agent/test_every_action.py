# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each declared action is exercised over every door; one that is declared and not in the table here is a failure."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from archipel.actions import Action, actions_of
from archipel.hypervisor import ACTIONS
from archipel_agent.daemon import Agent
from archipel_agent.doors.chat import match
from archipel_agent.features.grants import Grants
from archipel_agent.features.index import Index
from archipel_agent.features.jobs import Jobs
from archipel_agent.features.lodgers import Lodgers
from archipel_agent.features.maintenance import Maintenance
from archipel_agent.features.migration import Arrivals
from archipel_agent.features.parking import Parking
from archipel_agent.features.peers import Peers
from archipel_agent.features.rehoming import Rehoming
from archipel_agent.features.rooms import Rooms
from archipel_agent.features.schedule import Schedules
from archipel_agent.features.succession import Succession
from archipel_agent.machine_entity import ACTIONS as MACHINE_ACTIONS
from client import COMMANDS, Client, error_of
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from world import TEST_UUID, World, contact_of

HV1 = "hv1@xmpp.test/hv1"
DATA = "jabber:x:data"

# What is asked, in an order in which each has something to do, and what comes of it: a key of the result, or the code
# of the failure that the test driver, which cannot migrate, leads to.
MACHINE: t.Final[dict[str, tuple[dict[str, t.Any], str]]] = {
    "state": ({}, "state"),
    "info": ({"addresses": "none"}, "vm"),
    "xml": ({"inactive": True}, "xml"),
    "screenshot": ({"max_size": 100}, "screenshot"),
    "sendkey": ({"keys": ["ctrl+c", "enter"]}, "changed"),
    "console": ({}, "console"),
    "tag": ({"tags": ["web", "geneva"]}, "vms"),
    "untag": ({"tags": ["geneva"]}, "vms"),
    "pause": ({}, "state"),
    "resume": ({"wait_timeout": 20}, "state"),
    "reset": ({}, "state"),
    "destroy": ({"wait": True}, "state"),
    "start": ({}, "state"),
    "reboot": ({}, "state"),
    "save": ({}, "state"),
    "disk": ({"disk": {"target": "vdc", "path": "/srv/data.qcow2"}}, "job"),
    "media": ({"path": "/srv/installer.iso"}, "conflict"),
    "eject": ({}, "restart_required"),
    "nic": ({"interface": {"network": "default"}}, "nic"),
    "shutdown": ({"wait_timeout": 20}, "state"),
    "snapshot": ({"snapshot": "before", "description": "All is well"}, "job"),
    "revert": ({"snapshot": "before", "then": "running"}, "job"),
    "snapshots": ({}, "snapshots"),
    "clone": ({"clone": "twin", "check": True}, "job"),
    "forget": ({"snapshot": "before", "children": "remove"}, "job"),
    "migrate": ({"destination": "hv1"}, "job"),
    "join": ({"room": "nosuch"}, "not_found"),
    "leave": ({"room": "nosuch"}, "room"),
    "rooms": ({}, "changed"),
}
NEEDS: t.Final = {
    "xml": "<domain type='kvm'><name>new</name><os><type>hvm</type></os></domain>",
    "live": True,
    "eject": False,
    "copied": [],
    "source": {"name": "hv2", "uuid": "", "cpu": "", "libvirt": 0, "runs": 0},
}
VOLUME: t.Final = {"target": "vda", "pool": "nosuch", "name": "a", "path": "/a", "capacity": 1, "format": "raw"}
HYPERVISOR: t.Final[dict[str, tuple[dict[str, t.Any], str]]] = {
    "hypervisor_info": ({}, "hypervisor"),
    "vm_info": ({"names": ["te*", "none"], "limit": 5}, "vms"),
    "vm": ({"name": "test", "state": "running", "definition": {}}, "changed"),
    "vm_bulk": ({"machines": ["te*"], "state": "running"}, "job"),
    "vm_import": ({"name": "*", "check": True}, "vms"),
    "vm_screenshot": ({"name": "test"}, "screenshot"),
    "vm_sendkey": ({"name": "test", "text": "x\n"}, "changed"),
    "vm_console_info": ({"name": "test"}, "console"),
    "vm_tags": ({"names": ["test"], "tags": ["db"], "tags_mode": "set"}, "vms"),
    "hypervisor_tags": ({"tags": ["ssd"]}, "tags"),
    "vm_clone": ({"name": "test", "clone": "twin", "linked": False}, "job"),
    "vm_snapshot": ({"name": "test", "snapshot": "nightly-%d", "among": "nightly-*", "keep": 1}, "job"),
    "vm_snapshot_info": ({"name": "te*", "snapshot": "*"}, "snapshots"),
    "vm_disk": ({"name": "test", "disk": {"target": "vdd", "path": "/srv/more.qcow2"}}, "job"),
    "vm_media": ({"name": "test", "state": "ejected"}, "restart_required"),
    "vm_nic": ({"name": "test", "state": "absent", "interface": {"network": "other"}}, "restart_required"),
    "vm_migrate": ({"name": "test", "destination": "hv1"}, "job"),
    "network": ({"name": "every", "state": "active", "definition": {"bridge": "virbr77"}}, "network"),
    "network_info": ({"name": "ev*"}, "networks"),
    "nwfilter": ({"name": "every", "definition": {"chain": "root"}}, "unsupported"),
    "nwfilter_info": ({}, "unsupported"),
    "pool": ({"name": "every", "state": "active", "definition": {"target": "/srv/every"}}, "pool"),
    "pool_info": ({"name": "ev*"}, "pools"),
    "volume": ({"pool": "every", "name": "a", "definition": {"size": "512MiB"}}, "job"),
    "volume_info": ({"pool": "every"}, "changed"),
    "secret": ({"usage_type": "ceph", "usage": "client.every", "value": "a key"}, "unsupported"),
    "job": ({"id": "nosuch"}, "not_found"),
    "abort": ({"id": "nosuch"}, "not_found"),
    "permission_info": ({"name": "test"}, "jid"),
    "destination": ({"name": "test"}, "uri"),
    "handover": ({"uuid": TEST_UUID}, "conflict"),
    "inspect": ({"needs": NEEDS}, "changed"),
    "receive": ({"volumes": [VOLUME, VOLUME]}, "not_found"),
    "takeover": ({"uuid": TEST_UUID}, "indexed"),
    "vm_park": ({"name": "test", "check": True}, "conflict"),
    "vm_park_info": ({"name": "nosuch"}, "changed"),
    "hypervisor_maintenance": ({"state": "absent"}, "job"),
    "capacity": ({}, "memory"),
    "send_home": ({"uuid": TEST_UUID}, "not_found"),
    "rehome": ({"uuid": TEST_UUID, "source": "hv2", "check": True}, "not_found"),
    "schedule": ({"name": "every", "action": "vm_info", "cron": "0 0 29 2 *"}, "schedule"),
    "schedule_info": ({"name": "every"}, "schedules"),
    "expect": ({"uuid": TEST_UUID, "name": "test", "disks": ["/srv/test.qcow2"]}, "conflict"),
    "settle": ({"uuid": TEST_UUID, "moved": True}, "not_found"),
    "whereabouts": ({"uuid": TEST_UUID}, "where"),
    "inherit": ({"uuid": TEST_UUID, "token": "every", "schedules": []}, "taken"),
    "join": ({"room": "nosuch"}, "not_found"),
    "leave": ({"room": "nosuch"}, "room"),
    "rooms": ({}, "changed"),
}
BETWEEN_HYPERVISORS: t.Final = {
    *("capacity", "destination", "expect", "handover", "inherit", "inspect", "receive", "send_home", "settle"),
    *("takeover", "whereabouts"),
}


def declared(kind: str) -> dict[str, Action]:
    """All that is declared for contacts of this kind."""
    if kind == "machine":
        return dict(MACHINE_ACTIONS)
    classes = (Arrivals, Grants, Index, Jobs, Lodgers, Maintenance, Parking, Peers, Rehoming, Rooms, Schedules)
    features = (actions_of(feature, "hypervisor") for feature in (*classes, Succession))
    return {name: a for actions in (ACTIONS, *features) for name, a in actions.items()}


@pytest.mark.parametrize(("kind", "table"), [("machine", MACHINE), ("hypervisor", HYPERVISOR)])
def test_the_tables_are_complete(kind: str, table: t.Mapping[str, t.Any]) -> None:
    """No action is declared without being exercised below."""
    assert set(table) == set(declared(kind))


async def outcome(asked: t.Awaitable[dict[str, t.Any]]) -> t.Collection[str]:
    try:
        return (await asked).keys()
    except IqError as failure:
        return {error_of(failure)["code"]}


async def reset(agent: Agent, person: Client) -> None:
    if job := agent.jobs.changing(TEST_UUID):
        await agent.jobs.ended(job.id)
    await person.call(HV1, "vm", {"name": "test", "state": "running"})


@pytest.mark.parametrize("door", ["program", "form"])
async def test_every_action_as_a_command(world: World, door: str) -> None:
    """Each action answers a program's data and a person's form, and comes to the same."""
    ask = Client.call if door == "program" else as_form
    async with world.agent() as agent, world.person() as admin, world.person("hv2", resource="hv2") as peer:
        jid = await contact_of(agent)
        for contact, table in ((jid, MACHINE), (HV1, HYPERVISOR)):
            await reset(agent, admin)
            for name, (arguments, expected) in table.items():
                who = peer if name in BETWEEN_HYPERVISORS else admin
                assert expected in await outcome(ask(who, contact, name, arguments)), name
                if job := agent.jobs.changing(TEST_UUID):
                    # Meanwhile nothing else may change the machine.
                    await agent.jobs.ended(job.id)


async def as_form(person: Client, jid: str, node: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Fill the form of an action in, the values as text, and return what the result's form tells."""
    answer = await person.command(jid, node)
    whole = {field.get("var") for field in answer.iter(f"{{{DATA}}}field")}
    definitions = {name: value for name, value in arguments.items() if isinstance(value, dict) and name not in whole}
    keys = {f"{name}.{key}": item for name, value in definitions.items() for key, item in value.items()}
    arguments = {**{name: value for name, value in arguments.items() if name not in definitions}, **keys}
    left = set(arguments)
    while answer.get("status") == "executing":
        offered = {field.get("var") for field in answer.iter(f"{{{DATA}}}field")}
        left -= offered
        iq = person.make_iq_set(ito=jid)  # type: ignore[arg-type]
        # Without an action it is the step that the form names as the usual one.
        attributes = {"node": node, "sessionid": answer.get("sessionid", "")}
        command = ET.SubElement(iq.xml, f"{{{COMMANDS}}}command", attributes)
        form = ET.SubElement(command, f"{{{DATA}}}x", {"type": "submit"})
        for name in offered & set(arguments):
            value = arguments[name]
            field = ET.SubElement(form, f"{{{DATA}}}field", {"var": name})
            for line in value if isinstance(value, list) else [value]:
                ET.SubElement(field, f"{{{DATA}}}value").text = written(line)
        answer = (await iq.send()).xml.find(f"{{{COMMANDS}}}command")
    assert answer.get("status") == "completed"
    assert not left
    assert answer.find(f"{{{COMMANDS}}}note").text
    form = answer.find(f"{{{DATA}}}x")
    fields = {field.get("var", "").split(".")[0]: True for field in form.iter(f"{{{DATA}}}field")}
    told = form.find(f"{{{DATA}}}reported") is not None
    tables = dict.fromkeys(("vms", "snapshots", "networks", "pools", "schedules"), True) if told else {}
    return {**fields, **tables, "changed": True}


def written(value: t.Any) -> str:
    """As a person writes it into a form."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return json.dumps(value) if isinstance(value, dict) else str(value)


async def test_every_phrase_in_chat(world: World) -> None:
    """Each phrase of each action is understood as that action, and answered."""
    async with world.agent() as agent, world.person() as admin:
        jid = await contact_of(agent)
        for contact, table, kind in ((jid, MACHINE, "machine"), (HV1, HYPERVISOR, "hypervisor")):
            await reset(agent, admin)
            actions = declared(kind)
            for name in table:
                for phrase in actions[name].phrases:
                    text = re.sub(r"{(\w+)}", lambda word: "all" if word[1] == "copy_storage" else "hv1", phrase.text)
                    meant = match(actions, text)
                    assert meant is not None
                    assert meant.action.name == name
                    if meant.action.asks:
                        assert "Say yes" in await admin.says(contact, text)
                        text = "yes"
                    before = len(admin.heard)
                    answer = await admin.says(contact, text)
                    if meant.action.long:
                        # The end of the job is told too.
                        await admin.until(lambda before=before: len(admin.heard) == before + 2)
                    assert "do not understand" not in answer
                    assert "agent's log" not in answer
