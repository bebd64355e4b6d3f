"""Judged rows that carry a period become the section on vintages: who defaulted, by age since the first period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fedcredit.data.periods import Unit
from fedcredit.evaluation.drawing import INK
from fedcredit.evaluation.figures import share
from fedcredit.evaluation.plots import COLORS
from fedcredit.evaluation.vintages import VintageCurve, vintage_counts, vintage_curve
from server.validation.cells import SMALLEST, runs_of
from server.validation.content import Section, grid
from server.validation.dated import Dated, dated
from server.validation.drawings import Line, steps
from server.validation.source import Scores

KEY, TITLE = "vintages", "Vintages"
MOST_VINTAGES, MOST_AGES, MOST_COLUMNS = 24, 60, 6
NO_PERIOD = (
    "The rows of the judged split carry no period, so no vintage can be told from another: name the table's column of "
    "the period (data.table.period) or the year (data.table.stratum) and run the study again."
)
ONE_AGE = (
    "Each company stands in one period here, so a curve has one point: the share that defaulted within the performance "
    "window after it. Beside it stands the mean PD that the model gave them."
)
LAST_ONLY = (
    "When a company defaults: it takes rows of the same company in several periods. Where the study keeps only each "
    "company's last window, an earlier vintage holds those who defaulted or left early: its rate is higher for that."
)
MANY_AGES = (
    "A company's vintage is the first period that it was judged in. At age k are the defaults within the performance "
    "window after its k-th period; who is no longer seen counts as long as it was (Kaplan-Meier)."
)


def vintages_section(scores: Scores) -> Section:
    """Cumulative default rates by vintage, as long as ten companies of it are still watched."""
    found = dated([scores])
    held = _curves(found) if found is not None else []
    if found is None or not held:
        too_few = "Fewer than 10 companies of the judged split carry a period, so no vintage is shown."
        says = NO_PERIOD if found is None else too_few
        return Section(KEY, TITLE, says=(says,), uncovered=("When companies default, by vintage.",))
    ages = _ages(max(_watched(curve) for curve, _ in held))
    rows = [
        [curve.name, curve.at_risk[0], share(expected), *(_at(curve, age) for age in ages)] for curve, expected in held
    ]
    head = ["vintage", "companies", "mean PD at first", *(f"% by age {age} [95 %]" for age in ages)]
    is_curve = max(ages) > 1
    return Section(
        key=KEY,
        title=TITLE,
        says=(MANY_AGES if is_curve else ONE_AGE,),
        grids=(grid("Defaulted by age, % of the companies of the vintage", head, rows),),
        drawings={"Cumulative default rate by vintage": _drawn([one for one, _ in held], found.unit)}
        if is_curve
        else {},
        uncovered=(
            f"Ages at which fewer than {SMALLEST} companies are still watched; vintages of fewer stand with their "
            "neighbours.",
            "Defaults of companies that left the table for another reason: leaving is taken to say nothing of default.",
            *(() if is_curve else (LAST_ONLY,)),
        ),
    )


def _curves(found: Dated) -> list[tuple[VintageCurve, float]]:
    """Each vintage's curve, and the mean PD that its companies were given in their first period."""
    rows = found.rows
    age = rows.groupby("company", sort=False).cumcount() + 1
    bad = rows.assign(age=age)[rows["y"] == 1].groupby("company", sort=False)["age"].first()
    first = rows.drop_duplicates("company").set_index("company")
    seen = age.groupby(rows["company"], sort=False).max()
    left = pd.DataFrame(
        {"number": first["number"], "period": first["period"], "p": first["p"], "seen": seen, "bad": bad}
    )
    left["age"] = left["bad"].fillna(left["seen"]).astype(int)
    by = [part for _, part in left.groupby("number", sort=True)]
    parts = runs_of([len(part) for part in by])
    return [_curve(by[first : last + 1]) for first, last in parts[-MOST_VINTAGES:]]


def _curve(parts: Sequence[pd.DataFrame]) -> tuple[VintageCurve, float]:
    whole = pd.concat(parts)
    low, high = str(parts[0]["period"].iloc[0]), str(parts[-1]["period"].iloc[0])
    ages = min(MOST_AGES, int(whole["seen"].max()))
    counts = vintage_counts(whole["age"].to_numpy(), whole["bad"].notna().to_numpy(), ages=ages)
    name = low if len(parts) == 1 else f"{low} to {high}"
    return vintage_curve(name, counts), float(whole["p"].mean())


def _watched(curve: VintageCurve) -> int:
    """The last age at which enough companies are watched."""
    return sum(number >= SMALLEST for number in curve.at_risk)


def _ages(last: int) -> list[int]:
    """At most six ages, the first and the last among them.

    >>> _ages(3), _ages(12)
    ([1, 2, 3], [1, 3, 5, 8, 10, 12])
    """
    return sorted({round(age) for age in np.linspace(1, last, min(last, MOST_COLUMNS)).tolist()})


def _at(curve: VintageCurve, age: int) -> str:
    if age > _watched(curve):
        return "–"
    point, low, high = (f"{100 * line[age - 1]:.1f}" for line in (curve.cumulative, curve.low, curve.high))
    return f"{point} [{low}, {high}]"


def _drawn(curves: Sequence[VintageCurve], unit: Unit) -> str:
    """The latest six, the youngest in the strongest colour."""
    lines = [
        Line(one.name, list(range(1, _watched(one) + 1)), one.cumulative[: _watched(one)])
        for one in curves[-MOST_COLUMNS:]
    ]
    styled = [line._replace(color=color, dash=dash) for line, (color, dash) in zip(lines, STYLES, strict=False)]
    return steps(styled, label=f"age, {unit if unit != 'number' else 'period'}s since the first")


STYLES = (*zip(COLORS.values(), ("-", "--", ":", "-.", "-"), strict=True), (INK, "--"))
