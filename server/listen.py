"""The ingest application becomes a listening server."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import ConfigError
from server.ingest import Ingest
from server.writer import MOST_WAITING

SECONDS_TO_FINISH = 30  # requests that are under way when the server is told to stop


def listen(
    store: Path, *, host: str, port: int, token: str | None, on_listening: Callable[[str], None] = lambda at: None
) -> None:
    """Serve until SIGTERM or SIGINT; then what waits is committed, answered, and the store closed.

    Raises:
        ConfigError: the address cannot be had.
        TableError: the store cannot be opened.
    """
    with bind(host, port) as listener:
        app = Ingest(DuckStore(store), token=token)
        server = uvicorn.Server(settings(app))
        name = f"[{host}]" if ":" in host else host
        on_listening(f"http://{name}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens, so that whoever is told the address can connect at once."""
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as fault:
        found = f"{host}:{port}, which cannot be had ({fault.strerror})"
        raise ConfigError("--host, --port", found=found, expected="a free address of this machine") from None
    return listener


def settings(app: Ingest) -> uvicorn.Config:
    """uvicorn without its access log: a request's line names a company."""
    return uvicorn.Config(
        app,
        access_log=False,
        ws="none",
        log_level="warning",
        lifespan="on",
        server_header=False,
        date_header=False,
        limit_concurrency=2 * MOST_WAITING,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
