# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts' network: a bridge of its own, and one way out, a proxy that knows the package indexes and nothing else.

There is no route beyond the bridge. Which indexes those are is read from the machine's own configuration of apt and
pip.
"""

from __future__ import annotations

import pathlib
import socket
import time
import typing as t

from . import indexes
from .container import Container, Overlay, unmount
from .layers import LAYERS
from .plan import Lab
from .steps import LabError, run

_PROXY: t.Final = """
http_port {gateway}:3128
# Else it asks the name server for its own name, which may take half a minute.
visible_hostname lab-proxy
acl lab src {network}.0/24
acl indexes dstdomain {indexes}
http_access allow lab indexes
http_access deny all
pid_filename none
access_log stdio:/var/spool/squid/access.log
cache_log /var/spool/squid/cache.log
coredump_dir /var/spool/squid
cache_dir ufs /var/spool/squid/cache 4000 16 64
maximum_object_size 512 MB
# A package file never changes, nor does an index by its hash; all else is asked for again.
refresh_pattern (\\.deb|\\.whl|by-hash) 129600 100% 129600
refresh_pattern . 0 0% 0
shutdown_lifetime 1 seconds
"""


def pip_wheel(lab: Lab) -> pathlib.Path:
    """The hosts' pip, for whoever wants to ask it something."""
    return next((LAYERS["proxy"].disk(lab).upper / "usr/share/python-wheels").glob("pip-*.whl"))


def _link_exists(name: str) -> bool:
    return pathlib.Path("/sys/class/net", name).exists()


def _proxy(lab: Lab) -> Container:
    options = (f"--bind={lab.cache / 'squid'}:/var/spool/squid", "--bind-ro=/etc/hosts", "--resolv-conf=replace-host")
    return Container(f"{lab.name}-proxy", lab.state / "proxy" / "root", options)


def up(lab: Lab) -> None:
    """The bridge and the proxy, where they are missing."""
    if not _link_exists(lab.bridge):
        run("ip", "link", "add", lab.bridge, "type", "bridge")
        run("ip", "address", "add", f"{lab.gateway}/24", "dev", lab.bridge)
        run("ip", "link", "set", lab.bridge, "up")
    container = _proxy(lab)
    if container.running:
        return
    Overlay(container.root.parent, LAYERS["proxy"].lower(lab)).mount()
    (lab.cache / "squid").mkdir(mode=0o777, exist_ok=True)
    (lab.cache / "squid").chmod(0o777)
    names = " ".join(sorted(indexes.names(lab.suite, pip_wheel(lab))))
    settings = _PROXY.format(gateway=lab.gateway, network=lab.network, indexes=names)
    (container.root / "etc/squid/lab.conf").write_text(settings)
    log = lab.logs / "proxy.log"
    start = "squid -Nzf /etc/squid/lab.conf && exec squid -Nf /etc/squid/lab.conf"
    container.start("sh", "-c", start, log=log)
    await_port(lab.gateway, 3128, seconds=60, otherwise=f"The hosts' proxy did not start; see {log}.")


def down(lab: Lab) -> None:
    """Take both away."""
    container = _proxy(lab)
    container.cut()
    unmount(container.root)
    if _link_exists(lab.bridge):
        run("ip", "link", "delete", lab.bridge)


def set_link(interface: str, *, up: bool) -> None:
    """Plug a host's cable in, or pull it."""
    run("ip", "link", "set", interface, "up" if up else "down")


def is_plugged(interface: str) -> bool:
    """Whether the machine's end of a host's cable is up."""
    try:
        flags = pathlib.Path("/sys/class/net", interface, "flags").read_text()
    except FileNotFoundError:
        return False
    return bool(int(flags, 16) & 1)


def attach(lab: Lab, interface: str) -> None:
    """Put a host's cable into the bridge, where somebody took it out."""
    if not pathlib.Path("/sys/class/net", lab.bridge, "brif", interface).exists():
        run("ip", "link", "set", interface, "master", lab.bridge)


def delete_link(interface: str) -> None:
    """Delete it, unless it goes by itself: the kernel takes it away some time after its host."""
    try:
        run("ip", "link", "delete", interface)
    except LabError:
        if _link_exists(interface):
            raise


def await_port(address: str, port: int, *, seconds: float, otherwise: str) -> None:
    """Return when somebody listens there; LabError with the given words when nobody does in time."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise LabError(otherwise) from None
            time.sleep(0.1)
