"""`fedcredit data`: check and build your own table, make a synthetic one, see the public sets and the dictionary."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clients.options import TableOptions, with_table_options

if TYPE_CHECKING:
    from fedcredit.data.schema import Table

data = typer.Typer(name="data", no_args_is_help=True, help="Check tables and make synthetic ones.")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@data.command("check")
@with_table_options
def check_table(path: Path, table: TableOptions, as_json: Json = False) -> None:
    """Check the CSV (UTF-8 or GB18030) or Parquet file PATH as a study would read it.

    A fault names file, column and row; a clean table says how each column is read.
    """
    found = table.read(path)
    facts = _facts(found)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    typer.echo(f"{facts['rows']} rows, {facts['companies']} companies, default rate {facts['default_rate']:.2%}")
    for column in found.schema.columns:
        typer.echo(f"  {column.name}: {column.kind}" + (", may be missing" if column.nullable else ""))


@data.command("build")
@with_table_options
def build_table(path: Path, folder: Path, table: TableOptions, as_json: Json = False) -> None:
    """Check the file PATH, then write it as FOLDER/data.parquet and FOLDER/table.json, which says what its columns are.

    A study reads both by `data=table data.table.path=FOLDER/data.parquet`. Columns without a role are left out.
    """
    from fedcredit.data.tables import write_table

    found = table.read(path)
    target = write_table(found, folder, source=path)
    typer.echo(json.dumps({"path": str(target), **_facts(found)}, ensure_ascii=False) if as_json else str(folder))


@data.command("economy")
def make_economy(
    folder: Path,
    companies: Annotated[int, typer.Option(help="Companies alive in the last month.")] = 6000,
    months: Annotated[int, typer.Option(help="Months of history.")] = 12,
    institutions: Annotated[int, typer.Option(help="Banks that share the companies.")] = 5,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    as_json: Json = False,
) -> None:
    """Write a synthetic economy of small companies as FOLDER/data.parquet and FOLDER/table.json; nothing is real."""
    from fedcredit.data.economy import EconomySettings, write

    settings = EconomySettings(seed=seed, companies=companies, months=months, institutions=institutions)
    target = write(settings, folder)
    typer.echo(json.dumps({"path": str(target), **asdict(settings)}) if as_json else str(target))


@data.command("fetch")
def fetch_sets(
    name: Annotated[str | None, typer.Argument()] = None,
    as_json: Json = False,
) -> None:
    """List the public data sets, or check the files of the set NAME and say where they are.

    They are looked for in the cache, then in the folder that FEDCREDIT_DATA_MIRROR names, then downloaded.
    """
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
    """Print the 18 sources with their columns and levels, and the 28 indicators with their formulas."""
    from fedcredit.data.indicators import indicators
    from fedcredit.data.sources import sources

    if as_json:
        columns = {one.id: [asdict(column) for column in one.fields] for one in sources()}
        rows = [{**asdict(one), "columns": columns[one.id]} for one in sources()]
        typer.echo(json.dumps({"sources": rows, "indicators": [asdict(i) for i in indicators()]}, ensure_ascii=False))
        return
    for one in sources():
        typer.echo(f"{one.id} {one.table:16} {one.zh}  {one.en}  level {one.level}, {one.frequency}")
        typer.echo(f"    {', '.join(column.name for column in one.columns)}")
    for row in indicators():
        typer.echo(f"{row.factor} {row.id:18} {row.zh}  {row.en}  [{row.lo:g}, {row.hi:g}] {row.unit}, {row.direction}")


def _facts(table: Table) -> dict[str, Any]:
    """What is told of a checked table; rows that only keep the place of a missing period are not counted."""
    schema = table.schema
    label = table.frame[schema.label.column].dropna()
    return {
        "rows": len(label),
        "companies": int(table.frame[schema.company].nunique()),
        "default_rate": round(float(label.mean()), 4),
        "schema_sha256": schema.sha256,
        "columns": [{"name": c.name, "kind": c.kind, "nullable": c.nullable} for c in schema.columns],
    }
