"""Rows that were sent become the very window that a table of them would give, or a refusal that names the field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedcredit.data.tables import check
from fedcredit.models.bundle import Bundle, PriorShift, score
from server.scoring.lineup import Served
from server.scoring.policy import Policy
from server.scoring.refusal import ScoringRefused
from server.scoring.rows import RowReader
from tests.server.scoring.world import SCHEMA, history, made, probabilities, row

OPEN = Policy(least_coverage=0.0)


def by_table(bundle: Bundle, rows: list[dict[str, Any]]) -> pd.Series:
    """What `models.bundle.score` says of one company."""
    frame = pd.DataFrame(rows).rename(columns={"period": "month"}).assign(id="a", bad=0)
    return score(bundle, check(frame, SCHEMA, where="rows", allow_gaps=True)).iloc[0]


def test_scores_and_coverage_equal_those_of_the_table() -> None:
    bundle = made()
    served, worst = Served(bundle, version="1", policy=OPEN), 0.0
    for rows in probabilities(bundle, 60):
        window = served.reader.read(rows)
        expected = by_table(bundle, rows)
        worst = max(worst, abs(float(served.scores(window.x[None])[0]) - expected["pd"]))
        assert window.coverage == pytest.approx(expected["coverage"], abs=1e-12)
        assert window.period == expected["period"]
    assert worst <= 1e-7


def test_one_window_without_a_score_leaves_the_others_calibrated() -> None:
    served = Served(made(calibration=(PriorShift(0.13, 0.02),)), version="1", policy=OPEN)
    x = np.stack([served.reader.read(history()).x] * 3)
    alone = served.scores(x)
    x[1] = np.nan
    found = served.scores(x)
    assert np.isnan(found[1])
    assert found[[0, 2]] == pytest.approx(alone[[0, 2]])


def test_the_order_in_which_rows_are_sent_does_not_matter() -> None:
    reader = RowReader(made(), OPEN)
    rows = history()
    assert np.array_equal(reader.read(rows).x, reader.read(rows[::-1]).x)


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"debt_ratio": 10.5}, "range", "rows[0].debt_ratio"),
        ({"debt_ratio": -0.1}, "range", "rows[0].debt_ratio"),
        ({"in_arrears": 0.5}, "range", "rows[0].in_arrears"),
        ({"year_end": 13}, "range", "rows[0].year_end"),
        ({"region": "west"}, "range", "rows[0].region"),
        ({"sales": None}, "missing", "rows[0].sales"),
        ({"sales": "much"}, "field", "rows[0].sales"),
        ({"growth": 1e300}, "range", "rows"),
        ({"growth": 3.3e38}, "range", "rows"),  # a float32 still, but a network's sums of it are no number
        ({"turnover": 3.0}, "field", "rows[0]"),
        ({"period": "yesterday"}, "period", "rows"),
        ({"period": None}, "period", "rows[0].period"),
        ({"period": 2.5}, "period", "rows[0].period"),
    ],
)
def test_a_refusal_names_the_field_and_no_value(change: dict[str, Any], code: str, where: str) -> None:
    with pytest.raises(ScoringRefused) as refused:
        RowReader(made(), OPEN).read([row(**change)])
    assert (refused.value.code, refused.value.where) == (code, where)
    said = str(refused.value)
    assert not any(str(value) in said for value in change.values() if isinstance(value, str | float))
    assert "turnover" not in said


def test_two_rows_of_a_period_are_refused() -> None:
    with pytest.raises(ScoringRefused, match="a period twice"):
        RowReader(made(), OPEN).read([row(), row()])


def test_missing_indicators_are_graded_with_their_coverage_or_refused_as_the_policy_says() -> None:
    rows = history(growth=None)
    window = RowReader(made(), Policy(missing="grade")).read(rows)
    assert window.missing == ("growth",)
    assert window.coverage == pytest.approx(6 / 7)
    with pytest.raises(ScoringRefused, match="growth: found no value"):
        RowReader(made(), Policy(missing="refuse")).read(rows)
    with pytest.raises(ScoringRefused, match=r"a coverage of 0.21, expected at least 0.25"):
        RowReader(made(), Policy()).read([row(growth=None)])


def test_a_value_out_of_range_is_clipped_where_the_policy_grades_it() -> None:
    bundle = made()
    rows = history(debt_ratio=12.0, region="west")
    served = Served(bundle, version="1", policy=Policy(outside="grade"))
    assert float(served.scores(served.reader.read(rows).x[None])[0]) == pytest.approx(by_table(bundle, rows)["pd"])
