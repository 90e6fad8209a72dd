# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of this hypervisor, in order, in the node ``/archipel/events`` (docs/protocol.md)."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import logging
import time
import typing as t

from ..libvirt_link import Link, MachineState
from ..pubsub import PubSub

log = logging.getLogger(__name__)
audit = logging.getLogger("archipel_agent.audit")

NODE: t.Final = "/archipel/events"
# While the server is away, so many are kept; then the oldest go.
MAX_WAITING = 10_000
# A pattern may mean thousands.
MOST_SUBJECTS = 100


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclasses.dataclass(frozen=True)
class Deed:
    """Who did, or would have done, what to what, and by which door. ``entity`` is the contact that was asked,
    ``subjects`` are keys as in Entity. Arguments are none of it: there may be secrets in them."""

    action: str
    entity: str
    subjects: tuple[str, ...]
    who: str
    door: str

    def as_data(self) -> dict[str, t.Any]:
        return {**dataclasses.asdict(self), "subjects": self.subjects[:MOST_SUBJECTS]}


class Events:
    """Events wait here until the server has them; publishing one never blocks. ``heard`` are told of each at once."""

    def __init__(self, hypervisor: str, pubsub: PubSub) -> None:
        self.hypervisor = hypervisor
        self.heard: list[t.Callable[[t.Mapping[str, t.Any]], None]] = []
        self._pubsub = pubsub
        self._waiting: collections.deque[tuple[str, dict[str, t.Any]]] = collections.deque(maxlen=MAX_WAITING)
        self._number = 0
        self._lost = 0

    def outcome(self, deed: Deed, outcome: str) -> None:
        """A changing action has ended: ``changed``, ``unchanged``, which is no event, or an error's code."""
        self._audit("changed", {**deed.as_data(), "outcome": outcome}, event=outcome != "unchanged")

    def refused(self, deed: Deed) -> None:
        self._audit("refused", deed.as_data())

    def rights(self, node: str, item: str, old: t.Any, new: t.Any) -> None:
        """A role or a grant is another one here from now on; None is none."""
        self._audit("rights", {"node": node, "item": item, "old": old, "new": new})

    def _audit(self, kind: str, fields: dict[str, t.Any], *, event: bool = True) -> None:
        # In JSON no name of anything can end the line and begin another.
        audit.info("%s", json.dumps({"type": kind, **fields}))
        if event:
            self.publish(kind, **fields)

    def publish(self, kind: str, **further: t.Any) -> None:
        self._number = (self._number + 1) % 1_000_000
        item = f"{int(time.time() * 1000):013d}-{self.hypervisor}-{self._number:06d}"
        if len(self._waiting) == MAX_WAITING:
            self._lost += 1
        event = {"type": kind, "hypervisor": self.hypervisor, "time": now(), **further}
        self._waiting.append((item, event))
        self._pubsub.wake(self)
        for callback in self.heard:
            callback(event)

    def watch(self, link: Link) -> None:
        """Publish what becomes of the link's machines."""
        self._link = link
        link.changed.append(self._lifecycle)

    def _lifecycle(self, old: MachineState | None, new: MachineState | None) -> None:
        if old is None and not self._link.reachable:
            # It was there when we began to look, and has not done anything.
            return
        if new is None:
            assert old is not None
            self.publish("lifecycle", uuid=old.uuid, name=old.name, state="absent", reason="undefined")
        elif old is None or (old.state, old.reason) != (new.state, new.reason):
            self.publish("lifecycle", uuid=new.uuid, name=new.name, state=new.state, reason=new.reason)

    async def flush(self) -> None:
        """Publish what waits, oldest first; what fails stays first."""
        if self._lost:
            log.warning("%d events were lost while the server was away", self._lost)
            self._lost = 0
        while self._waiting:
            item, payload = self._waiting[0]
            await self._pubsub.publish(NODE, item, payload)
            if self._waiting and self._waiting[0][0] == item:
                self._waiting.popleft()
