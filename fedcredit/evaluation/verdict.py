"""Changes at an institution become a plain verdict: join, do not join, not proven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from numpy.typing import ArrayLike

from fedcredit.evaluation.changes import Change
from fedcredit.evaluation.metrics import MIN_PER_CLASS, has_both_classes

Verdict = Literal["join", "do not join", "not proven"]
RULE = (
    "join: the whole 95 % interval of the AUC gain lies above 0 and the expected loss at the institution's own "
    "approval rate is not higher, against every model that it has without joining. do not join: the whole interval "
    "of the AUC gain lies below 0, or that of the extra loss above 0, against any of them. Otherwise: not proven."
)


def verdict_of(auc: Change, loss: Change) -> tuple[Verdict, str]:
    """The verdict against one model, by `RULE`.

    >>> verdict_of(Change(0.70, 0.75, 0.05, 0.01, 0.09), Change(10.0, 9.0, -1.0, -3.0, 1.0))
    ('join', 'it ranks better and loses no more')
    """
    if auc.high < 0:
        return "do not join", "it ranks worse"
    if loss.low > 0:
        return "do not join", "it loses more money"
    if auc.low > 0 and loss.difference <= 0:
        return "join", "it ranks better and loses no more"
    if auc.low > 0:
        return "not proven", "it ranks better, but the expected loss is higher"
    return "not proven", "the interval of the AUC gain includes 0"


def overall(y: ArrayLike, against: Mapping[str, tuple[Verdict, str]]) -> tuple[Verdict, str]:
    """The verdict over all models that the institution has without joining: the least favourable one.

    >>> overall([0, 1] * 10, {"best_alone": ("join", "it is better"), "incumbent": ("not proven", "it may be")})
    ('not proven', 'against incumbent it may be')
    """
    if not has_both_classes(y):
        return "not proven", f"fewer than {MIN_PER_CLASS} rows of a class: nothing can be told"
    if not against:
        return "not proven", "there is no model of its own to compare with"
    for verdict in ("do not join", "not proven"):
        for baseline, (found, reason) in against.items():
            if found == verdict:
                return found, f"against {baseline} {reason}"
    return "join", " and ".join(f"against {baseline} {reason}" for baseline, (_, reason) in against.items())
