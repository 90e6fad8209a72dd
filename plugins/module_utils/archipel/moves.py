# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Where the machines of a hypervisor are to be.

Apart from ``machines.py``, whose modules would bring all that a move needs to the host and compile it there: a third of
what they are.
"""

from __future__ import annotations

import typing as t

from . import migration
from .actions import NO_PROGRESS, OfMachine, Progress, Result, action
from .errors import NotFound
from .host import Check, Host, Name, Uuid, canonical_uuid


class Moves(Host):
    """What can be asked of a hypervisor about the place of its machines."""

    @action(
        permission="migrate",
        changes=True,
        long=True,
        says="{msg}",
        # Whatever libvirt it may name, and what of the destination it may name.
        reaches=lambda given: any(given.get(key) for key in ("destination_uri", "storage_map", "network_map")),
        of_machine=OfMachine(
            "migrate",
            phrases=(
                "migrate to {destination}",
                "move to {destination}",
                "migrate to {destination} copying {copy_storage}",
                "move to {destination} copying {copy_storage}",
            ),
            # A plan, and a move that was found out afterwards, have no time that it took.
            says=lambda r: (
                f"I have moved from {r['source']} to {r['destination']}, in {r['elapsed']:.1f} s."
                if "elapsed" in r
                else r["msg"]
            ),
        ),
    )
    def vm_migrate(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        destination: migration.Destination = None,
        destination_uri: migration.DestinationUri = None,
        live: migration.Live = True,
        copy_storage: migration.CopyStorage = "none",
        bandwidth: migration.Bandwidth = None,
        max_downtime: migration.MaxDowntime = None,
        tls: migration.Tls = None,
        undefine_source: migration.UndefineSource = True,
        wait_timeout: migration.WaitTimeout = migration.WAIT_TIMEOUT,
        auto_converge: migration.AutoConverge = False,
        post_copy: migration.PostCopy = False,
        parallel_connections: migration.ParallelConnections = None,
        storage_map: migration.StorageMap = None,
        network_map: migration.NetworkMap = None,
        snapshots: migration.SnapshotsThen = "refuse",
        media: migration.MediaThen = "keep",
        remove_source_volumes: migration.RemoveSourceVolumes = "none",
        check: Check = False,
        progress: Progress = NO_PROGRESS,
    ) -> Result:
        """Move a machine of this hypervisor to another one. Where it is there already, nothing changes."""
        move = migration.Move(
            destination,
            destination_uri,
            live,
            copy_storage,
            bandwidth,
            max_downtime,
            tls,
            undefine_source,
            wait_timeout,
            auto_converge,
            post_copy,
            parallel_connections,
            storage_map or {},
            network_map or {},
            snapshots,
            media,
            remove_source_volumes,
        )
        machine = self.find(name=name, uuid=uuid)
        if machine is not None:
            return migration.migrate(machine, move, check=check, progress=progress)
        if destination == self.name:
            return migration.already(self.machine(name, uuid))
        there = migration.look(move, self.peers, t.cast(str, name or uuid), canonical_uuid(uuid) if uuid else None)
        if not there["present"]:
            raise NotFound(
                f"There is no machine {name or uuid!r}, neither on {self.name} nor on {there['hypervisor']}."
            )
        vm = {"name": name, "uuid": uuid, "hypervisor": there["hypervisor"], "state": there["state"]}
        return migration.unchanged(vm)
