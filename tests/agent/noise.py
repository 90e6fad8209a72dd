# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody meant: commands, forms, JSON and words that are nearly right, or not at all."""

from __future__ import annotations

import json
import random
import string
import typing as t

from archipel.actions import Action
from archipel_agent import wire
from slixmpp.xmlstream import ET

# No action has an argument of that name.
STRANGE: t.Final = "☃"
PIECES: t.Final = (
    *(
        "",
        " ",
        "\0",
        "\x1b[0m",
        "\u202e",
        "\ud800",
        "\U0001f600",
        "'; DROP TABLE jobs; --",
        "{0.__class__}",
        "{{ 7 }}",
        "%s%n",
    ),
    *("../../etc/passwd", "*", "[", "]", "-1", "1e999", "NaN", "true", "null", "nightly-%d", "test", "yes", "x" * 300),
)
STEPS: t.Final = ("execute", "execute", "complete", "next", "cancel", "prev", "", STRANGE)
TYPES: t.Final = ("submit", "submit", "form", "cancel", "result", STRANGE)


class Noise:
    """All that is asked for is asked with an argument that does not exist, so that nothing of it may have an effect."""

    def __init__(self, source: random.Random) -> None:
        self._random = source

    def text(self) -> str:
        letters = "".join(self._random.choices(string.printable, k=self._random.randrange(12)))
        return "".join(
            self._random.sample([letters, *self._random.choices(PIECES, k=2)], k=self._random.randrange(1, 4))
        )

    def words(self, action: Action) -> str:
        """Something like a phrase of the action."""
        phrase = self._random.choice(action.phrases).text if action.phrases else action.name
        return " ".join(self.text() if self._random.random() < 0.3 else word for word in phrase.split())

    def value(self, depth: int = 0) -> t.Any:
        """What JSON can hold."""
        kind = self._random.randrange(8 if depth < 4 else 6)
        if kind == 6:
            return [self.value(depth + 1) for _item in range(self._random.randrange(4))]
        if kind == 7:
            return {self.text(): self.value(depth + 1) for _item in range(self._random.randrange(4))}
        number = self._random.choice((0, 1, -1, 1 << 31, 1 << 63, -(1 << 80), 10**400))
        return (None, True, number, self._random.uniform(-1e300, 1e300), self.text(), "")[kind]

    def arguments(self, action: Action) -> t.Any:
        """Some of the action's arguments with any values, and one that does not exist; or anything else."""
        if self._random.random() < 0.2:
            value = self.value()
            return {**value, STRANGE: 1} if isinstance(value, dict) else value
        named = self._random.sample(action.arguments, k=self._random.randrange(len(action.arguments) + 1))
        return {STRANGE: self.value(), **{argument.name: self.value() for argument in named}}

    def json(self, action: Action) -> ET.Element:
        text = json.dumps(self.arguments(action))
        if self._random.random() < 0.3:
            place = self._random.randrange(len(text) + 1)
            text = text[:place] + self.text() + text[place + self._random.randrange(3) :]
        element = ET.Element(f"{{{wire.JSON}}}json")
        element.text = wire.clean(text if self._random.random() < 0.999 else "[" * 100_000)
        return element

    def form(self, action: Action) -> ET.Element:
        form = ET.Element(f"{{{wire.DATA}}}x", {"type": self._random.choice(TYPES)})
        names = [STRANGE, *(argument.name for argument in action.arguments)]
        count = 200 if self._random.random() < 0.01 else self._random.randrange(6)
        for name in [STRANGE, *self._random.choices(names, k=count)]:
            field = ET.SubElement(form, f"{{{wire.DATA}}}field", {"var": wire.clean(name)})
            for _value in range(self._random.randrange(3)):
                ET.SubElement(field, f"{{{wire.DATA}}}value").text = wire.clean(self.text())
        return form

    def command(self, action: Action) -> ET.Element:
        command = wire.command_element(action.name, action=self._random.choice(STEPS))
        if self._random.random() < 0.3:
            command.set("sessionid", wire.clean(self.text()))
        made = self._random.choice((self.json, self.form, None))
        if made:
            command.append(made(action))
        if self._random.random() < 0.1:
            command.append(ET.Element(f"{{{self._random.choice((wire.DATA, wire.JSON, 'urn:strange'))}}}x"))
        return command
