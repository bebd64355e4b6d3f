"""A server that lies in a round: every institution stops with a named refusal, and nothing is revealed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.privacy.secagg import gather_uploads
from fedcredit.privacy.secagg.context import Context, RoundId, pair_mask_seed, self_mask_seed, statement
from fedcredit.privacy.secagg.masks import add_mask, remove_mask
from fedcredit.privacy.secagg.refusals import (
    ContextRefused,
    EncodingRefused,
    PlanRefused,
    SharesRefused,
    StageRefused,
    SurvivorsRefused,
    TooFewRefused,
)
from fedcredit.privacy.secagg.round_messages import (
    Release,
    RoundStart,
    SignatureSet,
    SurvivorSet,
    SurvivorSignature,
    UploadHeader,
)
from fedcredit.privacy.secagg.sealing import unwrap
from fedcredit.privacy.secagg.server_round import Surviving
from fedcredit.privacy.secagg.states import Uploaded
from fedcredit.privacy.shamir import combine
from tests.privacy.secagg.simulator import MODEL, OTHER_MODEL, SETTINGS, Federation, Identities, in_run


def survivor_set(surviving: Surviving) -> SurvivorSet:
    """The set that an honest server sends."""
    return SurvivorSet.from_bytes(next(iter(surviving.outbox.values())))


def without(chosen: SurvivorSet, *gone: int) -> bytes:
    """The same set with some institutions declared dropped."""
    return replace(chosen, payloads={i: p for i, p in chosen.payloads.items() if i not in gone}).to_bytes()


def signature(federation: Federation, name: str, chosen: bytes) -> bytes:
    """An institution's signature on a set."""
    return SurvivorSignature.from_bytes(federation.sessions[name].sign_survivors(chosen)).signature


def signature_set(federation: Federation, signatures: dict[int, bytes]) -> bytes:
    """The message that carries signatures of round 1."""
    return SignatureSet(federation.plan.hash, 1, 0, signatures).to_bytes()


def test_lying_server_with_inconsistent_survivor_sets_gets_shares_for_none(seven: Federation) -> None:
    """Half is told that gus dropped, half that fay did: neither set has t = 5 signatures, so nobody releases."""
    chosen = survivor_set(seven.uploads(seven.start(seven.deal(1))))
    first, second = without(chosen, 6), without(chosen, 5)
    told = {"ada": first, "bob": first, "cyd": first, "dan": second, "eve": second, "gus": second}
    signatures = {seven.plan.roster.index(name): signature(seven, name, data) for name, data in told.items()}
    with pytest.raises(SurvivorsRefused, match="not the signer's on this set"):
        seven.sessions["ada"].release(signature_set(seven, signatures))
    for name, same in (("ada", (0, 1, 2)), ("dan", (3, 4, 6))):
        mine = {index: signatures[index] for index in same}
        with pytest.raises(SurvivorsRefused, match="found 3"):
            seven.sessions[name].release(signature_set(seven, mine))


def test_lying_server_with_overlapping_survivor_sets_gets_one_signature_from_each(seven: Federation) -> None:
    chosen = survivor_set(seven.uploads(seven.start(seven.deal(1))))
    signature(seven, "ada", chosen.to_bytes())
    with pytest.raises(StageRefused):
        signature(seven, "ada", without(chosen, 5, 6))
    with pytest.raises(StageRefused):
        signature(seven, "ada", chosen.to_bytes())


def test_signatures_on_another_set_do_not_count(seven: Federation) -> None:
    chosen = survivor_set(seven.uploads(seven.start(seven.deal(1))))
    others = {
        index: signature(seven, name, without(chosen, 6))
        for index, name in enumerate(("ada", "bob", "cyd", "dan", "eve"))
    }
    signature(seven, "fay", chosen.to_bytes())
    with pytest.raises(SurvivorsRefused, match="not the signer's on this set"):
        seven.sessions["fay"].release(signature_set(seven, others))


def test_one_signature_counts_once(seven: Federation) -> None:
    """Entries by institution ascend strictly, so a message cannot carry one member twice; ours counts once too."""
    chosen = survivor_set(seven.uploads(seven.start(seven.deal(1))))
    own = signature(seven, "ada", chosen.to_bytes())
    with pytest.raises(SurvivorsRefused, match="found 1"):
        seven.sessions["ada"].release(signature_set(seven, {0: own}))


