# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people have of a machine they have where it runs: rights, a schedule, a chat room, and to be told of a job."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import secrets
import time
import typing as t
import xml.etree.ElementTree as ET

import pytest

from lab.controller import client, part
from lab.environment import environment
from lab.plan import XMPP_DOMAIN, Lab
from lab.story import Story
from lab.talk import Person

pytestmark = pytest.mark.timeout(600)

NAME: t.Final = "follows1"
OCTET: t.Final = 131
HV1, HV2 = (f"{name}@{XMPP_DOMAIN}/{name}" for name in ("hv1", "hv2"))
# By a grant for the machine, by one for its tag, and because he made it.
PEOPLE: t.Final = ("eve", "tess", "otto")
PASSWORD: t.Final = "only-of-this-test"
DISCO_ITEMS: t.Final = "http://jabber.org/protocol/disco#items"
COMMANDS: t.Final = "http://jabber.org/protocol/commands"
ROOM: t.Final = f"r{secrets.token_hex(4)}@conference.{XMPP_DOMAIN}"
SECONDS: t.Final = 60


class Platform:
    """The administrator's and other people's requests, over a stream each."""

    def __init__(self, lab: Lab) -> None:
        xmpp = part(lab, "plugin_utils.xmpp")
        self.admin = client(lab, "follows")
        known = self.admin.account
        self.people = {
            name: xmpp.Client(xmpp.Account(f"{name}@{XMPP_DOMAIN}/t", PASSWORD, known.hosts, known.port, known.ca_file))
            for name in PEOPLE
        }
        self._have_grant = part(lab, "plugin_utils.rights").have_grant

    def grant(self, name: str, **what: t.Any) -> None:
        """Withdrawn, if nothing is said."""
        keys = dict.fromkeys(("jid", "group", "domain", "role", "permissions", "scope"))
        state = "present" if what else "absent"
        self._have_grant(self.admin, {"name": f"follows-{name}", "state": state, **keys, **what}, check=False)

    def may(self, contact: str) -> dict[str, set[str]]:
        """The commands that the machine shows to each of them."""
        query = ET.Element(f"{{{DISCO_ITEMS}}}query", {"node": COMMANDS})
        answers = {name: each.request("get", contact, query) for name, each in self.people.items()}
        return {
            name: {item.get("node", "") for item in answer.iter(f"{{{DISCO_ITEMS}}}item")}
            for name, answer in answers.items()
        }

    def plan(self, hypervisor: str, *, in_seconds: int, **further: t.Any) -> None:
        """As eve; what she says no more of a schedule stays as it is."""
        at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=in_seconds)
        wanted = {"name": "once", "machine": NAME, "at": at.isoformat(timespec="seconds"), **further}
        self.people["eve"].execute(hypervisor, "schedule", wanted)

    def planned(self, hypervisor: str, contact: str) -> list[dict[str, t.Any]]:
        told = self.admin.execute(hypervisor, "schedule_info", {"name": "once"})["schedules"]
        return [each for each in told if contact.startswith(each["machine"])]

    def close(self) -> None:
        for each in (self.admin, *self.people.values()):
            each.close()


