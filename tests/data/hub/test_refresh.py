"""A refresh computes the companies with news, gives the bits of a full computation, and is done whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fedcredit.data.hub import refresh as refreshing
from fedcredit.data.hub.compute import compute
from fedcredit.data.hub.refresh import Refreshed, refresh
from fedcredit.data.identifiers import uscc
from fedcredit.data.indicators import indicators
from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import TableError
from tests.data.hub.raw_rows import at_random, months, rows, scored, store_of

A, B, C, D = uscc(990001, range(4)).tolist()
NOON = datetime(2025, 6, 20, 12)
MAY, QUARTER = date(2025, 5, 31), date(2025, 3, 31)


def features(store: DuckStore) -> pd.DataFrame:
    found = store.connection.execute("FROM derived.features ORDER BY firm").fetchdf()
    return found.astype({"firm": "int64"}).set_index("firm")


def computed(store: DuckStore, as_of: datetime) -> pd.DataFrame:
    """What a computation of all companies gives, in the form of the features."""
    compute(store.connection, as_of=as_of)
    found = store.connection.execute("FROM indicators_now ORDER BY firm").fetchdf()
    return found.astype({"firm": "int64"}).set_index("firm").rename(columns={"known": "input_known_at"})


def meters(*companies: str, kwh: float = 100, **more: Any) -> pa.Table:
    """A year and a half of power up to May, of each company."""
    days = months(date(2023, 12, 1), 18)
    return rows("power", *({"company": one, "valid_at": day, "kwh": kwh} | more for one in companies for day in days))


def invoices(*trades: tuple[str, str], day: date = MAY) -> pa.Table:
    return rows("invoices", *({"company": a, "buyer": b, "valid_at": day, "amount_cny": 50} for a, b in trades))


def simple(folder: Path) -> Any:
    """Four companies with power, statements and trade: A sells to B, C to D."""
    statement = {"valid_at": QUARTER, "total_assets_cny": 100, "liabilities_cny": 50}
    tax = rows("tax", *({"company": one} | statement for one in (A, B, C, D)))
    facts = (("power", meters(A, B, C, D)), ("tax", tax), ("invoices", invoices((A, B), (C, D))))
    return store_of(folder, *facts)


def test_the_first_refresh_computes_all_and_the_same_again_none(tmp_path: Path) -> None:
    with simple(tmp_path) as store:
        first = refresh(store, as_of=NOON)
        assert (first.is_full, first.changed, first.recomputed) == (True, 4, 4)
        before = features(store)
        again = refresh(store, as_of=NOON)
        assert (again.is_full, again.changed, again.recomputed, again.sources) == (False, 0, 0, ())
        pd.testing.assert_frame_equal(features(store), before, check_exact=True)
        assert store.connection.execute("SELECT count(*) FROM derived.refreshes").fetchall() == [(1,)]


def test_only_companies_that_new_rows_name_are_computed_by_what_the_rows_are_about(tmp_path: Path) -> None:
    with simple(tmp_path) as store:
        refresh(store, as_of=NOON)
        before = features(store)
        store.append("power", meters(A, kwh=130).slice(17))
        store.append("invoices", invoices((C, A), day=date(2025, 4, 30)))
        done = refresh(store, as_of=NOON + timedelta(hours=1))
        assert (done.is_full, done.changed, done.recomputed) == (False, 2, 2)
        assert done.sources == ("invoices", "power")
        after = features(store)
        moved = after.drop(columns=["computed_at"]).compare(before.drop(columns=["computed_at"]))
        assert moved.index.tolist() == [store.code(A), store.code(C)]
        assert set(moved.columns.get_level_values(0)) == {"power_yoy", "cust_hhi", "order_cont"}
        assert after.loc[store.code(A), "power_yoy"] == pytest.approx(0.1)  # 100, 100, 130 after 100, 100, 100
        assert after.loc[[store.code(B), store.code(D)], "computed_at"].tolist() == [pd.Timestamp(NOON)] * 2


def test_a_company_that_is_new_gets_every_indicator(tmp_path: Path) -> None:
    with simple(tmp_path) as store:
        store.append("judicial", rows("judicial", {"company": B, "valid_at": MAY, "case_no": "1", "severity": 3}))
        refresh(store, as_of=NOON)
        newcomer = str(uscc(990001, 9)[0])
        store.append("power", meters(newcomer))
        done = refresh(store, as_of=NOON)
        assert (done.is_full, done.recomputed) == (False, 1)
        assert features(store).loc[store.code(newcomer), "judicial_risk"] == 0
        assert len(features(store)) == 5


@pytest.mark.parametrize(
    "moves",
    ["a new month", "scores of partners", "a source that speaks for the first time", "a late row that norms rest on"],
)
def test_what_all_companies_rest_on_has_all_of_them_computed(tmp_path: Path, moves: str) -> None:
    with simple(tmp_path) as store:
        refresh(store, as_of=NOON)
        later = NOON + timedelta(days=1)
        if moves == "a new month":
            later = datetime(2025, 7, 1)
        elif moves == "scores of partners":
            scored(store, date(2025, 5, 31))
        elif moves == "a source that speaks for the first time":
            store.append("judicial", rows("judicial", {"company": B, "valid_at": MAY, "case_no": "1", "severity": 3}))
        else:
            store.append("tax", rows("tax", {"company": A, "valid_at": QUARTER, "known_at": datetime(2025, 5, 2)}))
        done = refresh(store, as_of=later)
        assert (done.is_full, done.recomputed) == (True, 4)
        pd.testing.assert_frame_equal(
            features(store).drop(columns="computed_at"), computed(store, later)[features(store).columns[:-1]]
        )


@pytest.mark.parametrize(
    ("seed", "steps"), [(1, 4), *(pytest.param(seed, 16, marks=pytest.mark.slow) for seed in (2, 3, 4))]
)
def test_refreshes_give_the_bits_of_one_computation_of_all(tmp_path: Path, seed: int, steps: int) -> None:
    """News of three months, in batches that come early, late or out of order; scores that change on the way."""
    rng = np.random.default_rng(seed)
    told = at_random(seed, companies=40, first=date(2023, 6, 1), count=26)
    start = datetime(2025, 3, 20, 9)
    fulls = 0
    with DuckStore(tmp_path / "hub.duckdb") as store:
        fresh = []
        for table, facts in told.items():
            is_first = pc.or_(pc.less(facts["known_at"], start), pa.array(rng.random(len(facts)) < 0.1))  # some ahead
            store.append(table, facts.filter(is_first))
            fresh.append((table, facts.filter(pc.invert(is_first))))
        scored(store, date(2025, 2, 1))
        moment = start
        for step in range(steps):
            for table, facts in fresh:
                comes = pc.and_(
                    pc.less_equal(facts["known_at"], moment), pc.greater(facts["known_at"], moment - timedelta(days=6))
                )
                comes = pc.and_(comes, pa.array(rng.random(len(facts)) < 0.6))
                store.append(table, facts.filter(comes))
            if step == steps // 2:
                scored(store, date(2025, 2, 15))
            fulls += refresh(store, as_of=moment).is_full
            found = features(store).drop(columns="computed_at")
            pd.testing.assert_frame_equal(found, computed(store, moment)[found.columns], check_exact=True)
            moment += timedelta(days=float(rng.integers(1, 7)))
    assert 2 <= fulls < steps


def test_rows_stored_ahead_of_their_time_count_when_it_comes(tmp_path: Path) -> None:
    ahead = {"company": A, "valid_at": date(2025, 5, 31), "kwh": 130, "known_at": NOON + timedelta(days=2)}
    with simple(tmp_path) as store:
        store.append("power", rows("power", ahead))
        refresh(store, as_of=NOON)
        assert refresh(store, as_of=NOON + timedelta(days=1)).recomputed == 0
        assert refresh(store, as_of=NOON + timedelta(days=2)).recomputed == 1
        assert features(store).loc[store.code(A), "power_yoy"] == pytest.approx(0.1)
        assert refresh(store, as_of=NOON + timedelta(days=3)).recomputed == 0


def test_an_earlier_moment_is_refused(tmp_path: Path) -> None:
    with simple(tmp_path) as store:
        refresh(store, as_of=NOON)
        with pytest.raises(TableError, match="before the last one at 2025-06-20 12:00:00"):
            refresh(store, as_of=NOON - timedelta(seconds=1))
        assert refresh(store, as_of=NOON).recomputed == 0  # the store is as it was, and usable


def test_a_fault_on_the_way_leaves_the_last_refresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with simple(tmp_path) as store:
        refresh(store, as_of=NOON)
        before = features(store)
        store.append("power", meters(A, kwh=130).slice(17))
        monkeypatch.setattr(refreshing, "freshness", _full_disk)
        with pytest.raises(OSError, match="disk"):
            refresh(store, as_of=NOON)
        monkeypatch.undo()
        pd.testing.assert_frame_equal(features(store), before, check_exact=True)
        assert refresh(store, as_of=NOON).recomputed == 1


def _full_disk(*_: object, **__: object) -> None:
    raise OSError("disk full")


@pytest.mark.slow
def test_a_process_that_is_killed_on_the_way_leaves_the_last_refresh(tmp_path: Path) -> None:
    with simple(tmp_path) as store:
        refresh(store, as_of=NOON)
        before = features(store)
        store.append("power", meters(A, kwh=130).slice(17))
    killed = (
        "import os, sys; from datetime import datetime; from pathlib import Path;"
        "from fedcredit.data.hub import refresh as r; from fedcredit.data.store.duck import DuckStore;"
        "r.freshness = lambda *a, **k: os.kill(os.getpid(), 9);"
        f"r.refresh(DuckStore(Path(sys.argv[1])), as_of=datetime.fromisoformat('{NOON}'))"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(tmp_path / "hub.duckdb")], check=False)
    assert done.returncode == -9
    with DuckStore(tmp_path / "hub.duckdb") as store:
        pd.testing.assert_frame_equal(features(store), before, check_exact=True)
        assert refresh(store, as_of=NOON).recomputed == 1


def test_fresh_are_living_companies_with_an_input_of_the_last_72_hours(tmp_path: Path) -> None:
    news = {"company": A, "valid_at": MAY, "kwh": 130, "known_at": NOON - timedelta(hours=71)}
    old = {"company": B, "valid_at": MAY, "kwh": 130, "known_at": NOON - timedelta(hours=73)}
    gone = str(uscc(990001, 9)[0])
    court = {"company": gone, "valid_at": MAY, "case_no": "1", "known_at": NOON - timedelta(hours=1)}
    with simple(tmp_path) as store:
        store.append("power", rows("power", news, old))
        store.append("judicial", rows("judicial", court))  # news, but no sign of life
        done = refresh(store, as_of=NOON)
    assert (done.recomputed, done.live, done.fresh, done.fresh_share) == (5, 4, 1, 0.25)


def test_the_newest_indicators_are_written_on_request(tmp_path: Path) -> None:
    with simple(tmp_path) as store:
        refresh(store, as_of=NOON, folder=tmp_path)
    frame = pd.read_parquet(tmp_path / "indicators.parquet")
    assert frame["company"].tolist() == [A, B, C, D]
    assert frame.columns.tolist() == ["company", *(one.id for one in indicators()), "input_known_at", "computed_at"]
    assert not list(tmp_path.glob("*.part"))


def test_what_was_done_is_told_in_words_and_in_json() -> None:
    done = Refreshed(NOON, False, 2, 2, ("power",), 0.25, 4, 1, 0.25, {"roa": 3})
    assert done.text().splitlines() == [
        "as of 2025-06-20 12:00: 2 companies with news of power; indicators of 2 computed in 0.2 s,"
        " 3 values outside their range",
        "fresh within 72 hours: 1 of 4 living companies (25.0%)",
    ]
    assert done.as_dict()["as_of"] == "2025-06-20T12:00:00"
    assert done.as_dict()["out_of_range"] == {"roa": 3}