def test_both_shares_asked_is_refused(seven: Federation) -> None:
    """No message names which shares to release: they follow from the one set that t members signed, once."""
    agreed = seven.signatures(seven.uploads(seven.start(seven.deal(1)), without={"gus"}))
    released = Release.from_bytes(seven.sessions["ada"].release(agreed.outbox["ada"]))
    assert set(released.self_shares) == {0, 1, 2, 3, 4, 5}
    assert set(released.key_shares) == {6}
    for _ in range(2):
        with pytest.raises(StageRefused):
            seven.sessions["ada"].release(agreed.outbox["ada"])
        seven.restart("ada")


def test_round_rerun_after_a_restart_is_refused(five: Federation) -> None:
    """The write-ahead record, not the process, knows that this (round, attempt) was used."""
    started = five.start(five.deal(1))
    five.upload("ada", started)
    five.restart("ada")
    for step in (lambda: five.upload("ada", started), lambda: five.sessions["ada"].deal(1)):
        with pytest.raises(StageRefused):
            step()


def test_round_rerun_after_it_was_released_is_refused(five: Federation) -> None:
    started = five.start(five.deal(1))
    five.unmask(five.signatures(five.uploads(started)))
    five.restart("ada")
    with pytest.raises(StageRefused, match="'closed'"):
        five.upload("ada", started)


def test_stage_skipped_in_a_round_is_refused(five: Federation) -> None:
    started = five.start(five.deal(1))
    chosen = SurvivorSet(five.plan.hash, 1, 0, bytes(32), dict.fromkeys(range(5), bytes(32)))
    ada = five.sessions["ada"]
    with pytest.raises(StageRefused, match="'dealt'"):
        ada.sign_survivors(chosen.to_bytes())
    with pytest.raises(StageRefused, match="'dealt'"):
        ada.release(SignatureSet(five.plan.hash, 1, 0, {}).to_bytes())
    five.upload("ada", started)
    with pytest.raises(StageRefused, match="'uploaded'"):
        ada.release(SignatureSet(five.plan.hash, 1, 0, {}).to_bytes())


def test_round_that_was_never_dealt_for_is_refused(five: Federation) -> None:
    start = RoundStart.from_bytes(five.start(five.deal(1)).outbox["ada"])
    with pytest.raises(StageRefused, match="nothing begun"):
        five.sessions["ada"].require_start(replace(start, attempt=1).to_bytes(), model_sha256=MODEL)


def test_upload_from_another_attempt_round_or_run_is_left_out(identities: Identities) -> None:
    federation = Federation.of(identities, 6).set_up()
    old = federation.uploads(federation.start(federation.deal(1)))
    del old
    started = {a: federation.start(federation.deal(2, attempt=a)) for a in (0, 1)}
    replies = {name: federation.upload(name, started[1]) for name in federation.identities}
    replay = federation.upload("ada", started[0])
    surviving = gather_uploads(started[1], {**replies, "ada": replay})
    assert isinstance(surviving.faults["ada"], PlanRefused)
    other = in_run(federation, "run-2").set_up()
    foreign = other.upload("ada", other.start(other.deal(2, attempt=1)))
    surviving = gather_uploads(started[1], {**replies, "ada": foreign})
    assert isinstance(surviving.faults["ada"], PlanRefused)


def test_another_members_upload_is_left_out(identities: Identities) -> None:
    federation = Federation.of(identities, 6).set_up()
    started = federation.start(federation.deal(1))
    replies = {name: federation.upload(name, started) for name in federation.identities}
    assert "ada" in gather_uploads(started, {**replies, "ada": replies["bob"]}).faults


def test_masked_words_changed_on_the_way_are_left_out(identities: Identities) -> None:
    federation = Federation.of(identities, 6).set_up()
    started = federation.start(federation.deal(1))
    replies = {name: federation.upload(name, started) for name in federation.identities}
    header, words = replies["ada"]
    for changed in (words + np.uint32(1), words[:-1], words.astype(np.uint64), words.reshape(3, 3)):
        assert "ada" in gather_uploads(started, {**replies, "ada": (header, changed)}).faults


