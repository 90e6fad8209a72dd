# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a form offers where an argument names something on the host.

It is asked by the hypervisor's own actions, as a request of who fills the form in: nobody is offered what they may not
see. Where there is too much, or it takes too long, nothing is offered, and people write.
"""

from __future__ import annotations

import asyncio
import dataclasses
import typing as t

import slixmpp
from archipel.actions import Argument
from archipel.errors import ArchipelError

from ..dispatch import Dispatcher, Request
from ..entity import Entity, Result

MOST = 200
# Seconds for all lists of a form.
PATIENCE = 5.0

Choices = t.Mapping[str, t.Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Listing:
    """The action of the hypervisor that lists things of a kind, and their names in its result."""

    action: str
    names: t.Callable[[Result], t.Iterable[str]]
    arguments: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


def _machines(result: Result) -> t.Iterable[str]:
    """None of them when there are more, of which those may be that the asker sees."""
    return () if result["next"] else (vm["name"] for vm in result["vms"])


def _drives(result: Result) -> t.Iterable[str]:
    return (disk["target"] for vm in result["vms"] for disk in vm["disks"] if disk["device"] in ("cdrom", "floppy"))


def _names(key: str) -> t.Callable[[Result], t.Iterable[str]]:
    return lambda result: (row["name"] for row in result[key])


LISTINGS: t.Final = {
    "machine": Listing("vm_info", _machines, {"limit": MOST + 1}),
    "drive": Listing("vm_info", _drives),
    "snapshot": Listing("vm_snapshot_info", _names("snapshots")),
    "pool": Listing("pool_info", _names("pools")),
    "volume": Listing("volume_info", _names("volumes")),
    "network": Listing("network_info", _names("networks")),
    "nwfilter": Listing("nwfilter_info", _names("nwfilters")),
}


def decisive(arguments: t.Collection[Argument]) -> list[Argument]:
    """Those that have to be known before others can be offered anything."""
    owners = {argument.names.of for argument in arguments if argument.names}
    return [argument for argument in arguments if argument.name in owners]


async def choices(
    dispatch: Dispatcher,
    request: Request,
    host: Entity,
    arguments: t.Iterable[Argument],
    given: t.Mapping[str, str],
) -> Choices:
    """By argument, the names to choose from. ``request`` is the one that the form is for, ``given`` what is known."""
    machine = {"uuid": request.entity.key} if request.entity.kind == "machine" else {}
    found: dict[str, t.Sequence[str]] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            for argument in arguments:
                if argument.names is None:
                    continue
                owner = argument.names.of
                known = {owner: given[owner]} if owner in given else machine if owner == "name" else {}
                if known or not owner:
                    names = await _listed(
                        dispatch, request.who, request.door, host, LISTINGS[argument.names.kind], known
                    )
                    found.update({argument.name: names} if 0 < len(names) <= MOST else {})
    except TimeoutError:
        pass
    return found


async def _listed(
    dispatch: Dispatcher, who: slixmpp.JID, door: str, host: Entity, listing: Listing, known: t.Mapping[str, str]
) -> list[str]:
    # Who may not list them has done nothing wrong by opening a form, so there is nothing to refuse.
    if listing.action not in dispatch.visible(host, who):
        return []
    try:
        _action, result = await dispatch(Request(host, who, door, listing.action, {**listing.arguments, **known}))
    except ArchipelError:
        return []
    return list(dict.fromkeys(listing.names(result)))
