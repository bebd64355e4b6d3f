"""Cumulative default rates of companies that were first judged in the same period."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from server.validation.source import Scores
from server.validation.vintages import vintages_section


def scores(rows: list[tuple[str, object, int]]) -> Scores:
    """Company, period and outcome; every PD is .1."""
    company, period, y = (np.array(side, dtype=object) for side in zip(*rows, strict=True))
    p = np.full(len(rows), 0.1)
    about = pd.DataFrame({"stratum": period})
    return Scores("test", y.astype(np.int8), p, p, company, np.full(len(rows), "bank", dtype=object), about)


def watched(
    companies: int, years: list[int], *, defaults: dict[int, int], name: str = "c"
) -> list[tuple[str, object, int]]:
    """Companies seen each year; defaults: how many have theirs in that year, and are not seen again."""
    rows, gone = list[tuple[str, object, int]](), 0
    for year in years:
        now = defaults.get(year, 0)
        rows += [(f"{name}{k}", year, int(k < gone + now)) for k in range(gone, companies)]
        gone += now
    return rows


def test_curve_rises_by_the_defaults_of_each_age() -> None:
    section = vintages_section(scores(watched(100, [2020, 2021, 2022], defaults={2020: 10, 2022: 9})))
    (row,) = section.grids[0].rows
    assert row[:3] == ("2020", "100", "10.0 %")
    assert [cell.split()[0] for cell in row[3:]] == ["10.0", "10.0", "19.0"]
    assert list(section.drawings) == ["Cumulative default rate by vintage"]


def test_vintage_is_the_first_period_of_a_company_and_its_age_counts_from_there() -> None:
    late = watched(50, [2021, 2022], defaults={2022: 5}, name="late")
    section = vintages_section(scores(watched(100, [2020, 2021, 2022], defaults={2021: 20}) + late))
    assert [row[:2] for row in section.grids[0].rows] == [("2020", "100"), ("2021", "50")]
    assert [row[4].split()[0] for row in section.grids[0].rows] == ["20.0", "10.0"]
    assert section.grids[0].rows[1][5] == "–"  # nobody of 2021 has reached age 3


def test_company_that_is_no_longer_seen_counts_while_it_was() -> None:
    rows = watched(20, [2020], defaults={}, name="left") + watched(20, [2020, 2021], defaults={2021: 5})
    (row,) = vintages_section(scores(rows)).grids[0].rows
    assert [cell.split()[0] for cell in row[3:]] == ["0.0", "25.0"]  # 5 of the 20 that were still there


def test_age_at_which_fewer_than_ten_are_watched_is_not_shown() -> None:
    rows = watched(30, [2020], defaults={}) + [(f"c{k}", 2021, 1) for k in range(9)]
    section = vintages_section(scores(rows))
    assert len(section.grids[0].rows[0]) == 4
    assert section.drawings == {}


def test_small_vintage_stands_with_its_neighbour() -> None:
    rows = watched(40, [2020], defaults={2020: 4}) + watched(9, [2021], defaults={2021: 9}, name="few")
    (row,) = vintages_section(scores(rows)).grids[0].rows
    assert row[:2] == ("2020 to 2021", "49")


def test_one_period_a_company_gives_one_point_and_says_so() -> None:
    rows = watched(40, [2020], defaults={2020: 4}) + watched(40, [2021], defaults={2021: 8}, name="d")
    section = vintages_section(scores(rows))
    assert "a curve has one point" in section.says[0]
    assert [row[3].split()[0] for row in section.grids[0].rows] == ["10.0", "20.0"]
    assert any("those who defaulted or left early" in sentence for sentence in section.uncovered)


@pytest.mark.parametrize("period", ["", None, float("nan"), "boom"])
def test_rows_without_a_period_give_one_sentence(period: object) -> None:
    section = vintages_section(scores([(f"c{k}", period, 0) for k in range(40)]))
    assert section.grids == ()
    assert len(section.says) == 1
    assert "carry no period" in section.says[0]


def test_few_companies_give_one_sentence() -> None:
    section = vintages_section(scores([(f"c{k}", 2020, 0) for k in range(9)]))
    assert section.grids == ()
    assert "Fewer than 10 companies" in section.says[0]
