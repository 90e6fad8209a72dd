# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the agent's wheel from the collection's own tree, without network and without anything installed.

Usage: ``wheel.py DIRECTORY``. Writes a JSON object with ``file``, ``version`` and ``changed``. The version carries a
digest of what is in the wheel, and the same sources give the same bytes: so a host tells by the version whether it has
them. The core (plugins/module_utils/archipel) becomes the top-level package ``archipel``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import re
import sys
import typing as t
import zipfile

HERE: t.Final = pathlib.Path(__file__).resolve().parent
PACKAGES: t.Final = (HERE.parents[2] / "plugins/module_utils/archipel", HERE / "archipel_agent")
COMMANDS: t.Final = {
    "archipel-agent": "archipel_agent.__main__:main",
    "archipel-doctor": "archipel_agent.doctor:main",
    "archipel-importvirtualmachine": "archipel_agent.commands:importvirtualmachine",
    "archipel-initinstall": "archipel_agent.commands:initinstall",
    "archipel-rolesnode": "archipel_agent.commands:rolesnode",
    "archipel-tagnode": "archipel_agent.commands:tagnode",
    "archipel-testxmppserver": "archipel_agent.commands:testxmppserver",
}
EPOCH: t.Final = (1980, 1, 1, 0, 0, 0)


def sources() -> dict[str, bytes]:
    """Path in the wheel -> contents, of all modules and what they read."""
    return {
        path.relative_to(package.parent).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in sorted(package.rglob("*.*"))
        if path.suffix in (".py", ".json")
    }


def version(files: t.Mapping[str, bytes], requirements: str) -> str:
    found = re.search(r'^__version__ = "(.+)"', files["archipel_agent/__init__.py"].decode(), re.MULTILINE)
    assert found, "archipel_agent/__init__.py tells no version"
    digest = hashlib.sha256(requirements.encode())
    for name, contents in files.items():
        digest.update(f"{name}\0{len(contents)}\0".encode() + contents)
    # A local version (PEP 440): no index has one like it.
    return f"{found[1]}+{digest.hexdigest()[:12]}"


def metadata(name: str, requirements: str, push: str) -> dict[str, str]:
    """The files of .dist-info, but for RECORD."""
    return {
        "METADATA": "".join(
            f"{line}\n"
            for line in (
                "Metadata-Version: 2.1",
                "Name: archipel-agent",
                f"Version: {name}",
                "Requires-Python: >=3.11",
                *(f"Requires-Dist: {requirement}" for requirement in _needed(requirements)),
                "Provides-Extra: push",
                *(f"Requires-Dist: {requirement}; extra == 'push'" for requirement in _needed(push)),
            )
        ),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: archipel\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "[console_scripts]\n" + "".join(f"{name} = {to}\n" for name, to in COMMANDS.items()),
    }


def _needed(requirements: str) -> list[str]:
    return [line for line in requirements.splitlines() if line and not line.startswith("#")]


def record(files: t.Mapping[str, bytes], own: str) -> bytes:
    """RECORD: each file with its digest and size (PEP 376)."""
    lines = []
    for name, contents in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(contents)}\n")
    return ("".join(lines) + f"{own},,\n").encode()


def main(directory: pathlib.Path) -> None:
    files = sources()
    requirements, push = ((HERE / f"{name}.txt").read_text() for name in ("requirements", "requirements-push"))
    number = version(files, requirements + push)
    info = f"archipel_agent-{number}.dist-info"
    files.update({f"{info}/{name}": text.encode() for name, text in metadata(number, requirements, push).items()})
    files[f"{info}/RECORD"] = record(files, f"{info}/RECORD")

    wheel = directory / f"archipel_agent-{number}-py3-none-any.whl"
    changed = not wheel.exists()
    if changed:
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.glob("archipel_agent-*.whl"):
            old.unlink()
        partial = wheel.with_suffix(".partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, contents in files.items():
                archive.writestr(zipfile.ZipInfo(name, EPOCH), contents, zipfile.ZIP_DEFLATED)
        partial.replace(wheel)
    json.dump({"file": str(wheel), "version": number, "changed": changed}, sys.stdout)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).expanduser())
