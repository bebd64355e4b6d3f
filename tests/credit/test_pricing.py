"""A price adds up, and the move from B+ to A is computed part by part."""

import pytest

from fedcredit.credit.pricing import Terms, price, reprice
from fedcredit.errors import ConfigError


def test_parts_add_up_to_the_price() -> None:
    found = price(0.02, Terms(sales_million_eur=20))
    parts = [found.expected_loss_bp, found.capital_bp, found.funds_bp, found.operating_bp, found.margin_bp]
    assert sum(parts) == pytest.approx(found.total_bp)
    assert found.own_funds == pytest.approx(0.105 * 12.5 * found.requirement)


def test_b_plus_to_a_saves_the_expected_loss_by_hand_and_the_capital() -> None:
    found = reprice("B+", "A")
    assert found.notches == 8
    assert found.saved_bp["expected_loss"] == pytest.approx((0.068 - 0.0027) * 0.45 * 10_000)
    assert found.saved_bp["capital"] == pytest.approx(
        (found.before.own_funds - found.after.own_funds) * (0.12 - 0.0215) * 10_000
    )
    assert found.saved_bp["total"] == pytest.approx(found.saved_bp["expected_loss"] + found.saved_bp["capital"])
    assert (found.saved_bp["funds"], found.saved_bp["operating"], found.saved_bp["margin"]) == (0, 0, 0)


def test_a_longer_loan_costs_more_capital_and_more_funds_and_the_same_expected_loss() -> None:
    short, long = price(0.02, Terms(tenor_years=1)), price(0.02, Terms(tenor_years=5))
    assert long.requirement > short.requirement
    assert long.funds_bp - short.funds_bp == pytest.approx(40)
    assert long.expected_loss_bp == short.expected_loss_bp


def test_a_loan_without_loss_costs_funds_operation_and_margin() -> None:
    found = price(0.05, Terms(lgd=0.0))
    assert (found.expected_loss_bp, found.capital_bp) == (0, 0)
    assert found.total_bp == pytest.approx(215 + 80 + 30)


def test_own_funds_that_ask_less_than_money_costs_are_free_and_not_a_gift() -> None:
    assert price(0.05, Terms(return_on_capital=0.01)).capital_bp == 0


@pytest.mark.parametrize(
    "more", [{"lgd": 45.0}, {"tenor_years": 0.0}, {"margin": float("nan")}, {"cost_of_funds": -0.1}]
)
def test_terms_out_of_range_are_refused(more: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="terms"):
        Terms(**more)


def test_a_company_in_default_has_no_price() -> None:
    with pytest.raises(ConfigError, match="PD 1"):
        reprice("D", "A")
