"""`fedcredit data`: check your own table, make a synthetic one, see the public sets and the dictionary."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

data = typer.Typer(name="data", no_args_is_help=True, help="Check tables and make synthetic ones.")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@data.command("check")
def check_table(
    path: Annotated[Path, typer.Argument(help="A CSV (UTF-8 or GB18030) or Parquet file.")],
    label: Annotated[str, typer.Option(help="Column of the outcome, 0 or 1.")],
    company: Annotated[str, typer.Option(help="Column of the company id.")],
    period: Annotated[str | None, typer.Option(help="Column of the period, for a panel.")] = None,
    institution: Annotated[str | None, typer.Option(help="Column of the institution.")] = None,
    split: Annotated[str | None, typer.Option(help="Column of train, validation, test.")] = None,
    as_json: Json = False,
) -> None:
    """Check a table before a study: a fault names file, column and row; a clean table says how it is read."""
    from fedcredit.data.infer import infer_schema
    from fedcredit.data.tables import read_table

    schema = infer_schema(path, label=label, company=company, period=period, institution=institution, split=split)
    table = read_table(path, schema)
    facts = {
        "rows": len(table.frame),
        "companies": int(table.frame[company].nunique()),
        "default_rate": round(float(table.frame[label].mean()), 4),
        "schema_sha256": schema.sha256,
        "columns": [{"name": c.name, "kind": c.kind, "nullable": c.nullable} for c in schema.columns],
    }
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    typer.echo(f"{facts['rows']} rows, {facts['companies']} companies, default rate {facts['default_rate']:.2%}")
    for column in schema.columns:
        typer.echo(f"  {column.name}: {column.kind}" + (", may be missing" if column.nullable else ""))


@data.command("economy")
def make_economy(
    folder: Annotated[Path, typer.Argument(help="Folder for data.parquet and table.json.")],
    companies: Annotated[int, typer.Option(help="Companies alive in the last month.")] = 6000,
    months: Annotated[int, typer.Option(help="Months of history.")] = 12,
    institutions: Annotated[int, typer.Option(help="Banks that share the companies.")] = 5,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
) -> None:
    """Write a synthetic economy of small companies; nothing in it is real."""
    from fedcredit.data.economy import EconomySettings, write

    settings = EconomySettings(seed=seed, companies=companies, months=months, institutions=institutions)
    typer.echo(str(write(settings, folder)))


@data.command("fetch")
def fetch_sets(
    name: Annotated[str | None, typer.Argument(help="A public set; all are listed where left out.")] = None,
    as_json: Json = False,
) -> None:
    """List the public data sets, or fetch and check the files of one."""
    from fedcredit.data.datasets import catalogue, dataset, locate

    if name is None:
        rows = {
            key: {"title": row.title, "licence": row.licence, "bring_your_own": row.bring_your_own}
            for key, row in catalogue().items()
        }
        if as_json:
            typer.echo(json.dumps(rows, ensure_ascii=False))
            return
        for key, row in rows.items():
            typer.echo(f"{key:24} {row['title']} ({row['licence']})")
        return
    files = [str(locate(name, file)) for file in dataset(name).files]
    typer.echo(json.dumps(files) if as_json else "\n".join(files))


@data.command("dictionary")
def print_dictionary(as_json: Json = False) -> None:
    """Print the 28 indicators: name, factor, unit, range, direction, sources."""
    from fedcredit.data.indicators import indicators

    if as_json:
        typer.echo(json.dumps([asdict(row) for row in indicators()], ensure_ascii=False))
        return
    for row in indicators():
        typer.echo(f"{row.id:20} {row.zh}  {row.en}  [{row.lo:g}, {row.hi:g}] {row.unit}")
