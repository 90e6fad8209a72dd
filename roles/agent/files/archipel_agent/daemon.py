# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent, put together: what it consists of, its start, reload and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
import signal
import time
import typing as t

from slixmpp.exceptions import IqError, IqTimeout

from . import config as configuration
from . import database, systemd
from .accounts import Accounts
from .authority import Authority
from .config import Config, ConfigError
from .contact import Contact
from .dispatch import Dispatcher
from .features.bulk import Bulks
from .features.contacts import Contacts
from .features.definitions import Definitions
from .features.events import Events
from .features.grants import Grants
from .features.groups import Groups
from .features.health import Health
from .features.index import Index
from .features.jobs import Jobs
from .features.label import Label
from .features.lodgers import Lodgers
from .features.maintenance import ACTION as MAINTENANCE
from .features.maintenance import Maintenance
from .features.migration import ACTIONS as MIGRATIONS
from .features.migration import EXPECT, Arrival, Arrivals, MigrationInquiry
from .features.parking import Parking
from .features.peers import Peers
from .features.push import Pushes
from .features.rehoming import Rehoming
from .features.rooms import Rooms
from .features.schedule import Schedules
from .features.succession import Succession
from .features.timetable import Timetable
from .hypervisor_entity import HypervisorEntity
from .libvirt_link import Link
from .pubsub import PubSub
from .session import Server, Session, trust

log = logging.getLogger(__name__)

# Registrations and logins at once: enough to keep the server busy, few enough to leave it time for others.
LOGINS_AT_ONCE = 16
# What a request or a job may still take when the agent is told to stop.
LAST_SECONDS = 5.0
# A server that says nothing keeps nobody waiting for longer.
READY_AFTER = 15.0


