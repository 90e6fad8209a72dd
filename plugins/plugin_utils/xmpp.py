# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform as the controller sees it: an XMPP account, and requests to contacts from synchronous code.

This is the only file of the controller's side that knows slixmpp. Requests and answers are ElementTree elements,
arguments and results of actions are plain data (docs/protocol.md).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import re
import socket
import ssl
import threading
import time
import typing as t
from xml.etree import ElementTree as ET

from ..module_utils.archipel import errors

COMMANDS: t.Final = "http://jabber.org/protocol/commands"
JSON: t.Final = "urn:xmpp:json:0"
_STANZAS: t.Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
_CONNECT_TIMEOUT: t.Final = 20.0
# Where there is another server to try, one that says nothing for so long is passed over.
_SILENCE: t.Final = 2.0
# slixmpp matches each answer with every pending request: beyond this many it gets slower, not faster.
_IN_FLIGHT: t.Final = 64
# How long a job's contact may be away (its agent restarts, the network fails) before we stop asking for the job.
_JOB_PATIENCE: t.Final = 90.0
_JOB_POLL: t.Final = 2

_KINDS: t.Final[dict[str, type[errors.ArchipelError]]] = {
    "item-not-found": errors.NotFound,
    "forbidden": errors.Forbidden,
    "not-allowed": errors.Forbidden,
    "not-authorized": errors.Forbidden,
    "conflict": errors.Conflict,
    "bad-request": errors.InvalidRequest,
    "not-acceptable": errors.InvalidRequest,
    "jid-malformed": errors.InvalidRequest,
    "feature-not-implemented": errors.Unsupported,
    "service-unavailable": errors.Unavailable,
    "recipient-unavailable": errors.Unavailable,
    "remote-server-not-found": errors.Unavailable,
    "remote-server-timeout": errors.Unavailable,
}

ProgressCallback = t.Callable[[str, "float | None"], None]


@dataclasses.dataclass(frozen=True)
class Account:
    """Who we are on the platform and where its server is.

    ``hosts`` are nodes of one cluster, of which the first that lets us in is taken. Without any the server is found by
    the domain's SRV records, or is the domain itself. The server's certificate must be valid for the domain, by
    ``ca_file`` or, without one, by the system's authorities.
    """

    jid: str
    password: str = dataclasses.field(repr=False)
    hosts: tuple[str, ...] = ()
    port: int | None = None
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^@/\s]+@[^@/\s]+(/.+)?", self.jid):
            raise errors.InvalidArgument(f"xmpp_jid: {self.jid!r} is not a JID such as admin@example.org.")

    @property
    def domain(self) -> str:
        return self.jid.partition("@")[2].partition("/")[0]

    @property
    def bare(self) -> str:
        return self.jid.partition("/")[0].lower()

    def hypervisor(self, name: str) -> str:
        """The JID of a hypervisor's contact."""
        return f"{_local(name)}@{self.domain}/{name}"

    def machine(self, uuid: str, hypervisor: str) -> str:
        """The JID of a machine's contact where it runs on ``hypervisor``."""
        return f"{_local(uuid)}@{self.domain}/{_local(hypervisor)}"


def _local(name: str) -> str:
    if not re.fullmatch(r"[^@/\s\"&'<>:]+", name):
        raise errors.InvalidArgument(f"{name[:80]!r} cannot be the name of a contact.")
    return name


@dataclasses.dataclass(frozen=True)
class Request:
    """An IQ: ``kind`` is ``get`` or ``set``, ``timeout`` in seconds."""

    kind: str
    to: str
    payload: ET.Element
    timeout: float = 30.0


