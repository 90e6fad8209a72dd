# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The machines of a hypervisor: which there are, and what they are to be."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from . import belongings
from .actions import Names, Phrase, Result, action
from .connection import doing, libvirt
from .convergence import Apply, Desired, Removal, WaitForIp, converge
from .definition import NOTHING, PARTS, Definition
from .elements import Change
from .errors import ArchipelError, InvalidArgument, NotFound, OperationFailed, Unavailable
from .host import Check, Host, Uuid, canonical_uuid
from .lifecycle import STATES, Asked, reason_name, state_name
from .machine import WAIT_TIMEOUT, AddressSource, Condition, ForceAfter, Machine, Timeout, Wait
from .selection import Candidate, fits, is_pattern

ApplyMode = t.Annotated[
    Apply,
    "How a running machine changes: V(live) at once where libvirt can, otherwise at its next start; V(config) in the"
    " configuration alone; V(restart) at once, and by shutting it down and starting it where that is needed.",
]
RemoveVolumes = t.Annotated[
    belongings.Which,
    "Which volumes go too: none, those that were made for this machine, or all of its disks. Media, shared, read-only"
    " and backing files stay, and so does what another machine uses.",
]


# Of vm, what can be said beside a state without defining anything; what else is given says what it says by default.
_OF_LIFECYCLE: t.Final = frozenset(
    ("name", "uuid", "names", "state", "force_after", "wait", "wait_timeout", "wait_for_ip", "brief", "check")
)
_BY_DEFAULT: t.Final = {"apply": "live", "remove_volumes": "none"}


def _lifecycle_alone(given: t.Mapping[str, t.Any]) -> bool:
    """Whether vm is asked for nothing but what a machine's own contact has verbs for."""
    others = {key: value for key, value in given.items() if key not in _OF_LIFECYCLE and value is not None}
    return given.get("state", "present") not in ("present", "absent") and not any(
        (value and value != _BY_DEFAULT.get(key)) or key == "autostart" for key, value in others.items()
    )


