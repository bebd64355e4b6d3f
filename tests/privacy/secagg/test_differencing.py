"""Sums that would together give one institution away are never both signed, in whatever rounds and runs they come."""

from __future__ import annotations

import pytest

from fedcredit.privacy.secagg.differencing import Summed, require_same
from fedcredit.privacy.secagg.refusals import DifferencingRefused, TooFewRefused
from fedcredit.privacy.secagg.round_messages import SurvivorSet
from tests.privacy.secagg.simulator import OTHER_MODEL, Federation, Identities, in_run

ALL7 = frozenset({"ada", "bob", "cyd", "dan", "eve", "fay", "gus"})


def test_differencing_of_cohorts_n_and_n_minus_one_is_refused_before_anything_is_uploaded(seven: Federation) -> None:
    seven.round(1)
    started = seven.start(seven.deal(1, attempt=1, without={"gus"}))
    with pytest.raises(DifferencingRefused, match="another set"):
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


def test_another_round_and_model_or_the_same_set_are_fine(seven: Federation) -> None:
    seven.round(1)
    seven.round(2, before_shares={"gus"}, model=OTHER_MODEL)
    seven.round(1, attempt=1)


def test_two_fewer_are_refused_since_one_of_them_may_collude(seven: Federation) -> None:
    """All, and all but {fay, gus}: who knows fay's update knows the update of gus."""
    seven.round(1)
    with pytest.raises(DifferencingRefused):
        seven.upload("ada", seven.start(seven.deal(1, attempt=1, without={"fay", "gus"})))


def test_a_model_a_hair_apart_does_not_make_a_round_another_one(seven: Federation) -> None:
    """The batches of a round are the same for any model, and so are the updates of models that hardly differ."""
    seven.round(1)
    other = in_run(seven, "run-1/again").set_up()
    for federation, attempt in ((seven, 1), (other, 0)):
        started = federation.start(federation.deal(1, attempt=attempt, without={"gus"}), model=OTHER_MODEL)
        with pytest.raises(DifferencingRefused):
            federation.upload("ada", started, model=OTHER_MODEL)


def test_the_same_set_under_other_weights_is_another_sum() -> None:
    names = frozenset("abcd")
    require_same(Summed(names, b"cap 96"), [Summed(names, b"cap 96"), Summed(names)])
    with pytest.raises(DifferencingRefused, match="other weights"):
        require_same(Summed(names, b"cap 96"), [Summed(names, b"cap 97")])


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


def test_three_of_four_are_no_cohort_at_all(identities: Identities) -> None:
    federation = Federation.of(identities, 4).set_up()
    with pytest.raises(TooFewRefused, match="at least 4"):
        federation.deal(1, without={"dan"})
