"""`fedcredit serve`: programs that answer requests until they are told to stop."""

from __future__ import annotations

import ipaddress
import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.errors import ConfigError
from server.scoring_cli import key, revoke, score, token

serve = typer.Typer(name="serve", no_args_is_help=True, help="Answer requests over HTTP until told to stop.")
SHORTEST_TOKEN = 16


@serve.callback()
def _group() -> None:
    """Answer requests over HTTP until told to stop."""


@serve.command("ingest")
def serve_ingest(
    store: Annotated[Path, typer.Option("--store", help="The event store; made where there is none.")],
    host: Annotated[str, typer.Option("--host", help="Any but a loopback address needs --token-file.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8787,
    token_file: Annotated[Path | None, typer.Option("--token-file", help="File with the bearer token.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print where it listens as JSON.")] = False,
) -> None:
    """Take events by HTTP into an event store; each request is answered when its events are durable."""
    token = read_token(token_file) if token_file else None
    if token is None and not is_loopback(host):
        raise ConfigError("--host", found=f"{host} without --token-file", expected="a loopback address, or a token")

    from server.listen import listen

    def tell(at: str) -> None:
        told = {"listening": at, "store": str(store), "token": token is not None}
        typer.echo(json.dumps(told) if as_json else f"{at} takes events into {store}")
        sys.stdout.flush()

    # uvicorn raises the signal again when it is done: then it is not an error.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    listen(store, host=host, port=port, token=token, on_listening=tell)


def read_token(path: Path) -> str:
    """The token that a file holds.

    Raises:
        ConfigError: there is no such file, or what it holds is too short or not one word of ASCII.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(str(path), found="a file that cannot be read", expected="a token") from None
    if len(token) < SHORTEST_TOKEN or not token.isascii() or len(token.split()) != 1:
        expected = f"one word of at least {SHORTEST_TOKEN} ASCII characters"
        hint = "openssl rand -hex 32 makes one"
        raise ConfigError(str(path), found="another text", expected=expected, hint=hint)
    return token


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach the address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


for command in (score, key, token, revoke):
    serve.command(command.__name__)(command)
