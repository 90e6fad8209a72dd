# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules whose object is in the platform: nodes of pubsub, and any action of any contact."""

from __future__ import annotations

import typing as t

import pytest
from playbook import assert_cycle, cycle

NODE = "archipel.orchestrator.pubsub_node"
COMMAND = "archipel.orchestrator.entity_command"
NAME = "/archipel/a/node/with-a-long-name"


@pytest.fixture
def xmpp(over: t.Callable[[str], t.Any]) -> t.Any:
    return over("xmpp")


def test_a_node_comes_changes_and_goes(xmpp: t.Any) -> None:
    create = {
        NODE: {
            "name": NAME,
            "config": {"access_model": "whitelist", "persist_items": True, "max_items": 50},
            "affiliations": {"hv1@xmpp.test": "publisher"},
            "items": [{"id": "one", "data": {"a": [1, None, "x"]}}, {"id": "two", "xml": "<x xmlns='urn:x'><y/></x>"}],
        }
    }
    change = {
        NODE: {
            "name": NAME,
            "config": {"max_items": 60},
            "affiliations": {"hv2@xmpp.test": "publisher"},
            "affiliations_mode": "set",
            "items": [{"id": "one", "data": {"a": 2}}, {"id": "three", "data": "3"}],
            "items_mode": "set",
        }
    }
    results = xmpp.play(*cycle(create, change, {NODE: {"name": NAME, "state": "absent"}}))
    assert_cycle(results)
    created, changed = results[1]["node"], results[5]["node"]
    assert created["affiliations"] == {"admin@xmpp.test": "owner", "hv1@xmpp.test": "publisher"}
    assert changed["affiliations"] == {"admin@xmpp.test": "owner", "hv2@xmpp.test": "publisher"}
    assert changed["payloads"] == {"one": {"a": 2}, "three": "3"}
    assert [change["path"] for change in results[5]["changes"]] == [
        "config.max_items",
        "affiliations.hv1@xmpp.test",
        "affiliations.hv2@xmpp.test",
        "items.one",
        "items.three",
        "items.two",
    ]


def test_items_are_retracted_by_id(xmpp: t.Any) -> None:
    made, retracted, again, _gone = xmpp.play(
        {NODE: {"name": NAME, "items": [{"id": "one", "data": 1}, {"id": "two", "data": 2}]}},
        {NODE: {"name": NAME, "items": [{"id": "one"}], "items_mode": "remove"}},
        {NODE: {"name": NAME, "items": [{"id": "one"}], "items_mode": "remove"}},
        {NODE: {"name": NAME, "state": "absent"}},
    )
    assert made["changed"]
    assert [change["path"] for change in retracted["changes"]] == ["items.one"]
    assert not again["changed"]


def test_what_a_node_is_not_asked_to_be_is_left_alone(xmpp: t.Any) -> None:
    _made, again, _gone = xmpp.play(
        {NODE: {"name": NAME, "config": {"access_model": "whitelist"}, "items": [{"id": "one", "data": 1}]}},
        {NODE: {"name": NAME}},
        {NODE: {"name": NAME, "state": "absent"}},
    )
    assert not again["changed"]


REFUSED_NODES = (
    ({"config": {"acces_model": "open"}}, "Did you mean access_model?"),
    ({"config": {"access_model": "ajar"}}, "'ajar' is none of authorize, open"),
    ({"config": {"persist_items": "perhaps"}}, "neither true nor false"),
    ({"affiliations": {"a@xmpp.test": "onwer"}}, "Did you mean owner"),
    ({"items": [{"id": "one", "xml": "<x>"}]}, "not well-formed"),
    ({"items": [{"id": "one", "xml": "<x/>", "data": 1}]}, "mutually exclusive"),
    ({"nme": "x"}, "Unsupported parameters for (archipel.orchestrator.pubsub_node) module: nme"),
    ({"service": "nowhere.test"}, "not online"),
    ({"xmpp_password": "wrong"}, "wrong xmpp_password"),
    ({"xmpp_port": 1}, "cannot be reached"),
    ({"xmpp_ca_file": "/etc/ssl/certs/ca-certificates.crt"}, "certificate"),
    ({"xmpp_jid": "nobody"}, "is not a JID"),
)


def test_what_a_node_cannot_be_is_said_clearly_and_nothing_changes(xmpp: t.Any) -> None:
    tasks = [{NODE: {"name": NAME, **arguments}} for arguments, _complaint in REFUSED_NODES]
    *results, absent = xmpp.play(*tasks, {NODE: {"name": NAME, "state": "absent"}})
    for (_arguments, complaint), result in zip(REFUSED_NODES, results, strict=True):
        assert result["failed"]
        assert complaint in result["msg"]
    assert not absent["changed"]


