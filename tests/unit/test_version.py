# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Version and commands stand in several files, because each is read by a tool that reads no other."""

from __future__ import annotations

import pathlib
import re
import runpy
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def written(path: str, pattern: str) -> str:
    found = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
    assert found is not None, f"{path} says no version"
    return found[1]


def test_the_version_is_the_same_everywhere() -> None:
    """Collection, wheel and agent are released together."""
    wheel = PROJECT["version"]
    assert written("galaxy.yml", r"^version: (.+)$") == wheel
    assert written("roles/agent/files/archipel_agent/__init__.py", r'^__version__ = "(.+)"$') == wheel


def test_the_commands_are_the_same_in_both_wheels() -> None:
    """The one that the role makes on the controller, and the one that a packager builds."""
    assert runpy.run_path(str(ROOT / "roles/agent/files/wheel.py"))["COMMANDS"] == PROJECT["scripts"]
