"""Indicators at a moment rest on what was known then: nothing later, each fact once, the same for few as for all."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from fedcredit.data.hub.compute import compute
from fedcredit.data.identifiers import uscc
from fedcredit.data.store.duck import DuckStore
from tests.data.hub.raw_rows import at_random, months, rows, scored, store_of

A, B, C = uscc(990001, range(3)).tolist()
AS_OF = datetime(2025, 12, 31, 23, 59, 59)
SALES = months(date(2024, 9, 1), 15)  # to November 2025


def at(store: DuckStore, as_of: datetime = AS_OF, **how: Any) -> pd.DataFrame:
    """`indicators_now`, with the companies' codes of the store as index."""
    compute(store.connection, as_of=as_of, **how)
    return (
        store.connection.execute("FROM indicators_now ORDER BY firm")
        .fetchdf()
        .astype({"firm": "int64"})
        .set_index("firm")
    )


def value(store: DuckStore, name: str, as_of: datetime = AS_OF, company: str = A) -> float:
    return float(at(store, as_of)[name].get(store.code(company), float("nan")))


def sold(amount: float, day: date, **more: Any) -> dict[str, Any]:
    return {"company": A, "valid_at": day, "buyer": B, "amount_cny": amount} | more


def statement(**cells: Any) -> dict[str, Any]:
    return {"company": A, "valid_at": date(2025, 9, 30), "total_assets_cny": 100, "liabilities_cny": 50} | cells


def test_a_row_counts_from_the_moment_in_which_it_became_known(tmp_path: Path) -> None:
    late = statement(known_at=datetime(2025, 12, 10, 9))
    before = statement(valid_at=date(2025, 6, 30), liabilities_cny=80)
    with store_of(tmp_path, ("tax", rows("tax", before, late))) as store:
        assert value(store, "debt_ratio", datetime(2025, 12, 10, 8, 59)) == 0.8
        assert value(store, "debt_ratio", datetime(2025, 12, 10, 9)) == 0.5


def test_a_row_about_a_later_day_does_not_count_even_if_it_is_known(tmp_path: Path) -> None:
    early = statement(valid_at=date(2025, 12, 31), liabilities_cny=80, known_at=datetime(2025, 12, 20))
    with store_of(tmp_path, ("tax", rows("tax", statement(), early))) as store:
        assert value(store, "debt_ratio", datetime(2025, 12, 30)) == 0.5
        assert value(store, "debt_ratio") == 0.8


def test_the_correction_that_was_known_last_stands_once_it_is_known(tmp_path: Path) -> None:
    first = statement(known_at=datetime(2025, 10, 20))
    second = statement(liabilities_cny=60, known_at=datetime(2025, 11, 20))
    third = statement(liabilities_cny=70, known_at=datetime(2025, 12, 20))
    with store_of(tmp_path, ("tax", rows("tax", third, first, second))) as store:
        found = [value(store, "debt_ratio", datetime(2025, month, 25)) for month in (10, 11, 12)]
    assert found == [0.5, 0.6, 0.7]


def test_of_two_versions_known_at_once_the_later_batch_stands(tmp_path: Path) -> None:
    batches = [("tax", rows("tax", statement(liabilities_cny=owed))) for owed in (90, 20)]
    with store_of(tmp_path, *batches) as store:
        assert value(store, "debt_ratio") == 0.2


def test_an_invoice_that_came_twice_counts_once(tmp_path: Path) -> None:
    facts = [sold(100, day) for day in SALES[:14]] + [sold(200, SALES[14])]
    with store_of(tmp_path, ("invoices", rows("invoices", *facts, *facts[-2:]))) as store:
        assert value(store, "invoice_growth") == pytest.approx(400 / 300 - 1)
        assert value(store, "order_cont") == 1.0


