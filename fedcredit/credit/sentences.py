"""A company's reasons become sentences in Chinese or English, and a dict for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from fedcredit.credit.counterfactual import DIGITS, NO_GRADE
from fedcredit.credit.fields import Field, words
from fedcredit.credit.reasons import NOBODY, Reasons
from fedcredit.errors import ConfigError

Language = Literal["zh", "en"]
EXACT = 10  # digits of a value that moves the grade: it is said as it was graded


@dataclass(frozen=True)
class Reason:
    """One indicator's part in a grade. log_odds is against the typical company; above 0 raises the risk.

    value is None where it is missing; better_value and better_grade where no change was sought or none was found.
    """

    rank: int
    indicator: str
    name: str
    value: float | str | None
    typical: float | str
    unit: str
    log_odds: float
    better_value: float | None
    better_grade: str | None
    text: str


def reasons_of(reasons: Reasons, row: int, *, language: Language = "en", lowers: bool = False) -> list[Reason]:
    """The reasons of one company that raise its risk, or those that lower it, the strongest first.

    Raises:
        ConfigError: another language.
    """
    if language not in get_args(Language):
        raise ConfigError("language", found=repr(language), expected="zh or en")
    order = (reasons.lowering if lowers else reasons.raising)[row].tolist()
    return [
        _reason(reasons, row, rank, position, language=language, lowers=lowers)
        for rank, position in enumerate(order)
        if position != NOBODY
    ]


def as_dict(reasons: Reasons, row: int, *, language: Language = "en") -> dict[str, Any]:
    """The reasons of one company for JSON, with what is hidden and that in words."""
    return {
        "grade": reasons.grades[int(reasons.grade[row])],
        "reasons": [dict(vars(reason)) for reason in reasons_of(reasons, row, language=language)],
        "strengths": [dict(vars(reason)) for reason in reasons_of(reasons, row, language=language, lowers=True)],
        "hidden_percent": hidden_percent(reasons, row),
        "level": reasons.level,
        "notes": notes(reasons, row, language=language),
    }


def notes(reasons: Reasons, row: int, *, language: Language) -> list[str]:
    """What has to be said beside the reasons: that there is none, and how much is hidden."""
    said = []
    if (reasons.raising[row] == NOBODY).all():
        said.append(words()["none"][language])
    if percent := hidden_percent(reasons, row):
        said.append(words()["hidden"][language].format(percent=percent, level=reasons.level))
    return said


def hidden_percent(reasons: Reasons, row: int) -> int:
    """The hidden share of the influence in whole percent: a finer figure would tell of the hidden values."""
    return round(100 * float(reasons.hidden[row]))


def _reason(reasons: Reasons, row: int, rank: int, position: int, *, language: Language, lowers: bool) -> Reason:
    field, share = reasons.fields[position], float(reasons.shares[row, position])
    cell: Any = reasons.values.iat[row, position]
    typical = reasons.typical[field.name]
    is_missing = bool(pd.isna(cell))
    name = field.zh if language == "zh" else field.en
    kind = "missing_" if is_missing else "" if field.speaks_for(cell, typical, lowers=lowers) else "course_"
    key = kind + ("lowers" if lowers else "raises")
    target: float | None = None
    better: str | None = None
    more = ""
    if not lowers and rank < reasons.better_grade.shape[1]:
        now, to = int(reasons.grade[row]), int(reasons.better_grade[row, rank])
        if to != NO_GRADE:
            target, better = float(reasons.better_value[row, rank]), reasons.grades[to]
        more = ("" if language == "zh" else " ") + _change(
            field, reasons.grades, now, target, better, language=language
        )
    told = "" if is_missing else in_unit(cell, field, language=language)
    if target is not None and told == in_unit(target, field, language=language):  # 0.6004 would read as 0.6 too
        told = in_unit(cell, field, language=language, digits=EXACT)
    said = {"name": name, "typical": in_unit(typical, field, language=language), "value": told}
    text = words()[key][language].format(**said) + more
    value = None if is_missing else _plain(cell)
    return Reason(
        rank + 1, field.name, name, value, _plain(typical), field.unit, round(share, 2), target, better, text
    )  # fmt: skip


def _plain(cell: Any) -> float | str:
    """A value as JSON has it; a float32 as it is written, 0.6 and not 0.60000002."""
    if isinstance(cell, str):
        return cell
    return float(str(cell)) if isinstance(cell, np.floating) else float(cell)


def _change(
    field: Field, grades: tuple[str, ...], now: int, target: float | None, better: str | None, *, language: Language
) -> str:
    said = {"grade": grades[now]}
    if target is not None:
        said |= {"target": in_unit(target, field, language=language, digits=EXACT), "better": str(better)}
        return str(words()["moves"][language].format(**said))
    if now == 0:
        return str(words()["best"][language].format(**said))
    if not field.is_movable or field.lo is None or field.hi is None:
        return str(words()["unknown"][language])
    ends = {"lo": in_unit(field.lo, field, language=language), "hi": in_unit(field.hi, field, language=language)}
    return str(words()["stays"][language].format(**said, **ends))


def in_unit(value: float | str, field: Field, *, language: Language, digits: int = DIGITS) -> str:
    """A value with its unit, as a sentence has it.

    >>> days = Field("ar", "应收账款周转天数", "Receivables turnover days", "days", 3)
    >>> in_unit(75.25, days, language="en"), in_unit(60, days, language="zh")
    ('75.2 days', '60 天')
    """
    if isinstance(value, str):
        return value
    form = words()["units"].get(field.unit, {}).get(language, "{value} " + field.unit.replace("{", "").replace("}", ""))
    return str(form.format(value=_number(float(value), digits), percent=_number(100 * float(value), digits)))


def _number(value: float, digits: int) -> str:
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
