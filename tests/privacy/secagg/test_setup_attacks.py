"""Lies about keys: each institution stops with a named refusal, and no secret is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedcredit.privacy.secagg import Encoding, Plan, Roster, relay_capsules, relay_confirmations, relay_keys
from fedcredit.privacy.secagg.agreement import RunKeys
from fedcredit.privacy.secagg.refusals import (
    KeyRefused,
    MessageRefused,
    PlanRefused,
    StageRefused,
    SuiteRefused,
    TooFewRefused,
)
from fedcredit.privacy.secagg.session import ClientSession
from fedcredit.privacy.secagg.setup_messages import (
    CapsuleDelivery,
    Capsules,
    ConfirmationDelivery,
    KeyList,
    KeyOffer,
)
from fedcredit.privacy.secagg.signed import UNSIGNED
from fedcredit.privacy.secagg.store import Store
from fedcredit.privacy.secagg.wire import SUITE
from fedcredit.trust.keys import ED25519_SIGNATURE, Identity
from tests.privacy.secagg.simulator import Federation, Identities, in_run


@pytest.fixture
def fresh(identities: Identities) -> Federation:
    """Four institutions with nothing done yet."""
    return Federation.of(identities, 4)


def offered(federation: Federation) -> dict[int, KeyOffer]:
    """Everybody's offer by index."""
    messages = [KeyOffer.from_bytes(session.offer_keys()) for session in federation.sessions.values()]
    return {message.sender: message for message in messages}


def answer(federation: Federation, name: str, offers: dict[int, KeyOffer]) -> bytes:
    """What an institution answers to these offers."""
    listed = KeyList(federation.plan.hash, {index: offer.to_bytes() for index, offer in offers.items()})
    return federation.sessions[name].encapsulate(listed.to_bytes())


def test_swapped_keys_of_the_server_are_refused(fresh: Federation) -> None:
    offers = offered(fresh)
    x25519, mlkem = RunKeys.generate().public()
    with pytest.raises(KeyRefused, match="pinned identity"):
        answer(fresh, "ada", {**offers, 1: replace(offers[1], x25519=x25519, mlkem=mlkem)})


def test_keys_of_one_institution_in_the_place_of_another_are_refused(fresh: Federation) -> None:
    offers = offered(fresh)
    with pytest.raises(KeyRefused, match="another's place"):
        answer(fresh, "ada", {**offers, 1: offers[2]})


def test_keys_signed_by_an_identity_that_the_server_brings_along_are_refused(fresh: Federation) -> None:
    offers = offered(fresh)
    forged = replace(offers[1], signature=UNSIGNED).signed(Identity.generate())
    with pytest.raises(KeyRefused, match="pinned identity"):
        answer(fresh, "ada", {**offers, 1: forged})


def test_fake_extra_institutions_are_refused(fresh: Federation) -> None:
    """A server that fills the cohort with its own inventions would know every mask but one's own."""
    offers = offered(fresh)
    stranger = replace(offers[1], sender=4).signed(Identity.generate())
    with pytest.raises(KeyRefused, match="outside of the roster"):
        answer(fresh, "ada", {**offers, 4: stranger})
    with pytest.raises(KeyRefused, match="outside of the roster"):
        fresh.plan.roster.index("mallory")


def test_one_identity_under_two_names_is_no_roster(identities: Identities) -> None:
    same = identities["ada"].public
    with pytest.raises(KeyRefused, match="two names"):
        Roster({"ada": same, "bob": same, "cyd": identities["cyd"].public, "dan": identities["dan"].public})


@pytest.mark.parametrize("count", [2, 3])
def test_two_institution_aggregation_is_refused_and_so_is_three(identities: Identities, count: int) -> None:
    with pytest.raises(TooFewRefused, match="4 to"):
        Federation.of(identities, count)


@pytest.mark.parametrize("half", ["classical only", "post-quantum only"])
def test_signature_of_one_half_is_refused(fresh: Federation, half: str) -> None:
    offers = offered(fresh)
    good = offers[1].signature
    cut = ED25519_SIGNATURE
    signature = good[:cut] + bytes(len(good) - cut) if half == "classical only" else bytes(cut) + good[cut:]
    with pytest.raises(KeyRefused, match="both valid"):
        answer(fresh, "ada", {**offers, 1: replace(offers[1], signature=signature)})


