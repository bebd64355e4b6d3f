"""The capital formula beside the Basel Committee's published table."""

import pytest

from fedcredit.credit.capital import irb_capital
from fedcredit.errors import ConfigError

# Annex 5 of Basel II (June 2006), corporate exposures, LGD 45 %, maturity 2.5 years; sales of 50 and of 5 million EUR.
PUBLISHED = [
    (0.05, 19.65, 15.39),
    (0.10, 29.65, 23.30),
    (0.25, 49.47, 39.01),
    (0.40, 62.72, 49.49),
    (0.50, 69.61, 54.91),
    (0.75, 82.78, 65.14),
    (1.00, 92.32, 72.40),
    (1.30, 100.95, 78.77),
    (1.50, 105.59, 82.11),
    (2.00, 114.86, 88.55),
    (2.50, 122.16, 93.43),
]


@pytest.mark.parametrize(("pd_percent", "large", "small"), PUBLISHED)
def test_risk_weights_are_those_of_the_published_table(pd_percent: float, large: float, small: float) -> None:
    pd = pd_percent / 100
    assert 100 * irb_capital(pd, sales_million_eur=50).risk_weight == pytest.approx(large, abs=0.01)
    assert 100 * irb_capital(pd).risk_weight == pytest.approx(large, abs=0.01)
    assert 100 * irb_capital(pd, sales_million_eur=5).risk_weight == pytest.approx(small, abs=0.01)


def test_capital_rises_with_tenor_and_loss_and_is_floored_and_capped_where_the_text_says() -> None:
    assert irb_capital(0.02, tenor_years=5).requirement > irb_capital(0.02, tenor_years=1).requirement
    assert irb_capital(0.02, tenor_years=20) == irb_capital(0.02, tenor_years=5)
    assert irb_capital(0.0, lgd=0.4) == irb_capital(0.0005, lgd=0.4)
    assert irb_capital(0.01, sales_million_eur=1) == irb_capital(0.01, sales_million_eur=5)
    assert irb_capital(0.02, lgd=0.0).requirement == 0.0


@pytest.mark.parametrize(
    ("pd", "more"),
    [(1.0, {}), (-0.1, {}), (float("nan"), {}), (0.1, {"lgd": 1.1}), (0.1, {"tenor_years": 0.0})],
)
def test_what_has_no_capital_is_refused(pd: float, more: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="capital"):
        irb_capital(pd, **more)
