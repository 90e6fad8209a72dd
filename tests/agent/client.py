# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other side of a conversation: a person or a program with a plain slixmpp client and slixmpp's own plugins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import typing as t

import slixmpp
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

JSON = "{urn:xmpp:json:0}json"
COMMANDS = "http://jabber.org/protocol/commands"
C = t.TypeVar("C", bound="Client")
PLUGINS = ("xep_0004", "xep_0030", "xep_0050", "xep_0060", "xep_0077", "xep_0122", "xep_0199")


class Client(slixmpp.ClientXMPP):
    """``heard`` are messages, ``seen`` presences, in the order in which they came."""

    def __init__(self, jid: str, password: str, ca_file: str) -> None:
        super().__init__(jid, password, ssl_context=ssl.create_default_context(cafile=ca_file))
        self.enable_direct_tls = False
        for plugin in PLUGINS:
            self.register_plugin(plugin)
        self.heard: list[tuple[str, str]] = []
        self.seen: list[tuple[str, str, str]] = []
        self.published: list[tuple[str, str, t.Any]] = []
        self._news = asyncio.Event()
        self.add_event_handler("message", self._message)
        self.add_event_handler("presence", self._presence)
        self.add_event_handler("pubsub_publish", self._publish)

    def _message(self, message: t.Any) -> None:
        # What the server kept from an earlier test is not heard.
        if message["type"] == "chat" and message.xml.find("{urn:xmpp:delay}delay") is None:
            self.heard.append((str(message["from"]), message["body"]))
            self._news.set()

    def _presence(self, presence: t.Any) -> None:
        self.seen.append((str(presence["from"]), presence["type"], presence["status"]))
        self._news.set()

    def _publish(self, message: t.Any) -> None:
        items = message["pubsub_event"]["items"].xml
        for item in items:
            payload = item.find(JSON)
            value = json.loads(payload.text) if payload is not None else None
            self.published.append((items.get("node"), item.get("id"), value))
        self._news.set()

    def events(self, kind: str) -> list[dict[str, t.Any]]:
        """The events of that type that have been published since this person came."""
        return [e for node, _id, e in self.published if node == "/archipel/events" and e and e["type"] == kind]

    async def until(self, found: t.Callable[[], t.Any], seconds: float = 45) -> t.Any:
        """What ``found`` returns, as soon as it is true; asked again at whatever arrives."""
        async with asyncio.timeout(seconds):
            while not (result := found()):
                self._news.clear()
                await self._news.wait()
            return result

    async def says(self, jid: str, text: str) -> str:
        """Send a chat message and return the answer."""
        before = len(self.heard)
        self.send_message(slixmpp.JID(jid), text, mtype="chat")

        def answer() -> list[str]:
            return [body for sender, body in self.heard[before:] if sender.split("/")[0] == jid.split("/")[0]]

        return t.cast(str, (await self.until(answer))[0])

    async def saw(self, jid: str, show: str, status: str = "", *, after: int = 0) -> tuple[str, str, str]:
        """The presence of that contact, as soon as it has been seen; ``after`` skips those seen before."""

        def found() -> t.Any:
            return [p for p in self.seen[after:] if p[0].startswith(jid) and p[1] == show and p[2].startswith(status)]

        return t.cast("tuple[str, str, str]", (await self.until(found))[-1])

    async def call(self, jid: str, action: str, arguments: t.Any = None, *, seconds: float = 45) -> dict[str, t.Any]:
        """An action as programs call it; IqError if it fails."""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        answer = await self.command(jid, action, json_text=text, seconds=seconds)
        return t.cast("dict[str, t.Any]", json.loads(answer.find(JSON).text))

    async def command(self, jid: str, node: str, *, json_text: str | None = None, seconds: float = 45) -> ET.Element:
        """The ``<command>`` of the answer."""
        iq = self.make_iq_set(ito=slixmpp.JID(jid))
        command = ET.Element(f"{{{COMMANDS}}}command", {"node": node, "action": "execute"})
        if json_text is not None:
            ET.SubElement(command, JSON).text = json_text
        iq.append(command)
        answer = await iq.send(timeout=seconds)
        return answer.xml.find(f"{{{COMMANDS}}}command")

    async def commands(self, jid: str) -> set[str]:
        """The nodes of the commands that this contact lists for us."""
        answer = await self.plugin["xep_0050"].get_commands(slixmpp.JID(jid))
        return {item[1] for item in answer["disco_items"]["items"]}

    async def create_node(self, node: str, affiliations: t.Mapping[str, str]) -> None:
        service = f"pubsub.{self.boundjid.host}"
        form = self.plugin["xep_0004"].make_form("submit")
        form.add_field("FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#node_config")
        settings = {"access_model": "whitelist", "persist_items": "1", "send_last_published_item": "never"}
        for name, value in {**settings, "max_items": "10000"}.items():
            form.add_field(f"pubsub#{name}", ftype="text-single", value=value)
        await self.plugin["xep_0060"].create_node(service, node, config=form)
        await self.plugin["xep_0060"].modify_affiliations(service, node, list(affiliations.items()))
        await self.plugin["xep_0060"].subscribe(service, node)

    async def publish(self, node: str, item: str, payload: t.Any) -> None:
        container = ET.Element(JSON)
        container.text = payload if isinstance(payload, str) else json.dumps(payload)
        await self.plugin["xep_0060"].publish(f"pubsub.{self.boundjid.host}", node, id=item, payload=container)

    async def empty(self, node: str) -> None:
        """Earlier tests' agents have left items, which only they or the node's owner can change."""
        await self.plugin["xep_0060"].purge(f"pubsub.{self.boundjid.host}", node)

    async def items(self, node: str) -> dict[str, t.Any]:
        """The items of a node: id to payload."""
        answer = await self.plugin["xep_0060"].get_items(f"pubsub.{self.boundjid.host}", node)
        return {item["id"]: json.loads(item.xml.find(JSON).text) for item in answer["pubsub"]["items"]}


def error_of(failure: IqError) -> dict[str, t.Any]:
    """The JSON container of a failed action."""
    return t.cast("dict[str, t.Any]", json.loads(failure.iq["error"].xml.find(JSON).text))


@contextlib.asynccontextmanager
async def connected(
    server: t.Any, name: str, *, resource: str = "test", password: str = "", kind: type[C] = Client
) -> t.AsyncIterator[C]:
    """A client that is online, and gone afterwards."""
    client = kind(f"{name}@{server.domain}/{resource}", password or server.password, str(server.ca_file))
    started = client.wait_until("session_start", 45)
    client.connect(server.host, server.port)
    await started
    client.send_presence()
    try:
        yield client
    finally:
        await client.disconnect(1)
