"""`fedcredit model validate`: a registered version becomes its validation file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="models:/NAME@ALIAS, models:/NAME/VERSION, NAME (newest) or a folder.")
]


def validate_model(
    version: Version,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="CHAMPION",
            help="The champion, named as VERSION is; else the one in force on the desk.",
        ),
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Compare with no champion, though there is one.")] = False,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of runs, with the registry.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option("--out", help="Write here instead of into the model's desk.")] = None,
    by_institution: Annotated[
        bool | None,
        typer.Option(
            "--by-institution/--no-by-institution",
            help="Figures by institution; by default only where rows are public or synthetic.",
        ),
    ] = None,
    applicants: Annotated[
        Path | None,
        typer.Option("--applicants", metavar="SCORES", help="PDs of all applicants: corrects for accept-only labels."),
    ] = None,
    refused_odds: Annotated[
        float, typer.Option("--refused-odds", help="Bounds: the refused's odds of default, up to this many times.")
    ] = 2.0,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="A table of companies: what weighs most, and which indicators have moved."),
    ] = None,
    counts: Annotated[
        Path | None,
        typer.Option("--counts", metavar="RESULT", help="result.json of a deployed run: what institutions counted."),
    ] = None,
    overrides: Annotated[
        Path | None,
        typer.Option(
            "--overrides", metavar="CSV", help="model_grade, final_grade, outcome, reason of grades given; no company."
        ),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=100, max=100_000, help="Bootstrap draws.")] = 2000,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read, computed and written; do none of it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the evidence as JSON.")] = False,
) -> None:
    """Write the validation file of a model: evidence (JSON), a page (HTML) and Markdown, from the run behind it."""
    from fedcredit.evaluation.figures import interval
    from server.validation.validate import Asked, save, validate

    asked = Asked(against, alone, by_institution, draws, applicants, refused_odds, table, counts, overrides)
    if dry_run:
        from server.validation.plan import plan

        found = plan(version, runs=runs, asked=asked, out=out)
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False, indent=1) if as_json else "\n".join(found.lines()))
        return
    made = validate(version, runs=runs, asked=asked)
    paths = save(made, runs=runs, out=out)
    if as_json:
        files = {kind: str(path) for kind, path in paths.items()}
        evidence = json.loads(paths["json"].read_text(encoding="utf-8"))
        typer.echo(json.dumps({"evidence": evidence, "files": files}, ensure_ascii=False, indent=1))
        return
    width = max(map(len, made.evidence.figures))
    for name, figure in made.evidence.figures.items():
        typer.echo(f"{name.ljust(width)}  {interval(figure.interval)}", err=True)
    for path in paths.values():
        typer.echo(str(path))