@pytest.mark.parametrize("suite", [SUITE.replace(b"v1", b"v0"), SUITE.replace(b"+ML-KEM-768", b""), b"", b"x" * 500])
def test_downgraded_suite_is_refused(fresh: Federation, suite: bytes) -> None:
    offers = offered(fresh)
    whole = KeyList(fresh.plan.hash, {i: o.to_bytes() for i, o in offers.items()}).to_bytes()
    downgraded = len(suite).to_bytes(4, "big") + suite + whole[4 + len(SUITE) :]
    with pytest.raises(SuiteRefused):
        fresh.sessions["ada"].encapsulate(downgraded)


def test_keys_from_another_run_are_refused(fresh: Federation) -> None:
    other = in_run(fresh, "run-2")
    replayed = offered(other)
    mine = offered(fresh)
    with pytest.raises(PlanRefused, match="another run"):
        answer(fresh, "ada", {**mine, 1: replayed[1]})


@pytest.mark.parametrize("change", ["schema", "range", "roster"])
def test_another_schema_encoding_or_roster_is_another_plan(
    fresh: Federation, identities: Identities, change: str
) -> None:
    plan = fresh.plan
    changed = {
        "schema": lambda: Plan(plan.run_id, plan.roster, b"y" * 32, plan.encoding),
        "range": lambda: Plan(plan.run_id, plan.roster, plan.schema_sha256, replace(plan.encoding, real_range=2.0)),
        "roster": lambda: Federation.of(identities, 5).plan,
    }[change]()
    assert changed.hash != plan.hash
    with pytest.raises(PlanRefused):
        plan.require(changed.hash)


def test_encoding_for_another_number_of_institutions_is_refused(fresh: Federation) -> None:
    with pytest.raises(PlanRefused, match="encoding for 3"):
        Plan("run", fresh.plan.roster, bytes(32), Encoding(8, 1.0, 3))


def test_another_identity_than_the_pinned_one_cannot_open_a_session(fresh: Federation) -> None:
    with pytest.raises(KeyRefused, match="under our name"):
        ClientSession(fresh.plan, "ada", Identity.generate(), Store())


def test_list_without_our_own_keys_is_refused(fresh: Federation, identities: Identities) -> None:
    five = Federation.of(identities, 5)
    offers = offered(five)
    with pytest.raises(KeyRefused, match="in our place"):
        answer(five, "ada", {index: offer for index, offer in offers.items() if index != 0})


def test_too_few_keys_are_refused(fresh: Federation) -> None:
    offers = offered(fresh)
    with pytest.raises(TooFewRefused):
        answer(fresh, "ada", {index: offers[index] for index in (0, 1, 2)})


def test_members_who_were_shown_different_keys_do_not_agree(identities: Identities) -> None:
    """Each list verifies by itself; a server that shows one member fewer than another is found at the next message."""
    federation = Federation.of(identities, 5)
    offers = offered(federation)
    answers = {name: answer(federation, name, offers) for name in ("ada", "bob", "cyd", "dan")}
    answer(federation, "eve", {index: offers[index] for index in (1, 2, 3, 4)})
    cut = {i: replace(Capsules.from_bytes(answers[n]), capsules={}) for i, n in enumerate(answers)}
    sent = {
        index: replace(message, capsules={4: Capsules.from_bytes(answers[name]).capsules[4]}).to_bytes()
        for (index, message), name in zip(cut.items(), answers, strict=True)
        if index > 0
    }
    delivery = CapsuleDelivery(federation.plan.hash, (1, 2, 3, 4), sent)
    with pytest.raises(KeyRefused, match="saw other keys"):
        federation.sessions["eve"].agree(delivery.to_bytes())


def capsuled(federation: Federation) -> dict[str, bytes]:
    """Everybody's delivery of ciphertexts, honest."""
    keyed = relay_keys(federation.plan, {name: session.offer_keys() for name, session in federation.sessions.items()})
    answers = {name: federation.sessions[name].encapsulate(message) for name, message in keyed.outbox.items()}
    return dict(relay_capsules(keyed, answers).outbox)


def swapped(message: Capsules, federation: Federation) -> Capsules:
    """The server's own ciphertext in the place of the sender's: what breaks X25519 would else be half of an attack."""
    del federation
    return replace(message, capsules={3: bytes(1088)})


