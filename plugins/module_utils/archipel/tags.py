# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Tags: words by which machines and hypervisors are found, grouped, and meant by grants.

A machine's tags stand in its metadata, in an element of their own, so that they travel with it. Since grants name them,
nothing but ``vm_tags`` changes them: a definition that is given, a clone, a snapshot that is gone back to neither sets
nor drops any.

Its owner stands there too: who made it through an agent, for whom it is as if he had a grant.
"""

from __future__ import annotations

import copy
import re
import typing as t

from . import xmltree
from .connection import libvirt
from .errors import InvalidArgument

MOST: t.Final = 64
# A site's name is one, too.
TAG: t.Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
FORM: t.Final = "1 to 64 of letters, digits and . _ : -, beginning with a letter or a digit"
_ELEMENT: t.Final = f"{{{xmltree.TAGS_NAMESPACE}}}tags"

Tags = tuple[str, ...]
Mode = t.Literal["add", "set", "remove"]


class Label(t.Protocol):
    """Where a hypervisor stands, its own tags, and whether it is in maintenance. libvirt has no place for them."""

    site: str | None
    # ``latitude`` and ``longitude`` in degrees.
    coordinates: t.Mapping[str, float] | None
    # ``since`` when (UTC, ISO 8601), and ``by`` whom; None while it is not.
    maintenance: t.Mapping[str, str] | None

    @property
    def tags(self) -> Tags:
        """Those that are kept."""

    def tag(self, tags: Tags) -> None:
        """Keep these in place of those."""


def bound(untrusted: t.Iterable[str]) -> Tags:
    """Tags from outside, each once, in order; InvalidArgument names the one that cannot be."""
    for tag in untrusted:
        if not TAG.fullmatch(tag):
            raise InvalidArgument(f"tags: {tag[:80]!r} cannot be a tag; it has {FORM}.")
    return tuple(sorted(set(untrusted)))


def merged(there: Tags, named: Tags, mode: Mode) -> Tags:
    """The tags that are to be there; InvalidArgument where they are too many."""
    if mode == "remove":
        return tuple(tag for tag in there if tag not in named)
    both = named if mode == "set" else tuple(sorted({*there, *named}))
    if len(both) > MOST:
        raise InvalidArgument(f"tags: {len(both)} are too many; at most {MOST} are kept.")
    return both


def of(domain: t.Any, *, persistent: bool) -> tuple[Tags, str | None]:
    """A domain's tags, and its owner's bare JID; a libvirtError where it cannot be asked.

    They are those of its configuration: what a machine runs with may be older, where it goes on from saved memory.
    """
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG if persistent else libvirt.VIR_DOMAIN_AFFECT_CURRENT
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, xmltree.TAGS_NAMESPACE, flags)
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_SUPPORT):
            return (), None
        raise
    element = xmltree.parse_trusted(text)
    return _read(element), element.get("owner")


def document(tags: Tags, owner: str | None = None) -> str | None:
    """The element as virDomainSetMetadata wants it, without its namespace; None for nothing."""
    element = xmltree.element("tags")
    for tag in tags:
        element.append(xmltree.element("tag", name=tag))
    if owner:
        element.set("owner", owner)
    return xmltree.serialise(element) if tags or owner else None


def keep(node: t.Any, current: t.Any | None) -> None:
    """Give a definition the tags and the owner of the one that is there, whatever it says itself."""
    for element in node.findall(f"metadata/{_ELEMENT}"):
        element.getparent().remove(element)
    there = None if current is None else current.find(f"metadata/{_ELEMENT}")
    if there is not None:
        xmltree.write(node, "metadata?", "").append(copy.deepcopy(there))


def _read(element: t.Any) -> Tags:
    """libvirt keeps what others wrote there by hand; only what can be a tag is one."""
    names = [tag.get("name", "") for tag in element.iterfind("{*}tag")]
    return tuple(sorted({name for name in names if TAG.fullmatch(name)})[:MOST])
