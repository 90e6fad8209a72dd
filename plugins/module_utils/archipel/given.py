# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A definition given as libvirt's own XML: compared with what is there, without libvirt's additions.

libvirt completes what it is given: addresses, aliases, MACs, controllers, defaults. So what was given is compared as
a part of what is there; and of the devices that people define, none may be there that was not given.
"""

from __future__ import annotations

import copy
import typing as t

from . import definition, xmltree
from .elements import Change

# What stands for one device of several under the same tag.
_IDENTITIES: t.Final = {
    "disk": "target/@dev",
    "interface": "mac/@address",
    "graphics": "@type",
    "channel": "target/@name",
}
# libvirt adds none of these by itself, so one that was not given has to go.
_DEVICES: t.Final = (
    "disk",
    "interface",
    "filesystem",
    "hostdev",
    "graphics",
    "channel",
    "rng",
    "tpm",
    "vsock",
    "redirdev",
)
_BYTES_OF_UNIT: t.Final = {"b": 1, "bytes": 1, "k": 1 << 10, "KiB": 1 << 10, "M": 1 << 20, "MiB": 1 << 20,
                           "G": 1 << 30, "GiB": 1 << 30, "T": 1 << 40, "TiB": 1 << 40}  # fmt: skip


def complete(given: t.Any, current: t.Any | None) -> t.Any:
    """A copy of what was given that keeps the identity of what is there: UUID, MACs, and our metadata."""
    node = copy.deepcopy(given)
    if current is None:
        if not definition.managed(node):
            xmltree.write(node, "metadata/archipel:machine?", "")
        return node
    xmltree.write(node, "uuid", xmltree.read(current, "uuid"))
    if definition.managed(current) and not definition.managed(node):
        ours = copy.deepcopy(current.find("metadata").find(f"{{{xmltree.NAMESPACE}}}machine"))
        xmltree.write(node, "metadata?", "").append(ours)
    there = current.findall("devices/interface")
    named = {xmltree.read(i, "mac/@address") for i in node.findall("devices/interface")}
    unnamed = [i for i in there if xmltree.read(i, "mac/@address") not in named]
    for interface in node.findall("devices/interface"):
        if xmltree.read(interface, "mac/@address") is None and unnamed:
            xmltree.write(interface, "mac/@address", xmltree.read(unnamed.pop(0), "mac/@address"))
    return node


def compare(given: t.Any, current: t.Any, *, machine_types: t.Mapping[str, str]) -> list[Change]:
    """What of a completed document is not there. ``machine_types`` are libvirt's aliases, name → canonical name."""
    alias = xmltree.read(given, "os/type/@machine")
    if alias in machine_types and xmltree.read(current, "os/type/@machine") == machine_types[alias]:
        current = copy.deepcopy(current)
        xmltree.write(current, "os/type/@machine", alias)
    return list(_walk(given, current, ""))


def _walk(given: t.Any, current: t.Any, path: str) -> t.Iterator[Change]:
    sized = _size(given) is not None and _size(current) is not None
    for key, value in given.attrib.items():
        if not (sized and key == "unit") and not _same(current.get(key), value):
            yield Change(f"{path}@{key}", current.get(key), value)
    if not len(given):
        old, new = (current.text or "").strip(), (given.text or "").strip()
        differs = _size(given) != _size(current) if sized else old != new
        if new and differs:
            yield Change(path.rstrip("/") or given.tag, old, new)
    for tag in dict.fromkeys(child.tag for child in given if isinstance(child.tag, str)):
        yield from _walk_children(tag, given.findall(tag), current.findall(tag), path)
    if given.tag == "devices":
        for tag in _DEVICES:
            if given.find(tag) is None:
                for extra in current.findall(tag):
                    yield Change(f"{path}{tag}[{_name(extra, 0)}]", xmltree.serialise(extra), None)


def _walk_children(tag: str, given: list[t.Any], current: list[t.Any], path: str) -> t.Iterator[Change]:
    left = list(current)
    for i, child in enumerate(given):
        identity = xmltree.read(child, _IDENTITIES[tag]) if tag in _IDENTITIES else None
        found = next((c for c in left if identity and _same(xmltree.read(c, _IDENTITIES[tag]), identity)), None)
        if identity is None and left:
            found = left[0]
        label = tag if len(given) == len(current) == 1 and tag not in _IDENTITIES else f"{tag}[{_name(child, i)}]"
        if found is None:
            yield Change(f"{path}{label}", None, xmltree.serialise(child))
            continue
        left.remove(found)
        yield from _walk(child, found, f"{path}{label}/")
    if tag in _DEVICES:
        for extra in left:
            yield Change(f"{path}{tag}[{_name(extra, 0)}]", xmltree.serialise(extra), None)


def _name(node: t.Any, index: int) -> str:
    identity = xmltree.read(node, _IDENTITIES[node.tag]) if node.tag in _IDENTITIES else None
    return identity or str(index)


def _same(old: str | None, new: str) -> bool:
    return old is not None and (old == new or (":" in new and old.lower() == new.lower()))


def _size(node: t.Any) -> int | None:
    """Bytes of an element like ``<memory unit='KiB'>``, whose unit is KiB where none is given."""
    if node.tag not in ("memory", "currentMemory", "maxMemory"):
        return None
    text = (node.text or "").strip()
    unit = _BYTES_OF_UNIT.get(node.get("unit", "KiB"))
    return int(text) * unit if unit and text.isdigit() else None
