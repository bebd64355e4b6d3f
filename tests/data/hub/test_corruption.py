"""Ten per cent of the rows or lines of any of the 18 tables are broken at random; the others come through untouched."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcredit.data.hub.check import check_folder
from fedcredit.data.sources import Field, Source, source, sources
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write
from fedcredit.errors import TableError

NOW = datetime.datetime(2026, 6, 1)
ROWS = 1500
# One cell each that its type can never be; a wrong value inside its range is what no contract finds.
BROKEN = {
    "number": ["-1e300", "1e300", "inf", "12,5x"],
    "count": ["1.5", "-7e18", "seven"],
    "share": ["1.01", "-0.2", "half"],
    "category": ["no such word"],
    "date": ["2025-02-31", "1890-01-01", "soon"],
    "flag": ["perhaps"],
    "company": ["91110000MA0000000X", "123"],
    "text": ["x" * 201],
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = WorldSettings(companies=300, months=18, regions=2, banks=2, seed=9)
    return write(settings, tmp_path_factory.mktemp("corrupt") / "economy") / "raw"


def checked(folder: Path, frame: pd.DataFrame, table: str) -> tuple[pd.DataFrame, dict[str, int]]:
    frame.to_csv(folder / f"{table}.csv", index=False)
    good: list[pd.DataFrame] = []
    report = check_folder(folder, now=NOW, on_good=lambda about, rows: good.append(rows))
    return pd.concat(good, ignore_index=True), dict(report.tables[0].reasons)


def breakable(about: Source) -> list[Field]:
    """Every column but those where an empty or odd cell is allowed to be anything."""
    return [field for field in about.fields if BROKEN[field.type]]


@pytest.mark.parametrize("table", [one.table for one in sources()])
def test_ten_per_cent_broken_rows_are_set_aside_and_no_other(raw: Path, tmp_path: Path, table: str) -> None:
    about = source(table)
    whole = pd.read_parquet(raw / f"{table}.parquet").drop_duplicates(list(about.key)).head(ROWS)
    clean, faults = checked(tmp_path, whole, table)
    assert not faults
    assert len(clean) == len(whole)

    rng = np.random.default_rng(len(table))
    broken = clean.astype(object).copy()
    wrong = rng.choice(len(clean), size=max(len(clean) // 10, 1), replace=False)
    for row in wrong:
        field = breakable(about)[rng.integers(len(breakable(about)))]
        broken.loc[row, field.name] = rng.choice(BROKEN[field.type])
    kept, faults = checked(tmp_path, broken, table)
    assert sum(faults.values()) == len(wrong), faults
    expected = clean.drop(index=wrong)
    names = [field.name for field in about.fields]
    pd.testing.assert_frame_equal(
        kept[names].sort_values(list(about.key), ignore_index=True),
        expected[names].sort_values(list(about.key), ignore_index=True),
        check_dtype=False,
    )


@pytest.mark.parametrize("table", [one.table for one in sources()])
def test_ten_per_cent_of_lines_with_random_bytes_cost_no_other_line(raw: Path, tmp_path: Path, table: str) -> None:
    key = list(source(table).key)
    whole = pd.read_parquet(raw / f"{table}.parquet").drop_duplicates(key).head(ROWS // 3)
    clean, _ = checked(tmp_path, whole, table)
    path, rng = tmp_path / f"{table}.csv", np.random.default_rng(len(table))
    lines = path.read_bytes().splitlines(keepends=True)
    broken = 1 + rng.choice(len(whole), size=max(len(whole) // 10, 1), replace=False)
    for number in broken:
        line = bytearray(lines[number])
        for place in rng.integers(0, len(line) - 1, size=5):
            line[place] = rng.integers(256)
        lines[number] = bytes(line)
    path.write_bytes(b"".join(lines))
    kept: list[pd.DataFrame] = []
    report = check_folder(tmp_path, now=NOW, on_good=lambda about, rows: kept.append(rows))
    untouched = clean.drop(index=broken - 1)
    names = [field.name for field in source(table).fields]
    both = pd.concat(kept)[names].merge(untouched[names])
    assert len(both) == len(untouched)
    assert report.tables[0].bad > 0.7 * len(broken)


def test_a_parquet_file_that_is_cut_off_is_refused(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "power.parquet").write_bytes((raw / "power.parquet").read_bytes()[:5000])
    with pytest.raises(TableError, match=r"power\.parquet: found broken Parquet"):
        check_folder(tmp_path, now=NOW)
