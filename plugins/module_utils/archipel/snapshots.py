# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Snapshots of machines: taken, told as a tree, gone back to, removed.

An internal snapshot lies inside the machine's qcow2 images, and of a running machine it has the memory too. For an
external one the images stay as they are, and the machine goes on in new ones that lie on them.
"""

from __future__ import annotations

import dataclasses
import functools
import os.path
import time
import typing as t

from . import images, xmltree
from .actions import NO_PROGRESS, Names, OfMachine, Phrase, Progress, action
from .connection import doing, libvirt
from .domain_job import domain_job
from .elements import Attribute, Change, Element
from .errors import ArchipelError, Conflict, InvalidArgument, NotFound, Unsupported
from .host import Check, Host, Name, Uuid
from .lifecycle import ACTIVE, RUNNING
from .machine import WAIT_TIMEOUT as START_TIMEOUT
from .machine import Machine, Result
from .plan import Plan
from .selection import fits, is_pattern

WAIT_TIMEOUT = 600
LONGEST_NAME = 100  # it becomes a part of file names
DAY: t.Final = 86400

SNAPSHOT = Element(
    "snapshot",
    (
        Attribute("name", "name", "Name of the snapshot."),
        Attribute("description", "description", "What people say about it."),
        Attribute("parent", "parent/name", "The snapshot before it."),
        Attribute("state", "state", "State of the machine when it was taken, in libvirt's words."),
        Attribute("memory", "memory/@snapshot", "Where the memory is: internal, external, no."),
        Attribute("memory_path", "memory/@file", "File of an external memory."),
    ),
)
DISK = Element(
    "disk",
    (
        Attribute("target", "@name", "Name of the disk in the machine."),
        Attribute("kind", "@snapshot", "Where its state is: internal, external, no."),
        Attribute("path", "source/@file", "Image in which the machine goes on, of an external one."),
        Attribute("format", "driver/@type", "Format of that image."),
    ),
)

Kind = t.Literal["internal", "external"]
Then = t.Literal["as_it_was", "running", "paused"]
# The arguments that not all states have a use for, and the states that have.
_FOR: t.Final = {
    **dict.fromkeys(("description", "kind", "memory", "quiesce", "among"), ("present",)),
    **dict.fromkeys(("keep", "keep_days"), ("present", "absent")),
    "children": ("absent",),
    **dict.fromkeys(("then", "force"), ("reverted",)),
}


def describe(node: t.Any) -> Result:
    """A snapshot's XML in the words of this file; what it does not say is None."""
    values = SNAPSHOT.read(node)
    disks = [DISK.read(disk) for disk in node.iterfind("disks/disk")]
    kinds = {disk["kind"] for disk in disks} | {values["memory"]}
    taken = xmltree.read(node, "creationTime")
    return {
        **values,
        "description": values["description"] or "",
        "memory": values["memory"] in ("internal", "external"),
        "kind": "external" if "external" in kinds else "internal" if "internal" in kinds else None,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(taken))) if taken else None,
        "disks": disks,
    }


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One that is there. ``told`` is what ``vm_snapshot_info`` tells of it."""

    handle: t.Any
    node: t.Any
    told: Result

    @property
    def name(self) -> str:
        return t.cast(str, self.told["name"])

    @property
    def external(self) -> bool:
        return self.told["kind"] == "external"

    @property
    def taken(self) -> int:
        """Seconds since 1970."""
        return int(xmltree.read(self.node, "creationTime") or 0)

    def images(self, handle: t.Any) -> dict[str, str]:
        """Of each disk that is part of it, the image that the machine had: target → path."""
        parts = {disk["target"] for disk in self.told["disks"] if disk["kind"] in ("internal", "external")}
        domain = self.node.find("domain")
        disks = [] if domain is None else images.written(handle, domain)
        return {disk.target: disk.path for disk in disks if disk.target in parts and disk.path}


class Tree:
    """All snapshots of a machine, each parent before its children, those of one parent by age."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        found: dict[str, Snapshot] = {}
        with doing(f"List the snapshots of {machine.name}"):
            for handle in machine.domain.listAllSnapshots():
                node = xmltree.parse_trusted(handle.getXMLDesc())
                told = {"vm": machine.name, "uuid": machine.uuid, **describe(node), "current": bool(handle.isCurrent())}
                found[told["name"]] = Snapshot(handle, node, told)
        self.snapshots: dict[str, Snapshot] = {}
        following: dict[str | None, list[Snapshot]] = {}
        for each in sorted(found.values(), key=lambda each: (each.taken, each.name), reverse=True):
            following.setdefault(each.told["parent"], []).append(each)
        stack = following.get(None, [])
        while stack:
            each = stack.pop()
            self.snapshots[each.name] = each
            children = following.get(each.name, [])
            each.told["children"] = [child.name for child in reversed(children)]
            stack.extend(children)

    def __iter__(self) -> t.Iterator[Snapshot]:
        return iter(self.snapshots.values())

    def get(self, name: str) -> Snapshot | None:
        return self.snapshots.get(name)

    @property
    def current(self) -> str | None:
        """The one that the machine goes on from."""
        return next((each.name for each in self if each.told["current"]), None)

    def descendants(self, name: str) -> list[str]:
        """Those that go back to it, children before their parents."""
        found = [name]
        for each in self:
            if each.told["parent"] in found:
                found.append(each.name)
        return found[:0:-1]

    def fitting(self, pattern: str) -> list[Snapshot]:
        return [each for each in self if fits(each.name, pattern)]


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """What libvirt knows of a machine's snapshots; their data is not in it. ``xml`` is that of each, with secrets,
    parents first; the machine goes on from the one called ``current``."""

    xml: t.Sequence[str]
    current: str | None

    @classmethod
    def of(cls, tree: t.Iterable[Snapshot], adapt: t.Callable[[t.Any], object] = lambda domain: None) -> Knowledge:
        """``adapt`` is called with each definition of the machine that is in it, and may change that."""
        xml, current = [], None
        for each in tree:
            with doing(f"Read the snapshot {each.name} of {each.told['vm']}"):
                node = xmltree.parse_trusted(each.handle.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE))
            for domain in (*node.iterfind("domain"), *node.iterfind("inactiveDomain")):
                adapt(domain)
            xml.append(xmltree.serialise(node))
            current = each.name if each.told["current"] else current
        return cls(xml, current)

    def teach(self, domain: t.Any) -> None:
        """Have libvirt know them of this domain; what it knows by their names stays as it is."""
        with doing(f"Define the snapshots of {domain.name()}"):
            known = {snapshot.getName() for snapshot in domain.listAllSnapshots()}
            for xml in self.xml:
                name = xmltree.read(xmltree.parse_trusted(xml), "name")
                flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
                flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if name == self.current else 0
                if name not in known:
                    domain.snapshotCreateXML(xml, flags)


