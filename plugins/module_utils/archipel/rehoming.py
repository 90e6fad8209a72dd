# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Re-homing, on the hypervisor that was taken for dead: what of its machines is left to it, and what is not."""

from __future__ import annotations

import typing as t

from .connection import doing, libvirt
from .lifecycle import ACTIVE
from .machine import Machine

if t.TYPE_CHECKING:
    from .host import Host


def give_up(machine: Machine) -> None:
    """Turn a machine off at once that is another hypervisor's by now, and forget it. No volume of it is touched: on
    shared storage they are the other one's."""
    if machine.status[0] in (*ACTIVE, "crashed"):
        machine.destroy(wait=True)
    machine.undefine(keep_nvram=True, keep_tpm=True)


def to_start(host: Host) -> list[Machine]:
    """The machines that would have started with the host and have not."""
    flags = libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART | libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE
    with doing(f"List the machines of {host.name}"):
        return [Machine(host, domain) for domain in host.connection.handle.listAllDomains(flags)]
