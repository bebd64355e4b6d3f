"""The outcome looks ahead from a moment: 90 days past due within the horizon, and nobody who is beyond telling."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from fedcredit.data.hub.outcomes import find_customers, find_outcomes, label_of
from fedcredit.data.identifiers import uscc
from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import TableError
from tests.data.hub.raw_rows import months, rows, store_of

A, B, C, D, E, F = uscc(990001, range(6)).tolist()
AS_OF = datetime(2024, 12, 31, 23, 59, 59)


def account(company: str, overdue: dict[int, int], *, last: int = 12, bank: str = "bank-01") -> list[dict[str, Any]]:
    """Rows from October 2024 (month -2) to month `last` of 2025; days past due by month, 0 in all others."""
    return [
        {"company": company, "valid_at": day, "bank": bank, "days_past_due": overdue.get(number, 0), "loan_cny": 70}
        for number, day in zip(range(-2, last + 1), months(date(2024, 10, 1), last + 3), strict=True)
    ]


def outcomes(store: DuckStore, **how: Any) -> dict[str, str]:
    con = store.connection
    find_customers(con, as_of=AS_OF, by_bank=how.get("by_bank", False))
    find_outcomes(con, as_of=AS_OF, horizon_months=how.pop("horizon_months", 12), **how)
    told = "SELECT company || coalesce(' at ' || bank, ''), outcome FROM outcomes_now JOIN companies ON code = firm"
    return dict(con.execute(told).fetchall())


def test_a_default_is_the_first_month_of_90_days_within_the_horizon(tmp_path: Path) -> None:
    facts = [
        *account(A, {1: 90}),
        *account(B, {11: 60, 12: 91}),
        *account(C, {5: 89}),
        *account(D, {-1: 95}),  # is in default already, though its account is paid up by December
        *account(E, {0: 90, 3: 90}),
        *account(F, {}, last=0),  # leaves its bank
    ]
    with store_of(tmp_path, ("bank", rows("bank", *facts))) as store:
        found = outcomes(store)
        assert found == {
            A: "default",
            B: "default",
            C: "performing",
            D: "in default",
            E: "in default",
            F: "censored",
        }
        assert outcomes(store, horizon_months=6)[B] == "performing"
        assert outcomes(store, days_past_due=60)[C] == "default"


def test_each_kind_is_counted(tmp_path: Path) -> None:
    facts = [*account(A, {1: 90}), *account(B, {}), *account(D, {-1: 95}), *account(F, {}, last=0)]
    with store_of(tmp_path, ("bank", rows("bank", *facts))) as store:
        find_customers(store.connection, as_of=AS_OF)
        counts = find_outcomes(store.connection, as_of=AS_OF, horizon_months=12)
    assert (counts.defaults, counts.performing, counts.in_default, counts.censored) == (1, 1, 1, 1)


def test_a_default_that_a_correction_takes_back_is_none(tmp_path: Path) -> None:
    wrong = account(A, {7: 120})
    right = [row | {"days_past_due": 0, "known_at": datetime(2025, 9, 30)} for row in wrong if row["days_past_due"]]
    with store_of(tmp_path, ("bank", rows("bank", *wrong)), ("bank", rows("bank", *right))) as store:
        assert outcomes(store) == {A: "performing"}


def test_a_company_at_two_banks_has_an_outcome_at_each_or_one_over_both(tmp_path: Path) -> None:
    facts = [*account(A, {4: 100}), *account(A, {}, bank="bank-02"), *account(B, {}, bank="bank-02", last=-1)]
    with store_of(tmp_path, ("bank", rows("bank", *facts))) as store:
        assert outcomes(store) == {A: "default", B: "censored"}
        assert outcomes(store, by_bank=True) == {
            f"{A} at bank-01": "default",
            f"{A} at bank-02": "performing",
            f"{B} at bank-02": "censored",
        }
        loans = store.connection.execute("SELECT bank, loan_cny FROM customers_now ORDER BY ALL").fetchall()
        assert loans == [("bank-01", 70.0), ("bank-02", 70.0), ("bank-02", 70.0)]
        find_customers(store.connection, as_of=AS_OF)
        loans = store.connection.execute("SELECT loan_cny FROM customers_now ORDER BY ALL").fetchall()
        assert loans == [(70.0,), (140.0,)]


def test_customers_are_those_of_whom_a_bank_has_told_by_then(tmp_path: Path) -> None:
    late = [row | {"known_at": datetime(2025, 6, 1)} for row in account(B, {})]
    with store_of(tmp_path, ("bank", rows("bank", *account(A, {}), *late))) as store:
        assert outcomes(store) == {A: "performing"}


def test_a_horizon_that_is_not_over_is_refused(tmp_path: Path) -> None:
    with store_of(tmp_path, ("bank", rows("bank", *account(A, {}, last=11)))) as store:
        find_customers(store.connection, as_of=AS_OF)
        with pytest.raises(TableError, match="found bank rows up to 2025-11-30, expected up to 2025-12-31"):
            find_outcomes(store.connection, as_of=AS_OF, horizon_months=12)


def test_the_words_of_the_label_tell_the_two_institutions_apart() -> None:
    region, bank = (label_of(horizon_months=12, days_past_due=90, by_bank=one) for one in (False, True))
    assert region.column == bank.column == "default_12m"
    assert region.definition != bank.definition
    assert "left out" in region.censoring
