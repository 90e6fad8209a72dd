# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's command line tools, timed as a person would: the whole run, less one that has nothing to do."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

ROOT: t.Final = pathlib.Path(__file__).resolve().parents[2]
NO_HOSTS: t.Final = "localhost,"


class Controller:
    """The command line tools, with this checkout as a collection and ``variables`` in their environment."""

    def __init__(self, directory: pathlib.Path, variables: t.Mapping[str, str]) -> None:
        self.directory = directory
        link = self.directory / "collections/ansible_collections/archipel/orchestrator"
        link.parent.mkdir(parents=True)
        link.symlink_to(ROOT, target_is_directory=True)
        (self.directory / "ansible.cfg").touch()
        self._environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.directory),
            "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            "ANSIBLE_INVENTORY_PLUGINS": str(ROOT / "tests/benchmark/inventory_plugins"),
            "ANSIBLE_ACTION_PLUGINS": str(ROOT / "tests/benchmark/action_plugins"),
            **variables,
        }

    def task(self, module: str, arguments: t.Mapping[str, t.Any], machines: t.Sequence[str] | None = None) -> float:
        """Seconds of a task, or of one that loops over machines, in a play that has nothing else and runs here."""
        loop = {} if machines is None else {"loop": "{{ machines }}", "loop_control": {"label": ""}}
        task = {module: arguments, "when": "wanted", **loop}

        def play(*, wanted: bool) -> float:
            variables = json.dumps({"wanted": wanted, "machines": list(machines or ()) if wanted else []})
            return self._play("localhost", task, NO_HOSTS, "-e", variables)

        return play(wanted=True) - play(wanted=False)

    def hosts(self, module: str, arguments: t.Mapping[str, t.Any], machines: t.Sequence[str], *, forks: int) -> float:
        """Seconds of a task that each machine, a host of the inventory, has for itself, in a play that runs here."""
        task = {module: arguments, "when": "wanted"}

        def play(*, wanted: bool) -> float:
            more = (f"--forks={forks}", "-e", json.dumps({"wanted": wanted}))
            return self._play("all", task, ",".join([*machines, ""]), *more)

        return play(wanted=True) - play(wanted=False)

    def _play(self, hosts: str, task: t.Mapping[str, t.Any], inventory: str, *arguments: str) -> float:
        """Seconds of a play with one task, and nothing else."""
        file = self.directory / "playbook.json"
        file.write_text(json.dumps([{"hosts": hosts, "connection": "local", "gather_facts": False, "tasks": [task]}]))
        return self._run("ansible-playbook", "-i", inventory, *arguments, str(file))[0]

    def inventory(self, machines: t.Collection[str], *sources: t.Mapping[str, t.Any]) -> float:
        """Seconds of a listing, which has to name all these machines."""
        files = []
        for number, source in enumerate(sources):
            files.append(self.directory / f"{number}.archipel.yml")
            files[-1].write_text(json.dumps(source))
        arguments = [argument for file in files for argument in ("-i", str(file))]
        seconds, listing = self._run("ansible-inventory", *arguments, "--list")
        self.listed = json.loads(listing)
        missing = set(machines) - self.listed["_meta"]["hostvars"].keys()
        if missing:
            raise RuntimeError(f"{sources[0]['plugin']} does not list {len(missing)} of {len(machines)} machines.")
        return seconds - self._run("ansible-inventory", "-i", NO_HOSTS, "--list")[0]

    def _run(self, tool: str, *arguments: str) -> tuple[float, str]:
        """Seconds, and what the tool wrote."""
        command = [str(pathlib.Path(sys.executable).parent / tool), *arguments]
        began = time.perf_counter()
        ended = subprocess.run(command, env=self._environment, check=False, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if ended.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}")
        return seconds, ended.stdout
