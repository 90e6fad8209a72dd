# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make quickstart``: three hosts, an XMPP server, two hypervisors, and a machine that answers and moves."""

from __future__ import annotations

import contextlib
import logging
import sys
import textwrap
import time
import typing as t

from . import guest, lifecycle, preflight
from .environment import write_environment
from .plan import STANDARD, Lab, host
from .steps import LabError, step
from .story import SITE, Story

_NEXT: t.Final = """
What to try next, after

    . {environment}

    python -m lab.talk web1 help                      what web1 understands
    python -m lab.talk web1 pause                     and resume, shutdown, start
    python -m lab.talk hv2 list                       the machines of hv2
    python -m lab.talk web1 --command info            an ad-hoc command
    ansible-inventory -i lab/archipel.yml --list      the platform as an inventory
    ansible-playbook {site}   again, and nothing changes
    ansible hv2 -m archipel.orchestrator.vm -a "via=xmpp name=web1 state=shutdown"
    ansible hv2 -m archipel.orchestrator.vm -a "via=xmpp name=web1 state=running memory=192"
    curl http://{web1}/count                       web1's page
    python -m lab exec hv2 virsh console web1         its serial console (Ctrl-] leaves)
    python -m lab crash hv1                           a power cut; start hv1 brings it back

With any Jabber client: admin@xmpp.lab at {server}, its password is in {password}.
The logs are in {logs}; `make quickstart-down` removes all hosts.
"""


def up(lab: Lab) -> None:
    """The story, told."""
    began = time.monotonic()
    story = Story(lab)
    wanted = [host(name) for name in STANDARD]
    _title("Hosts")
    with lifecycle.locked(lab):
        preflight.check(lab)
        lifecycle.prepare(lab, wanted, {"a tiny Linux for machines": lambda: guest.make(lab)})
        lifecycle.start(lab, wanted)
    _title("Platform")
    with _step(story, f"{SITE}: ejabberd, libvirt, agents"):
        changes = story.site()
    _tell("changed", ", ".join(f"{name} {count}" for name, count in changes.items()))
    _title("Machine")
    with _step(story, "archipel.orchestrator.vm defines and starts web1 on hv1"):
        story.machine()
    with _step(story, "a chat message to web1: how are you"):
        contact, answer = story.answer()
    _tell(contact, answer)
    with _step(story, "an ad-hoc command of web1: state"):
        state = story.state()
    _tell("web1", ", ".join(f"{label} {value}" for label, value in state.items()))
    with _step(story, "archipel.orchestrator.vm_migrate moves it to hv2, live, with its disk"):
        moved = story.migration()
    _tell("web1", f"its page went on from {moved.count_before} to {moved.count_after}; it answers as {moved.contact}")
    with _step(story, "virsh makes foreign1 on hv1, archipel.orchestrator.vm_import adopts it"):
        story.foreign()
        adopted = story.adoption()
    _tell(adopted.contact, adopted.answer)
    with _step(story, "ansible-inventory over XMPP"):
        graph = story.graph()
    print(textwrap.indent(graph, "      "))
    print(f"Done in {time.monotonic() - began:.0f} s.")
    print(
        _NEXT.format(
            environment=write_environment(lab),
            site=SITE,
            web1=lab.web1,
            server=lab.address(wanted[0]),
            password=lab.platform / "admin.password",
            logs=lab.logs,
        )
    )


@contextlib.contextmanager
def _step(story: Story, text: str) -> t.Iterator[None]:
    with step(text) as story.now:
        yield


def _title(text: str) -> None:
    print(f"\n{text}")


def _tell(who: str, what: str) -> None:
    print(textwrap.indent(f"{who}: {what}", "      "))


def main() -> int:
    logging.disable(logging.CRITICAL)
    lab = Lab.from_environment()
    try:
        if sys.argv[1:] == ["down"]:
            lifecycle.down(lab)
        else:
            up(lab)
    except LabError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. `make quickstart` goes on from here, `make quickstart-down` cleans up.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
