# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host: a Debian with systemd, sshd and an address, started, stopped, cut off."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import time
import typing as t

from . import base, indexes, network
from .container import Container, Overlay, unmount
from .layers import LAYERS
from .plan import DOMAIN, HOSTS, STORE, Host, Lab
from .steps import LabError, run

_SSH: t.Final = """
Host *
  User root
  IdentityFile {key}
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ConnectTimeout 30
  ServerAliveInterval 5
"""
# Machines share the layer 2 of their host through br0, so they keep their addresses when they move.
_NETWORKD: t.Final = {
    "10-br0.netdev": "[NetDev]\nName=br0\nKind=bridge\n",
    "10-host0.network": "[Match]\nName=host0\n[Network]\nBridge=br0\n",
    "10-br0.network": "[Match]\nName=br0\n[Network]\nAddress={address}/24\nLinkLocalAddressing=no\n",
}
_BOOT: t.Final = (
    "--boot",
    "--resolv-conf=off",
    "--capability=all",
    "--bind=/dev/net/tun",
    # Without it hosts mount nothing by FUSE, which the roles do not need.
    *(["--bind=/dev/fuse"] if pathlib.Path("/dev/fuse").exists() else []),
)


def make_keys(lab: Lab) -> None:
    """The lab's own key and ssh configuration."""
    key = lab.state / "key"
    if not key.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "archipel-lab", "-f", key)
    names = (f"Host {host.name}\n  HostName {lab.address(host)}\n" for host in HOSTS)
    lab.ssh_config.write_text(_SSH.format(key=key).lstrip() + "".join(names))


def close_connections(lab: Lab) -> None:
    """End the ssh connections that Ansible keeps open for its next run."""
    for socket in lab.ssh_sockets.glob("*"):
        subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "lab"], capture_output=True, check=False)


def _disk(lab: Lab, host: Host) -> Overlay:
    """A host stays on what it was made on, whatever has changed since."""
    record = lab.disk(host) / "lower"
    if record.exists():
        return Overlay(lab.disk(host), tuple(map(pathlib.Path, record.read_text().split())))
    lower = LAYERS[host.layer].lower(lab) if host.layer else (base.directory(lab),)
    return Overlay(lab.disk(host), lower)


def _container(lab: Lab, host: Host) -> Container:
    options = (*_BOOT, f"--hostname={host.name}", f"--network-bridge={lab.bridge}")
    store = (f"--bind={_store(lab, host)}:{STORE}",) if host.store else ()
    return Container(f"{lab.name}-{host.name}", lab.disk(host) / "root", (*options, *store))


def _store(lab: Lab, host: Host) -> pathlib.Path:
    return lab.disk(host) / "store"


def _mount_store(lab: Lab, host: Host) -> None:
    """On the machine's side, so that it stays what it is when the host goes down."""
    _store(lab, host).mkdir(exist_ok=True)
    if not _store(lab, host).is_mount():
        options = f"size={host.store}m,mode=755"
        run("mount", "-t", "tmpfs", "archipel-lab", "-o", options, _store(lab, host))


def interface(lab: Lab, host: Host) -> str:
    """The machine's end of the host's cable, as systemd-nspawn names it."""
    return f"vb-{lab.name}-{host.name}"


def is_running(lab: Lab, host: Host) -> bool:
    return _container(lab, host).running


def start(lab: Lab, host: Host) -> None:
    """Start it; ``await_ready`` waits for it."""
    if is_running(lab, host):
        network.attach(lab, interface(lab, host))
        return
    disk = _disk(lab, host)
    disk.mount()
    if host.store:
        _mount_store(lab, host)
    record = lab.disk(host) / "lower"
    if not record.exists():
        _furnish(lab, host, disk.root)
        record.write_text("\n".join(map(str, disk.lower)))
    _container(lab, host).start(log=lab.logs / f"host-{host.name}.log")


def _furnish(lab: Lab, host: Host, root: pathlib.Path) -> None:
    """What a new host has of its own: name, identity, addresses, keys, and the way to packages."""
    pip = {
        **indexes.pip(network.pip_wheel(lab)),
        "proxy": lab.proxy,
        "cert": "/etc/ssl/certs/ca-certificates.crt",
        "disable-pip-version-check": "true",
    }
    files = {
        "etc/hostname": f"{host.name}\n",
        "etc/machine-id": hashlib.md5(f"{lab.name}-{host.name}".encode()).hexdigest() + "\n",
        "etc/hosts": "127.0.0.1 localhost\n"
        + "".join(
            f"{lab.address(known)} {' '.join((f'{known.name}.{DOMAIN}', known.name, *known.aliases))}\n"
            for known in HOSTS
        ),
        "etc/apt/apt.conf.d/zz-lab": f'Acquire::http::Proxy "{lab.proxy}";\nAcquire::https::Proxy "{lab.proxy}";\n',
        "etc/pip.conf": "[global]\n" + "".join(f"{name} = {value}\n" for name, value in pip.items()),
        "root/.ssh/authorized_keys": (lab.state / "key.pub").read_text(),
        **{f"etc/systemd/network/{n}": text.format(address=lab.address(host)) for n, text in _NETWORKD.items()},
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "root/.ssh").chmod(0o700)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", root / "etc/ssh/ssh_host_ed25519_key")


def await_ready(lab: Lab, host: Host, *, seconds: float = 180) -> None:
    """Return when ssh answers and systemd has started everything; LabError when it does not, or units failed."""
    log = lab.logs / f"host-{host.name}.log"
    address = lab.address(host)
    network.await_port(address, 22, seconds=seconds, otherwise=f"{host.name} does not answer at {address}; see {log}.")
    end = time.monotonic() + seconds
    state = ""
    # sshd turns logins away ("booting up") until systemd-user-sessions ran.
    while state != "running" and time.monotonic() < end:
        said = subprocess.run(
            ssh(lab, host, "systemctl is-system-running --wait"), capture_output=True, text=True, check=False
        )
        state = said.stdout.strip()
        if state == "degraded":
            failed = subprocess.run(
                ssh(lab, host, "systemctl --failed --plain --no-legend"), capture_output=True, text=True, check=False
            )
            raise LabError(f"On {host.name} units failed:\n{failed.stdout}")
    if state != "running":
        raise LabError(f"{host.name} is not up after {seconds:.0f} s (it says {state or 'nothing'!r}); see {log}.")


def stop(lab: Lab, host: Host) -> None:
    """Shut it down in an orderly way. What is on its disk stays."""
    _container(lab, host).stop()
    _detach(lab, host)


def crash(lab: Lab, host: Host) -> None:
    """Cut its power. What is on its disk stays."""
    _container(lab, host).cut()
    _detach(lab, host)


def _detach(lab: Lab, host: Host) -> None:
    network.delete_link(interface(lab, host))
    unmount(_container(lab, host).root)


def discard(lab: Lab, host: Host) -> None:
    """Cut its power and throw its disk away."""
    crash(lab, host)
    unmount(_store(lab, host))
    shutil.rmtree(lab.disk(host), ignore_errors=True)


def ssh(lab: Lab, host: Host, *command: str, options: t.Sequence[str] = ()) -> list[str | os.PathLike[str]]:
    """The words of a command that runs the given one on the host."""
    return ["ssh", "-F", lab.ssh_config, *options, host.name, *command]
