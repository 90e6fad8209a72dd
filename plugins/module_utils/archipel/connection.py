# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A connection to libvirt, whatever the driver, and libvirt's errors in our words.

The one place that imports libvirt-python; others of the core take the module from here.
"""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
import urllib.parse

from . import last_error
from .errors import (
    ArchipelError,
    Conflict,
    Forbidden,
    InvalidDefinition,
    InvalidRequest,
    LibvirtMissing,
    NotFound,
    OperationFailed,
    Unavailable,
    Unsupported,
    WaitTimeout,
)

try:
    import libvirt
except ImportError:
    libvirt = None

# A peer that is silent for 15 s is gone.
KEEPALIVE_INTERVAL = 5
KEEPALIVE_COUNT = 3

_loop_lock = threading.Lock()
_loop_started = False


def _require_libvirt() -> None:
    if libvirt is None:
        raise LibvirtMissing(
            "The Python package libvirt is missing where this runs; install the distribution's python3-libvirt."
        )


def start_event_loop() -> None:
    """Run libvirt's own event loop in a daemon thread, once per process.

    Must come before the first open: connections made earlier deliver no events (virEventRegisterDefaultImpl).
    """
    global _loop_started
    _require_libvirt()
    with _loop_lock:
        if _loop_started:
            return
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
        _loop_started = True


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


# virErrorNumber without its prefix
_KINDS: t.Final[dict[type[ArchipelError], tuple[str, ...]]] = {
    NotFound: (
        *("NO_DOMAIN", "NO_DOMAIN_METADATA", "NO_DOMAIN_SNAPSHOT", "NO_NETWORK", "NO_NWFILTER", "NO_SECRET"),
        *("NO_STORAGE_POOL", "NO_STORAGE_VOL"),
    ),
    Forbidden: ("OPERATION_DENIED", "ACCESS_DENIED"),
    Conflict: ("OPERATION_INVALID", "DOM_EXIST", "RESOURCE_BUSY", "STORAGE_VOL_EXIST", "STORAGE_POOL_BUILT"),
    InvalidDefinition: ("XML_ERROR", "XML_DETAIL", "XML_INVALID_SCHEMA", "CONFIG_UNSUPPORTED"),
    InvalidRequest: ("INVALID_ARG",),
    Unsupported: ("NO_SUPPORT", "OPERATION_UNSUPPORTED", "ARGUMENT_UNSUPPORTED"),
    Unavailable: ("NO_CONNECT", "INVALID_CONN", "AUTH_FAILED", "AUTH_CANCELLED", "RPC"),
    WaitTimeout: ("OPERATION_TIMEOUT",),
}


def translated(error: t.Any, what: str) -> ArchipelError:
    """A libvirtError as one of ours: ``<what>: <libvirt's words>``."""
    text = f"{what}: {error.get_error_message() or error}."
    # Whatever its code, an error of the RPC layer says that the other side is gone ("client socket is closed").
    if error.get_error_domain() == libvirt.VIR_FROM_RPC:
        return Unavailable(text)
    for kind, names in _KINDS.items():
        if any(error.get_error_code() == getattr(libvirt, f"VIR_ERR_{name}", -1) for name in names):
            return kind(text)
    return OperationFailed(text)


