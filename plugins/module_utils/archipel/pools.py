# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The storage pools of a hypervisor: what they are to be made of, and whether they are active."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from . import storage, xmltree
from .actions import Names, Result, action
from .connection import doing, libvirt
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidArgument, InvalidDefinition, NotFound, Unsupported
from .host import Check, Host, canonical_uuid
from .plan import Plan
from .pool import KINDS, NOTHING, PoolDefinition, describe, differences, document
from .selection import fits
from .size import Size

PoolState = t.Literal["present", "absent", "active", "inactive"]


class Pools(Host):
    """What can be asked of a hypervisor about its storage pools."""

    @action(
        permission="view",
        changes=False,
        phrases=("pools", "storage"),
        says=lambda r: (
            "\n".join(f"{p['name']}: {p['state']}{_free(p)}" for p in r["pools"]) or "I have no such storage pool."
        ),
        concerns="pool",
    )
    def pool_info(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of a pool, or a pattern like iso*."] = None,
        uuid: t.Annotated[t.Optional[str], "UUID of the pool."] = None,
    ) -> Result:
        """Tell everything about storage pools, all of them or those that are named."""
        wanted = canonical_uuid(uuid) if uuid else None
        with doing(f"List the storage pools of {self.name}"):
            pools = {found.name(): found for found in self.connection.handle.listAllStoragePools()}
        described = []
        for each in sorted(pools):
            if name is None or fits(each, name):
                # A pool may go between the list and the look.
                with contextlib.suppress(NotFound):
                    told = describe(pools[each])
                    described += [told] if wanted in (None, told["uuid"]) else []
        return {"changed": False, "pools": described}

    @action(permission="storage", changes=True, says="{msg}", concerns="pool")
    def pool(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of the pool.", Names("pool", free=True)] = None,
        uuid: t.Annotated[t.Optional[str], "UUID of the pool."] = None,
        state: t.Annotated[
            PoolState, "What the pool is to be. V(present) leaves it active or inactive, as it is."
        ] = "present",
        definition: t.Annotated[
            PoolDefinition, "What the pool is to be made of; only what is named is compared."
        ] = NOTHING,
        xml: t.Annotated[t.Optional[str], "The whole definition as libvirt's pool XML."] = None,
        autostart: t.Annotated[t.Optional[bool], "Whether it becomes active with its hypervisor."] = None,
        build: t.Annotated[
            bool,
            "Make the directory, file system, partition table or volume group of a new pool. What is there already is"
            " never overwritten.",
        ] = False,
        refresh: t.Annotated[bool, "Look what others have put into the pool. This is no change."] = False,
        apply: t.Annotated[
            t.Literal["config", "restart"],
            "An active pool takes over a changed definition when it becomes active the next time; V(restart) has it do"
            " so at once.",
        ] = "config",
        remove_contents: t.Annotated[
            bool,
            "With O(state=absent), delete all volumes of the pool, and its directory or volume group. Otherwise all"
            " data stay.",
        ] = False,
        check: Check = False,
    ) -> Result:
        """Bring a storage pool to a definition and a state."""
        if remove_contents and state != "absent":
            raise InvalidArgument("remove_contents goes with state: absent only.")
        work = _Work(self, name, uuid, definition, xml, check=check)
        if state == "absent":
            work.plan_removal(remove_contents=remove_contents)
        else:
            if state == "inactive":
                work.plan_stop()
            work.plan_definition(build=build, restart=apply == "restart")
            if state == "active":
                work.plan_start()
            if autostart is not None:
                work.plan_autostart(autostart)
            if refresh:
                work.plan_refresh()
        if not check:
            work.plan.run()
        return work.result(check=check)


