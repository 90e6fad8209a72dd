# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running ansible-playbook and ansible-inventory as a person does, and reading what came of it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

ANSIBLE = pathlib.Path(sys.executable).parent
Task = dict[str, t.Any]
Result = dict[str, t.Any]


class Ansible:
    """``defaults`` are those of the collection's action group."""

    def __init__(self, directory: pathlib.Path, collections: pathlib.Path, defaults: t.Mapping[str, t.Any]) -> None:
        self.directory = directory
        self.defaults = dict(defaults)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "ARCHIPEL_"))},
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_HOME": str(directory / "home"),
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "LC_ALL": "C.UTF-8",
        }

    def play(self, *tasks: Task, defaults: t.Mapping[str, t.Any] | None = None) -> list[Result]:
        """The result of each task; one that fails does not end the play."""
        answers = self.directory / "results.json"
        answers.unlink(missing_ok=True)
        names = [f"result_{number}" for number in range(len(tasks))]
        noted = [{**task, "register": name, "ignore_errors": True} for task, name in zip(tasks, names, strict=True)]
        write = {
            "ansible.builtin.copy": {"content": "{{ [" + ", ".join(names) + "] | to_json }}", "dest": str(answers)},
            "check_mode": False,
        }
        group = {"group/archipel.orchestrator.archipel": self.defaults if defaults is None else dict(defaults)}
        self.last = self.run(
            [{"hosts": "hv1", "gather_facts": False, "module_defaults": group, "tasks": [*noted, write]}]
        )
        if not answers.exists():
            raise AssertionError(self.last)
        return t.cast("list[Result]", json.loads(answers.read_text()))

    def run(self, playbook: list[t.Any], *arguments: str) -> str:
        """What ansible-playbook says."""
        file = self.directory / "playbook.json"
        file.write_text(json.dumps(playbook))
        return self.call("ansible-playbook", "--inventory=hv1,", "--connection=local", str(file), *arguments)

    def inventory(self, configuration: t.Mapping[str, t.Any], *arguments: str, name: str = "archipel.yml") -> t.Any:
        """ansible-inventory of a file with that content, as data; ``last`` is what it said besides."""
        file = self.directory / name
        file.write_text(json.dumps({"plugin": "archipel.orchestrator.archipel", **configuration}))
        done = self._call("ansible-inventory", f"--inventory={file}", *(arguments or ["--list"]))
        # Warnings are broken into lines by the terminal's width.
        self.last = " ".join(done.stderr.split())
        if done.returncode or arguments:
            return done.stdout
        return json.loads(done.stdout, object_hook=_plain)

    def call(self, command: str, *arguments: str) -> str:
        done = self._call(command, *arguments)
        return done.stdout + done.stderr

    def _call(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ANSIBLE / command), *arguments],
            check=False,
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
        )


def _plain(data: dict[str, t.Any]) -> t.Any:
    """ansible-inventory writes text that is not to be rendered as an object."""
    return data.get("__ansible_unsafe", data)


def cycle(create: Task, change: Task, delete: Task) -> list[Task]:
    """The twelve steps: each of the three, in check mode and for real, the first time and again."""
    steps = []
    for task in (create, change, delete):
        for check in (True, False, True, False):
            steps.append({**task, "check_mode": check})
    return steps


def assert_cycle(results: list[Result]) -> None:
    """What is told beforehand is what is done, and what is done once is done."""
    assert len(results) == 12
    for phase, first in zip(("create", "change", "delete"), range(0, 12, 4), strict=True):
        told, done, told_again, done_again = results[first : first + 4]
        for result in (told, done, told_again, done_again):
            assert not result["failed"], (phase, result["msg"])
        assert told["changed"], (phase, told)
        assert done["changed"], (phase, done)
        assert told["changes"] == done["changes"], phase
        assert told["diff"] == done["diff"], phase
        assert not told_again["changed"], (phase, told_again)
        assert not done_again["changed"], (phase, done_again)
