# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What libvirt keeps for machines and pools: passphrases of volumes, keys of Ceph and iSCSI, state of TPMs.

A value goes in and never comes out again: it is in no result, change, event or log.
"""

from __future__ import annotations

import base64
import binascii
import typing as t

from . import xmltree
from .actions import SECRET, Result, Secret, action
from .connection import doing, libvirt
from .elements import Attribute, Change, Element
from .errors import Conflict, InvalidArgument
from .host import Check, Host, canonical_uuid
from .plan import Plan

# Where the XML has the id of what a secret is for, and virSecretUsageType.
_USAGES: t.Final = {"volume": ("volume", 1), "ceph": ("name", 2), "iscsi": ("target", 3), "tls": ("name", 4),
                    "vtpm": ("name", 5)}  # fmt: skip
ELEMENT: t.Final = Element(
    "secret",
    (
        Attribute("ephemeral", "@ephemeral", "Whether it is kept in memory only.", bool),
        Attribute("private", "@private", "Whether nobody may read its value.", bool),
        Attribute("description", "description", "What it is for."),
    ),
)

UsageType = t.Literal["volume", "ceph", "iscsi", "tls", "vtpm"]


class Secrets(Host):
    """What can be asked of a hypervisor about secrets."""

    @action(permission="secret", changes=True, says="{msg}", concerns="secret")
    def secret(
        self,
        *,
        uuid: t.Annotated[t.Optional[str], "UUID of the secret."] = None,
        usage_type: t.Annotated[t.Optional[UsageType], "Kind of what it is for."] = None,
        usage: t.Annotated[
            t.Optional[str], "What it is for: the path of a volume, or the name by which others refer to it."
        ] = None,
        state: t.Annotated[t.Literal["present", "absent"], "Whether there is to be such a secret."] = "present",
        description: t.Annotated[t.Optional[str], "A description."] = None,
        ephemeral: t.Annotated[t.Optional[bool], "Kept in memory only, until libvirt restarts."] = None,
        private: t.Annotated[
            t.Optional[bool], "Nobody may read the value, neither over libvirt. Cannot be changed later."
        ] = None,
        value: t.Annotated[t.Optional[str], "The secret itself.", SECRET] = None,
        encoding: t.Annotated[
            t.Literal["text", "base64"], "How O(value) is written. Keys of Ceph are V(base64)."
        ] = "text",
        update_value: t.Annotated[
            t.Literal["always", "on_create"],
            "V(on_create) sets the value of a new secret only. With V(always) the value of a private secret, which"
            " cannot be compared, is set at each run, and told as a change.",
        ] = "always",
        check: Check = False,
    ) -> Result:
        """Keep a secret for machines and pools. Its value is never told again."""
        if (usage_type is None) != (usage is None):
            raise InvalidArgument("usage_type and usage go together.")
        if uuid is None and usage is None:
            raise InvalidArgument("Name the secret: give its uuid, or its usage_type and usage.")
        work = _Work(self, canonical_uuid(uuid) if uuid else None, usage_type, usage)
        if state == "absent":
            work.plan_removal()
        else:
            named = {"description": description, "ephemeral": ephemeral, "private": private}
            work.plan_definition({key: wanted for key, wanted in named.items() if wanted is not None})
            if value is not None:
                work.plan_value(value, _decoded(value, encoding), always=update_value == "always")
        if not check:
            work.plan.run()
        return work.result(check=check)


def _decoded(value: str, encoding: str) -> bytes:
    if encoding == "text":
        return value.encode()
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument("value: it is not base64; encode it, or leave encoding out.") from None


class _Work:
    """One secret on its way to what was asked."""

    def __init__(self, host: Host, uuid: str | None, usage_type: str | None, usage: str | None) -> None:
        self.handle = host.connection.handle
        self.plan = Plan()
        self.uuid, self.usage_type, self.usage = uuid, usage_type, usage
        self.secret = self._find()
        self.new = self.secret is None

    def _find(self) -> t.Any:
        by_uuid = _lookup(self.handle.secretLookupByUUIDString, self.uuid) if self.uuid else None
        by_usage = None
        if self.usage_type:
            by_usage = _lookup(self.handle.secretLookupByUsage, _USAGES[self.usage_type][1], self.usage)
        if self.uuid and by_usage is not None and by_usage.UUIDString() != self.uuid:
            raise Conflict(
                f"The secret for {self.usage_type} {self.usage} has the UUID {by_usage.UUIDString()}, not {self.uuid};"
                " give one of them."
            )
        if by_uuid is not None and self.usage_type and by_usage is None:
            raise Conflict(f"The secret {self.uuid} is for something else, which cannot be changed; remove it first.")
        return by_uuid or by_usage

    @property
    def who(self) -> str:
        return f"The secret {self.uuid or f'for {self.usage_type} {self.usage}'}"

    def plan_definition(self, named: dict[str, t.Any]) -> None:
        if self.secret is None:
            node = xmltree.element("secret")
            if self.uuid:
                xmltree.write(node, "uuid", self.uuid)
            if self.usage_type:
                xmltree.write(node, "usage/@type", self.usage_type)
                xmltree.write(node, f"usage/{_USAGES[self.usage_type][0]}", self.usage)
            ELEMENT.write(node, named)
            changes = [Change("state", "absent", "present"), *(Change(key, None, new) for key, new in named.items())]
        else:
            node = self._document()
            changes = ELEMENT.compare(node, named)
            for change in changes:
                if change.path == "private":
                    raise Conflict(f"{self.who} cannot be changed from private: {bool(change.old)}; remove it first.")
            ELEMENT.write(node, {change.path: change.new for change in changes})
        if changes:
            # A new one would be of no use without its value.
            self.plan.add(changes, lambda: self._define(node), self._remove if self.new else None)

    def _define(self, node: t.Any) -> None:
        with doing(f"Define {self.who}"):
            self.secret = self.handle.secretDefineXML(xmltree.serialise(node))

    def plan_value(self, written: str, value: bytes, *, always: bool) -> None:
        old = None
        if not self.new:
            if not always:
                return
            old = self._value()
            if old == value:
                return

        def run() -> None:
            with doing(f"Set the value of {self.who}"):
                self.secret.setValue(value, 0)

        self.plan.add([Change("value", None if old is None else Secret(""), Secret(written))], run)

    def _value(self) -> bytes | None:
        """None where there is none yet; of a private one nothing that any value would be equal to."""
        with doing(f"Look at {self.who}"):
            try:
                return t.cast(bytes, self.secret.value(0))
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_SECRET:
                    return None
                if error.get_error_code() == libvirt.VIR_ERR_INVALID_SECRET:
                    return b""
                raise

    def plan_removal(self) -> None:
        if self.secret is None:
            return

        self.plan.add([Change("state", "present", "absent")], self._remove)

    def _remove(self) -> None:
        with doing(f"Remove {self.who}"):
            self.secret.undefine()
        self.secret = None

    def _document(self) -> t.Any:
        with doing(f"Look at {self.who}"):
            return xmltree.parse_trusted(self.secret.XMLDesc())

    def result(self, *, check: bool) -> Result:
        described: Result = {"uuid": self.uuid, "usage_type": self.usage_type, "usage": self.usage, "state": "absent"}
        if self.secret is not None:
            node = self._document()
            kind = xmltree.read(node, "usage/@type")
            described = {
                "uuid": xmltree.read(node, "uuid"),
                "usage_type": kind,
                "usage": xmltree.read(node, f"usage/{_USAGES[kind][0]}") if kind in _USAGES else None,
                "state": "present",
                **ELEMENT.read(node),
            }
        return {**self.plan.result(self.who, check=check), "secret": described}


def _lookup(function: t.Callable[..., t.Any], *key: t.Any) -> t.Any:
    with doing("Look for the secret"):
        try:
            return function(*key)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
                raise
            return None
