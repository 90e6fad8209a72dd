# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declarations of attributes: what derives from one line."""

from __future__ import annotations

import typing as t

import pytest
from archipel import xmltree
from archipel.actions import HIDDEN
from archipel.elements import Attribute, Change, Element
from archipel.errors import InvalidArgument
from archipel.plan import Plan

SAFE = Element(
    "safe", (Attribute("code", "@code", "A code.", secret=True), Attribute("colour", "@colour", "A colour."))
)


@pytest.fixture
def safe() -> t.Any:
    return xmltree.parse('<safe code="1234" colour="red"/>', "safe")


def test_a_secret_attribute_is_compared_and_written_as_it_is(safe: t.Any) -> None:
    assert SAFE.compare(safe, SAFE.bind({"code": "1234"}, "")) == []
    changes = SAFE.compare(safe, SAFE.bind({"code": "5678"}, ""))
    SAFE.write(safe, {change.path: change.new for change in changes})
    assert safe.get("code") == "5678"


def test_a_change_of_a_secret_attribute_tells_neither_the_old_nor_the_new(safe: t.Any) -> None:
    wanted = SAFE.bind({"code": "5678", "colour": "blue"}, "")
    plan = Plan()
    plan.add([*SAFE.compare(safe, wanted), Change("safes[0]", None, wanted)], lambda: None)
    result = plan.result("The safe", check=True)
    assert result["changes"] == [
        {"path": "code", "old": HIDDEN, "new": HIDDEN, "scope": "config"},
        {"path": "colour", "old": "red", "new": "blue", "scope": "config"},
        {"path": "safes[0]", "old": None, "new": {"code": HIDDEN, "colour": "blue"}, "scope": "config"},
    ]
    assert "5678" not in str(result)
    assert "1234" not in str(result)


def test_a_secret_attribute_is_an_option_that_is_not_logged() -> None:
    assert SAFE.options()["code"]["no_log"] is True
    assert "no_log" not in SAFE.options()["colour"]


def test_the_refusal_of_a_secret_attribute_does_not_tell_it() -> None:
    with pytest.raises(InvalidArgument, match="safes.0..code: .hidden. is not of type str"):
        SAFE.bind({"code": 1234}, "safes[0]")
