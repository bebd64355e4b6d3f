"""Predictions become the answer to one institution's question: what do I gain by joining?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from fedcredit.errors import RunError
from fedcredit.evaluation.calibration import Prevalence
from fedcredit.evaluation.changes import Change, Changes, Rival, Slice, Terms, auc_change, changes
from fedcredit.evaluation.intervals import DRAWS
from fedcredit.evaluation.metrics import Floats, has_both_classes
from fedcredit.evaluation.panel import Panel, Variant
from fedcredit.evaluation.plain import plain
from fedcredit.evaluation.resampled import baselines
from fedcredit.evaluation.rows import calibrated_figures
from fedcredit.evaluation.verdict import RULE, Verdict, overall, verdict_of

LOANS = "loans"
LARGEST_GROUPS = 12  # a page stays a page when a sector has hundreds of codes


@dataclass(frozen=True)
class Group:
    """The AUC gain in one size class, sector or region; None where it has too few of either class."""

    by: str
    name: str
    n: int
    positives: int
    auc: Change | None


@dataclass(frozen=True)
class Against:
    """The federated model beside one that the institution has without joining.

    `baseline` is the arm (best_alone, local or incumbent), `model` its kind.
    """

    baseline: str
    model: str
    changes: Changes
    calibration: Mapping[str, Mapping[str, float | None]]
    groups: tuple[Group, ...]
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Gain:
    """The answer for one institution on its own rows, with what is needed to compute it again.

    `money` is the unit of the expected loss: a currency, or `LOANS` where no amount is known.
    """

    institution: str
    split: str
    federated: Variant
    n: int
    positives: int
    terms: Terms
    money: str
    against: tuple[Against, ...]
    verdict: Verdict
    reason: str
    draws: int
    seed: int
    config_sha256: str
    predictions_sha256: str
    rule: str = RULE

    def as_dict(self) -> dict[str, Any]:
        return dict(plain(asdict(self) | {"federated": self.federated._asdict()}))


def gains(
    panel: Panel,
    *,
    federated: Mapping[str, object] | None = None,
    institutions: Sequence[str] | None = None,
    terms: Terms | None = None,
    prevalence: Prevalence | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    config_sha256: str = "",
    predictions_sha256: str = "",
) -> list[Gain]:
    """What each institution gains, on its own rows of the panel's split, from one federated variant.

    `federated` fixes fields of the variant ({"method": "fedavg", "epsilon": 3.0}); among those that are left the one
    with the smallest epsilon is taken, and of these the first in the table: nothing is chosen by its result. The
    institution's own models are `best_alone` (`local` where that was not trained) and `incumbent`. The same
    predictions, terms, draws and seed give the same answer, whether one institution asks or all.
    """
    terms = terms or Terms()
    variant = chosen_variant(panel, federated or {})
    found = []
    for institution in panel.institutions if institutions is None else institutions:
        y = panel.y[panel.institution == institution]
        if not len(y):
            raise RunError("gain", found="an institution without rows in this split", expected="one of the study's")
        against = tuple(
            _against(
                panel,
                institution,
                variant,
                other,
                terms=terms,
                prevalence=prevalence or Prevalence(),
                # A stream for each pair: an answer does not depend on who else asks.
                rng=np.random.default_rng([seed, *institution.encode(), *other.arm.encode()]),
                draws=draws,
            )
            for other in _without_joining(panel, institution, variant)
            if has_both_classes(y) and panel.own(variant, institution)
        )
        verdict, reason = overall(y, {one.baseline: (one.verdict, one.reason) for one in against})
        found.append(
            Gain(
                institution,
                panel.split,
                variant,
                len(y),
                int(y.sum()),
                terms,
                _money(panel, terms),
                against,
                verdict,
                reason,
                draws,
                seed,
                config_sha256,
                predictions_sha256,
            )
        )
    return found


def chosen_variant(panel: Panel, fields: Mapping[str, object]) -> Variant:
    """The federated variant that a gain is computed for; see `gains`."""
    candidates = [
        variant
        for variant in panel.variants
        if variant.arm == "federated"
        and variant.left_out is None
        and all(variant._asdict().get(name) == value for name, value in fields.items())
    ]
    if not candidates:
        raise RunError("gain", found=f"no federated predictions with {dict(fields)}", expected="a variant that ran")
    return min(candidates, key=lambda variant: np.inf if variant.epsilon is None else variant.epsilon)


def _without_joining(panel: Panel, institution: str, variant: Variant) -> Iterator[Variant]:
    for arms in (("best_alone", "local"), ("incumbent",)):
        for arm in arms:
            # The last of the baselines is the one without noise: alone, an institution owes nobody any.
            own = [other for other in baselines(panel, variant, arm) if panel.own(other, institution)]
            if own:
                yield own[-1]
                break


def _money(panel: Panel, terms: Terms) -> str:
    if terms.average_loan is None and "amount" not in panel.about:
        return LOANS
    return terms.currency or ("the table's currency" if terms.average_loan is None else "the loan's currency")


def _exposure(panel: Panel, terms: Terms) -> Floats:
    if terms.average_loan is None and "amount" in panel.about:
        return np.nan_to_num(panel.about["amount"].to_numpy(dtype=np.float64))
    return np.full(len(panel.y), terms.average_loan or 1.0)


def _against(
    panel: Panel,
    institution: str,
    variant: Variant,
    other: Variant,
    *,
    terms: Terms,
    prevalence: Prevalence,
    rng: Generator,
    draws: int,
) -> Against:
    inside = panel.institution == institution
    joined, alone = panel.own(variant, institution), panel.own(other, institution)
    assert joined is not None  # noqa: S101  (both were looked up before)
    assert alone is not None  # noqa: S101
    rows = Slice(panel.y[inside], panel.company[inside], _exposure(panel, terms)[inside])
    rivals = [Rival(scores.seeds, scores.p[:, inside]) for scores in (alone, joined)]
    found = changes(rows, *rivals, terms=terms, rng=rng, draws=draws)
    verdict, reason = verdict_of(found.auc, found.expected_loss)
    calibration = {
        side: calibrated_figures(rows.y, rival.p, scores=scores, place=institution, prevalence=prevalence)
        for side, rival, scores in zip(("baseline", "federated"), rivals, (alone, joined), strict=True)
    }
    groups = tuple(_groups(panel, inside, rows, rivals, rng=rng, draws=draws))
    return Against(other.arm, alone.label, found, calibration, groups, verdict, reason)


def _groups(
    panel: Panel, inside: NDArray[np.bool_], rows: Slice, rivals: Sequence[Rival], *, rng: Generator, draws: int
) -> Iterator[Group]:
    for by in ("size", "sector", "region"):  # the last draws last, so that the others' intervals are as without it
        if by not in panel.about:
            continue
        named = panel.about.loc[inside, by].astype(str).to_numpy()
        if by == "region" and len(set(named)) == 1:
            continue  # an institution of one region: that is all of it
        for name in pd.Series(named).value_counts().sort_index().nlargest(LARGEST_GROUPS).index:
            here = named == name
            part = Slice(rows.y[here], rows.company[here], rows.exposure[here])
            change = None
            if has_both_classes(part.y):
                baseline, federated = (Rival(rival.seeds, rival.p[:, here]) for rival in rivals)
                change = auc_change(part, baseline, federated, rng=rng, draws=draws)
            yield Group(by, str(name), int(here.sum()), int(part.y.sum()), change)
