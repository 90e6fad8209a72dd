# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One disk, medium or network interface of a machine: the machine converges to a definition that names it alone."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from . import relocation, storage, xmltree
from .actions import NO_PROGRESS, Names, OfMachine, Progress, Result, action
from .convergence import Desired, Removal, converge
from .definition import NOTHING, Definition, read
from .disks import DISK, PATH
from .elements import refuse_unknown
from .errors import Conflict, InvalidArgument
from .groups import Devices
from .host import Check, Host, Name, Uuid
from .interfaces import INTERFACE
from .machine import WAIT_TIMEOUT, Machine, Timeout
from .machines import ApplyMode, RemoveVolumes

Present = t.Annotated[t.Literal["present", "absent"], "Whether the machine is to have it."]
Target = t.Annotated[
    t.Optional[str], "The drive, for example V(sda). By default the one that can be meant.", Names("drive", of="name")
]
_DRIVES: t.Final = ("cdrom", "floppy")


@dataclasses.dataclass(frozen=True)
class _Named:
    """What a task names of one device: the keys of its list in a machine's definition."""

    options: t.ClassVar[dict[str, dict[str, t.Any]]]
    key: t.ClassVar[str]
    values: dict[str, t.Any]

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> t.Any:
        if not isinstance(untrusted, dict):
            raise InvalidArgument(f"{where}: a mapping is needed.")
        refuse_unknown(untrusted, cls.options, where)
        return cls(Definition.bind({cls.key: [untrusted]}, where).values[cls.key][0])


def _alone(devices: Devices) -> dict[str, dict[str, t.Any]]:
    """The keys of a list's items as options of a module: what their help refers to is beside them, or the machine's."""
    options = devices.options()

    def place(found: re.Match[str]) -> str:
        name = found[1].partition("[].")[2] or found[1]
        return f"O({name}" if name.partition("=")[0] in options else f"O(archipel.orchestrator.vm#module:{found[1]}"

    return {key: {**option, "help": re.sub(r"\bO\(([^)]*)", place, option["help"])} for key, option in options.items()}


class Disk(_Named):
    options, key = _alone(DISK), DISK.key


class Interface(_Named):
    options, key = _alone(INTERFACE), INTERFACE.key


