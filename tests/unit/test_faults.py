# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of others (docs/faults.md): each has its test, and that is there."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
# Of both tables, without their heads and the lines below these.
ROWS = re.findall(r"^\| (?!fault ).+", (ROOT / "docs/faults.md").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_each_fault_has_a_test_that_is_there(row: str) -> None:
    named = TEST.findall(row)
    assert named
    assert [f"{file}::{name}" for file, name in named if name not in functions(ROOT / file)] == []


def functions(file: pathlib.Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_nothing_extracts_archives() -> None:
    """Nothing of ours needs to so far. What will, needs tests with paths, links and sizes that mean harm."""
    product = [file for place in ("plugins", "roles", "playbooks") for file in (ROOT / place).rglob("*.*")]
    extracts = re.compile(r"\.extract(all)?\(|unpack_archive|\bunarchive:|\btar\b.* -?-?x|\bunzip\b")
    texts = {file: file.read_text(encoding="utf-8") for file in product if file.suffix in (".py", ".yml", ".j2", ".sh")}
    assert len(texts) > 100
    assert [str(file) for file, text in texts.items() if extracts.search(text)] == []
