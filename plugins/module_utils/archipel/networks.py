# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The virtual networks of a hypervisor: what they are, and bringing one to what a task asks for.

Entries that libvirt can change in a running network (virNetworkUpdate) are changed at once and for good; all else is
changed in the configuration, and the running network has it after a restart.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import typing as t

from . import network, xmltree
from . import network_definition as definitions
from .actions import Names, Result, action
from .connection import doing, libvirt
from .elements import Change
from .errors import ArchipelError, Conflict, InvalidArgument, InvalidDefinition, NotFound
from .host import MAX_NAME, Check, Host, canonical_uuid
from .nested import Edit, Mode
from .network_definition import NOTHING, NetworkDefinition
from .plan import Plan
from .selection import fits

NetworkState = t.Literal["present", "absent", "active", "inactive"]
Apply = t.Literal["live", "config", "restart"]

# What libvirt changes in one call; of all else the old entry goes before the new one comes.
_MODIFIABLE: t.Final = ("IP_DHCP_HOST", "PORTGROUP")


@dataclasses.dataclass(frozen=True)
class Desired:
    """What a task asks of one network."""

    name: str | None
    uuid: str | None
    state: str
    definition: NetworkDefinition
    xml: str | None
    autostart: bool | None
    entries_mode: Mode
    apply: str
    force: bool


class Networks(Host):
    """What can be asked of a hypervisor about its networks."""

    @action(
        permission="view",
        changes=False,
        concerns="network",
        phrases=("networks", "list networks", "network {name}"),
        says=lambda r: "\n".join(_in_words(network) for network in r["networks"]) or "I have no such network.",
    )
    def network_info(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of a network, or a pattern like lab*."] = None,
        uuid: t.Annotated[t.Optional[str], "UUID of the network."] = None,
    ) -> Result:
        """Tell everything about virtual networks: what they are, their leases, and the machines connected to them."""
        wanted = canonical_uuid(uuid) if uuid else None
        with doing(f"List the networks of {self.name}"):
            found = {virnetwork.name(): virnetwork for virnetwork in self.connection.handle.listAllNetworks()}
        networks = []
        for key in sorted(found):
            if name is not None and not fits(key, name):
                continue
            # A network may go between the list and the look; then there is nothing to tell of it.
            with contextlib.suppress(NotFound):
                described = network.describe(found[key])
                if wanted in (None, described["uuid"]):
                    networks.append({**described, "hypervisor": self.name})
        return {"changed": False, "networks": networks}

    @action(permission="network", changes=True, says="{msg}", concerns="network")
    def network(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of the network.", Names("network", free=True)] = None,
        uuid: t.Annotated[t.Optional[str], "UUID of the network."] = None,
        state: t.Annotated[NetworkState, "What the network is to be."] = "present",
        definition: t.Annotated[
            NetworkDefinition, "What the network is to be made of; only what is named is compared."
        ] = NOTHING,
        xml: t.Annotated[t.Optional[str], "The whole definition as libvirt's network XML."] = None,
        autostart: t.Annotated[
            t.Optional[bool], "Whether it starts with its hypervisor. By default it is left as it is."
        ] = None,
        entries_mode: t.Annotated[
            Mode,
            "What lists in the definition mean: V(add) that these entries are there, V(set) that no others are,"
            " V(remove) that these are not; of an entry that has lists within, those that it names.",
        ] = "add",
        apply: t.Annotated[
            Apply,
            "How an active network is changed: V(live) what can be at once and the rest for its next start, V(config)"
            " all for its next start, V(restart) all at once, by a restart if need be: machines are cut off for a"
            " moment.",
        ] = "live",
        force: t.Annotated[bool, "Stop or remove the network though machines are connected to it."] = False,
        check: Check = False,
    ) -> Result:
        """Bring a virtual network to a definition and a state."""
        desired = Desired(name, uuid, state, definition, xml, autostart, entries_mode, apply, force)
        return _Convergence(self, desired).result(check=check)

    def find_network(self, name: str | None, uuid: str | None) -> t.Any:
        """The ``virNetwork``, or None. A name and a UUID that mean two networks are a Conflict."""
        if not name and not uuid:
            raise InvalidArgument("Name the network: give its name or its uuid.")
        if name and (len(name) > MAX_NAME or "/" in name or not name.isprintable() or name != name.strip()):
            raise InvalidArgument(
                f"name: {name[:60]!r} cannot be a network's name (printable, no slash, at most {MAX_NAME})."
            )
        handle = self.connection.handle
        by_uuid = _lookup(handle.networkLookupByUUIDString, uuid) if uuid else None
        by_name = _lookup(handle.networkLookupByName, name) if name else None
        if name and uuid and (by_uuid and by_uuid.name() != name or by_name and by_name.UUIDString() != uuid):
            raise Conflict(f"The name {name!r} and the UUID {uuid} mean two networks on {self.name}; give one of them.")
        return by_uuid or by_name


