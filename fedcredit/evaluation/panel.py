"""A long table of predictions becomes scores side by side on identical rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.errors import RunError
from fedcredit.evaluation.metrics import Floats

COLUMNS = (
    "arm",
    "method",
    "model",
    "model_institution",
    "left_out",
    "epsilon",
    "noise",
    "seed",
    "split",
    "company",
    "institution",
    "y",
    "p",
)
KEYS = ["arm", "model", "method", "left_out", "epsilon", "noise"]
ABOUT = ("period", "stratum", "amount", "size", "sector", "region")
ARMS = ("incumbent", "local", "best_alone", "federated", "pooled")
ALONE = ("incumbent", "local", "best_alone")
# The kind of model is an outcome of these arms, not a setting: it may differ between institutions and seeds.
CHOSEN = ("incumbent", "best_alone")


class Variant(NamedTuple):
    """One way of making models. `left_out` names the institution kept out of training, epsilon None means no noise."""

    arm: str
    model: str
    method: str
    left_out: str | None
    epsilon: float | None
    noise: str


@dataclass(frozen=True)
class Scores:
    """The models of one variant, one for each seed: for everybody, or an institution's own.

    p: (seeds, rows), NaN on the rows of institutions that these models did not score. `label` is the kind of model, or
    the names of those that were chosen (one a seed). Personal models are one for each institution, put together.
    """

    variant: Variant
    institution: str | None
    seeds: tuple[int, ...]
    p: Floats
    label: str
    is_personal: bool = False


@dataclass(frozen=True)
class Panel:
    """The rows of one split, and what every model said of them. y, company, institution: (rows,)."""

    split: str
    y: NDArray[np.int8]
    company: NDArray[np.object_]
    institution: NDArray[np.object_]
    about: pd.DataFrame
    models: tuple[Scores, ...]

    @property
    def institutions(self) -> list[str]:
        return sorted(set(self.institution.tolist()))

    @property
    def variants(self) -> list[Variant]:
        return list(dict.fromkeys(scores.variant for scores in self.models))

    def of(self, variant: Variant) -> list[Scores]:
        """The models of a variant: one entry for everybody, or one for each institution."""
        return [scores for scores in self.models if scores.variant == variant]

    def own(self, variant: Variant, institution: str) -> Scores | None:
        """The models that score this institution's own rows: its own ones, or everybody's."""
        inside = self.institution == institution
        for scores in self.of(variant):
            if scores.institution in (None, institution) and np.isfinite(scores.p[:, inside]).all():
                return scores
        return None


def read_panel(predictions: pd.DataFrame, split: str) -> Panel:
    """The predictions of a split, or of several joined by '+' ("validation+test").

    A row is known by its company, its institution and its place among that company's rows there, so that models must
    list a company's rows in the same order; what differs in number or in outcome is refused.
    Federated models that are an institution's own (personal heads) become one: each row is scored by the model of its
    institution.

    Raises RunError when the models did not score identical rows.
    """
    where = f"predictions, split {split!r}"
    missing = [name for name in COLUMNS if name not in predictions.columns]
    if missing:
        raise RunError(where, found=f"no column {', '.join(missing)}", expected=f"the columns {', '.join(COLUMNS)}")
    frame = predictions[predictions["split"].isin(split.split("+"))].reset_index(drop=True)
    if frame.empty:
        raise RunError(where, found="no rows", expected="predictions of that split")
    if not frame["y"].isin([0, 1]).all() or not np.isfinite(frame["p"].to_numpy(dtype=np.float64)).all():
        raise RunError(where, found="an outcome other than 0 and 1, or a score that is no number", expected="finite p")
    if frame[["arm", "company", "institution"]].isna().any(axis=None):
        raise RunError(where, found="an empty arm, company or institution", expected="all three in every row")
    keys = _tidy_keys(frame)
    model = np.asarray(keys.groupby([*KEYS, "model_institution", "seed"], sort=False).ngroup(), dtype=np.intp)
    rows, first = _row_numbers(frame, model)
    y = frame["y"].to_numpy(dtype=np.int8)
    if not np.array_equal(y, y[first][rows]):
        raise RunError(where, found="models that disagree on an outcome", expected="a company's rows in one order")
    p = np.full((model.max() + 1, len(first)), np.nan)
    p[model, rows] = frame["p"].to_numpy(dtype=np.float64)
    institution = frame["institution"].astype(object).to_numpy()[first]
    _refuse_partial_slices(p, institution, where)
    about = frame.loc[first, [name for name in ABOUT if name in frame]].reset_index(drop=True)
    company = frame["company"].astype(object).to_numpy()[first]
    listed = keys.assign(label=frame["model"], number=model).drop_duplicates("number").sort_values("number")
    models = tuple(_one_for_everybody(_same_seeds(_grouped(listed, p), where), institution))
    return Panel(split, y[first], company, institution, about, models)


def _tidy_keys(frame: pd.DataFrame) -> pd.DataFrame:
    keys = frame[[*KEYS, "model_institution", "seed"]].copy()
    for name in ("model", "method", "left_out", "noise", "model_institution"):
        keys[name] = keys[name].astype(object).where(keys[name].notna(), "")
    keys["epsilon"] = keys["epsilon"].astype(float).fillna(np.inf)
    keys.loc[keys["noise"] == "", "noise"] = "none"
    keys["seed"] = keys["seed"].fillna(0)  # an incumbent's scores have no seed
    keys.loc[keys["arm"].isin(CHOSEN), "model"] = ""
    return keys


def _row_numbers(frame: pd.DataFrame, model: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The population's row of each prediction, and a prediction that stands for each row of the population."""
    pair = np.asarray(frame.groupby(["institution", "company"], sort=False).ngroup(), dtype=np.intp)
    turn = np.asarray(pd.Series(pair).groupby([model, pair]).cumcount(), dtype=np.intp)
    key = pair.astype(np.int64) * (int(turn.max()) + 1) + turn
    _, first, rows = np.unique(key, return_index=True, return_inverse=True)
    return rows, first


