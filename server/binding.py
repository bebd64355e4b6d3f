"""A host and a port become a socket that listens, so that whoever is told the address can connect at once."""

from __future__ import annotations

import socket

from fedcredit.errors import ConfigError


def bind(host: str, port: int) -> socket.socket:
    """The listening socket. Raises ConfigError: the address cannot be had."""
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as fault:
        found = f"{host}:{port}, which cannot be had ({fault.strerror})"
        raise ConfigError("--host, --port", found=found, expected="a free address of this machine") from None
    return listener
