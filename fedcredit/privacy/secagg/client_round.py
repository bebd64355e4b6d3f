"""An institution's side of a round: a state and a message become the next state and the next message.

What leaves here and why it may:
- a masked vector, of a (round, attempt) that was dealt for, once;
- one signature over one survivor set that contains us, with our own upload and our own context in it;
- after at least t signatures on that same set: for each member of the cohort a share of b *or* of k, never both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fedcredit.privacy.secagg import dealing
from fedcredit.privacy.secagg.client_setup import require_enough
from fedcredit.privacy.secagg.context import (
    Context,
    base_seed,
    pair_mask_seed,
    self_mask_seed,
    statement,
)
from fedcredit.privacy.secagg.differencing import Summed, require_same
from fedcredit.privacy.secagg.encoding import Words
from fedcredit.privacy.secagg.masks import add_mask, remove_mask
from fedcredit.privacy.secagg.member import Member
from fedcredit.privacy.secagg.refusals import (
    ContextRefused,
    EncodingRefused,
    KeyRefused,
    SharesRefused,
    SurvivorsRefused,
)
from fedcredit.privacy.secagg.round_messages import (
    Release,
    RoundStart,
    SignatureSet,
    SurvivorSet,
    SurvivorSignature,
    UploadHeader,
)
from fedcredit.privacy.secagg.states import Dealt, Paired, SurvivorsSigned, Uploaded


def require_start(me: Member, paired: Paired, start: RoundStart) -> None:
    """Return if we may take part: we are in the cohort, it is large enough, all of it is paired with us."""
    me.plan.require(start.plan)
    require_enough(me, len(start.cohort), where="secagg cohort")
    others = set(start.cohort) - {me.index}
    if me.index not in start.cohort or not others <= set(paired.secrets):
        raise SurvivorsRefused(
            "secagg cohort", found="a cohort without us, or with a stranger", expected="set-up peers"
        )
    if set(start.sealed) != others or set(start.commitments) != others:
        raise SharesRefused("secagg cohort", found="shares of other members", expected="one of each of the cohort")


def require_cohort_same(me: Member, cohort: Iterable[int], *, weighing: bytes, signed: list[Summed]) -> None:
    """Return if a sum over this set is the same as those signed over the same model or in the same round."""
    require_same(Summed(me.plan.roster.named(cohort), weighing), signed)


def masked(me: Member, paired: Paired, dealt: Dealt, *, context: Context, encoded: Words) -> Words:
    """The encoded update plus our own mask, plus a mask with each later and minus one with each earlier member."""
    if encoded.dtype != me.plan.encoding.dtype or encoded.shape != (me.plan.encoding.length,):
        raise EncodingRefused(
            "update", found=f"{encoded.dtype} {encoded.shape}", expected="what the plan's encoding makes"
        )
    words, digest = encoded.copy(), context.digest()
    add_mask(words, self_mask_seed(dealt.b, digest))
    for peer in context.cohort:
        if peer != me.index:
            seed = pair_mask_seed(base_seed(paired.secrets[peer], context.at), digest)
            (add_mask if me.index < peer else remove_mask)(words, seed)
    return words


def payload_digest(words: Words) -> bytes:
    """SHA-256 of the masked vector, little-endian words."""
    return hashlib.sha256(words.astype(words.dtype.newbyteorder("<"), copy=False).data).digest()


def upload(
    me: Member, paired: Paired, dealt: Dealt, *, start: RoundStart, context: Context, encoded: Words, weighing: bytes
) -> tuple[Uploaded, UploadHeader, Words]:
    """The masked update with a signed header, and the shares that we hold from now on."""
    shares = {me.index: dealt.own, **dealing.open_shares(me, paired, start)}
    words = masked(me, paired, dealt, context=context, encoded=encoded)
    digest, payload = context.digest(), payload_digest(words)
    at = context.at
    header = UploadHeader(at.plan, at.round, at.attempt, me.index, digest, payload).signed(me.identity)
    return Uploaded(digest, context.model_sha256, payload, context.cohort, shares, weighing), header, words


def sign_survivors(me: Member, state: Uploaded, chosen: SurvivorSet) -> tuple[SurvivorsSigned, SurvivorSignature]:
    """Our signature on this set. Raises ContextRefused, SurvivorsRefused or TooFewRefused if it is not one to sign."""
    me.plan.require(chosen.plan)
    require_enough(me, len(chosen.payloads), where="secagg survivors")
    if chosen.context != state.context:
        raise ContextRefused(
            "secagg survivors",
            found="a set over another model, other settings or another cohort than we were given",
            expected="the same for all",
        )
    if not set(chosen.payloads) <= set(state.cohort):
        raise SurvivorsRefused("secagg survivors", found="somebody outside of the cohort", expected="members of it")
    if chosen.payloads.get(me.index) != state.payload:
        raise SurvivorsRefused("secagg survivors", found="a set without the upload we sent", expected="it among them")
    said = statement(state.context, chosen.payloads)
    message = SurvivorSignature(chosen.plan, chosen.round, chosen.attempt, me.index, said).signed(me.identity)
    return SurvivorsSigned(said, tuple(chosen.payloads), state.cohort, state.shares), message


def require_quorum(me: Member, state: SurvivorsSigned, given: SignatureSet) -> None:
    """Return if at least t survivors signed the very set that we did. Raises SurvivorsRefused otherwise.

    One signature that does not verify is a lying server, since an honest one checks them first. The first t in order
    are enough: more would prove nothing further.
    """
    me.plan.require(given.plan)
    at = (given.plan, given.round, given.attempt)
    threshold, found = me.plan.roster.threshold, 1  # ours
    for signer, signature in given.signatures.items():
        if found >= threshold:
            break
        if signer == me.index:
            continue
        if signer not in state.survivors:
            raise SurvivorsRefused(
                "secagg signatures", found="one of somebody who is no survivor", expected="survivors'"
            )
        try:
            SurvivorSignature(*at, signer, state.statement, signature).verify(me.plan)
        except KeyRefused:
            raise SurvivorsRefused(
                "secagg signatures",
                found="one that is not the signer's on this set",
                expected="all on the set we signed",
            ) from None
        found += 1
    if found < threshold:
        raise SurvivorsRefused("secagg signatures", found=f"{found} on this set", expected=f"at least {threshold}")


def release(me: Member, state: SurvivorsSigned, given: SignatureSet) -> Release:
    """Our shares of b of the survivors and of k of the others of the cohort: one of each, never both."""
    require_quorum(me, state, given)
    gone = set(state.cohort) - set(state.survivors)
    self_shares = {index: state.shares[index][0] for index in state.survivors}
    key_shares = {index: state.shares[index][1] for index in sorted(gone)}
    return Release(given.plan, given.round, given.attempt, me.index, self_shares, key_shares)
