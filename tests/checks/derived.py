# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what derives from the declarations: ``docs/actions.md``. With ``--check``, say whether it is up to date."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import pathlib
import pkgutil
import re
import sys
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "plugins/module_utils"), str(ROOT / "roles/agent/files")]

import archipel_agent.features  # noqa: E402
from archipel.actions import Action, Argument, actions_of  # noqa: E402
from archipel.hypervisor import ACTIONS  # noqa: E402
from archipel_agent.machine_entity import ACTIONS as MACHINE_ACTIONS  # noqa: E402

PAGE = ROOT / "docs/actions.md"

PREAMBLE = """\
# Actions

<!-- Written by tests/checks/derived.py from the declarations. Change those, and run it. -->

What a contact can be asked to do. A person says it in a chat or fills in a form, a program sends the name and a JSON
object of arguments ([protocol](protocol.md#actions)), a task calls a module or `archipel.orchestrator.entity_command`:
it is the same action each time. What you may not call, you do not see.
"""


def contacts() -> t.Iterator[tuple[str, str, list[Action]]]:
    """Title, an explanation and the actions of each kind of contact."""
    of_features = {
        action.name: action for feature in features() for action in actions_of(feature, "hypervisor").values()
    }
    hypervisor = ACTIONS | of_features
    yield "Hypervisor", "The contact `<name>@<domain>/<name>`.", list(hypervisor.values())
    yield "Machine", "The contact `<uuid>@<domain>/<hypervisor>`.", list(MACHINE_ACTIONS.values())


def features() -> t.Iterator[type]:
    """The classes of the agent's features."""
    for found in pkgutil.iter_modules(archipel_agent.features.__path__, "archipel_agent.features."):
        for value in vars(importlib.import_module(found.name)).values():
            if inspect.isclass(value) and value.__module__ == found.name:
                yield value


def described(action: Action) -> t.Iterator[str]:
    yield f"### {action.name}\n"
    yield f"{readable(action.help)}\n"
    lighter = f" (for some arguments `{action.lighter[0]}` is enough)" if action.lighter else ""
    facts = [f"permission `{action.permission}`{lighter}", "changes something" if action.changes else "changes nothing"]
    if action.long:
        facts.append("runs as a [job](protocol.md#long-actions)")
    if action.phrases:
        facts.append("in a chat " + ", ".join(f"`{phrase.text}`" for phrase in action.phrases))
    sentence = "; ".join(facts)
    yield f"{sentence[0].upper()}{sentence[1:]}.\n"
    if action.arguments:
        yield from table(("argument", "type", "default", ""), (row(action, argument) for argument in action.arguments))


def row(action: Action, argument: Argument) -> tuple[str, ...]:
    default = "**needed**" if argument.required else "" if argument.default is None else f"`{shown(argument.default)}`"
    options = getattr(argument.type, "options", None)
    kind = f"[{argument.type_name}](#definition-of-{action.name})" if options else argument.type_name
    if argument.elements is str:
        kind += " of str"
    if argument.secret:
        kind += ", secret"
    return f"`{argument.name}`", kind, default, readable(argument.help) + choices(argument.choices)


def definition(options: t.Mapping[str, t.Mapping[str, t.Any]], path: str = "") -> t.Iterator[tuple[str, ...]]:
    """A row for each key of a definition."""
    for key, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if option.get("elements") else "")
        kind += ", secret" if option.get("no_log") else ""
        yield f"`{path}{key}`", kind, readable(option["help"]) + choices(option.get("choices", ()))
        inner = f"{path}{key}[]." if option["type"] == "list" else f"{path}{key}."
        yield from definition(option.get("options", {}), inner)


def table(head: tuple[str, ...], rows: t.Iterable[tuple[str, ...]]) -> t.Iterator[str]:
    lines = [head, ("---",) * len(head), *rows]
    yield "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def readable(text: str) -> str:
    """Help in Markdown: Ansible's ``O(name)``, ``V(value)`` and ``C(code)`` become code."""
    return re.sub(r"\b[OVC]\(([^)]*)\)", r"`\1`", " ".join(text.split()))


def choices(values: t.Iterable[t.Any]) -> str:
    listed = ", ".join(f"`{value}`" for value in values)
    return f" One of {listed}." if listed else ""


def shown(value: t.Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else "{}"


def page() -> str:
    parts = [PREAMBLE]
    for title, explanation, actions in contacts():
        parts += [f"## {title}\n", f"{explanation}\n"]
        parts += [part for action in actions for part in described(action)]
    for name, argument in ((action.name, a) for action in ACTIONS.values() for a in action.arguments):
        options = getattr(argument.type, "options", None)
        if options:
            parts += [f"## Definition of {name}\n"]
            parts += [f"What `{name}` takes as `{argument.name}`; a task writes these keys beside the others.\n"]
            parts += table(("key", "type", ""), definition(options))
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    name = str(PAGE.relative_to(ROOT))
    difference = list(difflib.unified_diff(written.splitlines(), page().splitlines(), name, "derived", lineterm=""))
    print(*difference, sep="\n", end="\n" if difference else "")
    if difference:
        print(f"{name} is not what derives from the declarations: python tests/checks/derived.py")
    return int(bool(difference))


if __name__ == "__main__":
    sys.exit(main())
