"""A PD becomes the capital that the Basel IRB formula for companies asks for."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

from scipy.stats import norm

from fedcredit.errors import ConfigError

PD_FLOOR = 0.0005  # Basel III (CRE32): the smallest PD of a company
CONFIDENCE = 0.999
RISK_WEIGHT_FACTOR = 12.5  # the inverse of 8 %
SME_FROM, SME_TO = 5.0, 50.0  # million EUR of annual sales: full adjustment, and none
LEAST_TENOR, MOST_TENOR = 1.0, 5.0  # years of effective maturity that the formula takes


@dataclass(frozen=True)
class Capital:
    """The parts of the formula: asset correlation, maturity adjustment, and K and risk weight as shares of the loan."""

    pd: float
    correlation: float
    maturity: float
    requirement: float
    risk_weight: float


def irb_capital(
    pd: float, *, lgd: float = 0.45, tenor_years: float = 2.5, sales_million_eur: float | None = None
) -> Capital:
    """Capital for the unexpected loss of one loan to a company (Basel Framework CRE31.5 to 31.9).

    K = (LGD N((G(PD) + sqrt(R) G(.999)) / sqrt(1 - R)) - PD LGD) (1 + (M - 2.5) b) / (1 - 1.5 b), with
    b = (.11852 - .05478 ln PD)^2 and R between .12 and .24, less up to .04 for sales of 50 down to 5 million EUR.
    The PD is floored at .05 %, the tenor kept to 1 to 5 years. None as sales: no adjustment for size.

    Raises:
        ConfigError: a PD or LGD outside 0..1, or a tenor or sales that are no positive number.

    Published examples (CRE99; Annex 5 of Basel II, 2006): LGD 45 % and 2.5 years have a risk weight of 92.32 % at a PD
    of 1 %; LGD 40 % and sales of 5 million one of 64.35 %.

    >>> round(irb_capital(0.01).risk_weight, 4), round(irb_capital(0.01, lgd=0.4, sales_million_eur=5).risk_weight, 4)
    (0.9232, 0.6435)
    """
    if not (0 <= pd < 1 and 0 <= lgd <= 1):
        raise ConfigError(
            "capital", found=f"PD {pd} and LGD {lgd}", expected="a PD from 0 to below 1, an LGD of 0 to 1"
        )
    if not 0 < tenor_years < 100 or not (sales_million_eur is None or 0 <= sales_million_eur < 1e9):
        found = f"tenor {tenor_years}, sales {sales_million_eur}"
        raise ConfigError("capital", found=found, expected="years above 0 and sales in million EUR")
    p = max(pd, PD_FLOOR)
    tenor = min(max(tenor_years, LEAST_TENOR), MOST_TENOR)
    weight = (1 - exp(-50 * p)) / (1 - exp(-50))
    correlation = 0.12 * weight + 0.24 * (1 - weight)
    if sales_million_eur is not None and sales_million_eur < SME_TO:
        correlation -= 0.04 * (1 - (max(sales_million_eur, SME_FROM) - SME_FROM) / (SME_TO - SME_FROM))
    b = (0.11852 - 0.05478 * log(p)) ** 2
    maturity = (1 + (tenor - 2.5) * b) / (1 - 1.5 * b)
    stressed = norm.cdf((norm.ppf(p) + sqrt(correlation) * norm.ppf(CONFIDENCE)) / sqrt(1 - correlation))
    requirement = max(0.0, float(lgd * (stressed - p)) * maturity)
    return Capital(p, correlation, maturity, requirement, RISK_WEIGHT_FACTOR * requirement)
