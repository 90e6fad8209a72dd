# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets, on libvirt's own driver of them."""

from __future__ import annotations

import base64
import json
import typing as t

import libvirt
import pytest
from archipel.errors import Conflict, InvalidArgument, Unsupported
from archipel.hypervisor import ACTIONS
from archipel.secrets import ELEMENT

Run = t.Callable[..., dict[str, t.Any]]
CEPH: t.Final = {"usage_type": "ceph", "usage": "client.hv1"}
VALUE: t.Final = "correct horse battery staple"


def kept(daemon: t.Any, uuid: str) -> bytes:
    connection = libvirt.open(f"secret+unix:///session?socket={daemon.socket}")
    return t.cast(bytes, connection.secretLookupByUUIDString(uuid).value(0))


def test_a_secret_comes_changes_and_goes(vault: Run) -> None:
    """Check mode tells what the run does, a second run does nothing, and nobody is told the value."""
    for asked in (
        {"description": "for Ceph", "value": VALUE},
        {"description": "for our Ceph", "value": f"{VALUE}!"},
        {"state": "absent"},
    ):
        told, done = vault(**CEPH, **asked, check=True), vault(**CEPH, **asked)
        assert told["changed"]
        assert (told["changes"], told["diff"]) == (done["changes"], done["diff"])
        assert not vault(**CEPH, **asked, check=True)["changed"]
        assert not vault(**CEPH, **asked)["changed"]
        assert VALUE not in json.dumps([told, done])


def test_a_value_is_kept_as_it_is_given(vault: Run, daemon: t.Any) -> None:
    uuid = vault(**CEPH, value=VALUE)["secret"]["uuid"]
    assert kept(daemon, uuid) == VALUE.encode()
    key = bytes(range(32))
    assert vault(**CEPH, value=base64.b64encode(key).decode(), encoding="base64")["changed"]
    assert kept(daemon, uuid) == key


def test_a_private_value_is_set_at_each_run_unless_told_otherwise(vault: Run) -> None:
    """It cannot be read, and so not be compared."""
    asked = {**CEPH, "private": True, "value": VALUE}
    vault(**asked)
    again = vault(**asked)
    assert [(change["path"], change["old"], change["new"]) for change in again["changes"]] == [
        ("value", "(hidden)", "(hidden)")
    ]
    assert not vault(**asked, update_value="on_create")["changed"]


def test_a_secret_without_a_value_gets_one(vault: Run) -> None:
    vault(**CEPH)
    assert vault(**CEPH, value=VALUE)["changes"] == [
        {"path": "value", "old": None, "new": "(hidden)", "scope": "config"}
    ]
    assert not vault(**CEPH, value="another", update_value="on_create")["changed"]


@pytest.mark.parametrize("usage_type", ["volume", "ceph", "iscsi", "tls", "vtpm"])
def test_every_usage_is_told(vault: Run, usage_type: str) -> None:
    told = vault(usage_type=usage_type, usage="/srv/x", ephemeral=True)["secret"]
    assert (told["usage_type"], told["usage"], told["ephemeral"], told["private"]) == (
        usage_type,
        "/srv/x",
        True,
        False,
    )
    by_uuid = vault(uuid=told["uuid"], description="found by its UUID")
    assert (by_uuid["secret"]["usage"], by_uuid["changes"][0]["path"]) == ("/srv/x", "description")


def test_a_new_secret_gets_the_uuid_that_is_asked(vault: Run) -> None:
    uuid = "00000000-0000-4000-8000-000000000001"
    assert vault(uuid=uuid.upper(), **CEPH)["secret"]["uuid"] == uuid
    with pytest.raises(Conflict, match=f"has the UUID {uuid}, .*; give one of them"):
        vault(uuid="00000000-0000-4000-8000-000000000002", **CEPH)
    with pytest.raises(Conflict, match="is for something else"):
        vault(uuid=uuid, usage_type="tls", usage="x")


def test_every_attribute_is_compared(vault: Run) -> None:
    vault(**CEPH)
    for attribute in ELEMENT.attributes:
        value = "text" if attribute.type is str else True
        if attribute.key == "private":
            with pytest.raises(Conflict, match="cannot be changed from private: False; remove it"):
                vault(**CEPH, private=True)
            continue
        changes = vault(**CEPH, **{attribute.key: value})["changes"]
        assert [(change["path"], change["new"]) for change in changes] == [(attribute.key, value)]


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({}, "give its uuid"),
        ({"usage": "x"}, "go together"),
        ({"usage_type": "tls"}, "go together"),
        ({"usage_type": "nfs", "usage": "x"}, "volume"),
        ({**CEPH, "value": VALUE, "encoding": "base64"}, "it is not base64; encode it"),
        ({**CEPH, "value": [VALUE]}, "is not of type str"),
    ],
)
def test_what_cannot_be_is_refused_without_telling_the_value(
    vault: Run, asked: dict[str, t.Any], complaint: str
) -> None:
    with pytest.raises(InvalidArgument, match=complaint) as failure:
        vault(**asked)
    assert VALUE not in failure.value.message


def test_a_driver_without_secrets_says_so(run: Run) -> None:
    with pytest.raises(Unsupported, match="not supported by the connection driver"):
        run("secret", **CEPH)


def test_the_value_is_declared_as_secret() -> None:
    assert [argument.name for argument in ACTIONS["secret"].arguments if argument.secret] == ["value"]
