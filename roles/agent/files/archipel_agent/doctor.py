# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``archipel-doctor``: what is wrong with a platform, seen from one of its hypervisors, and how to mend it.

It looks and changes nothing. It logs in to the hypervisor's account beside the agent, so one that runs is not
disturbed, and one that does not is found out.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import datetime
import json
import logging
import pathlib
import secrets
import socket
import ssl
import sys
import typing as t
import uuid

import slixmpp
from archipel.connection import Connection
from archipel.errors import ArchipelError
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import ET

from . import __version__
from .check import account
from .config import DEFAULT_FILE, Config, ConfigError, Push, load
from .features import contacts, groups, peers
from .features.push import Unusable, services_of
from .nodes import NODES
from .pubsub import PUBSUB
from .session import LoginFailed, Session
from .wire import PING

TIME: t.Final = "urn:xmpp:time"
# The role certificate renews those that it made a month before their end, whenever it runs.
DUE = datetime.timedelta(days=21)
# Certificates and the order of events are a matter of seconds; more is a clock that nobody sets.
APART = 5.0
TIMEOUT = 10


@dataclasses.dataclass(frozen=True)
class Finding:
    """``topic`` is what was looked at. Of what is not well, the text says what to do."""

    topic: str
    well: bool
    text: str


Look = t.Callable[[Session, Config], t.AsyncIterator[Finding]]


async def examine(path: pathlib.Path, looks: t.Sequence[Look]) -> t.AsyncIterator[Finding]:
    """All findings, those first on which the others depend. What cannot be looked at for want of an earlier one is
    left out."""
    try:
        config = load(path)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("configuration", False, fault)
        return
    yield Finding("configuration", True, f"{path} can be read, and what it names is there.")
    if looks is OF_ALL:
        yield await asyncio.to_thread(_libvirt, config.libvirt.uri)
        for wants in config.push:
            yield _push(wants)
    names = await _names(config)
    yield names
    if not names.well:
        return
    session = account(config, f"doctor-{secrets.token_hex(4)}")
    try:
        await session.log_in()
    except LoginFailed as failure:
        yield Finding("account", False, str(failure))
        return
    try:
        yield Finding("account", True, f"{config.xmpp.jid} logs in.")
        for look in looks:
            async for finding in look(session, config):
                yield finding
    finally:
        await session.close()


def _libvirt(uri: str) -> Finding:
    try:
        return Finding("libvirt", True, f"{uri} answers, it is libvirt {_open(uri)}.")
    except ArchipelError as error:
        return Finding("libvirt", False, error.message)


def _push(wants: Push) -> Finding:
    """Whether the services take anything shows when something is pushed, and is in the agent's log."""
    try:
        services = services_of(wants)
    except Unusable as fault:
        return Finding("push", False, str(fault))
    return Finding("push", True, f"{wants.urls_file} can be read, services in it: {len(services)}.")


async def _names(config: Config) -> Finding:
    """Where no host is named, SRV records may do without an address of the domain; the login tells."""
    told = []
    for host in config.xmpp.hosts or (config.xmpp.domain,):
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, config.xmpp.port, type=socket.SOCK_STREAM)
        except OSError as error:
            why = f"{host} has no address: {error.strerror}. Mend the DNS or /etc/hosts, or set xmpp.hosts."
            return Finding("names", not config.xmpp.hosts, why)
        told.append(f"{host} is {', '.join(sorted({str(item[4][0]) for item in found}))}")
    return Finding("names", True, f"{'; '.join(told)}.")


