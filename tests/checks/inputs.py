#!/usr/bin/env python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what others wrote: all XML documents that Debian's libvirt and virt-manager carry, in packages and in sources.

Each has to be told in our words, and to say the same when all that was told is written again. What libvirt's own schema
refuses does not count: it was made to be refused, or for another version. Archives are fetched through this machine's
apt and kept; they are read without being unpacked.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import functools
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import typing as t

from lxml import etree

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMAS = pathlib.Path("/usr/share/libvirt/schemas")
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
sys.path.insert(0, str(ROOT / "plugins/module_utils"))

from archipel import definition, given, network_definition, nwfilters, pool, secrets, snapshots, volume, xmltree  # noqa: E402
from archipel.elements import Attribute, Map  # noqa: E402
from archipel.errors import ArchipelError  # noqa: E402

SOURCES: t.Final = ("libvirt", "virt-manager")
Documents = t.Iterator[tuple[str, str]]


class Problem(Exception):
    """What is wrong with a document in our hands."""


# -- where they come from


def run(*command: str, **more: t.Any) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def sources_list() -> str:
    """Lines for the sources of Debian, from where this machine has Debian's packages from; and of its stable release,
    since archives of older ones have not always kept all."""
    listing = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)",
                  "Created-By: Packages")  # fmt: skip
    found = dict.fromkeys(line.partition(" ")[2] for line in listing.splitlines() if line.startswith("Debian "))
    if not found:
        raise SystemExit("apt on this machine knows no archive of Debian; run apt-get update.")
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    stable = f"{next(iter(found)).split()[0]} stable main"
    return "".join(f"deb-src {signed}{line}\n" for line in dict.fromkeys((*found, stable)))


def fetch(cache: pathlib.Path) -> list[pathlib.Path]:
    """Archives of the sources, and of the packages that are made of them, kept until the sources are others."""
    lines = sources_list()
    state = cache / "apt"
    (state / "lists/partial").mkdir(parents=True, exist_ok=True)
    (state / "sources.list").write_text(lines)
    options = [f"-oDir::Etc::SourceList={state}/sources.list", "-oDir::Etc::SourceParts=/dev/null",
               f"-oDir::State::Lists={state}/lists", "-oAPT::Sandbox::User=root"]  # fmt: skip
    print("fetching lists of sources")
    run("apt-get", "-qq", *options, "update")
    known = set(run("apt-cache", "pkgnames").split())
    stanzas = {name: run("apt-cache", *options, "showsrc", "--only-source", name).split("\n\n") for name in SOURCES}
    directory = cache / hashlib.sha256(repr((stanzas, lines)).encode()).hexdigest()[:12]
    partial = directory.with_suffix(".partial")
    if not directory.exists():
        partial.mkdir(exist_ok=True)
        for name in SOURCES:
            packages = set(fetch_source(name, stanzas[name], partial, options))
            run("apt-get", "-qq", "download", *sorted(packages & known), cwd=partial)
        partial.rename(directory)
    return sorted(
        file for file in directory.iterdir() if file.suffix in (".xz", ".gz", ".deb") and ".asc" not in file.name
    )


def fetch_source(name: str, stanzas: list[str], directory: pathlib.Path, options: list[str]) -> list[str]:
    """The oldest version that the archive has, as libvirt's schema on this machine is not the newest either; the names
    of its packages."""
    found = [dict(line.split(": ", 1) for line in s.replace("\n ", " ").splitlines() if ": " in line) for s in stanzas]
    versions = {stanza["Version"]: stanza["Binary"].split(", ") for stanza in found if stanza}
    errors = ""
    for version in sorted(versions, key=functools.cmp_to_key(older)):
        command = ("apt-get", "-qq", *options, "source", "--download-only", f"{name}={version}")
        done = subprocess.run(command, cwd=directory, check=False, capture_output=True, text=True)
        print(f"{name} {version}: {'fetched' if done.returncode == 0 else 'the archive does not have it'}")
        if done.returncode == 0:
            return versions[version]
        errors += done.stderr
    raise SystemExit(f"No source of {name} can be fetched.\n{errors}")


