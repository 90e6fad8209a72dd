# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import typing as t

import pytest
from archipel import errors
from archipel.errors import ArchipelError, Conflict, OperationFailed, from_data

TRUNK_AND_NAME = re.compile(r"(.*── )?\w+")


def drawn(kind: type[ArchipelError], indent: str = "") -> t.Iterator[str]:
    """The tree of errors as the docstring draws it, names only."""
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and kind in each.__bases__]
    for each in kinds:
        last = each is kinds[-1]
        yield f"{indent}{'└' if last else '├'}── {each.__name__}"
        yield from drawn(each, indent + ("    " if last else "│   "))


def test_the_docstring_draws_the_whole_tree() -> None:
    """Whoever reads the docstring knows every error and its place."""
    lines = (errors.__doc__ or "").splitlines()
    tree = [line[4:] for line in lines[lines.index("    ArchipelError") :] if line.strip()]
    assert [TRUNK_AND_NAME.match(line)[0] for line in tree] == ["ArchipelError", *drawn(ArchipelError)]  # type: ignore[index]


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ArchipelError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_the_wire_and_is_the_same(kind: type[ArchipelError]) -> None:
    """Kind, message and what was changed survive as_data and from_data, and what became of each of many machines."""
    change = {"path": "memory", "old": 1, "new": 2, "scope": "config"}
    vm = {"name": "web1", "changed": False}
    there = from_data(kind("No.", changes=[change], vms=[vm]).as_data())
    assert (type(there), there.message, there.changes, there.vms) == (kind, "No.", [change], [vm])
    assert kind("No.").as_data().keys() == {"code", "msg", "changes"}


def test_every_error_has_a_code_of_its_own() -> None:
    """A code means one kind."""
    assert len({kind.code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("untrusted", [None, [], "x", {}, {"changes": "abc"}, {"changes": [1, None]}, {"code": []}])
def test_data_in_no_known_form_is_a_failed_operation(untrusted: t.Any) -> None:
    """Whatever a peer answers is an error that can be told."""
    error = from_data(untrusted)
    assert error.__class__ is OperationFailed
    assert error.message
    assert error.changes == []


def test_a_code_of_a_newer_version_is_a_failed_operation() -> None:
    """Its message is kept."""
    assert str(from_data({"code": "from_the_future", "msg": "Not yet."})) == "Not yet."
    assert isinstance(from_data({"code": "conflict", "msg": "x"}), Conflict)
