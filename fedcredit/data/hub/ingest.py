"""Raw tables that pass their contracts become rows of the event store, all of a folder or none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fedcredit.data.hub.check import check_folder
from fedcredit.data.hub.report import FolderReport
from fedcredit.data.sources import Source
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.store.rows import schema_of


def ingest_folder(
    folder: Path,
    store: DuckStore,
    *,
    now: datetime,
    most_bad: float,
    quarantine: Path | None,
    progress: Callable[[str, int], None] = lambda table, rows: None,
) -> FolderReport:
    """What was checked and set aside; the good rows are in the store when this returns.

    They wait in a temporary folder beside the store until every source has passed, so a refused folder leaves the
    store as it was. Every chunk is a batch named by its content: after a crash the same folder is taken in again, and
    what was in stays once.

    Raises:
        TableError: a source is faulty beyond `most_bad`, or cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=store.path.parent, prefix=".checked-") as name:
        checked = Path(name)
        with ExitStack() as files:
            writers: dict[str, pq.ParquetWriter] = {}

            def keep(source: Source, good: pd.DataFrame) -> None:
                if source.table not in writers:
                    file = pq.ParquetWriter(
                        checked / f"{source.table}.parquet", schema_of(source.table), compression="lz4"
                    )
                    writers[source.table] = files.enter_context(file)
                rows = pa.Table.from_pandas(good, schema=schema_of(source.table), preserve_index=False)
                writers[source.table].write_table(rows, row_group_size=max(len(good), 1))

            report = check_folder(
                folder, now=now, most_bad=most_bad, on_good=keep, quarantine=quarantine, progress=progress
            )
        for path in sorted(checked.glob("*.parquet")):
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    store.append(path.stem, file.read_row_group(group))
    return report
