"""Faulty rows become files of their own: each row as it was found, where it stood, and why it is here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fedcredit.data.hub.report import FolderReport

SUMMARY = "quarantine.json"


class Quarantine:
    """FOLDER/<table>.parquet with the columns row, reason, reasons and the cells as text; without a folder, nothing.

    It holds what the source holds, identifiers included, and is as readable as the user's umask allows to its owner
    only: the folder is made with mode 0700.
    """

    def __init__(self, folder: Path | None, table: str) -> None:
        self.path = None if folder is None else folder / f"{table}.parquet"
        self._writer: pq.ParquetWriter | None = None
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.unlink(missing_ok=True)

    def keep(self, cells: pd.DataFrame, bad: pd.DataFrame, unreadable: Mapping[int, str]) -> None:
        """Put away the rows that `bad` names, and lines that had no cells to keep."""
        if self.path is None or not (len(bad) or unreadable):
            return
        lines = pd.DataFrame({"row": list(unreadable), "reason": list(unreadable.values())}, dtype="object")
        told = pd.concat([bad, lines.assign(reasons=lines["reason"])], ignore_index=True).astype(
            {"row": "int64", "reason": "str", "reasons": "str"}
        )
        found = cells.reindex(told["row"]).reset_index(drop=True)
        texts = found.astype("object").where(found.notna(), None).map(lambda cell: None if cell is None else str(cell))
        rows = pd.concat([told, texts.astype("str")], axis=1)
        if self._writer is None:
            fields = [("row", pa.int64()), *((name, pa.string()) for name in rows.columns[1:])]
            self._schema = pa.schema(fields)
            self._writer = pq.ParquetWriter(self.path, self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_pandas(rows, schema=self._schema, preserve_index=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._writer is not None:
            self._writer.close()


def write_summary(report: FolderReport, folder: Path) -> Path:
    """The report as FOLDER/quarantine.json."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / SUMMARY
    path.write_text(json.dumps(report.as_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path
