# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How machines of a dead hypervisor come up on others: the fence, the plan, and one request for each machine.

The account is the administrator's: it owns the nodes, so it alone writes fences and takes away what the dead one wrote.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import functools
import secrets
import subprocess
import typing as t
from xml.etree import ElementTree as ET

from ..module_utils.archipel import errors
from ..module_utils.archipel.lifecycle import RUNNING
from ..module_utils.archipel.selection import fits
from .fleet import INDEX, Fleet, Hypervisor, Machine, from_platform
from .pubsub import Payload, Service
from .xmpp import COMMANDS, Client

_DEFINITIONS: t.Final = "/archipel/definitions"
_FENCES: t.Final = "/archipel/fences"
_REHOMED: t.Final = "/archipel/rehomed"
# XEP-0133, 4: of a service's administrator.
_ADMIN: t.Final = "http://jabber.org/protocol/admin#"
_FORM: t.Final = "jabber:x:data"
_ANSWERS_WITHIN: t.Final = 5.0


@dataclasses.dataclass(frozen=True)
class Move:
    """A machine of the dead hypervisor, and where it is to be; ``problem`` is why nowhere."""

    machine: Machine
    destination: str | None
    start: bool
    problem: str = ""


class Rehoming:
    """A task's whole work on one dead hypervisor."""

    def __init__(
        self, client: Client, parameters: t.Mapping[str, t.Any], progress: t.Callable[[str, float | None], None]
    ) -> None:
        self._client = client
        self._parameters = parameters
        self._progress = progress
        self._name: str = parameters["name"]
        self._service = Service(client, f"pubsub.{client.account.domain}")

    def run(self, *, check: bool) -> dict[str, t.Any]:
        """The task's result."""
        fleet = from_platform(self._client, stale=True)
        dead = next((hypervisor for hypervisor in fleet.hypervisors if hypervisor.name == self._name), None)
        if dead is None:
            raise errors.NotFound(f"The platform knows no hypervisor {self._name!r}.")
        patterns = self._parameters["machines"]
        meant = [
            machine
            for machine in fleet.machines
            if machine.hypervisor == self._name
            and any(fits(machine.name, pattern) or machine.uuid == pattern.lower() for pattern in patterns)
        ]
        foreign = sorted(machine.name for machine in meant if not machine.managed)
        moves = self._plan(fleet, [machine for machine in meant if machine.managed])
        warnings = [f"{name} is not managed, so nobody has kept what it was." for name in foreign]
        if moves and not dead.guard:
            # No fence prevents that: whoever turns it on again has not seen it.
            warnings.append(
                f"{self._name} is not known to have a guard: when it is turned on, it may start its machines before its"
                " agent has found out that they have another home. Keep it from its storage until its agent is online."
                " On hypervisors that are to be re-homed set agent_guard_autostart, of the role agent."
            )
        fence, told = self._fence(meant, needed=bool(moves), check=check)
        with concurrent.futures.ThreadPoolExecutor(max(1, self._parameters["max_parallel"])) as pool:
            vms = list(pool.map(functools.partial(self._rehome, fence=fence, check=check), moves))
        return self._result(vms, told, warnings, check=check)

    # Where to

    def _plan(self, fleet: Fleet, machines: t.Iterable[Machine]) -> list[Move]:
        """The largest first, each where most memory is left by the index; what is not to be started needs none."""
        wanted = self._parameters["destinations"]
        there = {h.name: h for h in fleet.hypervisors if h.online and not h.maintenance and h.name != self._name}
        for name in wanted or ():
            if name not in there:
                raise errors.Unavailable(f"destinations: no hypervisor {name!r} answers and is free of maintenance.")
        room = {name: _room(h, fleet.machines) for name, h in there.items() if wanted is None or name in wanted}
        moves = []
        for machine in sorted(machines, key=lambda machine: (-(machine.memory or 0), machine.name)):
            state = self._parameters["state"]
            start = state == "running" or (state == "as_before" and machine.state in (*RUNNING, "paused"))
            needs = (machine.memory or 0) if start else 0
            most = max(room, key=lambda name: room[name], default=None)
            if most is None or room[most] < needs:
                why = f"{machine.name} needs {needs} MiB of memory; " + (
                    f"{most} has the most left, {room[most]} MiB." if most else "there is no other hypervisor."
                )
                moves.append(Move(machine, None, start, why))
            else:
                room[most] -= needs
                moves.append(Move(machine, most, start))
        return moves

    # The fence

    def _fence(
        self, machines: t.Sequence[Machine], *, needed: bool, check: bool
    ) -> tuple[str, dict[str, t.Any] | None]:
        """Its id, and what it says; a new one only where none stands. Without one, or where the hypervisor answers
        behind it, Conflict."""
        if not needed:
            return "", None
        standing = self._standing()
        given = self._parameters["fence"]
        if standing is None and given is None:
            raise errors.Conflict(
                f"{self._name} is not fenced. Machines would run twice if it still runs: say by fence who has seen that"
                " it is off (confirmed_by), or the command that cuts its power."
            )
        command = given["command"] if given and standing is None else None
        if command and not check:
            self._cut(command, given["timeout"])
        if not (command and check):
            self._see_that_nobody_answers(machines)
        if standing is not None:
            return standing["fence"], None
        told = {
            "hypervisor": self._name,
            "fence": secrets.token_hex(8),
            "by": self._client.account.bare,
            "confirmed_by": given["confirmed_by"],
            "command": given["command"],
            "since": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if not check:
            self._clean_up()
            self._service.publish(_FENCES, self._name, Payload(told))
        return told["fence"], told

    def _see_that_nobody_answers(self, machines: t.Sequence[Machine]) -> None:
        account = self._client.account
        contacts = {account.machine(machine.uuid, self._name): machine.name for machine in machines}
        jids = [account.hypervisor(self._name), *contacts]
        for jid, gone in zip(jids, self._client.ping(jids, timeout=_ANSWERS_WITHIN), strict=True):
            if gone is None:
                raise errors.Conflict(f"{contacts.get(jid, self._name)} answers from {self._name}, which is not dead.")

    def _standing(self) -> dict[str, t.Any] | None:
        """The fence of earlier, as long as the hypervisor has not come back behind it."""
        fence = _data(self._service.items(_FENCES, [self._name]))
        back = _data(self._service.items(_REHOMED, [f"hypervisor:{self._name}"]))
        there = isinstance(fence.get("fence"), str) and back.get("fence") != fence["fence"]
        return fence if there else None

    def _clean_up(self) -> None:
        """Claims of a fence of earlier, whose authors have not been there to take them away."""
        for item in self._service.items(_REHOMED):
            if item.startswith(f"{self._name}:"):
                self._service.retract(_REHOMED, item)

    def _cut(self, command: t.Sequence[str], timeout: float) -> None:
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)
        except (OSError, subprocess.TimeoutExpired) as failure:
            raise errors.OperationFailed(f"fence.command: {failure}. {self._name} is not fenced.") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-500:]
            raise errors.OperationFailed(
                f"fence.command ended with {done.returncode}: {said}. {self._name} is not fenced."
            )

    # One machine

    def _rehome(self, move: Move, *, fence: str, check: bool) -> dict[str, t.Any]:
        machine = move.machine
        told = {"name": machine.name, "uuid": machine.uuid, "hypervisor": move.destination, "changed": False}
        if move.destination is None:
            return {**told, "msg": move.problem, "error": errors.Conflict(move.problem).as_data()}
        arguments = {"uuid": machine.uuid, "source": self._name, "start": move.start, "check": check}
        try:
            if not check:
                password = secrets.token_urlsafe(24)
                arguments["fence"] = fence
                if self._take_account(machine.uuid, password):
                    arguments["password"] = password
            jid = self._client.account.hypervisor(move.destination)
            answer = self._client.execute(jid, "rehome", arguments, timeout=self._parameters["wait_timeout"])
            if not check:
                for node in (INDEX, _DEFINITIONS):
                    self._let_go(node, machine.uuid)
        except errors.ArchipelError as error:
            return {**told, "changed": bool(error.changes), "msg": error.message, "error": error.as_data()}
        self._progress(f"{machine.name} is on {move.destination}", None)
        return {**told, **{key: answer[key] for key in ("changed", "msg", "changes", "warnings")}}

    def _let_go(self, node: str, uuid: str) -> None:
        """Take away what the dead hypervisor wrote, so that the new one can."""
        if _data(self._service.items(node, [uuid])).get("hypervisor") == self._name:
            self._service.retract(node, uuid)

    def _take_account(self, uuid: str, password: str) -> bool:
        """Give the machine's account another password, since the old one is on the dead hypervisor, and end sessions
        that the server has not missed yet. Whether that was possible: ejabberd says the same where there is no such
        account and where it lacks mod_configure."""
        jid = f"{uuid}@{self._client.account.domain}"
        try:
            self._administer("change-user-password", accountjid=jid, password=password)
        except (errors.InvalidRequest, errors.NotFound, errors.Unsupported):
            return False
        try:
            self._administer("end-user-session", accountjid=jid)
        except errors.ArchipelError:
            # There was none.
            pass
        return True

    def _administer(self, command: str, **fields: str) -> None:
        request = ET.Element(f"{{{COMMANDS}}}command", node=_ADMIN + command, action="execute")
        form = ET.SubElement(request, f"{{{_FORM}}}x", type="submit")
        for name, value in {"FORM_TYPE": _ADMIN.rstrip("#"), **fields}.items():
            ET.SubElement(ET.SubElement(form, f"{{{_FORM}}}field", var=name), f"{{{_FORM}}}value").text = value
        self._client.request("set", self._client.account.domain, request)

    def _result(
        self, vms: list[dict[str, t.Any]], fence: dict[str, t.Any] | None, warnings: list[str], *, check: bool
    ) -> dict[str, t.Any]:
        changed = [vm for vm in vms if vm["changed"]]
        failed = [vm for vm in vms if "error" in vm]
        done = "would be re-homed" if check else "re-homed"
        msg = f"{len(changed)} of {len(vms)} machines of {self._name} {done}."
        if failed:
            msg += " " + " ".join(vm["msg"] for vm in failed[:3])
        changes = [
            {**change, "path": f"{vm['name']}.{change['path']}"}
            for vm in vms
            for change in vm.get("changes", vm.get("error", {}).get("changes", ()))
        ]
        return {
            "changed": bool(changed) or fence is not None,
            "failed": bool(failed),
            "msg": msg if vms else f"The index has no managed machine of {self._name} that fits.",
            "changes": changes,
            "diff": {
                "before": {change["path"]: change["old"] for change in reversed(changes)},
                "after": {change["path"]: change["new"] for change in changes},
            },
            "fence": fence,
            "vms": sorted(vms, key=lambda vm: (vm["name"], vm["uuid"])),
            "warnings": warnings + [warning for vm in vms for warning in vm.pop("warnings", ())],
        }


def _room(hypervisor: Hypervisor, machines: t.Iterable[Machine]) -> int:
    """MiB of memory that no active machine has, by the index."""
    taken = sum(m.memory or 0 for m in machines if m.hypervisor == hypervisor.name and m.state != "shutoff")
    return (hypervisor.memory or 0) - taken


def _data(items: t.Mapping[str, Payload]) -> dict[str, t.Any]:
    """Of the one item that was asked for; empty for none."""
    data = next((payload.data for payload in items.values()), None)
    return data if isinstance(data, dict) else {}
