"""A folder of raw files is checked: what is faulty is set aside with its reason, the rest comes through as it was."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcredit.data.hub.check import check_folder
from fedcredit.data.hub.ingest import ingest_folder
from fedcredit.data.hub.report import FolderReport
from fedcredit.data.identifiers import uscc
from fedcredit.data.sources import Source
from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import TableError

NOW = datetime.datetime(2026, 1, 1)
COMPANIES = uscc(990_001, np.arange(20))


def readings() -> pd.DataFrame:
    """Meter readings of 20 companies over 12 months."""
    months = pd.date_range("2025-01-31", periods=12, freq="ME")
    frame = pd.MultiIndex.from_product([COMPANIES, months], names=["company", "valid_at"]).to_frame(index=False)
    kwh = 1000.0 + np.arange(len(frame))
    known = frame["valid_at"].dt.strftime("%Y-%m-%d 08:00:00")
    days = frame["valid_at"].dt.strftime("%Y-%m-%d")
    return frame.assign(valid_at=days, known_at=known, kwh=kwh.astype(str), degree_days="100", days_late="0")


def check(folder: Path, frame: pd.DataFrame, *, most_bad: float = 0.2) -> tuple[FolderReport, pd.DataFrame]:
    frame.to_csv(folder / "power.csv", index=False)
    good: list[pd.DataFrame] = []

    def keep(source: Source, rows: pd.DataFrame) -> None:
        good.append(rows)

    report = check_folder(folder, now=NOW, most_bad=most_bad, on_good=keep, quarantine=folder / "aside")
    return report, pd.concat(good)


def test_clean_rows_all_come_through_as_they_were(tmp_path: Path) -> None:
    frame = readings()
    report, good = check(tmp_path, frame)
    (tally,) = report.tables
    assert (tally.rows, tally.good, tally.bad, len(tally.companies)) == (240, 240, 0, 20)
    assert sorted(good["kwh"]) == sorted(frame["kwh"].astype(float))
    assert "bank" in report.missing


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("company", "91110000MA0000000X", "company: no unified social credit code"),
        ("kwh", "-5", "kwh: below 0"),
        ("kwh", "much", "kwh: no number"),
        ("kwh", "inf", "kwh: not finite"),
        ("kwh", "", "kwh: missing"),
        ("valid_at", "2025-02-31", "valid_at: no date"),
        ("valid_at", "2025-02-03", "valid_at: not the last day of a month"),
        ("known_at", "2027-01-01 00:00:00", "known_at: after now"),
        ("kwh", "120000", "kwh: 50 times off its company's median"),
        ("kwh", "12000000", "kwh: 50 times off its company's median"),
    ],
)
def test_a_faulty_cell_sets_its_row_aside_and_no_other(tmp_path: Path, column: str, cell: str, reason: str) -> None:
    frame = readings()
    frame.loc[17, column] = cell
    report, good = check(tmp_path, frame)
    assert dict(report.tables[0].reasons) == {reason: 1}
    assert len(good) == 239
    aside = pd.read_parquet(tmp_path / "aside" / "power.parquet")
    assert aside[["row", "reason"]].to_numpy().tolist() == [[19, reason]]
    told = (tmp_path / "aside" / "quarantine.json").read_text()
    assert not cell or cell not in told
    assert json.loads(told)["sources"][0]["bad"] == 1


def test_repeats_are_dropped_corrections_kept_and_contradictions_set_aside(tmp_path: Path) -> None:
    frame = readings()
    later = frame.iloc[[5]].assign(known_at="2025-12-30 08:00:00", kwh="990")
    frame = pd.concat([frame, frame.iloc[[3]], later, frame.iloc[[9]].assign(kwh="1100")])
    report, good = check(tmp_path, frame)
    tally = report.tables[0]
    assert (tally.repeated, tally.corrections, tally.bad, tally.good) == (1, 1, 2, 240)
    assert 990.0 in good["kwh"].to_list()


def test_lines_of_two_encodings_are_read_and_a_broken_one_is_set_aside(tmp_path: Path) -> None:
    head = "统一社会信用代码,月末,用电,度日,逾期,备注\n"
    lines = [f"{row.company},{row.valid_at},{float(row.kwh) / 1e4},100,0,备注\n" for row in readings().itertuples()]
    parts = [text.encode("gb18030" if number % 2 else "utf-8") for number, text in enumerate(lines)]
    parts[7] = parts[7].replace("备注".encode("gb18030"), b"\xff\xff")
    parts[8] = parts[8].replace(b",100,", b",")
    (tmp_path / "电.csv").write_bytes(head.encode() + b"".join(parts))
    (tmp_path / "sources.map.yaml").write_text(
        "tables:\n  power:\n    file: 电.csv\n    units: {kwh: 1e4}\n    delay_days: 3\n"
        "    columns: {company: 统一社会信用代码, valid_at: 月末, kwh: 用电, degree_days: 度日, days_late: 逾期}\n"
    )
    good: list[pd.DataFrame] = []
    now = datetime.datetime(2026, 2, 1)
    report = check_folder(tmp_path, now=now, on_good=lambda source, rows: good.append(rows))
    reasons = {"no UTF-8 and no GB18030": 1, "another number of cells than the header": 1}
    assert dict(report.tables[0].reasons) == reasons
    rows = pd.concat(good)
    assert rows["kwh"].max() == pytest.approx(1239.0)
    assert (rows["known_at"] - rows["valid_at"]).eq(pd.Timedelta(days=3)).all()


def test_a_file_in_another_unit_is_refused_with_the_factor(tmp_path: Path) -> None:
    frame = readings()
    with pytest.raises(TableError, match="10,000 times too small"):
        check(tmp_path, frame.assign(kwh=(frame["kwh"].astype(float) / 1e4).astype(str)))


def test_ten_per_cent_of_random_corruption_leaves_the_rest_as_it_was_and_more_is_refused(tmp_path: Path) -> None:
    frame = readings()
    rng = np.random.default_rng(4)
    wrong = rng.choice(len(frame), size=24, replace=False)
    for at in wrong:
        column, cell = [("kwh", "-1"), ("company", "x"), ("valid_at", "2025-13-01"), ("days_late", "?")][at % 4]
        frame.loc[at, column] = cell
    report, good = check(tmp_path, frame)
    assert report.tables[0].bad == 24
    untouched = readings().drop(index=wrong)
    assert sorted(good["kwh"]) == sorted(untouched["kwh"].astype(float))
    with pytest.raises(TableError, match="24 of 240 rows faulty"):
        check(tmp_path, frame, most_bad=0.05)


def test_a_refused_folder_leaves_the_store_as_it_was_and_the_same_folder_twice_counts_once(tmp_path: Path) -> None:
    frame = readings()
    raw = tmp_path / "raw"
    raw.mkdir()
    with DuckStore(tmp_path / "events.duckdb") as store:
        frame.assign(days_late="-1").to_csv(raw / "power.csv", index=False)
        with pytest.raises(TableError, match="faulty"):
            ingest_folder(raw, store, now=NOW, most_bad=0.2, quarantine=None)
        assert store.seq == 0
        frame.to_csv(raw / "power.csv", index=False)
        for _ in range(2):
            ingest_folder(raw, store, now=NOW, most_bad=0.2, quarantine=None)
        assert store.connection.sql("SELECT count(*) FROM raw.power").fetchall() == [(240,)]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("tables: {powr: {}}", "'powr'"),
        ("tables: {power: {colums: {}}}", "unknown key 'colums'"),
        ("tables: {power: {units: {kwhh: 2}}}", "'kwhh'"),
        ("tables: {power: {file: ../secret.csv}}", "a path"),
        ("tables: [", "no YAML"),
        ("power: {}", "no group"),
    ],
)
def test_a_wrong_map_is_refused_with_the_place(tmp_path: Path, said: str, found: str) -> None:
    (tmp_path / "sources.map.yaml").write_text(said)
    with pytest.raises(TableError, match=found):
        check(tmp_path, readings())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no raw table"):
        check_folder(tmp_path, now=NOW)
