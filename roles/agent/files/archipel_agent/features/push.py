# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events to phones and services, through Apprise.

A service is an Apprise URL, and its secrets are in it: it stands in a file of its own, and is never told. Where a
service has to be named, it is by its place in that file.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import dataclasses
import json
import logging
import typing as t

from archipel.selection import fits

from ..config import Push
from ..libvirt_link import Link
from .events import Events

log = logging.getLogger(__name__)

# While a service is away so many wait for it; then the oldest go.
MAX_WAITING = 1000
# Seconds between attempts; after the last one the event is lost.
PAUSES: t.Final = (1, 2, 5, 10, 30, 60, 120)
# A service may take its time without keeping others waiting.
WORKERS = 8
BODY = 2000

Event = t.Mapping[str, t.Any]


class Unusable(Exception):
    """What is wrong with a file of URLs, without telling any."""


@dataclasses.dataclass
class Service:
    """One URL, and what waits for it. ``label`` is how it is called in the log."""

    label: str
    wants: Push
    apprise: t.Any
    waiting: collections.deque[Event] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=MAX_WAITING))
    news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    lost: int = 0


class Pushes:
    """Takes each event where it happens, and never blocks; ``run`` sends."""

    def __init__(self, settings: t.Iterable[Push], events: Events, link: Link) -> None:
        self._link = link
        self._executor = concurrent.futures.ThreadPoolExecutor(WORKERS, thread_name_prefix="push")
        self.services: list[Service] = []
        for wants in settings:
            try:
                self.services += services_of(wants)
            except Unusable as fault:
                # The agent has more to do than this.
                log.error("nothing is pushed: %s", fault)
        events.heard.append(self.hear)

    def hear(self, event: Event) -> None:
        for service in self.services:
            if self._wanted(event, service.wants):
                service.lost += len(service.waiting) == MAX_WAITING
                service.waiting.append(event)
                service.news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            await asyncio.gather(*(self._serve(service) for service in self.services), asyncio.Event().wait())
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, service: Service) -> None:
        while True:
            await service.news.wait()
            service.news.clear()
            await self.drain(service)

    async def drain(self, service: Service) -> None:
        """Send what waits, oldest first."""
        while service.waiting:
            await self._send(service, service.waiting.popleft())
            if service.lost:
                log.warning("%d events were lost to %s, which was too slow for them", service.lost, service.label)
                service.lost = 0

    async def _send(self, service: Service, event: Event) -> None:
        for pause in (*PAUSES, None):
            if await asyncio.get_running_loop().run_in_executor(self._executor, _notify, service.apprise, event):
                return
            if pause is None:
                service.lost += 1
            else:
                log.log(logging.WARNING if pause == PAUSES[0] else logging.DEBUG, "%s does not answer", service.label)
                await asyncio.sleep(pause)

    def _wanted(self, event: Event, wants: Push) -> bool:
        """A filter holds events back that are about something else; ``machines`` also those about no machine."""
        outcome, state = _outcome(event), event.get("state")
        if event["type"] == "job" and outcome == "running" and outcome not in wants.outcomes:
            # How far it is, is nothing to be called for.
            return False
        return (
            (not wants.types or event["type"] in wants.types)
            and (not wants.states or state is None or state in wants.states)
            and (not wants.outcomes or outcome is None or outcome in wants.outcomes)
            and (not wants.machines or any(fits(name, p) for name in self._machines(event) for p in wants.machines))
        )

    def _machines(self, event: Event) -> set[str]:
        """The names of the machines that an event is about."""
        about = event.get(event["type"]) or event
        keys = {about.get("uuid"), about.get("entity"), about.get("machine"), *about.get("subjects", ())}
        known = {self._link.machines[key].name for key in keys if key in self._link.machines}
        return known | ({event["name"]} if event["type"] == "lifecycle" else set())


def services_of(wants: Push) -> list[Service]:
    """The services that a file lists, one URL a line; Unusable if it cannot be used."""
    path = wants.urls_file
    try:
        import apprise
    except ImportError:
        raise Unusable(f"{path}: Apprise is not installed; the role agent does that when agent_push is set.") from None
    # They log URLs, or parts of them.
    for name in ("apprise", "requests", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        if path.stat().st_mode & 0o077:
            raise Unusable(f"{path} can be read by others; chmod 600 it.")
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        raise Unusable(f"{path} cannot be read by this user.") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            made = apprise.Apprise()
            if not made.add(line.strip()):
                raise Unusable(f"{path}: line {number} is no URL of a service that Apprise knows.")
            found.append(Service(f"line {number} of {path}", wants, made))
    return found


def _notify(apprise: t.Any, event: Event) -> bool:
    """In a worker thread: whether the service has taken it. Apprise itself catches what fails in it."""
    kind = "info" if _outcome(event) in (None, "changed", "succeeded", "running", "removed") else "warning"
    title = f"{event['hypervisor']}: {event['type']}"
    return bool(apprise.notify(body=_body(event)[:BODY], title=title, notify_type=kind))


def _outcome(event: Event) -> str | None:
    about = event.get(event["type"]) or event
    outcome = about.get("state") if event["type"] == "job" else about.get("outcome")
    return t.cast("str | None", "refused" if event["type"] == "refused" else outcome)


def _body(event: Event) -> str:
    """For people; of a type that is not known here, its data."""
    kind = event["type"]
    if kind == "lifecycle":
        return f"{event['name']} is {event['state']} ({event['reason']})."
    if kind == "job":
        job = event["job"]
        return f"{job['action']} of {job['entity']} by {job['author']} has {job['state']}: {job['progress']['text']}"
    if kind in ("changed", "refused"):
        return f"{event['who']}: {event['action']} on {event['entity']} ({event['door']}): {_outcome(event)}."
    if kind == "schedule":
        told = event["schedule"]
        return f"{told['name']} of {told['author']}, {told['action']}, {told['outcome']}: {told['msg']}"
    return json.dumps({key: value for key, value in event.items() if key not in ("type", "hypervisor", "time")})
