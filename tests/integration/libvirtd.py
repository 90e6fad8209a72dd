# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A libvirtd of a test's own, for the test driver behind a socket: what one process defines, the next one sees.

It runs as an unprivileged user (``nobody`` where the tests run as root), so it touches nothing of the machine's own
libvirt: no network is started, no domain seen.
"""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time

# The test driver would keep state per process; behind a daemon it keeps it while one connection is open.
CONFIGURATION = 'auth_unix_rw = "none"\nlisten_tls = 0\nmax_clients = 200\n'


class Libvirtd:
    """``uri`` is the test driver's in this daemon."""

    def __init__(self) -> None:
        # Not in pytest's directory, which other users may not enter; and a socket's path is short.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="archipel-"))
        self.socket = self.directory / "libvirt/libvirt-sock"
        self.uri = f"test+unix:///default?socket={self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.directory / "libvirtd.conf").write_text(CONFIGURATION)
        command = ["libvirtd", "--config", str(self.directory / "libvirtd.conf")]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
            command = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *command]
        names = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={"PATH": path, **dict.fromkeys(names, str(self.directory))},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()

    def _listens(self) -> bool:
        """The socket is there a moment before anybody listens."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while not self._listens():
            if time.monotonic() > end or self._process is None or self._process.poll() is not None:
                raise RuntimeError("libvirtd did not start:\n" + (self.directory / "log").read_text()[-3000:])
            time.sleep(0.05)

    def halt(self) -> None:
        """End it; what it kept in files stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def stop(self) -> None:
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)
