"""A registry from a backup becomes one that finds its artifacts in the folder that it is put into."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from server.backup_runs import ARTIFACTS, REGISTRY

# Where MLflow keeps whole addresses of artifacts on this machine (its schema of 3.x).
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def move_registry(draft: Path, runs: Path) -> None:
    """Make the registry's addresses say where its artifacts will be: MLflow keeps them from the root of the disk."""
    if not (draft / REGISTRY).exists():
        return
    to = (runs.resolve() / ARTIFACTS).as_uri()
    with contextlib.closing(sqlite3.connect(draft / REGISTRY)) as db, db:
        db.execute("PRAGMA trusted_schema = OFF")
        for table, column in ADDRESSES:
            if (column,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall():
                place = f"instr({column}, '/{ARTIFACTS}/')"
                db.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, {place} + ?)"  # noqa: S608 - constants above
                    f" WHERE {column} LIKE 'file:///%' AND {place} > 0 AND substr({column}, 1, ?) <> ?",
                    (to, len(ARTIFACTS) + 1, len(to) + 1, f"{to}/"),
                )
