"""`fedcredit serve score|key|token|revoke`: the scoring service, and who may ask it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.errors import ConfigError

RUNS, KEYS = Path("runs"), "serving"
Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs, with the desks of models.")]
Keys = Annotated[Path | None, typer.Option("--keys", help="Folder of the token keys; else RUNS/serving.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Doubt = Annotated[str, typer.Option(help="refuse, or grade and say so.")]


def score(
    model: Annotated[str, typer.Option("--model", help="Registered name of the model whose champion serves.")],
    runs: Runs = RUNS,
    keys: Keys = None,
    host: Annotated[
        str, typer.Option("--host", help="A loopback address: the gateway is who others reach.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8790,
    missing: Doubt = "grade",
    outside: Doubt = "refuse",
    stale: Doubt = "refuse",
    least_coverage: Annotated[float, typer.Option(help="Share of known cells below which nobody is graded.")] = 0.25,
    per_second: Annotated[float, typer.Option(help="Requests a second of one token.")] = 500.0,
    challenger_share: Annotated[float, typer.Option(help="Share of companies that the challenger answers.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Score companies over HTTP by the promoted champion; follows promotions and rollbacks without a restart."""
    from server.scoring.policy import Policy, doubt
    from server.serve_cli import is_loopback

    if not is_loopback(host):
        hint = "others come through the consortium's gateway: scoring in consortium.yaml"
        raise ConfigError("--host", found=host, expected="a loopback address", hint=hint)
    policy = Policy(
        missing=doubt(missing),
        outside=doubt(outside),
        stale=doubt(stale),
        least_coverage=least_coverage,
        per_second=per_second,
        burst=2 * per_second,
        challenger_share=challenger_share,
    )

    from server.scoring.running import application, desk_of, listen

    desk = desk_of(runs, model)
    if not desk.is_dir():
        hint = "fedcredit model list shows the names; fedcredit model gates init founds a desk"
        raise ConfigError("--model", found=f"no desk of {model!r}", expected="a promoted model", hint=hint)
    app = application(desk, keys or runs / KEYS, policy)

    def tell(at: str) -> None:
        typer.echo(json.dumps({"listening": at, "model": model}) if as_json else f"{at} scores with {model}")
        sys.stdout.flush()

    # uvicorn raises the signal again when it is done: then it is not an error.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    listen(app, host=host, port=port, on_listening=tell)


def key(
    runs: Runs = RUNS,
    keys: Keys = None,
    renew: Annotated[bool, typer.Option(help="Replace a key.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop-old", help="Tokens of the key before count no more: after a leak of it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the key that tokens are signed with; tokens that the key before it has signed count until they run out.

    `--renew --drop-old` ends all tokens at once; `--drop-old` alone, those of the key before one that was renewed.
    """
    from server.scoring.tokens import KEY_FILE, PUBLIC_FILE, drop_old, new_key

    folder = keys or runs / KEYS
    if (folder / KEY_FILE).exists() and not (renew or drop):
        hint = "--renew makes a new one; tokens of this one then count until they run out"
        raise ConfigError("--keys", found=f"a {KEY_FILE} already", expected="none", hint=hint)
    public = folder / PUBLIC_FILE
    if (folder / KEY_FILE).exists() and not renew:
        drop_old(folder)
    else:
        public = new_key(folder, is_old_dropped=drop)
    told = {"key": str(folder / KEY_FILE), "public": str(public)}
    typer.echo(json.dumps(told) if as_json else f"{told['key']} signs, {told['public']} verifies")


def token(
    role: Annotated[str, typer.Option("--role", help="data_scientist, institution, ops or auditor.")],
    name: Annotated[str, typer.Option("--name", help="Whom it speaks for.")],
    days: Annotated[float, typer.Option("--days", help="How long it counts.")] = 7.0,
    certificate: Annotated[
        str | None, typer.Option("--certificate", help="SHA-256 of the certificate that must be shown with it.")
    ] = None,
    runs: Runs = RUNS,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Make a token for one name and role. It is shown once, and stored nowhere."""
    from server.scoring.tokens import issue

    made, caller = issue(keys or runs / KEYS, name=name, role=role, days=days, certificate=certificate)
    if as_json:
        told = {"token": made, "jti": caller.jti, "expires": f"{caller.expires:%Y-%m-%dT%H:%M:%SZ}", "role": role}
        typer.echo(json.dumps(told))
        return
    typer.echo(made)
    typer.echo(f"number {caller.jti}, until {caller.expires:%Y-%m-%d %H:%M} UTC", err=True)


def revoke(
    jti: Annotated[str, typer.Argument(metavar="NUMBER", help="Of the token, as `serve token` printed it.")],
    runs: Runs = RUNS,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Let a token count no more; running services follow within a second."""
    from server.scoring.tokens import revoke as revoke_token

    revoke_token(keys or runs / KEYS, jti)
    typer.echo(json.dumps({"revoked": jti}) if as_json else f"revoked {jti}")
