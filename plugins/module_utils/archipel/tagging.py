# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Tagging machines, and the hypervisor itself."""

from __future__ import annotations

import functools
import typing as t

from .actions import OfMachine, Result, action
from .elements import Change
from .errors import InvalidArgument, NotFound, Unsupported
from .host import Check, Name, Uuid
from .lifecycle import ACTIVE
from .machines import Machines
from .plan import Plan
from .tags import Mode, bound, merged

Tags = t.Annotated[
    list[str], "Tags, each of 1 to 64 letters, digits and C(. _ : -) that begins with a letter or digit; 64 at most."
]
TagsMode = t.Annotated[
    Mode, "V(add) them to those that are there, V(set) them and no others (an empty list is none), or V(remove) them."
]


class Tagging(Machines):
    """What can be asked of a hypervisor about tags."""

    @action(
        permission="tags",
        changes=True,
        phrases=("tag {name} with {tags}",),
        says="{msg}",
        of_machine=(
            OfMachine("tag", phrases=("tag {tags}",), help="Give the machine more tags.", given={"tags_mode": "add"},
                      takes=("tags", "check")),
            OfMachine("untag", phrases=("untag {tags}",), help="Take tags from the machine.",
                      given={"tags_mode": "remove"}, takes=("tags", "check")),
        ),
    )  # fmt: skip
    def vm_tags(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        names: t.Annotated[
            t.Optional[list[str]],
            "Names of several machines, or patterns like web* of those that are there, in place of a name.",
        ] = None,
        tags: Tags,
        tags_mode: TagsMode = "add",
        check: Check = False,
    ) -> Result:
        """Tag machines. Tags travel with a machine, and nothing else sets or drops them."""
        named = bound(tags)
        if names is not None and (name or uuid):
            raise InvalidArgument("names: several machines are named by it alone, without name or uuid.")
        asked = [(name, uuid)] if names is None else [(each, None) for each in self._named(names)]
        plan, vms = Plan(), []
        for who in asked:
            machine = self.find(name=who[0], uuid=who[1])
            if machine is None and not check:
                raise NotFound(f"There is no machine {who[0] or who[1]!r} on {self.name}; nothing was tagged.")
            vm = {"name": machine.name, "uuid": machine.uuid} if machine else {"name": who[0], "uuid": who[1]}
            there = machine.read_tags() if machine else ()
            wanted = merged(there, named, tags_mode)
            vms.append({**vm, "tags": list(wanted)})
            if wanted != there:
                scope = "live" if machine and machine.status[0] in ACTIVE else "config"
                path = "tags" if names is None else f"{vm['name']}.tags"
                # In check mode another task may make the machine before this one runs.
                step = functools.partial(machine.tag, wanted) if machine else lambda: None
                plan.add([Change(path, list(there), list(wanted), scope)], step)
        if not check:
            plan.run()
        return {
            **plan.result(", ".join(str(vm["name"] or vm["uuid"]) for vm in vms) or self.name, check=check),
            "vms": vms,
        }

    @action(permission="tags", changes=True, concerns="hypervisor", phrases=("tag yourself {tags}",), says="{msg}")
    def hypervisor_tags(self, *, tags: Tags, tags_mode: TagsMode = "add", check: Check = False) -> Result:
        """Tag the hypervisor itself. Its agent keeps the tags, because libvirt has no place for them."""
        label, named = self.label, bound(tags)
        if label is None:
            raise Unsupported(
                f"libvirt has no place for tags of {self.name} itself; its agent keeps them, so ask it (via: xmpp)."
            )
        there, plan = label.tags, Plan()
        wanted = merged(there, named, tags_mode)
        if wanted != there:
            plan.add([Change("tags", list(there), list(wanted), "live")], lambda: label.tag(wanted))
        if not check:
            plan.run()
        return {**plan.result(self.name, check=check), "tags": list(wanted)}
