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

from . import guest, hosts, lifecycle, preflight
from .environment import write_environment
from .plan import STANDARD, Lab, host
from .steps import LabError, step
from .story import SITE, Story

_NEXT: t.Final = """
What to try next, after   . {environment}

  python -m lab.talk web1 help                   what web1 understands: pause, resume, shutdown, start ...
  python -m lab.talk web1 migrate to hv1 copying all
                                                 the way back, with its disk
  python -m lab.talk hv2 list                    a hypervisor is a contact too
  python -m lab.talk web1 --command info         an ad-hoc command, as any Jabber client runs it
  ansible-inventory -i lab/archipel.yml --list   the platform as an inventory
  ansible-playbook {site}
                                                 again, and nothing changes
  ansible hv2 -m archipel.orchestrator.vm -a "via=xmpp name=web1 state=shutdown"
  ansible hv2 -m archipel.orchestrator.vm -a "via=xmpp name=web1 state=running memory=192"
  python -m lab exec hv1 curl -s http://{web1}/count
                                                 web1's page
  python -m lab exec hv2 virsh console web1      its serial console; Ctrl-] leaves it
  python -m lab crash hv1                        a power cut; `python -m lab start hv1` ends it

With a Jabber client: admin@xmpp.lab at {server}, with the password and the certificate authority in
{platform}
Logs are in {logs}. `make quickstart-down` takes the hosts away,
`python -m lab wipe` what they were made from as well.
"""


def up(lab: Lab) -> None:
    """The story, told."""
    began = time.monotonic()
    story = Story(lab)
    wanted = [host(name) for name in STANDARD]
    preflight.check(lab)
    _title("Hosts")
    if any(hosts.is_running(lab, one) for one in wanted):
        lifecycle.down(lab)
    if not preflight.missing():
        print("  nothing needs to be installed on this machine")
    with lifecycle.locked(lab):
        tiny = {} if guest.guest(lab).directory.exists() else {"a tiny Linux for machines": lambda: guest.make(lab)}
        lifecycle.prepare(lab, wanted, tiny)
        lifecycle.start(lab, wanted)
    _title("Platform")
    with _step(story, f"{SITE}: ejabberd, libvirt, agents"):
        changes = story.site()
    _tell("changes", ", ".join(f"{count} on {name}" for name, count in changes.items()))
    _title("Machine")
    with _step(story, "archipel.orchestrator.vm defines and starts web1 on hv1"):
        story.machine()
    with _step(story, "a chat message to it"):
        contact, answer = story.answer()
    _tell("you", "how are you")
    _tell("web1", answer)
    with _step(story, "its ad-hoc command state"):
        state = story.state()
    _tell("form", ", ".join(f"{label}: {state[label]}" for label in ("name", "state", "reason")))
    with _step(story, "archipel.orchestrator.vm_migrate moves it to hv2, live, with its disk"):
        moved = story.migration()
    _tell("page", f"counted on from {moved.count_before} to {moved.count_after}")
    _tell("contact", f"was {contact}")
    _tell("", f"is  {moved.contact}")
    with _step(story, "virsh makes foreign1 on hv1, archipel.orchestrator.vm_import adopts it"):
        story.foreign()
        adopted = story.adoption()
    _tell("you", "how are you")
    _tell("foreign1", adopted.answer)
    with _step(story, "ansible-inventory over XMPP"):
        graph = story.graph()
    print(textwrap.indent(graph, " " * 6))
    print(f"Done in {time.monotonic() - began:.0f} s.")
    print(
        _NEXT.format(
            environment=write_environment(lab),
            site=SITE,
            web1=lab.web1,
            server=lab.address(wanted[0]),
            platform=lab.platform,
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
    print(f"      {who:9} {what}")


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
        print("\nStopped. `make quickstart` begins anew, `make quickstart-down` cleans up.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
