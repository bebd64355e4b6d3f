"""`fedcredit model`: registered models and bundle folders, listed, shown and used to score a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.calibrate_cli import calibrate_model
from server.demo_cli import demo
from server.explain_cli import explain
from server.gates_cli import gates
from server.price_cli import grade, price_grade
from server.promotion_cli import promotion
from server.publishing.publish_cli import publish_model
from server.recognition_cli import mapping
from server.scoring.rescore_cli import rescore_model, show_freshness
from server.validation_cli import validate_model

if TYPE_CHECKING:
    from fedcredit.models.bundle import Bundle
    from fedcredit.registry import Version

model = typer.Typer(
    name="model", no_args_is_help=True, help="Registered models: calibrate, validate, promote, score, explain."
)

Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs whose registry is asked.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder.")
]
RUNS = Path("runs")


@model.command("list")
def list_models(runs: Runs = RUNS, as_json: Json = False) -> None:
    """List the registered versions, the newest of each model first."""
    from fedcredit.registry import Registry, has_registry

    versions = Registry(runs).versions() if has_registry(runs) else []
    if as_json:
        _print_json([_registered(version) for version in versions])
        return
    if not versions:
        typer.echo(f"no models in {runs}: run a study first, or name its folder with --runs", err=True)
    rows = [(str(v), ",".join(v.aliases) or "-", v.tags.get("epsilon", "-"), v.created) for v in versions]
    _print_columns([("MODEL", "ALIASES", "EPSILON", "CREATED"), *rows] if rows else [])


@model.command("show")
def show_model(name: ModelName, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Show what a model is, what it was trained on and what it cost in privacy. A plain NAME is its newest version."""
    from fedcredit.models.bundle import read
    from fedcredit.registry import Registry, has_registry, resolve

    registered = None
    if not Path(name).is_dir() and has_registry(runs):
        registry = Registry(runs)
        registered = registry.find(name)
        folder = registry.fetch(registered)
    else:
        folder = resolve(name, runs=runs)
    bundle = read(folder)
    if as_json:
        _print_json(
            {
                "model_version": bundle.version,
                "registered": _registered(registered) if registered else None,
                "bundle": str(folder),
                "bundle_sha256": bundle.sha256,
                "card": bundle.card(),
            }
        )
    else:
        _print_columns([*_facts(bundle, registered), ("bundle", str(folder))])


@model.command("score")
def score_table(
    name: ModelName,
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV or Parquet; the label column is not needed.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write .csv or .parquet here.")] = None,
    runs: Runs = RUNS,
    encoding: Annotated[str | None, typer.Option("--encoding", help="Of a CSV, if it is not found out.")] = None,
    as_json: Json = False,
) -> None:
    """Score the companies of a table: company, period, pd, grade, model_version, coverage.

    A model that was never calibrated has no grades: see `fedcredit model calibrate`.
    """
    from fedcredit.credit.score_table import save_scores
    from fedcredit.models.bundle import read
    from fedcredit.registry import resolve
    from server.score import score_file

    bundle = read(resolve(name, runs=runs))
    scores = score_file(bundle, table, encoding=encoding)
    thin = int((scores["coverage"] < 1).sum())
    typer.echo(f"{bundle.version}: {len(scores)} rows scored, {thin} of them with empty cells in the window", err=True)
    if out is not None:
        save_scores(scores, out)
    if as_json:
        head = {"model_version": bundle.version, "rows": len(scores), "out": None if out is None else str(out)}
        rows = {} if out is not None else {"scores": json.loads(scores.to_json(orient="records", date_format="iso"))}
        _print_json(head | rows)
    elif out is not None:
        typer.echo(str(out))
    else:
        typer.echo(scores.to_csv(index=False, float_format="%.6g"), nl=False)


def _registered(version: Version) -> dict[str, Any]:
    return {
        "model": str(version),
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "created": version.created,
        "run": version.run,
        "tags": dict(version.tags),
    }


def _facts(bundle: Bundle, registered: Version | None) -> list[tuple[str, ...]]:
    from fedcredit.models.calibrated import told

    spent = f"{bundle.epsilon:g} at delta {bundle.delta:g}" if bundle.epsilon is not None else "no privacy"
    facts: list[tuple[str, ...]] = [
        ("model version", bundle.version),
        ("study", bundle.study),
        ("kind", f"{bundle.settings.kind}, {sum(t.numel() for t in bundle.weights.values())} numbers"),
        ("window", f"{bundle.time} periods of {len(bundle.inputs)} inputs"),
        ("label", f"{bundle.schema.label.column}: {bundle.schema.label.definition}"),
        ("epsilon", spent),
        ("ledger", bundle.ledger or "-"),
        ("calibration", "; ".join(map(told, bundle.calibration)) or "-"),
        ("scale", bundle.scale or "-"),
        ("trained by", ", ".join(bundle.roster) or "-"),
        ("config sha256", bundle.config_sha256),
        ("schema sha256", bundle.schema.sha256),
        ("git", bundle.git_sha),
    ]
    if registered is None:
        return facts
    return [("registered", str(registered)), ("aliases", ", ".join(registered.aliases) or "-"), *facts]


def _print_columns(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(result: object) -> None:
    typer.echo(json.dumps(result, ensure_ascii=False, indent=1))


model.command("validate")(validate_model)
model.command("calibrate")(calibrate_model)
model.command("grade")(grade)
model.command("price")(price_grade)
model.add_typer(promotion)
model.add_typer(gates)
model.command("explain")(explain)
model.command("rescore")(rescore_model)
model.command("freshness")(show_freshness)
model.command("publish")(publish_model)
model.add_typer(mapping, name="mapping")
model.command("demo")(demo)