def test_a_correction_may_move_the_day_of_a_court_case(tmp_path: Path) -> None:
    case = {"company": A, "case_no": "1", "severity": 4}
    moved = case | {"valid_at": date(2024, 12, 9), "known_at": datetime(2025, 12, 20)}
    facts = rows("judicial", case | {"valid_at": date(2025, 11, 9)}, moved)
    with store_of(tmp_path, ("judicial", facts)) as store:
        assert value(store, "judicial_risk", datetime(2025, 12, 19)) == pytest.approx(4 * 2.718281828 ** (-1 / 12))
        assert value(store, "judicial_risk") == pytest.approx(4 / 2.718281828)


def test_days_that_pass_within_a_month_change_nothing(tmp_path: Path) -> None:
    with store_of(tmp_path, *at_random(3, companies=20, first=date(2023, 1, 1), count=24).items()) as store:
        store.connection.execute("UPDATE raw.tax SET known_at = valid_at + INTERVAL 8 DAY")
        early, late = (at(store, datetime(2025, 3, day, 7)) for day in (1, 31))  # nothing is about 2025
        known = store.connection.execute("SELECT max(known_at) FROM raw.tax").fetchall()[0][0]
    assert known < datetime(2025, 3, 1)
    pd.testing.assert_frame_equal(early[["roa", "debt_ratio"]], late[["roa", "debt_ratio"]], check_exact=True)


def test_a_company_that_stops_invoicing_does_not_stay_at_its_last_good_month(tmp_path: Path) -> None:
    with store_of(tmp_path, ("invoices", rows("invoices", *(sold(100, day) for day in SALES[:10])))) as store:
        # In July it is late or has stopped; from September on, June is the last month of twelve, then not even that.
        seen = [value(store, "order_cont", datetime(2025, month, 20)) for month in (7, 8, 9, 10, 12)]
    assert seen == pytest.approx([10 / 12, 10 / 12, 10 / 12, 10 / 12, 8 / 12])


def test_too_old_a_statement_is_missing(tmp_path: Path) -> None:
    with store_of(tmp_path, ("tax", rows("tax", statement()))) as store:
        assert value(store, "debt_ratio", datetime(2026, 4, 30)) == 0.5  # 183 days before April
        assert pd.isna(value(store, "debt_ratio", datetime(2026, 5, 1)))  # 213 before May


def test_no_record_means_none_where_the_source_reports_and_missing_where_it_does_not(tmp_path: Path) -> None:
    case = {"company": B, "valid_at": date(2025, 11, 9), "case_no": "1", "severity": 4}
    with store_of(tmp_path, ("tax", rows("tax", statement())), ("judicial", rows("judicial", case))) as store:
        found = at(store).loc[store.code(A)]
        assert found["judicial_risk"] == 0.0
        assert pd.isna(found["tech_title"])  # that office has told nothing of anybody
        assert pd.isna(value(store, "judicial_risk", datetime(2027, 2, 1)))  # nor have the courts for 400 days


def test_a_value_that_no_company_can_have_is_missing_and_counted(tmp_path: Path) -> None:
    facts = rows("tax", statement(liabilities_cny=301), statement(company=B), statement(company=C, total_assets_cny=0))
    with store_of(tmp_path, ("tax", facts)) as store:
        done = compute(store.connection, as_of=AS_OF)
        assert done.out_of_range == {"debt_ratio": 1}  # a division by zero is missing, not out of range
        assert pd.isna(value(store, "debt_ratio"))
        assert value(store, "debt_ratio", company=B) == 0.5


def test_companies_without_any_row_known_are_not_there(tmp_path: Path) -> None:
    facts = rows("tax", statement(), statement(company=B, known_at=datetime(2026, 1, 5)))
    with store_of(tmp_path, ("tax", facts)) as store:
        assert at(store).index.tolist() == [store.code(A)]


def test_an_empty_store_has_no_indicators(tmp_path: Path) -> None:
    with DuckStore(tmp_path / "hub.duckdb") as store:
        assert at(store).empty


