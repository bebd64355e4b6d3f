"""Replies by institution become what the server sends next in a round: start, survivor set, signature set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.privacy.secagg.client_round import payload_digest
from fedcredit.privacy.secagg.context import Context, RoundId, statement
from fedcredit.privacy.secagg.encoding import Words
from fedcredit.privacy.secagg.plan import Plan
from fedcredit.privacy.secagg.refusals import ContextRefused, MessageRefused, StageRefused, SurvivorsRefused
from fedcredit.privacy.secagg.replies import Faults, accept, require_round, require_sender
from fedcredit.privacy.secagg.round_messages import (
    RoundStart,
    SignatureSet,
    SurvivorSet,
    SurvivorSignature,
    UploadHeader,
)
from fedcredit.privacy.secagg.server_setup import Cohort


@dataclass(frozen=True)
class Started:
    """After the start of step 6: the context, and the message for each of the cohort."""

    cohort: Cohort
    context: bytes
    outbox: Mapping[str, bytes]

    @property
    def plan(self) -> Plan:
        """The run's plan."""
        return self.cohort.plan


@dataclass(frozen=True)
class Surviving:
    """After step 6: whose uploads are in (nobody's is any more), and the survivor set for each of them."""

    started: Started
    uploads: Mapping[int, Words]
    payloads: Mapping[int, bytes]
    outbox: Mapping[str, bytes]
    faults: Faults

    @property
    def survivors(self) -> tuple[str, ...]:
        """The survivors by name."""
        return tuple(self.started.plan.roster.names[index] for index in self.uploads)

    def late(self, name: str) -> StageRefused:
        """Why an upload that comes now is thrown away: its sender's masks are about to be opened."""
        return StageRefused(
            f"secagg upload of {name!r}",
            found="an upload after the survivor set was fixed",
            expected="none: discard it",
        )


@dataclass(frozen=True)
class Agreed:
    """After step 7: at least t signatures on the survivor set, and the message that carries them."""

    surviving: Surviving
    outbox: Mapping[str, bytes]
    faults: Faults


def start_round(cohort: Cohort, *, model_sha256: bytes, settings_sha256: bytes) -> Started:
    """Each member's `RoundStart`, to travel with the global model and the settings that the digests are of."""
    members = tuple(cohort.deals)
    at = RoundId(cohort.plan.hash, cohort.round, cohort.attempt)
    outbox = {}
    for index in members:
        others = {dealer: deal for dealer, deal in cohort.deals.items() if dealer != index}
        outbox[cohort.plan.roster.names[index]] = RoundStart(
            at.plan,
            at.round,
            at.attempt,
            members,
            {dealer: deal.sealed[index] for dealer, deal in others.items()},
            {dealer: deal.commitments[index] for dealer, deal in others.items()},
        ).to_bytes()
    return Started(cohort, Context(at, model_sha256, settings_sha256, members).digest(), outbox)


def gather_uploads(started: Started, replies: Mapping[str, tuple[bytes, Words]]) -> Surviving:
    """From headers and masked words to the survivor set. Who is not in it by now is dropped, for this attempt.

    Raises TooFewRefused, and then nothing was revealed.
    """
    plan, cohort = started.plan, started.cohort

    def check(index: int, reply: tuple[bytes, Words]) -> tuple[bytes, Words]:
        data, words = reply
        header = require_sender(UploadHeader.from_bytes(data).verify(plan), index)
        require_round(header, cohort.round, cohort.attempt)
        if header.context != started.context:
            raise ContextRefused("secagg upload", found="another model, settings or cohort", expected="this round's")
        if words.dtype != plan.encoding.dtype or words.shape != (plan.encoding.length,):
            raise MessageRefused("secagg upload", found=f"{words.dtype} {words.shape}", expected="the encoding's words")
        if payload_digest(words) != header.payload:
            raise MessageRefused("secagg upload", found="other words than were signed", expected="the sender's")
        return header.payload, words

    good, faults = accept(plan, {n: r for n, r in replies.items() if n in started.outbox}, check)
    payloads = {index: payload for index, (payload, _) in good.items()}
    at = (plan.hash, cohort.round, cohort.attempt)
    message = SurvivorSet(*at, started.context, payloads).to_bytes()
    outbox = {plan.roster.names[index]: message for index in good}
    return Surviving(started, {index: words for index, (_, words) in good.items()}, payloads, outbox, faults)


def gather_signatures(surviving: Surviving, replies: Mapping[str, bytes]) -> Agreed:
    """From `SurvivorSignature`s to the set of them. Raises TooFewRefused below t, and then nothing is revealed."""
    started = surviving.started
    plan, cohort = started.plan, started.cohort
    said = statement(started.context, surviving.payloads)

    def check(index: int, data: bytes) -> bytes:
        message = require_sender(SurvivorSignature.from_bytes(data).verify(plan), index)
        require_round(message, cohort.round, cohort.attempt)
        if message.statement != said:
            raise SurvivorsRefused("secagg signature", found="one on another set", expected="this survivor set")
        return message.signature

    candidates = {name: data for name, data in replies.items() if name in surviving.outbox}
    signatures, faults = accept(plan, candidates, check, least=plan.roster.threshold)
    enough = dict(list(signatures.items())[: plan.roster.threshold])  # 3.4 kB each, and members check no more
    message = SignatureSet(plan.hash, cohort.round, cohort.attempt, enough).to_bytes()
    return Agreed(surviving, dict.fromkeys(surviving.outbox, message), faults)
