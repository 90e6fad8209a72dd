# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Parking: a machine's definition leaves its hypervisor, to be defined again there or elsewhere. Its disks stay where
they are. Where the definition is kept meanwhile is not known here."""

from __future__ import annotations

import contextlib
import typing as t

from . import definition, storage, xmltree
from .connection import doing
from .errors import Conflict, NotFound
from .lifecycle import ACTIVE
from .machine import Condition, Machine

if t.TYPE_CHECKING:
    from .host import Host


class Export(t.NamedTuple):
    """A definition without passwords, and in words what it does not have."""

    name: str
    uuid: str
    xml: str
    autostart: bool
    without: list[str]


def export(machine: Machine) -> Export:
    """What is to be kept of a machine; Conflict where more than its definition would have to be."""
    condition = machine.condition
    _refuse(machine, condition)
    return kept(machine, condition)


def kept(machine: Machine, condition: Condition) -> Export:
    """What can be kept of a machine, whatever it does at the moment."""
    node = machine.document(inactive=True)
    text = xmltree.serialise(node)
    where, without = machine.hypervisor.name, []
    if text != xmltree.serialise(machine.document(inactive=True, secure=True)):
        without.append("Its passwords (graphics) are not kept; set them anew when it is back.")
    if definition.BOOT.read(node.find("os"))["firmware"] == "efi":
        without.append(f"The variables of its firmware stay on {where}; elsewhere they begin anew.")
    if node.find("devices/tpm/backend[@type='emulator']") is not None:
        without.append(f"What its TPM keeps stays on {where}; elsewhere it begins anew.")
    return Export(machine.name, machine.uuid, text, condition.autostart, without)


def _refuse(machine: Machine, condition: Condition) -> None:
    state, reason, persistent, _autostart = condition
    with doing(f"Look at {machine.name}"):
        snapshots = machine.domain.snapshotNum()
    for there, text in (
        ((state, reason) == ("shutoff", "migrated"), "has moved away; what is here is only left over"),
        (not persistent, "is transient, and has no definition that could be kept"),
        (state in ACTIVE or state == "crashed", f"is {state}; shut it down first"),
        (machine.saved, "has saved memory (managed save), which stays behind; start it and shut it down first"),
        (snapshots, f"has {snapshots} snapshots, which libvirt would forget; delete them first"),
    ):
        if there:
            raise Conflict(f"{machine.name} {text}.")


def let_go(machine: Machine, kept: Export) -> None:
    """Take the definition off its hypervisor, if what is kept is what there is."""
    if export(machine) != kept:
        raise Conflict(f"{machine.name} was changed meanwhile. Try again.")
    machine.undefine(keep_nvram=True, keep_tpm=True)


def missing(host: Host, untrusted_xml: str) -> list[str]:
    """The files of the definition's disks and media that are in no active pool of this host."""
    handle, found = host.connection.handle, []
    for source in xmltree.parse(untrusted_xml, "domain").iterfind("devices/disk/source"):
        path, pool, volume = (source.get("file") or source.get("dev")), source.get("pool"), source.get("volume")
        if path and storage.volume_at(handle, path) is None:
            found.append(path)
        elif pool and not _is_there(handle, pool, volume or ""):
            found.append(f"{pool}/{volume}")
    return found


def _is_there(handle: t.Any, pool: str, volume: str) -> bool:
    with contextlib.suppress(NotFound, Conflict):
        return storage.find_volume(handle, pool, volume)[1] is not None
    return False


def define(host: Host, untrusted_xml: str, *, autostart: bool) -> Machine:
    """Define what was exported, with its tags and its owner."""
    node = xmltree.parse(untrusted_xml, "domain")
    with doing(f"Define {xmltree.read(node, 'name')} on {host.name}"):
        domain = host.connection.handle.defineXML(xmltree.serialise(node))
        domain.setAutostart(int(autostart))
    return Machine(host, domain)
