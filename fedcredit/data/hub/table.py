"""The event store becomes a feature table: indicators by company and month, each as known then, with the outcome."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from fedcredit.data.hub.known import plain
from fedcredit.data.hub.measures import formulas_sha256
from fedcredit.data.hub.outcomes import label_of
from fedcredit.data.hub.panel import Institution, Look, Panel, read_panel
from fedcredit.data.indicators import dictionary_sha256, indicators
from fedcredit.data.schema import Schema
from fedcredit.data.sources import sources, sources_sha256
from fedcredit.data.store.duck import DuckStore

WITH_OUTCOME, TO_SCORE = ("data.parquet", "table.json"), ("features.parquet", "features.json")


def build_table(
    store: DuckStore,
    folder: Path,
    *,
    as_of: datetime,
    months: int = 12,
    horizon_months: int = 12,
    institution: Institution = "region",
    label_days_past_due: int = 90,
    has_outcome: bool = True,
) -> Path:
    """Write FOLDER/data.parquet and FOLDER/table.json; gives the path of the former.

    One row a customer of a bank and month, of the `months` that end with that of `as_of`; earlier ones are looked at
    from their last day. The institution is the region of registration; or it is the bank, a company at two banks
    having a panel at each, with the outcome at that bank. The outcome looks ahead from `as_of` and is the same in all
    rows of a company. Without outcomes, to score, the files are features.parquet and features.json, and there is no
    label column. Equal stores give equal bytes, and both files are whole before either takes its place.

    Raises:
        TableError: the horizon is not over, or no company has what the table needs.
    """
    look = Look(plain(as_of), months, horizon_months, institution, label_days_past_due, has_outcome)
    con = store.connection.cursor()
    try:
        panel = read_panel(con, look)
        lineage = _lineage(con, panel, look)
    finally:
        con.close()
    by_bank = institution == "bank"
    schema = Schema(
        # Any source may be missing at some institution, and the columns are to be the same at all.
        columns=tuple(replace(one.column, nullable=True) for one in indicators()),
        label=label_of(horizon_months=horizon_months, days_past_due=label_days_past_due, by_bank=by_bank),
        company="company",
        period="period",
        institution="institution",
        split="split",
        amount="loan_amount_cny",
        size="size_class",
        sector="industry",
        region="region",
        lineage=lineage,
        dictionary_sha256=dictionary_sha256(),
    )
    return _write(panel, schema, folder, names=WITH_OUTCOME if has_outcome else TO_SCORE)


def _write(panel: Panel, schema: Schema, folder: Path, *, names: tuple[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        data, said = (Path(unfinished, name) for name in names)
        pq.write_table(panel.rows, data, compression="zstd")
        said.write_text(json.dumps(schema.as_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        said.replace(folder / said.name)
        return data.replace(folder / data.name)


def _lineage(con: DuckDBPyConnection, panel: Panel, look: Look) -> dict[str, str]:
    """From which batches, by which formulas, and what was left out: the same words for the same store."""
    told = {f"source:{one.table}": _batches_sha256(con, one.table) for one in sources()}
    told |= {"sources_sha256": sources_sha256(), "formulas_sha256": formulas_sha256(), "origin": "hub"}
    told |= {name: str(value) for name, value in asdict(look).items()}
    told |= {f"outcomes:{name}": str(count) for name, count in asdict(panel.outcomes).items()} if panel.outcomes else {}
    told |= {"unregistered": str(panel.unregistered)}
    return told | {f"out_of_range:{name}": str(count) for name, count in panel.out_of_range.items()}


def _batches_sha256(con: DuckDBPyConnection, table: str) -> str:
    """Digest over the digests of the source's batches, whatever the order in which they came."""
    batches = con.execute("SELECT DISTINCT sha256 FROM batches WHERE source = $table ORDER BY sha256", {"table": table})
    return hashlib.sha256("".join(f"{row[0]}\n" for row in batches.fetchall()).encode()).hexdigest()
