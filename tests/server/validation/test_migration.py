"""Grades of the same companies at two dates, from rows and from the score book."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcredit.credit.scale import MASTER
from server.scoring.book import ScoreBook
from server.validation.dated import dated, in_time
from server.validation.migration import migration_section
from server.validation.moved import Moved, from_book, moved
from server.validation.source import Scores

BBB, BB = 8, 11  # numbers of grades, from 0
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rows(grades: list[tuple[str, str, int]]) -> pd.DataFrame:
    """Company, period and PD of (company, period, grade)."""
    frame = pd.DataFrame(grades, columns=["company", "period", "grade"])
    return frame.assign(p=MASTER.pds[frame.pop("grade")], y=0)


def found(grades: list[tuple[str, str, int]]) -> Moved:
    made = moved(in_time(rows(grades)))
    assert made is not None
    return made


def steady(companies: int, *, first: str = "2024-01", second: str = "2024-02") -> list[tuple[str, str, int]]:
    return [(f"c{k}", when, BBB) for k in range(companies) for when in (first, second)]


def test_each_company_counts_once_with_its_latest_two_grades() -> None:
    grades = steady(12) + [(f"c{k}", "2024-03", BB) for k in range(12)]
    made = found(grades)
    assert (made.counts[BBB, BB], made.companies) == (12, 12)
    assert (made.steps, made.unit) == (1, "month")


def test_only_the_commonest_distance_in_time_is_taken_and_the_others_are_counted() -> None:
    made = found(steady(15) + [(f"late{k}", when, BB) for k in range(11) for when in ("2024-01", "2024-09")])
    assert (made.companies, made.others) == (15, 11)
    section = migration_section({"Scored rows": made})
    assert "11 pairs of grades at another distance are left out" in section.says[0]
    assert "1 month later" in section.says[0]


def test_periods_are_put_in_time_and_not_in_the_order_of_the_file() -> None:
    made = found([(f"c{k}", when, grade) for k in range(10) for when, grade in (("2024-10", BB), ("2024-9", BBB))])
    assert made.counts[BBB, BB] == 10


def test_period_of_the_rows_goes_before_their_stratum() -> None:
    p = np.array([0.01, 0.02])
    about = pd.DataFrame({"period": ["2024-02", "2024-01"], "stratum": ["boom", "bust"]})
    who = np.array(["c", "c"], dtype=object)
    found = dated([Scores("test", np.zeros(2, dtype=np.int8), p, p, who, who, about)])
    assert found is not None
    assert found.rows["p"].tolist() == [0.02, 0.01]


@pytest.mark.parametrize(
    "grades",
    [
        [],
        steady(9),
        [(f"c{k}", "2024-01", BBB) for k in range(50)],
        [(f"c{k}", "", BBB) for k in range(50)],
        [(f"c{k}", when, BBB) for k in range(50) for when in ("boom", "bust")],
    ],
)
def test_without_ten_companies_at_two_dates_there_is_one_sentence(grades: list[tuple[str, str, int]]) -> None:
    assert moved(in_time(rows(grades))) is None
    section = migration_section({"Scored rows": None, "Score book": None})
    assert len(section.says) == 1
    assert section.grids == ()
    assert "No company is graded at two dates" in section.says[0]


def book(path: Path, *, companies: int, version: str = "quick-1") -> Path:
    with ScoreBook(path) as opened:
        for month, worse in (("2025-01", 0), ("2025-02", 0), ("2025-03", 1)):
            grade = [BBB + worse * (k % 2) for k in range(companies)]
            frame = pd.DataFrame({"company": [f"c{k}" for k in range(companies)], "pd": MASTER.pds[grade]})
            opened.put(frame.assign(period=month, coverage=1.0, model_version=version), scored_at=NOW)
    return path


def test_score_book_gives_the_grades_of_this_version_alone(tmp_path: Path) -> None:
    path = book(tmp_path / "scores.sqlite", companies=40)
    book(path, companies=200, version="quick-2")
    made = from_book(path, model_version="quick-1")
    assert made is not None
    assert (made.companies, made.counts[BBB, BBB], made.counts[BBB, BBB + 1]) == (40, 20, 20)
    assert from_book(path, model_version="quick-3") is None


def test_book_that_is_not_there_or_is_no_book_gives_none(tmp_path: Path) -> None:
    assert from_book(tmp_path / "scores.sqlite", model_version="quick-1") is None
    assert not (tmp_path / "scores.sqlite").exists()
    (tmp_path / "scores.sqlite").write_bytes(b"no database" * 100)
    assert from_book(tmp_path / "scores.sqlite", model_version="quick-1") is None


def test_matrix_has_no_small_cell_and_says_how_far_grades_move() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(3, 17, 600)
    after = np.clip(before + rng.choice([-2, -1, 0, 0, 0, 1, 3], 600), 0, 18)
    made = found([(f"c{k}", when, int(g)) for k in range(600) for when, g in (("2023", before[k]), ("2024", after[k]))])
    section = migration_section({"Scored rows": made})
    together, matrix = section.grids
    assert together.rows[0][:3] == (
        "Scored rows",
        "600",
        f"{100 * round(int((before == after).sum()), -1) / 600:.1f} %",
    )
    seen = 0
    for row in matrix.rows:
        size = int(row[1])
        shown = [round(float(cell[:-2]) * size / 100) for cell in row[2:] if cell.endswith("%")]
        assert size >= 10
        assert all(number >= 10 for number in shown)
        assert size - sum(shown) == 0 or size - sum(shown) >= 10
        seen += sum(shown)
    assert seen >= 0.75 * 600  # grades were put together until most companies can be shown
    assert len(section.drawings) == 1
