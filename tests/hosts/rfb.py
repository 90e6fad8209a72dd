# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of VNC (RFC 6143, 7.1 and 7.2) as it takes to find out whether one is let in. Runs on a host:
``python3 - PORT [PASSWORD]``."""

from __future__ import annotations

import socket
import subprocess
import sys

NONE, PASSWORD = 1, 2


def encrypted(challenge: bytes, password: str) -> bytes:
    """By DES, of which VNC takes the key's bits in the other order."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    line = ["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy", "-provider", "default"]
    return subprocess.run(line, check=True, input=challenge, capture_output=True).stdout


def exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def knock(port: int, password: str) -> str:
    """``open``, ``in`` or ``refused``."""
    with socket.create_connection(("127.0.0.1", port), 5) as stream:
        stream.sendall(exactly(stream, len("RFB 003.008\n")))
        kinds = exactly(stream, exactly(stream, 1)[0])
        if NONE in kinds:
            return "open"
        stream.sendall(bytes([PASSWORD]))
        stream.sendall(encrypted(exactly(stream, 16), password))
        return "refused" if any(exactly(stream, 4)) else "in"


if __name__ == "__main__":
    print(knock(int(sys.argv[1]), (sys.argv[2:] or [""])[0]))
