"""The economy of the study becomes what a service and a node are asked about: a table, and bodies of requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def write_companies(economy: Path, *, out: Path, institution: str, columns: Sequence[str], most: int) -> pd.DataFrame:
    """A table with the first `most` companies of an institution that nobody trained on, and nothing else.

    No outcome, no split, no other bank's number: what an institution has of companies that it is asked about.
    """
    rows = pd.read_parquet(economy / "data.parquet")
    rows = rows[(rows["institution"] == institution) & (rows["split"] == "test")]
    some = rows["company"].drop_duplicates().head(most)
    kept = rows.loc[rows["company"].isin(some), ["company", "period", *columns]]
    kept.to_csv(out, index=False)
    return kept


def body_of(rows: pd.DataFrame, company: str, **more: Any) -> dict[str, Any]:
    """The request about one company: an object a period, an empty cell null."""
    of = rows[rows["company"] == company].drop(columns="company")
    cells = of.astype(object).where(of.notna(), None).to_dict(orient="records")
    return {"company": company, "rows": cells, **more}
