# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of chat: what people write is matched against the actions' phrases, and answered in the first person."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import logging
import re
import time
import typing as t

import slixmpp
from archipel.actions import PERMISSIONS, Action, Argument, Phrase, plain
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
# Seconds for which a question stands.
QUESTION_STANDS = 60.0

# What people say around what they mean.
_BEFORE = re.compile(r"(?:(?:hi|hello|hey|please|kindly|(?:can|could|will|would) you)[ ,!]+)+", re.IGNORECASE)
_AFTER = (" please", " now", " thanks", " thank you")
_SIGNS = " ?.!,"


class Meant(t.NamedTuple):
    """An action that somebody has words for, and what they said of its arguments."""

    action: Action
    phrase: Phrase
    untrusted: dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Question:
    """We asked back, and do what was meant if the next message is yes."""

    meant: Meant
    until: float


class ChatDoor:
    def __init__(self, contact: Contact, dispatcher: Dispatcher) -> None:
        self._contact = contact
        self._dispatch = dispatcher
        # Who was not understood: how often in a row, and when last.
        self._puzzles: dict[str, tuple[int, float]] = {}
        # By full JID: it is the same client that has seen the question and answers it.
        self._questions: dict[str, Question] = {}
        contact.session.client.add_event_handler("message", self._message)

    def _message(self, message: t.Any) -> None:
        who: slixmpp.JID = message["from"]
        if message["type"] not in ("chat", "normal") or who.bare == self._contact.session.jid.bare:
            return
        text = words_of(message["body"]) if len(message["body"]) <= LONGEST_MESSAGE else message["body"]
        if not text:
            return
        # Who may nothing here gets no answer: they are told nothing, and two programs cannot keep each other busy.
        if self._dispatch.visible(self._contact.entity, who):
            self._contact.spawn(self._answer(message, who, text))
        else:
            self._note(who, text)

    def _note(self, who: slixmpp.JID, text: str) -> None:
        """Who asks for what they may not leaves an event, as at any door."""
        meant = match(self._contact.entity.actions, text)
        if meant is not None:
            try:
                self._dispatch.find(self._contact.entity, who, meant.action.name, NAME)
            except ArchipelError:
                pass

    async def _answer(self, message: t.Any, who: slixmpp.JID, text: str) -> None:
        question = self._questions.pop(who.full, None)
        if message.xml.find(DELAY) is not None:
            # Kept by the server while we were away; what was meant then may harm now.
            self._say(message, "I was away when you wrote that, and did nothing. Say it again if you still mean it.")
            return
        visible = self._dispatch.visible(self._contact.entity, who)
        first, _space, rest = text.lower().partition(" ")
        if first == "help":
            self._puzzles.pop(who.bare, None)
            self._say(message, _help_on(visible, rest) if rest else _help(visible))
        elif text.lower() == "yes":
            if question is not None and time.monotonic() < question.until:
                await self._do(message, who, question.meant)
            elif self._has_patience(who.bare):
                self._say(message, "I have no question open, and did nothing.")
        elif text.lower() == "no" and question is not None:
            self._say(message, "Then I leave it.")
        elif meant := match(visible, text):
            self._puzzles.pop(who.bare, None)
            if meant.action.asks is None:
                await self._do(message, who, meant)
            else:
                self._ask(message, who, meant, meant.action.asks)
        else:
            self._note(who, text)
            if self._has_patience(who.bare):
                hint = _guess(visible, text) or " Say help to hear what I understand."
                self._say(message, f"I do not understand that, and did nothing.{hint}")

    def _ask(self, message: t.Any, who: slixmpp.JID, meant: Meant, asks: str) -> None:
        try:
            told = asks.format_map(meant.action.bind(meant.untrusted, text=True))
        except ArchipelError as error:
            self._say(message, f"I could not: {error.message}")
            return
        now = time.monotonic()
        self._questions = {key: question for key, question in self._questions.items() if now < question.until}
        self._questions[who.full] = Question(meant, now + QUESTION_STANDS)
        self._say(message, f"{told} Say yes to have it done.")

    async def _do(self, message: t.Any, who: slixmpp.JID, meant: Meant) -> None:
        try:
            request = Request(self._contact.entity, who, NAME, meant.action.name, meant.untrusted, text=True)
            action, result = await self._dispatch(request)
            if action.long:
                self._say(message, result["msg"])
                job = await self._dispatch.end_of(result["job"])
                self._say(
                    message,
                    action.sentence(job.result, meant.phrase) if job.result else f"I could not: {job.text}",
                )
            else:
                self._say(message, action.sentence(result, meant.phrase))
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


