# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's configuration: a TOML file, read whole or refused with everything that is wrong in it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import ssl
import tomllib
import types
import typing as t

import slixmpp
from archipel.actions import nearest
from archipel.tags import FORM, TAG

DEFAULT_FILE: t.Final = pathlib.Path("/etc/archipel/agent.toml")
_NAMES: t.Final = {str: "a string", int: "a whole number", float: "a number", tuple: "a list of strings"}


class ConfigError(Exception):
    """``faults`` are sentences, one for each thing that is wrong."""

    def __init__(self, faults: t.Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


@dataclasses.dataclass(frozen=True)
class Xmpp:
    """The hypervisor's account. ``hosts`` are the server's nodes; without any they are found by the domain's SRV
    records. Without ``ca_file`` the system's certificate authorities are trusted. No stanza larger than
    ``max_stanza_size`` bytes is sent, because the server would close the stream."""

    jid: str
    password_file: pathlib.Path
    hosts: tuple[str, ...] = ()
    port: int = 5222
    ca_file: pathlib.Path | None = None
    max_stanza_size: int = 4_194_304

    @property
    def domain(self) -> str:
        return slixmpp.JID(self.jid).domain

    def password(self) -> str:
        return self.password_file.read_text().strip()


@dataclasses.dataclass(frozen=True)
class Libvirt:
    """``migration_uri`` is where the other hypervisors' libvirt reaches this one."""

    uri: str = "qemu:///system"
    migration_uri: str | None = None


@dataclasses.dataclass(frozen=True)
class Push:
    """``urls_file`` has an Apprise URL a line. Events are pushed that fit all of the others, as far as they are given:
    types of events, names or patterns of machines, states of machines, outcomes."""

    urls_file: pathlib.Path
    types: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Guard:
    """At boot libvirt starts no machines; the agent does, when it knows that this hypervisor was not fenced meanwhile.
    As long as they are to be started there is the file ``held``. ``start_without_server`` is after how many seconds
    they are started though the XMPP server cannot be asked; 0 is never."""

    held: pathlib.Path
    start_without_server: int = 0


@dataclasses.dataclass(frozen=True)
class Coordinates:
    """Degrees of WGS 84, to the north and to the east."""

    latitude: float
    longitude: float


@dataclasses.dataclass(frozen=True)
class Config:
    """``contacts``: which machines are contacts, ``managed``, ``all`` or ``none``. ``administrators`` and ``peers`` are
    bare JIDs; peers are the other hypervisors' accounts. Below the directories ``exchange`` who may change storage can
    have files read into volumes and written from them. ``site`` is where the hypervisor stands, a word like a tag,
    and ``coordinates`` where that is."""

    name: str
    xmpp: Xmpp
    libvirt: Libvirt
    contacts: str = "managed"
    state_dir: pathlib.Path = pathlib.Path("/var/lib/archipel")
    administrators: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    exchange: tuple[str, ...] = ()
    site: str | None = None
    coordinates: Coordinates | None = None
    push: tuple[Push, ...] = ()
    guard: Guard | None = None

    @property
    def jid(self) -> str:
        """The full JID of the hypervisor's contact."""
        return f"{self.xmpp.jid}/{self.name}"


def load(path: pathlib.Path) -> Config:
    """The configuration in this file; ConfigError with every fault that was found."""
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}."]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}."]) from None
    faults: list[str] = []
    config = _table(Config, document, "", faults)
    if config is not None:
        faults.extend(_contradictions(config))
    if faults or config is None:
        raise ConfigError([f"{path}: {fault}" for fault in faults])
    return config


T = t.TypeVar("T")


