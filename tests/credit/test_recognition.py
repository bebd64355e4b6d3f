"""A region's grades are worth what defaulted in them; without defaults, what their rank is worth elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, ndtri

from fedcredit.credit.recognition import OwnScale, recognise
from fedcredit.credit.scale import MASTER
from fedcredit.errors import ConfigError, FedCreditError


def scale_of(region: str, *, shift: float = 0.0, steep: float = 1.2, grades: int = 12, each: int = 2000) -> OwnScale:
    """A region whose log-odds are -3 + shift + steep * z, in grades of equally many companies, without chance."""
    middle = (np.arange(grades) + 0.5) / grades
    pd = expit(-3.0 + shift + steep * ndtri(middle))
    bad = np.rint(pd * each).astype(int).tolist()
    return OwnScale(region, tuple(f"{region}-{k}" for k in range(grades)), (each,) * grades, tuple(bad))


def test_curve_finds_the_rates_that_the_counts_were_made_from() -> None:
    own = scale_of("north", shift=0.4)
    made = recognise(own)
    true = np.array(own.bad) / np.array(own.companies)
    assert np.abs(np.log(made.pds / true)).max() < 0.05, "an eighth of a notch"
    assert made.method == "defaults"


def test_two_grades_are_as_computed_by_hand() -> None:
    # Two grades and two numbers: the curve goes through both rates.
    made = recognise(OwnScale("x", ("a", "b"), (100, 100), (10, 30)))
    assert made.pds == pytest.approx([0.1, 0.3])
    assert [row.master for row in made.rows] == ["B", "CC"]
    low, high = made.rows[0].low, made.rows[0].high
    assert low is not None
    assert high is not None
    assert low < 0.1 < high


def test_same_risk_gets_the_same_grade_whatever_the_regions_call_it() -> None:
    north, south = recognise(scale_of("north", grades=10)), recognise(scale_of("south", grades=20, each=1000))
    coarse = MASTER.place(north.pds)
    fine = MASTER.place(south.pds).reshape(10, 2)
    assert (np.abs(fine - coarse[:, None]) <= 1).all()


def test_region_without_outcomes_is_mapped_by_rank() -> None:
    reference = recognise(scale_of("north", grades=10))
    young = OwnScale("young", ("A", "B"), (300, 300), None)
    made = recognise(young, reference=reference)
    assert made.method == "rank"
    assert made.pds == pytest.approx([reference.pds[:5].mean(), reference.pds[5:].mean()])
    assert all(row.low is None for row in made.rows)


def test_same_scale_mapped_by_rank_against_itself_is_unchanged() -> None:
    reference = recognise(scale_of("north"))
    companies = tuple(row.companies for row in reference.rows)
    same = OwnScale("copy", tuple(row.own for row in reference.rows), companies, None)
    assert recognise(same, reference=reference).pds == pytest.approx(reference.pds)


@given(st.lists(st.integers(1, 400), min_size=2, max_size=8), st.data())
def test_counts_of_institutions_add_to_the_region_s_table(sizes: list[int], data: st.DataObject) -> None:
    total = scale_of("north", grades=len(sizes), each=2000)
    assert total.bad is not None
    part_n = [data.draw(st.integers(0, n)) for n in total.companies]
    part_d = [
        data.draw(st.integers(max(0, d - (n - m)), min(d, m)))
        for d, n, m in zip(total.bad, total.companies, part_n, strict=True)
    ]
    rest = [(n - m, d - e) for n, m, d, e in zip(total.companies, part_n, total.bad, part_d, strict=True)]
    summed = OwnScale(
        "north",
        total.grades,
        tuple(m + n for m, (n, _) in zip(part_n, rest, strict=True)),
        tuple(e + d for e, (_, d) in zip(part_d, rest, strict=True)),
    )
    assert recognise(summed) == recognise(total)


@pytest.mark.parametrize(
    ("own", "what"),
    [
        (OwnScale("x", ("a", "b"), (100, 100), (30, 10)), "worse grades that default less"),
        (OwnScale("x", ("a", "b"), (100, 100), (1, 3)), "4 defaults"),
        (OwnScale("x", ("a", "b"), (100, 100), None), "no outcomes"),
        (OwnScale("x", ("a", "b"), (50, 50), (50, 50)), "no finite answer"),
    ],
)
def test_scale_that_cannot_be_mapped_says_why(own: OwnScale, what: str) -> None:
    with pytest.raises(FedCreditError, match=what):
        recognise(own)


@pytest.mark.parametrize(
    ("grades", "companies", "bad"),
    [
        (("a", "a"), (1, 1), (0, 0)),
        (("a", "b"), (1, 1, 1), (0, 0)),
        (("a", "b"), (1, 1), (0, 2)),
        (("a", "b"), (1, 1), (0, -1)),
        (("a", "b"), (0, 0), (0, 0)),
        (("a",), (1,), (0,)),
    ],
)
def test_counts_that_are_none_are_refused(
    grades: tuple[str, ...], companies: tuple[int, ...], bad: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError):
        OwnScale("x", grades, companies, bad)


def test_rank_against_a_table_that_is_itself_by_rank_is_refused() -> None:
    reference = recognise(scale_of("north"))
    second = recognise(OwnScale("second", ("A", "B"), (300, 300), None), reference=reference)
    with pytest.raises(ConfigError, match="no outcomes"):
        recognise(OwnScale("third", ("A", "B"), (300, 300), None), reference=second)
