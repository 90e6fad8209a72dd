# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What can go wrong, as one tree.

An error names the thing, what was wrong with it and what to do. It knows nothing of the door through which
the request came; each door translates ``code`` into its own terms.

    ArchipelError
    ├── InvalidRequest          the asker's mistake; nothing was changed
    │   ├── UnknownAction
    │   ├── InvalidArgument
    │   └── InvalidDefinition
    ├── NotFound                the thing named is not here
    ├── Forbidden               the asker may not
    ├── Conflict                the thing is in a state that does not allow it
    ├── Unsupported             this host, driver or version cannot do it
    ├── Unavailable             something needed cannot be reached
    │   └── LibvirtMissing
    ├── WaitTimeout             it was asked for and did not happen in time
    └── OperationFailed         it was tried and failed
"""

from __future__ import annotations

import typing as t


class ArchipelError(Exception):
    """Base of every expected error.

    ``changes`` lists what had been changed before the failure, in the shape of a result's ``changes``; ``vms``, where
    many machines were concerned, what became of each, in that of a result's ``vms``.
    """

    code: t.ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        changes: t.Iterable[t.Mapping[str, t.Any]] = (),
        vms: t.Iterable[t.Mapping[str, t.Any]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.changes = [dict(change) for change in changes]
        self.vms = [dict(vm) for vm in vms]

    def as_data(self) -> dict[str, t.Any]:
        """``{code, msg, changes}``, and ``vms`` where there are any: the form in which an error crosses the wire."""
        told = {"code": self.code, "msg": self.message, "changes": self.changes}
        return {**told, "vms": self.vms} if self.vms else told


class InvalidRequest(ArchipelError):
    code = "invalid_request"


class UnknownAction(InvalidRequest):
    code = "unknown_action"


class InvalidArgument(InvalidRequest):
    code = "invalid_argument"


class InvalidDefinition(InvalidRequest):
    code = "invalid_definition"


class NotFound(ArchipelError):
    code = "not_found"


class Forbidden(ArchipelError):
    code = "forbidden"


class Conflict(ArchipelError):
    code = "conflict"


class Unsupported(ArchipelError):
    code = "unsupported"


class Unavailable(ArchipelError):
    code = "unavailable"


class LibvirtMissing(Unavailable):
    code = "libvirt_missing"


class WaitTimeout(ArchipelError):
    code = "wait_timeout"


class OperationFailed(ArchipelError):
    code = "operation_failed"


def _tree(base: type[ArchipelError]) -> t.Iterator[type[ArchipelError]]:
    yield base
    for child in base.__subclasses__():
        yield from _tree(child)


def from_data(untrusted: t.Any) -> ArchipelError:
    """The error that ``as_data`` described; a code of a newer version becomes ``OperationFailed``."""
    data = untrusted if isinstance(untrusted, dict) else {}
    # Others may derive further kinds; these have the code of the kind that they are.
    kinds = {kind.code: kind for kind in _tree(ArchipelError) if "code" in vars(kind)}
    kind = kinds.get(str(data.get("code")), OperationFailed)
    return kind(
        str(data.get("msg") or "No reason was given."),
        changes=_dicts(data.get("changes")),
        vms=_dicts(data.get("vms")),
    )


def _dicts(untrusted: t.Any) -> list[dict[str, t.Any]]:
    return [each for each in untrusted if isinstance(each, dict)] if isinstance(untrusted, list) else []