def forget(tree: t.Sequence[Snapshot]) -> None:
    """Have libvirt know nothing of snapshots any more, whose data stays. Children first: libvirt would have them go
    back to the one before their parent."""
    for each in reversed(tree):
        with doing(f"Have libvirt forget the snapshot {each.name} of {each.told['vm']}"):
            each.handle.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a task asks of the snapshots of one machine."""

    snapshot: str
    state: str
    description: str | None
    kind: str | None
    memory: bool | None
    quiesce: bool
    children: str
    keep: int | None
    keep_days: int | None
    among: str | None
    then: str
    force: bool

    def check(self) -> None:
        """Refuse what has no meaning, or none with this state."""
        for name, states in _FOR.items():
            if self.state not in states and getattr(self, name) != _DEFAULTS[name]:
                raise InvalidArgument(f"{name} goes with state {' or '.join(states)}, not with {self.state}.")
        for name in ("keep", "keep_days"):
            if (getattr(self, name) or 0) < 0:
                raise InvalidArgument(f"{name}: {getattr(self, name)} is too small; at least 0 is needed.")
        if self.state == "present":
            if (self.keep is None and self.keep_days is None) != (self.among is None):
                raise InvalidArgument("among says which snapshots keep and keep_days are about; give both.")
            name = self.snapshot
            if not name or len(name) > LONGEST_NAME or not name.isprintable() or "/" in name or name[0] in ".- ":
                raise InvalidArgument(
                    f"snapshot: {name[:60]!r} cannot be a snapshot's name (printable, no slash, at most"
                    f" {LONGEST_NAME}, no dot or dash first)."
                )
            if self.quiesce and self.memory:
                raise InvalidArgument("quiesce is for the disks alone; with memory there is nothing to be quiesced.")


_DEFAULTS: t.Final = {
    **dict.fromkeys(("description", "kind", "memory", "among", "keep", "keep_days")),
    **dict.fromkeys(("quiesce", "force"), False),
    "children": "promote",
    "then": "as_it_was",
}


def _sentences(result: t.Mapping[str, t.Any]) -> str:
    """A line for each, indented by how many it goes back to."""
    depths: dict[str | None, int] = {None: -1}
    lines = []
    for told in result["snapshots"]:
        depths[told["name"]] = depths.get(told["parent"], -1) + 1
        here = " (I go on from here)" if told["current"] else ""
        lines.append(f"{'  ' * depths[told['name']]}{told['name']}: {told['state']}, {told['time']}{here}")
    return "\n".join(lines) or "I have no snapshots."


class Snapshots(Host):
    """What can be asked of a hypervisor about the snapshots of its machines."""

    @action(
        permission="view",
        changes=False,
        lists="snapshots",
        phrases=("snapshots of {name}",),
        says=lambda r: (
            "\n".join(f"{s['vm']}: {s['name']}, {s['state']}, {s['time']}" for s in r["snapshots"])
            or "There are no such snapshots."
        ),
        of_machine=OfMachine("snapshots", phrases=("snapshots", "list snapshots"), says=_sentences),
    )
    def vm_snapshot_info(
        self,
        *,
        name: t.Annotated[t.Optional[str], "Name of a machine, or a pattern like web*."] = None,
        uuid: Uuid = None,
        snapshot: t.Annotated[t.Optional[str], "Name of a snapshot, or a pattern like nightly-*."] = None,
    ) -> Result:
        """Tell about the snapshots of machines, each with those that go back to it."""
        found = [
            each.told
            for machine in self._with_snapshots(name, uuid)
            for tree in (Tree(machine),)
            for each in (tree if snapshot is None else tree.fitting(snapshot))
        ]
        return {"changed": False, "snapshots": found}

    def _with_snapshots(self, name: str | None, uuid: str | None) -> list[Machine]:
        if uuid or (name and not is_pattern(name)):
            found = self.find(name=name, uuid=uuid)
            return [found] if found else []
        with doing(f"List the machines of {self.name}"):
            domains = self.connection.handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
        machines = sorted((Machine(self, domain) for domain in domains), key=lambda machine: machine.name)
        return [m for m in machines if name is None or fits(m.name, name)]

    @action(
        permission="snapshot",
        changes=True,
        long=True,
        says="{msg}",
        phrases=("take a snapshot of {name} called {snapshot}",),
        of_machine=(
            OfMachine(
                "snapshot",
                phrases=(
                    Phrase("take a snapshot", {"snapshot": "%Y-%m-%d-%H-%M-%S"}),
                    *("take a snapshot called {snapshot}", "take a snapshot {snapshot}", "snapshot {snapshot}"),
                ),
                says=lambda r: (
                    f"I have taken the snapshot {r['snapshot']['name']}."
                    if any(change["old"] is None for change in r["changes"])
                    else r["msg"]
                ),
                help="Take a snapshot of the machine.",
                given={"state": "present"},
                takes=(
                    *("snapshot", "description", "kind", "memory", "quiesce", "among", "keep", "keep_days"),
                    *("wait_timeout", "check"),
                ),
            ),
            OfMachine(
                "revert",
                phrases=("revert to {snapshot}", "go back to {snapshot}"),
                says=lambda r: f"I am back at {r['snapshot']['name']}, and {r['vm']['state']}.",
                help="Go back to a snapshot. What came after it and is in no other snapshot is lost.",
                asks="I go back to {snapshot}. What came after it and is in no other snapshot is lost.",
                given={"state": "reverted"},
                takes=("snapshot", "then", "force", "wait_timeout", "check"),
                existing=("snapshot",),
            ),
            OfMachine(
                "forget",
                phrases=("forget the snapshot {snapshot}", "forget snapshot {snapshot}"),
                says=lambda r: "I have forgotten it." if r["changed"] else "I have no such snapshot.",
                help="Remove a snapshot.",
                asks="I forget the snapshot {snapshot}, and cannot go back to it any more.",
                given={"state": "absent"},
                takes=("snapshot", "children", "keep", "keep_days", "wait_timeout", "check"),
            ),
        ),
    )
    def vm_snapshot(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        snapshot: t.Annotated[
            str,
            "Name of the snapshot. Where one is taken, fields of strftime are filled in with the time in UTC, as in"
            " V(nightly-%Y-%m-%d); where it is to be absent, it may be a pattern such as V(nightly-*).",
            Names("snapshot", of="name", free=True),
        ],
        state: t.Annotated[
            t.Literal["present", "absent", "reverted"],
            "Whether there is to be such a snapshot; V(reverted) goes back to it, each time anew. What came after it"
            " and is in no other snapshot is lost then.",
        ] = "present",
        description: t.Annotated[t.Optional[str], "What people say about it."] = None,
        kind: t.Annotated[
            t.Optional[Kind],
            "V(internal) is inside the machine's images, which have to be qcow2, and is what a new one is by default;"
            " V(external) leaves the images as they are, and the machine goes on in new ones beside them.",
        ] = None,
        memory: t.Annotated[
            t.Optional[bool],
            "Whether the memory of a running machine is part of it; by default it is, unless O(quiesce=true). Without,"
            " it is as if the power had been cut; libvirt takes such a one of a running machine as V(external) only.",
        ] = None,
        quiesce: t.Annotated[
            bool, "Have the guest agent of a running machine write out and freeze its file systems meanwhile."
        ] = False,
        children: t.Annotated[
            t.Literal["promote", "remove", "only"],
            "What becomes of snapshots that go back to the one that is removed: they go back to the one before it from"
            " then on, are removed too, or are removed while it stays.",
        ] = "promote",
        keep: t.Annotated[
            t.Optional[int],
            "Keep so many, the newest, of O(among) or of those that O(snapshot) fits; remove the others.",
        ] = None,
        keep_days: t.Annotated[t.Optional[int], "Keep those of so many days, beside those of O(keep)."] = None,
        among: t.Annotated[
            t.Optional[str], "The snapshots that O(keep) and O(keep_days) are about, as a pattern such as V(nightly-*)."
        ] = None,
        then: t.Annotated[Then, "The machine's state after going back."] = "as_it_was",
        force: t.Annotated[
            bool,
            "Go back although libvirt holds it for risky: where the running machine differs from the snapshot's, its"
            " process ends and another begins, so that consoles are cut off.",
        ] = False,
        wait_timeout: t.Annotated[
            int, "Seconds after which it is aborted. libvirt cannot abort every part of it; that ends first."
        ] = WAIT_TIMEOUT,
        check: Check = False,
        progress: Progress = NO_PROGRESS,
    ) -> Result:
        """Take a snapshot of a machine, go back to one, or remove some."""
        if state == "present":
            snapshot = time.strftime(snapshot, time.gmtime())
        asked = Asked(
            snapshot, state, description, kind, memory, quiesce, children, keep, keep_days, among, then, force
        )
        asked.check()
        machine = self.find(name=name, uuid=uuid) if check else self.machine(name, uuid)
        if machine is None:
            return _foretold(asked, name, uuid)
        work = _Work(machine, asked, functools.partial(domain_job, machine, wait_timeout, progress))
        {"present": work.plan_presence, "absent": work.plan_removal, "reverted": work.plan_return}[state]()
        if not check:
            work.plan.run()
        return work.result(check=check)


def removal_of_all(machine: Machine, wait_timeout: int, progress: Progress) -> Plan:
    """What removes all snapshots of a machine, which goes on as it is."""
    given: dict[str, t.Any] = {**_DEFAULTS}
    asked = Asked("*", "absent", **given)
    work = _Work(machine, asked, functools.partial(domain_job, machine, wait_timeout, progress))
    work.plan_removal()
    return work.plan


def _foretold(asked: Asked, name: str | None, uuid: str | None) -> Result:
    """What check mode tells of a machine that an earlier task would have made."""
    plan = Plan()
    if asked.state == "present":
        plan.add([Change(f"snapshots[{asked.snapshot}]", None, {"kind": asked.kind or "internal"})], lambda: None)
    elif asked.state == "reverted":
        plan.add([Change("reverted", None, asked.snapshot, "live")], lambda: None)
    result = plan.result(f"{name or uuid}, which is not there yet,", check=True)
    return {**result, "snapshot": None, "vm": {"name": name, "uuid": uuid, "state": "absent"}}


class _Work:
    """The snapshots of one machine on their way to what was asked. ``job`` surrounds each piece of work."""

    def __init__(self, machine: Machine, asked: Asked, job: t.Callable[[str], t.ContextManager[None]]) -> None:
        self.machine = machine
        self.asked = asked
        self.handle = machine.hypervisor.connection.handle
        self.job = job
        self.plan = Plan()
        self.tree = Tree(machine)
        self.state = machine.status[0]
        self.there = self.tree.get(asked.snapshot)
        self.taken: Result | None = None  # what is told of one that is not there yet

    @property
    def scope(self) -> str:
        return "live" if self.state in ACTIVE else "config"

    def _step(self, change: Change, doing_what: str, run: t.Callable[[], t.Any]) -> None:
        def step() -> None:
            with self.job(doing_what):
                run()

        self.plan.add([change], step)

    def _removal(self, snapshot: Snapshot) -> None:
        told = {key: snapshot.told[key] for key in ("time", "kind")}
        change = Change(f"snapshots[{snapshot.name}]", told, None, self.scope)
        self._step(change, f"remove the snapshot {snapshot.name}", functools.partial(self._delete, snapshot))

    # -- present

    def plan_presence(self) -> None:
        if self.there is None:
            self._plan_new()
        else:
            self._plan_description(self.there)
        if self.asked.among is not None:
            removed = [each for each in self.tree.fitting(self.asked.among) if each.name != self.asked.snapshot]
            self._plan_retention(removed, new=int(fits(self.asked.snapshot, self.asked.among)))

    def _plan_description(self, there: Snapshot) -> None:
        asked, told = self.asked, there.told
        for key in ("kind", "memory"):
            wanted = getattr(asked, key)
            if wanted is not None and wanted != told[key]:
                raise Conflict(
                    f"{self.machine.name} has a snapshot {there.name} already, with {key} {told[key]} and not {wanted};"
                    " remove it first, or take one of another name."
                )
        if asked.description is not None and asked.description.strip() != told["description"]:
            change = Change(f"snapshots[{there.name}].description", told["description"], asked.description.strip())
            self._step(change, f"describe the snapshot {there.name}", lambda: self._redescribe(there))

    def _redescribe(self, there: Snapshot) -> None:
        """libvirt takes a new description with the rest of what it knows of the snapshot, which stays as it is."""
        node = xmltree.parse_trusted(there.handle.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE))
        SNAPSHOT.write(node, {"description": t.cast(str, self.asked.description).strip()})
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if there.told["current"] else 0
        self.machine.domain.snapshotCreateXML(xmltree.serialise(node), flags)

    def _plan_new(self) -> None:
        asked, active = self.asked, self.state in ACTIVE
        kind = asked.kind or "internal"
        memory = asked.memory if asked.memory is not None else active and not asked.quiesce
        document = self.machine.document()
        disks = images.written(self.handle, document)
        self._refuse(document, disks, kind, memory)
        node = xmltree.element("domainsnapshot")
        values = {"name": asked.snapshot, "description": (asked.description or "").strip()}
        SNAPSHOT.write(node, {key: value for key, value in values.items() if value})
        if kind == "external":
            self._place(node, disks, memory)
        flags = self._flags(kind, memory)
        self.taken = {"vm": self.machine.name, "uuid": self.machine.uuid, **describe(node)}
        self.taken.update(kind=kind, memory=memory, parent=self.tree.current, current=True, children=[])
        self.taken["description"] = values["description"]
        told = {"kind": kind, "memory": memory, "description": values["description"] or None}
        change = Change(
            f"snapshots[{asked.snapshot}]", None, {k: v for k, v in told.items() if v is not None}, self.scope
        )
        self._step(
            change,
            f"take the snapshot {asked.snapshot}",
            lambda: self.machine.domain.snapshotCreateXML(xmltree.serialise(node), flags),
        )

    def _flags(self, kind: str, memory: bool) -> int:
        if kind == "internal":
            return 0
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        if memory:
            # The machine runs on while its memory is written.
            return t.cast(int, flags | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE)
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        if self.asked.quiesce and self.state in ACTIVE:
            flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE
        return t.cast(int, flags)

    def _refuse(self, document: t.Any, disks: t.Sequence[images.Image], kind: str, memory: bool) -> None:
        """What libvirt would refuse, told in check mode too."""
        who, active = self.machine.name, self.state in ACTIVE
        if memory and not active:
            raise Conflict(
                f"{who} is {self.state} and has no memory that could be part of a snapshot; leave memory out."
            )
        if kind == "internal" and active and not memory:
            raise Conflict(
                f"{who} is {self.state}: libvirt takes an internal snapshot of it with its memory only. Use kind:"
                " external, or let memory be part of it."
            )
        other = [each.name for each in self.tree if each.told["kind"] not in (None, kind)]
        if other:
            # It takes them, and then can neither remove the one nor go back to the other.
            raise Conflict(
                f"{who} has snapshots of the other kind, {', '.join(other)}: libvirt does not get along with both. Take"
                f" {'an external' if kind == 'internal' else 'an internal'} one too, or remove those first."
            )
        if document.get("type") not in images.VIRTUAL:
            return
        if not disks:
            raise Conflict(f"{who} has no disk that it writes to, so there is nothing to take a snapshot of.")
        if kind == "internal":
            others = [f"{disk.target} ({disk.format})" for disk in disks if disk.format != "qcow2"]
            if others:
                raise Conflict(
                    f"{who}: an internal snapshot lies inside images of the format qcow2, which {', '.join(others)} is"
                    " not. Use kind: external."
                )
            if (
                xmltree.read(document, "os/loader/@type") == "pflash"
                and xmltree.read(document, "os/nvram/@format") != "qcow2"
            ):
                raise Conflict(
                    f"{who} keeps its firmware's variables outside of images of the format qcow2, so libvirt takes no"
                    " internal snapshot of it. Use kind: external."
                )
        if self.asked.quiesce and active:
            agent = "devices/channel/target[@name='org.qemu.guest_agent.0'][@state='connected']"
            if document.find(agent) is None:
                raise Conflict(
                    f"{who} has no guest agent that answers, so its file systems cannot be frozen. Install and start"
                    " qemu-guest-agent in it and give it the channel org.qemu.guest_agent.0, or leave quiesce out."
                )

    def _place(self, node: t.Any, disks: t.Sequence[images.Image], memory: bool) -> None:
        """Name the files of an external snapshot, beside the images that they lie on."""
        stem = f"{self.machine.name}.{self.asked.snapshot}"
        for disk in disks:
            if disk.path is None or disk.block:
                raise Unsupported(
                    f"{self.machine.name}: {disk.target} is no file, so there is no place beside it for the image that"
                    " would lie on it. libvirt takes external snapshots of files."
                )
            path = f"{os.path.dirname(disk.path)}/{stem}.{disk.target}.qcow2"
            part = xmltree.element("disk")
            DISK.write(part, {"target": disk.target, "kind": "external", "format": "qcow2", "path": path})
            xmltree.write(node, "disks?", "").append(part)
        if memory:
            beside = os.path.dirname(disks[0].path) if disks and disks[0].path else ""
            SNAPSHOT.write(node, {"memory": "external", "memory_path": f"{beside}/{stem}.memory"})

    # -- retention

    def _plan_retention(self, candidates: t.Sequence[Snapshot], *, new: int = 0) -> None:
        """Remove what is neither among the newest nor young enough; ``new`` is how many come before them all."""
        # libvirt counts in seconds; of those of one second, the tree has the older ones first.
        newest = sorted(candidates, key=lambda each: each.taken)[::-1]
        youngest = time.time() - (self.asked.keep_days or 0) * DAY
        kept = {each.name for each in newest[: max((self.asked.keep or 0) - new, 0)]}
        if self.asked.keep_days is not None:
            kept |= {each.name for each in candidates if each.taken > youngest}
        for snapshot in reversed(newest):
            if snapshot.name not in kept:
                self._refuse_users(snapshot)
                self._removal(snapshot)

    # -- absent

    def plan_removal(self) -> None:
        asked = self.asked
        if self.there is None and is_pattern(asked.snapshot):
            found = self.tree.fitting(asked.snapshot)
        else:
            found = [self.there] if self.there else []
        if asked.keep is not None or asked.keep_days is not None:
            if asked.children != "promote":
                raise InvalidArgument("keep and keep_days choose by age; that goes with children: promote.")
            self._plan_retention(found)
            return
        removed: dict[str, Snapshot] = {}
        for snapshot in found:
            names = self.tree.descendants(snapshot.name) if asked.children != "promote" else []
            names += [snapshot.name] if asked.children != "only" else []
            removed.update((name, self.tree.snapshots[name]) for name in names)
        for snapshot in self._leaves_first(removed):
            self._refuse_users(snapshot)
            self._removal(snapshot)

    def _leaves_first(self, removed: t.Mapping[str, Snapshot]) -> list[Snapshot]:
        return [removed[each.name] for each in reversed(list(self.tree)) if each.name in removed]

    def _refuse_users(self, snapshot: Snapshot) -> None:
        """Removing an external snapshot merges an image into the one below it, which linked clones may stand on."""
        if not snapshot.external:
            return
        paths = {*snapshot.images(self.handle).values(), *(disk["path"] for disk in snapshot.told["disks"])}
        others = sorted(images.machines_on(self.machine.hypervisor, paths - {None}) - {self.machine.name})
        if others:
            raise Conflict(
                f"The snapshot {snapshot.name} of {self.machine.name} holds what {', '.join(others)} stand"
                f"{'s' if len(others) == 1 else ''} on, and was not removed. Remove the linked clones first."
            )

    def _delete(self, snapshot: Snapshot) -> None:
        snapshot.handle.delete(0)
        if snapshot.told["memory_path"]:
            self._sweep(snapshot.told["memory_path"])

    def _sweep(self, path: str) -> None:
        """libvirt 9 leaves the memory of an external snapshot behind. It lies beside an image, so it is in a pool."""
        for pool in self.handle.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            target = xmltree.read(xmltree.parse_trusted(pool.XMLDesc()), "target/path")
            if target == os.path.dirname(path):
                pool.refresh()
                for volume in pool.listAllVolumes():
                    if volume.path() == path:
                        volume.delete(0)

    # -- reverted

    def plan_return(self) -> None:
        asked, who = self.asked, self.machine.name
        if self.there is None:
            known = ", ".join(self.tree.snapshots) or "none"
            raise NotFound(f"{who} has no snapshot {asked.snapshot!r}; it has: {known}.")
        there = self.there
        self._refuse_return(there)
        flags = {
            "as_it_was": 0,
            "running": libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING,
            "paused": libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED,
        }[asked.then]
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE if asked.force else 0
        self._step(
            Change("reverted", None, there.name, "live"),
            f"go back to the snapshot {there.name}",
            lambda: self._revert(there, flags),
        )

    def _refuse_return(self, there: Snapshot) -> None:
        who, host = self.machine.name, self.machine.hypervisor
        if there.external:
            features = [guest.find("features/externalSnapshot") for guest in host.capabilities.findall("guest")]
            if all(feature is None for feature in features):
                raise Unsupported(
                    f"The snapshot {there.name} of {who} is an external one, to which the libvirt of {host.name} cannot"
                    " go back (9.9 and newer can). It can be cloned (vm_clone, snapshot), and it can be removed."
                )
            return
        inside = set(there.images(self.handle).values())
        above = [each.name for each in self.tree if each.external and inside & set(each.images(self.handle).values())]
        if above:
            raise Conflict(
                f"{who} cannot go back to {there.name}: it lies inside of images that the external snapshots"
                f" {', '.join(above)} lie on, and would change under them. Remove those first."
            )

    def _revert(self, there: Snapshot, flags: int) -> None:
        tags = self.machine.read_tags()
        try:
            self.machine.domain.revertToSnapshot(there.handle, flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_SNAPSHOT_REVERT_RISKY:
                raise
            raise Conflict(
                f"{self.machine.name} did not go back to {there.name}, which libvirt holds for risky:"
                f" {error.get_error_message()}. With force: true libvirt ends the machine's process and begins another."
            ) from error
        # The snapshot has a definition of its own, with the tags of that time.
        if self.machine.read_tags() != tags:
            self.machine.tag(tags)
        # Not every driver heeds the flags, where a snapshot is of a machine that was off.
        state = self.machine.status[0]
        if self.asked.then == "running" and state not in RUNNING:
            self.machine.start(wait=True, wait_timeout=START_TIMEOUT)
        elif self.asked.then == "paused" and state != "paused":
            self.machine.start_paused(wait=True, wait_timeout=START_TIMEOUT)

    # -- what came of it

    def result(self, *, check: bool) -> Result:
        name = self.machine.name
        if check:
            told = self.taken or (self.there.told if self.there and self.asked.state != "absent" else None)
            state = self.state
        else:
            try:
                there = Tree(self.machine).get(self.asked.snapshot)
                told, state = there.told if there else None, self.machine.status[0]
            except ArchipelError as error:
                error.changes = [change.as_data() for change in self.plan.done]
                raise
        vm = {"name": name, "uuid": self.machine.uuid, "state": state}
        return {**self.plan.result(name, check=check), "snapshot": told, "vm": vm}
