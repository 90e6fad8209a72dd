# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of chat: what people write is matched against the actions' phrases, and answered in the first person.

In a room they say whom they mean, ``web1: how are you`` or ``all: how are you``. Who they are is what the room tells of
their account. What other machines say there, what was said before, and what nobody is meant by is not heard.
"""

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
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .. import wire
from ..dispatch import Dispatcher, Request
from ..features.rooms import USER, jid_of

if t.TYPE_CHECKING:
    from ..contact import Contact

log = logging.getLogger(__name__)

NAME: t.Final = "chat"
DELAY: t.Final = "{urn:xmpp:delay}delay"
INVITATION: t.Final = "jabber:x:conference"
EVERYBODY: t.Final = "all"
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


@dataclasses.dataclass(frozen=True)
class Heard:
    """What an account says to us: in private, or in a room, there to ``all`` or to us by our ``nick``."""

    message: t.Any
    who: slixmpp.JID
    text: str
    room: str = ""
    nick: str = ""
    to_all: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """It is the same client, at the same place, that has seen a question and answers it."""
        return self.room, self.who.full


class ChatDoor:
    def __init__(self, contact: Contact, dispatcher: Dispatcher) -> None:
        self._contact = contact
        self._dispatch = dispatcher
        # Who was not understood: how often in a row, and when last.
        self._puzzles: dict[str, tuple[int, float]] = {}
        self._questions: dict[tuple[str, str], Question] = {}
        client = contact.session.client
        client.add_event_handler("message", self._message)
        for namespace in (INVITATION, USER):
            path = MatchXPath(f"{{jabber:client}}message/{{{namespace}}}x")
            client.register_handler(Callback(f"invitation {namespace}", path, self._invited))

    def _message(self, message: t.Any) -> None:
        who: slixmpp.JID = message["from"]
        if who.domain == self._contact.rooms.service:
            heard = self._heard_in_room(message) if message["type"] == "groupchat" else None
        elif message["type"] not in ("chat", "normal") or message.xml.find(f"{{{INVITATION}}}x") is not None:
            return
        else:
            heard = Heard(message, who, _text(message["body"]))
        if heard is None or not heard.text or heard.who.bare == self._contact.session.jid.bare:
            return
        # Who may nothing here gets no answer: they are told nothing, and two programs cannot keep each other busy.
        if self._dispatch.visible(self._contact.entity, heard.who):
            self._contact.spawn(self._answer(heard))
        else:
            self._note(heard.who, heard.text)

    def _heard_in_room(self, message: t.Any) -> Heard | None:
        """What an account says there to us."""
        rooms, where = self._contact.rooms, message["from"]
        nick, who = rooms.nick(where), rooms.speaker(where)
        if nick is None or who is None or self._contact.is_one_of_us(who) or message.xml.find(DELAY) is not None:
            return None
        for name in (nick, EVERYBODY):
            if (said := _said_to(name, message["body"])) is not None:
                return Heard(message, who, _text(said), where.bare, nick, to_all=name == EVERYBODY)
        return None

    def _invited(self, message: t.Any) -> None:
        """Into a room: by somebody (XEP-0249), or by the room in somebody's name (XEP-0045, 7.8.2)."""
        sender: slixmpp.JID = message["from"]
        if message["type"] == "error" or message.xml.find(DELAY) is not None:
            return
        if sender.domain == self._contact.rooms.service:
            mediated = message.xml.find(f"{{{USER}}}x/{{{USER}}}invite")
            who, room = jid_of(None if mediated is None else mediated.get("from")), sender.bare
        else:
            direct = message.xml.find(f"{{{INVITATION}}}x")
            who, room = sender, "" if direct is None else direct.get("jid", "")
        if not room or who is None or self._contact.is_one_of_us(who):
            return
        try:
            action = self._dispatch.find(self._contact.entity, who, "join", NAME)
        except ArchipelError:
            return
        meant = Meant(action, action.phrases[0], {"room": room})
        self._contact.spawn(self._do(Heard(message, who, ""), meant))

    def _note(self, who: slixmpp.JID, text: str) -> None:
        """Who asks for what they may not leaves an event, as at any door."""
        meant = match(self._contact.entity.actions, text)
        if meant is not None:
            try:
                self._dispatch.find(self._contact.entity, who, meant.action.name, NAME)
            except ArchipelError:
                pass

    async def _answer(self, heard: Heard) -> None:
        who, text = heard.who, heard.text
        question = self._questions.pop(heard.key, None)
        if heard.message.xml.find(DELAY) is not None:
            # Kept by the server while we were away; what was meant then may harm now.
            self._say(heard, "I was away when you wrote that, and did nothing. Say it again if you still mean it.")
            return
        visible = self._dispatch.visible(self._contact.entity, who)
        first, _space, rest = text.lower().partition(" ")
        if first == "help" and not heard.to_all:
            self._puzzles.pop(who.bare, None)
            self._say(heard, _help_on(visible, rest) if rest else _help(visible))
        elif text.lower() == "yes":
            if question is not None and time.monotonic() < question.until:
                await self._do(heard, question.meant)
            elif self._has_patience(heard):
                self._say(heard, "I have no question open, and did nothing.")
        elif text.lower() == "no" and question is not None:
            self._say(heard, "Then I leave it.")
        elif meant := match(visible, text):
            self._puzzles.pop(who.bare, None)
            if meant.action.asks is None:
                await self._do(heard, meant)
            else:
                self._ask(heard, meant, meant.action.asks)
        else:
            self._note(who, text)
            if self._has_patience(heard):
                hint = _guess(visible, text) or " Say help to hear what I understand."
                self._say(heard, f"I do not understand that, and did nothing.{hint}")

    def _ask(self, heard: Heard, meant: Meant, asks: str) -> None:
        try:
            arguments = meant.action.bind(meant.untrusted, text=True)
            told = asks.format_map({k: ", ".join(v) if isinstance(v, list) else v for k, v in arguments.items()})
        except ArchipelError as error:
            self._say(heard, f"I could not: {error.message}")
            return
        now = time.monotonic()
        self._questions = {key: question for key, question in self._questions.items() if now < question.until}
        self._questions[heard.key] = Question(meant, now + QUESTION_STANDS)
        yes = f"{heard.nick}: yes" if heard.room else "yes"
        self._say(heard, f"{told} Say {yes} to have it done.")

    async def _do(self, heard: Heard, meant: Meant) -> None:
        if meant.action.permission == "console":
            # There is a password in it.
            heard = dataclasses.replace(heard, room="")
        try:
            request = Request(self._contact.entity, heard.who, NAME, meant.action.name, meant.untrusted, text=True)
            action, result = await self._dispatch(request)
            if action.long:
                self._say(heard, result["msg"])
                job = await self._dispatch.end_of(result["job"])
                self._say(
                    heard,
                    action.sentence(job.result, meant.phrase) if job.result else f"I could not: {job.text}",
                )
            else:
                self._say(heard, action.sentence(result, meant.phrase))
        except ArchipelError as error:
            self._say(heard, f"I could not: {error.message}")
        except Exception:
            log.exception("a message of %s failed by a fault of the agent", heard.who)
            self._say(heard, "I failed, and my agent's log says more.")

    def _has_patience(self, heard: Heard) -> bool:
        """To answer what was not understood; what all are told may be meant for others."""
        if heard.to_all:
            return False
        who, now = heard.who.bare, time.monotonic()
        self._puzzles = {key: seen for key, seen in self._puzzles.items() if now - seen[1] < SULK}
        count = self._puzzles.get(who, (0, now))[0] + 1
        self._puzzles[who] = (count, now)
        return count <= PATIENCE

    def _say(self, heard: Heard, text: str) -> None:
        client = self._contact.session.client
        if not self._contact.session.online.is_set():
            # A job has ended, and the machine that was asked for it has gone, as where it has moved.
            client = self._contact.host.session.client
            heard, text = dataclasses.replace(heard, room=""), f"{self._contact.entity.name}: {text}"
        to = slixmpp.JID(heard.room) if heard.room else heard.who
        answer = client.make_message(to, wire.clean(text), mtype="groupchat" if heard.room else "chat")
        thread = heard.message.xml.find("{jabber:client}thread")
        if thread is not None and thread.text:
            ET.SubElement(answer.xml, "{jabber:client}thread").text = thread.text
        answer.send()


def _text(body: str) -> str:
    return words_of(body) if len(body) <= LONGEST_MESSAGE else body


def _said_to(name: str, body: str) -> str | None:
    """What is said to this name, which is written before it: ``name: …``, ``name, …``, ``@name …``."""
    body, name = body.strip(), name.lower()
    for before, after in ((name, ":"), (name, ","), (f"@{name}", " "), (f"@{name}", ":"), (f"@{name}", ",")):
        if body.lower().startswith(before + after):
            return body[len(before + after) :]
    return None


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
