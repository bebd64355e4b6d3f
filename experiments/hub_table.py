"""A synthetic economy becomes the table of a study by an institution's own steps, once: it stays in the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from fedcredit.data.fetch import cache_folder
from fedcredit.data.hub.ingest import ingest_folder
from fedcredit.data.hub.table import build_table
from fedcredit.data.indicators import dictionary_sha256
from fedcredit.data.schema import Table, read_schema
from fedcredit.data.sources import sources_sha256
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.tables import read_table
from fedcredit.data.worlds.write import write
from fedcredit.settings import HubSettings

STEPS = 2  # raised when the same settings would give another table


def hub_table(settings: HubSettings) -> Table:
    """The feature table of the settings, made on first use (minutes for 100,000 companies) and kept in the cache."""
    told = {"steps": STEPS, "sources": sources_sha256(), "dictionary": dictionary_sha256(), **asdict(settings)}
    told["world"] = settings.economy.load().as_dict()  # a world file may be edited under the same name
    name = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = cache_folder() / "hubs" / name
    if not (folder / "data.parquet").exists():
        sys.stderr.write(f"making a synthetic economy of {settings.economy.companies} companies, kept in {folder}\n")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            made = make_hub(settings, Path(unfinished))
            shutil.rmtree(folder, ignore_errors=True)  # an unfinished one, of an older program
            folder.mkdir()
            for file in ("truth", "table.json", "data.parquet"):
                (made / file).replace(folder / file)
    return read_table(folder / "data.parquet", read_schema(folder / "table.json"), allow_gaps=True)


def make_hub(settings: HubSettings, folder: Path) -> Path:
    """Raw tables, truth, hub and feature table in `folder`."""
    write(settings.economy, folder)
    as_of = datetime.fromisoformat(f"{settings.as_of}T23:59:59")
    with DuckStore(folder / "events.duckdb") as store:
        ingest_folder(folder / "raw", store, now=datetime(2100, 1, 1), most_bad=0.01, quarantine=None)
        build_table(
            store,
            folder,
            as_of=as_of,
            months=settings.months,
            horizon_months=settings.horizon_months,
            institution=settings.institution,
        )
    return folder
