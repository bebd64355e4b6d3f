"""`fedcredit node data | check`: a table becomes the node's rows, and its folder one line a check."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.joining_cli import HomeFolder, Json
from fedcredit.errors import ConfigError

upkeep = typer.Typer()


@upkeep.command("data")
def set_rows(
    table: Annotated[Path | None, typer.Argument(help="data.parquet of `fedcredit data build`.")] = None,
    home: HomeFolder = None,
    length: Annotated[int, typer.Option(help="Periods of a window, for a panel; the study's task says how many.")] = 1,
    named: Annotated[str | None, typer.Option("--as", help="What the table calls this institution.")] = None,
    synthetic: Annotated[int | None, typer.Option(help="Instead: the rows of a synthetic bank, 1 to 5.")] = None,
    as_json: Json = False,
) -> None:
    """Make the rows that the node trains on, from a table that was checked and built, or synthetic ones to try it out.

    It takes this institution's rows, without those of the test split, and says in node.yaml what the outcome means.
    """
    from clients.facts import read_facts, set_facts
    from clients.home import find_home
    from clients.rows import SYNTHETIC_MONTHS, save_private, synthetic_table, windows_of
    from fedcredit.data.schema import read_schema
    from fedcredit.data.tables import read_table

    if (table is None) == (synthetic is None):
        raise ConfigError("command line", found="both or neither", expected="a TABLE, or --synthetic N")
    node = find_home(home)
    institution = read_facts(node).institution
    if synthetic is not None:
        found, named = synthetic_table(synthetic)
        length = SYNTHETIC_MONTHS
    elif table is not None:
        found = read_table(table, read_schema(table.with_name("table.json")), allow_gaps=True)
    windows = windows_of(found, institution=institution, length=length, named=named)
    save_private(windows, node.windows)
    definition = found.schema.label.definition
    set_facts(node, windows=node.windows.name, label_definition=definition, open_rows=synthetic is not None)
    facts = {
        "windows": str(node.windows),
        "rows": len(windows),
        "companies": len(set(windows.company.tolist())),
        "features": len(windows.features),
        "level": windows.level,
        "label_definition": definition,
        "synthetic": synthetic is not None,
    }
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    shape = f"{windows.x.shape[1]} periods of {len(windows.features)} features, level {windows.level}"
    typer.echo(f"{facts['rows']} windows of {facts['companies']} companies, {shape}", err=True)
    typer.echo(str(node.windows))


@upkeep.command("check")
def check_node(
    home: HomeFolder = None,
    offline: Annotated[bool, typer.Option("--offline", help="Leave out the link and the clock.")] = False,
    as_json: Json = False,
) -> None:
    """Check everything that a node needs, one line each: ok, or what mends it. Exit code 1 if a line failed."""
    from clients.checks import every_check
    from clients.checkup import checkup
    from clients.home import find_home

    lines = []
    for line in checkup(find_home(home), every_check(is_online=not offline), now=datetime.now(UTC)):
        lines.append(line)
        if not as_json:
            typer.echo(str(line))  # at once: the last checks take seconds
    is_ok = all(line.is_ok for line in lines)
    if as_json:
        typer.echo(json.dumps({"ok": is_ok, "checks": [asdict(line) for line in lines]}, ensure_ascii=False))
    if not is_ok:
        raise typer.Exit(1)
