# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions as people write them, and the domain XML that they become: tests/data/golden.

``pytest --regenerate`` writes the XML again; what changed is then in git's difference, to be looked at.
"""

from __future__ import annotations

import pathlib

import pytest
import yaml
from archipel import definition, xmltree
from archipel.capabilities import Capabilities
from archipel.definition import Definition
from lxml import etree

DATA = pathlib.Path(__file__).resolve().parents[5] / "tests/data"
GOLDEN = sorted((DATA / "golden").glob("*.yml"))
SCHEMA = etree.RelaxNG(etree.parse("/usr/share/libvirt/schemas/domain.rng"))
UUID = "bbbbbbbb-0000-4000-8000-00000000000b"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_definition_becomes_the_same_machine_as_ever(path: pathlib.Path, pytestconfig: pytest.Config) -> None:
    """It is as libvirt's schema wants it, and the same definition finds nothing to do in it."""
    offers = Capabilities(xmltree.parse_trusted((DATA / "domcapabilities.xml").read_text()))
    values = Definition.bind(yaml.safe_load(path.read_text()), "").values
    defaults = {"type": "qemu", "arch": "x86_64", "machine": "q35"}
    defaults.update((key, values[key]) for key in defaults if key in values)
    node = definition.new(path.stem, UUID, defaults, values, offers)
    definition.apply(node, values)
    definition.METADATA.write(node, values.get("metadata", {}))
    text = xmltree.serialise(node)
    assert SCHEMA.validate(etree.fromstring(text)), SCHEMA.error_log.last_error
    assert definition.apply(node, values) == []
    assert xmltree.serialise(node) == text
    golden = path.with_suffix(".xml")
    if pytestconfig.getoption("regenerate"):
        golden.write_text(text)
    assert golden.read_text() == text