def _lookup(function: t.Callable[[str], t.Any], key: str) -> t.Any:
    with doing(f"Look for network {key}"):
        try:
            return function(key)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
                raise
            return None


def _in_words(network: Result) -> str:
    state = "active" if network["active"] else "inactive"
    addresses = ", ".join(f"{ip['address']}/{ip['prefix']}" for ip in network["ips"] if ip["address"])
    return f"{network['name']}: {state}" + (f", {addresses}" if addresses else "")


class _Convergence:
    """One network on its way to what is asked of it."""

    def __init__(self, hypervisor: Networks, desired: Desired) -> None:
        self.hypervisor = hypervisor
        self.handle = hypervisor.connection.handle
        self.desired = desired
        self.plan = Plan()
        self.restart_reasons: list[str] = []
        self.given = xmltree.parse(desired.xml, "network") if desired.xml is not None else None
        self.name, self.uuid = self._identity()
        self.there = hypervisor.find_network(self.name, self.uuid)
        self.not_there_yet = False
        self.target: t.Any = None  # the document it is to have, where that is not the one it has
        self.active = self.persistent = False
        if self.there is not None:
            self.name, self.uuid = self.there.name(), self.there.UUIDString()
            with doing(f"Look at network {self.name}"):
                self.active, self.persistent = bool(self.there.isActive()), bool(self.there.isPersistent())

    def _identity(self) -> tuple[str | None, str | None]:
        name, uuid = self.desired.name, self.desired.uuid
        uuid = canonical_uuid(uuid) if uuid else None
        if self.given is None:
            return name, uuid
        definitions.check(self.given)
        if self.desired.definition:
            raise InvalidDefinition(
                f"xml is a whole definition; {', '.join(self.desired.definition.values)} cannot be given beside it."
            )
        written = xmltree.read(self.given, "uuid")
        written_name, written_uuid = xmltree.read(self.given, "name"), canonical_uuid(written) if written else None
        for key, asked, said in (("name", name, written_name), ("uuid", uuid, written_uuid)):
            if asked and said and asked != said:
                raise InvalidDefinition(f"The XML's {key} is {said!r}, the task's is {asked!r}; give one, or the same.")
        return name or written_name, uuid or written_uuid

    @property
    def who(self) -> str:
        return f"network {self.name or self.uuid}"

    @property
    def state(self) -> str:
        return "absent" if self.there is None else "active" if self.active else "inactive"

    # -- the plan

    def make(self, *, check: bool) -> None:
        if self.desired.state == "absent":
            self._plan_removal()
            return
        current = None if self.there is None else network.document(self.there, inactive=True)
        self.target = self._target(current)
        if self.target is not None:
            self._refuse_faults(current, self.target)
        if current is not None and self.target is not None:
            self._plan_changes(current, self.target)
        elif self.target is not None:
            self._plan_new(self.target)
        elif self.there is None:
            if not check:
                raise NotFound(
                    f"There is no {self.who} on {self.hypervisor.name}, and nothing says what it is to be made of"
                    " (ips, forward … or xml)."
                )
            self.not_there_yet = True
        self._plan_autostart()
        self._plan_state()

    def _target(self, current: t.Any | None) -> t.Any | None:
        """The document that a network is to have instead of the one it has; None where nothing is said of it."""
        if self.given is not None:
            target = definitions.complete(self.given, current)
        elif self.desired.definition:
            target = copy.deepcopy(current) if current is not None else definitions.new(str(self.name), self.uuid)
            definitions.write(target, self.desired.definition.values, self.desired.entries_mode)
        else:
            return None
        if self.name:
            xmltree.write(target, "name", self.name)
        if self.uuid:
            xmltree.write(target, "uuid", self.uuid)
        return target

    def _refuse_faults(self, current: t.Any | None, target: t.Any) -> None:
        """Addresses that cannot be, unless they were there before."""
        known = definitions.faults(current) if current is not None else []
        for fault in definitions.faults(target):
            if fault not in known:
                raise InvalidDefinition(f"{self.who}: {fault}")

    def _plan_removal(self) -> None:
        if self.there is None:
            return
        self._plan_stop()
        if self.persistent:
            change = Change("state", "inactive", "absent")
            self.plan.add([change], lambda: self._ask("Undefine", self.there.undefine))

    def _plan_stop(self) -> None:
        if not self.active:
            return
        machines = network.connected(self.there)
        if machines and not self.desired.force:
            raise Conflict(
                f"{self.who} is used by {', '.join(machines)}; stop what is connected, or use force: true, which cuts"
                " them off."
            )
        after = "inactive" if self.persistent else "absent"
        change = Change("state", "active", after, "live")
        self.plan.add([change], lambda: self._ask("Stop", self.there.destroy))

    def _plan_new(self, target: t.Any) -> None:
        if not self.name:
            raise InvalidDefinition("A new network needs a name.")
        self._refuse_taken(target)
        changes = [Change("state", "absent", "inactive")]
        if self.given is None:
            changes += [Change(key, None, value) for key, value in self.desired.definition.values.items()]
        self.plan.add(changes, lambda: self._define(target))

    def _plan_changes(self, current: t.Any, target: t.Any) -> None:
        config = definitions.compare(current, target)
        rest = definitions.compare_rest(current, target) if self.given is not None else []
        live: list[Edit] = []
        if self.active:
            running = network.document(self.there, inactive=False)
            live = definitions.compare(running, self._target(running))
        if config or rest:
            self._refuse_taken(target)
        if not self.persistent:
            config = live  # there is no other document
        stays = self.active and self.desired.state != "inactive"
        if stays and self.desired.apply == "restart" and (rest or any(not edit.section for edit in live)):
            self._plan_restart(current, target, config, rest, live)
        elif stays and self.desired.apply != "config":
            self._plan_live(target, config, rest, live)
        else:
            self._plan_define(target, [*config, *rest])
            self._tell_restart([*live, *rest])

    def _plan_define(self, target: t.Any, edits: t.Sequence[Edit]) -> None:
        changes = [change for edit in edits for change in edit.changes]
        if not self.persistent:
            changes.append(Change("persistent", False, True))
        if changes:
            self.plan.add(changes, lambda: self._define(target))

    def _plan_live(self, target: t.Any, config: list[Edit], rest: list[Edit], live: list[Edit]) -> None:
        """Entries at once and for good, the others for the next start."""
        updates = {edit.key: edit for edit in live if edit.section}
        kept = {edit.key for edit in config if edit.section} if self.persistent else set()
        # What goes makes room for what comes: an address passes from one machine to another.
        for key, edit in sorted(updates.items(), key=lambda each: each[1].new is not None):
            flags = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
            flags |= libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG if key in kept else 0
            self._plan_update(edit, flags)
        self._plan_define(target, [*(edit for edit in config if edit.key not in updates or not edit.section), *rest])
        self._tell_restart([*(edit for edit in live if not edit.section), *rest])

    def _plan_update(self, edit: Edit, flags: int) -> None:
        changes = [dataclasses.replace(change, scope="live") for change in edit.changes]
        back = dataclasses.replace(edit, old=edit.new, new=edit.old)
        self.plan.add(changes, lambda: self._update(edit, flags), lambda: self._update(back, flags))

    def _plan_restart(
        self, current: t.Any, target: t.Any, config: list[Edit], rest: list[Edit], live: list[Edit]
    ) -> None:
        self._refuse_overlap(target)
        told = [change for edit in (*live, *rest) for change in edit.changes]
        paths = {change.path for change in told}
        before = [edit for edit in config if not paths & {change.path for change in edit.changes}]
        self.plan.add(
            [change for edit in before for change in edit.changes]
            + [dataclasses.replace(change, scope="live") for change in told],
            lambda: self._restart(current, target),
        )

    def _tell_restart(self, edits: t.Sequence[Edit]) -> None:
        if not self.active or self.desired.state == "inactive":
            return
        self.restart_reasons += [
            f"{change.path} is changed in the configuration; the network runs on with the old one."
            for edit in edits
            for change in edit.changes
        ]
        machines = network.connected(self.there) if self.restart_reasons else []
        if machines:
            self.restart_reasons.append(f"While it restarts, it is cut off from: {', '.join(machines)}.")

    def _plan_autostart(self) -> None:
        wanted = self.desired.autostart
        if wanted is None:
            return
        with doing(f"Look at {self.who}"):
            old = bool(self.there.autostart()) if self.there is not None else False
        if old != wanted:
            change = Change("autostart", old, wanted)
            self.plan.add([change], lambda: self._ask("Set autostart of", self.there.setAutostart, int(wanted)))

    def _plan_state(self) -> None:
        if self.desired.state == "inactive":
            self._plan_stop()
        if self.desired.state != "active" or self.active:
            return
        target = self.target
        if target is None and self.there is not None:
            target = network.document(self.there, inactive=True)
        if target is not None:
            self._refuse_overlap(target)
        change = Change("state", "absent" if self.not_there_yet else "inactive", "active", "live")
        self.plan.add([change], self._start)

    def _others(self) -> t.Iterator[tuple[str, bool, t.Any]]:
        """Name, whether it is active, and document of each other network."""
        with doing(f"List the networks of {self.hypervisor.name}"):
            found = [(each.name(), bool(each.isActive()), each) for each in self.handle.listAllNetworks()]
        for name, active, virnetwork in found:
            if name != self.name:
                with contextlib.suppress(NotFound):
                    yield name, active, network.document(virnetwork, inactive=False)

    def _refuse_taken(self, target: t.Any) -> None:
        """A bridge that another network has."""
        bridge = xmltree.read(target, "bridge/@name")
        if bridge is None or xmltree.read(target, "forward/@mode") == "bridge":
            return
        for name, _active, node in self._others():
            if xmltree.read(node, "bridge/@name") == bridge:
                raise Conflict(f"{self.who}: the bridge {bridge} is the network {name}'s; name another one.")

    def _refuse_overlap(self, target: t.Any) -> None:
        """Addresses that another active network has. libvirt names no network when it refuses these."""
        mine = definitions.subnets(target)
        for name, active, node in self._others() if mine else ():
            for other in definitions.subnets(node) if active else ():
                for subnet in mine:
                    if subnet.version == other.version and subnet.overlaps(other):
                        raise Conflict(f"{self.who}: {subnet} overlaps {other} of the active network {name}.")

    # -- the steps

    def _ask(self, verb: str, function: t.Callable[..., t.Any], *arguments: t.Any) -> None:
        with doing(f"{verb} {self.who}"):
            function(*arguments)

    def _define(self, target: t.Any) -> None:
        with doing(f"Define {self.who}"):
            self.there = self.handle.networkDefineXML(xmltree.serialise(target))

    def _update(self, edit: Edit, flags: int) -> None:
        section = getattr(libvirt, f"VIR_NETWORK_SECTION_{edit.section}")
        modify, delete, add = (
            getattr(libvirt, f"VIR_NETWORK_UPDATE_COMMAND_{name}") for name in ("MODIFY", "DELETE", "ADD_LAST")
        )

        def update(command: int, entry: str | None) -> None:
            with doing(f"Change {edit.changes[0].path} of {self.who}"):
                self.there.update(command, section, edit.position, entry, flags)

        same_entry = edit.old is not None and edit.new is not None and not _renamed(edit)
        if same_entry and edit.section in _MODIFIABLE:
            update(modify, edit.new)
            return
        if edit.old is not None:
            update(delete, edit.old)
        if edit.new is not None:
            try:
                update(add, edit.new)
            except ArchipelError:
                if edit.old is not None:
                    update(add, edit.old)
                raise

    def _restart(self, current: t.Any, target: t.Any) -> None:
        """Nothing is left half-done: a network that does not start as it is to be runs again as it was."""
        self._define(target)
        self._ask("Stop", self.there.destroy)
        try:
            self._start()
        except ArchipelError:
            self._define(current)
            self._start()
            raise

    def _start(self) -> None:
        self._ask("Start", self.there.create)
        self.restart_reasons += network.reconnect(self.handle, self.there)

    # -- the result

    def result(self, *, check: bool) -> Result:
        self.make(check=check)
        if not check:
            self.plan.run()
        try:
            result = self.plan.result(self.who[0].upper() + self.who[1:], check=check)
            if self.not_there_yet:
                result["msg"] += f" There is no such network on {self.hypervisor.name} yet."
            return {
                **result,
                "restart_required": bool(self.restart_reasons),
                "restart_reasons": self.restart_reasons,
                "network": self._described(check=check),
            }
        except ArchipelError as error:
            error.changes = [change.as_data() for change in self.plan.done]
            raise

    def _described(self, *, check: bool) -> Result:
        gone = not check and self.desired.state == "absent"
        if self.there is not None and not gone:
            with contextlib.suppress(NotFound):
                return {**network.describe(self.there), "hypervisor": self.hypervisor.name}
        return {"name": self.name, "uuid": self.uuid, "active": False}


def _renamed(edit: Edit) -> bool:
    """Whether the keys change by which libvirt would find the entry."""
    old, new = (xmltree.parse_trusted(t.cast(str, entry)) for entry in (edit.old, edit.new))
    return any(old.get(key) != new.get(key) for key in ("mac", "id", "name") if old.tag == "host" or key == "name")
