"""Measures become indicators by the formulas of the dictionary; what is too old, silent or impossible is missing."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from duckdb import DuckDBPyConnection

from fedcredit.data.hub.measures import Measures, measures
from fedcredit.data.indicators import Indicator, indicators

INDICATORS = "indicators_now"


@dataclass(frozen=True)
class Computed:
    """The rows of `indicators_now`, by indicator the values that no company can have, and its columns."""

    as_of: datetime
    companies: int
    out_of_range: Mapping[str, int]
    indicators: tuple[str, ...]


def evaluate(
    con: DuckDBPyConnection, wanted: Sequence[Indicator], *, as_of: datetime, measured: str, norms: str
) -> Computed:
    """Make the temporary table `indicators_now`: firm, the indicators, `known`, when the newest input came.

    `measured` has a row a company, as `compute.join` makes it; `norms` has what was usual by industry.
    """
    of, quiet = measures(), silent(con, as_of=as_of)
    values = [f"{_formula(one, of, quiet=quiet, as_of=as_of)} AS {one.id}" for one in wanted]
    known = ", ".join(f"{group.name}_known" for group in of.groups)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE formulas_now AS SELECT firm, greatest({known}) AS known, {', '.join(values)}"
        f" FROM {measured} AS measured LEFT JOIN {norms} AS usual USING ({of.norms.by})"
    )
    ranges = {one.id: f"BETWEEN {one.lo} AND {one.hi}" for one in wanted}
    kept = ", ".join(f"CASE WHEN {name} {inside} THEN {name} END AS {name}" for name, inside in ranges.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE {INDICATORS} AS SELECT firm, {kept}, known FROM formulas_now")
    outside = (f"count(*) FILTER ({name} NOT {inside} AND isfinite({name}))" for name, inside in ranges.items())
    counts = con.execute(f"SELECT count(*), {', '.join(outside)} FROM formulas_now").fetchall()[0]
    con.execute("DROP TABLE temp.formulas_now")
    found = {name: count for name, count in zip(ranges, counts[1:], strict=True) if count}
    return Computed(as_of, counts[0], found, tuple(ranges))


def silent(con: DuckDBPyConnection, *, as_of: datetime) -> set[tuple[str, str]]:
    """(indicator, group) where a source of events has told nothing of anybody for the indicator's max_age_days.

    No record there means that nobody looked, not that nothing happened.
    """
    of = measures()
    newest = con.execute(
        " UNION ALL ".join(
            f"SELECT '{group.name}', max(valid_at) FROM raw.{table}"
            f" WHERE known_at <= TIMESTAMP '{as_of}' AND valid_at <= DATE '{as_of.date()}'"
            for group in of.groups
            if group.kind == "events"
            for table in group.reads
        )
    ).fetchall()
    return {
        (one.id, group)
        for one in indicators()
        for group, day in newest
        if group in {used.name for used in of.groups_of([one.sql])} and (day is None or day < _oldest(one, as_of))
    }


def _oldest(indicator: Indicator, as_of: datetime) -> date:
    """The first day that is not too old; it moves with the month, so that days passing change nothing."""
    return as_of.date().replace(day=1) - timedelta(days=indicator.max_age_days)


def _formula(indicator: Indicator, of: Measures, *, quiet: Collection[tuple[str, str]], as_of: datetime) -> str:
    """The indicator's SQL with each measure in the form that its kind and age allow."""
    known = set(of.of(indicator.sql))

    def one(match: re.Match[str]) -> str:
        name = match[0]
        if name not in known:
            return name
        if name in of.norms.gives:
            return f"usual.{name}"
        group = of.group_of(name)
        cell = f"measured.{name}::DOUBLE"
        match group.kind:
            case "events":
                return "NULL::DOUBLE" if (indicator.id, group.name) in quiet else f"coalesce({cell}, 0)"
            case "periodic":
                return f"CASE WHEN {group.name}_newest >= DATE '{_oldest(indicator, as_of)}' THEN {cell} END"
            case "standing":
                return cell

    formula = re.sub(r"[a-z]\w*", one, indicator.sql)
    return f"({formula})::DOUBLE"
