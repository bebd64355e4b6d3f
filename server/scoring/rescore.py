"""A hub and the champion become a book of scores younger than 72 hours; a run that is cut goes on where it was.

What is due is read from the book itself: a company without a score of this champion, with inputs that moved since, or
with a score near its age limit. So the job may be killed, or run twice, at any point: what was written whole is not due
any more, and the rest still is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from fedcredit.credit.score_table import graded
from fedcredit.errors import FedCreditError, TableError
from fedcredit.models import bundle as bundles
from fedcredit.models.bundle import Bundle
from server.scoring.book import ScoreBook
from server.scoring.explaining import Explaining
from server.scoring.inputs import Inputs
from server.scoring.scored import Freshness

# Renewed at a day, a score outlives two days in which nothing runs before it is 72 hours old.
RENEW_HOURS = 24.0
CHUNK = 5_000  # companies a batch: what a kill can cost


@dataclass(frozen=True)
class Rescored:
    """What a run did. `moment`: up to when all that came in is in the scores (earlier than asked for, at an outage).

    `due` companies had to be scored: for `no_score`, `champion` (the score was another model's), `inputs` or `age`,
    the first that holds; `scored` were. `fault` says what kept the inputs from being refreshed. `explained` scores were
    kept with their reasons, which took `seconds_explaining` of `seconds`; `no_reasons` says why any were not.
    """

    model_version: str
    moment: datetime
    due: int
    scored: int
    why: dict[str, int]
    freshness: Freshness
    seconds: float
    fault: str = ""
    explained: int = 0
    seconds_explaining: float = 0.0
    no_reasons: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        said = asdict(self) | {"moment": f"{self.moment.isoformat()}Z", "seconds": round(self.seconds, 3)}
        said |= {"seconds_explaining": round(self.seconds_explaining, 3)}
        return said | {"freshness": self.freshness.as_dict()}


def rescore(
    book: ScoreBook,
    inputs: Inputs,
    bundle: Bundle,
    *,
    as_of: datetime | None = None,
    renew_hours: float = RENEW_HOURS,
    is_dry_run: bool = False,
    has_reasons: bool = True,
    on_batch: Callable[[int, int], None] = lambda done, due: None,
) -> Rescored:
    """Refresh the inputs, then score what is due, the oldest first, and write it down batch by batch.

    Where the inputs cannot be refreshed, the last ones are used for what another champion or new companies need; the
    scores speak of that earlier moment, so they grow old and are told as stale, and `fault` says why. A score that
    cannot be explained is kept without reasons. `has_reasons=False` explains none.

    Raises:
        FedCreditError: there are no inputs at all, or the book cannot be written; whole batches stay.
    """
    began = time.monotonic()
    now = as_of or datetime.now(UTC)
    now = now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now
    fault = ""
    if not is_dry_run:
        try:
            inputs.refresh(now)
        except FedCreditError as problem:
            fault = str(problem)
    moment = inputs.moment()
    if moment is None:
        raise TableError("hub", found=fault or "no refresh yet", expected="indicators", hint="fedcredit data refresh")
    companies = inputs.companies()
    due = find_due(companies, book.newest(), model_version=bundle.version, moment=moment, renew_hours=renew_hours)
    scored = 0
    writer = Explaining(bundle, is_wanted=has_reasons)
    if not is_dry_run:
        book.live(companies.loc[companies["is_live"], "company"].tolist())
        known = companies.set_index("company")["input_known_at"]
        for start in range(0, len(due), CHUNK):
            wanted = due["company"].iloc[start : start + CHUNK].tolist()
            rows = inputs.rows(wanted)
            scores = bundles.score(bundle, rows)
            is_number = np.isfinite(scores["pd"])
            if not is_number.all():  # one such company stops no other's score
                fault = fault or "companies whose indicators give no number have no new score"
            found = graded(scores[is_number].reset_index(drop=True), scale=bundle.scale)
            found = found.assign(
                input_known_at=known.reindex(found["company"]).to_numpy(),
                reasons=pd.Series(writer.texts(rows, found["company"]), index=found.index, dtype=object),
            )
            scored += book.put(found, scored_at=moment)
            on_batch(scored, len(due))
    return Rescored(
        model_version=bundle.version,
        moment=moment,
        due=len(due),
        scored=scored,
        why={str(word): int(count) for word, count in due["why"].value_counts().sort_index().items()},
        freshness=book.freshness(now),
        seconds=time.monotonic() - began,
        fault=fault,
        explained=writer.explained,
        seconds_explaining=writer.seconds,
        no_reasons=writer.fault,
    )


def find_due(
    companies: pd.DataFrame, newest: pd.DataFrame, *, model_version: str, moment: datetime, renew_hours: float
) -> pd.DataFrame:
    """Companies to score and `why`, the unscored first and then the oldest score.

    A company that no longer lives is scored again only if its inputs moved: its last score stands.
    """
    both = companies.merge(newest[["company", "model_version", "scored_at"]], on="company", how="left")
    at = both["scored_at"]
    reasons = {
        "no_score": at.isna() & both["is_live"],
        "champion": at.notna() & (both["model_version"] != model_version) & both["is_live"],
        "inputs": at.notna() & (both["computed_at"] > at),
        "age": (at <= pd.Timestamp(moment) - timedelta(hours=renew_hours)) & both["is_live"],
    }
    why = pd.Series(pd.NA, index=both.index, dtype="string")
    for word, holds in reasons.items():
        why = why.mask(why.isna() & holds.fillna(value=False), word)
    found = both.assign(why=why)[why.notna()].sort_values(["scored_at", "company"], na_position="first")
    return found[["company", "why"]].reset_index(drop=True)
