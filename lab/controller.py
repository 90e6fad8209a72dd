# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own XMPP client on a platform of the lab, without Ansible around it."""

from __future__ import annotations

import importlib
import sys
import typing as t

from .environment import environment
from .plan import Lab


def part(lab: Lab, name: str) -> t.Any:
    """A module of the collection's plugins, as ``module_utils.archipel.errors``."""
    tree = environment(lab)["ANSIBLE_COLLECTIONS_PATH"]
    if tree not in sys.path:
        sys.path.insert(0, tree)
    return importlib.import_module(f"ansible_collections.archipel.orchestrator.plugins.{name}")


def client(lab: Lab, resource: str) -> t.Any:
    """The administrator's, who knows all servers, under that resource."""
    settings, xmpp = environment(lab), part(lab, "plugin_utils.xmpp")
    account = xmpp.Account(
        f"{settings['ARCHIPEL_JID']}/{resource}",
        settings["ARCHIPEL_PASSWORD"],
        tuple(settings["ARCHIPEL_HOST"].split(",")),
        5222,
        settings["ARCHIPEL_CA_FILE"],
    )
    return xmpp.Client(account)