class Attachments(Host):
    """What can be asked of a hypervisor about single devices of its machines."""

    @action(
        permission="define",
        changes=True,
        long=True,
        says="{msg}",
        # One that is there may grow and go; another may be anything of the host.
        reaches=lambda given: given.get("state") != "absent" and bool(given["disk"].values.keys() - {"target", "size"}),
        of_machine=OfMachine("disk"),
    )
    def vm_disk(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        state: Present = "present",
        disk: t.Annotated[Disk, "The disk, by its target, path or volume, and what it is to be."],
        apply: ApplyMode = "live",
        remove_volumes: RemoveVolumes = "none",
        force: t.Annotated[bool, "Make the volume smaller where that is asked, whatever is lost."] = False,
        move: t.Annotated[
            bool,
            "Copy the data of the disk O(target) to O(pool), O(vol) and O(format), as far as they are named and it is"
            " not there, and let the machine go over to the copy, while it runs too. Without, data stays where it is."
            " What becomes of the old volume says O(remove_volumes).",
        ] = False,
        wait_timeout: t.Annotated[
            t.Optional[int],
            "Seconds to wait at most, by default 120. With O(move) 3600, and the copy is then given up; that of a"
            " machine which is off goes on to its end.",
        ] = None,
        check: Check = False,
        progress: Progress = NO_PROGRESS,
    ) -> Result:
        """Give a machine a disk, change it, make it larger, move it, or take it out, where libvirt can while it
        runs."""
        item = disk.values
        if not any(item.get(key) for key in ("target", "path", "vol")):
            raise InvalidArgument("vm_disk: name the disk by its target, its path, or its volume (pool and vol).")
        if move:
            if state == "absent" or apply == "config":
                raise InvalidArgument(
                    "move: a disk that is there is moved at once, without state: absent, apply: config."
                )
            timeout = relocation.WAIT_TIMEOUT if wait_timeout is None else wait_timeout
            asked = relocation.Asked.of(item, remove_volumes, timeout)
            machine = self.find(name=name, uuid=uuid)
            if machine is not None:
                result = relocation.relocate(machine, asked, check=check, progress=progress)
                return {**result, "disk": _one(result["vm"]["disks"], item)}
        if state == "absent":
            identity = self._identity(item)
            desired = Desired(name, uuid, gone={"disks": [identity]}, removal=Removal(remove_volumes))
        else:
            desired = Desired(name, uuid, definition=Definition({"disks": [item]}), shrink=force)
        timeout = WAIT_TIMEOUT if wait_timeout is None else wait_timeout
        result = self._converge(desired, apply=apply, wait_timeout=timeout, check=check)
        made = "disks" in result["vm"]
        return {**result, "disk": self._device(result, "disks", self._identity(item)) if made else None}

    def _identity(self, disk: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """What tells the disk from all others of a machine."""
        if disk.get("target") or disk.get("path"):
            return {key: disk[key] for key in ("target", "path") if disk.get(key)}
        return {"path": storage.find_volume(self.connection.handle, disk["pool"], disk["vol"])[0]}

    @action(
        permission="define",
        changes=True,
        says="{msg}",
        reaches=lambda given: any(given.get(key) for key in ("path", "pool", "vol")),
        of_machine=(
            OfMachine("media", phrases=("insert {path}", "insert {path} into {target}")),
            OfMachine(
                "eject",
                phrases=("eject", "eject {target}"),
                help="Take the medium out of a drive.",
                given={"state": "ejected"},
                takes=("target", "apply", "force", "wait_timeout", "check"),
            ),
        ),
    )
    def vm_media(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        state: t.Annotated[t.Literal["inserted", "ejected"], "What is to be the case."] = "inserted",
        path: t.Annotated[t.Optional[str], "File or block device of the medium on the hypervisor."] = None,
        pool: t.Annotated[t.Optional[str], "Storage pool that holds the medium.", Names("pool")] = None,
        vol: t.Annotated[t.Optional[str], "Volume in the pool.", Names("volume", of="pool")] = None,
        target: Target = None,
        apply: ApplyMode = "live",
        force: t.Annotated[bool, "Open the drive though the guest system has locked it."] = False,
        wait_timeout: Timeout = WAIT_TIMEOUT,
        check: Check = False,
    ) -> Result:
        """Put a medium into a drive of a machine, or take it out. While the machine runs, too."""
        if state == "inserted":
            if not path and not (pool and vol):
                raise InvalidArgument("vm_media: name the medium, by its path or by its pool and vol.")
            if not path:
                path = storage.find_volume(self.connection.handle, t.cast(str, pool), t.cast(str, vol))[0]
        elif path or pool or vol:
            raise InvalidArgument("vm_media: to eject, name the drive (target) or nothing, not the medium.")
        wanted = path or ""
        machine = self.find(name=name, uuid=uuid)
        drive = target if target or machine is None else _drive(machine, wanted)
        named = {"target": drive, "path": wanted} if drive else {"device": "cdrom", "path": wanted}
        definition = Definition.bind({"disks": [named]}, "") if drive or wanted else NOTHING
        desired = Desired(name, uuid, definition=definition, force=force)
        result = self._converge(desired, apply=apply, wait_timeout=wait_timeout, check=check)
        return {**result, "disk": _one(result["vm"].get("disks", ()), {"target": drive}) if drive else None}

    @action(
        permission="define",
        changes=True,
        says="{msg}",
        reaches=lambda given: given.get("state") != "absent",
        of_machine=OfMachine("nic"),
    )
    def vm_nic(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        state: Present = "present",
        interface: t.Annotated[
            Interface, "The interface, by its MAC address or where it is connected, and what it is to be."
        ],
        apply: ApplyMode = "live",
        wait_timeout: Timeout = WAIT_TIMEOUT,
        check: Check = False,
    ) -> Result:
        """Give a machine a network interface, change it, or take it out. While the machine runs, where libvirt can."""
        item = interface.values
        keys = ("mac",) if "mac" in item else ("type", "network", "bridge", "source")
        identity = {key: item[key] for key in keys if key in item}
        if state == "absent":
            desired = Desired(name, uuid, gone={"networks": [identity]})
        else:
            desired = Desired(name, uuid, definition=Definition({"networks": [item]}))
        result = self._converge(desired, apply=apply, wait_timeout=wait_timeout, check=check)
        return {**result, "nic": self._device(result, "networks", identity)}

    def _converge(self, desired: Desired, *, check: bool, **alike: t.Any) -> Result:
        return converge(self, dataclasses.replace(desired, existing=True, **alike), check=check)

    def _device(self, result: Result, key: str, named: t.Mapping[str, t.Any]) -> Result | None:
        """The device that was named: as it runs or, where it waits for the next start, as it is configured."""
        found = _one(result["vm"].get(key, ()), named)
        machine = self.find(uuid=result["vm"]["uuid"]) if found is None and result["restart_required"] else None
        return found if machine is None else _one(read(machine.document(inactive=True))[key], named)


def _one(devices: t.Iterable[Result], named: t.Mapping[str, t.Any]) -> Result | None:
    """The device that was named, by the first of what tells it from others."""
    key = next(key for key in ("target", "path", "mac", "network", "bridge", "source", "type") if named.get(key))
    return next((d for d in devices if str(d.get(key)).lower() == str(named[key]).lower()), None)


def _drive(machine: Machine, wanted: str) -> str | None:
    """The drive that can be meant, where none is named: the one that has the medium, else an empty one, else the only
    one; to eject, the only one that is not empty. None where there is none."""
    media: dict[str, str | None] = {}
    for node in (machine.document(), machine.document(inactive=True)):
        for disk in node.iterfind("devices/disk"):
            if disk.get("device") in _DRIVES:
                target = xmltree.read(disk, "target/@dev") or ""
                media[target] = media.get(target) or PATH.read(disk)
    if wanted:
        possible = (
            [target for target, path in media.items() if path == wanted]
            or [target for target, path in media.items() if not path][:1]
            or list(media)
        )
    else:
        possible = [target for target, path in media.items() if path]
    if len(possible) > 1:
        raise Conflict(f"{machine.name} has media in {', '.join(possible)}; name the drive (target).")
    if wanted and not possible:
        raise Conflict(f"{machine.name} has no drive for media; give it one (module vm_disk, device: cdrom).")
    return possible[0] if possible else None
