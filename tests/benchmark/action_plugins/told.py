# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a finished result from a file: what Ansible itself takes for one of its size."""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Its argument is ``file``, with the result as JSON."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads(pathlib.Path(self._task.args["file"]).read_text()))
