"""One round ahead, a member's fresh secrets become a sealed share for everybody; a holder opens and checks its own.

b makes the member's own mask, k wraps the seeds of its masks with others. After the uploads the survivors open b of who
survived (its update is in the sum) or k of who did not (its pair masks must go), never both. It is k that is shared and
not a key of the agreement: an ML-KEM secret cannot be derived again from a share of a private key, and k is of one
(round, attempt), so that opening it says nothing about another.
"""

from __future__ import annotations

import secrets

from fedcredit.privacy.secagg.context import RoundId, base_seed
from fedcredit.privacy.secagg.member import Member
from fedcredit.privacy.secagg.refusals import SharesRefused
from fedcredit.privacy.secagg.round_messages import Deal, RoundStart
from fedcredit.privacy.secagg.sealing import seal, unseal, wrap
from fedcredit.privacy.secagg.states import Dealt, Paired
from fedcredit.privacy.shamir import commitment, split
from fedcredit.trust.keys import transcript

SELF, KEY = b"b", b"k"  # which of a dealer's two secrets


def share_commitment(share: bytes, *, at: RoundId, dealer: int, holder: int, which: bytes) -> bytes:
    """The dealer's commitment to one share: for this holder, of this secret, in this (round, attempt)."""
    who = (dealer.to_bytes(2, "big"), holder.to_bytes(2, "big"))
    return commitment(share, context=transcript(b"share", which, at.to_bytes(), *who))


def secret_commitment(secret: bytes, *, at: RoundId, dealer: int, which: bytes) -> bytes:
    """The dealer's commitment to b or k itself, so that shares of no one secret are known as the dealer's fault."""
    return commitment(secret, context=transcript(b"secret", which, at.to_bytes(), dealer.to_bytes(2, "big")))


def deal(me: Member, paired: Paired, at: RoundId) -> tuple[Dealt, Deal]:
    """Fresh b and k, shared among all of the run; the base seeds with all peers, wrapped under k."""
    b, k = secrets.token_bytes(32), secrets.token_bytes(32)
    holders = sorted([*paired.secrets, me.index])
    threshold = me.plan.roster.threshold
    of_b, of_k = (split(value, threshold=threshold, holders=[index + 1 for index in holders]) for value in (b, k))
    shares = {index: (of_b[index + 1], of_k[index + 1]) for index in holders}
    sealed = {
        peer: seal(shares[peer], secret=secret, at=at, dealer=me.index, holder=peer)
        for peer, secret in paired.secrets.items()
    }
    commitments = {
        holder: (
            share_commitment(pair[0], at=at, dealer=me.index, holder=holder, which=SELF),
            share_commitment(pair[1], at=at, dealer=me.index, holder=holder, which=KEY),
        )
        for holder, pair in shares.items()
    }
    committed = tuple(secret_commitment(s, at=at, dealer=me.index, which=w) for s, w in ((b, SELF), (k, KEY)))
    seeds = {peer: base_seed(secret, at) for peer, secret in paired.secrets.items()}
    wrapped = wrap(seeds, key=k, at=at, dealer=me.index)
    message = Deal(
        at.plan, at.round, at.attempt, me.index, sealed, commitments, (committed[0], committed[1]), wrapped
    ).signed(me.identity)
    return Dealt(b, shares[me.index]), message


def open_shares(me: Member, paired: Paired, start: RoundStart) -> dict[int, tuple[bytes, bytes]]:
    """What every other member of the cohort dealt to us. Raises SharesRefused if one is not what was committed to."""
    at, shares = RoundId(start.plan, start.round, start.attempt), {}
    for dealer, sealed in start.sealed.items():
        pair = unseal(sealed, secret=paired.secrets[dealer], at=at, dealer=dealer, holder=me.index)
        found = tuple(
            share_commitment(share, at=at, dealer=dealer, holder=me.index, which=which)
            for share, which in zip(pair, (SELF, KEY), strict=True)
        )
        if found != start.commitments[dealer]:
            raise SharesRefused(
                f"secagg shares of {me.plan.roster.names[dealer]!r}",
                found="another share",
                expected="the committed one",
            )
        shares[dealer] = pair
    return shares