class Client:
    """Requests over the one stream that this process has for an account.

    The stream is opened by the first request, shared by all clients of the same account, and opened again when it was
    lost. A request is never sent twice.
    """

    def __init__(self, account: Account) -> None:
        self.account = account

    def request(self, kind: str, to: str, payload: ET.Element, timeout: float = 30.0) -> ET.Element:
        """The answer's ``<iq/>``; an IQ error is raised as the error of the core that it stands for."""
        (answer,) = self.gather([Request(kind, to, payload, timeout)])
        if isinstance(answer, errors.ArchipelError):
            raise answer
        return answer

    def gather(self, requests: t.Sequence[Request]) -> list[ET.Element | errors.ArchipelError]:
        """The answers to many requests that are under way at the same time, in the order of the requests."""
        return _stream(self.account).gather(requests)

    def execute(self, jid: str, node: str, arguments: t.Mapping[str, t.Any], timeout: float = 60.0) -> dict[str, t.Any]:
        """What the contact answers to an action (docs/protocol.md, Programs). A long one answers with its job."""
        command = ET.Element(f"{{{COMMANDS}}}command", {"node": node, "action": "execute"})
        ET.SubElement(command, f"{{{JSON}}}json").text = json.dumps(arguments)
        answer = self.request("set", jid, command, timeout).find(f".//{{{JSON}}}json")
        result = json.loads(answer.text or "null") if answer is not None else None
        if not isinstance(result, dict):
            raise errors.OperationFailed(f"{jid} answered {node} with something that is not a result.")
        return result

    def run(
        self,
        jid: str,
        node: str,
        arguments: t.Mapping[str, t.Any],
        *,
        timeout: float = 60.0,
        progress: ProgressCallback | None = None,
    ) -> dict[str, t.Any]:
        """As ``execute``, but of a long action the result, awaited for ``timeout`` seconds."""
        result = self.execute(jid, node, arguments, timeout)
        return self.job(jid, result["job"], timeout=timeout, progress=progress) if "job" in result else result

    def job(self, jid: str, job: str, *, timeout: float, progress: ProgressCallback | None = None) -> dict[str, t.Any]:
        """The result of a job once it has ended. Survives a lost stream and a restart of the job's agent."""
        ends = time.monotonic() + timeout
        patience = time.monotonic() + _JOB_PATIENCE
        told = None
        while time.monotonic() < ends:
            try:
                state = self.execute(jid, "job", {"id": job, "wait": _JOB_POLL}, timeout=_JOB_POLL + 30)
            except errors.Unavailable:
                if time.monotonic() > min(patience, ends):
                    raise
                time.sleep(1)
                continue
            patience = time.monotonic() + _JOB_PATIENCE
            if state.get("state") == "succeeded":
                return state.get("result") or {}
            if state.get("state") != "running":
                raise errors.from_data(
                    state.get("error") or {"msg": f"The job {job} of {jid} is {state.get('state')}."}
                )
            now = state.get("progress") or {}
            if progress is not None and now.get("text") and now != told:
                told = now
                progress(now["text"], now.get("fraction"))
        raise errors.WaitTimeout(
            f"The job {job} of {jid} did not end within {timeout:g} s. It goes on: ask its action job."
        )

    def ping(self, jids: t.Sequence[str], timeout: float = 5.0) -> list[errors.ArchipelError | None]:
        """Per JID None where it answers (XEP-0199), or why it does not."""
        ping = "{urn:xmpp:ping}ping"
        answers = self.gather([Request("get", jid, ET.Element(ping), timeout) for jid in jids])
        # Whatever a contact answers, even that it does not know pings, it is there.
        gone = (errors.Unavailable, errors.InvalidRequest)
        return [answer if isinstance(answer, gone) else None for answer in answers]

    def close(self) -> None:
        """Close the stream, for every client of the account in this process."""
        stream = _streams.pop((os.getpid(), self.account), None)
        if stream is not None:
            stream.close()


@atexit.register
def _leave() -> None:
    """End our streams before the interpreter ends the threads under them."""
    for (process, _account), stream in list(_streams.items()):
        if process == os.getpid():
            stream.close()


# By process, because a fork inherits the dictionary but neither the thread nor the right to use the socket.
_streams: dict[tuple[int, Account], _Stream] = {}
_streams_lock = threading.Lock()


def _stream(account: Account) -> _Stream:
    with _streams_lock:
        stream = _streams.get((os.getpid(), account))
        if stream is not None and not stream.alive:
            stream.close()
            stream = None
        if stream is None:
            stream = _streams[os.getpid(), account] = _Stream(account)
        return stream