def resigned(message: Capsules, federation: Federation) -> Capsules:
    """The server's own ciphertext with its own signature."""
    return replace(swapped(message, federation), signature=UNSIGNED).signed(Identity.generate())


@pytest.mark.parametrize("lie", [swapped, resigned])
def test_swapped_ciphertext_is_refused(fresh: Federation, lie: Callable[[Capsules, Federation], Capsules]) -> None:
    delivery = CapsuleDelivery.from_bytes(capsuled(fresh)["dan"])
    lied = lie(Capsules.from_bytes(delivery.capsules[0]), fresh).to_bytes()
    with pytest.raises(KeyRefused):
        fresh.sessions["dan"].agree(replace(delivery, capsules={**delivery.capsules, 0: lied}).to_bytes())


def confirmed(federation: Federation) -> dict[str, bytes]:
    """Everybody's delivery of confirmations, honest."""
    keyed = relay_keys(federation.plan, {name: session.offer_keys() for name, session in federation.sessions.items()})
    answers = {name: federation.sessions[name].encapsulate(message) for name, message in keyed.outbox.items()}
    given = relay_capsules(keyed, answers)
    macs = {name: federation.sessions[name].agree(message) for name, message in given.outbox.items()}
    return dict(relay_confirmations(given, macs).outbox)


def test_wrong_confirmation_is_refused_before_any_secret_is_used(fresh: Federation) -> None:
    delivery = ConfirmationDelivery.from_bytes(confirmed(fresh)["ada"])
    reflected = {**delivery.macs, 1: delivery.macs[2]}
    with pytest.raises(KeyRefused, match="another secret"):
        fresh.sessions["ada"].confirm(replace(delivery, macs=reflected).to_bytes())
    with pytest.raises(StageRefused, match="'confirmed'"):
        fresh.sessions["ada"].deal(1)


def test_a_members_own_mac_reflected_to_it_confirms_nothing(fresh: Federation) -> None:
    deliveries = {name: ConfirmationDelivery.from_bytes(data) for name, data in confirmed(fresh).items()}
    ours_to_bob = deliveries["bob"].macs[0]
    macs = {**deliveries["ada"].macs, 1: ours_to_bob}
    with pytest.raises(KeyRefused, match="another secret"):
        fresh.sessions["ada"].confirm(replace(deliveries["ada"], macs=macs).to_bytes())


def test_stage_skipped_is_refused(fresh: Federation) -> None:
    ada = fresh.sessions["ada"]
    for step in (
        lambda: ada.encapsulate(KeyList(fresh.plan.hash, {}).to_bytes()),
        lambda: ada.agree(CapsuleDelivery(fresh.plan.hash, (), {}).to_bytes()),
        lambda: ada.confirm(ConfirmationDelivery(fresh.plan.hash, {}).to_bytes()),
        lambda: ada.deal(1),
    ):
        with pytest.raises(StageRefused, match="nothing begun"):
            step()


def test_set_up_message_replayed_is_refused_even_after_a_restart(fresh: Federation) -> None:
    offers = offered(fresh)
    answer(fresh, "ada", offers)
    fresh.restart("ada")
    with pytest.raises(StageRefused):
        answer(fresh, "ada", offers)
    with pytest.raises(StageRefused):
        fresh.sessions["ada"].offer_keys()


def test_faulty_institution_is_named_and_left_out_while_the_others_go_on(identities: Identities) -> None:
    federation = Federation.of(identities, 5)
    replies = {name: session.offer_keys() for name, session in federation.sessions.items()}
    keyed = relay_keys(federation.plan, {**replies, "cyd": replies["dan"], "mallory": replies["ada"]})
    assert set(keyed.outbox) == {"ada", "bob", "dan", "eve"}
    assert {name: type(error) for name, error in keyed.faults.items()} == {"cyd": KeyRefused, "mallory": KeyRefused}


def test_cut_message_is_refused(fresh: Federation) -> None:
    offers = offered(fresh)
    whole = KeyList(fresh.plan.hash, {i: o.to_bytes() for i, o in offers.items()}).to_bytes()
    for broken in (whole[:-1], whole + b"\0", whole[: len(whole) // 2]):
        with pytest.raises(MessageRefused):
            fresh.sessions["ada"].encapsulate(broken)
