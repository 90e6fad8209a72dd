# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A volume: what a person may say about it, and libvirt's volume XML."""

from __future__ import annotations

import typing as t
import urllib.parse

from . import content, storage, xmltree
from .blueprint import Blueprint, Groups
from .connection import doing, libvirt
from .elements import Attribute, Element
from .errors import InvalidDefinition
from .size import Bytes, Size

# A chain of backing files that is longer is a ring.
_LONGEST_CHAIN = 64

_POOL = Attribute("pool", "", "Storage pool of the volume, by default the same.")
_VOL = Attribute("vol", "", "Name of the volume.")


class VolumeDefinition(Blueprint):
    """What a volume is made of."""

    element: t.ClassVar[Element] = Element(
        "volume",
        (
            Bytes("size", "capacity", "Size, a number of GiB or a number with its unit, for example V(20) or V(512MiB)."
                  " A volume that is smaller grows.", Size),
            Attribute("format", "target/format/@type", "Format of the file, for example V(qcow2) or V(raw). By default"
                      " V(qcow2) where volumes are files; other pools hold raw data."),
            Attribute("allocation", "", "How much of its size a new volume takes from the pool at once.",
                      choices=("sparse", "full")),
        ),
    )  # fmt: skip
    groups: t.ClassVar[Groups] = {
        "backing": (
            Element("backing", (
                Attribute("path", "backingStore/path", "File or block device."),
                _POOL,
                _VOL,
                Attribute("format", "backingStore/format/@type", "Its format, by default what libvirt finds."),
            )),
            "What a linked volume is based on: it holds only what differs. Of a path or of a volume.",
        ),
        "source": (
            Element("source", (_POOL, _VOL)),
            "The volume that a new one is a copy of.",
        ),
        "content": (
            Element("content", (
                Attribute("path", "", "File on the host where the module runs; with O(via=xmpp) on the hypervisor,"
                          " below a directory that its agent allows."),
                Attribute("url", "", "URL of http or https, which that host fetches. Needs O(content.checksum)."),
                Attribute("checksum", "", "SHA-256 of the content, in hexadecimal."),
                Attribute("update", "", "V(on_create) fills a volume when it is made, and leaves it alone from then on."
                          " V(always) compares checksums and makes a volume anew whose content differs.",
                          choices=("on_create", "always")),
            )),
            "What is written into the volume.",
        ),
        "encryption": (
            Element("encryption", (
                Attribute("format", "target/encryption/@format", "How.", choices=("luks",)),
                Attribute("credential", "target/encryption/secret/@uuid",
                          "UUID of the libvirt secret that has the passphrase."),
            )),
            "Encryption of a new volume of the format V(raw).",
        ),
    }  # fmt: skip

    def check(self) -> None:
        given = self.values
        if [key for key in ("backing", "source", "content") if key in given][1:]:
            raise InvalidDefinition("backing, source and content are three ways to begin; give one of them.")
        backing = given.get("backing", {})
        if "backing" in given and ("path" in backing) == ("vol" in backing):
            raise InvalidDefinition("backing: give either its path, or its vol and perhaps pool.")
        if "backing" in given and given.get("format", "qcow2") != "qcow2":
            raise InvalidDefinition(f"format: {given['format']} has no backing file; only qcow2 does.")
        if "source" in given and "vol" not in given["source"]:
            raise InvalidDefinition("source.vol: name the volume to copy.")
        self._check_content(given.get("content"))
        encryption = given.get("encryption")
        if encryption is not None:
            if "credential" not in encryption:
                raise InvalidDefinition("encryption.credential: name the secret that has the passphrase.")
            if given.get("format", "raw") != "raw":
                raise InvalidDefinition("format: an encrypted volume is raw; its encryption is what gives it a format.")

    def _check_content(self, wanted: dict[str, t.Any] | None) -> None:
        if wanted is None:
            return
        if ("path" in wanted) == ("url" in wanted):
            raise InvalidDefinition("content: give either its path or its url.")
        if wanted.get("path", "/")[:1] != "/":
            raise InvalidDefinition(f"content.path: {wanted['path']!r} must be absolute.")
        if "url" in wanted and not wanted["url"].startswith(("http://", "https://")):
            raise InvalidDefinition(f"content.url: {wanted['url'][:80]!r} is not a URL of http or https.")
        if "@" in urllib.parse.urlsplit(wanted.get("url", "")).netloc:
            raise InvalidDefinition("content.url: has a user's name, and what is in a task is told in its result.")
        if "url" in wanted and "checksum" not in wanted:
            raise InvalidDefinition("content.checksum: what is fetched from a URL needs its SHA-256.")
        if "checksum" in wanted:
            wanted["checksum"] = content.checksum(wanted["checksum"], "content.checksum")
        if wanted.get("update") == "always" and "size" in self.values:
            raise InvalidDefinition("size: it can change the content, which content.update: always would put right.")


NOTHING: t.Final = VolumeDefinition({})


def format_of(volume: t.Any) -> str:
    """As libvirt finds it; block devices have none, they are raw."""
    with doing(f"Look at the volume {volume.name()}"):
        return xmltree.read(xmltree.parse_trusted(volume.XMLDesc()), "target/format/@type") or "raw"


def as_backing(volume: t.Any) -> dict[str, t.Any]:
    with doing(f"Look at the volume {volume.name()}"):
        return {"path": volume.path(), "format": format_of(volume), "size": volume.info()[1]}


def describe(handle: t.Any, volume: t.Any, pool: str, machines: t.Mapping[str, set[storage.User]]) -> dict[str, t.Any]:
    """Sizes are in bytes. ``backing_chain`` begins with what the volume is based on itself."""
    with doing(f"Look at the volume {pool}/{volume.name()}"):
        node = xmltree.parse_trusted(volume.XMLDesc())
        _kind, capacity, allocation = volume.info()
        return {
            "name": volume.name(),
            "pool": pool,
            "path": volume.path(),
            "type": node.get("type", "file"),
            "format": xmltree.read(node, "target/format/@type") or "raw",
            "capacity": capacity,
            "allocation": allocation,
            "encryption": xmltree.read(node, "target/encryption/@format"),
            "backing_chain": _chain(handle, node),
            "used_by": sorted({user.name for user in storage.users_of(machines, volume, pool)}),
        }


def _chain(handle: t.Any, node: t.Any) -> list[dict[str, t.Any]]:
    chain: list[dict[str, t.Any]] = []
    while len(chain) < _LONGEST_CHAIN:
        path = xmltree.read(node, "backingStore/path")
        if not path:
            break
        chain.append({"path": path, "format": xmltree.read(node, "backingStore/format/@type")})
        try:
            node = xmltree.parse_trusted(handle.storageVolLookupByPath(path).XMLDesc())
        except libvirt.libvirtError:
            break  # no volume of a pool; what it is based on is not known here
    return chain
