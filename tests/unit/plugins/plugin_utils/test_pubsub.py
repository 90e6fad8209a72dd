# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields and payloads of pubsub, typed."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree as ET

import pytest
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.pubsub import Field, Payload
from archipel import errors

FIELD = "<field xmlns='jabber:x:data' var='pubsub#x' type='{kind}'>{inner}</field>"


def field(kind: str, *values: str, options: t.Sequence[str] = ()) -> Field:
    inner = "".join(f"<value>{value}</value>" for value in values)
    inner += "".join(f"<option><value>{option}</value></option>" for option in options)
    return Field.read(ET.fromstring(FIELD.format(kind=kind, inner=inner)))


@pytest.mark.parametrize(
    ("kind", "values", "value"),
    [
        ("boolean", ["1"], True),
        ("boolean", ["false"], False),
        ("boolean", [], False),
        ("text-single", ["250000"], 250000),
        ("text-single", ["max"], "max"),
        ("list-multi", ["b", "a"], ["a", "b"]),
    ],
)
def test_a_field_has_the_type_of_its_form(kind: str, values: list[str], value: t.Any) -> None:
    assert field(kind, *values).value == value


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [("boolean", "yes", True), ("boolean", 0, False), ("text-single", "10", 10), ("list-multi", "a", ["a"])],
)
def test_what_a_person_writes_takes_the_fields_type(kind: str, written: t.Any, value: t.Any) -> None:
    assert field(kind).bind("x", written) == value


@pytest.mark.parametrize(("kind", "written"), [("boolean", "maybe"), ("text-single", ["a"]), ("list-single", {"a": 1})])
def test_what_does_not_fit_is_refused(kind: str, written: t.Any) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"config\.x"):
        field(kind).bind("x", written)


def test_only_a_choice_of_the_form_is_taken() -> None:
    with pytest.raises(errors.InvalidArgument, match="none of a, b"):
        field("list-single", options=("a", "b")).bind("x", "c")


def test_payloads_are_compared_as_data() -> None:
    assert Payload({"a": 1, "b": 2}).same(Payload({"b": 2, "a": 1}))
    assert not Payload(1).same(Payload(True))
    assert not Payload(None).same(None)


def test_payloads_of_xml_are_compared_as_xml() -> None:
    one = Payload.parse("x", "<x xmlns='u:x'  b='2' a='1'>\n  <y/>\n</x>")
    assert one.same(Payload.parse("x", '<n:x xmlns:n="u:x" a="1" b="2"><n:y></n:y></n:x>'))


def test_a_payload_survives_the_wire() -> None:
    for payload in (Payload({"a": [None, "{{ 1 }}"]}), Payload.parse("x", "<x xmlns='u:x'/>")):
        assert Payload.read(payload.element()).same(payload)


@pytest.mark.parametrize("xml", ["<x>", "", "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"])
def test_xml_that_is_not_a_plain_element_is_refused(xml: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="x: "):
        Payload.parse("x", xml)
