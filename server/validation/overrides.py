"""Counts of grades that persons changed become the section on overrides: how often, why, and who was right."""

from __future__ import annotations

import numpy as np

from fedcredit.credit.scale import MASTER
from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.figures import share
from fedcredit.evaluation.overrides import REASONS, Direction, overrides
from fedcredit.evaluation.overrides import Overrides as Found
from fedcredit.evaluation.proportions import wilson
from server.validation.cells import SMALLEST, TOGETHER, cells
from server.validation.content import Grid, Section, facts, grid, told
from server.validation.drawings import dots
from server.validation.evidence import Figure, figure
from server.validation.overrides_file import COLUMNS, Overridden
from server.validation.source import Source

KEY, TITLE = "overrides", "Overrides"
NO_FILE = (
    "No file of overrides was given, so nothing is known of grades that persons changed: --overrides takes a CSV with "
    f"the columns {', '.join(COLUMNS)}, and no company."
)
WAYS = {"better": "to a better grade", "worse": "to a worse grade", "unchanged": "left as the model gave it"}

LINES = {
    "better": (("better: model's grade", "model"), ("better: grade given", "final")),
    "worse": (("worse: model's grade", "model"), ("worse: grade given", "final")),
    "unchanged": (("not changed", "model"),),
}


def overrides_section(source: Source, found: Overridden | None) -> Section:
    """The section: override rate, outcomes by direction, and reasons; where too few are known, one sentence."""
    ask = (f"fedcredit model validate {source.subject} --runs RUNS --overrides FILE",)
    uncovered = ["Whether the file is whole: whoever hands it in vouches for that; it names no company to be compared."]
    if found is None:
        return Section(KEY, TITLE, says=(NO_FILE,), recompute=ask, uncovered=("How persons use the model.",))
    counted = overrides(found.counts, [float(pd) for pd in MASTER.pds])
    ways = _shown(counted)
    grids = [facts("The file", {"sha256": found.sha256, **_sizes(counted, found)})]
    drawings = {}
    if ways:
        grids.insert(0, _directions(ways))
        drawings["Defaults against what each grade said"] = _drawn(ways)
    else:
        uncovered.append(
            "Outcomes by direction: fewer than 10 companies went one way, and the others would tell of them."
        )
    if _is_told(counted, found) and (reasons := _reasons(found)):
        grids.append(reasons)
    uncovered.append("Whether a person knew more or was lucky: outcomes of one way stand together, over all reasons.")
    return Section(
        key=KEY,
        title=TITLE,
        says=_said(counted, found, ways),
        grids=tuple(grids),
        drawings={caption: svg for caption, svg in drawings.items() if svg},
        recompute=ask,
        uncovered=tuple(uncovered),
    )


def _drawn(ways: dict[str, Direction]) -> str:
    lines = [(name, _ratio(ways[way], whose)) for way in ways for name, whose in LINES[way]]
    label = "observed / expected defaults, 95 % interval"
    return dots([name for name, _ in lines], [one for _, one in lines], label=label, at=1.0)


def _shown(found: Found) -> dict[str, Direction]:
    """Companies by the way their grade went; none of them where one way was gone by 1 to 9."""
    ways = {way: one for way in WAYS if (one := getattr(found, way)) is not None}
    return ways if all(one.companies >= SMALLEST for one in ways.values()) else {}


def _changed(found: Found, more: Overridden) -> tuple[int, int]:
    """Changed grades, and all: with those whose outcome is not known yet."""
    changed = sum(one.companies for one in (found.better, found.worse) if one is not None)
    return changed + more.open_changed, found.companies + more.open


def _is_told(found: Found, more: Overridden) -> bool:
    changed, everybody = _changed(found, more)
    return all(number == 0 or number >= SMALLEST for number in (changed, everybody - changed))


def _said(found: Found, more: Overridden, ways: dict[str, Direction]) -> tuple[str, ...]:
    changed, everybody = _changed(found, more)
    if not _is_told(found, more):
        return (f"Of {everybody:,} grades fewer than {SMALLEST} were changed, or left: too few to be told of.",)
    rate, low, high = (share(one) for one in wilson(float(changed), float(everybody)))
    says = [f"Persons changed {changed:,} of {everybody:,} grades: {rate} [{low}, {high}]."]
    for way in ("better", "worse"):
        if way in ways:
            one = ways[way]
            verdict = "closer to what came" if one.was_right else "no closer to what came"
            says.append(
                f"Changed {WAYS[way]}: the grades as given were {verdict} than the model's (Brier "
                f"{as_text(one.final_brier)} against {as_text(one.model_brier)})."
            )
    return tuple(says)


def _sizes(found: Found, more: Overridden) -> dict[str, object]:
    few = 0 < more.open < SMALLEST or 0 < found.companies < SMALLEST
    if few:
        return {"rows": f"{found.companies + more.open:,}, with and without an outcome"}
    return {"rows with an outcome": f"{found.companies:,}", "rows without one yet": f"{more.open:,}"}


def _directions(ways: dict[str, Direction]) -> Grid:
    rows = [
        [
            WAYS[way],
            one.companies,
            one.defaults,
            told(figure(*one.bad_rate, about="")),
            told(_ratio(one, "model")),
            told(_ratio(one, "final")),
        ]
        for way, one in ways.items()
    ]
    head = ["changed", "companies", "defaults", "default rate [95 %]"]
    head += ["observed / expected by the model's grade [95 %]", "by the grade as given [95 %]"]
    return grid("Outcomes by the way the grade went", head, rows)


def _ratio(one: Direction, whose: str) -> Figure:
    found = one.model_observed_expected if whose == "model" else one.final_observed_expected
    return figure(*found, about="")


def _reasons(found: Overridden) -> Grid | None:
    """Changed grades by reason; reasons of fewer than ten are put together."""
    codes = np.repeat(np.array(list(found.reasons), dtype=object), list(found.reasons.values()))
    held = cells(codes, np.arange(len(codes))) if len(codes) else {}
    rows = [
        [code, "–" if code == TOGETHER else REASONS[code], int(inside.sum()), share(float(inside.mean()))]
        for code, inside in held.items()
    ]
    return grid("Changed grades by reason", ["code", "reason", "grades", "of all changed"], rows) if rows else None
