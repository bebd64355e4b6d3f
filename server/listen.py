"""The ingest application becomes a listening server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import uvicorn

from fedcredit.data.store.duck import DuckStore
from server.binding import bind
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
