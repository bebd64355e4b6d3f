"""A company's path of grades."""

import pytest

from fedcredit.credit.path import path
from fedcredit.errors import ConfigError


def test_path_counts_notches_up_and_down_in_the_order_of_the_periods() -> None:
    stops = path([("2024-03", 0.0027), ("2024-01", 0.068), ("2024-02", 0.1), ("2024-04", 0.0028)])
    assert [(stop.period, stop.grade, stop.notches, stop.move) for stop in stops] == [
        ("2024-01", "B+", 0, "first"),
        ("2024-02", "B", -1, "downgrade"),
        ("2024-03", "A", 9, "upgrade"),
        ("2024-04", "A", 0, "same"),
    ]


def test_a_defaulted_company_is_d_from_then_on() -> None:
    stops = path([("2024", 0.02), ("2025", 0.01), ("2026", 0.01)], defaulted="2025")
    assert [(stop.grade, stop.pd, stop.move) for stop in stops] == [
        ("BB+", 0.02, "first"),
        ("D", 1.0, "default"),
        ("D", 1.0, "same"),
    ]
    assert stops[1].notches == -9


def test_a_default_without_a_score_is_a_stop_of_its_own() -> None:
    assert [stop.grade for stop in path([("2024", 0.02)], defaulted="2024-06")] == ["BB+", "D"]
    assert path([], defaulted="2024")[0].move == "default"


def test_no_scores_make_no_path() -> None:
    assert path([]) == []


@pytest.mark.parametrize("scores", [[("2024", 0.1), ("2024", 0.2)], [("2024", float("nan"))]])
def test_scores_that_make_no_path_are_refused(scores: list[tuple[str, float]]) -> None:
    with pytest.raises(ConfigError):
        path(scores)
