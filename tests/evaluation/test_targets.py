"""Asked and measured."""

from __future__ import annotations

import pytest

from fedcredit.errors import ConfigError
from fedcredit.evaluation.targets import Target

BANKS = [
    {"name": "federated - local", "institution": name, "point": 0.02, "low": -0.05, "high": high}
    for name, high in (("A", 0.09), ("B", 0.01), ("OTHER", -0.02))
]


def test_the_worst_of_several_counts() -> None:
    named = Target(
        "no bank harmed", {"name": "federated - local"}, "high", at_least=0.0, but_not={"institution": "OTHER"}
    )
    assert named.measure(BANKS) == {"name": "no bank harmed", "asked": "high >= 0", "measured": 0.01, "met": True}
    everybody = Target("no bank harmed", {"name": "federated - local"}, "high", at_least=0.0)
    assert everybody.measure(BANKS)["measured"] == -0.02
    assert not everybody.measure(BANKS)["met"]


def test_a_lower_and_an_upper_bound_make_a_band() -> None:
    band = Target("parity", {"institution": ["A"]}, at_least=0.7405, at_most=0.7445)
    assert band.asked == "point >= 0.7405 and <= 0.7445"
    for figure, met in ((0.7425, True), (0.74, False), (0.745, False)):
        assert band.measure([{"institution": "A", "point": figure}])["met"] is met


def test_above_is_not_met_by_the_bound_itself() -> None:
    assert not Target("gain", {}, "low", above=0.0).measure([{"low": 0.0}])["met"]


def test_nothing_found_is_not_met() -> None:
    goal = Target("gain", {"name": "no such comparison"}, at_least=0.0)
    assert goal.measure(BANKS) == {"name": "gain", "asked": "point >= 0", "measured": None, "met": False}


def test_a_target_needs_a_bound() -> None:
    with pytest.raises(ConfigError, match="no bound"):
        Target("gain", {})
