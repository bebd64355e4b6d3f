"""The newest inputs of companies become one figure: how many scores of living companies rest on news of 72 hours."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from duckdb import DuckDBPyConnection

from fedcredit.data.hub.known import month_end, plain

FRESH = timedelta(hours=72)
LIFE_SIGNS = ("accounts", "statements", "power")  # measures whose rows show that a company is alive
LIFE_MONTHS = 3


@dataclass(frozen=True)
class Freshness:
    """`live` companies; of these, `fresh` have an indicator input that became known in the last 72 hours."""

    live: int
    fresh: int

    @property
    def share(self) -> float:
        """Fresh over live; 0 where nobody lives.

        >>> Freshness(live=4, fresh=1).share
        0.25
        """
        return self.fresh / self.live if self.live else 0.0


def freshness(con: DuckDBPyConnection, *, as_of: datetime) -> Freshness:
    """Over what the last refresh left in schema `derived`.

    Alive is a company with a row of a bank, the tax office or the power grid about one of the last three months. Most
    sources report by the month, so the share is high in the days in which they do, and low between them.
    """
    moment = plain(as_of)
    counts = con.execute(
        f"SELECT count(*), count(*) FILTER (input_known_at > TIMESTAMP '{moment - FRESH}')"
        f" FROM derived.features JOIN derived.measures USING (firm) WHERE {life_signs(moment)}"
    ).fetchall()[0]
    return Freshness(*counts)


def life_signs(moment: datetime) -> str:
    """The condition on derived.measures by which a company is alive at a moment.

    >>> life_signs(datetime(2025, 6, 20)).partition(" OR ")[0]
    "accounts_newest > DATE '2025-02-28'"
    """
    since = month_end(moment, ago=LIFE_MONTHS + 1)
    return " OR ".join(f"{group}_newest > DATE '{since}'" for group in LIFE_SIGNS)
