# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A volume's content: where it comes from, how it gets into a volume through libvirt's streams, and out again.

Zeros are not sent: they are holes of the stream (VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM), so that a sparse image
stays sparse, wherever it came from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import stat
import tempfile
import time
import typing as t

from .actions import Progress
from .connection import doing, libvirt
from .errors import Forbidden, InvalidDefinition, NotFound, OperationFailed, Unavailable, WaitTimeout

CHUNK: t.Final = 1 << 20
_ZEROS: t.Final = bytes(CHUNK)
_SHA256: t.Final = re.compile("(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
_SILENCE = 60  # seconds without a byte after which a web server is given up
_HOLE = -3  # virStreamRecvFlags, with VIR_STREAM_RECV_STOP_AT_HOLE

Piece = t.Union[bytes, int]  # data, or the length of a hole


@dataclasses.dataclass(frozen=True)
class Terms:
    """On which content moves: until when (``time.monotonic``), telling whom, and below which directories files of the
    host may be read and written. ``directories`` is None where who asks has no more rights than this process."""

    until: float
    progress: Progress
    directories: tuple[str, ...] | None

    def look(self, doing: str, done: int, total: int) -> None:
        """Tell how far it is; WaitTimeout if it is too late."""
        self.progress(doing, done / total if total else None)
        if time.monotonic() > self.until:
            raise WaitTimeout(f"{doing}: {done} of {total} bytes were done when the time was over (wait_timeout).")

    def allow(self, path: str) -> None:
        """Forbidden, where this is not below one of the directories. ``path`` has no symbolic links."""
        if self.directories is None:
            return
        for directory in self.directories:
            if os.path.commonpath([path, os.path.realpath(directory)]) == os.path.realpath(directory):
                return
        where = f"below {' or '.join(self.directories)}" if self.directories else "nowhere"
        raise Forbidden(
            f"{path}: this agent reads and writes files {where} (exchange in its configuration). Put the file there, or"
            " use a URL with its checksum."
        )


@dataclasses.dataclass
class Source:
    """Bytes that can be read once, and how many there are; then ``digest`` is their SHA-256, in hex. ``_faults`` is
    what reading may raise."""

    name: str
    length: int
    _file: t.Any
    _faults: tuple[type[Exception], ...] = (OSError,)
    _hash: t.Any = dataclasses.field(default_factory=hashlib.sha256)

    def __iter__(self) -> t.Iterator[bytes]:
        left = self.length
        while left:
            try:
                chunk = self._file.read(min(CHUNK, left))
            except Exception as error:
                # Which they are, is known where they are imported.
                if not isinstance(error, self._faults):
                    raise
                raise OperationFailed(f"{self.name}: cannot be read further: {error}.") from error
            if not chunk:
                raise OperationFailed(f"{self.name}: ended {left} bytes early, after {self.length - left}.")
            left -= len(chunk)
            self._hash.update(chunk)
            yield chunk

    @property
    def digest(self) -> str:
        return str(self._hash.hexdigest())


def checksum(written: str, where: str) -> str:
    """The SHA-256 that a person wrote, in lower case hex."""
    found = _SHA256.fullmatch(written.strip())
    if not found:
        raise InvalidDefinition(f"{where}: {written[:80]!r} is no SHA-256; write sha256: and 64 hexadecimal digits.")
    return found[1].lower()


@contextlib.contextmanager
def opened(place: str, terms: Terms) -> t.Iterator[Source]:
    """Open a file of this host, or an http or https URL."""
    with _fetched(place) if "://" in place else _own(place, terms) as source:
        yield source


@contextlib.contextmanager
def _own(path: str, terms: Terms) -> t.Iterator[Source]:
    # Before it is opened, since who may not read it may not find out either whether it is there.
    terms.allow(os.path.realpath(path))
    try:
        # A pipe would let us wait for its other end.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            os.close(number)
            raise InvalidDefinition(f"{path}: is not a regular file.")
        with open(number, "rb") as file:
            # Asked again of what is open, so that no link can be put there in between.
            terms.allow(os.path.realpath(f"/proc/self/fd/{number}"))
            yield Source(path, about.st_size, file)
    except FileNotFoundError:
        raise NotFound(f"{path}: there is no such file on the host where this runs.") from None
    except PermissionError:
        raise Forbidden(f"{path}: may not be read by the user as whom this runs.") from None


@contextlib.contextmanager
def _fetched(url: str) -> t.Iterator[Source]:
    """An answer is told of by its status only: who asks may not have the right to read what this host can."""
    # A tenth of what the core takes to import, for what few tasks need.
    import http.client
    import urllib.error
    import urllib.request

    faults = (OSError, http.client.HTTPException)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        answer = opener.open(url, timeout=_SILENCE)
    except urllib.error.HTTPError as error:
        raise OperationFailed(f"{url}: the server answered {error.code}.") from None
    except (*faults, ValueError) as error:
        raise Unavailable(f"{url}: cannot be fetched: {getattr(error, 'reason', error)}.") from None
    with contextlib.closing(answer):
        length = answer.headers.get("Content-Length", "")
        if not length.isdigit():
            raise OperationFailed(f"{url}: the server does not say how long it is; it has to (Content-Length).")
        yield Source(url, int(length), answer, faults)


def upload(handle: t.Any, volume: t.Any, source: Source, terms: Terms) -> None:
    """Write all of the source into the volume, from its begin on."""
    what = f"Upload {source.name} into {volume.name()}"
    write(handle, volume, source.length, _told(source, what, terms), what)


def _told(source: Source, what: str, terms: Terms) -> t.Iterator[Piece]:
    sent = 0
    for chunk in source:
        yield len(chunk) if chunk == _ZEROS[: len(chunk)] else chunk
        sent += len(chunk)
        terms.look(what, sent, source.length)


def write(handle: t.Any, volume: t.Any, length: int, pieces: t.Iterable[Piece], what: str) -> None:
    """Write so many bytes into the volume, from its begin on."""
    stream = handle.newStream()
    try:
        with doing(what):
            volume.upload(stream, 0, length, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
            for piece in pieces:
                if isinstance(piece, bytes):
                    _send(stream, piece)
                else:
                    stream.sendHole(piece)
            stream.finish()
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise


def _send(stream: t.Any, chunk: bytes) -> None:
    while chunk:
        chunk = chunk[stream.send(chunk) :]


def digest(handle: t.Any, volume: t.Any, length: int, terms: Terms) -> str | None:
    """SHA-256 of the first ``length`` bytes of a volume, all of them with 0; None where it has fewer."""
    found, read = hashlib.sha256(), 0
    for chunk in received(handle, volume, length, f"Read {volume.name()}", terms):
        for piece in [chunk] if isinstance(chunk, bytes) else _zeros(chunk):
            found.update(piece)
            read += len(piece)
    return found.hexdigest() if read >= length else None


def place_of(path: str) -> str:
    """Where a file that is written, or written anew, comes to lie."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def download(handle: t.Any, volume: t.Any, path: str, terms: Terms) -> None:
    """Write the volume's content into a file, which is there whole or not at all."""
    terms.allow(place_of(path))
    directory, name = os.path.split(path)
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{name}.", delete=False) as file:
            try:
                for chunk in received(handle, volume, 0, f"Download {volume.name()} into {path}", terms):
                    if isinstance(chunk, bytes):
                        file.write(chunk)
                    else:
                        file.seek(chunk, os.SEEK_CUR)
                file.truncate()
                file.flush()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise OperationFailed(f"{path}: cannot be written: {error.strerror}; nothing was left there.") from error


def digest_of_file(path: str, terms: Terms) -> str:
    with opened(path, terms) as source:
        done = 0
        for chunk in source:
            done += len(chunk)
            terms.look(f"Read {path}", done, source.length)
        return source.digest


def received(handle: t.Any, volume: t.Any, length: int, what: str, terms: Terms) -> t.Generator[Piece, None, None]:
    """The first ``length`` bytes of a volume, all of them with 0."""
    stream, done = handle.newStream(), 0
    with doing(what):
        total = length or volume.info()[1]
        volume.download(stream, 0, length, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
        try:
            while True:
                piece = stream.recvFlags(CHUNK, libvirt.VIR_STREAM_RECV_STOP_AT_HOLE)
                if piece == _HOLE:
                    piece = stream.recvHole()
                elif not piece:
                    break
                yield piece
                done += len(piece) if isinstance(piece, bytes) else piece
                terms.look(what, min(done, total), total)
            stream.finish()
        except BaseException:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
            raise


def _zeros(length: int) -> t.Iterator[bytes]:
    while length:
        yield _ZEROS[: min(length, CHUNK)]
        length -= min(length, CHUNK)