def _table(kind: type[T], document: t.Any, where: str, faults: list[str]) -> T | None:
    """An instance of the dataclass from a table; None when something that it needs is wrong."""
    hints = t.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in document:
        if key not in fields:
            faults.append(f"{where}{key}: unknown setting.{nearest(key, fields)}")
    values: dict[str, t.Any] = {}
    before = len(faults)
    for name, field in fields.items():
        if name in document:
            values[name] = _value(hints[name], document[name], f"{where}{name}", faults)
        elif dataclasses.is_dataclass(hints[name]):
            values[name] = _table(t.cast(type, hints[name]), {}, f"{name}.", faults)
        elif field.default is dataclasses.MISSING:
            faults.append(f"{where}{name}: must be set.")
    return kind(**values) if len(faults) == before else None


def _value(hint: t.Any, value: t.Any, where: str, faults: list[str]) -> t.Any:
    kinds = [kind for kind in t.get_args(hint) if kind is not types.NoneType] if t.get_origin(hint) is not tuple else []
    kind = kinds[0] if kinds else t.get_origin(hint) or hint
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _table(t.cast(type, kind), value, f"{where}.", faults)
    if kind is pathlib.Path and isinstance(value, str):
        return pathlib.Path(value)
    if kind is tuple and dataclasses.is_dataclass(t.get_args(hint)[0]) and isinstance(value, list):
        return tuple(_value(t.get_args(hint)[0], item, f"{where}[{i}]", faults) for i, item in enumerate(value))
    if kind is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind in (str, int) and isinstance(value, kind) and not isinstance(value, bool):
        return value
    wanted = "a string" if kind is pathlib.Path else _NAMES.get(kind, "a table")
    faults.append(f"{where}: {value!r} is not {wanted}.")
    return None


def _contradictions(config: Config) -> t.Iterator[str]:
    if config.contacts not in ("managed", "all", "none"):
        yield f"contacts: {config.contacts!r} is not possible; it is one of managed, all, none."
    if config.site is not None and not TAG.fullmatch(config.site):
        yield f"site: {config.site!r} cannot be a site's name; it has {FORM}."
    for key, most in (("latitude", 90), ("longitude", 180)):
        # NaN is not in the range either.
        if config.coordinates is not None and not -most <= (degrees := getattr(config.coordinates, key)) <= most:
            yield f"coordinates.{key}: {degrees} is not between -{most} and {most}."
    if not 0 < config.xmpp.port < 65536:
        yield f"xmpp.port: {config.xmpp.port} is not a port."
    for key, jids in (
        ("xmpp.jid", [config.xmpp.jid]),
        ("administrators", config.administrators),
        ("peers", config.peers),
    ):
        for jid in jids:
            if not _is_bare(jid):
                yield f"{key}: {jid!r} is not a JID of the form name@domain."
    if _is_bare(config.xmpp.jid) and slixmpp.JID(config.xmpp.jid).local != config.name:
        yield f"name: the hypervisor {config.name!r} must have the account {config.name}@…, not {config.xmpp.jid}."
    for key, path in (("xmpp.password_file", config.xmpp.password_file), ("xmpp.ca_file", config.xmpp.ca_file)):
        if path is not None and not os.access(path, os.R_OK):
            yield f"{key}: {path} does not exist or may not be read by this user."
        elif key == "xmpp.password_file" and path is not None and path.stat().st_mode & 0o007:
            yield f"{key}: {path} can be read by everyone; chmod 600 it."
    if config.xmpp.ca_file is not None and os.access(config.xmpp.ca_file, os.R_OK):
        try:
            ssl.create_default_context(cafile=str(config.xmpp.ca_file))
        except ssl.SSLError:
            yield f"xmpp.ca_file: {config.xmpp.ca_file} holds no certificates in PEM."
    for directory in config.exchange:
        if not os.path.isabs(directory) or not os.path.isdir(directory):
            yield f"exchange: {directory} is not a directory, or not written from the root on."
    if not os.access(config.state_dir, os.W_OK | os.X_OK):
        yield f"state_dir: {config.state_dir} does not exist or may not be written by this user."


def _is_bare(jid: str) -> bool:
    try:
        parsed = slixmpp.JID(jid)
    except slixmpp.InvalidJID:
        return False
    return bool(parsed.local and parsed.domain and not parsed.resource)
