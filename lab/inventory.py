# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's inventory of the lab."""

from __future__ import annotations

import json
import typing as t

from .plan import HOSTS, REPOSITORY, Lab


def content(lab: Lab) -> dict[str, t.Any]:
    """All hosts that the lab knows, in the groups that the playbooks of the collection expect."""
    groups: dict[str, dict[str, t.Any]] = {}
    for host in HOSTS:
        for group in host.groups or ("bare",):
            groups.setdefault(group, {"hosts": {}})["hosts"][host.name] = {"ansible_host": lab.address(host)}
    connection = {
        "ansible_user": "root",
        "ansible_ssh_common_args": f"-F {lab.ssh_config}",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return {"all": {"vars": connection, "children": groups}}


def write(lab: Lab) -> None:
    """A directory to be given to ``ansible-playbook -i``: the hosts, and the lab's variables beside them."""
    lab.inventory.mkdir(exist_ok=True)
    (lab.inventory / "hosts.json").write_text(json.dumps(content(lab), indent=2))
    variables = lab.inventory / "group_vars"
    if not variables.is_symlink():
        variables.symlink_to(REPOSITORY / "lab" / "group_vars")
