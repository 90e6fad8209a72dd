# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of chat: what people write is matched against the actions' phrases, and answered in the first person."""

from __future__ import annotations

import logging
import re
import time
import typing as t

import slixmpp
from archipel.actions import Action
from archipel.errors import ArchipelError
from slixmpp.xmlstream import ET

from .. import wire
from ..dispatch import Dispatcher, Request

if t.TYPE_CHECKING:
    from ..contact import Contact

log = logging.getLogger(__name__)

NAME: t.Final = "chat"
DELAY: t.Final = "{urn:xmpp:delay}delay"
LONGEST_MESSAGE = 2000
# A program that answers our answers is left alone after so many that were not understood, for so many seconds.
PATIENCE, SULK = 3, 60.0


class ChatDoor:
    def __init__(self, contact: Contact, dispatcher: Dispatcher) -> None:
        self._contact = contact
        self._dispatch = dispatcher
        # Who was not understood: how often in a row, and when last.
        self._puzzles: dict[str, tuple[int, float]] = {}
        contact.session.client.add_event_handler("message", self._message)

    def _message(self, message: t.Any) -> None:
        who: slixmpp.JID = message["from"]
        if message["type"] not in ("chat", "normal") or who.bare == self._contact.session.jid.bare:
            return
        text = " ".join(message["body"].split())
        # Who may nothing here gets no answer: they are told nothing, and two programs cannot keep each other busy.
        if text and self._knock(who, text):
            self._contact.spawn(self._answer(message, who, text))

    def _knock(self, who: slixmpp.JID, text: str) -> bool:
        if self._dispatch.visible(self._contact.entity, who):
            return True
        meant = match(self._contact.entity.actions, text)
        if meant is not None:
            try:
                self._dispatch.find(self._contact.entity, who, meant[0].name, NAME)
            except ArchipelError:
                pass
        return False

    async def _answer(self, message: t.Any, who: slixmpp.JID, text: str) -> None:
        if message.xml.find(DELAY) is not None:
            # Kept by the server while we were away; what was meant then may harm now.
            self._say(message, "I was away when you wrote that, and did nothing. Say it again if you still mean it.")
            return
        visible = self._dispatch.visible(self._contact.entity, who)
        if text.lower().rstrip("?.!") == "help":
            self._puzzles.pop(who.bare, None)
            self._say(message, _help(visible))
            return
        meant = match(visible, text) if len(text) <= LONGEST_MESSAGE else None
        if meant is None:
            if self._has_patience(who.bare):
                self._say(message, "I do not understand that, and did nothing. Say help to hear what I understand.")
            return
        self._puzzles.pop(who.bare, None)
        action, untrusted = meant
        try:
            request = Request(self._contact.entity, who, NAME, action.name, untrusted, text=True)
            action, result = await self._dispatch(request)
            if action.long:
                self._say(message, result["msg"])
                job = await self._dispatch.end_of(result["job"])
                self._say(message, action.sentence(job.result) if job.result else f"I could not: {job.text}")
            else:
                self._say(message, action.sentence(result))
        except ArchipelError as error:
            self._say(message, f"I could not: {error.message}")
        except Exception:
            log.exception("a message of %s failed by a fault of the agent", who)
            self._say(message, "I failed, and my agent's log says more.")

    def _has_patience(self, who: str) -> bool:
        now = time.monotonic()
        self._puzzles = {key: seen for key, seen in self._puzzles.items() if now - seen[1] < SULK}
        count = self._puzzles.get(who, (0, now))[0] + 1
        self._puzzles[who] = (count, now)
        return count <= PATIENCE

    def _say(self, message: t.Any, text: str) -> None:
        client = self._contact.session.client
        answer = client.make_message(message["from"], wire.clean(text), mtype="chat")
        thread = message.xml.find("{jabber:client}thread")
        if thread is not None and thread.text:
            ET.SubElement(answer.xml, "{jabber:client}thread").text = thread.text
        answer.send()


def match(actions: t.Mapping[str, Action], text: str) -> tuple[Action, dict[str, str]] | None:
    """The action of which a phrase fits, and the words that stand for its arguments."""
    for action in actions.values():
        for phrase in action.phrases:
            found = re.fullmatch(_pattern(phrase), text.rstrip("?.! "), re.IGNORECASE)
            if found:
                return action, found.groupdict()
    return None


def _pattern(phrase: str) -> str:
    words = phrase.rstrip("?.!").split()
    return " ".join(rf"(?P<{word[1:-1]}>\S+)" if word.startswith("{") else re.escape(word) for word in words)


def _help(visible: t.Mapping[str, Action]) -> str:
    said = [
        f"{action.phrases[0].replace('{', '<').replace('}', '>')} – {action.help.splitlines()[0]}"
        for action in visible.values()
        if action.phrases
    ]
    return "\n".join(["You can say to me:", *said, "help – This list."])
