# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Devices of which a machine has one: keys are virt-install's."""

from __future__ import annotations

import typing as t

from . import xmltree
from .elements import ON_OFF, Attribute
from .errors import InvalidDefinition
from .groups import Device, Values


def _new_tpm(wanted: t.Mapping[str, t.Any], domain: t.Any) -> Values:
    del domain
    values = {"model": "tpm-crb", "type": "emulator", **wanted}
    return {"version": "2.0", **values} if values["type"] == "emulator" else values


TPM: t.Final = Device(
    "tpm",
    (
        Attribute("model", "@model", "Model of the device; V(none) takes it away.", offered="devices/tpm/model",
                  choices=("tpm-crb", "tpm-tis", "tpm-spapr", "spapr-tpm-proxy", "none")),
        Attribute("type", "backend/@type", "Whether it is emulated or the host's.", offered="devices/tpm/backendModel",
                  choices=("emulator", "passthrough", "external")),
        Attribute("version", "backend/@version", "Version of an emulated one.", offered="devices/tpm/backendVersion",
                  choices=("2.0", "1.2")),
        Attribute("persistent_state", "backend/@persistent_state", "Whether its state stays when a transient machine"
                  " is off.", bool, unsaid=False),
        Attribute("path", "backend/device/@path", "Device of the hypervisor, for V(passthrough).",
                  examples=("/dev/tpm0", "/dev/tpm1")),
    ),
    path="devices/tpm",
    help="The trusted platform module, by default an emulated one of version 2.0.",
    new=_new_tpm,
)  # fmt: skip


def _forget_backend(rng: t.Any, changed: t.Collection[str]) -> None:
    """Each backend has a place of its own."""
    if "backend" in changed:
        xmltree.write(rng, "backend", None)


RNG: t.Final = Device(
    "rng",
    (
        Attribute("model", "@model", "Model of the device; V(none) takes it away.", offered="devices/rng/model",
                  choices=("virtio", "virtio-transitional", "virtio-non-transitional", "none")),
        Attribute("backend", "backend/@model", "Where the numbers come from.", offered="devices/rng/backendModel",
                  choices=("random", "builtin", "egd")),
        Attribute("device", "backend", "File of the hypervisor, for V(random).",
                  examples=("/dev/urandom", "/dev/hwrng")),
        Attribute("rate_bytes", "rate/@bytes", "Bytes in each O(rng.rate_period) at most.", int, minimum=1),
        Attribute("rate_period", "rate/@period", "Milliseconds of the period, by default 1000.", int, minimum=1),
    ),
    path="devices/rng",
    forget=_forget_backend,
    help="The source of random numbers.",
    new=lambda wanted, _domain: {"model": "virtio", "backend": "random", **(
        {"device": "/dev/urandom"} if wanted.get("backend", "random") == "random" else {}), **wanted},
)  # fmt: skip

WATCHDOG: t.Final = Device(
    "watchdog",
    (
        Attribute("model", "@model", "Model of the device; V(none) takes it away.",
                  choices=("i6300esb", "ib700", "diag288", "itco", "none")),
        Attribute("action", "@action", "What happens when the guest no longer answers.",
                  choices=("reset", "shutdown", "poweroff", "pause", "dump", "inject-nmi", "none")),
    ),
    path="devices/watchdog",
    help="The watchdog.",
    new=lambda wanted, _domain: {"model": "i6300esb", "action": "reset", **wanted},
)  # fmt: skip

MEMBALLOON: t.Final = Device(
    "memballoon",
    (
        Attribute("model", "@model", "Model of the device; V(none) for none.",
                  choices=("virtio", "virtio-transitional", "virtio-non-transitional", "xen", "none")),
        Attribute("autodeflate", "@autodeflate", "Whether it gives memory back before the guest kills processes.", bool,
                  words=ON_OFF),
        Attribute("free_page_reporting", "@freePageReporting", "Whether the guest tells of pages that it does not use.",
                  bool, words=ON_OFF),
        Attribute("stats_period", "stats/@period", "Seconds between the guest's figures on its memory.", int),
    ),
    path="devices/memballoon",
    help="The device by which the host takes memory back.",
    new=lambda wanted, _domain: {"model": "virtio", **wanted},
    absent=None,
)  # fmt: skip


def _check_vsock(vsock: Values, where: str) -> None:
    if "cid" in vsock and vsock.setdefault("auto_cid", False):
        raise InvalidDefinition(f"{where}: auto_cid chooses the cid itself; leave cid out.")


VSOCK: t.Final = Device(
    "vsock",
    (
        Attribute("model", "@model", "Model of the device; V(none) takes it away.",
                  choices=("virtio", "virtio-transitional", "virtio-non-transitional", "none")),
        Attribute("cid", "cid/@address", "Number of the machine, at least 3; by default libvirt chooses.", int,
                  minimum=3),
        Attribute("auto_cid", "cid/@auto", "Whether libvirt chooses the number.", bool),
    ),
    path="devices/vsock",
    help="Sockets between the host and the guest.",
    check=_check_vsock,
    new=lambda wanted, _domain: {"model": "virtio", "auto_cid": "cid" not in wanted, **wanted},
)  # fmt: skip
