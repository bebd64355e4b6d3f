"""An institution's side of the set-up: a state and a message become the next state and the next message."""

from __future__ import annotations

import hashlib
from hmac import compare_digest

from fedcredit.privacy.secagg.agreement import (
    PairTranscript,
    RunKeys,
    confirmation,
    decapsulate,
    encapsulate,
    offers_digest,
)
from fedcredit.privacy.secagg.member import Member
from fedcredit.privacy.secagg.refusals import KeyRefused, TooFewRefused
from fedcredit.privacy.secagg.setup_messages import (
    CapsuleDelivery,
    Capsules,
    ConfirmationDelivery,
    Confirmations,
    KeyList,
    KeyOffer,
)
from fedcredit.privacy.secagg.states import Encapsulated, Offered, Paired


def offer_keys(me: Member) -> tuple[Offered, KeyOffer]:
    """New keys for this run, signed."""
    keys = RunKeys.generate()
    x25519, mlkem = keys.public()
    offer = KeyOffer(me.plan.hash, me.index, x25519, mlkem).signed(me.identity)
    return Offered(keys.x25519, keys.mlkem), offer


def verified_offers(me: Member, offers: dict[int, bytes]) -> dict[int, KeyOffer]:
    """All offers, each signed by the identity that *we* pinned for its place. Raises KeyRefused if one is not."""
    found = {}
    for index, data in offers.items():
        offer = KeyOffer.from_bytes(data).verify(me.plan)
        if offer.sender != index:
            raise KeyRefused("secagg keys", found="keys in another's place", expected="each in its own")
        found[index] = offer
    return found


def answer_keys(me: Member, state: Offered, key_list: KeyList) -> tuple[Encapsulated, Capsules]:
    """Every signature checked, and a secret encapsulated to each later member."""
    me.plan.require(key_list.plan)
    offers = verified_offers(me, dict(key_list.offers))
    require_enough(me, len(offers), where="secagg keys")
    mine = offers.get(me.index)
    if mine is None or (mine.x25519, mine.mlkem) != state.keys.public():
        raise KeyRefused("secagg keys", found="other keys in our place, or none", expected="those that we signed")
    digest, secrets, capsules = offers_digest(offers), {}, {}
    for index in sorted(offers):
        if index > me.index:
            pair = PairTranscript(me.plan.hash, digest, mine, offers[index])
            secrets[index], capsules[index] = encapsulate(state.keys, pair)
    digests = {index: hashlib.sha256(capsule).digest() for index, capsule in capsules.items()}
    message = Capsules(capsules, me.plan.hash, me.index, digest, digests).signed(me.identity)
    return Encapsulated(state.x25519, state.mlkem, key_list.offers, secrets), message


def agree(me: Member, state: Encapsulated, delivery: CapsuleDelivery) -> tuple[Paired, Confirmations]:
    """A secret with everybody who is still there, and for each of them the proof that we have it."""
    me.plan.require(delivery.plan)
    present = [index for index in delivery.present if index != me.index]
    require_enough(me, len(present) + 1, where="secagg capsules")
    earlier = {index for index in present if index < me.index}
    if not set(present) <= set(state.offers) or set(delivery.capsules) != earlier:
        raise KeyRefused("secagg capsules", found="another set of members", expected="those whose keys we verified")
    offers = {index: KeyOffer.from_bytes(data) for index, data in state.offers.items()}
    digest = offers_digest(offers)
    secrets = {index: state.secrets[index] for index in present if index > me.index}
    keys = RunKeys(state.x25519, state.mlkem)
    for index in sorted(earlier):
        capsule = capsule_for(me, delivery.capsules[index], sender=index, offers=digest)
        pair = PairTranscript(me.plan.hash, digest, offers[index], offers[me.index])
        secrets[index] = decapsulate(keys, pair, capsule=capsule)
    macs = {peer: confirmation(secret, sender=me.index, receiver=peer) for peer, secret in secrets.items()}
    return Paired(secrets), Confirmations(me.plan.hash, me.index, macs)


def capsule_for(me: Member, data: bytes, *, sender: int, offers: bytes) -> bytes:
    """The ciphertext that the sender signed for us, over the same offers that we saw."""
    message = Capsules.from_bytes(data).verify(me.plan)
    if message.sender != sender or message.offers != offers:
        raise KeyRefused("secagg capsules", found="a member that saw other keys than we did", expected="the same keys")
    capsule = message.capsules.get(me.index, b"")
    if hashlib.sha256(capsule).digest() != message.digests.get(me.index):
        raise KeyRefused("secagg capsules", found="another ciphertext than was signed", expected="the sender's")
    return capsule


def check_confirmations(me: Member, state: Paired, delivery: ConfirmationDelivery) -> Paired:
    """The secrets that are confirmed by the peer's MAC. Raises KeyRefused if one MAC is wrong."""
    me.plan.require(delivery.plan)
    require_enough(me, len(delivery.macs) + 1, where="secagg confirmations")
    for peer, mac in delivery.macs.items():
        secret = state.secrets.get(peer)
        if secret is None or not compare_digest(mac, confirmation(secret, sender=peer, receiver=me.index)):
            raise KeyRefused(
                "secagg confirmations",
                found="a member with another secret than ours",
                expected="the same on both sides",
                hint="somebody between you two changed a key or a ciphertext",
            )
    return Paired({peer: state.secrets[peer] for peer in delivery.macs})


def require_enough(me: Member, present: int, *, where: str) -> None:
    """Return if at least the threshold and the least cohort are there. Raises TooFewRefused otherwise."""
    if present < me.plan.roster.least:
        raise TooFewRefused(
            where,
            found=f"{present} institutions",
            expected=f"at least {me.plan.roster.least} of the roster's {len(me.plan.roster.names)}",
            hint="wait for the others and begin again under a new run id or attempt",
        )
