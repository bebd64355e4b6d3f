"""`fedcredit data`: check and build your own table, make a synthetic one, see the public sets and the dictionary."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clients.hub import build_hub, check_sources, moment, refresh_hub, write_raw_economy
from clients.options import TableOptions, with_table_options
from fedcredit.errors import ConfigError

if TYPE_CHECKING:
    from fedcredit.data.schema import Table

data = typer.Typer(name="data", no_args_is_help=True, help="Check tables and make synthetic ones.")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


AsOf = Annotated[str | None, typer.Option(help="Day or moment (UTC) that is looked back from.")]
Now = Annotated[str | None, typer.Option(help="Records after this moment are from the future; else the clock's.")]
MostBad = Annotated[float, typer.Option(help="Of a raw table, the share of faulty rows above which it is refused.")]
Scores = Annotated[Path | None, typer.Option(help="PDs of the last period (company, period, pd), for partner_risk.")]


@data.command("check")
@with_table_options
def check_table(
    path: Path,
    table: TableOptions,
    now: Now = None,
    most_bad: MostBad = 0.2,
    quarantine: Annotated[Path | None, typer.Option(help="Folder for the faulty rows of raw tables.")] = None,
    as_json: Json = False,
) -> None:
    """Check PATH: a table (CSV in UTF-8 or GB18030, or Parquet) as a study would read it, or a folder of raw tables.

    A fault of a table names file, column and row; a clean one says how each column is read. Faulty rows of raw tables
    are counted by reason, and kept on request. Column options are for a table.
    """
    if path.is_dir():
        table.refuse_for_a_folder()
        check_sources(path, now=_moment(now), most_bad=most_bad, quarantine=quarantine, as_json=as_json)
        return
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
def build_table(
    path: Path,
    folder: Path,
    table: TableOptions,
    as_of: AsOf = None,
    months: Annotated[int, typer.Option(help="Months of indicators a company, of raw tables.")] = 12,
    horizon: Annotated[int, typer.Option(help="Months ahead in which a default counts, of raw tables.")] = 12,
    scores: Scores = None,
    now: Now = None,
    most_bad: MostBad = 0.2,
    as_json: Json = False,
) -> None:
    """Check PATH, then write FOLDER/data.parquet and FOLDER/table.json, which says what its columns are.

    From a folder of raw tables this makes a hub: FOLDER/events.duckdb keeps the rows, the table has 28 indicators a
    company and month, and `--institution region` or `bank` says whose company it is. A study reads the result by
    `data=table data.table.path=FOLDER/data.parquet`. Columns of a table without a role are left out.
    """
    if path.is_dir():
        table.refuse_for_a_folder(but=("institution",))
        build_hub(
            path,
            folder,
            now=_moment(now),
            most_bad=most_bad,
            as_of=moment(as_of, where="--as-of") if as_of else None,
            months=months,
            horizon=horizon,
            institution=_holder(table.institution),
            scores=scores,
            as_json=as_json,
        )
        return
    from fedcredit.data.tables import write_table

    found = table.read(path)
    target = write_table(found, folder, source=path)
    typer.echo(json.dumps({"path": str(target), **_facts(found)}, ensure_ascii=False) if as_json else str(folder))


@data.command("refresh")
def refresh_table(
    hub: Path,
    as_of: Annotated[str, typer.Option(help="Day or moment (UTC) that is looked back from.")],
    add: Annotated[Path | None, typer.Option(help="A folder of raw tables with what is new; checked first.")] = None,
    scores: Scores = None,
    now: Now = None,
    most_bad: MostBad = 0.2,
    as_json: Json = False,
) -> None:
    """Recompute the indicators of the companies in HUB whose inputs changed, and say how fresh all of them are.

    Doing it again changes nothing. Within a month only companies with something new are computed; a new month
    computes all.
    """
    refresh_hub(
        hub,
        as_of=moment(as_of, where="--as-of"),
        add=add,
        scores=scores,
        now=_moment(now),
        most_bad=most_bad,
        as_json=as_json,
    )


@data.command("economy")
def make_economy(
    folder: Path,
    companies: Annotated[int, typer.Option(help="Companies; of raw tables, all that ever live in the months.")] = 6000,
    months: Annotated[int | None, typer.Option(help="Months of history; else 12, of raw tables 36.")] = None,
    institutions: Annotated[int | None, typer.Option(help="Banks; else 5, of raw tables 12.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same cells.")] = 1,
    is_raw: Annotated[
        bool, typer.Option("--raw", help="Write the 18 raw tables instead of finished indicators.")
    ] = False,
    world: Annotated[str, typer.Option(help="Of raw tables: default, calm, harsh, null, or a world file.")] = "default",
    draw: Annotated[int | None, typer.Option(help="Draw every parameter of the world from its range by this.")] = None,
    regions: Annotated[int, typer.Option(help="Of raw tables, regions with companies, at most 28.")] = 28,
    last_month: Annotated[str, typer.Option(help="Of raw tables, the last month.")] = "2025-12",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how long and large raw tables would be.")] = False,
    as_json: Json = False,
) -> None:
    """Write a synthetic economy of small companies into FOLDER; nothing in it is real.

    Either data.parquet and table.json with 28 indicators a company and month, for a quick study; or, with `--raw`, 18
    raw tables (FOLDER/raw), annual reports, financing demand and offers, and apart from them the truth (FOLDER/truth).
    """
    if is_raw:
        from fedcredit.data.worlds.settings import WorldSettings

        raw = WorldSettings(
            seed=seed,
            companies=companies,
            months=36 if months is None else months,
            last_month=last_month,
            regions=regions,
            banks=12 if institutions is None else institutions,
            world=world,
            drawn=draw,
        )
        write_raw_economy(raw, folder, dry_run=dry_run, as_json=as_json)
        return
    if (world, draw, regions, last_month, dry_run) != ("default", None, 28, "2025-12", False):
        raise ConfigError("command line", found="an option of raw tables", expected="--raw beside it")
    from fedcredit.data.economy import EconomySettings, write

    settings = EconomySettings(seed=seed, companies=companies, months=months or 12, institutions=institutions or 5)
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


def _holder(named: str | None) -> Literal["region", "bank"]:
    match named or "region":
        case "region":
            return "region"
        case "bank":
            return "bank"
    raise ConfigError("--institution", found=repr(named), expected="region or bank, for a folder of raw tables")


def _moment(words: str | None) -> datetime:
    return moment(words, where="--now") if words else datetime.now(UTC).replace(tzinfo=None)


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