class _Work:
    """One pool on its way to what was asked. ``active`` is what it is at the end of the plan so far."""

    def __init__(
        self,
        host: Host,
        name: str | None,
        uuid: str | None,
        definition: PoolDefinition,
        xml: str | None,
        *,
        check: bool,
    ) -> None:
        self.handle = host.connection.handle
        self.host = host
        self.definition = definition
        self.check = check
        self.plan = Plan()
        self.restart_reasons: list[str] = []
        self.given = xmltree.parse(xml, "pool") if xml is not None else None
        if self.given is not None and definition:
            raise InvalidDefinition(
                f"xml is a whole definition; {', '.join(definition.values)} cannot be given beside it."
            )
        self.uuid = canonical_uuid(uuid) if uuid else None
        self.name = _agreed("name", name, xmltree.read(self.given, "name") if self.given is not None else None)
        self.pool = self._find()
        with doing(f"Look at the storage pool {self.name}"):
            self.active = self.pool is not None and bool(self.pool.isActive())

    def _find(self) -> t.Any:
        if not self.name and not self.uuid:
            raise InvalidArgument("Name the pool: give its name or its uuid.")
        if self.name and ("/" in self.name or not self.name.isprintable() or self.name != self.name.strip()):
            raise InvalidArgument(f"name: {self.name[:60]!r} cannot be a pool's name (printable, no slash).")
        found = storage.find_pool(self.handle, self.name) if self.name else None
        if found is not None and self.uuid not in (None, found.UUIDString()):
            raise Conflict(
                f"The pool {self.name} has the UUID {found.UUIDString()}, not {self.uuid}; give one of them."
            )
        if found is None and self.uuid:
            with contextlib.suppress(NotFound), doing(f"Look for the storage pool {self.uuid}"):
                found = self.handle.storagePoolLookupByUUIDString(self.uuid)
            if found is not None and self.name:
                raise Conflict(
                    f"The pool {found.name()} has the UUID {self.uuid}; it cannot be called {self.name} too."
                )
        if found is not None:
            self.name, self.uuid = found.name(), found.UUIDString()
        return found

    # -- the plan

    def plan_definition(self, *, build: bool, restart: bool) -> None:
        if self.pool is None:
            self._plan_new(build=build)
            return
        node = document(self.pool)
        if self.given is not None:
            changes = list(differences(self.given, node))
            xmltree.write(self.given, "name", self.name)
            xmltree.write(self.given, "uuid", self.pool.UUIDString())
            node = self.given
        else:
            changes = self.definition.compare(node)
            if changes:
                self._complete(node)
        with doing(f"Look at the storage pool {self.name}"):
            if not self.pool.isPersistent():
                changes.append(Change("persistent", False, True))
        if not changes:
            return
        restart = restart and self.active
        if restart:
            self.plan_stop()
        elif self.active:
            self.restart_reasons = [
                f"{change.path} is changed in the configuration; an active pool takes it over when it is stopped and"
                " started (apply: restart)."
                for change in changes
            ]
        self.plan.add(changes, functools.partial(self._define, node))
        if restart:
            self.plan_start()

    def _plan_new(self, *, build: bool) -> None:
        if not self.name:
            if self.check:
                return
            raise NotFound(f"There is no pool {self.uuid} on {self.host.name}; a new pool needs a name.")
        values = self.definition.values
        if self.given is None and not values:
            if not self.check:
                raise NotFound(
                    f"There is no pool {self.name!r} on {self.host.name}, and nothing says what it is to be made of"
                    " (target … or xml)."
                )
            self.plan.add([Change("state", "absent", "inactive")], _nothing)
            return
        node = self.given if self.given is not None else xmltree.element("pool", type=values.get("type", "dir"))
        xmltree.write(node, "name", self.name)
        if self.uuid:
            xmltree.write(node, "uuid", self.uuid)
        if self.given is None:
            self._complete(node)
        changes = [Change("state", "absent", "inactive"), *(Change(key, None, value) for key, value in values.items())]
        # Without a pool to build there would be nothing to define.
        self.plan.add(changes, functools.partial(self._define, node), self._undefine if build else None)
        if build:
            self._plan_build(node.get("type"))

    def _plan_build(self, kind: str) -> None:
        how = KINDS[kind].build if kind in KINDS else None
        if how is None:
            raise Unsupported(f"build: a pool of the type {kind} is not built; leave build out.")
        flags = getattr(libvirt, how)

        def run() -> None:
            with doing(f"Build the storage pool {self.name}"):
                self.pool.build(flags)

        self.plan.add([Change("built", False, True, "live")], run)

    def _complete(self, node: t.Any) -> None:
        """Write what was named, and what follows from its type."""
        self.definition.write(node)
        kind = KINDS.get(node.get("type"))
        if kind is None:
            return
        if kind.target and xmltree.read(node, "target/path") is None:
            xmltree.write(node, "target/path", kind.target)
        source = node.find("source")
        if source is not None and source.find("auth") is not None:
            if kind.auth is None:
                raise InvalidDefinition(
                    f"source: a pool of the type {node.get('type')} has no username and credential."
                )
            xmltree.write(source, "auth/@type", kind.auth)
        there = PoolDefinition.read(node)
        missing = [need for need in kind.needs if not _at(there, need)]
        if missing:
            raise InvalidDefinition(f"A pool of the type {node.get('type')} needs {' and '.join(missing)}.")

    def _define(self, node: t.Any) -> None:
        with doing(f"Define the storage pool {self.name}"):
            self.pool = self.handle.storagePoolDefineXML(xmltree.serialise(node), 0)

    # The pool may not be there yet when these are planned.

    def _undefine(self) -> None:
        self.pool.undefine()

    def _start(self) -> None:
        self.pool.create()

    def _stop(self) -> None:
        self.pool.destroy()

    def plan_start(self) -> None:
        if not self.active:
            self._plan_step("inactive", "active", self._start)

    def plan_stop(self) -> None:
        if self.active:
            self._plan_step("active", "inactive", self._stop)

    def plan_autostart(self, wanted: bool) -> None:
        with doing(f"Look at the storage pool {self.name}"):
            now = bool(self.pool.autostart()) if self.pool is not None and self.pool.isPersistent() else False
        if wanted != now:
            what = f"Set the autostart of the storage pool {self.name}"
            self._plan(Change("autostart", now, wanted), what, lambda: self.pool.setAutostart(int(wanted)))

    def plan_refresh(self) -> None:
        def run() -> None:
            with doing(f"Refresh the storage pool {self.name}"):
                self.pool.refresh()

        if self.active:
            self.plan.add([], run)

    def plan_removal(self, *, remove_contents: bool) -> None:
        if self.pool is None:
            return
        with doing(f"Look at the storage pool {self.name}"):
            persistent = bool(self.pool.isPersistent())
        if remove_contents:
            self._plan_emptying()
        if self.active:
            self._plan_step("active", "inactive" if persistent else "absent", self._stop)
        node = document(self.pool)
        kind = KINDS.get(node.get("type"))
        if remove_contents and kind and kind.remove:
            change = Change("target", xmltree.read(node, "target/path"), None, "live")
            self._plan(change, f"Remove what held the storage pool {self.name}", lambda: self.pool.delete(0))
        if persistent:
            change = Change("state", "inactive", "absent")
            self._plan(change, f"Undefine the storage pool {self.name}", self._undefine)

    def _plan_emptying(self) -> None:
        """Delete each volume; nothing is touched while a machine uses one of them."""
        if not self.active:
            raise Conflict(
                f"The storage pool {self.name} is not active, so that nobody knows what is in it; start it first, or"
                " leave remove_contents out."
            )
        with doing(f"List the volumes of pool {self.name}"):
            self.pool.refresh()
            volumes = sorted(self.pool.listAllVolumes(), key=lambda volume: volume.name())
        machines = storage.users(self.handle)
        for volume in volumes:
            used = sorted({user.name for user in storage.users_of(machines, volume, str(self.name))})
            if used:
                raise Conflict(
                    f"The volume {volume.name()} of pool {self.name} is used by {', '.join(used)};"
                    " nothing was deleted. Remove these machines, or take their disks away, first."
                )
        for volume in volumes:
            with doing(f"Look at the volume {volume.name()}"):
                size = str(Size(volume.info()[1]))
            change = Change(f"volumes[{self.name}/{volume.name()}]", {"size": size}, None, "live")
            self._plan(
                change, f"Delete the volume {volume.name()} of pool {self.name}", functools.partial(volume.delete, 0)
            )

    def _plan_step(self, old: str, new: str, call: t.Callable[[], t.Any]) -> None:
        verb = "Start" if new == "active" else "Stop"
        self._plan(Change("state", old, new, "live"), f"{verb} the storage pool {self.name}", call)
        self.active = new == "active"

    def _plan(self, change: Change, what: str, call: t.Callable[[], t.Any]) -> None:
        def run() -> None:
            with doing(what):
                call()

        self.plan.add([change], run)

    def result(self, *, check: bool) -> Result:
        result = self.plan.result(f"The pool {self.name or self.uuid}", check=check)
        if check and self.pool is None and result["changed"]:
            result["msg"] += " It is not there yet."
        try:
            pool = describe(self.pool) if self.pool is not None else None
        except NotFound:
            pool = None
        except ArchipelError as error:
            error.changes = [change.as_data() for change in self.plan.done]
            raise
        return {
            **result,
            "restart_required": bool(self.restart_reasons),
            "restart_reasons": self.restart_reasons,
            "pool": pool or {"name": self.name, "uuid": self.uuid, "state": "absent"},
        }


def _nothing() -> None:
    """Of a plan that is never run."""


def _free(pool: t.Mapping[str, t.Any]) -> str:
    if not pool["active"]:
        return ""
    return f", {pool['available'] / storage.GIB:.1f} of {pool['capacity'] / storage.GIB:.1f} GiB are free"


def _agreed(key: str, asked: str | None, written: str | None) -> str | None:
    if asked and written and asked != written:
        raise InvalidDefinition(f"The XML's {key} is {written!r}, the task's is {asked!r}; give one, or the same.")
    return asked or written


def _at(values: t.Mapping[str, t.Any], path: str) -> t.Any:
    group, _dot, key = path.rpartition(".")
    return (values[group] if group else values)[key]
