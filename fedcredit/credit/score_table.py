"""A file without outcomes becomes a table that a model scores, and its scores, with grades, a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fedcredit.credit.scale import grades_of
from fedcredit.data.cells import read_cells
from fedcredit.data.schema import Schema, Table
from fedcredit.data.tables import check
from fedcredit.errors import TableError


def graded(scores: pd.DataFrame, *, scale: str | None) -> pd.DataFrame:
    """The scores with the column `grade` after `pd`; empty where the model was not calibrated to a scale."""
    known = scores.drop(columns="grade", errors="ignore")
    grades = pd.Series(grades_of(known["pd"], scale), index=known.index, dtype=object)
    known.insert(list(known.columns).index("pd") + 1, "grade", grades)
    return known


def read_to_score(path: Path, schema: Schema, *, encoding: str | None = None) -> Table:
    """The checked table of a file that needs no more than the schema's features, company and period.

    A missing period becomes padding, which the coverage of the score shows: one company's hole stops no other's score.
    """
    categories = [column.name for column in schema.columns if column.kind == "category"]
    keys = [name for name in (schema.company, schema.institution) if name is not None]
    cells = read_cells(path, text=[*keys, *categories], encoding=encoding)
    institution = schema.institution if schema.institution in cells.columns else None
    needed = Schema(schema.columns, schema.label, schema.company, schema.period, institution)
    # `check` asks every row for its outcome; what is to be scored has none yet, and `score` does not use it.
    return check(cells.assign(**{schema.label.column: 0}), needed, where=path.name, allow_gaps=True)


def save_scores(scores: pd.DataFrame, out: Path) -> None:
    """Write the scores as CSV or Parquet, by the ending of the name, all of them or none.

    Raises:
        TableError: another ending, or the disk refuses.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise TableError(str(out), found=f"the ending {out.suffix!r}", expected=".csv or .parquet")
    draft = out.with_name(f".{out.name}.part")
    try:
        if out.suffix == ".csv":
            scores.to_csv(draft, index=False)
        else:
            scores.to_parquet(draft, index=False)
        draft.replace(out)
    except OSError as fault:
        draft.unlink(missing_ok=True)
        raise TableError(str(out), found=fault.strerror or "a fault", expected="a file that can be written") from fault
