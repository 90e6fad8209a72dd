# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What cloud-init in a machine is to read when it boots: a NoCloud seed, on a CD of its own.

The seed is a volume beside the machine's disks. Its name has a digest of what it says, so that a second run finds it,
and what says something else is another volume.
"""

from __future__ import annotations

import hashlib
import io
import re
import typing as t

from . import content, iso9660, storage, xmltree
from .actions import NO_PROGRESS
from .connection import doing
from .disks import PATH
from .elements import Attribute
from .errors import ArchipelError, InvalidDefinition
from .groups import Difference, Group, Values, Wanted

_LABEL: t.Final = "cidata"
_SEED: t.Final = re.compile(r"-seed-[0-9a-f]{12}\.iso")
_LARGEST: t.Final = 1 << 20  # characters of each file
_FILES: t.Final = {"user_data": "user-data", "meta_data": "meta-data", "network_config": "network-config"}


def _check(cloud_init: Values, where: str) -> None:
    for key in _FILES.keys() & cloud_init.keys():
        if len(cloud_init[key]) > _LARGEST:
            raise InvalidDefinition(f"{where}.{key}: has {len(cloud_init[key])} characters; {_LARGEST} are possible.")


class CloudInit(Group):
    """It is in no document; what libvirt knows of it is the CD."""

    def tell(self, domain: t.Any, nodes: t.Sequence[t.Any]) -> Values | None:
        disk = _drive(domain)
        return None if disk is None else {"path": PATH.read(disk)}

    def differences(self, domain: t.Any, wanted: Wanted) -> list[Difference]:
        return []


CLOUD_INIT: t.Final = CloudInit(
    "cloud_init",
    (
        Attribute("user_data", "", "cloud-init's user data, for example YAML that begins with C(#cloud-config).",
                  secret=True),
        Attribute("meta_data", "", "cloud-init's meta data as YAML. By default C(instance-id) and C(local-hostname) are"
                  " the machine's name; cloud-init begins anew in a machine whose C(instance-id) changes."),
        Attribute("network_config", "", "cloud-init's network configuration as YAML."),
        Attribute("pool", "", "Storage pool for the seed, by default that of the machine's first disk."),
    ),
    help="What cloud-init in the machine reads when it boots (NoCloud), on a CD that is made for it. An empty mapping"
    " tells it the machine's name.",
    check=_check,
)  # fmt: skip


class Seed(t.NamedTuple):
    """A volume to be, and what is in it."""

    name: str
    content: bytes

    def store(self, handle: t.Any, pool: str, *, until: float) -> t.Any:
        """Make the volume, whole or not at all; the ``virStorageVol``. ``until`` is of ``time.monotonic``."""
        node = xmltree.element("volume")
        for path, value in (
            ("name", self.name),
            ("capacity", str(len(self.content))),
            ("capacity/@unit", "bytes"),
            ("target/format/@type", "raw"),
        ):
            xmltree.write(node, path, value)
        where = storage.pool(handle, pool)
        with doing(f"Create volume {self.name} in pool {pool}"):
            volume = where.createXML(xmltree.serialise(node), 0)
        source = content.Source("a cloud-init seed", len(self.content), io.BytesIO(self.content))
        try:
            content.upload(handle, volume, source, content.Terms(until, NO_PROGRESS, None))
        except ArchipelError:
            with doing(f"Delete volume {self.name} of pool {pool}"):
                volume.delete(0)
            raise
        return volume


def seed(machine: str, wanted: Wanted) -> Seed:
    """The seed of a machine of that name."""
    meta = f"instance-id: {machine}\nlocal-hostname: {machine}\n"
    texts = {"user_data": "#cloud-config\n{}\n", "meta_data": meta}
    texts.update((key, str(wanted[key])) for key in _FILES if key in wanted)
    image = iso9660.image(_LABEL, {_FILES[key]: text.encode() for key, text in texts.items()})
    return Seed(f"{machine}-seed-{hashlib.sha256(image).hexdigest()[:12]}.iso", image)


def disk(domain: t.Any, path: str) -> Values:
    """The drive that a seed is to be in, in the keys of disks."""
    there = _drive(domain)
    target = {} if there is None else {"target": xmltree.read(there, "target/@dev")}
    return {"device": "cdrom", "path": path, **target}


def old(domain: t.Any) -> str | None:
    """The path of the seed that a machine has."""
    there = _drive(domain)
    return None if there is None else PATH.read(there)


def _drive(domain: t.Any) -> t.Any:
    """The drive that a seed is in, also one that people put there by its volume."""
    drives = domain.iterfind("devices/disk[@device='cdrom']")
    return next((drive for drive in drives if _SEED.search(PATH.read(drive) or "")), None)
