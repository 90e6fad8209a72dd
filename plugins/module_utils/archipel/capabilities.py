# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a host can, for one kind of machine: virConnectGetDomainCapabilities."""

from __future__ import annotations

import typing as t

from . import xmltree

# Where the document has no enumeration for what can stand somewhere.
_CPU_MODE, _CPU_MODEL = "cpu/mode", "cpu/model"


class Capabilities:
    """A host's answer for one emulator, architecture, machine type and kind of virtualisation."""

    def __init__(self, node: t.Any) -> None:
        self.node = node

    def values(self, path: str) -> t.Collection[str] | None:
        """The values of an enumeration like ``devices/video/modelType``, or of ``cpu/mode`` and ``cpu/model``. None
        where this libvirt does not tell, nothing where the host has no such thing."""
        if path in (_CPU_MODE, _CPU_MODEL):
            return self._cpu(path)
        place, _slash, name = path.rpartition("/")
        holder = self.node.find(place)
        if holder is None:
            return None
        if holder.get("supported") == "no":
            return ()
        found = next((enum for enum in holder.iterchildren("enum") if enum.get("name") == name), None)
        return None if found is None else [value.text for value in found.iterchildren("value")]

    def _cpu(self, path: str) -> t.Collection[str] | None:
        modes = [mode for mode in self.node.iterfind("cpu/mode") if mode.get("supported") == "yes"]
        if not modes:
            return None
        if path == _CPU_MODE:
            return [mode.get("name") for mode in modes]
        return [model.text for mode in modes if mode.get("name") == "custom" for model in mode.iterchildren("model")]

    @property
    def machine(self) -> str | None:
        """The canonical machine type."""
        return xmltree.read(self.node, "machine")
