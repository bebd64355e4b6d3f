"""Rows of raw tables for tests: written out by hand with what matters, or drawn at random for every table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fedcredit.data.hub.known import month_end
from fedcredit.data.hub.state import create
from fedcredit.data.identifiers import uscc
from fedcredit.data.sources import Field, Source, source, sources
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.store.rows import schema_of

USUAL: dict[str, Any] = {
    "number": 0.0,
    "count": 1,
    "share": 1.0,
    "text": "x",
    "flag": True,
    "date": date(2040, 12, 31),
    "company": None,
}


def rows(table: str, *facts: dict[str, Any]) -> pa.Table:
    """Rows with `company` and `valid_at`; known after the source's delay, other cells 0, 1 or the first word."""
    about = source(table)
    cells = {field.name: field.levels[0] if field.levels else USUAL[field.type] for field in about.columns}
    made = []
    for fact in facts:
        known_at = datetime.combine(fact["valid_at"], time(8)) + timedelta(days=about.delay_days)
        made.append(cells | {"known_at": known_at} | fact)
    return pa.Table.from_pylist(made, schema=schema_of(table))


def months(first: date, count: int) -> list[date]:
    """The ends of so many months, the first being that of `first`."""
    return [month_end(first, ago=-number) for number in range(count)]


@contextmanager
def store_of(folder: Path, *tables: tuple[str, pa.Table]) -> Iterator[DuckStore]:
    """An event store that holds these rows, a batch each."""
    with DuckStore(folder / "hub.duckdb") as store:
        for table, facts in tables:
            store.append(table, facts)
        yield store


def scored(store: DuckStore, period: date) -> None:
    """Give every company a PD of that period, which follows from its code alone."""
    create(store.connection)
    store.connection.execute(
        "INSERT INTO derived.scores SELECT code, $period, hash(company) % 1000 / 1000 FROM companies",
        {"period": period},
    )


def at_random(seed: int, *, companies: int, first: date, count: int) -> dict[str, pa.Table]:
    """Rows of every source over `count` months: most known after a few days, some late, told twice or corrected."""
    rng = np.random.default_rng(seed)
    names = uscc(990001, np.arange(companies))
    return {one.table: _table(rng, one, names, months(first, count)) for one in sources()}


def _table(rng: np.random.Generator, about: Source, names: np.ndarray[Any, Any], ends: list[date]) -> pa.Table:
    every = {"M": 1, "Q": 3}.get(about.frequency, 1)
    chance = 0.9 if about.frequency in "MQ" else 0.08
    days, whose = [], []
    for end in ends:
        if about.frequency == "Q" and end.month % every:
            continue
        who = np.flatnonzero(rng.random(len(names)) < chance)
        who = np.repeat(who, 2) if about.table == "invoices" else who
        back = rng.integers(0, 27, len(who)) if about.frequency not in "MQ" else np.zeros(len(who), dtype=int)
        days += [end - timedelta(days=int(n)) for n in back]
        whose += names[who].tolist()
    if about.table == "registration":
        days, whose = [ends[0]] * len(names), names.tolist()
    n = len(days)
    frame = pd.DataFrame({"company": whose, "valid_at": days})
    late = rng.exponential(40, n) * (rng.random(n) < 0.1)
    hours = about.delay_days * 24 * rng.uniform(0.7, 1.3, n) + late * 24
    frame["known_at"] = pd.to_datetime(frame["valid_at"]) + pd.to_timedelta(hours.astype(int), unit="h")
    for field in about.columns:
        frame[field.name] = _cells(rng, field, n, names)
    if about.table == "invoices":
        frame = frame[frame["buyer"] != frame["company"]].drop_duplicates(["company", "valid_at", "buyer"])
    again = frame.sample(frac=0.05, random_state=seed_of(rng))
    fixed = frame.sample(frac=0.05, random_state=seed_of(rng))
    fixed = fixed.assign(known_at=fixed["known_at"] + pd.Timedelta(days=9))
    numbers = [field.name for field in about.columns if field.type == "number"]
    fixed[numbers] = fixed[numbers] * 1.1
    whole = pd.concat([frame, again, fixed], ignore_index=True)
    return pa.Table.from_pandas(whole, schema=schema_of(about.table), preserve_index=False)


def _cells(rng: np.random.Generator, field: Field, n: int, names: np.ndarray[Any, Any]) -> Any:
    match field.type:
        case "category":
            return rng.choice(field.levels, n)
        case "company":
            return rng.choice(names, n)
        case "text":
            return (
                [f"bank-{k}" for k in rng.integers(3, size=n)]
                if field.name == "bank"
                else [f"{k:07d}" for k in range(n)]
            )
        case "date":
            return [date(2024, 1, 1) + timedelta(days=int(k)) for k in rng.integers(4000, size=n)]
        case "flag":
            return rng.random(n) < 0.5
        case "count":
            return rng.integers(1, 5, n)
        case "share":
            return np.round(rng.random(n), 4)
        case _:
            return np.round(rng.lognormal(5, 1, n), 2)


def seed_of(rng: np.random.Generator) -> int:
    """A seed for pandas."""
    return int(rng.integers(2**31))
