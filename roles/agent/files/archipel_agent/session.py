# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One account's connection to the XMPP server: it comes up by itself, again and again, and says why it does not.

Only the connection: who is at its end, and what they can do, is the contact's matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import os
import random
import socket
import ssl
import typing as t

import slixmpp
from slixmpp.util.sasl.client import sasl_mech
from slixmpp.util.sasl.mechanisms import SCRAM

log = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# A wrong password or certificate does not mend itself, and a server may ban who insists.
PAUSE_AFTER_REFUSAL = 60.0
CONNECT_TIMEOUT = 10
LOGIN_TIMEOUT = 30
# A server that lost power says nothing; its end is noticed after this many seconds without acknowledgement.
SILENCE = 10


@sasl_mech(SCRAM.score + 1)
class FastScram(SCRAM):
    """slixmpp's SCRAM with OpenSSL's PBKDF2: 1 ms of CPU for a login instead of 10."""

    def Hi(self, text: t.Any, salt: bytes, iterations: int) -> bytes:
        return hashlib.pbkdf2_hmac(self.hash_name.replace("-", ""), text, salt, iterations)


Address = tuple[str, int]


@dataclasses.dataclass
class Server:
    """Where to connect: to one of ``hosts``, which are nodes of one cluster, or to what the domain's SRV records name.
    ``tls`` is shared by all sessions: a context of its own costs each 50 ms and 0.9 MiB. ``gate`` bounds how many log
    in at once. The server ends the stream at a stanza larger than ``max_stanza_size`` bytes. ``last`` is where a
    session was let in most recently; ``waiting`` are those that could not reach it."""

    domain: str
    hosts: t.Sequence[str]
    port: int
    tls: ssl.SSLContext
    gate: asyncio.Semaphore
    max_stanza_size: int
    last: Address | None = None
    waiting: set[Session] = dataclasses.field(default_factory=set)

    def is_back(self) -> None:
        for session in self.waiting:
            session.hurry()


class LoginFailed(Exception):
    """Why there is no session. ``refused``: the server can be reached, trying again at once is of no use;
    ``wrong_password``: it refused the account or its password."""

    def __init__(self, message: str, *, refused: bool = False, wrong_password: bool = False) -> None:
        super().__init__(message)
        self.refused = refused or wrong_password
        self.wrong_password = wrong_password


