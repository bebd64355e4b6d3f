"""One synthetic economy becomes its vintages: who was a customer at a quarter's end, and who of them then defaulted."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, time
from pathlib import Path

from fedcredit.data.features import make_windows
from fedcredit.data.fetch import cache_folder
from fedcredit.data.hub.ingest import ingest_folder
from fedcredit.data.hub.known import month_end
from fedcredit.data.hub.table import build_table
from fedcredit.data.indicators import dictionary_sha256
from fedcredit.data.schema import read_schema
from fedcredit.data.sources import sources_sha256
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.tables import read_table
from fedcredit.data.windows import Windows, load, save
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write

STEPS = 1  # raised when the same settings would give other vintages
YEAR, QUARTER = 12, 3  # months: of an outcome and of what the indicators look back on; between two retrains
LAST_MONTH = "2025-12"


@dataclass(frozen=True)
class Setting:
    """An economy whose regions are the institutions, and how many quarters of it are scored."""

    seed: int
    companies: int = 12_000
    regions: int = 5
    quarters: int = 13
    world: str = "default"

    @property
    def economy(self) -> WorldSettings:
        """A year for the first indicators, a year for the first outcomes, the quarters, a year for the last ones."""
        months = 3 * YEAR + QUARTER * (self.quarters - 1)
        return WorldSettings(
            seed=self.seed, companies=self.companies, months=months, last_month=LAST_MONTH, regions=self.regions,
            world=self.world,
        )  # fmt: skip

    def day(self, quarter: int) -> str:
        """Last day of a quarter; the one that is scored first is 0, and negative ones are for training only.

        >>> Setting(seed=1).day(0), Setting(seed=1).day(-4), Setting(seed=1).day(12)
        ('2021-12-31', '2020-12-31', '2024-12-31')
        """
        last = datetime.fromisoformat(f"{LAST_MONTH}-28")
        return month_end(last, ago=YEAR + QUARTER * (self.quarters - 1 - quarter)).isoformat()


def vintages(setting: Setting) -> Mapping[int, Windows]:
    """By quarter, a row a customer: the 28 indicators as known that day, and default within the year after it.

    Quarters -4 to the last one. They are made on first use and kept in the cache, each as soon as it is there.
    """
    told = {"steps": STEPS, "sources": sources_sha256(), "dictionary": dictionary_sha256(), **asdict(setting)}
    told["economy"] = setting.economy.load().as_dict()  # a world file may be edited under the same name
    name = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = cache_folder() / "vintages" / name
    folder.mkdir(parents=True, exist_ok=True)
    files = {quarter: folder / f"{setting.day(quarter)}.npz" for quarter in range(-YEAR // QUARTER, setting.quarters)}
    if not all(file.exists() for file in files.values()):
        _make(setting, folder, files)
    return {quarter: load(file) for quarter, file in files.items()}


def _make(setting: Setting, folder: Path, files: Mapping[int, Path]) -> None:
    sys.stderr.write(f"making {len(files)} vintages of {setting.companies} companies, kept in {folder}\n")
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        place = write(setting.economy, Path(unfinished) / "economy")
        with DuckStore(place / "events.duckdb") as store:
            ingest_folder(place / "raw", store, now=datetime(2100, 1, 1), most_bad=0.01, quarantine=None)
            for quarter, file in files.items():
                if not file.exists():
                    day = datetime.combine(datetime.fromisoformat(setting.day(quarter)), time(23, 59, 59))
                    path = build_table(store, place / "table", as_of=day, months=1, horizon_months=YEAR)
                    table = read_table(path, read_schema(path.with_name("table.json")), allow_gaps=True)
                    draft = Path(unfinished) / file.name
                    save(make_windows(table, length=1), draft)
                    draft.replace(file)
