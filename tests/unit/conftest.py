# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection, importable where it lies.

The core has two names, ``archipel`` of the agent's wheel and that of the collection. Tests use either; both are the
same modules here, or there would be two of each class in one process.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import sys

import pytest
from ansible.plugins.loader import init_plugin_loader

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORE = ROOT / "plugins/module_utils/archipel"
CORE_IN_COLLECTION = "ansible_collections.archipel.orchestrator.plugins.module_utils.archipel"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write tests/data/golden/*.xml again")


def pytest_configure(config: pytest.Config) -> None:
    tree = ROOT / ".cache/collections"
    link = tree / "ansible_collections/archipel/orchestrator"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT, target_is_directory=True)
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(tree)
    init_plugin_loader([str(tree)])

    sys.modules[CORE_IN_COLLECTION] = importlib.import_module("archipel")
    for file in CORE.glob("[!_]*.py"):
        sys.modules[f"{CORE_IN_COLLECTION}.{file.stem}"] = importlib.import_module(f"archipel.{file.stem}")
