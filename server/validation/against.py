"""Two models on identical rows become their difference in AUC, or a refusal where the rows are not the same."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fedcredit.errors import RunError
from fedcredit.evaluation.delong import paired_difference
from fedcredit.evaluation.intervals import DRAWS, auc_draws, percentile_interval
from fedcredit.evaluation.metrics import auc, has_both_classes
from server.validation.content import Section, grid, told
from server.validation.evidence import Figure, figure, unknown
from server.validation.figures import TOO_FEW
from server.validation.groups import take
from server.validation.source import Scores, Source

NO_CHAMPION = "no champion to compare with: the first one, or none was named with --against"
ROW = ["institution", "company", "turn", "y"]


def champion_scores(mine: Scores, theirs: Scores | None, *, whose: str) -> Scores:
    """The champion's scores in the order of the candidate's rows.

    Raises:
        RunError: the two did not score the same rows with the same outcomes; a difference would mean nothing.
    """
    expected = "the rows that this model was judged on"
    hint = "judge both on one data set: run the champion's study again on these rows, or leave --against out"
    if theirs is None:
        raise RunError(f"champion {whose}", found=f"no scores on split {mine.split}", expected=expected, hint=hint)
    first, second = _rows(mine), _rows(theirs)
    if not first[ROW].equals(second[ROW]):
        shared = len(first.merge(second, on=ROW))
        found = f"other rows: {shared} of {len(mine)} are the same"
        raise RunError(f"champion {whose}", found=found, expected=expected, hint=hint)
    order = np.empty(len(mine), dtype=np.intp)
    order[first["place"].to_numpy()] = second["place"].to_numpy()
    everything = take(theirs, np.ones(len(theirs), dtype=bool))
    return Scores(
        mine.split, mine.y, everything.raw[order], everything.p[order], mine.company, mine.institution, mine.about
    )


def delta_auc(mine: Scores, champion: Scores, *, draws: int = DRAWS, seed: int = 0) -> Figure:
    """AUC of the candidate minus the champion's, with the interval of a paired bootstrap over companies."""
    if not has_both_classes(mine.y):
        return unknown(TOO_FEW)
    rng = np.random.default_rng(seed)
    both = np.stack([mine.p, champion.p])
    one, other = auc_draws(mine.y, both, company=mine.company, rng=rng, draws=draws)
    point = auc(mine.y, mine.p) - auc(mine.y, champion.p)
    about = f"candidate - champion on {len(mine)} identical rows; paired bootstrap over companies, {draws:,} draws"
    return figure(*percentile_interval(point, one - other), about=about)


def champion_section(source: Source, champion: Source | None, scores: Scores | None, delta: Figure) -> Section:
    """The section that sets the model beside the champion."""
    mine = source.scores(source.headline)
    if champion is None or scores is None or mine is None:
        return Section("champion", "Against the champion", says=(NO_CHAMPION + ".",), uncovered=("A comparison.",))
    rows = [["AUC, candidate - champion", told(delta), delta.about]]
    if has_both_classes(mine.y):
        delong = figure(*paired_difference(mine.y, mine.p, scores.p, company=mine.company), about="")
        rows.append(["the same, DeLong's interval", told(delong), "a second way to the same interval"])
    return Section(
        key="champion",
        title="Against the champion",
        says=(f"The champion is {champion.subject}, bundle {champion.bundle.sha256}.", _verdict(delta)),
        grids=(grid("Paired difference", ["figure", "value [95 %]", "how"], rows),),
        recompute=(f"fedcredit model validate {source.subject} --against {champion.subject} --runs RUNS --json",),
        uncovered=("Rows that only one of the two could score; there are none here, or this section were refused.",),
    )


def _verdict(delta: Figure) -> str:
    if delta.low is None or delta.high is None:
        return "Too few defaults to tell the two apart."
    if delta.low > 0:
        return "The candidate separates better: the interval is above 0."
    if delta.high < 0:
        return "The candidate separates worse: the interval is below 0."
    return "Neither is shown to separate better: the interval includes 0."


def _rows(scores: Scores) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "institution": scores.institution.astype(str),
            "company": scores.company.astype(str),
            "y": scores.y,
            "place": np.arange(len(scores)),
        }
    )
    frame["turn"] = frame.groupby(["institution", "company"]).cumcount()
    return frame.sort_values(["institution", "company", "turn"], ignore_index=True)
