# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Documents of libvirt: read without trust, addressed by short paths.

The one place that imports lxml. A path is ``target/@dev`` (an attribute), ``title`` (a text), ``readonly?`` (whether
an element is there) or ``.`` (the element itself). ``timer[name=hpet]`` is the element of that tag with that attribute;
the prefix ``archipel:`` stands for the namespace of our metadata, ``archipel-tags:`` for that of tags, ``libosinfo:``
for libosinfo's.
"""

from __future__ import annotations

import collections
import copy
import functools
import re
import typing as t

from .errors import InvalidDefinition, Unavailable

try:
    from lxml import etree
except ImportError:
    etree = None  # type: ignore[assignment]

NAMESPACE = "https://archipel-orchestrator.org/ns/machine/1"
PREFIX = "archipel"
TAGS_NAMESPACE = "https://archipel-orchestrator.org/ns/tags/1"
TAGS_PREFIX = "archipel-tags"
_NAMESPACES: t.Final = {PREFIX: NAMESPACE, TAGS_PREFIX: TAGS_NAMESPACE,
                        "libosinfo": "http://libosinfo.org/xmlns/libvirt/domain/1.0"}  # fmt: skip
MAX_DOCUMENT = 1 << 20  # characters; a domain of a hundred disks has 60,000
# What no XML document can hold (XML 1.0, Char)
UNSTORABLE: t.Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse(untrusted: str, root: str) -> t.Any:
    """The root element of a document from outside: no entities, no network, no DTD, bounded in size."""
    _require_lxml()
    if len(untrusted) > MAX_DOCUMENT:
        raise InvalidDefinition(f"The document has {len(untrusted)} characters; at most {MAX_DOCUMENT} are read.")
    try:
        # The encoding is ours, whatever the document says of its own.
        node = etree.fromstring(untrusted.encode(), _parser(encoding="utf-8", remove_comments=True, remove_pis=True))
    except (etree.XMLSyntaxError, UnicodeEncodeError) as error:
        raise InvalidDefinition(f"The document is not well-formed XML: {error}.") from error
    if node.getroottree().docinfo.doctype:
        raise InvalidDefinition(
            "The document has a document type declaration; libvirt's documents have none. Remove it."
        )
    if node.tag != root:
        raise InvalidDefinition(f"The document is a <{_short(node.tag)}>; a <{root}> is needed.")
    return node


def parse_trusted(text: str) -> t.Any:
    """The root element of a document that libvirt gave."""
    _require_lxml()
    return etree.fromstring(text.encode(), _parser())


def _require_lxml() -> None:
    if etree is None:
        raise Unavailable(
            "The Python package lxml is missing where this runs; install the distribution's python3-lxml."
        )


def _parser(**options: t.Any) -> t.Any:
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_blank_text=True, **options
    )


def element(tag: str, **attributes: str) -> t.Any:
    """A new element, prefixed names in their namespaces."""
    prefix, colon, _name = tag.rpartition(":")
    return etree.Element(_clark(tag), attributes, nsmap={prefix: _NAMESPACES[prefix]} if colon else None)


def serialise(node: t.Any) -> str:
    return etree.tostring(node, encoding="unicode", pretty_print=True)


def unqualified(node: t.Any) -> str:
    """An element of our namespace without it, as virDomainSetMetadata wants it: libvirt puts the whole tree into it."""
    bare = copy.deepcopy(node)
    for inner in bare.iter(f"{{{NAMESPACE}}}*"):
        inner.tag = etree.QName(inner).localname
    etree.cleanup_namespaces(bare)
    return etree.tostring(bare, encoding="unicode")


def read(node: t.Any, path: str) -> str | None:
    """What stands at a path, as text; for ``?`` ``""`` if it is there. None where nothing is."""
    steps, leaf = _split(path)
    for step in steps:
        node = step.find(node)
        if node is None:
            return None
    if leaf is None:
        return (node.text or "").strip()
    return "" if leaf == "?" else node.get(leaf)


def begin(path: str) -> str | None:
    """What is in the outline of every node that has something at a path; None for the path of the node itself."""
    steps, leaf = _split(path)
    return steps[0].clark if steps else leaf and f"@{leaf}"


def outline(node: t.Any) -> set[str]:
    """The tags of its children, and the names of its attributes with an ``@``."""
    return {*(child.tag for child in node), *(f"@{name}" for name in node.attrib)}


def places(domain: t.Any) -> dict[str, list[t.Any]]:
    """Elements by their path, which is ``.``, ``cpu`` or ``devices/disk``; one walk for all that is looked for."""
    found = collections.defaultdict(list, {".": [domain]})
    for child in domain:
        found[child.tag].append(child)
        for device in child if child.tag == "devices" else ():
            found[f"devices/{device.tag}"].append(device)
    return found


def read_all(node: t.Any, path: str) -> list[str]:
    """The attribute at the end of a path, of every element there."""
    steps, leaf = _split(path)
    found = node.findall("/".join(step.clark for step in steps))
    return [each.get(leaf) for each in found if each.get(leaf) is not None]


def write(node: t.Any, path: str, value: str | None) -> t.Any:
    """Put a value at a path, making what is missing; None takes it away, and with an attribute the element that says
    nothing without it. The element that holds the value."""
    steps, leaf = _split(path)
    for step in steps:
        child = step.find(node)
        if child is None:
            if value is None:
                return None
            child = step.make()
            node.append(child)
        node = child
    if leaf is None and value is not None:
        node.text = value
    elif leaf in (None, "?"):
        if value is None:
            node.getparent().remove(node)
    elif value is None:
        there = node.attrib.pop(leaf, None)
        if there is not None and steps and not node.attrib and not len(node) and not (node.text or "").strip():
            node.getparent().remove(node)
    else:
        node.set(leaf, value)
    return node


def write_all(node: t.Any, path: str, values: t.Sequence[str]) -> None:
    """One element per value, in place of those that were there."""
    place, _slash, name = path.rpartition("/@")
    holder, _slash, tag = place.rpartition("/")
    parent = write(node, f"{holder}?", "") if holder else node
    for old in list(parent.iterchildren(_clark(tag))):
        parent.remove(old)
    for value in values:
        parent.append(element(tag, **{name: value}))


class _Step(t.NamedTuple):
    """One element further in: of this tag and, where ``key`` is one, with this attribute."""

    tag: str
    clark: str
    key: str
    value: str

    def find(self, node: t.Any) -> t.Any:
        children = node.iterchildren(self.clark)
        if self.key:
            children = (child for child in children if child.get(self.key) == self.value)
        return next(children, None)

    def make(self) -> t.Any:
        return element(self.tag, **({self.key: self.value} if self.key else {}))


_STEP: t.Final = re.compile(r"([\w:-]+)(?:\[([\w:-]+)=(.+)\])?")


@functools.cache
def _split(path: str) -> tuple[tuple[_Step, ...], str | None]:
    """``a/b/@c`` is ``(a, b), c``; ``a/b`` is ``(a, b), None``; ``a/b?`` is ``(a, b), ?``."""
    *steps, last = path.split("/")
    leaf = None
    if last.startswith("@"):
        leaf = last[1:]
    elif path != ".":
        leaf = "?" if last.endswith("?") else None
        steps.append(last.rstrip("?"))
    matches = [t.cast("re.Match[str]", _STEP.fullmatch(step)) for step in steps]
    return tuple(_Step(m[1], _clark(m[1]), m[2] or "", m[3] or "") for m in matches), leaf


def _clark(tag: str) -> str:
    prefix, colon, name = tag.rpartition(":")
    return f"{{{_NAMESPACES[prefix]}}}{name}" if colon else tag


def _short(tag: str) -> str:
    return str(tag)[:80]
