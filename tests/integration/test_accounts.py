# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of people, and what they find in their contact lists, on a real ejabberd."""

from __future__ import annotations

import asyncio
import json
import typing as t

import client
import pytest
from playbook import assert_cycle, cycle

USER = "archipel.orchestrator.xmpp_user"
GROUP = "archipel.orchestrator.xmpp_group"
MACHINE = "5a0e6c1e-52d4-4d2c-8a52-6e0c6f7a1b2d"
FIRST, SECOND = "the first of alice", "the second of alice"


@pytest.fixture(scope="module")
def server(platform: t.Any, over: t.Callable[[str], t.Any]) -> t.Any:
    """Ansible on the server's host, as its administrator."""
    ansible = over("xmpp")
    known = {name: ansible.defaults[name] for name in ("xmpp_jid", "xmpp_password")}
    ansible.credentials = {**known, "api_url": f"http://127.0.0.1:{platform.server.api_port}/xmlrpc"}
    ansible.defaults = {}
    return ansible


def roster(platform: t.Any, name: str, password: str) -> dict[str, set[str]]:
    """The contacts that somebody who logs in finds: bare JID → groups."""

    async def look() -> dict[str, set[str]]:
        async with client.connected(platform.server, name, password=password) as person:
            answer = await person.get_roster()
            return {str(jid): set(item["groups"]) for jid, item in answer["roster"]["items"].items()}

    return asyncio.run(look())


def task(module: str, server: t.Any, **arguments: t.Any) -> dict[str, t.Any]:
    return {module: {**server.credentials, **arguments}}


def test_an_account_comes_changes_and_goes(server: t.Any, platform: t.Any) -> None:
    create = task(USER, server, name="alice", password=FIRST)
    change = task(USER, server, name="alice", password=SECOND, update_password="always")
    results = server.play(*cycle(create, change, task(USER, server, name="alice", state="absent")))
    assert_cycle(results)
    assert results[1]["users"] == [{"jid": "alice@xmpp.test", "state": "present"}]
    assert "alice" not in platform.server.registered()


def test_an_account_lets_its_owner_in_with_the_last_password_alone(server: t.Any, platform: t.Any) -> None:
    made, left, refused, changed = server.play(
        task(USER, server, name="alice", password=FIRST),
        task(USER, server, name="alice", password=SECOND),
        task(USER, server, name="alice", password=SECOND, update_password="refuse"),
        task(USER, server, name="alice@xmpp.test", password=SECOND, update_password="always"),
    )
    assert (made["changed"], left["changed"], changed["changed"]) == (True, False, True)
    assert refused["failed"]
    assert "another password" in refused["msg"]
    assert roster(platform, "alice", SECOND) == {}
    assert platform.server.api("check_password", user="alice", host="xmpp.test", password=FIRST) == 1
    server.play(task(USER, server, name="alice", state="absent"))


def test_no_password_is_told_or_logged(server: t.Any, platform: t.Any) -> None:
    log = platform.server.directory / "ejabberd.log"
    before = len(log.read_text())
    results = server.play(
        task(USER, server, users=[{"name": "alice", "password": FIRST}, {"name": "bob", "password": SECOND}]),
        task(USER, server, users=[{"name": "alice", "password": SECOND}, {"name": "bob"}], update_password="always"),
        # What ejabberd says of a failure quotes the arguments.
        task(USER, server, name="al\u2028ice", password=FIRST),
        task(USER, server, users=[{"name": name} for name in ("alice", "bob")], state="absent"),
    )
    assert [result["changed"] for result in results] == [True, True, False, True]
    assert [change["path"] for change in results[1]["changes"]] == ["users[alice].password"]
    said = json.dumps(results) + server.last + log.read_text()[before:]
    assert FIRST not in said
    assert SECOND not in said


def test_many_accounts_share_a_connection(server: t.Any, platform: t.Any) -> None:
    log = platform.server.directory / "ejabberd.log"
    before = log.read_text().count("Accepted connection")
    users = [{"name": f"user{number}", "password": FIRST} for number in range(20)]
    made, gone = server.play(
        task(USER, server, users=users),
        task(USER, server, users=[{"name": user["name"]} for user in users], state="absent"),
    )
    assert len(made["changes"]) == len(gone["changes"]) == 20
    assert log.read_text().count("Accepted connection") == before + 2