class Session:
    """``client`` is slixmpp's; ``started`` and ``ended`` are called each time that the session comes and goes.
    ``tried`` is set when the first attempt has ended, well or not. ``one_of_many``: what happens to all sessions at
    once is logged by another one."""

    def __init__(self, jid: str, password: t.Callable[[], str], server: Server, *, one_of_many: bool = False) -> None:
        self._level = logging.DEBUG if one_of_many else logging.WARNING
        self.jid = slixmpp.JID(jid)
        self.server = server
        self.online = asyncio.Event()
        self.tried = asyncio.Event()
        self.started: list[t.Callable[[], None]] = []
        self.ended: list[t.Callable[[], None]] = []
        self.why_not = ""
        # Asked after a wrong password whether it has been mended, so that trying again is of use.
        self.mend: t.Callable[[], t.Awaitable[bool]] | None = None
        self._password = password
        self._hurry = asyncio.Event()
        self._end: asyncio.Future[LoginFailed] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._where = ""
        self._attempt: t.Any = None
        self._address: Address | None = None
        self.client = self._make_client()

    def _make_client(self) -> slixmpp.ClientXMPP:
        client = slixmpp.ClientXMPP(self.jid, "", ssl_context=self.server.tls)
        client.enable_direct_tls = False
        # Only what proves the password without telling it, and that the server knows it.
        client.plugin["feature_mechanisms"].use_mechs = {"SCRAM-SHA-512", "SCRAM-SHA-256"}
        # Who asks to see our presence is answered by the contact.
        client.auto_authorize = None
        client.auto_subscribe = False
        client.add_event_handler("session_start", self._session_start)
        client.add_event_handler("connection_failed", self._attempt_failed)
        client.add_event_handler("reconnect_delay", self._all_attempts_failed)
        client.add_event_handler("ssl_invalid_chain", lambda error: self._over(_untrusted(self.jid, error)))
        client.add_event_handler("failed_all_auth", self._refused)
        client.add_event_handler("stream_error", self._stream_error)
        client.add_event_handler("disconnected", self._disconnected)
        return client

    async def run(self) -> None:
        """Stay online until cancelled."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                async with self.server.gate:
                    await self.log_in()
                if self.why_not:
                    log.log(min(self._level, logging.INFO), "%s is online again", self.jid)
                self.why_not = ""
                began = asyncio.get_running_loop().time()
                self.online.set()
                self.server.is_back()
                for callback in self.started:
                    callback()
                self.tried.set()
                try:
                    failure = await asyncio.shield(self._end)
                finally:
                    self.online.clear()
                    for callback in self.ended:
                        callback()
                reached = True
                # Who is thrown out again and again comes back slower and slower.
                if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                    pause = SHORTEST_PAUSE
            except LoginFailed as error:
                failure, reached = error, error.refused
                self.tried.set()
            if self._closing:
                return
            if str(failure) != self.why_not:
                log.log(logging.WARNING if failure.refused else self._level, "%s", failure)
            self.why_not = str(failure)
            if failure.wrong_password and self.mend is not None and await self.mend():
                continue
            wait = PAUSE_AFTER_REFUSAL if failure.refused else pause
            pause = min(pause * 2, LONGEST_PAUSE)
            self._hurry.clear()
            if not reached:
                self.server.waiting.add(self)
            try:
                async with asyncio.timeout(wait * random.uniform(0.5, 1.0)):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            finally:
                self.server.waiting.discard(self)

    def hurry(self) -> None:
        """Try again now, since something may have been mended."""
        self._hurry.set()

    async def log_in(self) -> None:
        """One attempt at each of the server's addresses, until one lets us in; LoginFailed says what is wrong and what
        to do."""
        try:
            self.client.password = self._password()
        except OSError as error:
            raise LoginFailed(
                f"{self.jid.bare}: {error.filename} cannot be read: {error.strerror}.", refused=True
            ) from None
        failures: list[LoginFailed] = []
        for address in await self._addresses():
            try:
                await self._log_in(address)
            except LoginFailed as failure:
                failures.append(failure)
                if failure.wrong_password:
                    break
            else:
                self._address = self.server.last = address
                return
        raise LoginFailed(
            " ".join(dict.fromkeys(map(str, failures))),
            refused=all(failure.refused for failure in failures),
            wrong_password=failures[-1].wrong_password,
        )

    async def _addresses(self) -> list[Address]:
        """The one that let a session in most recently comes first, the one that we have just lost last."""
        server = self.server
        found = [(host, server.port) for host in server.hosts]
        if not found:
            records = await self.client.get_dns_records(server.domain, server.port)
            found = [(address, port) for _service, _host, address, port in records] or [(server.domain, server.port)]
        return sorted(found, key=lambda address: (address == self._address, address != server.last))

    async def _log_in(self, address: Address) -> None:
        if self.client.is_connected():
            # The end of a connection that was dropped would be taken for that of the next.
            await self.client.disconnected
        self._end = asyncio.get_running_loop().create_future()
        self._where = f"{address[0]}:{address[1]}"
        self._attempt = f"no answer in {CONNECT_TIMEOUT} s"
        started = asyncio.get_running_loop().create_future()
        self.client.add_event_handler("session_start", started.set_result, disposable=True)
        connecting = self.client.connect(*address)
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT):
                await asyncio.wait(
                    (connecting, self._end), timeout=CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
                )
                if not connecting.done():
                    self._all_attempts_failed(0)
                await asyncio.wait((started, self._end), return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                raise self._end.result()
        except TimeoutError:
            raise LoginFailed(
                f"{self.jid.bare}: {self._where} did not complete the login in {LOGIN_TIMEOUT} s."
            ) from None
        finally:
            if not started.done():
                self.client.del_event_handler("session_start", started.set_result)
                self._drop()

    async def close(self) -> None:
        """Say goodbye, for good; the server tells our subscribers."""
        self._closing = True
        if self.online.is_set():
            self.client.send_presence(ptype="unavailable")
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.client.disconnect(1), 2)
        self._drop()
        # slixmpp leaves the task that sends what waits behind, one for each client that ever was.
        if self.client._run_out_filters is not None:
            self.client._run_out_filters.cancel()

    def _drop(self) -> None:
        self.client.cancel_connection_attempt()
        self.client.abort()

    def _over(self, failure: LoginFailed) -> None:
        # The first reason is the true one; slixmpp's own retries are not wanted, ours have pauses with jitter.
        if not self._end.done():
            self._end.set_result(failure)
        self.client.cancel_connection_attempt()

    def _attempt_failed(self, why: t.Any) -> None:
        """A name may have several addresses; slixmpp goes on with the next."""
        self._attempt = why

    def _all_attempts_failed(self, _pause: t.Any) -> None:
        why = f"{self._where} cannot be reached: {self._attempt}. Check that it runs, and xmpp.hosts and xmpp.port."
        self._over(LoginFailed(why))

    def _refused(self, _event: t.Any) -> None:
        if self.client.plugin["feature_mechanisms"].attempted_mechs:
            self._over(_refused(self.jid))
        else:
            why = f"{self.jid.domain}: the server offers no SCRAM-SHA-256, and nothing weaker is spoken here."
            self._over(LoginFailed(why, refused=True))

    def _session_start(self, _event: t.Any) -> None:
        assert self.client.transport is not None
        _notice_silence(self.client.transport.get_extra_info("socket"))

    def _stream_error(self, error: t.Any) -> None:
        condition = error["condition"]
        if condition == "conflict":
            why = f"{self.jid}: another session took this resource. Does a second agent run with the same name?"
            self._over(LoginFailed(why, refused=True))
        else:
            text = error["text"]
            self._over(LoginFailed(f"{self.jid.bare}: the server ended the session: {condition}{text and ': '}{text}."))

    def _disconnected(self, reason: t.Any) -> None:
        if isinstance(reason, ssl.SSLError):
            self._over(_untrusted(self.jid, reason))
        self._over(
            LoginFailed(f"{self.jid.bare}: the connection to the server ended{f': {reason}' if reason else ''}.")
        )


def trust(ca_file: t.Any) -> ssl.SSLContext:
    """A context that trusts this authority, or the system's where it is None."""
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)


def _notice_silence(connection: t.Any) -> None:
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # The transports' own sockets do not set options with every event loop; a duplicate is the same connection.
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        duplicate.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE // 2)
        duplicate.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE // 6)
        duplicate.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)


def _untrusted(jid: slixmpp.JID, error: t.Any) -> LoginFailed:
    why = getattr(error, "verify_message", "") or str(error)
    return LoginFailed(
        f"The server's certificate is not accepted for {jid.domain}: {why}. Give the authority that signed it as"
        f" xmpp.ca_file, or a certificate that names {jid.domain}.",
        refused=True,
    )


def _refused(jid: slixmpp.JID) -> LoginFailed:
    return LoginFailed(
        f"The server refused the password of {jid.bare}. Check that the account exists, and its password.",
        wrong_password=True,
    )
