"""Replies by institution become what the server relays next: the set-up of a run, and the shares dealt for a round.

The server holds no secret. It checks what it relays, so that one faulty member does not stop the others, who would
refuse: whose reply is missing or wrong is left out, the wrong ones are named in `faults`, and TooFewRefused is raised
once too few remain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fedcredit.privacy.secagg.agreement import offers_digest
from fedcredit.privacy.secagg.plan import Plan
from fedcredit.privacy.secagg.refusals import KeyRefused, SharesRefused
from fedcredit.privacy.secagg.replies import Faults, accept, require_round, require_sender
from fedcredit.privacy.secagg.round_messages import Deal
from fedcredit.privacy.secagg.setup_messages import (
    CapsuleDelivery,
    Capsules,
    ConfirmationDelivery,
    Confirmations,
    KeyList,
    KeyOffer,
)


@dataclass(frozen=True)
class Keyed:
    """After step 1: the offers that verify, and the message that goes to each of them."""

    plan: Plan
    offers: Mapping[int, KeyOffer]
    outbox: Mapping[str, bytes]
    faults: Faults


@dataclass(frozen=True)
class Capsuled:
    """After step 2: who sent capsules, and the message for each of them."""

    plan: Plan
    present: tuple[int, ...]
    outbox: Mapping[str, bytes]
    faults: Faults


@dataclass(frozen=True)
class Ready:
    """After step 3: the set-up as the server needs it later, and the confirmations for each (with the first deal)."""

    plan: Plan
    present: tuple[int, ...]
    outbox: Mapping[str, bytes]
    faults: Faults


@dataclass(frozen=True)
class Cohort:
    """After step 5: who dealt shares for a (round, attempt), and so may be in it."""

    plan: Plan
    round: int
    attempt: int
    present: tuple[int, ...]
    deals: Mapping[int, Deal]
    faults: Faults

    @property
    def names(self) -> tuple[str, ...]:
        """The cohort by name."""
        return tuple(self.plan.roster.names[index] for index in self.deals)


def relay_keys(plan: Plan, replies: Mapping[str, bytes]) -> Keyed:
    """From `KeyOffer`s to the list of all of them, the same for all. Raises TooFewRefused."""

    def check(index: int, data: bytes) -> KeyOffer:
        return require_sender(KeyOffer.from_bytes(data).verify(plan), index)

    offers, faults = accept(plan, replies, check)
    message = KeyList(plan.hash, {index: offer.to_bytes() for index, offer in offers.items()}).to_bytes()
    return Keyed(plan, offers, {plan.roster.names[index]: message for index in offers}, faults)


def relay_capsules(keyed: Keyed, replies: Mapping[str, bytes]) -> Capsuled:
    """From `Capsules` to each member's delivery: every earlier member's message, cut to the one ciphertext for it."""
    plan, digest = keyed.plan, offers_digest(keyed.offers)

    def check(index: int, data: bytes) -> Capsules:
        message = require_sender(Capsules.from_bytes(data).verify(plan), index)
        later = {other for other in keyed.offers if other > index}
        hashed = {other: hashlib.sha256(capsule).digest() for other, capsule in message.capsules.items()}
        if message.offers != digest or set(hashed) != later or hashed != message.digests:
            raise KeyRefused(
                "secagg capsules", found="ciphertexts that do not fit", expected="one for each later member"
            )
        return message

    messages, faults = accept(plan, {n: r for n, r in replies.items() if n in keyed.outbox}, check)
    outbox = {}
    for index in messages:
        cut = {
            sender: replace(message, capsules={index: message.capsules[index]}).to_bytes()
            for sender, message in messages.items()
            if sender < index
        }
        outbox[plan.roster.names[index]] = CapsuleDelivery(plan.hash, tuple(messages), cut).to_bytes()
    return Capsuled(plan, tuple(messages), outbox, faults)


def relay_confirmations(capsuled: Capsuled, replies: Mapping[str, bytes]) -> Ready:
    """From `Confirmations` to each member's delivery: the MACs of all others for it."""
    plan = capsuled.plan

    def check(index: int, data: bytes) -> Confirmations:
        message = require_sender(Confirmations.from_bytes(data), index)
        plan.require(message.plan)
        if set(message.macs) != set(capsuled.present) - {index}:
            raise KeyRefused("secagg confirmations", found="another set of members", expected="all who are there")
        return message

    messages, faults = accept(plan, {n: r for n, r in replies.items() if n in capsuled.outbox}, check)
    outbox = {}
    for index in messages:
        macs = {sender: message.macs[index] for sender, message in messages.items() if sender != index}
        outbox[plan.roster.names[index]] = ConfirmationDelivery(plan.hash, macs).to_bytes()
    return Ready(plan, tuple(messages), outbox, faults)


def gather_deals(ready: Ready, replies: Mapping[str, bytes], *, round_: int, attempt: int = 0) -> Cohort:
    """From `Deal`s for a (round, attempt) to its cohort. Raises TooFewRefused."""
    plan, everybody = ready.plan, set(ready.present)

    def check(index: int, data: bytes) -> Deal:
        message = require_sender(Deal.from_bytes(data).verify(plan), index)
        require_round(message, round_, attempt)
        if set(message.commitments) != everybody or set(message.sealed) != everybody - {index}:
            raise SharesRefused("secagg deal", found="shares for other members", expected="one for each of the run")
        return message

    known = {plan.roster.names[index] for index in ready.present}
    deals, faults = accept(plan, {n: r for n, r in replies.items() if n in known}, check)
    return Cohort(plan, round_, attempt, ready.present, deals, faults)
