# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The elements on the wire: commands (XEP-0050), JSON containers (XEP-0335), forms (XEP-0004, XEP-0122), disco.

Reading what others sent is bounded in size and depth; what it gives is still untrusted.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from archipel.actions import REQUIRED, Action, Argument, Names, nearest, plain
from archipel.errors import InvalidArgument, InvalidRequest
from slixmpp.plugins.xep_0004.stanza import Form
from slixmpp.xmlstream import ET

COMMANDS: t.Final = "http://jabber.org/protocol/commands"
DATA: t.Final = "jabber:x:data"
VALIDATE: t.Final = "http://jabber.org/protocol/xdata-validate"
DISCO_INFO: t.Final = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS: t.Final = "http://jabber.org/protocol/disco#items"
JSON: t.Final = "urn:xmpp:json:0"
PING: t.Final = "urn:xmpp:ping"

MAX_JSON = 1 << 20  # characters
MAX_DEPTH = 32
MAX_FIELDS = 100
LONGEST_LABEL = 60
MENTIONED = 20

_TYPES: t.Final = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}
_TOO_DEEP = f"The JSON is nested deeper than {MAX_DEPTH}."
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: t.Any) -> str:
    """Text without the characters that XML 1.0 cannot carry; a stanza with one would end the stream."""
    return _NOT_XML.sub("\ufffd", str(text))


# JSON


def json_element(value: t.Any) -> ET.Element:
    element = ET.Element(f"{{{JSON}}}json")
    element.text = json.dumps(value)
    return element


def read_json(element: ET.Element) -> t.Any:
    """What the container holds; InvalidRequest when it is no JSON, too large or too deep."""
    text = element.text or ""
    if len(text) > MAX_JSON:
        raise InvalidRequest(f"The JSON is too large: {len(text)} characters, at most {MAX_JSON} are read.")
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_repetition)
    except ValueError as error:
        raise InvalidRequest(f"The JSON cannot be read: {error}.") from None
    except RecursionError:
        raise InvalidRequest(_TOO_DEEP) from None
    if _deeper(value, MAX_DEPTH):
        raise InvalidRequest(_TOO_DEEP)
    return value


def _deeper(value: t.Any, levels: int) -> bool:
    """Whether lists and objects are nested in more levels than that."""
    if not isinstance(value, (list, dict)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)