def older(one: str, other: str) -> int:
    return -1 if not subprocess.run(("dpkg", "--compare-versions", one, "lt", other), check=False).returncode else 1


def documents(archive: pathlib.Path) -> Documents:
    """The XML in an archive, and in what is compressed in it."""
    with contextlib.ExitStack() as closing:
        if archive.suffix == ".deb":
            unpacked = subprocess.run(("dpkg-deb", "--fsys-tarfile", archive), check=True, stdout=subprocess.PIPE)
            members = closing.enter_context(tarfile.open(fileobj=io.BytesIO(unpacked.stdout)))
        else:
            members = closing.enter_context(tarfile.open(archive))
        for member in members:
            if member.isfile() and member.name.endswith((".xml", ".xml.in", ".xml.gz")):
                held = t.cast(t.IO[bytes], members.extractfile(member)).read()
                if member.name.endswith(".gz"):
                    held = gzip.decompress(held)
                yield f"{archive.name}:{member.name}", held.decode(errors="replace")


# -- what is done with them


def domain(text: str) -> str:
    """A machine's definition: what is told of it, written again at its place, changes nothing in the document; what
    stands in several places, or has several forms, is told the same again."""
    node = xmltree.parse(text, "domain")
    told = definition.read(node)
    json.dumps(told, default=_no_data)
    same, alike = copy.deepcopy(node), copy.deepcopy(node)
    for part in (definition.DOMAIN, *definition.PARTS.values()):
        plain = {attribute.key for attribute in part.attributes if type(attribute) in (Attribute, Map)}
        for written, keys in ((same, plain), (alike, {attribute.key for attribute in part.attributes})):
            for place in [written] if part.path == "." else written.findall(part.path):
                values = part.read(place).items()
                part.write(place, {key: value for key, value in values if key in keys and value is not None})
    for one, other in ((node, same), (same, node)):
        for change in given.compare(one, other):
            raise Problem(f"{change.path}: {change.old!r} became {change.new!r}")
    again = definition.read(alike)
    for key, value in told.items():
        if value is not None and again[key] != value:
            raise Problem(f"{key}: {value!r} is told as {again[key]!r}")
    return xmltree.serialise(same)


def network(text: str) -> str:
    """A network's definition: what is told of it makes the same network, from nothing and where it stands."""
    node = xmltree.parse(text, "network")
    told = network_definition.NETWORK.read(node)
    json.dumps(told, default=_no_data)
    same, new = copy.deepcopy(node), network_definition.new("new", None)
    for written in (same, new):
        network_definition.NETWORK.write(written, _said(told), "set")
        for edit in network_definition.compare(node, written):
            raise Problem(f"became another one: {edit.changes}")
    for edit in network_definition.compare_rest(node, same):
        raise Problem(f"lost what has no option: {edit.changes}")
    return xmltree.serialise(same)


def nwfilter(text: str) -> str:
    """A network filter: what is told of it makes the same filter from nothing, each attribute of its rules."""
    node = xmltree.parse(text, "filter")
    told = nwfilters.read(node)
    json.dumps(told, default=_no_data)
    new = xmltree.element("filter", name=node.get("name"))
    nwfilters.write(new, _said(told))
    for change in nwfilters.compare(node, new):
        raise Problem(f"{change.path}: {change.old!r} became {change.new!r}")
    for rule, written in zip(node.findall("rule"), new.findall("rule"), strict=True):
        # libvirt lets a protocol stand in several elements, and matches unless it is told not to.
        old, made = ({k: v for each in r for k, v in each.attrib.items() if v != "yes"} for r in (rule, written))
        if old != made:
            raise Problem(f"the rule {old} became {made}")
    return xmltree.serialise(new)


def _said(told: t.Any) -> t.Any:
    """What is told without what is not there."""
    if isinstance(told, dict):
        return {key: _said(value) for key, value in told.items() if value is not None}
    return [_said(value) for value in told] if isinstance(told, list) else told


def _no_data(value: t.Any) -> t.Any:
    raise Problem(f"{value!r} is nothing that can be told")


