"""What a promotion came to becomes lines for a person, or one JSON object; shared by the commands of promotion."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from server.consortium_output import said

if TYPE_CHECKING:
    from server.promotion.desk import Desk
    from server.promotion.history import Promoted
    from server.promotion.promote import Trial


def show_champion(desk: Desk, champion: Promoted, *, began: float, runs: Path, as_json: bool) -> None:
    """Say at once who is champion, since a service sees it now; the registry's aliases take seconds more."""
    seconds = time.monotonic() - began
    typer.echo(f"{desk.name}: champion is version {champion.version}, after {seconds:.2f} s", err=True)
    facts = {
        "model": desk.name,
        **champion.as_dict(),
        "seconds": round(seconds, 3),
        "aliases": moved_aliases(desk, runs),
    }
    said(facts, [f"champion {champion.version} {champion.bundle_sha256[:12]}"], as_json=as_json)


def moved_aliases(desk: Desk, runs: Path) -> str:
    """`follow`, once the registry's aliases say what the desk says, or `lag` with the reason on stderr."""
    from server.promotion.aliases import AliasesLag, follow_aliases

    try:
        moved = follow_aliases(desk, runs=runs)
    except AliasesLag as fault:
        typer.echo(f"{fault}", err=True)
        return "lag"
    if moved:
        typer.echo(f"aliases in the registry moved: {', '.join(moved)}", err=True)
    return "follow"


def tell_verdicts(trial: Trial) -> None:
    """Every gate's verdict on stderr, before a person signs or a promotion is tried."""
    if trial.evidence is not None and trial.evidence.data.synthetic:
        typer.echo("the evidence comes from synthetic data", err=True)
    for verdict in trial.verdicts:
        typer.echo(f"  {verdict}", err=True)


def on_one_line(facts: Mapping[str, Any]) -> str:
    """The facts of an entry on one line, digests by their start."""
    short = {
        name: value[:12] if isinstance(value, str) and len(value) == 64 else value for name, value in facts.items()
    }
    words = [
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in short.items()
        if value not in (None, "", [])
    ]
    return " ".join(words)


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines with their cells below each other."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
