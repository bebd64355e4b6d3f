"""A company's hidden factor becomes the monthly values of an indicator, at ranges that look like a small company's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.indicators import Indicator
from fedcredit.data.world import Floats, ar1

RELEASE_EVERY = {"D": 1, "W": 1, "M": 1, "Q": 3, "Y": 12}  # months that a value stands until the next filing
MOST_SIGMAS = 8.0  # no score beyond: an exponential of it would overflow

Shape = Literal["normal", "log", "share", "events", "ordinal", "inner"]


@dataclass(frozen=True)
class Margin:
    """How an indicator's standard score becomes a value; centre and spread are assumptions in the indicator's unit.

    normal: centre + spread z; log: centre exp(spread z); share: the same on the logit scale; events: none for most,
    then growing exponentially above z = centre; ordinal: levels passed at z = centre, centre + spread, ...;
    inner: centre + spread exp(-z / 2) times a normal that a company keeps.
    """

    shape: Shape
    centre: float
    spread: float


MARGINS = {
    "debt_ratio": Margin("normal", 0.60, 0.28),
    "current_ratio": Margin("inner", 1.9, 0.7),
    "interest_cover": Margin("normal", 5.0, 8.0),
    "cash_debt_cover": Margin("normal", 0.15, 0.40),
    "roa": Margin("normal", 0.05, 0.10),
    "net_margin": Margin("normal", 0.05, 0.15),
    "ar_turn_days": Margin("log", 75, 0.7),
    "inv_turn_days": Margin("log", 60, 0.8),
    "cf_volatility": Margin("log", 0.9, 0.7),
    "cash_buffer_days": Margin("log", 30, 1.1),
    "tax_burden_dev": Margin("inner", 0.0, 0.30),
    "tax_arrears_ratio": Margin("events", 1.0, 0.25),
    "invoice_growth": Margin("normal", 0.05, 0.30),
    "market_expansion": Margin("log", 0.25, 0.7),
    "order_cont": Margin("share", 0.88, 1.2),
    "supply_synergy": Margin("share", 0.55, 0.8),
    "cust_hhi": Margin("share", 0.25, 0.9),
    "partner_risk": Margin("share", 0.06, 0.8),
    "power_yoy": Margin("normal", 0.03, 0.22),
    "headcount_yoy": Margin("normal", 0.02, 0.18),
    "hf_arrears": Margin("share", 0.92, 1.3),
    "patent_stock": Margin("events", 0.4, 0.9),
    "rd_intensity": Margin("log", 0.02, 1.0),
    "tech_title": Margin("ordinal", 1.0, 0.6),
    "judicial_risk": Margin("events", 0.8, 1.2),
    "admin_env_penalty": Margin("events", 1.0, 1.0),
    "rev_cagr": Margin("normal", 0.07, 0.18),
    "procure_win": Margin("events", 1.0, 0.15),
}


def draw_values(rng: np.random.Generator, factor: Floats, *, indicator: Indicator, noise: float) -> Floats:
    """Values (n, months) of an indicator that follows `factor` (n, months), a level of the company's own, and noise.

    Values lie in the dictionary's lo..hi and get better with the factor, as the dictionary's direction says.
    """
    n, months = factor.shape
    own = rng.standard_normal((n, 1), dtype=np.float32)
    side = rng.standard_normal((n, 1), dtype=np.float32)
    z = 0.75 * factor + noise * (0.45 * own + 0.45 * ar1(rng, factor.shape, persistence=0.6))
    z = np.clip(z[:, released(RELEASE_EVERY[indicator.freq], months)], -MOST_SIGMAS, MOST_SIGMAS)
    oriented = np.asarray(-z if indicator.direction == "down" else z, dtype=np.float32)
    value = _at_margin(oriented, MARGINS[indicator.id], side=side)
    # Decimals are cut so that the last bit of exp() on another processor hardly ever shows in the file.
    return np.asarray(np.round(np.clip(value, indicator.lo, indicator.hi), 4), dtype=np.float32)


def _at_margin(z: Floats, margin: Margin, *, side: Floats) -> Floats:
    centre, spread = np.float32(margin.centre), np.float32(margin.spread)
    match margin.shape:
        case "normal":
            return centre + spread * z
        case "log":
            return np.asarray(centre * np.exp(spread * z))
        case "share":
            return np.asarray(expit(np.log(centre / (1 - centre)) + spread * z))
        case "events":
            return np.asarray(np.expm1(spread * np.maximum(z - centre, 0)))
        case "ordinal":
            return np.asarray(np.floor(np.clip((z - centre) / spread + 1, 0, 3)))
        case "inner":
            return np.asarray(centre + spread * side * np.exp(-z / 2))


def released(every: int, months: int) -> NDArray[np.intp]:
    """For each month, the month whose value stands; the last filing is that of the last month.

    >>> released(3, 8)
    array([0, 1, 1, 1, 4, 4, 4, 7])
    """
    month = np.arange(months)
    return np.asarray(np.maximum(month - (month - (months - 1)) % every, 0))
