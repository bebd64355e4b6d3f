"""Numbers become the way people read them: .812, +.048 [+.012, +.083], 82.6 %."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedcredit.evaluation.gain import LOANS

NOTHING = "–"
DIGITS = 3


def figure(value: float | None) -> str:
    """A figure between -1 and 1 as statisticians print it, others with their leading digit.

    >>> figure(0.8124), figure(-0.25), figure(1.02), figure(None)
    ('.812', '-.250', '1.020', '–')
    """
    if value is None:
        return NOTHING
    text = f"{value:.{DIGITS}f}"
    text = text.replace("-0.000", "0.000")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def signed(value: float | None) -> str:
    """A difference, with its sign.

    >>> signed(0.048), signed(-0.002), signed(0.0)
    ('+.048', '-.002', '.000')
    """
    text = figure(value)
    return text if value is None or text.startswith("-") or text == ".000" else f"+{text}"


def interval(found: Mapping[str, Any]) -> str:
    """A level (`point`, `low`, `high`).

    >>> interval({"point": 0.812, "low": 0.79, "high": 0.834})
    '.812 [.790, .834]'
    """
    return _around(found["point"], found["low"], found["high"], figure)


def change(found: Mapping[str, Any]) -> str:
    """A difference (`difference` or `point`, `low`, `high`).

    >>> change({"difference": 0.048, "low": 0.012, "high": 0.083})
    '+.048 [+.012, +.083]'
    """
    return _around(found.get("difference", found.get("point")), found["low"], found["high"], signed)


def delong(comparison: Mapping[str, Any]) -> str:
    """DeLong's ends of a comparison; nothing where a side is not one model.

    >>> delong({"delong_low": 0.01, "delong_high": 0.08}), delong({"delong_low": None})
    ('[+.010, +.080]', '–')
    """
    low, high = comparison.get("delong_low"), comparison.get("delong_high")
    return NOTHING if low is None or high is None else f"[{signed(low)}, {signed(high)}]"


def auc_interval(row: Mapping[str, Any]) -> str:
    """The AUC of a report row."""
    return _around(row["auc"], row["auc_low"], row["auc_high"], figure)


def points(found: Mapping[str, Any]) -> str:
    """A change in a rate, in percentage points.

    >>> points({"difference": -0.0221, "low": -0.043, "high": -0.004})
    '-2.2 [-4.3, -0.4] pp'
    """
    low, high = found["low"], found["high"]
    return NOTHING if low is None else f"{found['difference']:+.1%} [{low:+.1%}, {high:+.1%}] pp".replace("%", "")


def share(value: float | None) -> str:
    """A rate in per cent.

    >>> share(0.8261)
    '82.6 %'
    """
    return NOTHING if value is None else f"{100 * value:.1f} %"


def money(value: float | None) -> str:
    """An amount to about four digits.

    >>> money(2804098.6), money(12.345), money(-0.5)
    ('2,804,000', '12.35', '-0.5')
    """
    if value is None:
        return NOTHING
    digits = 3 - len(str(int(abs(value))))
    rounded = round(value, min(digits + 1, 2))
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 or float(rounded).is_integer() else f"{rounded:,g}"


def money_change(found: Mapping[str, Any]) -> str:
    """A change in money, with its interval."""
    return _around(found["difference"], found["low"], found["high"], _signed_money)


def epsilon(value: float | None) -> str:
    """The target epsilon; none means that nothing was made private.

    >>> epsilon(None), epsilon(3.0)
    ('none', '3')
    """
    return "none" if value is None else f"{value:g}"


def lending(gain: Mapping[str, Any]) -> str:
    """How the institution of a gain lends, and what its expected loss is counted in.

    >>> terms = {"approval_rate": 0.8, "lgd": 0.45, "average_loan": None, "currency": ""}
    >>> lending({"terms": terms, "money": "loans"}).split("; ")[1]
    'no amounts are known, so that every loan counts as 1. Expected loss is in loans for each 1,000 applicants.'
    """
    terms, unit = gain["terms"], gain["money"]
    if terms["average_loan"] is not None:
        amount = f"an average loan is {' '.join([money(terms['average_loan']), terms['currency']]).strip()}"
    elif unit == LOANS:
        amount = "no amounts are known, so that every loan counts as 1"
    else:
        amount = "each loan counts with its own amount in the table"
    return (
        f"The institution approves the safest {share(terms['approval_rate'])} of its applicants and loses "
        f"{share(terms['lgd'])} of a loan on a default; {amount}. "
        f"Expected loss is in {unit} for each 1,000 applicants."
    )


def _signed_money(value: float | None) -> str:
    text = money(value)
    return f"+{text}" if value is not None and value > 0 else text


def _around(point: float | None, low: float | None, high: float | None, told: Callable[[float | None], str]) -> str:
    if point is None:
        return NOTHING
    return told(point) if low is None or high is None else f"{told(point)} [{told(low)}, {told(high)}]"


HASHES = ("config_sha256", "git_sha", "schema_sha256", "data_sha256", "predictions_sha256")


def facts(report: Mapping[str, Any]) -> dict[str, str]:
    """What a run can be told by, and repeated with: hashes, seeds, machine, timing."""
    told = {name: report.get(name) or None for name in HASHES}
    told |= {"seeds": ", ".join(map(str, report["seeds"])), **report["machine"], **report["timing"]}
    return {name: _fact(value) for name, value in told.items()}


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return NOTHING if value is None else str(value)


FILTERS: Mapping[str, Callable[..., str]] = {
    "figure": figure,
    "signed": signed,
    "interval": interval,
    "change": change,
    "auc_interval": auc_interval,
    "delong": delong,
    "points": points,
    "share": share,
    "money": money,
    "money_change": money_change,
    "epsilon": epsilon,
    "lending": lending,
}
