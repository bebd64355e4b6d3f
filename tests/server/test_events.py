"""The quick look at events lets nothing through that the contract of their source refuses, and loses nothing."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.identifiers import uscc
from fedcredit.data.sources import Field, source, sources
from server.bodies import Malformed
from server.doubts import Doubt, judge
from server.events import Checked, check

NOW = datetime(2026, 1, 1)
CODES = uscc(990001, np.arange(5)).tolist()
WRONG: list[Any] = [None, "", " ", "x", "a\tb", " a", "　甲", "甲" * 201, -1, 1e300, 10**30, 0.5, True, [1], {"a": 1}]
DAYS = [
    "2025-03-31",
    "2025-06-30",
    "2025-12-31",
    "2025-12-30",
    "2025-05-31",
    "1979-12-31",
    "2101-03-31",
    "2025-02-30",
    "2026-03-31",
]
MOMENTS = [
    "2025-12-31T08:00:00Z",
    "2027-01-01T00:00:00Z",
    "2025-12-31T08:00:00+08:00",
    "2025-12-31 08:00",
    "2025-06-01T00:00:00Z",
    "99",
]


def cell(field: Field, rng: np.random.Generator) -> Any:
    """A cell as it should be, or one time in thirty one that hardly can."""
    if rng.random() < 1 / 30:
        return WRONG[rng.integers(len(WRONG))]
    if field.type == "company":
        return CODES[rng.integers(5)]
    if field.type in ("category", "flag", "text", "date"):
        pool: dict[str, list[Any]] = {"flag": [True, False], "text": ["a", "乙 丙"], "date": DAYS[:5]}
        choices = pool.get(field.type, [*field.levels])
        return choices[rng.integers(len(choices))]
    lo, hi = (0.0, 1.0) if field.type == "share" else (field.lo or 0.0, min(field.hi or 0.0, 1000.0))
    return float(rng.uniform(lo, hi)) if field.type != "count" else int(rng.integers(lo, hi + 1))


def event(table: str, rng: np.random.Generator) -> dict[str, Any]:
    """One of a source, now and then with something wrong, as a sender would write it."""
    day, moment = (0 if rng.random() < 0.7 else int(rng.integers(size)) for size in (len(DAYS), len(MOMENTS)))
    made = {
        "company": cell(source(table).fields[0], rng),
        "valid_at": DAYS[day],
        "known_at": MOMENTS[moment],
        "columns": {field.name: cell(field, rng) for field in source(table).columns},
    }
    if rng.random() < 0.05:
        made.pop(list(made)[rng.integers(4)])
    return made


@pytest.mark.parametrize("table", [one.table for one in sources()])
def test_a_quick_look_and_the_contract_agree(table: str) -> None:
    rng = np.random.default_rng(7)
    sent = [[event(table, rng) for _ in range(40)] for _ in range(6)]
    found = check(table, [json.dumps(events).encode() for events in sent], now=NOW)
    texts = [
        (body, row, json.dumps(one).encode()) for body, events in enumerate(sent) for row, one in enumerate(events)
    ]
    judged = judge(source(table), [Doubt(*text) for text in texts], now=NOW)
    assert 0 < judged.rows.num_rows < len(texts)
    for body, outcome in enumerate(found):
        assert isinstance(outcome, Checked)
        assert [(f.row, f.reason) for f in outcome.faults] == [
            (f.row, f.reason) for f in judged.faults if f.body == body
        ]
        assert rows_of(outcome.rows) == rows_of(judged.rows.filter(pa.array(judged.bodies == body)))


def test_bodies_of_one_call_keep_their_own_rows_and_faults() -> None:
    good = {"company": CODES[0], "valid_at": "2025-06-30", "known_at": "2025-07-02T08:00:00Z"}
    one, other = (good | {"columns": {"cubic_metres": metres, "days_late": 0}} for metres in (1.0, 2.0))
    bad = good | {"columns": {"cubic_metres": -1.0, "days_late": 0}}
    bodies = [[one], "no events", [bad, other], [], [bad]]
    first, refused, mixed, empty, faulty = check("gas", [json.dumps(body).encode() for body in bodies], now=NOW)
    assert isinstance(refused, Malformed)
    for found, metres, rows in ((first, [1.0], []), (mixed, [2.0], [0]), (empty, [], []), (faulty, [], [0])):
        assert isinstance(found, Checked)
        assert found.rows["cubic_metres"].to_pylist() == metres
        assert [fault.row for fault in found.faults] == rows


@pytest.mark.parametrize(
    ("table", "day", "is_good"),
    [
        ("tax", "2025-06-30", True),
        ("tax", "2025-05-31", False),
        ("tax", "2025-06-29", False),
        ("gas", "2025-05-31", True),
        ("gas", "2025-05-30", False),
        ("pledges", "2025-05-30", True),
    ],
)
def test_months_and_quarters_are_dated_by_their_ends(table: str, day: str, is_good: bool) -> None:
    nothing = {"number": 0.0, "count": 0, "text": "a", "date": "2030-01-01"}
    columns = {f.name: f.levels[0] if f.levels else nothing[f.type] for f in source(table).columns}
    one = {"company": CODES[0], "valid_at": day, "known_at": "2025-07-20T00:00:00Z", "columns": columns}
    (found,) = check(table, [json.dumps([one]).encode()], now=NOW)
    assert isinstance(found, Checked)
    assert (found.rows.num_rows, len(found.faults)) == ((1, 0) if is_good else (0, 1))


def rows_of(table: pa.Table) -> list[str]:
    return sorted(map(repr, table.to_pylist()))
