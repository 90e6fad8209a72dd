# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's XMPP client against a real server: what is shared, what survives, what is said."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import threading
import typing as t

import pytest
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel import errors
from ansible_collections.archipel.orchestrator.plugins.plugin_utils import hypervisor, xmpp
from ansible_collections.archipel.orchestrator.plugins.plugin_utils.xmpp import Client


@pytest.fixture
def client(platform: t.Any) -> t.Iterator[Client]:
    made = Client(platform.account())
    yield made
    made.close()


def test_clients_of_one_account_share_a_stream(client: Client, platform: t.Any) -> None:
    log = platform.server.directory / "ejabberd.log"
    before = log.read_text().count("Opened c2s session for admin@")
    for _number in range(5):
        assert Client(platform.account()).ping([client.account.domain]) == [None]
    assert log.read_text().count("Opened c2s session for admin@") <= before + 1


def test_many_requests_are_answered_in_their_order(client: Client) -> None:
    there, nowhere = client.account.domain, client.account.hypervisor("hv9")
    answers = client.ping([there, nowhere] * 250)
    assert answers[::2] == [None] * 250
    assert all(isinstance(answer, errors.Unavailable) for answer in answers[1::2])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_a_stream_of_its_own(client: Client) -> None:
    """As Ansible's workers do."""
    assert client.ping([client.account.domain]) == [None]
    child = os.fork()
    if not child:
        os._exit(0 if client.ping([client.account.domain]) == [None] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.ping([client.account.domain]) == [None]


def test_a_lost_stream_is_opened_again_by_the_next_request(client: Client, platform: t.Any) -> None:
    assert client.ping([client.account.domain]) == [None]
    platform.server.restart()
    assert client.ping([client.account.domain]) == [None]
    platform.wait_until(platform.answers, "the agent did not come back after the server")


def test_of_several_servers_the_first_that_answers_is_taken(platform: t.Any) -> None:
    """One where nobody listens is passed over; where all are missing, each is named."""
    account = dataclasses.replace(platform.account(), hosts=("127.0.0.2", platform.server.host))
    with contextlib.closing(Client(account)) as client:
        assert client.ping([account.domain]) == [None]
    nowhere = dataclasses.replace(account, hosts=("127.0.0.2", "127.0.0.3"))
    with pytest.raises(errors.Unavailable, match=r"127\.0\.0\.2:.* cannot be reached.*127\.0\.0\.3:"):
        Client(nowhere).ping([account.domain])


def test_a_server_that_says_nothing_is_passed_over(
    platform: t.Any, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before a login that takes its time would be given up."""
    monkeypatch.setattr(xmpp, "_CONNECT_TIMEOUT", 3600)
    account = dataclasses.replace(platform.account(), hosts=(silent, platform.server.host))
    with contextlib.closing(Client(account)) as client:
        assert client.ping([account.domain]) == [None]


@pytest.fixture
def silent(platform: t.Any) -> t.Iterator[str]:
    """An address where connections are neither accepted nor refused: the queue for them is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.2", platform.server.port))
        listener.listen(0)
        for _number in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield "127.0.0.2"


def test_a_server_without_tls_never_sees_the_password(platform: t.Any) -> None:
    """Whoever strips STARTTLS and asks for the password in clear gets nothing."""
    account = dataclasses.replace(platform.account(), hosts=("127.0.0.1",), password="very secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        account = dataclasses.replace(account, port=listener.getsockname()[1])
        heard: list[bytes] = []
        hostile = threading.Thread(target=_ask_for_the_password, args=(listener, heard), daemon=True)
        hostile.start()
        with pytest.raises(errors.ArchipelError):
            Client(account).ping([account.domain])
        hostile.join(10)
    said = b"".join(heard)
    assert b"<stream:stream" in said
    assert b"<auth" not in said
    assert base64.b64encode(b"very secret") not in said


def test_a_server_that_offers_less_than_sha256_is_told_no_password(platform: t.Any, tmp_path: pathlib.Path) -> None:
    """Accounts of ejabberd's default are for SCRAM-SHA-1."""
    old = type(platform.server)(tmp_path / "old", hypervisors=[])
    old.scram = "sha"
    try:
        old.prepare()
        account = dataclasses.replace(platform.account(), port=old.port, ca_file=str(old.ca_file))
        with pytest.raises(errors.Unavailable, match=r"offers no SCRAM-SHA-256, .* set auth_scram_hash: sha256"):
            Client(account).ping([account.domain])
    finally:
        old.stop()


def _ask_for_the_password(listener: socket.socket, heard: list[bytes]) -> None:
    connection, _address = listener.accept()
    with connection:
        connection.settimeout(5)
        heard.append(connection.recv(4096))
        mechanisms = "".join(f"<mechanism>{name}</mechanism>" for name in ("LOGIN", "PLAIN", "DIGEST-MD5", "CRAM-MD5"))
        connection.sendall(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
            b" id='1' from='xmpp.test' version='1.0'><stream:features>"
            b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + mechanisms.encode() + b"</mechanisms>"
            b"</stream:features>"
        )
        try:
            while data := connection.recv(4096):
                heard.append(data)
        except TimeoutError:
            pass


def test_a_contact_that_does_not_answer_in_time_is_said_to_be_silent(client: Client, platform: t.Any) -> None:
    """An account that is online and answers nothing: the agent, stopped by a signal."""
    jid = client.account.hypervisor("hv1")
    assert client.ping([jid]) == [None]
    os.kill(platform.agent_process, signal.SIGSTOP)
    try:
        with pytest.raises(errors.Unavailable, match=r"did not answer within 0\.5 s"):
            client.execute(jid, "hypervisor_info", {}, timeout=0.5)
    finally:
        os.kill(platform.agent_process, signal.SIGCONT)


def test_machines_are_told_in_pages_without_loss(
    client: Client, over: t.Callable[[str], t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = "archipel.orchestrator.vm"
    over("xmpp").play({vm: {"name": "page-{{ item }}", "memory": 64}, "loop": ["a", "b", "c"]})
    jid = client.account.hypervisor("hv1")
    whole = client.execute(jid, "vm_info", {})
    monkeypatch.setattr(hypervisor, "_PAGE", 1)

    def ask(**page: t.Any) -> dict[str, t.Any]:
        return client.execute(jid, "vm_info", page)

    paged, first = hypervisor._all_pages(ask, None), hypervisor._all_pages(ask, 2)
    over("xmpp").play({vm: {"name": "page-{{ item }}", "state": "absent"}, "loop": ["a", "b", "c"]})
    assert len(whole["vms"]) >= 4
    assert paged == whole
    assert first["vms"] == whole["vms"][:2]
    assert first["next"] == whole["vms"][1]["uuid"]


def test_the_job_of_a_long_action_is_awaited_and_its_failure_raised(client: Client) -> None:
    """The test driver cannot migrate; the job says so."""
    jid = client.account.hypervisor("hv1")
    arguments = {"name": "test", "destination_uri": "test:///default", "destination": "elsewhere"}
    started = client.execute(jid, "vm_migrate", arguments)
    assert set(started) >= {"job"}
    with pytest.raises(errors.ArchipelError) as failure:
        client.job(jid, started["job"], timeout=30)
    assert not isinstance(failure.value, (errors.Unavailable, errors.WaitTimeout))
