# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where packages come from: the indexes that apt and pip on this machine are configured for."""

from __future__ import annotations

import functools
import pathlib
import re
import sys
import typing as t
import urllib.parse

from .steps import LabError, run

_DEFAULT: t.Final = (
    "from pip._internal.models.index import PyPI as i; print(i.simple_url, 'https://' + i.file_storage_domain)"
)


@functools.cache
def sources(suite: str) -> list[str]:
    """Debian's entries among the machine's own apt sources, as lines, with their suites in the wanted one."""
    found = _debian_targets()
    if not found:
        run("apt-get", "-qq", "update")
        found = _debian_targets()
    components: dict[tuple[str, str], list[str]] = {}
    for uri, release, component in found:
        if not release.endswith("-backports"):
            components.setdefault((uri, re.sub(r"^[a-z]+", suite, release)), []).append(component)
    if not components:
        raise LabError("apt on this machine has no source of Debian's packages; hosts are made from those.")
    return [f"deb {uri} {release} {' '.join(names)}" for (uri, release), names in components.items()]


def _debian_targets() -> list[tuple[str, str, str]]:
    """URI, release and component of each of Debian's package lists that apt has here."""
    form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    said = run("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    targets = {tuple(line.split("|")) for line in said.splitlines()}
    return sorted((uri, release, component) for origin, uri, release, component in targets if origin == "Debian")


def acquire_options() -> str:
    """How the machine's apt fetches (retries, validity, languages): a file for apt.conf.d."""
    said = run("apt-config", "dump", "Acquire")
    return "".join(f"{line}\n" for line in said.splitlines() if not re.search(r"IndexTargets|::cdrom|^\S+ \"\";", line))


def pip(wheel: pathlib.Path) -> dict[str, str]:
    """The index options of this machine's pip configuration, asked from pip as a wheel: ``index-url`` and
    ``extra-index-url``, as far as they are set and hosts can reach them. Directories (``file:``) they cannot."""
    options: dict[str, str] = {}
    for name, value in re.findall(
        r"\b((?:extra-)?index-url)='(.*)'", run(sys.executable, wheel / "pip", "config", "list")
    ):
        urls = [url for url in value.split() if urllib.parse.urlsplit(url).hostname]
        if urls:
            options[name] = " ".join(urls)
    return options


def names(suite: str, wheel: pathlib.Path) -> set[str]:
    """The hosts that packages come from, by apt's sources and by pip's configuration or, without one, pip's default."""
    options = pip(wheel)
    urls = [line.split()[1] for line in sources(suite)] + " ".join(options.values()).split()
    if "index-url" not in options:
        urls += run(sys.executable, "-c", _DEFAULT, environment={"PYTHONPATH": str(wheel)}).split()
    return {name for url in urls if (name := urllib.parse.urlsplit(url).hostname)}
