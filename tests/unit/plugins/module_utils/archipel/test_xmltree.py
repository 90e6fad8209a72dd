# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import time

import pytest
from archipel import xmltree
from archipel.errors import InvalidDefinition

LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
BOMB = f'<!DOCTYPE domain [<!ENTITY l0 "lol">{LAUGHS}]><domain><name>&l9;</name></domain>'
BOMB_IN_ATTRIBUTE = BOMB.replace("<name>&l9;</name>", '<name a="&l9;"/>')
FILE = '<!DOCTYPE domain [<!ENTITY x SYSTEM "file:///etc/hostname">]><domain><name>&x;</name></domain>'
DTD = '<!DOCTYPE domain SYSTEM "http://192.0.2.1/evil.dtd"><domain/>'


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "not well-formed"),
        ("<domain>", "not well-formed"),
        ("<domain/><domain/>", "not well-formed"),
        ("plain text", "not well-formed"),
        ("<domain>\x00</domain>", "not well-formed"),
        ("<domain>\ud800</domain>", "not well-formed"),
        ("<domain>" + "<a>" * 5000 + "</a>" * 5000 + "</domain>", "not well-formed"),
        ("<network/>", "is a <network>; a <domain> is needed"),
        ("<!DOCTYPE domain><domain/>", "document type declaration"),
        (DTD, "document type declaration"),
        (FILE, "document type declaration"),
        (BOMB, "not well-formed|document type declaration"),
        (BOMB_IN_ATTRIBUTE, "not well-formed|document type declaration"),
        (f"<domain>{' ' * xmltree.MAX_DOCUMENT}</domain>", "characters; at most"),
    ],
)
def test_a_document_from_outside_is_not_trusted(document: str, reason: str) -> None:
    """Whatever is wrong or dangerous is refused at once, with the reason."""
    began = time.process_time()
    with pytest.raises(InvalidDefinition, match=reason):
        xmltree.parse(document, "domain")
    assert time.process_time() - began < 1


def test_a_documents_own_encoding_does_not_matter() -> None:
    """It came as text, decoded by whoever read it."""
    node = xmltree.parse('<?xml version="1.0" encoding="ISO-8859-1"?><domain><title>Größe</title></domain>', "domain")
    assert xmltree.read(node, "title") == "Größe"


def test_comments_say_nothing() -> None:
    """A comment within a value does not split it."""
    node = xmltree.parse("<domain><!-- a --><name>we<!-- b -->b1</name></domain>", "domain")
    assert xmltree.read(node, "name") == "web1"
    assert len(node) == 1


def test_a_path_reads_what_it_wrote() -> None:
    """Elements that are missing are made; None takes away."""
    node = xmltree.element("domain")
    for path, value in (("title", "A"), ("a/b/@c", "B"), ("devices/x?", ""), ("metadata/archipel:machine/@k", "C")):
        assert xmltree.read(node, path) is None
        xmltree.write(node, path, value)
        assert xmltree.read(node, path) == value
        xmltree.write(node, path, None)
        assert xmltree.read(node, path) is None
    xmltree.write(node, "not/there/@at", None)
    assert node.find("not") is None


def test_a_list_is_written_in_place_of_the_old_one() -> None:
    """In its order, whatever was there."""
    node = xmltree.element("domain")
    xmltree.write_all(node, "os/boot/@dev", ["hd", "cdrom"])
    xmltree.write_all(node, "os/boot/@dev", ["network"])
    assert xmltree.read_all(node, "os/boot/@dev") == ["network"]


def test_our_element_without_its_namespace() -> None:
    """As virDomainSetMetadata wants it."""
    node = xmltree.element("archipel:machine")
    xmltree.write(node, "archipel:location", "Lab")
    assert xmltree.unqualified(node) == "<machine><location>Lab</location></machine>"


def test_what_libvirt_wrote_is_written_again_as_it_was(data: pathlib.Path) -> None:
    """Reading and writing a domain loses nothing."""
    text = (data / "defined.xml").read_text().partition("-->")[2].strip()
    again = xmltree.serialise(xmltree.parse_trusted(text)).strip()
    assert again.replace('"', "'") == text.replace('"', "'")