def words_of(text: str) -> str:
    """What is meant: without courtesies around it, and without the signs at its end."""
    text = " ".join(text.split()).rstrip(_SIGNS)
    before = _BEFORE.match(text)
    text = text[before.end() :] if before else text
    while after := next((words for words in _AFTER if text.lower().endswith(words)), None):
        text = text[: -len(after)].rstrip(_SIGNS)
    return text


def match(actions: t.Mapping[str, Action], text: str) -> Meant | None:
    """The action of which a phrase fits, and the words that stand for its arguments. Of several phrases it is the one
    that leaves the fewest words to the asker."""
    if len(text) > LONGEST_MESSAGE:
        return None
    found = [
        Meant(action, phrase, {**phrase.given, **{name: word.strip('"') for name, word in fits.groupdict().items()}})
        for action in actions.values()
        for phrase in action.phrases
        if (fits := _pattern(phrase.text).fullmatch(text))
    ]
    return min(found, key=lambda meant: meant.phrase.text.count("{"), default=None)


@functools.cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """A word in place of an argument is one, or several in quotes."""
    words = (rf'(?P<{word[1:-1]}>"[^"]+"|\S+)' if word[0] == "{" else re.escape(word) for word in phrase.split())
    return re.compile(" ".join(words), re.IGNORECASE)


def _guess(visible: t.Mapping[str, Action], text: str) -> str:
    """What may have been meant, by the words that are not the asker's own to choose."""
    phrases = [phrase for action in visible.values() for phrase in action.phrases]
    known = {"help": "help", **{re.sub(r" ?{\w+}", "", phrase.text): phrase.shown for phrase in phrases}}
    close = difflib.get_close_matches(text.lower()[:80], known, n=2)
    return f" Did you mean {' or '.join(known[words] for words in close)}?" if close else ""


def _help(visible: t.Mapping[str, Action]) -> str:
    """A line for each action that there are words for, by permission."""
    groups: dict[str, list[str]] = {}
    for action in visible.values():
        if action.phrases:
            line = f"  {action.phrases[0].shown} – {plain(action.help.splitlines()[0])}"
            groups.setdefault(action.permission, []).append(line)
    said = [line for name, lines in groups.items() for line in (f"{name} ({PERMISSIONS[name]}):", *lines)]
    return "\n".join(["You can say to me:", *said, "help <action> – What it does, and how to say it."])


def _help_on(visible: t.Mapping[str, Action], words: str) -> str:
    meant = match(visible, words)
    named = (a for a in visible.values() if words == a.name or words in (phrase.text for phrase in a.phrases))
    action = next(named, meant and meant.action)
    if action is None:
        return f"I know nothing of that.{_guess(visible, words) or ' Say help to hear what I understand.'}"
    said = ", or ".join(phrase.shown for phrase in action.phrases)
    lines = [
        plain(action.help),
        f"Say {said}." if said else "There are no words for it; it is among my commands.",
        *(["I ask back before I do it."] if action.asks else []),
        *([f"As the command {action.name} it takes:"] if action.arguments else []),
        *map(_explained, action.arguments),
    ]
    return "\n".join(lines)


def _explained(argument: Argument) -> str:
    default = "" if argument.required or argument.default in (None, "") else f" By default {argument.default}."
    choices = f" One of {', '.join(map(str, argument.choices))}." if argument.choices else ""
    needed = " (needed)" if argument.required else ""
    return f"  {argument.name}{needed} – {plain(argument.help)}{choices}{default}"
