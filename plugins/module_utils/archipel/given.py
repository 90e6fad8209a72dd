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

from . import definition, interfaces, tags, xmltree
from .actions import HIDDEN
from .elements import Change, unit_size

# What stands for one device of several under the same tag.
_IDENTITIES: t.Final = {
    "disk": "target/@dev",
    "interface": "mac/@address",
    "graphics": "@type",
    "channel": "target/@name",
    "controller": "@type",
    "feature": "@name",
    "timer": "@name",
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
# Lists that libvirt leaves as they are given.
_LISTS: t.Final = ("boot", "feature")
# What libvirt puts into every domain by itself. Anything else that was not given has to go.
_COMPLETED: t.Final = frozenset(("uuid", "currentMemory", "vcpu", "resource", "metadata", "os", "features", "cpu",
                                 "clock", "on_poweroff", "on_reboot", "on_crash", "devices", "seclabel"))  # fmt: skip
_SECRET: t.Final = "passwd"  # of graphics; the only one that VIR_DOMAIN_XML_SECURE adds


def complete(given: t.Any, current: t.Any | None, aliases: t.Mapping[str, str]) -> t.Any:
    """A copy of what was given that keeps the identity of what is there: UUID, MACs, machine type and our
    metadata. It has the tags that are there.

    ``aliases`` are libvirt's for machine types, name → canonical name.
    """
    node = copy.deepcopy(given)
    _lay_to_rest(node)
    xmltree.write(node, "devices?", "")  # none given are none wanted
    tags.keep(node, current)
    if current is None:
        if not definition.managed(node):
            xmltree.write(node, "metadata/archipel:machine?", "")
        return node
    xmltree.write(node, "uuid", xmltree.read(current, "uuid"))
    if definition.managed(current) and not definition.managed(node):
        ours = copy.deepcopy(current.find("metadata").find(f"{{{xmltree.NAMESPACE}}}machine"))
        xmltree.write(node, "metadata?", "").append(ours)
    machine = xmltree.read(node, "os/type/@machine")
    if machine is not None:
        there = xmltree.read(current, "os/type/@machine")
        xmltree.write(node, "os/type/@machine", definition.machine_type(machine, there, aliases))
    named = node.findall("devices/interface")
    wanted = [{k: v for k, v in interfaces.INTERFACE.read(i).items() if k in interfaces.IDENTITY and v} for i in named]
    for interface, found in zip(named, interfaces.INTERFACE.pair(current.findall("devices/interface"), wanted)):
        if found is not None:
            xmltree.write(interface, "mac/@address", xmltree.read(found, "mac/@address"))
    return node


def _lay_to_rest(node: t.Any) -> None:
    """Forget what libvirt tells of a running machine only: it does not keep that, so it would differ at every run."""
    node.attrib.pop("id", None)
    for device in node.iterfind("devices/*"):
        if not (xmltree.read(device, "alias/@name") or "").startswith("ua-"):  # the aliases that people may give
            xmltree.write(device, "alias", None)
        if device.get("type") == "pty":
            xmltree.write(device, "source", None)
            xmltree.write(device, "@tty", None)
        if device.tag == "interface" and (xmltree.read(device, "target/@dev") or "").startswith("vnet"):
            xmltree.write(device, "target/@dev", None)
        for source in device.iterfind(".//source[@index]"):
            xmltree.write(source, "@index", None)


def compare(given: t.Any, current: t.Any) -> list[Change]:
    """What of a completed document is not there, and what is there beside it."""
    changes = list(_walk(given, current, ""))
    named = {child.tag for child in given} | _COMPLETED
    return changes + [Change(extra.tag, _shown(extra), None) for extra in current if extra.tag not in named]


def _walk(given: t.Any, current: t.Any, path: str) -> t.Iterator[Change]:
    sized = _size(given) is not None and _size(current) is not None
    for key, value in given.attrib.items():
        if not (sized and key in ("unit", "size")) and not _same_attribute(given, current, key):
            old = current.get(key)
            yield Change(f"{path}@{key}", *(HIDDEN if key == _SECRET and text else text for text in (old, value)))
    if not len(given):
        old, new = (f"{_size(n)} KiB" if sized else (n.text or "").strip() for n in (current, given))
        if new and old != new:
            yield Change(path.rstrip("/") or given.tag, old, new)
    for tag in dict.fromkeys(child.tag for child in given if isinstance(child.tag, str)):
        yield from _walk_children(tag, given.findall(tag), current.findall(tag), path)
    if given.tag == "devices":
        for tag in _DEVICES:
            if given.find(tag) is None:
                for extra in current.findall(tag):
                    yield Change(f"{path}{tag}[{_name(extra, 0)}]", _shown(extra), None)


def _walk_children(tag: str, given: list[t.Any], current: list[t.Any], path: str) -> t.Iterator[Change]:
    left = list(current)
    for i, child in enumerate(given):
        found = next((c for c in left if _identity(c).lower() == _identity(child).lower()), None)
        label = tag if len(given) == len(current) == 1 and tag not in _IDENTITIES else f"{tag}[{_name(child, i)}]"
        if found is None:
            yield Change(f"{path}{label}", None, _shown(child))
            continue
        left.remove(found)
        yield from _walk(child, found, f"{path}{label}/")
    if tag in _DEVICES or tag in _LISTS:
        for extra in left:
            yield Change(f"{path}{tag}[{_name(extra, 0)}]", _shown(extra), None)


def _identity(node: t.Any) -> str:
    """What tells it from others of its tag; nothing, where only their order does."""
    return (node.tag in _IDENTITIES and xmltree.read(node, _IDENTITIES[node.tag])) or ""


def _name(node: t.Any, index: int) -> str:
    return _identity(node) or str(index)


def _shown(node: t.Any) -> str:
    """An element as a change tells of it, which is read by more people than may know a password."""
    shown = copy.deepcopy(node)
    for inner in shown.iter():
        if _SECRET in inner.attrib:
            inner.set(_SECRET, HIDDEN)
    return xmltree.serialise(shown)


def _same_attribute(given: t.Any, current: t.Any, key: str) -> bool:
    new = given.get(key)
    if given.tag == "vcpu" and key == "current":
        # libvirt leaves it out where all CPUs are there.
        return new == current.get(key, (current.text or "").strip())
    return _same(current.get(key), new)


def _same(old: str | None, new: str) -> bool:
    if old is None or old == new:
        return old is not None
    number = _number(old)
    return (number is not None and number == _number(new)) or (":" in new and old.lower() == new.lower())


def _number(text: str) -> int | None:
    """PCI addresses and the like, which libvirt writes in its own form: ``0x0a`` is ``10``."""
    try:
        return int(text, 0)
    except ValueError:
        return None


def _size(node: t.Any) -> int | None:
    """KiB of an element like ``<memory unit='MiB'>``, rounded up as libvirt does; it is KiB where no unit is given."""
    if "unit" not in node.attrib and node.tag not in ("memory", "currentMemory", "maxMemory"):
        return None
    text = node.get("size") or (node.text or "").strip()
    unit = unit_size(node.get("unit"))
    return -(-int(text) * unit // 1024) if unit and text.isdigit() else None
