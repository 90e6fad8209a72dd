# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide "machines", task by task as it is written. A tiny guest takes the place of what would be downloaded."""

from __future__ import annotations

import pathlib
import re
import textwrap
import typing as t

import pytest
import yaml

from lab.plan import REPOSITORY
from lab.story import Story

pytestmark = pytest.mark.timeout(600)

GUIDE: t.Final = REPOSITORY / "docs/docsite/rst/guide_machines.rst"
BLOCK: t.Final = re.compile(r"^\.\. code-block:: yaml\+jinja\n\n((?:(?:  .*)?\n)+)", re.MULTILINE)
IMAGES: t.Final = "/var/lib/libvirt/images"
PORT: t.Final = 8099
# There is no boot loader on the image, and no KVM in the lab's hosts.
TINY: t.Final = {
    "type": "qemu",
    "cpu": {"model": "qemu64"},
    "boot": {
        "kernel": f"{IMAGES}/vmlinuz",
        "initrd": f"{IMAGES}/initrd.gz",
        "kernel_args": "console=ttyS0 quiet address=dhcp",
    },
}


@pytest.fixture(scope="module")
def image(platform: Story) -> t.Iterator[dict[str, str]]:
    """What the guide's play leaves to the reader: where an image is, and its checksum. An installer's medium lies in
    the pool."""
    made = "mkdir -p /srv/web && qemu-img create -q -f qcow2 /srv/web/image.qcow2 1G"
    platform.on("hv1", f"{made} && truncate -s 1M {IMAGES}/installer.iso && virsh -q pool-refresh default")
    serve = f"python3 -m http.server --bind 127.0.0.1 --directory /srv/web {PORT}"
    platform.on("hv1", f"systemd-run -q --unit guide-image --collect {serve}")
    checksum = platform.on("hv1", "sha256sum /srv/web/image.qcow2").split()[0]
    yield {"image": f"http://127.0.0.1:{PORT}/image.qcow2", "image_checksum": f"sha256:{checksum}"}
    platform.on("hv1", "systemctl stop guide-image")


@pytest.fixture(params=["xmpp"])
def guide(request: pytest.FixtureRequest, image: dict[str, str], tmp_path: pathlib.Path) -> pathlib.Path:
    """The guide's play as a file; by XMPP, as it is written, or by libvirt."""
    header, *blocks = (yaml.safe_load(textwrap.dedent(block)) for block in BLOCK.findall(GUIDE.read_text()))
    (play,) = header
    play["module_defaults"]["group/archipel.orchestrator.archipel"]["via"] = request.param
    play["module_defaults"]["archipel.orchestrator.vm"] = TINY
    play["vars"].update(image)
    play["tasks"] = [task for block in blocks for task in block]
    file = tmp_path / "machines.yml"
    file.write_text(yaml.safe_dump(header))
    return file


def left(story: Story) -> str:
    """What there is on the hypervisor that the guide could have made."""
    return story.on("hv1", "virsh list --all --name; virsh net-list --all --name; virsh vol-list default")


@pytest.mark.parametrize("guide", ["libvirt", "xmpp"], indirect=True)
def test_from_nothing_the_guide_passes_check_mode(platform: Story, guide: pathlib.Path) -> None:
    """Each task tells what it would do though those before it have done nothing."""
    before = left(platform)
    assert platform.playbook(str(guide), "--check")["hv1"] > 10
    assert left(platform) == before


def test_the_guide_does_what_it_says(platform: Story, guide: pathlib.Path) -> None:
    """And leaves only the image."""
    before = left(platform)
    assert platform.playbook(str(guide))["hv1"] > 10
    assert (guide.parent / "blog1.png").read_bytes().startswith(b"\x89PNG")
    assert "debian-13.qcow2" in left(platform)
    platform.on("hv1", "virsh -q vol-delete --pool default debian-13.qcow2")
    assert left(platform) == before