async def _certificate(session: Session, config: Config) -> t.AsyncIterator[Finding]:
    transport = session.client.transport
    assert transport is not None
    shown = transport.get_extra_info("ssl_object").getpeercert()
    end = _end_of(shown)
    left = end - datetime.datetime.now(datetime.UTC)
    told = f"The server's certificate is accepted for {session.jid.domain} and ends on {end:%Y-%m-%d}"
    if unnamed := _unnamed(shown, session.jid.domain):
        # ejabberd would show it to other servers, and this one talks to none.
        told += f"; ejabberd's log warns that it lacks {' and '.join(unnamed)}, which the next one should name"
    if left > DUE:
        yield Finding("certificate", True, f"{told}.")
    else:
        why = f"{told}, in {left.days} days: run site.yml, or renew it where it was given."
        yield Finding("certificate", False, why)


def _end_of(certificate: t.Mapping[str, t.Any]) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), datetime.UTC)


def _unnamed(certificate: t.Mapping[str, t.Any], domain: str) -> list[str]:
    """The server's own services that it does not name."""
    named = {name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS"}
    services = (f"{service}.{domain}" for service in ("conference", "pubsub"))
    return [] if f"*.{domain}" in named else [service for service in services if service not in named]


async def _clock(session: Session, config: Config) -> t.AsyncIterator[Finding]:
    """XEP-0202, against the middle of the question's way."""
    before = datetime.datetime.now(datetime.UTC)
    try:
        answer = await _ask(session, session.jid.domain, "get", ET.Element(f"{{{TIME}}}time"))
        theirs = datetime.datetime.fromisoformat(answer.findtext(f".//{{{TIME}}}utc", ""))
        after = datetime.datetime.now(datetime.UTC)
        apart = ((theirs - before) + (theirs - after)).total_seconds() / 2
    except (IqError, IqTimeout, ValueError, TypeError):
        yield Finding("clock", False, "The server does not tell its time: run site.yml, which turns mod_time on.")
        return
    text = f"This clock and the server's are {abs(apart):.1f} s apart"
    if abs(apart) < APART:
        yield Finding("clock", True, f"{text}.")
    else:
        behind = "the server's" if apart < 0 else "this one"
        yield Finding("clock", False, f"{text}, {behind} is behind: see that both hosts get theirs by NTP.")


async def _registration(session: Session, config: Config) -> t.AsyncIterator[Finding]:
    """As the agent does it for a machine (XEP-0077): register, log in, and be removed."""
    name, password = str(uuid.uuid4()), secrets.token_urlsafe(24)
    machine = f"{name}@{config.xmpp.domain}"
    try:
        await _ask(session, config.xmpp.domain, "set", contacts.registration(name, password))
    except (IqError, IqTimeout) as error:
        why = f"{session.jid.bare} may not register machines: {error.format()}. Run site.yml with it in hypervisors."
        yield Finding("registration", False, why)
        return
    new = account(config, "test", machine, lambda: password)
    try:
        await new.log_in()
        removal = ET.Element(f"{{{contacts.REGISTER}}}query")
        ET.SubElement(removal, f"{{{contacts.REGISTER}}}remove")
        # Who is removed is thrown out, and may not hear the answer.
        answer, gone = asyncio.ensure_future(_ask(new, config.xmpp.domain, "set", removal)), new.client.disconnected
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            await answer
        answer.cancel()
        yield Finding("registration", True, f"{session.jid.bare} registers accounts of machines, and they log in.")
    except (IqError, IqTimeout, LoginFailed) as error:
        said = str(error) if isinstance(error, LoginFailed) else error.format()
        yield Finding("registration", False, f"{machine} was registered and stays: {said}. Unregister it.")
    finally:
        await new.close()


async def _roster(session: Session, config: Config) -> t.AsyncIterator[Finding]:
    try:
        answer = await _ask(session, session.jid.bare, "get", ET.Element(f"{{{groups.ROSTER}}}query"))
    except (IqError, IqTimeout) as error:
        why = f"The server gives no contact list: {error.format()}. Run site.yml, which turns mod_roster on."
        yield Finding("contacts", False, why)
        return
    found = [item.get("jid") for item in answer.iter(f"{{{groups.ROSTER}}}item")]
    yield Finding("contacts", True, f"{session.jid.bare} has a contact list, of {len(found)} contacts.")


async def _nodes(session: Session, config: Config) -> t.AsyncIterator[Finding]:
    """By what the service says that we are to each node (XEP-0060, 5.7). To those of the grants we are members, or we
    could make grants of our own."""
    request = ET.Element(f"{{{PUBSUB}}}pubsub")
    ET.SubElement(request, f"{{{PUBSUB}}}affiliations")
    service = f"pubsub.{session.jid.domain}"
    try:
        answer = await _ask(session, service, "get", request)
    except (IqError, IqTimeout) as error:
        why = f"{service} does not answer: {error.format()}. Run site.yml, which turns mod_pubsub on."
        yield Finding("nodes", False, why)
        return
    ours = {item.get("node"): item.get("affiliation") for item in answer.iter(f"{{{PUBSUB}}}affiliation")}
    for node, right in ((node.name, node.hypervisors) for node in NODES):
        if ours.get(node) == right:
            yield Finding("nodes", True, f"{session.jid.bare} is {right} of {node}.")
        else:
            why = f"{session.jid.bare} has to be {right} of {node} and is {ours.get(node, 'nothing')} of it"
            yield Finding("nodes", False, f"{why}: run site.yml with this host in the group hypervisors.")


async def _agent(session: Session, config: Config) -> t.AsyncIterator[Finding]:
    if await _answers(session, config.jid):
        yield Finding("agent", True, f"The agent is online as {config.jid}.")
    else:
        why = f"The agent is not online as {config.jid}: see systemctl status archipel-agent, and its journal."
        yield Finding("agent", False, why)


async def _peers(session: Session, config: Config) -> t.AsyncIterator[Finding]:
    """Whether they answer, know us, and let us in where they take machines."""
    for jid in map(slixmpp.JID, config.peers):
        try:
            at = slixmpp.JID(f"{jid.bare}/{jid.local}")
            uri = (await peers.ask(session, at, "destination", {"uuid": str(uuid.uuid4())}))["uri"]
            await asyncio.to_thread(_open, uri)
        except ArchipelError as error:
            yield Finding("peers", False, f"{jid.local}: {error.message}")
        else:
            yield Finding("peers", True, f"{jid.local} answers, and takes machines at {uri}.")


OF_THE_SERVER: t.Final[t.Sequence[Look]] = (_certificate, _clock, _registration, _roster, _nodes)
OF_ALL: t.Final[t.Sequence[Look]] = (_certificate, _clock, _nodes, _agent, _peers)


def _open(uri: str) -> str:
    """libvirt's version there."""
    with Connection(uri) as connection:
        version = connection.handle.getLibVersion()
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


async def _answers(session: Session, jid: str) -> bool:
    try:
        await _ask(session, jid, "get", ET.Element(f"{{{PING}}}ping"))
    except (IqError, IqTimeout):
        return False
    return True


async def _ask(session: Session, jid: str, kind: t.Literal["get", "set"], request: ET.Element) -> ET.Element:
    iq = session.client.make_iq(itype=kind, ito=jid)
    iq.append(request)
    return (await iq.send(timeout=TIMEOUT)).xml


def main(arguments: t.Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("archipel-doctor", description="Say what is wrong with this platform.")
    parser.add_argument("--config", type=pathlib.Path, default=DEFAULT_FILE, help="the agent's (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="for programs: an object on each line")
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(arguments)
    logging.disable()
    return asyncio.run(tell(examine(options.config, OF_ALL), as_json=options.json))


async def tell(findings: t.AsyncIterator[Finding], *, as_json: bool) -> int:
    """0 when all is well, 1 when something is not."""
    ill = False
    async for finding in findings:
        ill |= not finding.well
        plain = f"{'well ' if finding.well else 'WRONG'}  {finding.topic:<13}  {finding.text}"
        print(json.dumps(dataclasses.asdict(finding)) if as_json else plain, flush=True)
    return int(ill)


if __name__ == "__main__":
    sys.exit(main())
