# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of old, for hands on a hypervisor: ``archipel-initinstall``, ``archipel-tagnode``,
``archipel-rolesnode``, ``archipel-importvirtualmachine`` and ``archipel-testxmppserver``.

Each does what playbooks do by other ways, on the same code, and nothing the second time. What the agent's configuration
says need not be said again. Passwords are asked for, or come from a file or the environment; all users of a host can
read arguments. They end with 0, with 1 when something is wrong, with 2 when they were called wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import json
import logging
import os
import pathlib
import secrets
import typing as t

import slixmpp
from archipel.actions import nearest
from archipel.connection import Connection
from archipel.errors import ArchipelError, InvalidArgument, NotFound
from archipel.hypervisor import Hypervisor
from archipel.rights import ROLES, Role, unknown_permissions
from archipel.tags import bound
from slixmpp.exceptions import IqError, IqTimeout

from . import __version__, doctor
from .check import account
from .config import DEFAULT_FILE, Config, ConfigError, load
from .features import grants, index, peers
from .nodes import NODES, ensure
from .pubsub import PubSub
from .session import LoginFailed, Session

PASSWORD: t.Final = "ARCHIPEL_PASSWORD"
Work = t.Callable[[argparse.Namespace, Config], t.Coroutine[t.Any, t.Any, None]]


def initinstall(arguments: t.Sequence[str] | None = None) -> int:
    parser = _parser("archipel-initinstall", "Make the platform's pubsub nodes, or make them as they should be.")
    _as_administrator(parser)
    parser.add_argument(
        "--hypervisor",
        action="append",
        metavar="NAME",
        help="whose agent writes and reads them; again for each (default: this one and its peers)",
    )
    return _run(parser.parse_args(arguments), _initinstall)


async def _initinstall(options: argparse.Namespace, config: Config) -> None:
    named = [f"{name}@{config.xmpp.domain}" for name in options.hypervisor or ()]
    async with _administrator(options, config) as session:
        for node in NODES:
            done = await ensure(session, node, named or (config.xmpp.jid, *config.peers))
            print(f"{node.name}: {', '.join(done) or 'as it should be'}")


def rolesnode(arguments: t.Sequence[str] | None = None) -> int:
    parser = _parser("archipel-rolesnode", "List, tell, set and delete roles; make the node that they are in.")
    _as_administrator(parser)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("create", help="make the node, if it is not there")
    verbs.add_parser("list", help="all roles, those that are ready-made too")
    verbs.add_parser("get", help="what one gives, as JSON").add_argument("name")
    verbs.add_parser("delete", help="delete one").add_argument("name")
    verb = verbs.add_parser("set", help="make one, or make it another")
    verb.add_argument("name")
    verb.add_argument("permission", nargs="+", help="a permission, or an action")
    verb.add_argument("--description", default="", help="for people")
    return _run(parser.parse_args(arguments), _rolesnode)


async def _rolesnode(options: argparse.Namespace, config: Config) -> None:
    wanted = None
    if options.verb == "set":
        unknown_permissions(options.permission)
        told = {"permissions": options.permission, "description": options.description}
        wanted = Role.bind(options.name, told).as_data()
    elif options.verb == "delete" and options.name in ROLES:
        raise InvalidArgument(f"The role {options.name} is ready-made, and stays.")
    async with _administrator(options, config) as session:
        pubsub = PubSub(config.xmpp.domain, session)
        if options.verb == "create":
            (node,) = (node for node in NODES if node.name == grants.ROLES)
            print(f"{node.name}: {', '.join(await ensure(session, node, ())) or 'as it should be'}")
            return
        ready = {name: {"permissions": sorted(permissions)} for name, permissions in ROLES.items()}
        roles = {**await pubsub.payloads(grants.ROLES), **ready}
        if options.verb == "list":
            for name, role in sorted(roles.items()):
                print(f"{name}: {', '.join(role.get('permissions', ()))}")
        elif options.verb == "set" and roles.get(options.name) != wanted:
            await pubsub.publish(grants.ROLES, options.name, wanted)
            print(f"{options.name} is set.")
        elif options.verb == "delete" and options.name in roles:
            await pubsub.retract(grants.ROLES, options.name)
            print(f"{options.name} is deleted.")
        elif options.verb == "get":
            if options.name not in roles:
                raise NotFound(f"There is no role {options.name!r}.{nearest(options.name, roles)}")
            print(json.dumps(roles[options.name]))
        else:
            print(f"{options.name} is so already.")


def tagnode(arguments: t.Sequence[str] | None = None) -> int:
    parser = _parser(
        "archipel-tagnode",
        "List, tell and set the tags of machines and hypervisors. They have no node of their own any more: a machine's"
        " are in its metadata, and all are in the index.",
    )
    _as_administrator(parser)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="who has which, of the whole platform").add_argument("--tag", help="only who has it")
    verbs.add_parser("get", help="the tags of one, as JSON").add_argument("name")
    for verb, what in (("set", "these and no others"), ("add", "these too"), ("remove", "these no more")):
        made = verbs.add_parser(verb, help=f"have {what}")
        made.add_argument("name", help="a machine, or a hypervisor")
        made.add_argument("tag", nargs="*" if verb == "set" else "+")
    return _run(parser.parse_args(arguments), _tagnode)


