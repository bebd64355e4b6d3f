"""Sums that would together give one institution away are never both signed, in whatever rounds and runs they come."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.privacy.secagg.differencing import isolated
from fedcredit.privacy.secagg.refusals import DifferencingRefused, TooFewRefused
from fedcredit.privacy.secagg.round_messages import SurvivorSet
from tests.privacy.secagg.simulator import OTHER_MODEL, Federation, Identities, in_run

ALL7 = frozenset({"ada", "bob", "cyd", "dan", "eve", "fay", "gus"})


def test_differencing_of_cohorts_n_and_n_minus_one_is_refused_before_anything_is_uploaded(seven: Federation) -> None:
    seven.round(1)
    started = seven.start(seven.deal(1, attempt=1, without={"gus"}))
    with pytest.raises(DifferencingRefused, match="isolates one"):
        seven.upload("ada", started)
    with pytest.raises(DifferencingRefused):
        seven.sessions["ada"].require_start(started.outbox["ada"], model_sha256=b"m" * 32)


def test_differencing_of_survivors_n_and_n_minus_one_gets_no_signature(seven: Federation) -> None:
    seven.round(1)
    surviving = seven.uploads(seven.start(seven.deal(2)), without={"gus"})
    with pytest.raises(DifferencingRefused):
        seven.sessions["ada"].sign_survivors(surviving.outbox["ada"])


def test_differencing_is_refused_across_rounds_and_restarts(seven: Federation) -> None:
    seven.round(1, before_shares={"gus"})
    seven.restart("ada")
    with pytest.raises(DifferencingRefused):
        seven.upload("ada", seven.start(seven.deal(5)))


def test_differencing_is_refused_across_runs_with_the_same_first_model(seven: Federation) -> None:
    """A study begun anew from the same initial weights, with one institution fewer."""
    seven.round(1)
    other = in_run(seven, "run-2").set_up()
    with pytest.raises(DifferencingRefused):
        other.upload("ada", other.start(other.deal(1, without={"gus"})))


def test_another_model_or_the_same_set_or_two_fewer_are_fine(seven: Federation) -> None:
    seven.round(1)
    seven.round(2, before_shares={"gus"}, model=OTHER_MODEL)
    seven.round(1, attempt=1)
    seven.round(1, attempt=2, before_shares={"fay", "gus"})


def test_three_sets_that_only_together_isolate_one_are_refused(seven: Federation) -> None:
    """All but {fay, gus}, all but {eve, gus}, all: eve - fay. With all but {eve, fay} comes eve + fay, and so eve."""
    seven.round(1, before_shares={"fay", "gus"})
    seven.round(1, attempt=1, before_shares={"eve", "gus"})
    seven.round(1, attempt=2)
    with pytest.raises(DifferencingRefused):
        seven.round(1, attempt=3, before_shares={"eve", "fay"})


def test_a_set_that_was_signed_but_never_opened_still_counts(seven: Federation) -> None:
    """We cannot know whether the others released; so we hold to what we signed."""
    surviving = seven.uploads(seven.start(seven.deal(1)))
    for name, message in surviving.outbox.items():
        seven.sessions[name].sign_survivors(message)
    with pytest.raises(DifferencingRefused):
        seven.upload("ada", seven.start(seven.deal(1, attempt=1, without={"gus"})))
    seven.assert_sum(seven.round(1, attempt=2), ALL7)


def test_two_sets_signed_at_the_same_time_cannot_slip_past_each_other(seven: Federation) -> None:
    """Both cohorts were uploaded to before either was signed; the second signature is refused."""
    whole = seven.uploads(seven.start(seven.deal(1)))
    fewer = seven.uploads(seven.start(seven.deal(1, attempt=1, without={"gus"})))
    assert len(SurvivorSet.from_bytes(fewer.outbox["ada"]).payloads) == 6
    seven.sessions["ada"].sign_survivors(whole.outbox["ada"])
    with pytest.raises(DifferencingRefused):
        seven.sessions["ada"].sign_survivors(fewer.outbox["ada"])


def test_isolated_names_exactly_those_whose_value_follows() -> None:
    abcd = frozenset("abcd")
    assert isolated([]) == frozenset()
    assert isolated([abcd]) == frozenset()
    assert isolated([abcd, abcd]) == frozenset()
    assert isolated([abcd, frozenset("abc")]) == {"d"}
    assert isolated([abcd, frozenset("abef")]) == frozenset()
    assert isolated([frozenset("ab"), frozenset("bc"), frozenset("ac")]) == {"a", "b", "c"}


def test_three_of_four_are_no_cohort_at_all(identities: Identities) -> None:
    federation = Federation.of(identities, 4).set_up()
    with pytest.raises(TooFewRefused, match="at least 4"):
        federation.deal(1, without={"dan"})


def rank(rows: list[list[Fraction]]) -> int:
    """Second implementation: rank by exact elimination."""
    rows, found = [list(row) for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((r for r in range(found, len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for r in range(found + 1, len(rows)):
            factor = rows[r][column] / rows[found][column]
            rows[r] = [a - factor * b for a, b in zip(rows[r], rows[found], strict=True)]
        found += 1
    return found


@settings(deadline=None, max_examples=60)
@given(sets=st.lists(st.frozensets(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=7))
def test_isolated_agrees_with_exact_ranks_over_the_rationals(sets: list[frozenset[str]]) -> None:
    names = sorted(frozenset().union(*sets))
    rows = [[Fraction(name in chosen) for name in names] for chosen in sets]
    follows = {name for name in names if rank([*rows, [Fraction(name == n) for n in names]]) == rank(rows)}
    assert isolated(sets) == follows