def test_a_group_comes_changes_and_goes(server: t.Any) -> None:
    create = task(GROUP, server, name="operators", label="Operators", members=["hv1", "hv2@xmpp.test"])
    change = task(
        GROUP, server, name="operators", label="Op\u00e9rateurs", display=["operators"], members=["hv1", "@all@"],
        members_mode="set",
    )  # fmt: skip
    results = server.play(*cycle(create, change, task(GROUP, server, name="operators", state="absent")))
    assert_cycle(results)
    created, changed = results[1]["group"], results[5]["group"]
    assert created["members"] == ["hv1@xmpp.test", "hv2@xmpp.test"]
    assert changed["label"] == "Op\u00e9rateurs"
    assert changed["members"] == ["@all@", "hv1@xmpp.test"]


def test_a_title_alone_changes_nothing_else(server: t.Any) -> None:
    """ejabberd forgets that all are members of a group when it is written anew."""
    _made, changed, again, _gone = server.play(
        task(GROUP, server, name="everything", description="All of them.", members=["@all@"]),
        task(GROUP, server, name="everything", label="Machines"),
        task(GROUP, server, name="everything", description="All of them.", members=["@all@"], members_mode="set"),
        task(GROUP, server, name="everything", state="absent"),
    )
    assert [change["path"] for change in changed["changes"]] == ["label"]
    assert not again["changed"]


def test_a_new_machine_appears_in_the_contact_lists_of_those_who_should_see_it(server: t.Any, platform: t.Any) -> None:
    server.play(
        task(USER, server, users=[{"name": "alice", "password": FIRST}, {"name": "bob", "password": FIRST}]),
        task(GROUP, server, name="everything", label="Machines", members=["@all@"]),
        task(GROUP, server, name="operators", display=["everything"], members=["alice"]),
    )
    platform.server.register(MACHINE)
    assert roster(platform, "alice", FIRST)[f"{MACHINE}@xmpp.test"] == {"Machines"}
    assert roster(platform, "bob", FIRST) == {}
    refused, *_gone = server.play(
        task(GROUP, server, name="everything", state="absent"),
        task(GROUP, server, name="operators", state="absent"),
        task(GROUP, server, name="everything", state="absent"),
        task(USER, server, users=[{"name": name} for name in ("alice", "bob", MACHINE)], state="absent"),
    )
    assert "displayed to operators" in refused["msg"]


REFUSED = (
    (USER, {"name": "alice"}, "give a password"),
    (USER, {"name": "a b", "password": FIRST}, "'a b' cannot be the name of an account"),
    (USER, {"name": "alice@other.test", "password": FIRST}, "is not an account of xmpp.test"),
    (USER, {"name": "admin", "state": "absent"}, "the account that this task works with"),
    (USER, {"name": "alice", "password": FIRST, "xmpp_password": "not the one"}, "a wrong xmpp_password"),
    (USER, {"name": "alice", "password": FIRST, "xmpp_jid": "hv1@xmpp.test"}, "may not run"),
    (USER, {"name": "alice", "password": FIRST, "xmpp_jid": "admin"}, "is not the JID of an account"),
    (USER, {"name": "alice", "password": FIRST, "api_url": "http://127.0.0.1:1/xmlrpc"}, "cannot be reached"),
    (USER, {"name": "alice", "password": FIRST, "api_url": "http://xmpp.example.org:5280/"}, "passwords in clear"),
    (GROUP, {"name": "a b"}, "'a b' cannot be the name of a group"),
    (GROUP, {"name": "operators", "display": ["nowhere"]}, "nowhere, which is not there"),
    (GROUP, {"name": "operators", "membres": []}, "membres"),
)


def test_bad_input_is_refused_and_changes_nothing(server: t.Any, platform: t.Any) -> None:
    before = platform.server.registered()
    results = server.play(*(task(module, server, **arguments) for module, arguments, _complaint in REFUSED))
    for (_module, _arguments, complaint), result in zip(REFUSED, results, strict=True):
        assert result["failed"], complaint
        assert complaint in result["msg"]
        assert not result["changed"]
    assert platform.server.registered() == before
    assert platform.server.api("srg_list", host="xmpp.test") == []