class _Stream:
    """An authenticated stream whose event loop runs in a thread of its own."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name=f"xmpp {account.bare}", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise

    @property
    def alive(self) -> bool:
        return not self._lost.done()

    def gather(self, requests: t.Sequence[Request]) -> list[ET.Element | errors.ArchipelError]:
        async def all_of_them() -> list[t.Any]:
            return await asyncio.gather(*(self._answer(request) for request in requests))

        return asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result()

    def close(self) -> None:
        def leave() -> None:
            # Waiting for the server's end of stream would cost 100 ms and bring nothing.
            if self._xmpp.transport is not None:
                self._xmpp.send_raw("</stream:stream>")
                self._xmpp.transport.abort()
            self._loop.call_soon(self._loop.stop)

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(leave)
            self._thread.join()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _open(self) -> None:
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        failures = []
        hosts = self.account.hosts or (None,)
        for number, host in enumerate(hosts, start=1):
            try:
                return await self._open_at(host, last=number == len(hosts))
            except errors.Unavailable as failure:
                failures.append(failure.message)
        raise errors.Unavailable(" ".join(failures))

    async def _open_at(self, host: str | None, *, last: bool) -> None:
        """The stream to one host, or to those that SRV records tell; ``last``: there is no other to try."""
        slixmpp = _slixmpp()
        account = self.account
        self._host = host or account.domain
        lost: asyncio.Future[None] = self._loop.create_future()
        self._lost = lost
        try:
            self._xmpp = slixmpp.ClientXMPP(
                account.jid, account.password, loop=self._loop, ssl_context=_ssl_context(account.ca_file)
            )
        except slixmpp.InvalidJID:
            raise errors.InvalidArgument(f"xmpp_jid: {account.jid!r} is not a JID such as admin@example.org.") from None
        # These prove the password without telling it, and that the server knows it.
        self._xmpp.plugin["feature_mechanisms"].use_mechs = {"SCRAM-SHA-512", "SCRAM-SHA-256"}
        opened: asyncio.Future[None] = self._loop.create_future()
        failures: list[t.Any] = []

        def fail(error: errors.ArchipelError) -> None:
            if not opened.done():
                opened.set_exception(error)

        def started(_event: t.Any) -> None:
            _notice_silence(self._xmpp.transport.get_extra_info("socket"))
            if not opened.done():
                opened.set_result(None)

        def disconnected(reason: t.Any) -> None:
            if isinstance(reason, ssl.SSLCertVerificationError):
                fail(self._unreachable([reason]))
            fail(errors.Unavailable(f"{self._where()} closed the stream: {reason or 'no reason was given'}."))
            if not lost.done():
                lost.set_result(None)

        def attempted(_attempt: t.Any) -> None:
            if not self._xmpp.is_connected():
                fail(self._unreachable(failures))

        on = self._xmpp.add_event_handler
        on("session_start", started)
        on("connection_failed", failures.append)
        on("ssl_invalid_chain", lambda error: fail(self._unreachable([error])))
        on("failed_all_auth", lambda _: fail(self._refused()))
        on("stream_error", lambda error: fail(self._stream_error(error)))
        on("disconnected", disconnected)
        port = account.port
        if host or port:
            host, port = host or account.domain, port or 5222
            # Told where to go, slixmpp would try TLS from the first byte before STARTTLS, at the cost of a connection.
            self._xmpp.enable_direct_tls = port == 5223
            self._xmpp.enable_starttls = port != 5223
        connecting = self._xmpp.connect(host, port)
        connecting.add_done_callback(attempted)
        if not last:
            self._loop.call_later(_SILENCE, connecting.cancel)
        try:
            await asyncio.wait_for(opened, _CONNECT_TIMEOUT)
        except TimeoutError:
            raise errors.Unavailable(
                f"{self._where()} did not let {account.bare} in within {_CONNECT_TIMEOUT:g} s. Is an XMPP server there?"
            ) from None
        finally:
            if not opened.done() or opened.exception() is not None:
                self._xmpp.cancel_connection_attempt()
                self._xmpp.abort()

    async def _answer(self, request: Request) -> ET.Element | errors.ArchipelError:
        slixmpp = _slixmpp()
        async with self._slots:
            if not self.alive:
                return self._gone(request)
            iq = self._xmpp.Iq()
            try:
                iq["type"], iq["to"] = request.kind, slixmpp.JID(request.to)
            except slixmpp.InvalidJID:
                return errors.InvalidArgument(f"{request.to[:160]!r} is not a JID.")
            iq.xml.append(request.payload)
            answer = iq.send(timeout=request.timeout)
            await asyncio.wait((answer, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                answer.cancel()
                return self._gone(request)
            try:
                return answer.result().xml
            except slixmpp.exceptions.IqError as failure:
                return _error(request, failure.iq)
            except slixmpp.exceptions.IqTimeout:
                return errors.Unavailable(
                    f"{request.to} did not answer within {request.timeout:g} s. It may still be at work:"
                    " look before you ask again."
                )

    def _gone(self, request: Request) -> errors.ArchipelError:
        return errors.Unavailable(
            f"The stream to {self._where()} broke before {request.to} answered."
            " Whether the request arrived is not known."
        )

    def _where(self) -> str:
        port = self.account.port
        return f"{self._host}:{port}" if port else self._host

    def _unreachable(self, failures: t.Sequence[t.Any]) -> errors.ArchipelError:
        for failure in failures:
            if isinstance(failure, ssl.SSLCertVerificationError):
                return errors.Unavailable(
                    f"The certificate of {self._where()} is not valid for {self.account.domain}:"
                    f" {failure.verify_message}. Give the authority that signed it as xmpp_ca_file."
                )
        reason = str(failures[-1]) if failures else "no answer"
        return errors.Unavailable(
            f"The XMPP server {self._where()} cannot be reached: {reason}. Check xmpp_host, xmpp_port and the network."
        )

    def _refused(self) -> errors.ArchipelError:
        if not self._xmpp.plugin["feature_mechanisms"].attempted_mechs:
            return errors.Unavailable(
                f"{self._where()} offers no SCRAM-SHA-256, and nothing weaker is spoken here; of an ejabberd that is"
                " not ours set auth_scram_hash: sha256, and the passwords anew."
            )
        return errors.Forbidden(
            f"{self._where()} refused the account {self.account.bare}: wrong xmpp_password, or no such account."
        )

    def _stream_error(self, error: t.Any) -> errors.ArchipelError:
        if error["condition"] == "host-unknown":
            return errors.Unavailable(
                f"{self._where()} does not serve the domain {self.account.domain}. Check xmpp_jid and xmpp_host."
            )
        return errors.Unavailable(
            f"{self._where()} ended the stream: {error['condition']} {error['text']}".rstrip() + "."
        )


def _error(request: Request, iq: t.Any) -> errors.ArchipelError:
    found = iq.xml.find("{jabber:client}error")
    parts = [] if found is None else list(found)
    for part in parts:
        if part.tag == f"{{{JSON}}}json":
            with contextlib.suppress(ValueError, AttributeError):
                return errors.from_data(json.loads(part.text or ""))
    names = [part.tag.rpartition("}")[2] for part in parts if part.tag.startswith(f"{{{_STANZAS}}}")]
    condition = next((name for name in names if name != "text"), "undefined-condition")
    details = [part.tag.rpartition("}")[2] for part in parts if not part.tag.startswith(f"{{{_STANZAS}}}")]
    text = next((part.text for part in parts if part.tag == f"{{{_STANZAS}}}text" and part.text), "")
    kind = _KINDS.get(condition, errors.OperationFailed)
    if kind is errors.Unavailable:
        return kind(f"{request.to} is not online ({condition}). Does its agent run, and is the name right?")
    return kind(f"{request.to} answered {': '.join(filter(None, [condition, *details, text]))}")


def _notice_silence(connection: t.Any) -> None:
    """A server that lost power ends no connection; without this its requests would wait for their whole time."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_USER_TIMEOUT", 10_000)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


