# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gc
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import typing as t

import libvirt
import pytest
from archipel import connection as module
from archipel.connection import Connection, doing
from archipel.errors import (
    ArchipelError,
    Conflict,
    Forbidden,
    InvalidDefinition,
    InvalidRequest,
    NotFound,
    OperationFailed,
    Unavailable,
    Unsupported,
    WaitTimeout,
)
from archipel.hypervisor import Hypervisor

CORE = pathlib.Path(module.__file__).parents[1]
WITHOUT_LIBVIRT = """
import sys
sys.modules["libvirt"] = None
from archipel.connection import Connection
from archipel.errors import LibvirtMissing
import archipel.hypervisor
try:
    Connection("test:///default").open()
except LibvirtMissing as error:
    print(error)
"""


def test_without_libvirt_the_core_imports_and_says_what_to_install() -> None:
    """The error comes when a connection is opened, and names the package."""
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBVIRT],
        check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(CORE)},
    )  # fmt: skip
    assert "install the distribution's python3-libvirt" in told.stdout


@pytest.mark.parametrize("uri", ["nonsense:///", "test:///does/not/exist.xml", "qemu+unix:///system?socket=/nowhere"])
def test_a_uri_that_leads_nowhere_is_named(uri: str) -> None:
    """The error names the URI, libvirt's reason and what to check."""
    with pytest.raises(Unavailable, match="Check the URI") as raised:
        Connection(uri).open()
    assert uri in raised.value.message


def test_a_closed_connection_says_so() -> None:
    """Nothing is asked of a connection that is closed, and closing twice is no error."""
    assert Connection("test:///default").closed
    with Connection("test:///default") as connection:
        assert connection.handle.isAlive()
        assert not connection.closed
    connection.close()
    with pytest.raises(Unavailable, match="test:///default is closed; .* ask again"):
        assert connection.handle


@pytest.fixture
def guarded(tmp_path: pathlib.Path) -> str:
    """The URI of a host that wants to know who asks."""
    (tmp_path / "node.xml").write_text('<node><auth><user password="letmein1">joe</user></auth></node>')
    return f"test://{tmp_path}/node.xml"


def test_credentials_are_given_when_libvirt_asks(guarded: str) -> None:
    """Name and password are options; nobody is asked at a terminal."""
    with Connection(guarded, username="joe", password="letmein1") as connection:
        assert connection.handle.isAlive()


@pytest.mark.parametrize(
    "credentials",
    [{}, {"username": "joe"}, {"username": "joe", "password": "letmein2"}, {"username": "ann", "password": "letmein1"}],
)
def test_wrong_credentials_are_refused_and_not_told(guarded: str, credentials: dict[str, str]) -> None:
    """The error says that it was the login, and has no password in it."""
    with pytest.raises(Unavailable, match="authentication") as raised:
        Connection(guarded, **credentials).open()
    assert "letmein" not in raised.value.message


def test_a_connection_can_be_opened_again() -> None:
    """Whoever holds it need not make another."""
    connection = Connection("test:///default").open()
    connection.open()
    assert connection.handle.isAlive()
    connection.close()
    assert connection.open().handle.isAlive()
    connection.close()


@pytest.mark.parametrize(
    ("domain", "code", "kind"),
    [
        ("QEMU", "NO_DOMAIN", NotFound),
        ("QEMU", "ACCESS_DENIED", Forbidden),
        ("QEMU", "OPERATION_INVALID", Conflict),
        ("DOMAIN", "XML_ERROR", InvalidDefinition),
        ("DOMAIN", "INVALID_ARG", InvalidRequest),
        ("TEST", "NO_SUPPORT", Unsupported),
        ("RPC", "SYSTEM_ERROR", Unavailable),  # Cannot recv data: Connection reset by peer
        ("RPC", "INTERNAL_ERROR", Unavailable),  # client socket is closed
        ("STORAGE", "SYSTEM_ERROR", OperationFailed),  # Cannot access storage file
        ("QEMU", "INTERNAL_ERROR", OperationFailed),
    ],
)
def test_libvirts_errors_become_ours(domain: str, code: str, kind: type[ArchipelError]) -> None:
    """By their code; those of the RPC layer mean a lost connection whatever their code."""
    error = libvirt.libvirtError("it failed")
    error.err = (getattr(libvirt, f"VIR_ERR_{code}"), getattr(libvirt, f"VIR_FROM_{domain}"), "libvirt's words")
    with pytest.raises(ArchipelError, match=r"Start web1: libvirt's words\.") as raised, doing("Start web1"):
        raise error
    assert raised.value.__class__ is kind


def test_libvirts_own_errors_are_not_printed(capfd: pytest.CaptureFixture[str], connection: Connection) -> None:
    """They are raised, and standard error stays clean."""
    with pytest.raises(NotFound), doing("Look"):
        connection.handle.lookupByName("nobody")
    assert capfd.readouterr() == ("", "")


