# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny Linux for machines inside the hosts: 15 MB, up in three seconds under emulation.

Debian's cloud kernel and, as its initramfs, busybox with a dozen modules. It answers the ACPI power button, has a shell
on the serial console, takes its address from the kernel command line (``address=192.0.2.1/24``, or ``address=dhcp``),
and serves a number that grows ten times a second at ``http://ADDRESS/count``. ``hold=/dev/sr0`` has it open that drive,
which locks it. ``journal=/dev/vda`` has it write without end, one after another, the numbers from 1 on to the first
256 sectors of that disk, each to the sector of its remainder; it goes on from the highest that it finds. Each 16th it
also writes behind the first 32 MiB, 64 KiB further each time up to 96 MiB, so that the disk's image grows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
import shutil
import typing as t

from .plan import Lab
from .steps import LabError, run

_MODULES: t.Final = (
    *("virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"),
    *("virtio_blk", "virtio_console", "failover", "net_failover", "virtio_net", "virtio_balloon", "evdev", "button"),
    *("scsi_common", "scsi_mod", "virtio_scsi", "cdrom", "sr_mod"),
)
# The kernel hands parameters it does not know to init as its environment: $address.
_INIT: t.Final = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in virtio_pci virtio_blk virtio_scsi sr_mod virtio_net virtio_balloon evdev button; do modprobe $module; done
ip link set lo up; ip link set eth0 up
case "$address" in dhcp) udhcpc -i eth0 -s /bin/lease >/dev/null;; *) ip address add "$address" dev eth0;; esac
# acpid looks once for what it listens to.
(until [ -e /dev/input/event1 ]; do sleep 0.1; done; exec acpid -d -f) >/dev/null 2>&1 &
(n=0; while :; do n=$((n+1)); echo $n > /www/count.new; mv /www/count.new /www/count; sleep 0.1; done) &
httpd -p 80 -h /www
[ -z "$hold" ] || (until sleep infinity <"$hold"; do sleep 0.1; done) 2>/dev/null &
[ -z "$journal" ] || (
  n=$(dd if="$journal" bs=512 count=256 2>/dev/null | tr -d '\\0 ' | sort -n | tail -n 1)
  put() { printf '%-511d\\n' $n | dd of="$journal" bs=512 seek=$1 conv=notrunc,fsync 2>/dev/null; }
  while :; do
    n=$((n+1)); put $((n%256)); [ $((n%16)) -ne 0 ] || put $((65536 + n/16%1024*128)); sleep 0.1
  done
) &
echo "up after $(cut -d' ' -f1 /proc/uptime) s, at $address" >/dev/console
exec setsid cttyhack sh </dev/console >/dev/console 2>&1
"""
# What udhcpc calls, with what it got as its environment.
_LEASE: t.Final = """#!/bin/sh
[ "$1" = bound ] && ip address add "$ip/$mask" dev "$interface" && echo "leased $ip" >/dev/console
"""
_POWER_BUTTON: t.Final = "#!/bin/sh\necho powering off >/dev/console\npoweroff -f\n"


@dataclasses.dataclass(frozen=True)
class Guest:
    """Where its kernel and initrd.gz are, or will be."""

    directory: pathlib.Path

    @property
    def kernel(self) -> pathlib.Path:
        return self.directory / "vmlinuz"


def _kernel_package() -> str:
    """The package that Debian's newest cloud kernel is in."""
    found = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", "linux-image-cloud-amd64"))
    if not found:
        raise LabError("apt on this machine knows no linux-image-cloud-amd64; run `apt-get update`.")
    return found[1]


def guest(lab: Lab) -> Guest:
    recipe = hashlib.sha256(repr((_kernel_package(), _MODULES, _INIT, _LEASE, _POWER_BUTTON)).encode()).hexdigest()[:12]
    return Guest(lab.cache / f"guest-{recipe}")


def make(lab: Lab) -> Guest:
    """Make it where it is missing, from Debian's packages alone."""
    finished = guest(lab)
    if finished.directory.exists():
        return finished
    # Earlier ones stay: another checkout's lab may be about to use its own.
    partial = Guest(lab.cache / "guest.partial")
    shutil.rmtree(partial.directory, ignore_errors=True)
    packages, root = partial.directory / "packages", partial.directory / "root"
    packages.mkdir(parents=True)
    log = lab.logs / "guest.log"
    # apt's own user cannot write there, which is only a warning.
    run("apt-get", "-qq", "download", "busybox-static", _kernel_package(), cwd=packages, log=log)
    for package in packages.glob("*.deb"):
        run("dpkg-deb", "--extract", package, packages, log=log)
    shutil.copy(next((packages / "boot").glob("vmlinuz-*")), partial.kernel)
    _furnish(root, packages)
    run("sh", "-c", "find . | bin/busybox cpio -o -H newc | gzip > ../initrd.gz", cwd=root, log=log)
    shutil.rmtree(packages)
    shutil.rmtree(root)
    partial.directory.rename(finished.directory)
    return finished


def _furnish(root: pathlib.Path, packages: pathlib.Path) -> None:
    """The initramfs, from the packages' contents."""
    libraries = next((packages / "lib/modules").iterdir())
    modules = root / "lib/modules" / libraries.name
    for directory in (modules, *(root / name for name in ("bin", "proc", "sys", "dev", "www", "etc/acpi/PWRF"))):
        directory.mkdir(parents=True)
    shutil.copy(packages / "bin/busybox", root / "bin/busybox")
    for name in _MODULES:
        shutil.copy(next(libraries.rglob(f"{name}.ko*")), modules)
    run(root / "bin/busybox", "depmod", "-b", root, libraries.name)
    scripts = {"init": _INIT, "bin/lease": _LEASE, "etc/acpi/PWRF/00000080": _POWER_BUTTON}
    for path, text in ((root / name, text) for name, text in scripts.items()):
        path.write_text(text)
        path.chmod(0o755)