@contextlib.contextmanager
def doing(what: str) -> t.Iterator[None]:
    """Raise libvirt's errors as ours."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise translated(error, what) from error


class Connection:
    """An opened libvirt connection. It is not reopened by itself: whoever holds it hears of its end.

    Without ``events`` nothing can be awaited on it, and each call takes half the time, because no thread wakes up at
    each answer. One to another host has the thread all the same, which notices when that host is gone.
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        events: bool = True,
    ) -> None:
        self.uri = uri
        self._events = events or bool(urllib.parse.urlsplit(uri or "").netloc)
        self._credentials = {"username": username, "password": password}
        self._virconnect: t.Any = None
        self._closed = threading.Event()
        self._on_close: list[t.Callable[[], None]] = []
        self._watches: set[Watch] = set()

    def __enter__(self) -> Connection:
        return self.open()

    def __exit__(self, *_error: object) -> None:
        self.close()

    def open(self) -> Connection:
        _require_libvirt()
        # libvirt-python prints each error to stderr unless told otherwise; ours are raised.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        last_error.keep(libvirt)
        if self._events:
            start_event_loop()
        self.close()
        where = self.uri or "the default hypervisor"
        try:
            self._virconnect = self._open()
        except libvirt.libvirtError as error:
            raise Unavailable(
                f"libvirt at {where} cannot be reached: {error.get_error_message()}. Check the URI, that libvirtd"
                " runs there, and that this user may use it (group libvirt for qemu:///system)."
            ) from error
        self._closed.clear()
        # Drivers inside this process (test, esx) have neither keepalive nor a connection to lose.
        with contextlib.suppress(libvirt.libvirtError):
            self._virconnect.setKeepAlive(KEEPALIVE_INTERVAL, KEEPALIVE_COUNT)
        with contextlib.suppress(libvirt.libvirtError):
            self._virconnect.registerCloseCallback(self._lost, None)
        self.uri = self._virconnect.getURI()
        return self

    def _open(self) -> t.Any:
        if not any(self._credentials.values()):
            return libvirt.open(self.uri)
        types = [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_USERNAME, libvirt.VIR_CRED_PASSPHRASE]
        return libvirt.openAuth(self.uri, [types, self._answer, None], 0)

    def _answer(self, credentials: list[list[t.Any]], _opaque: object) -> int:
        # Each asked credential is [type, prompt, challenge, default, result]; libvirt reads the last.
        for asked in credentials:
            key = "password" if asked[0] == libvirt.VIR_CRED_PASSPHRASE else "username"
            if self._credentials[key] is None:
                return -1
            asked[4] = self._credentials[key]
        return 0

    def _lost(self, _virconnect: object, _reason: int, _opaque: object) -> None:
        self._closed.set()
        self._wake_all()
        for callback in self._on_close:
            callback()

    def _wake_all(self) -> None:
        for watch in list(self._watches):
            watch.wake()

    @property
    def handle(self) -> t.Any:
        """The ``virConnect``; Unavailable when there is none."""
        if self._virconnect is None or self._closed.is_set():
            where = self.uri or "the default hypervisor"
            raise Unavailable(f"The connection to libvirt at {where} is closed; when libvirtd runs there, ask again.")
        return self._virconnect

    @property
    def closed(self) -> bool:
        return self._virconnect is None or self._closed.is_set()

    def on_close(self, callback: t.Callable[[], None]) -> None:
        """Call back, in libvirt's thread, when the other side is gone."""
        self._on_close.append(callback)

    def close(self) -> None:
        virconnect, self._virconnect = self._virconnect, None
        if virconnect is not None:
            with contextlib.suppress(libvirt.libvirtError):
                virconnect.unregisterCloseCallback()
            with contextlib.suppress(libvirt.libvirtError):
                virconnect.close()
            self._wake_all()

    @contextlib.contextmanager
    def watch(self, domain: t.Any, *events: int) -> t.Iterator[Watch]:
        """Lifecycle events of one domain, and further ``events`` (VIR_DOMAIN_EVENT_ID_…), from the moment the block is
        entered: what happens between a request and the wait for its outcome is not missed."""
        watch = Watch(self)
        handle = self.handle
        registered = []
        try:
            with doing(f"Watch {domain.name()}"):
                for event in (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, *events):
                    registered.append(handle.domainEventRegisterAny(domain, event, lambda *_event: watch.wake(), None))
            self._watches.add(watch)
            yield watch
        finally:
            self._watches.discard(watch)
            with contextlib.suppress(libvirt.libvirtError):
                for number in registered:
                    handle.domainEventDeregisterAny(number)


class Watch:
    """Waits for a state to be reached, woken by events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._woken = threading.Event()

    def wake(self) -> None:
        self._woken.set()

    def until(
        self, reached: t.Callable[[], bool], timeout: float, *, otherwise: str, every: float | None = None
    ) -> None:
        """Return when ``reached()``; WaitTimeout with ``otherwise`` after ``timeout`` seconds.

        ``every`` so many seconds it is looked at, where libvirt has no event for it.
        """
        timeout = min(max(timeout, 0), threading.TIMEOUT_MAX)
        end = time.monotonic() + timeout
        lost = f"The connection to libvirt was lost while waiting. {otherwise}"
        while True:
            # Cleared before looking, so an event between the look and the wait wakes us.
            self._woken.clear()
            try:
                if reached():
                    return
            except Unavailable as error:
                # It may be lost before libvirt's event says so.
                raise Unavailable(lost) from error
            if self._connection.closed:
                raise Unavailable(lost)
            left = end - time.monotonic()
            if left <= 0:
                raise WaitTimeout(f"{otherwise} Waited {timeout:g} s.")
            self._woken.wait(left if every is None else min(left, every))