def test_an_error_outlives_the_collection_of_garbage(connection: Connection) -> None:
    """Freeing what libvirt handed out resets libvirt's last error, before libvirt-python has asked for it."""

    class Ring:
        def __init__(self) -> None:
            self.ring, self.domains = self, connection.handle.listAllDomains()

    threshold, look_up = gc.get_threshold(), connection.handle.lookupByName
    for _attempt in range(20):
        code = None
        gc.disable()
        Ring()
        gc.set_threshold(1)
        gc.enable()
        try:
            look_up("absent")
        except libvirt.libvirtError as error:
            code = error.get_error_code()
        finally:
            gc.set_threshold(*threshold)
        assert code == libvirt.VIR_ERR_NO_DOMAIN


def test_what_happens_between_request_and_wait_is_not_missed(connection: Connection) -> None:
    """The state is looked at after the events are listened to."""
    domain = connection.handle.lookupByName("off")
    with connection.watch(domain) as watch:
        domain.create()
        watch.until(lambda: domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, 5, otherwise="Not running.")


def test_an_event_ends_the_wait(connection: Connection) -> None:
    """What another thread does is heard at once."""
    domain = connection.handle.lookupByName("off")
    looked = threading.Event()

    def reached() -> bool:
        looked.set()
        return bool(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING)

    def start() -> None:
        looked.wait()
        domain.create()

    starter = threading.Thread(target=start)
    with connection.watch(domain) as watch:
        starter.start()
        began = time.monotonic()
        watch.until(reached, 60, otherwise="Not running.")
    starter.join()
    assert time.monotonic() - began < 30


def test_an_event_right_before_the_wait_wakes(connection: Connection) -> None:
    """One that comes after the look and before the wait is not lost."""
    looks = 0
    with connection.watch(connection.handle.lookupByName("off")) as watch:

        def reached() -> bool:
            nonlocal looks
            looks += 1
            watch.wake()  # as an event would just after this look
            return looks == 3

        watch.until(reached, 30, otherwise="Not reached.")
    assert looks == 3


@pytest.mark.parametrize("timeout", [-1, 0, 0.01])
def test_a_wait_ends_and_says_what_did_not_happen(connection: Connection, timeout: float) -> None:
    """The error says what was waited for and how long."""
    message = rf"^It did not start\. Waited {max(timeout, 0):g} s\.$"
    with connection.watch(connection.handle.lookupByName("off")) as watch, pytest.raises(WaitTimeout, match=message):
        watch.until(lambda: False, timeout, otherwise="It did not start.")


def test_a_wait_of_ages_is_no_error(connection: Connection) -> None:
    """More seconds than the system's clock can count are as good as for ever."""
    with connection.watch(connection.handle.lookupByName("off")) as watch:
        threading.Timer(0.05, watch.wake).start()
        seen = iter((False, True))
        watch.until(lambda: next(seen), 1 << 62, otherwise="Not reached.")


def test_closing_ends_a_wait(connection: Connection) -> None:
    """Nobody waits on for a connection that is gone."""
    with connection.watch(connection.handle.lookupByName("off")) as watch:
        threading.Timer(0.05, connection.close).start()
        with pytest.raises(Unavailable, match="lost while waiting"):
            watch.until(lambda: False, 30, otherwise="Not reached.")


@pytest.fixture
def daemon() -> t.Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A libvirtd of a user's session, which touches nothing of the system's, and the URI of the test driver in it."""
    identity: dict[str, t.Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, identity.get("user", -1), -1)
        places = dict.fromkeys(("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), home)
        process = subprocess.Popen(
            ["libvirtd", "--pid-file", f"{home}/pid"],
            env={**os.environ, **places},
            stderr=subprocess.DEVNULL,
            **identity,
        )
        socket = pathlib.Path(home, "libvirt/libvirt-sock")
        end = time.monotonic() + 20
        while not socket.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        yield f"test+unix:///default?socket={socket}", process
        process.kill()
        process.wait()


@pytest.mark.skipif(shutil.which("libvirtd") is None, reason="libvirtd is not installed")
def test_a_lost_connection_is_heard_of_and_unavailable(daemon: tuple[str, subprocess.Popen[bytes]]) -> None:
    """Whoever waits is woken, whoever asked to be told is told, and every call says that libvirt is not there."""
    uri, process = daemon
    connection = Connection(uri).open()
    lost = threading.Event()
    connection.on_close(lost.set)
    machine = Hypervisor(connection, "hv1").machine("test")
    with connection.watch(machine.domain) as watch:
        threading.Timer(0.05, process.kill).start()
        with pytest.raises(Unavailable, match="lost while waiting"):
            watch.until(lambda: False, 30, otherwise="Not reached.")
    assert lost.wait(5)
    assert connection.closed
    for ask in (lambda: machine.status, machine.info, machine.shutdown):
        with pytest.raises(Unavailable):
            ask()
    connection.close()


@pytest.mark.parametrize("events", [True, False])
def test_a_thread_for_events_runs_only_where_something_is_awaited(events: bool) -> None:
    """In a process of its own, because the thread is one for all connections and stays."""
    program = f"""
import sys, threading
sys.path.insert(0, {str(CORE)!r})
from archipel.connection import Connection
from archipel.hypervisor import Hypervisor
with Connection("test:///default", events={events}) as connection:
    assert Hypervisor(connection).vm_info()["vms"][0]["name"] == "test"
print(*(thread.name for thread in threading.enumerate()))
"""
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ("libvirt-events" in said.stdout) == events
    assert said.stderr == ""