async def _tagnode(options: argparse.Namespace, config: Config) -> None:
    async with _administrator(options, config) as session:
        # What cannot be read is no reason not to tell of the others.
        items = [item for item in (await PubSub(config.xmpp.domain, session).payloads(index.NODE)).values() if item]
        if options.verb == "list":
            for item in sorted(items, key=lambda item: (item["kind"], item["name"])):
                if options.tag in (None, *item["tags"]):
                    print(f"{item['kind']} {item['name']}: {', '.join(item['tags'])}")
            return
        meant = [item for item in items if options.name in (item["name"], item.get("uuid"))]
        if len(meant) != 1:
            known = nearest(options.name, [item["name"] for item in items])
            why = f"There are several that are called {options.name!r}: give a UUID." if meant else ""
            raise NotFound(why or f"There is no machine and no hypervisor {options.name!r}.{known}")
        (item,) = meant
        if options.verb == "get":
            print(json.dumps(item["tags"]))
            return
        hypervisor = item.get("hypervisor", item["name"])
        request = {"tags": list(bound(options.tag)), "tags_mode": options.verb}
        action = "vm_tags" if item["kind"] == "machine" else "hypervisor_tags"
        request |= {"uuid": item["uuid"]} if item["kind"] == "machine" else {}
        at = slixmpp.JID(f"{hypervisor}@{config.xmpp.domain}/{hypervisor}")
        result = await peers.ask(session, at, action, request)
        print(f"{item['name']} is {'tagged' if result['changed'] else 'so already'}.")


def importvirtualmachine(arguments: t.Sequence[str] | None = None) -> int:
    parser = _parser(
        "archipel-importvirtualmachine",
        "Adopt machines of this hypervisor that were made by other means. They and the agent run on.",
    )
    parser.add_argument("name", help="a machine, or a pattern like 'legacy*'; '*' is all")
    parser.add_argument("--release", action="store_true", help="the reverse: let them go")
    parser.add_argument("--check", action="store_true", help="only say what it would do")
    return _run(parser.parse_args(arguments), _importvirtualmachine)


async def _importvirtualmachine(options: argparse.Namespace, config: Config) -> None:
    state = "absent" if options.release else "present"
    with Connection(config.libvirt.uri) as connection:
        print(Hypervisor(connection).vm_import(name=options.name, state=state, check=options.check)["msg"])


def testxmppserver(arguments: t.Sequence[str] | None = None) -> int:  # noqa: PT028 (no test)
    parser = _parser(
        "archipel-testxmppserver",
        "Say whether the XMPP server does what a platform needs: TLS, accounts, contact lists, pubsub. An account is"
        " registered for it, and removed.",
    )
    parser.add_argument("--json", action="store_true", help="for programs: an object on each line")
    options = parser.parse_args(arguments)
    logging.disable()
    return asyncio.run(doctor.tell(doctor.examine(options.config, doctor.OF_THE_SERVER), as_json=options.json))


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(name, description=description)
    parser.add_argument("--config", type=pathlib.Path, default=DEFAULT_FILE, help="the agent's (default: %(default)s)")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _as_administrator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jid", help="the administrator's account (default: the first of the agent's configuration)")
    parser.add_argument(
        "--password-file", type=pathlib.Path, help=f"where its password is (default: ${PASSWORD}, or it is asked for)"
    )


@contextlib.asynccontextmanager
async def _administrator(options: argparse.Namespace, config: Config) -> t.AsyncIterator[Session]:
    if not (options.jid or config.administrators):
        raise InvalidArgument("The agent's configuration names no administrator: give --jid.")
    jid = options.jid or config.administrators[0]
    if options.password_file:
        password = options.password_file.read_text().strip()
    else:
        password = os.environ.get(PASSWORD) or getpass.getpass(f"Password of {jid}: ")
    session = account(config, f"command-{secrets.token_hex(4)}", jid, lambda: password)
    await session.log_in()
    try:
        yield session
    finally:
        await session.close()


def _run(options: argparse.Namespace, work: Work) -> int:
    # The session tells what is wrong by its exceptions.
    logging.disable()
    try:
        asyncio.run(work(options, load(options.config)))
    except ArchipelError as error:
        return _failed(error.message)
    except (ConfigError, LoginFailed, OSError) as error:
        return _failed(str(error))
    except IqTimeout:
        return _failed("The server does not answer.")
    except IqError as error:
        return _failed(f"The server refuses that to this account: {error.format()}.")
    return 0


def _failed(why: str) -> int:
    print(why)
    return 1