class Machines(Host):
    """What can be asked of a hypervisor about its machines."""

    @action(
        permission="view",
        changes=False,
        phrases=tuple(
            Phrase(words, {"parts": []}) for words in ("list", "machines", "who is there", "who is tagged {tags}")
        ),
        says=lambda r: "\n".join(f"{vm['name']}: {vm['state']}" for vm in r["vms"]) or "I have no such machine.",
        lists="vms",
    )
    def vm_info(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of a machine, or a pattern like web*."] = None,
        uuid: Uuid = None,
        names: t.Annotated[t.Optional[list[str]], "Names or patterns, of which any is to fit."] = None,
        state: t.Annotated[t.Optional[list[t.Literal[STATES]]], "States, of which any is to fit."] = None,  # type: ignore[valid-type]
        tags: t.Annotated[t.Optional[list[str]], "Tags, of which a machine is to have all."] = None,
        addresses: t.Annotated[AddressSource, "Where to ask for the machines' addresses."] = "none",
        parts: t.Annotated[
            t.Optional[list[t.Literal[tuple(PARTS)]]],  # type: ignore[valid-type]
            "Parts of the definitions to tell, by default all. Of thousands of machines, fewer are told much sooner.",
        ] = None,
        limit: t.Annotated[t.Optional[int], "Tell of so many machines at most; next continues."] = None,
        after: t.Annotated[t.Optional[str], "UUID after which to continue."] = None,
    ) -> Result:
        """Tell everything about machines, all of them or those that are named."""
        if limit is not None and limit < 1:
            raise InvalidArgument(f"limit: {limit} is too small; at least 1 is needed.")
        wanted = canonical_uuid(uuid) if uuid else None
        begin = canonical_uuid(after) if after else ""
        patterns = None if name is None and names is None else [*(names or ()), *([name] if name else ())]
        told = PARTS if parts is None else parts
        vms: list[Result] = []
        following = None
        for machine, condition in self._candidates(name, names, wanted):
            if machine.uuid <= begin or wanted not in (None, machine.uuid):
                continue
            if patterns is not None and not any(fits(machine.name, pattern) for pattern in patterns):
                continue
            if state is not None and condition.state not in state:
                continue
            # A machine may go between the list and the look; then there is nothing to tell of it.
            with contextlib.suppress(NotFound):
                if tags is not None and not {*tags} <= {*machine.read_tags(persistent=condition.persistent)}:
                    continue
                if len(vms) == limit:
                    following = vms[-1]["uuid"]
                    break
                vms.append(machine.describe(addresses=addresses, condition=condition, parts=told))
        return {"changed": False, "vms": vms, "next": following}

    def _candidates(
        self, name: str | None, names: list[str] | None, uuid: str | None
    ) -> list[tuple[Machine, Condition]]:
        """The one machine that is meant, looked up, or every machine, to be selected from."""
        handle = self.connection.handle
        if uuid is not None:
            domain = self._lookup(handle.lookupByUUIDString, uuid)
        elif name is not None and names is None and not is_pattern(name):
            domain = self._lookup(handle.lookupByName, name)
        else:
            return self._survey()
        with contextlib.suppress(NotFound):
            if domain is not None:
                machine = Machine(self, domain)
                return [(machine, machine.condition)]
        return []

    def _survey(self) -> list[tuple[Machine, Condition]]:
        """Every machine with its condition, by UUID; three calls, whatever their number."""
        handle = self.connection.handle
        with doing(f"List the machines of {self.name}"):
            persistent, autostarted = (
                {domain.UUIDString() for domain in handle.listAllDomains(flag)}
                for flag in (libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT, libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
            )
        found = []
        for domain, state, reason in self.states():
            machine = Machine(self, domain)
            lasting, automatic = machine.uuid in persistent, machine.uuid in autostarted
            condition = Condition(state_name(state), reason_name(state, reason), lasting, automatic)
            found.append((machine, condition))
        return sorted(found, key=lambda pair: pair[0].uuid)

    def candidates(self, *, tags: bool) -> list[Candidate]:
        """Every machine, to be selected from; with its tags, if they matter, at a call or two for each."""
        found = []
        for domain, state, _reason in self.states():
            # It may go between the list and the look.
            with contextlib.suppress(NotFound):
                tagged = Machine(self, domain).read_tags() if tags else ()
                found.append(Candidate(domain.UUIDString(), domain.name(), state_name(state), tagged))
        return found

    @action(
        permission="define",
        changes=True,
        says="{msg}",
        reaches=lambda given: bool(given.get("xml")) or given.get("definition", NOTHING).reaches,
        lighter=("lifecycle", _lifecycle_alone),
    )
    def vm(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of the machine.", Names("machine", free=True)] = None,
        uuid: Uuid = None,
        names: t.Annotated[
            t.Optional[list[str]],
            "Names of several machines, or patterns like web* of those that are there, in place of a name. Each is"
            " brought to the same, and answered for in C(vms).",
        ] = None,
        state: t.Annotated[Asked, "What the machine is to be."] = "present",
        definition: t.Annotated[
            Definition, "What the machine is to be made of; only what is named is compared."
        ] = NOTHING,
        xml: t.Annotated[t.Optional[str], "The whole definition as libvirt's domain XML."] = None,
        force: t.Annotated[
            bool,
            "Turn off what runs and drop saved memory and snapshots, where absent asks for it; open drives that the"
            " guest system has locked.",
        ] = False,
        apply: ApplyMode = "live",
        autostart: t.Annotated[t.Optional[bool], "Whether the machine starts with its hypervisor."] = None,
        disks_remove_unmanaged: t.Annotated[
            bool, "Take out the disks and media that the definition does not name. Their volumes stay."
        ] = False,
        networks_remove_unmanaged: t.Annotated[
            bool, "Take out the network interfaces that the definition does not name."
        ] = False,
        remove_volumes: RemoveVolumes = "none",
        keep_nvram: t.Annotated[bool, "Keep the firmware's variables of a machine that is removed."] = False,
        keep_tpm: t.Annotated[bool, "Keep the TPM's state of a machine that is removed."] = False,
        force_after: ForceAfter = None,
        wait: Wait = True,
        wait_timeout: Timeout = WAIT_TIMEOUT,
        wait_for_ip: t.Annotated[
            WaitForIp,
            "Return only when the running machine has an address by this source, V(yes) is any. The result has it.",
        ] = "no",
        brief: t.Annotated[
            bool, "Tell of the machine afterwards only its name, UUID and state, which spares reading its definition."
        ] = False,
        check: Check = False,
    ) -> Result:
        """Bring a machine to a definition and a state."""
        desired = Desired(
            name, uuid, state, definition, xml, force, apply, autostart, force_after,
            Removal(remove_volumes, keep_nvram, keep_tpm),
            complete=frozenset(
                key
                for key, remove in (("disks", disks_remove_unmanaged), ("networks", networks_remove_unmanaged))
                if remove
            ),
            wait=wait, wait_timeout=wait_timeout, wait_for_ip=wait_for_ip,
        )  # fmt: skip
        if names is None:
            return converge(self, desired, check=check, brief=brief)
        if name or uuid or xml:
            raise InvalidArgument("names: several machines are named by it alone, without name, uuid or xml.")
        return self._converge_each(self._named(names), desired, check=check)

    def _named(self, names: t.Iterable[str]) -> list[str]:
        """Names as they are, patterns as the machines that fit."""
        there: list[str] | None = None
        meant: list[str] = []
        for name in names:
            if is_pattern(name) and self.find(name=name) is None:
                if there is None:
                    with doing(f"List the machines of {self.name}"):
                        there = sorted(domain.name() for domain in self.connection.handle.listAllDomains())
                meant += [each for each in there if fits(each, name)]
            else:
                meant.append(name)
        return list(dict.fromkeys(meant))

    def _converge_each(self, names: t.Sequence[str], desired: Desired, *, check: bool) -> Result:
        """One that fails does not keep the others from what is asked; then all of it is a failure that says what was
        done."""
        vms: list[Result] = []
        failures: list[str] = []
        for name in names:
            try:
                result = converge(self, dataclasses.replace(desired, name=name), check=check, brief=True)
            except Unavailable as error:
                error.changes = [*of_all(vms), *of_all([{"name": name, "changes": error.changes}])]
                raise
            except ArchipelError as error:
                failures.append(error.message if name in error.message else f"{name}: {error.message}")
                vms.append({"name": name, "changes": error.changes})
                continue
            told = ("changed", "msg", "changes", "restart_required", "restart_reasons")
            vms.append({**result["vm"], **{key: result[key] for key in told}})
        changes = of_all(vms)
        if failures:
            raise OperationFailed(f"{len(failures)} of {len(names)} failed. {' '.join(failures)}", changes=changes)
        changed = [vm["name"] for vm in vms if vm["changed"]]
        return {
            "changed": bool(changed),
            "msg": f"{', '.join(changed)}: {'would change' if check else 'changed'}."
            if changed
            else "All are as asked.",
            "changes": changes,
            "diff": {
                "before": {c["path"]: c["old"] for c in reversed(changes)},
                "after": {c["path"]: c["new"] for c in changes},
            },
            "restart_required": any(vm["restart_required"] for vm in vms),
            "restart_reasons": [f"{vm['name']}: {reason}" for vm in vms for reason in vm["restart_reasons"]],
            "vms": vms,
        }

    @action(permission="define", changes=True, says="{msg}")
    def vm_import(
        self,
        *,
        name: t.Annotated[
            t.Optional[str], "Name of a domain, or a pattern like web*.", Names("machine", free=True)
        ] = None,
        uuid: Uuid = None,
        state: t.Annotated[t.Literal["present", "absent"], "Whether it is to be managed."] = "present",
        check: Check = False,
    ) -> Result:
        """Adopt domains that were made by other means, or let them go. They run on, untouched."""
        if not name and not uuid:
            raise InvalidArgument("Name the domains: give a name, a pattern (* is all of them), or a uuid.")
        with doing(f"List the machines of {self.name}"):
            machines = [Machine(self, domain) for domain in self.connection.handle.listAllDomains()]
        wanted = canonical_uuid(uuid) if uuid else None
        meant = [
            machine
            for machine in sorted(machines, key=lambda m: m.name)
            if (not name or fits(machine.name, name)) and wanted in (None, machine.uuid)
        ]
        if not meant and not (name and is_pattern(name)):
            raise NotFound(f"There is no machine {name or uuid!r} on {self.name}.")
        managed = state == "present"
        changes: list[Change] = []
        vms: list[Result] = []
        try:
            for machine in meant:
                # A machine may go while the others are looked at.
                with contextlib.suppress(NotFound):
                    if machine.managed != managed:
                        if not check:
                            machine.adopt(managed=managed)
                        changes.append(Change(f"{machine.name}.managed", not managed, managed))
                    vms.append({"name": machine.name, "uuid": machine.uuid, "state": machine.status[0]})
        except ArchipelError as error:
            error.changes = [change.as_data() for change in changes]
            raise
        verb = ("would be " if check else "") + ("adopted" if managed else "let go")
        return {
            "changed": bool(changes),
            "msg": f"{', '.join(c.path.rsplit('.', 1)[0] for c in changes)} {verb}."
            if changes
            else "All are as asked.",
            "changes": [change.as_data() for change in changes],
            "diff": {"before": {c.path: c.old for c in changes}, "after": {c.path: c.new for c in changes}},
            "vms": vms,
        }


def of_all(vms: t.Iterable[t.Mapping[str, t.Any]]) -> list[Result]:
    """The changes of several machines, each with whose it is."""
    return [{**change, "path": f"{vm['name']}.{change['path']}"} for vm in vms for change in vm["changes"]]
