# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible on the lab: the inventory of its hosts, and the environment in which commands find everything."""

from __future__ import annotations

import json
import pathlib
import shlex
import sys
import typing as t

from .guest import guest
from .plan import HOSTS, REPOSITORY, STANDARD, XMPP_DOMAIN, Host, Lab
from .steps import LabError


def _there(lab: Lab) -> list[Host]:
    return [known for known in HOSTS if known.name in STANDARD or lab.disk(known).exists()]


def inventory(lab: Lab) -> dict[str, t.Any]:
    """The standard hosts and those that were made beside them, in the groups that the playbooks of the collection
    expect."""
    groups: dict[str, dict[str, t.Any]] = {}
    for known in _there(lab):
        for group in known.groups or ("bare",):
            groups.setdefault(group, {"hosts": {}})["hosts"][known.name] = {"ansible_host": lab.address(known)}
    variables = {
        "ansible_user": "root",
        "ansible_ssh_common_args": f"-F {lab.ssh_config}",
        "ansible_python_interpreter": "/usr/bin/python3",
        "archipel_domain": XMPP_DOMAIN,
        "lab_guest": str(guest(lab).directory),
        "lab_web1_address": lab.web1,
        "archipel_directory": str(lab.platform),
    }
    return {"all": {"vars": variables, "children": groups}}


def write_inventory(lab: Lab) -> None:
    lab.inventory.write_text(json.dumps(inventory(lab), indent=2))


def _collections(lab: Lab) -> pathlib.Path:
    """A tree in which Ansible finds this checkout as the collection."""
    tree = lab.state / "collections"
    link = tree / "ansible_collections/archipel/orchestrator"
    # The lab may have been made from another checkout, which may be gone.
    if not link.is_symlink() or link.readlink() != REPOSITORY:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(REPOSITORY)
    return tree


def environment(lab: Lab) -> dict[str, str]:
    """Variables for Ansible's commands and for ``lab.talk``; those of the account once site.yml has run."""
    variables = {
        "ANSIBLE_COLLECTIONS_PATH": str(_collections(lab)),
        "ANSIBLE_INVENTORY": str(lab.inventory),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(lab.ssh_sockets),
        "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_NOCOWS": "1",
    }
    password = lab.platform / "admin.password"
    if password.exists():
        # ansible's password lookup may write its salt behind the password.
        variables |= {
            "ARCHIPEL_JID": f"admin@{XMPP_DOMAIN}",
            "ARCHIPEL_PASSWORD": password.read_text().split()[0],
            "ARCHIPEL_HOST": ",".join(lab.address(one) for one in _there(lab) if "ejabberd" in one.groups),
            "ARCHIPEL_CA_FILE": str(lab.platform / "ca.pem"),
        }
    return variables


def tool(name: str) -> str:
    """A command of the virtual environment that this Python runs in."""
    path = pathlib.Path(sys.executable).parent / name
    if not path.exists():
        raise LabError(
            f"{path} is missing: run `make quickstart`, which makes a virtual environment with all it needs."
        )
    return str(path)


def write_environment(lab: Lab) -> pathlib.Path:
    """A file to be sourced by a shell, so that commands find the venv, the collection, the inventory, the account."""
    path = lab.state / "environment"
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment(lab).items()]
    lines += [f"PATH={shlex.quote(str(pathlib.Path(sys.executable).parent))}:$PATH\n", f"cd {REPOSITORY}\n"]
    path.touch(mode=0o600)
    path.write_text("".join(lines))
    return path
