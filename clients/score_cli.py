"""`fedcredit node score`: the institution's own companies, scored here with the champion that this node verified."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clients.joining_cli import HomeFolder, Json

if TYPE_CHECKING:
    from fedcredit.data.schema import Table
    from fedcredit.models.bundle import Bundle

scoring = typer.Typer()


@scoring.command("score")
def score_here(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV or Parquet; the label column is not needed.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write .csv or .parquet here.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Whose champion, where the node has several.")] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help="Of a CSV, if it is not found out.")] = None,
    reasons: Annotated[
        Literal["zh", "en"] | None, typer.Option("--reasons", help="A column of reasons too, in this language.")
    ] = None,
    level: Annotated[int, typer.Option("--level", help="JR/T 0197-2020 level that a reason may name, 1 to 5.")] = 3,
    home: HomeFolder = None,
    as_json: Json = False,
) -> None:
    """Score a table on this machine with the champion that two officers promoted; nothing is sent or asked for.

    Gives company, period, pd, model_version, coverage, and the grade where the model has a scale. Signatures, manifest
    and files are verified anew each time.
    """
    from clients.champion import champion_of
    from clients.home import find_home
    from fedcredit.credit.score_table import graded, read_to_score, save_scores
    from fedcredit.models.bundle import score
    from fedcredit.trust.manifest import ManifestFile

    node = find_home(home)
    officers = ManifestFile(node.manifest).read(now=datetime.now(UTC)).officers
    champion = champion_of(node.champion, model, officers=officers)
    bundle, promotion = champion.bundle, champion.promotion
    rows = read_to_score(table, bundle.schema, encoding=encoding)
    scores = graded(score(bundle, rows), scale=bundle.scale)
    if reasons is not None:
        scores["reasons"] = _reasons(bundle, rows, language=reasons, level=level)
    thin = int((scores["coverage"] < 1).sum())
    said = f"{promotion.model} {promotion.version}, promoted by {', '.join(promotion.by)}"
    typer.echo(f"{said}: {len(scores)} rows scored, {thin} of them with empty cells in the window", err=True)
    if out is not None:
        save_scores(scores, out)
    if as_json:
        head: dict[str, Any] = {
            "model": promotion.model,
            "model_version": bundle.version,
            "bundle_sha256": bundle.sha256,
        }
        head |= {"promoted_by": list(promotion.by), "rows": len(scores), "out": None if out is None else str(out)}
        if out is None:
            head["scores"] = json.loads(scores.to_json(orient="records", date_format="iso"))
            for one in head["scores"] if reasons is not None else ():
                one["reasons"] = json.loads(one["reasons"])
        typer.echo(json.dumps(head, ensure_ascii=False, indent=1))
    elif out is not None:
        typer.echo(str(out))
    else:
        typer.echo(scores.to_csv(index=False, float_format="%.6g"), nl=False)


def _reasons(bundle: Bundle, rows: Table, *, language: Literal["zh", "en"], level: int) -> list[str]:
    """Reasons of each score as JSON, in the order of the scores; compared with the dictionary's typical values, else the medians."""
    from fedcredit.credit.sentences import as_dict
    from fedcredit.explain import can_compare, explain, medians

    typical = None if can_compare(rows.schema) else medians(rows)
    found = explain(bundle, rows, typical=typical, level=level)
    told = [as_dict(found.reasons, row, language=language) for row in range(len(found.scores))]
    return [json.dumps(one, ensure_ascii=False) for one in told]
