# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two XMPP servers that keep their data in one PostgreSQL, Debian's on a third host, in a lab of their own.

Each test needs those before it.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import typing as t

import pytest

from lab import lifecycle
from lab.environment import environment
from lab.plan import XMPP_DOMAIN, Lab, host
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

SERVERS: t.Final = ("xmpp1", "xmpp2")
NODES: t.Final = [f"ejabberd@{name}" for name in SERVERS]
PASSWORD: t.Final = "only of this test"
# As docs/operating.md tells it, and a database that is no good.
DATABASE: t.Final = f"""
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends postgresql
cd /etc/postgresql/*/main
key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 1'
openssl req -x509 $key -keyout ca.key -out ca.pem -subj '/CN=authority of databases'
openssl req -x509 $key -keyout bare1.key -out bare1.pem -subj /CN=bare1 -addext basicConstraints=CA:FALSE \\
    -addext subjectAltName=IP:$(hostname -i) -CA ca.pem -CAkey ca.key
chown postgres bare1.key
cat >> postgresql.conf <<X
listen_addresses = '*'
ssl_cert_file = '$PWD/bare1.pem'
ssl_key_file = '$PWD/bare1.key'
X
echo 'hostssl all ejabberd samenet scram-sha-256' >> pg_hba.conf
systemctl restart postgresql
cd /
su postgres -c 'psql --quiet' <<'X'
CREATE ROLE ejabberd LOGIN PASSWORD '{PASSWORD}';
CREATE DATABASE ejabberd OWNER ejabberd ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE latin OWNER ejabberd ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
X
"""
REFUSED: t.Final = {
    "Connection refused": {"ejabberd_sql_port": 1},
    "password authentication failed": {"ejabberd_sql_password": "another"},
    "its encoding is LATIN1, not UTF8": {"ejabberd_sql_database": "latin"},
}
# Mnesia's names for what is in the database instead.
TABLES: t.Final = ("passwd", "roster", "sr_group", "sr_user", "pubsub_node", "pubsub_state", "pubsub_item")


class Platform(Story):
    """The story of a platform whose servers are told of a database."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.variables = lab.state / "database.json"

    def site(self, *arguments: str) -> dict[str, int]:
        return super().site("--extra-vars", f"@{self.variables}", *arguments)

    def have(self) -> list[bool]:
        """Whether a machine with its contact, a right and a group were yet to be made."""
        account = environment(self.lab)
        who = {"xmpp_jid": account["ARCHIPEL_JID"], "xmpp_password": account["ARCHIPEL_PASSWORD"]}
        collection = "archipel.orchestrator"
        right = {"name": "eve-sees", "jid": f"eve@{XMPP_DOMAIN}", "role": "viewer", "scope": {"platform": True}}
        made = [
            self.module("hv1", f"{collection}.vm", via="xmpp", name="kept1", type="qemu", memory=64),
            self.module("hv1", f"{collection}.permission", **right),
            self.module("xmpp1", f"{collection}.xmpp_group", name="people", members=["admin"], **who),
        ]
        return [one["changed"] for one in made]


@pytest.fixture(scope="module")
def on_sql(lab: Lab) -> t.Iterator[Platform]:
    first, second, third = lab.network.split(".")
    own = dataclasses.replace(lab, name=f"{lab.name[:2]}sq", network=f"{first}.{second}.{int(third) ^ 32}")
    lifecycle.down(own)
    lifecycle.up(own, [host(name) for name in (*SERVERS, "hv1", "bare1")])
    yield prepared(Platform(own))
    lifecycle.down(own)


def prepared(platform: Platform) -> Platform:
    """With a database, and what the servers are to be told of it."""
    platform.on("bare1", DATABASE)
    authority = platform.lab.state / "database.pem"
    authority.write_text(platform.on("bare1", "cat /etc/postgresql/*/main/ca.pem"))
    variables = {
        "ejabberd_sql_type": "pgsql",
        "ejabberd_sql_server": "bare1",
        "ejabberd_sql_password": PASSWORD,
        "ejabberd_sql_ssl_cafile": str(authority),
    }
    platform.variables.write_text(json.dumps(variables))
    return platform


def test_a_database_that_cannot_be_used_is_refused_with_a_remedy(on_sql: Platform, tmp_path: pathlib.Path) -> None:
    variables = json.loads(on_sql.variables.read_text())
    role = {"name": "archipel.orchestrator.ejabberd"}
    note = {"ansible.builtin.set_fact": {"told": "{{ told | default([]) + [ansible_failed_result.msg] }}"}}
    tries = [
        {
            "block": [{"ansible.builtin.include_role": {**role, "tasks_from": "database"}, "vars": variables | wrong}],
            "rescue": [note],
        }
        for wrong in REFUSED.values()
    ]
    answers = tmp_path / "answers.json"
    tasks = [
        {"ansible.builtin.include_role": {**role, "tasks_from": "install"}, "vars": variables},
        *tries,
        {"ansible.builtin.copy": {"content": "{{ told | to_json }}", "dest": str(answers)}, "delegate_to": "localhost"},
    ]
    play = tmp_path / "play.json"
    play.write_text(json.dumps([{"hosts": "xmpp1", "gather_facts": False, "tasks": tasks}]))
    on_sql.playbook(str(play))
    for told, why in zip(json.loads(answers.read_text()), REFUSED, strict=True):
        assert why in told
        assert "--owner=ejabberd --encoding=UTF8" in told
        assert PASSWORD not in told


def test_two_servers_are_applied(on_sql: Platform) -> None:
    changed = on_sql.site("--limit", "xmpp1,xmpp2,hv1")
    assert all(changed[name] > 0 for name in (*SERVERS, "hv1"))
    for name in SERVERS:
        assert sorted(on_sql.on(name, "ejabberdctl list_cluster").split()) == NODES
        assert on_sql.on(name, "stat --format '%a %U:%G' /etc/ejabberd/sql.yml") == "640 root:ejabberd"


def test_applied_again_nothing_changes(on_sql: Platform) -> None:
    assert not any(on_sql.site("--limit", ",".join(SERVERS)).values())


def test_what_the_platform_keeps_is_not_in_mnesia(on_sql: Platform) -> None:
    assert on_sql.have() == [True, True, True]
    for name in SERVERS:
        assert not {*TABLES} & {*re.findall(r"\w+", on_sql.on(name, "ejabberdctl mnesia_info"))}


def test_servers_made_anew_have_it_all(on_sql: Platform) -> None:
    contact = on_sql.contact("kept1")
    for name in reversed(SERVERS):
        on_sql.on(name, "systemctl stop ejabberd && find /var/lib/ejabberd -mindepth 1 -delete")
    on_sql.site("--limit", ",".join(SERVERS))
    for name in SERVERS:
        assert sorted(on_sql.on(name, "ejabberdctl list_cluster").split()) == NODES
    who, answer = on_sql.says("kept1", "how are you")
    assert who == contact
    assert answer.startswith("I am kept1.")
    assert on_sql.says("hv1", "how are you")[1].startswith("I am hv1")
    assert on_sql.have() == [False, False, False]
