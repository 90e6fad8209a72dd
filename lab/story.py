# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the quickstart shows and the tests on hosts assert: one step after another, each telling what was seen."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import time
import typing as t
import urllib.error
import urllib.request

from . import hosts, talk
from .environment import environment, tool
from .plan import REPOSITORY, Lab, host
from .steps import LabError, run

SITE: t.Final = "archipel.orchestrator.site"
INVENTORY: t.Final = REPOSITORY / "lab" / "archipel.yml"
_FAILURE: t.Final = r"fatal:|failed:|\[?ERROR"
_FOREIGN: t.Final = """
<domain type='qemu'>
  <name>foreign1</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64'>hvm</type></os><features><acpi/></features>
</domain>
"""


@dataclasses.dataclass(frozen=True)
class Migration:
    """The count that web1's page showed before and after, and who answered to a chat message afterwards."""

    count_before: int
    count_after: int
    contact: str


@dataclasses.dataclass(frozen=True)
class Adoption:
    """Processes on hv1, which adopting a domain is not to replace, and who answers for the domain now."""

    agent_before: str
    agent_after: str
    domain_before: str
    domain_after: str
    contact: str
    answer: str


class Story:
    """The steps, in their order; each needs those before it. Their commands' output is in the lab's logs; ``now`` is
    told which task runs. ``collections`` is where Ansible finds the collection, where it is not to be this checkout."""

    def __init__(self, lab: Lab, collections: pathlib.Path | None = None) -> None:
        self.lab = lab
        self.collections = collections
        self.now: t.Callable[[str], None] = lambda doing: None

    def playbook(self, name: str, *arguments: str) -> dict[str, int]:
        """Run a playbook, of the lab or of a collection: the number of changes on each host."""
        path = REPOSITORY / "lab" / "playbooks" / f"{name}.yml"
        log = self.lab.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        said = self._ansible(
            "ansible-playbook", path if path.exists() else name, *arguments, log=log, heard=self._heard
        )
        return {
            found[1]: int(found[2]) for found in re.finditer(r"^(\S+) +: ok=\d+ +changed=(\d+) ", said, re.MULTILINE)
        }

    def module(self, where: str, what: str, /, *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
        """The result of one module of the collection for one host, as ``ansible`` alone runs it."""
        said = self._ansible("ansible", where, "-m", what, "-a", json.dumps(arguments), *(["--check"] if check else []))
        return t.cast("dict[str, t.Any]", json.loads(said.partition("=>")[2]))

    def _heard(self, line: str) -> None:
        task = re.match(r"TASK \[(?:\S+ : )?(.*)\]", line)
        if task:
            self.now(task[1])

    def _ansible(self, command: str, *arguments: t.Any, **options: t.Any) -> str:
        variables = environment(self.lab)
        if self.collections:
            variables["ANSIBLE_COLLECTIONS_PATH"] = str(self.collections)
        return run(tool(command), *arguments, name=" ".join(map(str, (command, *arguments))),
                   failure=_FAILURE, environment=variables, cwd=REPOSITORY, **options)  # fmt: skip

    def on(self, name: str, command: str) -> str:
        """What a command on a host writes."""
        return run(*hosts.ssh(self.lab, host(name), command), name=f"{command!r} on {name}").strip()

    def site(self, *arguments: str) -> dict[str, int]:
        """Apply what production applies; arguments are ansible-playbook's."""
        return self.playbook(SITE, *arguments)

    def guest(self) -> dict[str, int]:
        """Give the hypervisors the tiny guest."""
        return self.playbook("guest")

    def machine(self, *arguments: str) -> dict[str, int]:
        """Define and start web1, and wait until its page counts."""
        changed = self.playbook("machine", *arguments)
        self.count()
        return changed

    def count(self, *, seconds: float = 120, address: str | None = None) -> int:
        """What the page of the tiny guest at that address shows; web1's, if none is given."""
        url = f"http://{address or self.lab.web1}/count"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + seconds
        while True:
            try:
                with direct.open(url, timeout=5) as page:
                    return int(page.read())
            except (urllib.error.URLError, TimeoutError, ValueError, ConnectionError):
                if time.monotonic() > end:
                    raise LabError(f"{url} does not answer.") from None
                time.sleep(0.1)

    def contact(self, name: str) -> str:
        """The full JID of a machine or hypervisor, by what the platform's index says now."""
        return talk.contact(self.lab, name)

    def says(self, name: str, text: str) -> tuple[str, str]:
        """Who answers to a chat message, and what."""
        return talk.say(self.lab, name, text)

    def answer(self) -> tuple[str, str]:
        """Who answers when web1 is asked how it is, and what."""
        return self.says("web1", "how are you")

    def state(self) -> dict[str, str]:
        """web1's state by an ad-hoc command, as its result form."""
        return talk.command(self.lab, "web1", "state")

    def migration(self) -> Migration:
        """Move web1 live from hv1 to hv2 with its disk, and ask it how it is."""
        before = self.count()
        self.playbook("migration")
        after = self.count()
        contact = self.answer()[0]
        return Migration(before, after, contact)

    def foreign(self) -> None:
        """Make a domain with virsh on hv1."""
        self.on("hv1", f"virsh -q define /dev/stdin <<'X' && virsh -q start foreign1\n{_FOREIGN.strip()}\nX")

    def adoption(self) -> Adoption:
        """Adopt it while it and the agent run on."""
        agent, domain = "systemctl show -P MainPID archipel-agent", "cat /run/libvirt/qemu/foreign1.pid"
        agent_before, domain_before = self.on("hv1", agent), self.on("hv1", domain)
        self.playbook("adoption")
        contact, answer = self.says("foreign1", "how are you")
        return Adoption(agent_before, self.on("hv1", agent), domain_before, self.on("hv1", domain), contact, answer)

    def graph(self) -> str:
        """The inventory of the platform, as groups."""
        return self._ansible("ansible-inventory", "-i", INVENTORY, "--graph")

    def inventory(self) -> dict[str, t.Any]:
        """The same as data."""
        said = self._ansible("ansible-inventory", "-i", INVENTORY, "--list")
        return t.cast("dict[str, t.Any]", json.loads(said))