def storagepool(text: str) -> str:
    return plain(text, "pool", pool.PoolDefinition.read, lambda node, told: pool.PoolDefinition(told).write(node))


def storagevol(text: str) -> str:
    return plain(text, "volume", volume.VolumeDefinition.read, lambda n, told: volume.VolumeDefinition(told).write(n))


def secret(text: str) -> str:
    return plain(text, "secret", secrets.ELEMENT.read, secrets.ELEMENT.write)


def domainsnapshot(text: str) -> str:
    """A snapshot: it is described, and what is told of it and of its disks, written again, changes nothing."""

    def write(node: t.Any, told: t.Mapping[str, t.Any]) -> None:
        snapshots.SNAPSHOT.write(node, told)
        for disk in node.iterfind("disks/disk"):
            snapshots.DISK.write(disk, _named(snapshots.DISK.read(disk)))

    json.dumps(snapshots.describe(xmltree.parse(text, "domainsnapshot")), default=_no_data)
    return plain(text, "domainsnapshot", snapshots.SNAPSHOT.read, write)


def plain(text: str, root: str, read: t.Callable[[t.Any], t.Any], write: t.Callable[[t.Any, t.Any], t.Any]) -> str:
    """A document without devices: what is told of it, written again at its place, changes nothing in it."""
    node = xmltree.parse(text, root)
    told = read(node)
    json.dumps(told, default=_no_data)
    same = copy.deepcopy(node)
    write(same, _named(told))
    for one, other in ((node, same), (same, node)):
        for change in pool.differences(one, other):
            raise Problem(f"{change.path}: {change.old!r} became {change.new!r}")
    if read(same) != told:
        raise Problem(f"{told!r} is told as {read(same)!r}")
    return xmltree.serialise(same)


def _named(told: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is there of what was told."""
    inner = {key: _named(value) if isinstance(value, dict) else value for key, value in told.items()}
    return {key: value for key, value in inner.items() if value not in (None, {})}


# What is done with the documents of each root. A function gets the text of one that libvirt's schema of the function's
# name takes, and gives it back, written again; Problem says what is wrong.
KINDS: t.Final[dict[str, t.Callable[[str], str]]] = {
    "domain": domain,
    "domainsnapshot": domainsnapshot,
    "filter": nwfilter,
    "network": network,
    "pool": storagepool,
    "secret": secret,
    "volume": storagevol,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / ".cache/inputs")
    parser.add_argument("archives", nargs="*", type=pathlib.Path, help="in place of what Debian has")
    parser.add_argument("--show", action="store_true", help="each document that is left out, and why")
    options = parser.parse_args()
    schemas = {root: etree.RelaxNG(etree.parse(SCHEMAS / f"{kind.__name__}.rng")) for root, kind in KINDS.items()}
    archives = options.archives or fetch(options.cache)
    counts: dict[str, collections.Counter[str]] = {root: collections.Counter() for root in KINDS}
    problems, seen = [], set()
    for archive in archives:
        for name, text in documents(archive):
            try:
                node = etree.fromstring(text.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
            except etree.XMLSyntaxError:
                continue
            if node.tag not in KINDS:
                continue
            digest = hashlib.sha256(text.encode()).digest()
            if digest in seen:
                counts[node.tag]["again"] += 1
                continue
            seen.add(digest)
            if not schemas[node.tag].validate(node):
                counts[node.tag]["refused by libvirt's schema"] += 1
                if options.show:
                    print("refused:", name)
                continue
            counts[node.tag]["read"] += 1
            try:
                written = etree.fromstring(KINDS[node.tag](text))
                if not schemas[node.tag].validate(written):
                    raise Problem(f"is no longer valid: {schemas[node.tag].error_log.last_error}")
            except (Problem, ArchipelError, ValueError, TypeError, LookupError, AttributeError) as error:
                problems.append(f"{name}: {type(error).__name__}: {error}")
    for root, count in counts.items():
        print(f"<{root}>:", ", ".join(f"{number} {what}" for what, number in count.most_common()) or "none")
        if not count["read"]:
            problems.append(f"no <{root}> was read")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"
    sys.exit(main())