@functools.cache
def _ssl_context(ca_file: str | None) -> ssl.SSLContext:
    """One per authority: making one reads all of the system's certificates, 50 ms."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as failure:
        raise errors.InvalidArgument(f"xmpp_ca_file: {ca_file} cannot be read: {failure}.") from None


@functools.cache
def _slixmpp() -> t.Any:
    """The library, imported where it is needed (120 ms), with SCRAM in C."""
    try:
        import slixmpp
        import slixmpp.exceptions
        from slixmpp.util.sasl.client import sasl_mech
        from slixmpp.util.sasl.mechanisms import SCRAM
    except ImportError:
        raise errors.Unavailable(
            "via: xmpp needs the Python library slixmpp (1.17 or newer) where ansible runs: pip install slixmpp"
        ) from None

    # slixmpp iterates in Python: 10 ms of CPU per login instead of 1.2 ms.
    @sasl_mech(SCRAM.score)
    class FastSCRAM(SCRAM):
        def Hi(self, text: t.Any, salt: bytes, iterations: int) -> bytes:
            key = text if isinstance(text, bytes) else text.encode()
            return hashlib.pbkdf2_hmac(self.hash_name.replace("-", ""), key, salt, iterations)

    # Its messages are for programmers; what a person must know is in our errors.
    logging.getLogger("slixmpp").addHandler(logging.NullHandler())
    logging.getLogger("slixmpp").propagate = False
    return slixmpp
