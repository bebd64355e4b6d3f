"""What the tables hide, written apart: hazard, defaults, shocks, relations; and how well it can be known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedcredit.data.world import INDUSTRIES
from fedcredit.data.worlds.fate import HORIZON, Economy
from fedcredit.data.worlds.population import codes
from fedcredit.data.worlds.settings import HISTORY
from fedcredit.errors import TableError


def write_truth(economy: Economy, folder: Path) -> None:
    """hazard, shocks, exposures, graph as Parquet; months are the last day of a month."""
    folder.mkdir(parents=True, exist_ok=True)
    names = pa.array(codes(economy.firms).tolist())
    ends = economy.settings.month_ends[HISTORY:]
    for name, table in (
        ("hazard", _hazard(economy, names)),
        ("shocks", _shocks(economy)),
        ("exposures", _exposures(economy, names)),
        ("graph", _graph(economy, names, ends)),
    ):
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")


def _hazard(economy: Economy, names: pa.Array) -> pa.Table:
    """One row a company and month in which it lives, by company; the month of default is empty without one."""
    months = economy.settings.months
    who, when = np.nonzero(economy.alive().T)
    ends = economy.settings.month_ends[HISTORY:]
    fell = economy.defaulted[who]
    defaulted = np.where(fell < months, ends[np.minimum(fell, months - 1)], np.datetime64("NaT"))
    return pa.table(
        {
            "company": pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), names),
            "month": pa.array(ends[when]),
            "hazard": pa.array(economy.hazard[when, who]),
            "defaulted_at": pa.array(defaulted),
        }
    )


def _shocks(economy: Economy) -> pa.Table:
    shocks, ends = economy.nation.shocks, economy.settings.month_ends[HISTORY:]
    targets = [
        f"region-{shock.target + 1:02d}" if shock.kind == "region" else INDUSTRIES[shock.target] for shock in shocks
    ]
    return pa.table(
        {
            "shock": pa.array(range(len(shocks)), pa.int32()),
            "kind": pa.array([shock.kind for shock in shocks], pa.string()),
            "target": pa.array(targets, pa.string()),
            "precursor_at": pa.array(
                ends[np.array([shock.start - shock.lead for shock in shocks], dtype=np.intp)], pa.date32()
            ),
            "starts_at": pa.array(ends[np.array([shock.start for shock in shocks], dtype=np.intp)], pa.date32()),
            "lead_months": pa.array([shock.lead for shock in shocks], pa.int32()),
            "duration_months": pa.array([shock.duration for shock in shocks], pa.int32()),
            "size": pa.array([shock.size for shock in shocks], pa.float64()),
        }
    )


def _exposures(economy: Economy, names: pa.Array) -> pa.Table:
    shock, who = np.nonzero(economy.exposure)
    return pa.table(
        {
            "shock": pa.array(shock.astype(np.int32)),
            "company": pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), names),
            "exposure": pa.array(economy.exposure[shock, who]),
        }
    )


def _graph(economy: Economy, names: pa.Array, ends: NDArray[np.datetime64]) -> pa.Table:
    edges, last = economy.edges, len(ends) - 1
    return pa.table(
        {
            "seller": pa.DictionaryArray.from_arrays(pa.array(edges.seller), names),
            "buyer": pa.DictionaryArray.from_arrays(pa.array(edges.buyer), names),
            "from_month": pa.array(ends[np.maximum(edges.since, 0)]),
            "to_month": pa.array(ends[np.minimum(edges.until, last)]),
            "weight": pa.array(edges.weight),
        }
    )


def bayes_auc(folder: Path, as_of: str, *, horizon: int = HORIZON) -> float:
    """AUC of the truth's hazard at the end of month `as_of` for a default in the `horizon` months after it.

    Raises:
        TableError: the month is not in the truth, or nobody defaults after it.
    """
    hazard, defaults = known_truth(folder, as_of, horizon=horizon)
    if not 0 < defaults.sum() < len(defaults):
        raise TableError(
            "truth/hazard.parquet", found=f"no two outcomes after {as_of}", expected="defaults and survivors"
        )
    return auc(defaults, hazard)


def known_truth(folder: Path, as_of: str, *, horizon: int = HORIZON) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Hazard at the end of month `as_of` of all who live then, and whether they default in the months after it."""
    end = (np.datetime64(as_of, "M") + 1).astype("datetime64[D]") - 1
    month_is = ("month", "=", end.item())
    rows = pq.read_table(folder / "truth" / "hazard.parquet", columns=["hazard", "defaulted_at"], filters=[month_is])
    if not rows.num_rows:
        raise TableError("as_of", found=as_of, expected="a month of truth/hazard.parquet")
    fell = rows["defaulted_at"].to_numpy().astype("datetime64[M]")
    until = np.datetime64(as_of, "M") + horizon
    return rows["hazard"].to_numpy().astype(np.float64), np.asarray(fell <= until) & ~np.isnat(fell)


def auc(outcome: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Share of pairs that the score orders rightly, half for ties.

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.2]))
    0.75
    """
    values, place = np.unique(score, return_inverse=True)
    bad = np.bincount(place, weights=outcome, minlength=len(values))
    good = np.bincount(place, weights=~outcome, minlength=len(values))
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / (bad.sum() * good.sum()))
