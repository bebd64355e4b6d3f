"""Files of requests become files of answers: what `approve`, `rotate member` and `operator approve` share."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedcredit.errors import ConfigError
from server.consortium_output import described, now, opened, said, shown

if TYPE_CHECKING:
    from fedcredit.trust.joining import Request, Role


def approve_requests(
    paths: Sequence[Path],
    *,
    officer: Sequence[str] | None,
    out: Path | None,
    fingerprint: str | None,
    home: Path | None,
    dry_run: bool,
    as_json: bool,
    role: Role = "institution",
    replaces: bool = False,
    is_key_lost: bool = False,
) -> None:
    """Check requests, sign what lets them in, and write an answer beside each request or to `out`.

    Raises:
        SealBroken, RequestRefused, FingerprintRefused, Clash: a request is not what it says, or cannot be let in.
    """
    from fedcredit.trust.fingerprint import read_fingerprint, spaced
    from fedcredit.trust.joining import MAX_REQUEST_BYTES
    from server.consortium.approve import approval
    from server.consortium.clash import check_replaces, read_requests
    from server.consortium.home import Published

    if fingerprint is not None and len(paths) > 1:
        raise ConfigError("--fingerprint", found=f"{len(paths)} requests", expected="one request at a time")
    kept = opened(home)
    data = [_read(path, most=MAX_REQUEST_BYTES) for path in paths]
    requests = read_requests(data, role=role)
    for request, raw in zip(requests, data, strict=True):
        if fingerprint is not None:
            read_fingerprint(fingerprint, of=request.identity.fingerprint)
        if replaces:
            check_replaces(raw, request, kept.current(), is_key_lost=is_key_lost)
        _tell(request)
        if fingerprint is None:
            typer.echo(
                f"  telephone {request.institution}; they must read to you: {spaced(request.identity.fingerprint)}",
                err=True,
            )
    made = approval(kept, requests, now=now(), replaces=replaces, is_rehearsal=dry_run)
    lines = described(kept.current(), made.change)
    for line in lines:
        typer.echo(line, err=True)
    if dry_run:
        facts = {"change": made.change.change, "dry_run": True, "changes": lines}
        said(facts, [f"would {made.change.change}"], as_json=as_json)
        return
    outcome = kept.propose(made.change, by=kept.keys(officer or (), made.change), now=now())
    files = []
    if isinstance(outcome, Published):
        files = _copied(outcome.answers, paths, requests, out=out)
    identities = {request.institution: request.identity.fingerprint for request in requests}
    shown(kept, outcome, as_json=as_json, more={"changes": lines, "identities": identities}, files=files)


def _read(path: Path, *, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except FileNotFoundError:
        raise ConfigError(
            "X.fcreq", found=f"no file {path}", expected="a request", hint="fedcredit node request"
        ) from None


def _tell(request: Request) -> None:
    here = request.environment
    typer.echo(
        f"{request.institution}: fedcredit {here.fedcredit or '-'}, flwr {here.flwr or '-'}, "
        f"torch {here.torch or '-'}, Python {here.python}, {here.platform}; {here.cpus} processors, "
        f"{here.memory_gib:g} GiB of memory, {here.disk_free_gib:g} GiB free",
        err=True,
    )
    skew = abs((now() - here.clock_utc).total_seconds())
    if skew > 86_400:
        typer.echo(f"  the request was made {skew / 86_400:.0f} days from now, by that machine's clock", err=True)


def _copied(
    answers: Mapping[str, Path], paths: Sequence[Path], requests: Sequence[Request], *, out: Path | None
) -> list[Path]:
    copied = []
    for path, request in zip(paths, requests, strict=True):
        target = path.with_suffix(".fcjoin")
        if out is not None:
            target = out / target.name if len(paths) > 1 or out.is_dir() else out
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(answers[request.institution], target)
        copied.append(target)
    return copied
