# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to a contact of the lab as a person does with a Jabber client: chat, or a command and its form.

``python -m lab.talk web1 how are you`` and ``python -m lab.talk web1 --command state``, as the lab's administrator.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import ssl
import sys
import typing as t

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout

from .environment import environment
from .plan import Lab
from .steps import LabError

_PATIENCE: t.Final = 120.0


class Person(slixmpp.ClientXMPP):
    """A client that knows standard XMPP and nothing of Archipel but where its index is."""

    def __init__(self, settings: t.Mapping[str, str]) -> None:
        trust = ssl.create_default_context(cafile=settings["ARCHIPEL_CA_FILE"])
        super().__init__(f"{settings['ARCHIPEL_JID']}/person", settings["ARCHIPEL_PASSWORD"], ssl_context=trust)
        self.enable_direct_tls = False
        for plugin in ("xep_0004", "xep_0030", "xep_0050", "xep_0060"):
            self.register_plugin(plugin)
        self._host = settings["ARCHIPEL_HOST"].split(",")[0]

    async def __aenter__(self) -> Person:
        started = self.wait_until("session_start", _PATIENCE)
        self.connect(self._host, 5222)
        try:
            await started
        except TimeoutError:
            raise LabError(f"{self._host} did not let {self.boundjid.bare} in within {_PATIENCE:.0f} s.") from None
        self.send_presence()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.disconnect(1)

    async def contact(self, name: str) -> slixmpp.JID:
        """The full JID of a machine or hypervisor of that name, by the platform's index; a JID is left as it is."""
        if "@" in name:
            return slixmpp.JID(name)
        try:
            answer = await self.plugin["xep_0060"].get_items(f"pubsub.{self.boundjid.host}", "/archipel/machines")
        except IqError as failure:
            raise LabError(f"The platform's index cannot be read: {failure.condition}.") from None
        for item in answer["pubsub"]["items"]:
            entry = json.loads(item["payload"].text)
            if entry["name"] == name and entry["kind"] == "hypervisor":
                return slixmpp.JID(f"{name}@{self.boundjid.host}/{name}")
            if entry["name"] == name:
                return slixmpp.JID(f"{entry['uuid']}@{self.boundjid.host}/{entry['hypervisor']}")
        raise LabError(f"The platform knows no contact {name!r}.")

    async def await_online(self, contact: slixmpp.JID, seconds: float = _PATIENCE) -> None:
        """Return when the contact is there; LabError when it does not come in time."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await self.plugin["xep_0030"].get_info(contact, timeout=2)
                    return
                except (IqError, IqTimeout):
                    await asyncio.sleep(0.2)

    async def say(self, contact: slixmpp.JID, text: str) -> tuple[slixmpp.JID, str]:
        """Who answers to a chat message, and what."""
        answers: asyncio.Queue[t.Any] = asyncio.Queue()
        self.add_event_handler("message", answers.put)
        self.send_message(slixmpp.JID(contact.bare), text, mtype="chat")
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    message = await answers.get()
                    if message["from"].bare == contact.bare and message["body"]:
                        return message["from"], message["body"]
        except TimeoutError:
            raise LabError(f"{contact.bare} did not answer within {_PATIENCE:.0f} s.") from None
        finally:
            self.del_event_handler("message", answers.put)

    async def command(self, contact: slixmpp.JID, node: str) -> dict[str, str]:
        """The result form of a command, label or name to value. A form that it asks for is sent as it came."""
        commands = self.plugin["xep_0050"]
        try:
            answer = await commands.send_command(contact, node, timeout=_PATIENCE)
            if answer["command"]["status"] == "executing":
                form, session = answer["command"]["form"], answer["command"]["sessionid"]
                form["type"] = "submit"
                answer = await commands.send_command(
                    contact, node, action="complete", payload=form, sessionid=session, timeout=_PATIENCE
                )
        except IqError as failure:
            text = failure.iq["error"]["text"] or failure.condition
            raise LabError(f"{contact} answers to {node}: {text}") from None
        fields = answer["command"]["form"].get_fields()
        return {field["label"] or name: str(field.get_value()) for name, field in fields.items() if name != "FORM_TYPE"}


def contact(lab: Lab, name: str) -> str:
    """The full JID of a contact, whether it is online or not."""

    async def look() -> str:
        async with Person(environment(lab)) as person:
            return str(await person.contact(name))

    return asyncio.run(look())


def say(lab: Lab, name: str, text: str) -> tuple[str, str]:
    """Say something to a contact, once it is online: who answered (full JID), and what."""

    async def conversation() -> tuple[str, str]:
        async with Person(environment(lab)) as person:
            contact = await person.contact(name)
            await person.await_online(contact)
            who, answer = await person.say(contact, text)
            return str(who), answer

    return asyncio.run(conversation())


def command(lab: Lab, name: str, node: str) -> dict[str, str]:
    """Run a command of a contact, once it is online, as a person does: its result form."""

    async def conversation() -> dict[str, str]:
        async with Person(environment(lab)) as person:
            contact = await person.contact(name)
            await person.await_online(contact)
            return await person.command(contact, node)

    return asyncio.run(conversation())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.talk", description="Talk to a contact of the lab.")
    parser.add_argument("contact", help="name of a machine or hypervisor, or a JID")
    parser.add_argument("words", nargs="+", help="what to say; with --command the name of an action")
    parser.add_argument("--command", action="store_true", help="run an ad-hoc command instead of saying something")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    lab, text = Lab.from_environment(), " ".join(options.words)
    try:
        if options.command:
            for label, value in command(lab, options.contact, text).items():
                print(f"{label}: {value}")
        else:
            print(say(lab, options.contact, text)[1])
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