def test_nothing_temporary_is_left_behind(tmp_path: Path) -> None:
    with store_of(tmp_path, ("tax", rows("tax", statement()))) as store:
        compute(store.connection, as_of=AS_OF)
        left = "SELECT table_name FROM duckdb_tables() WHERE temporary"
        views = "SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal"
        assert store.connection.execute(f"{left} UNION ALL {views}").fetchall() == [("indicators_now",)]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_future_does_not_leak(tmp_path: Path, seed: int) -> None:
    """What is known later is shuffled, altered and added to; the indicators stay what they are, to the last bit."""
    as_of = datetime(2024, 11, 12, 10)
    told = at_random(seed, companies=60, first=date(2023, 1, 1), count=30)
    (tmp_path / "other").mkdir()
    with (
        store_of(tmp_path, *told.items()) as store,
        store_of(tmp_path / "other", *_another_future(told, as_of)) as other,
    ):
        scored(store, date(2024, 10, 1))
        scored(other, date(2024, 10, 1))
        found, again = at(store, as_of), at(other, as_of)
        later = at(store, datetime(2025, 5, 12)), at(other, datetime(2025, 5, 12))
        codes = [one.connection.execute("FROM companies").fetchdf() for one in (store, other)]
    assert len(found) == 60
    assert found.notna().mean().min() > 0.02
    pd.testing.assert_frame_equal(_by_company(found, codes[0]), _by_company(again, codes[1]), check_exact=True)
    assert not _by_company(later[0], codes[0]).equals(_by_company(later[1], codes[1]))


def _another_future(told: dict[str, pa.Table], as_of: datetime) -> list[tuple[str, pa.Table]]:
    """Rows known after `as_of` are shuffled and have other numbers; half of the known ones are corrected after it."""
    changed = []
    for table, facts in told.items():
        frame = facts.to_pandas()
        is_known = frame["known_at"] <= as_of
        future = frame[~is_known].sample(frac=1, random_state=5)
        fixed = frame[is_known].sample(frac=0.5, random_state=6)
        fixed["known_at"] = as_of + timedelta(seconds=1)
        ahead = pd.concat([future, fixed], ignore_index=True)
        numbers = ahead.select_dtypes("number").columns
        ahead[numbers] = (ahead[numbers] * 3 + 1).astype(ahead[numbers].dtypes)
        whole = pd.concat([frame[is_known], ahead], ignore_index=True)
        changed.append((table, pa.Table.from_pandas(whole, schema=facts.schema, preserve_index=False)))
    return changed


def _by_company(found: pd.DataFrame, codes: pd.DataFrame) -> pd.DataFrame:
    return found.set_axis(codes.set_index("code")["company"].loc[found.index].to_numpy()).sort_index()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_few_companies_get_the_same_bits_as_all(tmp_path: Path, seed: int) -> None:
    as_of = datetime(2025, 4, 12, 10)
    told = at_random(seed, companies=60, first=date(2023, 1, 1), count=30)
    with store_of(tmp_path, *told.items()) as store:
        scored(store, date(2025, 3, 1))
        whole = at(store, as_of)
        few = random.Random(seed).sample(sorted(whole.index), 7)
        store.connection.execute("CREATE TEMP TABLE few (firm INTEGER)")
        store.connection.executemany("INSERT INTO few VALUES (?)", [[firm] for firm in few])
        some = at(store, as_of, firms="few")
        pd.testing.assert_frame_equal(some, whole[whole.index.isin(few)], check_exact=True)


def test_equal_rows_in_another_order_give_the_same_bits(tmp_path: Path) -> None:
    told = at_random(9, companies=40, first=date(2023, 7, 1), count=24)
    told = {table: facts.group_by(facts.column_names).aggregate([]) for table, facts in told.items()}
    (tmp_path / "other").mkdir()
    turned = [(table, facts.take(list(range(len(facts)))[::-1])) for table, facts in reversed(told.items())]
    with store_of(tmp_path, *told.items()) as store, store_of(tmp_path / "other", *turned) as other:
        both = [_by_company(at(one), one.connection.execute("FROM companies").fetchdf()) for one in (store, other)]
    pd.testing.assert_frame_equal(*both, check_exact=True)
