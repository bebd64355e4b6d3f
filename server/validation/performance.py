"""The judged scores become the sections on separation, and on lending at a fixed approval rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedcredit.evaluation.approval import bad_rate_at, loss_at, queue
from fedcredit.evaluation.figures import money, share
from fedcredit.evaluation.metrics import roc
from server.validation.cells import SMALLEST
from server.validation.content import Grid, Section, grid, told
from server.validation.drawings import Line, approval, dots
from server.validation.drawings import roc as draw_roc
from server.validation.evidence import TITLES, Figure
from server.validation.figures import unit_queue
from server.validation.groups import KINDS, MOST, Group
from server.validation.source import Scores, Source

STEPS = np.linspace(0, 1, 101)
NO_COLUMN = "the scores of this run carry no such column"
HIDDEN = "each group is of too few companies, or of one institution, and institutions are not shown here"
RATES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def performance(
    source: Source, figures: Mapping[str, Figure], found: Sequence[Group], *, others: Mapping[str, Scores]
) -> Section:
    """Separation overall and by group; `others` are drawn beside, by name."""
    scores = source.scores(source.headline)
    if scores is None:
        return Section("performance", "Performance", uncovered=("Anything: the judged split has no scores.",))
    rows = [[TITLES[name], told(figures[name]), figures[name].about] for name in ("auc", "gini", "ks")]
    kinds = list(dict.fromkeys(one.by for one in found))
    grids = [grid(f"On split {scores.split}, {len(scores)} rows", ["figure", "value [95 %]", "how"], rows)]
    grids += [_by(kind, [one for one in found if one.by == kind]) for kind in kinds]
    lines = [_roc_line("this model", scores), *(_roc_line(name, one) for name, one in others.items())]
    dotted = [Line(one.name, one.x, one.y, *style) for one, style in zip(lines, STYLES, strict=False)]
    drawings = {"ROC, judged split": draw_roc(dotted)}
    drawings |= {
        f"AUC by {kind}": dots(
            [one.name for one in found if one.by == kind],
            [one.auc for one in found if one.by == kind],
            label=f"AUC by {kind}, 95 % interval (dotted: all rows)",
            at=figures["auc"].value or 0.5,
        )
        for kind in kinds
    }
    absent = [(word, column) for column, word in KINDS.items() if word not in kinds]
    return Section(
        key="performance",
        title="Performance",
        says=(
            "Figures are of this one model: one seed, after the bundle's own calibration. The study's report gives "
            "means over seeds, so the two differ.",
        ),
        grids=tuple(grids),
        drawings={caption: svg for caption, svg in drawings.items() if svg},
        recompute=("fedcredit study show RUN --json",),
        uncovered=(
            *(f"By {word}: {HIDDEN if column in scores.about else NO_COLUMN}." for word, column in absent),
            f"Groups of fewer than {SMALLEST} companies by themselves, and more than {MOST} groups of one kind.",
        ),
    )


STYLES = (("#0072B2", "-"), ("#777777", "--"), ("#E69F00", ":"), ("#009E73", "-."))


def _by(kind: str, found: Sequence[Group]) -> Grid:
    rows = [
        [one.name, one.rows, one.companies, one.defaults, told(one.auc), told(one.observed_expected)] for one in found
    ]
    head = [kind, "rows", "companies", "defaults", "AUC [95 %]", "observed / expected [95 %]"]
    return grid(f"By {kind}", head, rows)


def _roc_line(name: str, scores: Scores) -> Line:
    false_rate, true_rate = roc(scores.y, scores.p)
    return Line(name, STEPS.tolist(), np.interp(STEPS, false_rate, true_rate).tolist())


def lending(source: Source, figures: Mapping[str, Figure], *, others: Mapping[str, Scores]) -> Section:
    """Bad rate and expected loss at fixed approval rates, beside the AUC."""
    scores, terms = source.scores(source.headline), source.settings.gain
    if scores is None:
        return Section("lending", "Bad rate at fixed approval")
    loan = terms.average_loan or 1.0
    unit = terms.currency if terms.average_loan else "loans"
    rows = []
    for rate in RATES:
        cells = []
        for one in (scores, *others.values()):
            line = queue(one.y, one.p, exposure=np.full(len(one), loan), weights=np.ones((len(one), 1)))
            loss = float(loss_at(line, rate)[0]) * terms.lgd * 1000
            cells += [share(float(bad_rate_at(line, rate)[0])), money(loss)]
        rows.append([share(rate), *cells])
    head = ["approved"]
    for name in ("this model", *others):
        head += [f"{name}: bad rate", f"{name}: loss, {unit} / 1,000 applicants"]
    at = figures["bad_rate_at_approval"]
    dotted = [
        Line(
            name,
            list(_RATES),
            [float(bad_rate_at(unit_queue(one, np.ones((len(one), 1))), rate)[0]) for rate in _RATES],
            *style,
        )
        for (name, one), style in zip({"this model": scores, **others}.items(), STYLES, strict=False)
    ]
    return Section(
        key="lending",
        title="Bad rate at fixed approval",
        says=(
            f"AUC {told(figures['auc'])}; {at.about}: {told(at)}. Loss given default {share(terms.lgd)}"
            + (
                f", average loan {money(terms.average_loan)} {terms.currency}."
                if terms.average_loan
                else ", every loan counts as 1."
            ),
            "An approved share is a share of the companies in the table. Where these were accepted by an earlier "
            "policy, it is a share of those.",
        ),
        grids=(grid("Bad rate and expected loss", head, rows),),
        drawings={"Bad rate among the approved": approval(dotted)},
        recompute=("fedcredit study show RUN --json",),
        uncovered=("Margins, costs and prepayment: a profit needs them, and no run knows them.",),
    )


_RATES = tuple(float(rate) for rate in np.linspace(0.3, 1.0, 36))