def test_server_that_declares_us_dropped_gets_no_signature(seven: Federation) -> None:
    chosen = survivor_set(seven.uploads(seven.start(seven.deal(1))))
    with pytest.raises(SurvivorsRefused, match="without the upload we sent"):
        signature(seven, "gus", without(chosen, 6))


def test_survivor_set_with_another_upload_in_our_name_gets_no_signature(seven: Federation) -> None:
    chosen = survivor_set(seven.uploads(seven.start(seven.deal(1))))
    with pytest.raises(SurvivorsRefused, match="without the upload we sent"):
        signature(seven, "ada", replace(chosen, payloads={**chosen.payloads, 0: bytes(32)}).to_bytes())


def test_survivor_set_under_the_threshold_gets_no_signature(seven: Federation) -> None:
    chosen = survivor_set(seven.uploads(seven.start(seven.deal(1))))
    with pytest.raises(TooFewRefused):
        signature(seven, "ada", without(chosen, 4, 5, 6))


def test_survivor_from_outside_of_the_cohort_gets_no_signature(seven: Federation) -> None:
    chosen = survivor_set(seven.uploads(seven.start(seven.deal(1, without={"gus"}))))
    with pytest.raises(SurvivorsRefused, match="outside of the cohort"):
        signature(seven, "ada", replace(chosen, payloads={**chosen.payloads, 6: bytes(32)}).to_bytes())


def test_server_that_fills_the_cohort_with_a_minority_is_refused(seven: Federation) -> None:
    """The threshold is of the run's roster: four chosen members, two of them colluding, are no cohort of seven."""
    start = RoundStart.from_bytes(seven.start(seven.deal(1)).outbox["ada"])
    small = replace(
        start,
        cohort=(0, 1, 2, 3),
        sealed={i: start.sealed[i] for i in (1, 2, 3)},
        commitments={i: start.commitments[i] for i in (1, 2, 3)},
    )
    with pytest.raises(TooFewRefused, match="at least 5"):
        seven.sessions["ada"].require_start(small.to_bytes(), model_sha256=MODEL)


def test_share_swapped_by_the_server_is_refused(five: Federation) -> None:
    start = RoundStart.from_bytes(five.start(five.deal(1)).outbox["ada"])
    for lie in (
        replace(start, sealed={**start.sealed, 1: start.sealed[2]}),
        replace(start, commitments={**start.commitments, 1: start.commitments[2]}),
        replace(start, sealed={i: s for i, s in start.sealed.items() if i != 1}),
    ):
        with pytest.raises(SharesRefused):
            five.sessions["ada"].upload(
                lie.to_bytes(), model_sha256=MODEL, settings_sha256=SETTINGS, encoded=five.encoded("ada")
            )


def test_shares_of_an_earlier_attempt_are_refused(five: Federation) -> None:
    """A server that could mix attempts would collect shares of b in one and of k in the other."""
    old, new = (RoundStart.from_bytes(five.start(five.deal(1, attempt=a)).outbox["ada"]) for a in (0, 1))
    mixed = replace(new, sealed=old.sealed, commitments=old.commitments)
    with pytest.raises(SharesRefused):
        five.sessions["ada"].upload(
            mixed.to_bytes(), model_sha256=MODEL, settings_sha256=SETTINGS, encoded=five.encoded("ada")
        )


def told_apart(seven: Federation) -> tuple[Surviving, Surviving]:
    """A server that sends a model of its choice to ada alone: its state in the others' view, and in ada's."""
    cohort = seven.deal(1)
    common, chosen = seven.start(cohort), seven.start(cohort, model=OTHER_MODEL)
    replies = {name: seven.upload(name, common) for name in seven.identities if name != "ada"}
    target = seven.upload("ada", chosen, model=OTHER_MODEL)
    surviving = gather_uploads(common, replies)
    payloads = {0: statement_payload(target), **surviving.payloads}
    uploads = {0: target[1], **surviving.uploads}
    return replace(surviving, payloads=payloads, uploads=uploads), replace(
        surviving, started=chosen, payloads=payloads, uploads=uploads
    )


def statement_payload(reply: tuple[bytes, object]) -> bytes:
    """The digest in a signed upload header."""
    return UploadHeader.from_bytes(reply[0]).payload