def _no_constant(name: str) -> t.NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_repetition(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


# Commands


def command_element(node: str, **attributes: str) -> ET.Element:
    return ET.Element(f"{{{COMMANDS}}}command", {"node": node, **attributes})


def note_element(text: str, kind: str = "info") -> ET.Element:
    element = ET.Element(f"{{{COMMANDS}}}note", {"type": kind})
    element.text = clean(text)
    return element


def offers_element(*, more: bool) -> ET.Element:
    """The steps that may follow a form; where another form follows, it is the usual one (XEP-0050, 3.4)."""
    element = ET.Element(f"{{{COMMANDS}}}actions", {"execute": "next" if more else "complete"})
    for step in ("next", "complete") if more else ("complete",):
        ET.SubElement(element, f"{{{COMMANDS}}}{step}")
    return element


# Forms


def fields_of(arguments: t.Iterable[Argument]) -> t.Iterator[Argument]:
    """What a form asks for: of a definition, each of its keys (``disk.size``); what is nested in them is JSON."""
    for argument in arguments:
        options = getattr(argument.type, "options", None)
        if options is None:
            yield argument
            continue
        for key, option in options.items():
            yield Argument(
                f"{argument.name}.{key}",
                _TYPES[option["type"]],
                option["help"],
                default=None,
                choices=tuple(option.get("choices", ())),
                elements=_TYPES.get(option.get("elements")),
                optional=True,
                secret=bool(option.get("no_log")),
                names=Names(key) if key in ("pool", "network") else None,
            )


def form_element(
    action: Action, arguments: t.Iterable[Argument], choices: t.Mapping[str, t.Sequence[str]] | None = None
) -> ET.Element:
    """The form that asks for arguments of an action. ``choices`` has names that there are on the host, by argument."""
    form = Form()
    form["type"] = "form"
    form["title"] = action.name
    form["instructions"] = plain(action.help)
    for argument in arguments:
        there = (choices or {}).get(argument.name, ())
        help = plain(argument.help)
        if there and argument.names and argument.names.free:
            # Not an open list (XEP-0122, 3.2.2): most clients would let people choose and nothing else.
            help += f" There {'is' if len(there) == 1 else 'are'} {', '.join(there[:MENTIONED])}"
            help += f" and {len(there) - MENTIONED} more." if len(there) > MENTIONED else "."
        elif there:
            argument = dataclasses.replace(argument, choices=tuple(there))
        elif argument.type is bool and not isinstance(argument.default, bool):
            # Many clients have no boolean that is neither: what is left as it is would be turned off.
            argument = dataclasses.replace(argument, type=str, choices=("yes", "no"))
        field = form.add_field(
            var=argument.name,
            ftype=_field_type(argument),
            label=_label(argument),
            desc=clean(help),
            required=argument.required,
            value=_default(argument),
            options=[{"label": clean(choice), "value": clean(choice)} for choice in argument.choices] or None,
        )
        if argument.type in (int, float):
            datatype = "xs:integer" if argument.type is int else "xs:decimal"
            validate = ET.SubElement(field.xml, f"{{{VALIDATE}}}validate", {"datatype": datatype})
            ET.SubElement(validate, f"{{{VALIDATE}}}basic")
    return form.xml


def _label(argument: Argument) -> str:
    """What its help begins with if that is short, and otherwise its name."""
    first = plain(argument.help).partition(". ")[0].rstrip(".")
    return first if len(first) <= LONGEST_LABEL else re.sub("[_.]", " ", argument.name).capitalize()


def _field_type(argument: Argument) -> str:
    if argument.secret and argument.type is str:
        return "text-private"
    if argument.choices:
        return "list-multi" if argument.type is list else "list-single"
    if argument.type is bool:
        return "boolean"
    # Documents and structures need room; everything else is a line.
    return (
        "text-single"
        if argument.type in (int, float) or (argument.type is str and argument.name != "xml")
        else "text-multi"
    )


def _default(argument: Argument) -> t.Any:
    default = argument.default
    if default is REQUIRED or default is None or _is_structured(argument):
        return None
    return default if isinstance(default, (bool, list)) else str(default)


def read_form(element: ET.Element, action: Action) -> dict[str, t.Any]:
    """What was written into the fields, as text; fields left empty are arguments not given. InvalidRequest when it is
    no submission, InvalidArgument when a field is not of the form or occurs twice."""
    if element.get("type") != "submit":
        raise InvalidRequest("The form is not of the type submit.")
    fields = element.findall(f"{{{DATA}}}field")
    if len(fields) > MAX_FIELDS:
        raise InvalidRequest(f"The form has more than {MAX_FIELDS} fields.")
    known = {argument.name: argument for argument in fields_of(action.arguments)}
    values: dict[str, t.Any] = {}
    seen: set[str] = set()
    for field in fields:
        name = field.get("var") or ""
        if name == "FORM_TYPE" or field.get("type") == "fixed":
            continue
        if name not in known:
            raise InvalidArgument(f"{action.name}: unknown argument {name[:80]!r}.{nearest(name, known)}")
        if name in seen:
            raise InvalidArgument(f"The form has the field {name[:80]!r} more than once.")
        seen.add(name)
        lines = [value.text or "" for value in field.findall(f"{{{DATA}}}value")]
        if not any(line.strip() for line in lines):
            continue
        is_list = known[name].type is list and not _is_structured(known[name])
        value = [line.strip() for line in lines if line.strip()] if is_list else "\n".join(lines)
        whole, _dot, key = name.partition(".")
        if key:
            values.setdefault(whole, {})[key] = known[name].bind(value, text=True)
        else:
            values[name] = value
    return values


def _is_structured(argument: Argument) -> bool:
    """Whether it is written as JSON."""
    return argument.type_name == "dict" or (
        argument.elements is not None and argument.elements not in (str, int, float)
    )


def result_element(result: t.Mapping[str, t.Any]) -> ET.Element:
    """A result as a form of label and value; a list of objects becomes a table."""
    form = Form()
    form["type"] = "result"
    tables = [(k, v) for k, v in result.items() if isinstance(v, list) and v and all(isinstance(i, dict) for i in v)]
    for key, value in _flat(result, skip={key for key, _rows in tables[:1]}):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = "\n".join(value)
        text = value if isinstance(value, str) else json.dumps(value)
        form.add_field(var=key, ftype="text-multi" if "\n" in text else "text-single", label=key, value=clean(text))
    for _key, rows in tables[:1]:
        columns = [name for name, value in rows[0].items() if not isinstance(value, (dict, list))]
        for name in columns:
            form.add_reported(name, ftype="text-single", label=name)
        for row in rows:
            form.add_item({name: clean("" if row.get(name) is None else row[name]) for name in columns})
    return form.xml


def _flat(
    result: t.Mapping[str, t.Any], skip: t.Collection[str] = (), prefix: str = ""
) -> t.Iterator[tuple[str, t.Any]]:
    for key, value in result.items():
        if key in skip or value in (None, [], {}):
            continue
        if isinstance(value, dict):
            yield from _flat(value, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
