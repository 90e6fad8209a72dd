# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of a machine's screen, brought to the controller."""

from __future__ import annotations

import base64
import pathlib
import typing as t

from ..module_utils._arguments import SCREENSHOT
from .hypervisor import HypervisorAction


class Screenshot(HypervisorAction):
    """Writes the picture where ``dest`` says, after either way has brought it."""

    def module_options(self) -> t.Mapping[str, t.Any]:
        return {**super().module_options(), **SCREENSHOT}

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        dest = self._task.args.get("dest")
        seen = result.get("screenshot")
        if not seen:
            return result
        seen["dest"] = None
        if dest and not result.get("failed"):
            file = pathlib.Path(self._loader.path_dwim(dest))
            try:
                result["changed"] = self._write(file, base64.b64decode(seen["image"]))
            except OSError as error:
                return {"failed": True, "msg": f"The picture cannot be written to {file}: {error.strerror}."}
            seen["dest"], seen["image"] = str(file), None
        return result

    def _write(self, file: pathlib.Path, picture: bytes) -> bool:
        """Whether the file was, or in check mode would be, another one."""
        if file.is_file() and file.read_bytes() == picture:
            return False
        if not self._task.check_mode:
            file.write_bytes(picture)
        return True