def test_server_that_sends_different_models_to_different_clients_gets_no_signature_of_theirs(seven: Federation) -> None:
    common, _ = told_apart(seven)
    said = SurvivorSet(seven.plan.hash, 1, 0, common.started.context, common.payloads).to_bytes()
    with pytest.raises(ContextRefused, match="another model"):
        seven.sessions["ada"].sign_survivors(said)


def test_server_that_sends_different_models_to_different_clients_gets_masks_that_do_not_cancel(
    identities: Identities,
) -> None:
    """The others never saw ada's model, so six sign and release; even so the masks with ada do not cancel."""
    # 64 numbers: of uniform words 7 of 8 could be a sum of seven, so that a few of them alone may well look like one.
    seven = Federation.of(identities, 7, size=64).set_up()
    common, _ = told_apart(seven)
    said = SurvivorSet(seven.plan.hash, 1, 0, common.started.context, common.payloads).to_bytes()
    signatures = {seven.plan.roster.index(n): signature(seven, n, said) for n in seven.identities if n != "ada"}
    releases = {
        name: Release.from_bytes(seven.sessions[name].release(signature_set(seven, signatures)))
        for name in seven.identities
        if name != "ada"
    }
    at = RoundId.of(seven.plan, 1, attempt=0)
    total = np.zeros(seven.plan.encoding.length, dtype=np.uint32)
    for index, words in common.uploads.items():
        shares = {seven.plan.roster.index(n) + 1: r.self_shares[index] for n, r in releases.items()}
        b = combine(shares, threshold=5)
        digest = Context(at, OTHER_MODEL if index == 0 else MODEL, SETTINGS, tuple(range(7))).digest()
        stripped = words.copy()
        remove_mask(stripped, self_mask_seed(b, digest))
        assert np.count_nonzero(stripped == seven.encoded(seven.plan.roster.names[index])) == 0
        total += stripped
    with pytest.raises(EncodingRefused, match="no sum of updates"):
        seven.plan.encoding.decode(total)


def test_late_upload_after_being_declared_dropped_stays_hidden(seven: Federation) -> None:
    """Its pair masks can be stripped by then; its own mask cannot, since no share of b ever leaves."""
    started = seven.start(seven.deal(1))
    surviving = seven.uploads(started, without={"gus"})
    agreed = seven.signatures(surviving)
    releases = {n: Release.from_bytes(seven.sessions[n].release(m)) for n, m in agreed.outbox.items()}
    _, late = seven.upload("gus", started)
    assert isinstance(surviving.late("gus"), StageRefused)
    k = combine({seven.plan.roster.index(n) + 1: r.key_shares[6] for n, r in releases.items()}, threshold=5)
    at = RoundId.of(seven.plan, 1, attempt=0)
    seeds = unwrap(started.cohort.deals[6].wrapped, key=k, at=at, dealer=6, peers=[0, 1, 2, 3, 4, 5])
    for seed in seeds.values():  # gus comes last in the order of names, so it took every pair mask off
        add_mask(late, pair_mask_seed(seed, started.context))
    assert np.count_nonzero(late == seven.encoded("gus")) == 0
    everybody = {**surviving.payloads, 6: bytes(32)}
    said = SurvivorSet(seven.plan.hash, 1, 0, started.context, everybody).to_bytes()
    for name in seven.identities:
        with pytest.raises((StageRefused, SurvivorsRefused)):
            seven.sessions[name].sign_survivors(said)
    # One share of b, such as gus still holds of its own, opens nothing either.
    state = Uploaded.from_bytes(seven.stores["gus"].round(at, stage="uploaded"))
    remove_mask(
        late, self_mask_seed(combine({i + 1: state.shares[6][0] for i in range(7)}, threshold=1), started.context)
    )
    assert np.count_nonzero(late == seven.encoded("gus")) == 0


def test_statement_says_who_with_which_upload_over_which_context() -> None:
    base = statement(b"c" * 32, {0: b"p" * 32, 1: b"q" * 32})
    assert base != statement(b"d" * 32, {0: b"p" * 32, 1: b"q" * 32})
    assert base != statement(b"c" * 32, {0: b"q" * 32, 1: b"p" * 32})
    assert base != statement(b"c" * 32, {0: b"p" * 32, 2: b"q" * 32})
