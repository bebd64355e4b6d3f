"""A member that lies about its shares is named, and the others' round goes on where it can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedcredit.privacy.secagg import gather_deals, unmask
from fedcredit.privacy.secagg.context import RoundId
from fedcredit.privacy.secagg.dealing import SELF, secret_commitment
from fedcredit.privacy.secagg.refusals import KeyRefused, SharesRefused, SurvivorsRefused
from fedcredit.privacy.secagg.round_messages import Deal, Release, SurvivorSignature
from fedcredit.privacy.secagg.server_round import gather_signatures
from fedcredit.privacy.secagg.signed import UNSIGNED
from tests.privacy.secagg.simulator import Federation

ALL7 = {"ada", "bob", "cyd", "dan", "eve", "fay", "gus"}


def test_wrong_share_at_unmasking_names_who_released_it_and_the_round_goes_on(seven: Federation) -> None:
    agreed = seven.signatures(seven.uploads(seven.start(seven.deal(1))))
    replies = {name: seven.sessions[name].release(message) for name, message in agreed.outbox.items()}
    good = Release.from_bytes(replies["bob"])
    lied = replace(good, self_shares={**good.self_shares, 0: good.self_shares[1]})
    unmasked = unmask(agreed, {**replies, "bob": lied.to_bytes()})
    seven.assert_sum(unmasked, ALL7)
    assert isinstance(unmasked.faults["bob"], SharesRefused)


def test_release_that_somebody_else_forged_is_left_out(seven: Federation) -> None:
    agreed = seven.signatures(seven.uploads(seven.start(seven.deal(1))))
    replies = {name: seven.sessions[name].release(message) for name, message in agreed.outbox.items()}
    good = Release.from_bytes(replies["bob"])
    other = Release.from_bytes(replies["dan"]).self_shares  # shares are what a dealer committed to for one holder
    forged = replace(good, self_shares=other).to_bytes()
    unmasked = unmask(agreed, {**replies, "bob": forged, "cyd": replies["dan"]})
    seven.assert_sum(unmasked, ALL7)
    assert {name: type(fault) for name, fault in unmasked.faults.items()} == {"bob": SharesRefused, "cyd": KeyRefused}


def test_dealer_whose_shares_open_to_no_secret_it_committed_to_is_named(seven: Federation) -> None:
    assert seven.ready is not None
    deals = {name: session.deal(1) for name, session in seven.sessions.items()}
    good = Deal.from_bytes(deals["eve"])
    other = secret_commitment(b"?" * 32, at=RoundId.of(seven.plan, 1, attempt=0), dealer=4, which=SELF)
    lied = replace(good, secrets=(other, good.secrets[1]), signature=UNSIGNED).signed(seven.identities["eve"])
    cohort = gather_deals(seven.ready, {**deals, "eve": lied.to_bytes()}, round_=1)
    agreed = seven.signatures(seven.uploads(seven.start(cohort)))
    with pytest.raises(SharesRefused, match="dealt by 'eve'"):
        seven.unmask(agreed)


def test_dealer_whose_sealed_share_is_not_the_committed_one_is_named_by_its_holder(seven: Federation) -> None:
    assert seven.ready is not None
    deals = {name: session.deal(1) for name, session in seven.sessions.items()}
    good = Deal.from_bytes(deals["eve"])
    lied = replace(good, commitments={**good.commitments, 0: good.commitments[1]}, signature=UNSIGNED)
    cohort = gather_deals(seven.ready, {**deals, "eve": lied.signed(seven.identities["eve"]).to_bytes()}, round_=1)
    with pytest.raises(SharesRefused, match="'eve'"):
        seven.upload("ada", seven.start(cohort))


def test_deal_for_others_than_the_run_is_left_out(seven: Federation) -> None:
    assert seven.ready is not None
    deals = {name: session.deal(1) for name, session in seven.sessions.items()}
    good = Deal.from_bytes(deals["eve"])
    fewer = replace(good, sealed={i: s for i, s in good.sealed.items() if i != 0}, signature=UNSIGNED)
    cohort = gather_deals(seven.ready, {**deals, "eve": fewer.signed(seven.identities["eve"]).to_bytes()}, round_=1)
    assert set(cohort.names) == ALL7 - {"eve"}
    assert isinstance(cohort.faults["eve"], SharesRefused)


def test_signature_on_another_survivor_set_is_left_out(seven: Federation) -> None:
    surviving = seven.uploads(seven.start(seven.deal(1)))
    replies = {name: seven.sessions[name].sign_survivors(message) for name, message in surviving.outbox.items()}
    other = replace(SurvivorSignature.from_bytes(replies["ada"]), statement=bytes(32), signature=UNSIGNED)
    agreed = gather_signatures(surviving, {**replies, "ada": other.signed(seven.identities["ada"]).to_bytes()})
    assert isinstance(agreed.faults["ada"], SurvivorsRefused)
    seven.assert_sum(seven.unmask(agreed), ALL7)
