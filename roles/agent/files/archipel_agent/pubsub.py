# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing by the hypervisor's session: what is to be published waits with its owner until the server takes it."""

from __future__ import annotations

import asyncio
import logging
import typing as t

from archipel.errors import ArchipelError
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .session import Session
from .wire import JSON, json_element, read_json

log = logging.getLogger(__name__)

PUBSUB: t.Final = "http://jabber.org/protocol/pubsub"
EVENT: t.Final = f"{PUBSUB}#event"
RSM: t.Final = "http://jabber.org/protocol/rsm"
# Changes of a machine come in bursts; what gathers in this time goes out as one.
GATHER = 0.05
PAUSE_AFTER_REFUSAL = 30.0
TIMEOUT = 20


class Publisher(t.Protocol):
    async def flush(self) -> None:
        """Publish all that waits; an IqError or IqTimeout leaves the rest for later."""


class PubSub:
    """Flushes publishers one after the other, whenever one has asked for it and the session is online."""

    def __init__(self, domain: str, session: Session) -> None:
        self.service = f"pubsub.{domain}"
        self._session = session
        self._woken: dict[Publisher, asyncio.Event] = {}

    def wake(self, publisher: Publisher) -> None:
        self._woken.setdefault(publisher, asyncio.Event()).set()

    async def serve(self, publisher: Publisher, *, gather: float = GATHER) -> None:
        """Flush one publisher for ever, that many seconds after it has asked for it."""
        woken = self._woken.setdefault(publisher, asyncio.Event())
        said = ""
        while True:
            await woken.wait()
            await self._session.online.wait()
            await asyncio.sleep(gather)
            woken.clear()
            try:
                await publisher.flush()
                said = ""
            except (IqError, IqTimeout) as error:
                woken.set()
                why = f"{self.service} refuses what is asked of its nodes: {error.format()}"
                if why != said and self._session.online.is_set():
                    log.warning("%s. The playbook site makes them, and lets hypervisors read and publish.", why)
                    said = why
                await asyncio.sleep(PAUSE_AFTER_REFUSAL if isinstance(error, IqError) else 1)

    async def publish(self, node: str, item: str, payload: t.Any) -> None:
        element = ET.Element(f"{{{PUBSUB}}}publish", {"node": node})
        ET.SubElement(element, f"{{{PUBSUB}}}item", {"id": item}).append(json_element(payload))
        await self._send("set", element)

    async def retract(self, node: str, item: str) -> None:
        element = ET.Element(f"{{{PUBSUB}}}retract", {"node": node, "notify": "true"})
        ET.SubElement(element, f"{{{PUBSUB}}}item", {"id": item})
        await self._send("set", element)

    def listen(self, heard: t.Callable[[ET.Element], None]) -> None:
        """Have each ``<event>`` told, of all nodes that the hypervisor's account is subscribed to."""

        def told(message: t.Any) -> None:
            # A subscriber to pubsub believes the service alone: anyone may send a message that looks like this.
            if message["from"] == self.service and message["type"] != "error":
                heard(message.xml.find(f"{{{EVENT}}}event"))

        path = MatchXPath(f"{{jabber:client}}message/{{{EVENT}}}event")
        self._session.client.register_handler(Callback("event", path, told))

    async def subscribe(self, node: str) -> None:
        """Have what happens to a node sent to the hypervisor's account; it stays so."""
        element = ET.Element(f"{{{PUBSUB}}}subscribe", {"node": node, "jid": self._session.jid.bare})
        await self._send("set", element)

    async def every_item(self, node: str) -> t.AsyncIterator[ET.Element]:
        """The ``<item>`` elements of a node, read by pages where the server makes some (XEP-0059)."""
        after, last = None, ""
        while after != last:
            after = last
            page = ET.Element(f"{{{RSM}}}set")
            if after:
                ET.SubElement(page, f"{{{RSM}}}after").text = after
            element = ET.Element(f"{{{PUBSUB}}}items", {"node": node})
            answer = await self._send("get", element, *([page] if after else []))
            for item in answer.xml.iter(f"{{{PUBSUB}}}item"):
                yield item
            last = answer.xml.findtext(f".//{{{RSM}}}last") or after

    async def payloads(self, node: str) -> dict[str, dict[str, t.Any]]:
        """Of every item of a node, as ``items`` has them."""
        return {item.get("id", ""): payload_of(item) async for item in self.every_item(node)}

    async def items(self, node: str, ids: t.Iterable[str]) -> dict[str, t.Any]:
        """The payloads of those items that exist; one that cannot be read is an empty object."""
        element = ET.Element(f"{{{PUBSUB}}}items", {"node": node})
        for item in ids:
            ET.SubElement(element, f"{{{PUBSUB}}}item", {"id": item})
        answer = await self._send("get", element)
        return {item.get("id"): payload_of(item) for item in answer.xml.iter(f"{{{PUBSUB}}}item")}

    async def _send(self, kind: t.Literal["get", "set"], *elements: ET.Element) -> t.Any:
        client = self._session.client
        iq = client.make_iq(itype=kind, ito=self.service)
        request = ET.Element(f"{{{PUBSUB}}}pubsub")
        request.extend(elements)
        iq.append(request)
        return await iq.send(timeout=TIMEOUT)


def payload_of(item: ET.Element) -> dict[str, t.Any]:
    """The object in an ``<item>``, empty where it cannot be read."""
    container = item.find(f"{{{JSON}}}json")
    try:
        payload = {} if container is None else read_json(container)
    except ArchipelError:
        payload = {}
    return payload if isinstance(payload, dict) else {}
