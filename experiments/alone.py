"""What an institution could do on its own: the best of logistic regression, boosted trees and the study's own model.

Chosen by company-grouped cross-validation inside its own training rows. Nothing leaves the institution, so nothing
is noised: this is the yardstick a bank will hold a federation to.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fedcredit.data.windows import Windows
from fedcredit.evaluation.metrics import auc

Probabilities = NDArray[np.float64]
Predict = Callable[[Windows], Probabilities]
Fit = Callable[[Windows], Predict]
FOLDS = 3


def best_alone(train: Windows, rows: Windows, *, own_model: Fit, seed: int) -> tuple[Probabilities, str]:
    """Probabilities of `rows` by the candidate with the best cross-validated AUC on `train`, and which one it was."""
    candidates = {**_logistics(seed), **_trees(seed), "own model": own_model}
    scores = {name: _cross_validated(fit, train, seed=seed) for name, fit in candidates.items()}
    winner = max(scores, key=lambda name: scores[name])
    return candidates[winner](train)(rows), f"{winner} (cross-validated AUC {scores[winner]:.3f})"


def _cross_validated(fit: Fit, train: Windows, *, seed: int) -> float:
    rarer = int(min(train.y.sum(), len(train) - train.y.sum()))
    if rarer < FOLDS:
        return 0.5  # too few of one class to hold any out: no candidate can be preferred
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    found = []
    for inside, outside in folds.split(train.x, train.y, groups=train.company):
        held = train.take(outside)
        if 0 < held.y.sum() < len(held):
            found.append(auc(held.y, fit(train.take(inside))(held)))
    return float(np.mean(found)) if found else 0.5


def _logistics(seed: int) -> dict[str, Fit]:
    def candidate(strength: float) -> Fit:
        def fit(train: Windows) -> Predict:
            model = make_pipeline(
                StandardScaler(), LogisticRegression(C=strength, max_iter=2000, random_state=seed)
            ).fit(_flat(train), train.y)
            return lambda rows: model.predict_proba(_flat(rows))[:, 1]

        return fit

    return {f"logistic C={c:g}": candidate(c) for c in (0.003, 0.03, 0.3)}


def _trees(seed: int) -> dict[str, Fit]:
    def candidate(leaves: int, trees: int) -> Fit:
        def fit(train: Windows) -> Predict:
            model = LGBMClassifier(
                n_estimators=trees,
                num_leaves=leaves,
                learning_rate=0.05,
                min_child_samples=10,
                subsample=0.8,
                subsample_freq=1,
                colsample_bytree=0.6,
                reg_lambda=5.0,
                random_state=seed,
                n_jobs=1,
                deterministic=True,
                force_row_wise=True,
                verbose=-1,
            ).fit(_flat(train), train.y)
            return lambda rows: model.predict_proba(_flat(rows))[:, 1]

        return fit

    return {f"boosted trees {n} x {leaves}": candidate(leaves, n) for leaves, n in ((4, 100), (15, 150))}


def _flat(rows: Windows) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = rows.x.reshape(len(rows), -1)
    return flat
