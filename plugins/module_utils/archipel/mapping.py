# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's definition as it is to be on another hypervisor: its disks in other pools, its interfaces in other
networks, drives without the media that are not there."""

from __future__ import annotations

import os.path
import typing as t

from . import belongings, images, storage, xmltree
from .disks import PATH

Map = t.Mapping[str, str]


class Place(t.NamedTuple):
    """Where a disk's image is on the source, and what the pool of the destination is called. ``pool`` is None of one
    in no active pool."""

    target: str
    pool: str | None
    volume: str
    path: str | None
    new_pool: str | None


def places(handle: t.Any, domain: t.Any, storage_map: Map) -> list[Place]:
    """Of each disk that the machine writes to and has for itself."""
    found = []
    for image in images.written(handle, domain):
        if image.path is not None and not image.shared:
            source = image.node.find("source")
            pool = source.get("pool") or storage.pool_of(handle, image.path)
            volume = source.get("volume") or os.path.basename(image.path)
            found.append(Place(image.target, pool, volume, image.path, storage_map.get(pool or "")))
    return found


def connect(domain: t.Any, network_map: Map) -> None:
    """Put interfaces into other networks, and on other bridges and devices."""
    for node in domain.iterfind("devices/interface"):
        source = node.find("source")
        key = "network" if node.get("type") == "network" else "bridge" if node.get("type") == "bridge" else "dev"
        if source is not None and source.get(key) in network_map:
            name = network_map[source.get(key)]
            # What else stands there is the old network's: its bridge, a port of it.
            source.attrib.clear()
            source.set(key, name)


def eject(domain: t.Any, targets: t.Collection[str]) -> None:
    """Leave the drives of these targets empty."""
    for node in domain.iterfind("devices/disk"):
        if xmltree.read(node, "target/@dev") in targets:
            PATH.write(node, "")


def expect(domain: t.Any, places: t.Iterable[Place]) -> None:
    """Name the disks that get another pool by that pool: which path they have there is not known yet."""
    for place in places:
        node = disk(domain, place.target)
        if place.new_pool and node is not None:
            PATH.write(node, "")
            node.set("type", "volume")
            for key, value in (("pool", place.new_pool), ("volume", place.volume)):
                xmltree.write(node, f"source/@{key}", value)


def store(domain: t.Any, places: t.Iterable[Place], paths: Map) -> None:
    """Have the disks that get another pool where they are on the destination, by target; what was noted as made for
    this machine goes along."""
    for place in places:
        node = disk(domain, place.target)
        if not place.new_pool or node is None:
            continue
        PATH.write(node, paths[place.target])
        if place.pool and (place.pool, place.volume) in belongings.noted(domain):
            belongings.note(domain, place.pool, place.volume, owned=False)
            belongings.note(domain, place.new_pool, place.volume)


def disk(domain: t.Any, target: str) -> t.Any:
    """The disk of that target; None where there is none."""
    disks = domain.iterfind("devices/disk")
    return next((node for node in disks if xmltree.read(node, "target/@dev") == target), None)
