"""What a round gives when nobody lies: the sum, whoever drops out and whenever, or nothing at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit.privacy.secagg.refusals import EncodingRefused, StageRefused, SurvivorsRefused, TooFewRefused
from fedcredit.privacy.secagg.round_messages import SignatureSet, SurvivorSignature
from tests.privacy.secagg.simulator import MODEL, SETTINGS, Federation, Identities, vector

ALL7 = {"ada", "bob", "cyd", "dan", "eve", "fay", "gus"}


def test_sum_of_masked_updates_is_the_sum_of_the_updates(five: Federation) -> None:
    five.assert_sum(five.round(1), {"ada", "bob", "cyd", "dan", "eve"})


def test_four_institutions_are_the_fewest_that_work(identities: Identities) -> None:
    federation = Federation.of(identities, 4).set_up()
    federation.assert_sum(federation.round(1), set(federation.identities))


def test_many_rounds_run_on_one_set_up_with_shares_dealt_ahead(five: Federation) -> None:
    cohort = five.deal(1)
    for round_ in (1, 2, 3):
        model = bytes([round_]) * 32
        started = five.start(cohort, model=model)
        surviving = five.uploads(started, model=model)
        cohort = five.deal(round_ + 1)  # rides on the upload's reply
        five.assert_sum(five.unmask(five.signatures(surviving)), set(five.identities))


def test_round_over_64_bits_is_exact_beyond_32(identities: Identities) -> None:
    federation = Federation.of(identities, 4)
    federation.plan = type(federation.plan)(
        "run-64", federation.plan.roster, bytes(32), type(federation.plan.encoding)(8, 1.0, 4, bits=64)
    )
    for name in federation.identities:
        federation.restart(name)
    federation.encoded = lambda name: federation.plan.encoding.encode(vector(name, 8))  # type: ignore[method-assign]
    found = federation.plan.encoding.decode(federation.set_up().round(1).words)
    np.testing.assert_allclose(found.reals, federation.expected(federation.identities), rtol=0, atol=1e-14)


def test_dropout_before_keys(identities: Identities) -> None:
    federation = Federation.of(identities, 7).set_up(before_keys={"ada", "fay"})
    federation.assert_sum(federation.round(1), ALL7 - {"ada", "fay"})


def test_dropout_before_capsules(identities: Identities) -> None:
    federation = Federation.of(identities, 7).set_up(before_capsules={"ada", "gus"})
    federation.assert_sum(federation.round(1), ALL7 - {"ada", "gus"})


def test_dropout_before_shares(seven: Federation) -> None:
    seven.assert_sum(seven.round(1, before_shares={"bob"}), ALL7 - {"bob"})


def test_dropout_after_shares(seven: Federation) -> None:
    seven.assert_sum(seven.round(1, after_shares={"ada", "dan"}), ALL7 - {"ada", "dan"})


def test_dropout_after_upload(seven: Federation) -> None:
    seven.assert_sum(seven.round(1, after_upload={"eve", "gus"}), ALL7)


def test_dropout_during_unmasking(seven: Federation) -> None:
    seven.assert_sum(seven.round(1, during_unmasking={"ada", "bob"}), ALL7)


def test_an_institution_that_missed_a_round_is_back_in_the_next(seven: Federation) -> None:
    seven.round(1, after_shares={"dan"})
    seven.assert_sum(seven.round(2, model=b"2" * 32), ALL7)


def test_exactly_t_survive_at_every_step(seven: Federation) -> None:
    assert seven.plan.roster.threshold == 5
    seven.assert_sum(seven.round(1, after_shares={"ada"}, after_upload={"bob"}), ALL7 - {"ada"})
    seven.assert_sum(seven.round(2, before_shares={"ada", "bob"}, model=b"2" * 32), ALL7 - {"ada", "bob"})


@pytest.mark.parametrize("step", ["before_shares", "after_shares", "after_upload", "during_unmasking"])
def test_t_minus_one_survive_and_the_round_aborts_without_leaking(seven: Federation, step: str) -> None:
    with pytest.raises(TooFewRefused, match="at least 5"):
        seven.round(1, **{step: {"ada", "bob", "cyd"}})  # type: ignore[arg-type]


def test_t_minus_one_at_the_set_up_abort(identities: Identities) -> None:
    with pytest.raises(TooFewRefused):
        Federation.of(identities, 7).set_up(before_keys={"ada", "bob", "cyd"})


def test_t_minus_one_signatures_open_nothing_at_the_institutions_either(seven: Federation) -> None:
    """A server that does not give up below t gets no share: each institution counts the signatures itself."""
    surviving = seven.uploads(seven.start(seven.deal(1)))
    signed = {
        seven.plan.roster.index(name): SurvivorSignature.from_bytes(seven.sessions[name].sign_survivors(message))
        for name, message in list(surviving.outbox.items())[:4]
    }
    few = SignatureSet(seven.plan.hash, 1, 0, {index: message.signature for index, message in signed.items()})
    with pytest.raises(SurvivorsRefused, match="found 4 on this set, expected at least 5"):
        seven.sessions["ada"].release(few.to_bytes())


def test_a_failed_round_is_repeated_under_a_new_attempt(seven: Federation) -> None:
    with pytest.raises(TooFewRefused):
        seven.round(1, after_shares={"ada", "bob", "cyd"})
    with pytest.raises(StageRefused):
        seven.sessions["dan"].deal(1)
    seven.assert_sum(seven.round(1, attempt=1), ALL7)


def test_asking_whether_we_would_take_part_changes_nothing(five: Federation) -> None:
    started = five.start(five.deal(1))
    for _ in range(2):
        five.sessions["ada"].require_start(started.outbox["ada"], model_sha256=MODEL)
    five.assert_sum(five.unmask(five.signatures(five.uploads(started))), set(five.identities))


def test_refused_update_uses_nothing_up(five: Federation) -> None:
    """NaN is refused before the record is written, so a mended update can still go."""
    started = five.start(five.deal(1))
    with pytest.raises(EncodingRefused):
        five.plan.encoding.encode(np.full(8, np.nan), {"companies": 1})
    with pytest.raises(EncodingRefused):
        five.sessions["ada"].upload(
            started.outbox["ada"], model_sha256=MODEL, settings_sha256=SETTINGS, encoded=np.zeros(3, dtype=np.uint32)
        )
    five.assert_sum(five.unmask(five.signatures(five.uploads(started))), set(five.identities))


def test_two_attempts_at_a_round_never_share_a_mask(five: Federation) -> None:
    """Were the masks the same, the difference of two uploads would be the difference of two updates."""
    first, second = (five.upload("ada", five.start(five.deal(1, attempt=a)))[1] for a in (0, 1))
    same = five.encoded("ada")
    assert not np.array_equal(first, second)
    assert np.count_nonzero(first - same == second - same) == 0


def test_set_up_and_rounds_go_on_after_every_institution_restarts_between_messages(identities: Identities) -> None:
    federation = Federation.of(identities, 5).set_up()
    for name in federation.identities:
        federation.restart(name)
    started = federation.start(federation.deal(1))
    for name in federation.identities:
        federation.restart(name)
    surviving = federation.uploads(started)
    for name in federation.identities:
        federation.restart(name)
    federation.assert_sum(federation.unmask(federation.signatures(surviving)), set(federation.identities))


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_two_dropouts_anywhere_leave_the_sum_of_the_uploads(identities: Identities, data: st.DataObject) -> None:
    federation = Federation.of(identities, 7).set_up()
    steps = ["before_shares", "after_shares", "after_upload", "during_unmasking"]
    dropped: dict[str, set[str]] = {}
    for name in data.draw(st.lists(st.sampled_from(sorted(ALL7)), min_size=0, max_size=2, unique=True)):
        dropped.setdefault(data.draw(st.sampled_from(steps)), set()).add(name)
    unmasked = federation.round(1, **dropped)  # type: ignore[arg-type]
    absent = dropped.get("before_shares", set()) | dropped.get("after_shares", set())
    federation.assert_sum(unmasked, ALL7 - absent)
