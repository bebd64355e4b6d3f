"""Each of the 28 formulas gives what a hand gives, on the rows of one small company written out below."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from fedcredit.data.hub.compute import compute
from fedcredit.data.hub.measures import MEASURES, measures, read
from fedcredit.data.identifiers import uscc
from fedcredit.data.indicators import indicators
from fedcredit.data.sources import sources
from fedcredit.errors import TableError
from tests.data.hub.raw_rows import months, rows, store_of

A, B, C, D, E, N1, N2 = uscc(990001, range(7)).tolist()
AS_OF = datetime(2025, 12, 31, 23, 59, 59)
NOVEMBERS = {2024: date(2024, 11, 30), 2025: date(2025, 11, 30)}


def quarters(company: str, last: date, count: int, **cells: Any) -> list[dict[str, Any]]:
    """`count` statements up to `last`, the newest first."""
    ends = [day for day in months(date(last.year - count, 1, 1), 12 * count + 12) if day <= last and day.month % 3 == 0]
    return [{"company": company, "valid_at": day} | cells for day in ends[::-1][:count]]


def statements() -> list[dict[str, Any]]:
    """Two years of four quarters, one of three, one of four; revenue 1000, 800, 600 (three of four at 150), 500."""
    made = quarters(A, date(2025, 9, 30), 16, revenue_cny=0.0)
    for row, revenue in zip(made, [400, 300, 200, 100, *[200] * 4, *[150] * 4, *[125] * 4], strict=True):
        row |= {"revenue_cny": revenue, "cost_cny": 60, "operating_expenses_cny": 20, "ebit_cny": 25, "interest_cny": 5}
        row |= {"net_profit_cny": 20, "operating_cash_flow_cny": 30, "tax_due_cny": 10, "tax_overdue_cny": 99}
        row |= {
            "total_assets_cny": 1800,
            "rd_cny": None,
            "receivables_cny": 1,
            "inventory_cny": 1,
            "liabilities_cny": 1,
        }
    del made[9]  # one quarter of the third year is not known
    made[0] |= {"total_assets_cny": 2000, "liabilities_cny": 1200, "current_assets_cny": 900}
    made[0] |= {"current_liabilities_cny": 600, "receivables_cny": 250, "inventory_cny": 48, "tax_overdue_cny": 8}
    made[4] |= {"total_assets_cny": 1600}
    made[2] |= {"rd_cny": 10}  # of a revenue of 200
    made[3] |= {"rd_cny": 5}  # of 100
    return made


def others() -> list[dict[str, Any]]:
    """Two companies of the same industry, whose taxes are 5 % and 8 % of revenue."""
    return [
        *quarters(N1, date(2025, 9, 30), 4, revenue_cny=100, tax_due_cny=5),
        *quarters(N2, date(2025, 9, 30), 4, revenue_cny=100, tax_due_cny=8),
    ]


def bank() -> list[dict[str, Any]]:
    """A year whose net inflows are 50 and 150 in turn: mean 100, deviation 50."""
    year = months(date(2024, 12, 1), 12)
    made = [
        {"company": A, "valid_at": day, "inflow_cny": 1050 + 100 * (n % 2), "outflow_cny": 1000, "on_time_share": 0.9}
        for n, day in enumerate(year)
    ]
    made[-1]["balance_cny"] = 64
    return made


def invoice(seller: str, day: date, buyer: str, amount: float) -> dict[str, Any]:
    return {"company": seller, "valid_at": day, "buyer": buyer, "amount_cny": amount}


def monthly(table: str, first: date, **cells: list[float]) -> Any:
    """A row a month; the lists are as long as there are months."""
    count = len(next(iter(cells.values())))
    days = months(first, count)
    return rows(
        table,
        *({"company": A, "valid_at": day} | {name: cells[name][n] for name in cells} for n, day in enumerate(days)),
    )


def raw() -> list[tuple[str, Any]]:
    end = dict(zip(range(1, 13), months(date(2025, 1, 1), 12), strict=True))
    use = 100 * math.exp(0.0006 * 100)  # 100 kWh without weather, in a month of 100 degree days
    return [
        (
            "registration",
            rows("registration", *({"company": one, "valid_at": date(2020, 1, 1)} for one in (A, N1, N2))),
        ),
        ("tax", rows("tax", *statements(), *others())),
        ("bank", rows("bank", *bank())),
        (
            "invoices",
            rows(
                "invoices",
                invoice(A, date(2024, 9, 30), B, 100),
                invoice(A, date(2024, 10, 31), B, 100),
                invoice(A, NOVEMBERS[2024], C, 100),
                invoice(A, end[3], B, 100),
                invoice(E, end[6], A, 450),
                invoice(A, end[9], B, 150),
                invoice(A, end[10], D, 150),
                invoice(A, end[11], D, 60),
                invoice(A, end[11], B, 90),
            ),
        ),
        ("customs", monthly("customs", date(2025, 10, 1), new_destinations=[1, 1])),
        (
            "power",
            monthly("power", date(2024, 9, 1), kwh=[use] * 12 + [110, 120, 130], degree_days=[100] * 12 + [0] * 3),
        ),
        (
            "social_security",
            monthly(
                "social_security",
                date(2024, 11, 1),
                insured=[20] * 12 + [22],
                due_cny=[10] * 13,
                paid_cny=[10] * 12 + [5],
            ),
        ),
        ("housing_fund", monthly("housing_fund", date(2025, 3, 1), due_cny=[10] * 9, paid_cny=[10] * 9)),
        ("logistics", monthly("logistics", date(2025, 10, 1), on_time_share=[0.6, 0.8])),
        (
            "patents",
            rows(
                "patents",
                {"company": A, "valid_at": date(2024, 12, 5), "grant_no": "1", "kind": "invention"},
                {"company": A, "valid_at": date(2023, 12, 9), "grant_no": "2", "kind": "utility_model"},
                {
                    "company": A,
                    "valid_at": date(2015, 1, 9),
                    "grant_no": "3",
                    "kind": "design",
                    "expires_at": date(2025, 11, 30),
                },
            ),
        ),
        (
            "titles",
            rows(
                "titles",
                {"company": A, "valid_at": date(2024, 11, 30), "title": "specialised"},
                {
                    "company": A,
                    "valid_at": date(2022, 11, 30),
                    "title": "little_giant",
                    "expires_at": date(2025, 11, 29),
                },
            ),
        ),
        (
            "judicial",
            rows(
                "judicial",
                {"company": A, "valid_at": date(2024, 12, 20), "case_no": "1", "severity": 4},
                {"company": A, "valid_at": date(2025, 12, 10), "case_no": "2", "severity": 2},
            ),
        ),
        ("penalties", rows("penalties", {"company": A, "valid_at": date(2024, 12, 1), "severity": 3})),
        (
            "environment",
            rows(
                "environment",
                {"company": A, "valid_at": date(2023, 12, 31), "kind": "penalty", "severity": 1, "colour": None},
                {"company": A, "valid_at": date(2023, 12, 31), "kind": "rating", "colour": "black"},
                {"company": A, "valid_at": date(2024, 12, 31), "kind": "rating", "colour": "yellow"},
            ),
        ),
        (
            "procurement",
            rows(
                "procurement",
                {"company": A, "valid_at": date(2025, 1, 7), "bid_no": "1", "amount_cny": 50},
                {"company": A, "valid_at": date(2025, 2, 7), "bid_no": "2", "amount_cny": 70, "is_won": False},
                {"company": A, "valid_at": date(2024, 12, 7), "bid_no": "3", "amount_cny": 90},
            ),
        ),
    ]


BY_HAND = {
    "debt_ratio": 1200 / 2000,
    "current_ratio": 900 / 600,
    "interest_cover": 100 / 20,
    "cash_debt_cover": 120 / 600,
    "roa": 100 / 1800,  # assets of five statements: 2000, 1800, 1800, 1800, 1600
    "net_margin": 80 / 1000,
    "ar_turn_days": 365 * 250 / 1000,
    "inv_turn_days": 365 * 48 / 240,
    "cf_volatility": 50 / 100,
    "cash_buffer_days": 365 * 64 / (240 + 80),
    "tax_burden_dev": 0.04 / 0.05 - 1,  # the industry: 4 %, 5 %, 8 %
    "tax_arrears_ratio": 8 / 40,
    "invoice_growth": 450 / 300 - 1,
    "market_expansion": (1 + 2) / 2,  # D is new, two destinations; B with C bought before
    "order_cont": 4 / 12,  # March, September, October, November
    # B three months, D two, E one; 340, 210, 450 of 1000; settled .9, delivered .7
    "supply_synergy": (2 / 3 * 0.8 * (1 - 0.34**2 - 0.21**2 - 0.45**2)) ** (1 / 3),
    "cust_hhi": (340**2 + 210**2) / 550**2,
    "partner_risk": 0.34 * 0.1 + 0.21 * 0.2 + 0.45 * 0.02,
    "power_yoy": 120 / 100 - 1,
    "headcount_yoy": 22 / 20 - 1,
    "hf_arrears": (11 + 9) / 24,
    "patent_stock": math.log1p(100 * (3 * 0.85 + 0.85**2) / 22),
    "rd_intensity": (10 + 5) / (200 + 100),
    "tech_title": 2,
    "judicial_risk": 4 * math.exp(-1) + 2,
    "admin_env_penalty": 3 * math.exp(-1) + math.exp(-2) + 1,
    "rev_cagr": 2 ** (1 / 3) - 1,  # 1000 after 500
    "procure_win": 50 / 1000,
}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, float]]:
    """The indicators of company A; PDs of partners are those of November, not those of this month or of October."""
    with store_of(tmp_path_factory.mktemp("hub"), *raw()) as store:
        con = store.connection
        con.execute("CREATE SCHEMA derived; CREATE TABLE derived.scores (firm INTEGER, period DATE, pd DOUBLE)")
        for period, pds in ((10, (0.9, 0.9, 0.9)), (11, (0.1, 0.2, 0.02)), (12, (0.8, 0.8, 0.8))):
            for company, pd in zip((B, D, E), pds, strict=True):
                con.execute(
                    "INSERT INTO derived.scores VALUES (?, ?, ?)", [store.code(company), date(2025, period, 1), pd]
                )
        done = compute(con, as_of=AS_OF)
        assert done.out_of_range == {}
        found = con.execute("SELECT * FROM indicators_now WHERE firm = ?", [store.code(A)]).fetchdf()
        yield found.iloc[0].to_dict()


@pytest.mark.parametrize("name", [one.id for one in indicators()])
def test_the_formula_gives_what_a_hand_gives(computed: dict[str, float], name: str) -> None:
    assert computed[name] == pytest.approx(BY_HAND[name], rel=1e-6)


def test_every_formula_names_measures_and_every_measure_is_used_or_a_fact_of_the_company() -> None:
    used = {name for one in indicators() for name in measures().of(one.sql)}
    assert all(measures().of(one.sql) for one in indicators())
    given = {name for group in measures().groups for name in group.gives}
    assert given - used == {"industry", "region", "size_class"}


def test_the_sources_of_an_indicator_are_those_that_its_formula_reads() -> None:
    ids = {one.table: one.id for one in sources()}
    for one in indicators():
        assert {ids[table] for table in measures().tables(one.sql)} == set(one.sources), one.id


def test_no_record_means_none_for_indicators_of_events_only() -> None:
    for one in indicators():
        kinds = {group.kind for group in measures().groups_of([one.sql])}
        assert (one.missing == "zero") == ("events" in kinds and one.id != "market_expansion"), one.id


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: power", "name: freight", "'freight' more than once"),
        ("gives: [partner_pd]", "gives: [staff]", "'staff' more than once"),
        ("reads: {power: 15}", "reads: {steam: 15}", "found 'steam'"),
        ("reads: {power: 15}", "reads: {power: 0}", "found 0 months"),
        ("reads: {power: 15}", "reads: {}", "no raw table"),
        ("kind: standing", "kind: sitting", "one of periodic, events, standing"),
        ("of: [registration, statements]", "of: [registration, balances]", "found group 'balances'"),
        ("by: industry", "by: sector", "found 'sector'"),
    ],
)
def test_a_broken_file_of_measures_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "measures.yaml"
    path.write_text(MEASURES.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(TableError, match=message):
        read(path)