class Listener(Person):
    """Keeps what is said to them, who is in their room, and what is published."""

    def __init__(self, settings: t.Mapping[str, str]) -> None:
        super().__init__(settings)
        self.register_plugin("xep_0045")
        self.heard: list[tuple[str, str]] = []
        self.occupants: set[str] = set()
        self.events: list[dict[str, t.Any]] = []
        self._news = asyncio.Event()
        self.add_event_handler("message", self._message)
        self.add_event_handler("groupchat_presence", self._presence)
        self.add_event_handler("pubsub_publish", self._publish)

    def _message(self, message: t.Any) -> None:
        self.heard.append((str(message["from"]), message["body"]))
        self._news.set()

    def _presence(self, presence: t.Any) -> None:
        if presence["from"].bare == ROOM:
            here = presence["type"] != "unavailable"
            (self.occupants.add if here else self.occupants.discard)(presence["from"].resource)
            self._news.set()

    def _publish(self, message: t.Any) -> None:
        self.events.append(json.loads(message["pubsub_event"]["items"]["item"]["payload"].text))
        self._news.set()

    async def until(self, found: t.Callable[[], t.Any], seconds: float = SECONDS) -> t.Any:
        async with asyncio.timeout(seconds):
            while not (result := found()):
                self._news.clear()
                await self._news.wait()
            return result

    async def asks_in_the_room(self, text: str, wanted: str) -> bool:
        """Until the machine, which may be on its way, answers so."""
        for _attempt in range(SECONDS // 3):
            self.send_message(ROOM, f"{NAME}: {text}", mtype="groupchat")
            with contextlib.suppress(TimeoutError):
                return bool(await self.until(lambda: [said for _who, said in self.heard if wanted in said], seconds=3))
        return False


@pytest.fixture
def people(platform: Story, lab: Lab) -> t.Iterator[Platform]:
    for name in PEOPLE:
        platform.on("xmpp1", f"ejabberdctl register {name} {XMPP_DOMAIN} {PASSWORD}")
    made = Platform(lab)
    yield made
    for hypervisor in (HV1, HV2):
        made.admin.execute(hypervisor, "vm", {"name": NAME, "state": "absent", "force": True})
    for grant in ("makes", "plans", "eve", "tess"):
        made.grant(grant)
    made.close()
    for name in PEOPLE:
        platform.on("xmpp1", f"ejabberdctl unregister {name} {XMPP_DOMAIN}")


def test_what_people_have_of_a_machine_moves_with_it(
    lab: Lab, people: Platform, tiny: t.Callable[[str, int], dict[str, t.Any]]
) -> None:
    """Live, between real hypervisors, asked for in a chat."""
    definition = tiny(NAME, OCTET)
    people.grant("makes", jid=f"otto@{XMPP_DOMAIN}", role="administrator", scope={"hypervisor": "hv1"})
    while "vm" not in people.may(HV1)["otto"]:
        # Within a second; nobody tells when.
        time.sleep(0.1)
    people.people["otto"].run(HV1, "vm", {"name": definition.pop("name"), "state": "running", "definition": definition})
    people.grant("makes")
    people.admin.execute(HV1, "vm_tags", {"names": [NAME], "tags": ["shop"]})
    (machine,) = people.admin.execute(HV1, "vm_info", {"name": NAME})["vms"]
    contact = f"{machine['uuid']}@{XMPP_DOMAIN}"
    people.grant("eve", jid=f"eve@{XMPP_DOMAIN}", role="operator", scope={"machine": machine["uuid"]})
    people.grant("plans", jid=f"eve@{XMPP_DOMAIN}", permissions=["schedule"], scope={"platform": True})
    people.grant("tess", jid=f"tess@{XMPP_DOMAIN}", role="viewer", scope={"tag": "shop"})
    asyncio.run(moves(lab, people, contact))


async def moves(lab: Lab, people: Platform, contact: str) -> None:
    settings = environment(lab)
    as_eve = {**settings, "ARCHIPEL_JID": f"eve@{XMPP_DOMAIN}", "ARCHIPEL_PASSWORD": PASSWORD}
    async with Listener(settings) as admin, Listener(as_eve) as eve:
        await admin.plugin["xep_0060"].subscribe(f"pubsub.{XMPP_DOMAIN}", "/archipel/events")
        await eve.plugin["xep_0045"].join_muc_wait(ROOM, "eve")
        eve.plugin["xep_0045"].invite(ROOM, contact)
        await eve.until(lambda: NAME in eve.occupants)
        could = await asyncio.to_thread(people.may, f"{contact}/hv1")
        assert set() < could["tess"] < could["eve"] < could["otto"]
        await asyncio.to_thread(people.plan, HV1, action="pause", in_seconds=3600)

        admin.send_message(contact, "migrate to hv2", mtype="chat")
        end = await admin.until(lambda: [said for _who, said in admin.heard if "hv2" in said])
        assert "I have moved from hv1 to hv2" in end[0]

        assert await eve.asks_in_the_room("how are you", "running on hv2")
        assert await asyncio.to_thread(people.may, f"{contact}/hv2") == could
        async with asyncio.timeout(SECONDS):
            while not await asyncio.to_thread(people.planned, HV2, contact):
                # Hypervisors settle it between themselves, and tell nobody.
                await asyncio.sleep(0.2)
        await asyncio.to_thread(people.plan, HV2, in_seconds=5)
        (run,) = await admin.until(lambda: [event for event in admin.events if event["type"] == "schedule"])
        told = run["schedule"]
        assert (run["hypervisor"], told["author"], told["outcome"]) == ("hv2", f"eve@{XMPP_DOMAIN}", "succeeded")
        assert await asyncio.to_thread(people.planned, HV1, contact) == []
        assert await eve.asks_in_the_room("resume", "I am running again.")
