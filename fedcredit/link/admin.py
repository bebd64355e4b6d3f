"""A question becomes the answer of a Caddy's administration, over the socket in its folder."""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path

MAX_ANSWER_BYTES = 1024 * 1024


def socket_in(folder: Path) -> Path:
    """Where the Caddy of this folder is administrated."""
    return folder / "admin.sock"


def ask(folder: Path, method: str, path: str, *, body: bytes | None = None, wait: float) -> tuple[int, str]:
    """Status and text of one answer. Raises OSError when nobody answers within `wait` seconds."""
    connection = _Administration(folder, wait=wait)
    try:
        # Without the second header Caddy does nothing when only the files behind a configuration changed.
        headers = {"Content-Type": "application/json", "Cache-Control": "must-revalidate"}
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_ANSWER_BYTES).decode("utf-8", errors="replace")
    except http.client.HTTPException as fault:
        raise OSError(type(fault).__name__) from None
    finally:
        connection.close()


class _Administration(http.client.HTTPConnection):
    """HTTP over the folder's socket, however long the folder's name is (a socket's is at most 107 bytes)."""

    def __init__(self, folder: Path, *, wait: float) -> None:
        super().__init__("127.0.0.1", timeout=wait)
        self._folder = folder

    def connect(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{handle}/{socket_in(self._folder).name}")
        except OSError:
            self.sock.close()
            raise
        finally:
            os.close(handle)
