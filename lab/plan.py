# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab consists of: its hosts, their addresses, and where things are kept."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing as t

from .steps import LabError

REPOSITORY: t.Final = pathlib.Path(__file__).resolve().parent.parent
DOMAIN: t.Final = "lab"
XMPP_DOMAIN: t.Final = "xmpp.lab"
STORE: t.Final = "/srv/store"


@dataclasses.dataclass(frozen=True)
class Host:
    """A host that the lab knows how to make. ``layer`` names the packages it finds installed (see ``layers.LAYERS``);
    without one it is a bare Debian. ``store`` is the size in MiB of a file system of its own at ``STORE``, which can be
    filled without filling anything else, and outlives a power cut."""

    name: str
    octet: int
    layer: str | None = None
    groups: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    store: int = 0


HOSTS: t.Final = (
    Host("xmpp1", 21, "ejabberd", ("ejabberd",), aliases=(XMPP_DOMAIN,)),
    Host("xmpp2", 22, "ejabberd", ("ejabberd",)),
    Host("hv1", 11, "hypervisor", ("hypervisors",), store=512),
    Host("hv2", 12, "hypervisor", ("hypervisors",), store=512),
    Host("bare1", 31),
)
STANDARD: t.Final = ("xmpp1", "hv1", "hv2")


@dataclasses.dataclass(frozen=True)
class Lab:
    """One lab. Two of them stand beside each other when ``name`` and ``network`` differ; what was downloaded and
    built is shared.

    ``name`` is part of interface names, so at most four characters; ``network`` is the first three octets of a /24.
    """

    directory: pathlib.Path
    name: str = "lab"
    network: str = "10.99.0"
    suite: str = "bookworm"

    @classmethod
    def from_environment(cls) -> Lab:
        """The lab of ``ARCHIPEL_LAB_NAME`` and ``ARCHIPEL_LAB_NETWORK``, below ``XDG_CACHE_HOME``."""
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return cls(
            pathlib.Path(cache) / "archipel-lab",
            os.environ.get("ARCHIPEL_LAB_NAME", cls.name),
            os.environ.get("ARCHIPEL_LAB_NETWORK", cls.network),
        )

    @property
    def cache(self) -> pathlib.Path:
        """What outlives ``down``: the base, the layers, the tiny guest."""
        return self.directory / "cache"

    @property
    def state(self) -> pathlib.Path:
        """What this lab is while it is up."""
        return self.directory / self.name

    @property
    def logs(self) -> pathlib.Path:
        return self.directory / "logs" / self.name

    @property
    def bridge(self) -> str:
        return f"{self.name}-br0"

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge; the hosts have no route beyond it."""
        return f"{self.network}.1"

    @property
    def proxy(self) -> str:
        return f"http://{self.gateway}:3128"

    @property
    def ssh_config(self) -> pathlib.Path:
        return self.state / "ssh_config"

    @property
    def ssh_sockets(self) -> pathlib.Path:
        """Where ssh connections that Ansible keeps open have their sockets."""
        return self.state / "ssh"

    @property
    def inventory(self) -> pathlib.Path:
        return self.state / "inventory.json"

    @property
    def platform(self) -> pathlib.Path:
        """Where the roles leave the authority's certificate and the administrator's password."""
        return self.state / "platform"

    @property
    def web1(self) -> str:
        """The address of the quickstart's machine."""
        return f"{self.network}.101"

    def address(self, host: Host) -> str:
        return f"{self.network}.{host.octet}"

    def disk(self, host: Host) -> pathlib.Path:
        """What a host is made of, once it is."""
        return self.state / "hosts" / host.name


def host(name: str) -> Host:
    """The host of that name, or LabError with those there are."""
    for known in HOSTS:
        if known.name == name:
            return known
    raise LabError(f"There is no host {name!r} in the lab; there are {', '.join(h.name for h in HOSTS)}.")