def _refuse_partial_slices(p: Floats, institution: NDArray[np.object_], where: str) -> None:
    for name in sorted(set(institution.tolist())):
        share = np.isfinite(p[:, institution == name]).mean(axis=1)
        if not np.isin(share, [0.0, 1.0]).all():
            raise RunError(
                where,
                found=f"a model that scored some rows of {name!r} and not others",
                expected="each model to score all rows of an institution, or none",
                hint="differences are judged on identical rows; a row listed twice looks like this too",
            )


def _grouped(listed: pd.DataFrame, p: Floats) -> Iterator[Scores]:
    for key, group in listed.groupby([*KEYS, "model_institution"], sort=False):
        arm, model, method, left_out, epsilon, noise, institution = cast("tuple[Any, ...]", key)
        seeds = tuple(sorted(int(seed) for seed in group["seed"]))
        label = "/".join(sorted({str(name) for name in group["label"].dropna()}))
        variant = Variant(arm, model, method, left_out or None, None if np.isinf(epsilon) else float(epsilon), noise)
        yield Scores(variant, institution or None, seeds, p[group.sort_values("seed")["number"].to_numpy()], label)


def _same_seeds(models: Iterable[Scores], where: str) -> list[Scores]:
    listed = list(models)
    seeds = {scores.variant: scores.seeds for scores in listed}
    for scores in listed:
        if scores.seeds != seeds[scores.variant]:
            raise RunError(
                f"{where}, arm {scores.variant.arm!r}",
                found=f"seeds {scores.seeds} at one institution and {seeds[scores.variant]} at another",
                expected="the same seeds at all institutions",
            )
    return listed


def _one_for_everybody(models: list[Scores], institution: NDArray[np.object_]) -> Iterator[Scores]:
    personal: dict[Variant, list[Scores]] = {}
    for scores in models:
        if scores.institution is None or scores.variant.arm in ALONE:
            yield scores
        else:
            personal.setdefault(scores.variant, []).append(scores)
    for variant, heads in personal.items():
        assembled = np.full_like(heads[0].p, np.nan)
        for head in heads:
            inside = institution == head.institution
            assembled[:, inside] = head.p[:, inside]
        yield Scores(variant, None, heads[0].seeds, assembled, heads[0].label, is_personal=True)