def test_a_failure_tells_what_had_been_changed(xmpp: t.Any) -> None:
    """The node is made, then the server refuses an item that is too large."""
    failed, gone = xmpp.play(
        {NODE: {"name": NAME, "config": {"max_payload_size": 100}, "items": [{"id": "one", "data": "x" * 500}]}},
        {NODE: {"name": NAME, "state": "absent"}},
    )
    assert failed["failed"]
    assert [change["path"] for change in failed["changes"]] == ["state", "config.max_payload_size"]
    assert gone["changed"]


def test_an_account_without_rights_is_refused(xmpp: t.Any) -> None:
    (refused,) = xmpp.play(
        {NODE: {"name": "/archipel/machines", "config": {"access_model": "open"}, "xmpp_jid": "hv2@xmpp.test"}}
    )
    assert refused["failed"]
    assert "forbidden" in refused["msg"]


def test_any_action_of_a_hypervisor_and_of_a_machine(xmpp: t.Any) -> None:
    hypervisor, adopted, state, paused, resumed, by_uuid, _let_go = xmpp.play(
        {COMMAND: {"action": "hypervisor_info"}},
        {COMMAND: {"action": "vm_import", "arguments": {"name": "test"}}},
        {COMMAND: {"machine": "test", "action": "state"}, "until": "result_2 is success", "retries": 20, "delay": 0.2},
        {COMMAND: {"machine": "test", "action": "pause"}},
        {COMMAND: {"machine": "test", "action": "resume"}},
        {COMMAND: {"machine": "{{ result_2.result.uuid }}", "action": "info"}},
        {COMMAND: {"action": "vm_import", "arguments": {"name": "test", "state": "absent"}}},
    )
    assert hypervisor["jid"] == "hv1@xmpp.test/hv1"
    assert hypervisor["result"]["hypervisor"]["name"] == "hv1"
    assert adopted["changed"]
    assert state["result"]["name"] == "test"
    assert not state["changed"]
    assert paused["changed"]
    assert paused["result"]["state"] == "paused"
    assert resumed["result"]["state"] == "running"
    assert by_uuid["jid"].startswith(state["result"]["uuid"])


def test_in_check_mode_only_what_changes_nothing_is_run(xmpp: t.Any) -> None:
    read, checked, skipped = xmpp.play(
        {COMMAND: {"action": "vm_info", "arguments": {"name": "test"}}, "check_mode": True},
        {COMMAND: {"action": "vm", "arguments": {"name": "test", "state": "destroyed"}}, "check_mode": True},
        {COMMAND: {"machine": "test", "action": "destroy"}, "check_mode": True},
    )
    assert read["result"]["vms"][0]["state"] == "running"
    assert checked["changed"]
    assert skipped["skipped"]
    (now,) = xmpp.play({"archipel.orchestrator.vm_info": {"name": "test"}})
    assert now["vms"][0]["state"] == "running"


REFUSED_COMMANDS = (
    ({"action": "vm_inf"}, "Did you mean vm_info"),
    ({"action": "vm_info", "arguments": {"nme": "x"}}, "Did you mean name"),
    ({"action": "vm_info", "arguments": {"limit": "many"}}, "limit"),
    ({"action": "state", "machine": "nobody"}, "There is no machine 'nobody' on hv1"),
    ({"action": "vm_info", "hypervisor": "hv9"}, "hv9@xmpp.test/hv9 is not online"),
    ({"action": "vm_info", "hypervisor": "hv1@elsewhere"}, "cannot be the name of a contact"),
)


def test_what_a_contact_cannot_do_is_said_clearly(xmpp: t.Any) -> None:
    results = xmpp.play(*({COMMAND: arguments} for arguments, _complaint in REFUSED_COMMANDS))
    for (_arguments, complaint), result in zip(REFUSED_COMMANDS, results, strict=True):
        assert result["failed"]
        assert complaint in result["msg"]


def test_an_account_without_rights_finds_no_action(xmpp: t.Any) -> None:
    refused, unchanged = xmpp.play(
        {COMMAND: {"action": "vm_info", "xmpp_jid": "hv2@xmpp.test"}},
        {"archipel.orchestrator.vm": {"name": "test", "state": "destroyed", "xmpp_jid": "hv2@xmpp.test"}},
    )
    assert refused["failed"]
    assert unchanged["failed"]
    assert not unchanged["changed"]
    (now,) = xmpp.play({"archipel.orchestrator.vm_info": {"name": "test"}})
    assert now["vms"][0]["state"] == "running"