class Agent:
    """Made inside the event loop; ``run`` returns when ``stop`` is called."""

    def __init__(self, config: Config, file: pathlib.Path | None = None) -> None:
        self.config = config
        self._file = file
        self._stop = asyncio.Event()
        self.database = database.connect(config.state_dir / "agent.db")
        xmpp = config.xmpp
        server = Server(
            xmpp.domain,
            xmpp.hosts,
            xmpp.port,
            trust(xmpp.ca_file),
            asyncio.Semaphore(LOGINS_AT_ONCE),
            xmpp.max_stanza_size,
        )
        self.session = Session(config.jid, xmpp.password, server)
        self.authority = Authority(config.administrators, config.peers)
        self.pubsub = PubSub(xmpp.domain, self.session)
        self.events = Events(config.name, self.pubsub)
        self.jobs = Jobs(self.database, self.events)
        accounts = Accounts(self.database)
        self.peers = Peers(config.peers, config.libvirt.migration_uri, accounts)
        self.health = Health(self.database, config.state_dir / "agent.db")
        self.label = Label(config.site, config.coordinates, self.database)
        self.link = Link(config.libvirt.uri, config.name, self.peers, config.exchange, self.health, self.label)
        self.grants = Grants(self.authority, self.link, self.session, self.pubsub, self.database, self.events)
        self.groups = Groups(self.authority, self.session, self.pubsub, self.database)
        self.peers.attach(self.link, self.session)
        self.events.watch(self.link)
        guarded = config.guard is not None
        self.index = Index(self.link, config.jid, self.label, self.pubsub, self.database, guarded=guarded)
        lodgers = Lodgers(self.link, self.jobs, self.database)
        arrivals = Arrivals(self.link, self.peers, self.jobs, lodgers)
        maintenance = Maintenance(self.label, self.link, self.peers, arrivals, self.database)
        self.jobs.endings.update(dict.fromkeys(MIGRATIONS, Arrival(self.index, self.peers)))
        inquiry = MigrationInquiry(self.link, self.peers)
        self.jobs.inquiries.update({**dict.fromkeys(MIGRATIONS, inquiry), EXPECT: arrivals.follow})
        self.jobs.inquiries[MAINTENANCE] = maintenance.interrupted
        self.jobs.aborts.update({**dict.fromkeys(MIGRATIONS, inquiry.abort), EXPECT: arrivals.give_up})
        self.dispatcher = Dispatcher(self.authority, self.jobs, self.events)
        self.pushes = Pushes(config.push, self.events, self.link)
        self.timetable = Timetable(self.database, self.link, self.jobs, self.events)
        schedules = Schedules(self.timetable, self.link)
        succession = Succession(self.timetable, self.link, self.peers)
        self.parking = Parking(self.link, self.session, self.pubsub, self.index, self.database)
        self.definitions = Definitions(self.link, self.pubsub, self.events, self.database)
        self.rehoming = Rehoming(self.link, self.session, self.pubsub, self.events, accounts, config.guard)
        rooms = Rooms(xmpp.domain)
        bulks = Bulks(self.link)
        features = (self.jobs, self.peers, arrivals, self.index, schedules, succession, self.grants, self.parking)
        entity = HypervisorEntity(self.link, (*features, self.rehoming, rooms, bulks, lodgers, maintenance))
        self.grants.actions = entity.actions
        self.timetable.attach(self.dispatcher, entity, succession)
        for feature in (bulks, lodgers, maintenance, schedules):
            feature.attach(self.dispatcher, entity)
        self.hypervisor = Contact(entity, self.session, self.dispatcher, self.authority, entity.presence, rooms)
        self.label.changed.append(self.hypervisor.refresh)
        self.contacts = Contacts(
            config.contacts,
            self.link,
            server,
            self.hypervisor,
            accounts,
            peers=self.peers,
            jobs=self.jobs,
            events=self.events,
            dispatcher=self.dispatcher,
            authority=self.authority,
        )
        self.session.started.append(self.index.resync)
        self.session.started.append(self.definitions.resync)

    async def run(self) -> None:
        """Serve until told to stop. What fails by a fault of ours ends the agent, for systemd to start it anew."""
        self.jobs.look_into_unfinished()
        forever: tuple[t.Coroutine[t.Any, t.Any, None], ...] = (
            self.link.run(),
            self.session.run(),
            # Each event goes out by itself, so none waits for others.
            self.pubsub.serve(self.events, gather=0),
            self.pubsub.serve(self.index),
            self.pubsub.serve(self.parking),
            self.pubsub.serve(self.definitions),
            self.pubsub.serve(self.rehoming),
            self.definitions.run(),
            self.rehoming.run(),
            self.pubsub.serve(self.grants),
            self.pubsub.serve(self.groups),
            self.health.run(self.link),
            self.timetable.run(),
            self.pushes.run(),
            systemd.keep_watchdog_quiet(),
        )
        tasks = [asyncio.ensure_future(work) for work in forever]
        stopped = asyncio.ensure_future(self._stop.wait())
        ready = asyncio.ensure_future(self._tell_ready())
        done, _others = await asyncio.wait((*tasks, stopped), return_when=asyncio.FIRST_COMPLETED)
        systemd.notify("STOPPING=1")
        await self._close()
        for task in (*tasks, stopped, ready):
            task.cancel()
        await asyncio.wait((*tasks, stopped, ready))
        self.database.close()
        for task in done - {stopped}:
            task.result()

    async def _tell_ready(self) -> None:
        """When the hypervisor is online, so that who has started the agent can speak to it; or cannot be for now."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_AFTER):
                await self.session.tried.wait()
        systemd.notify("READY=1", f"STATUS={self.config.jid}")

    async def _close(self) -> None:
        await asyncio.gather(
            self.jobs.drain(LAST_SECONDS), self.timetable.drain(LAST_SECONDS), self.hypervisor.drain(LAST_SECONDS)
        )
        if self.session.online.is_set():
            with contextlib.suppress(IqError, IqTimeout, TimeoutError):
                await asyncio.wait_for(self.events.flush(), 2)
        await self.contacts.close()
        await self.session.close()

    def stop(self) -> None:
        log.info("stopping")
        self._stop.set()

    def reload(self) -> None:
        """Take over administrators, peers and contacts from the file; and try again what was refused."""
        if self._file is None:
            return
        systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            new = configuration.load(self._file)
        except ConfigError as error:
            for fault in error.faults:
                log.error("not reloaded: %s", fault)
        else:
            self.authority.replace(new.administrators, new.peers)
            self.peers.jids = new.peers
            self.contacts.set_policy(new.contacts)
            self.session.hurry()
            log.info("reloaded %s", self._file)
        systemd.notify("READY=1")


async def serve(config: Config, file: pathlib.Path) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    agent = Agent(config, file)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    loop.add_signal_handler(signal.SIGHUP, agent.reload)
    await agent.run()
