"""Released shares become the masks to take off, and the masked sum becomes the sum.

    sum over U of y_i  -  PRG(b_i) for i in U  -  the masks that each dropped j shared with each i in U

Who releases a share that its dealer did not commit to is named and left out; whose shares, all as committed, open to
no secret that it committed to is a dealer at fault, and named too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.privacy.secagg.context import RoundId, pair_mask_seed, self_mask_seed
from fedcredit.privacy.secagg.dealing import KEY, SELF, secret_commitment, share_commitment
from fedcredit.privacy.secagg.encoding import Words
from fedcredit.privacy.secagg.masks import add_mask, remove_mask
from fedcredit.privacy.secagg.refusals import SharesRefused
from fedcredit.privacy.secagg.replies import Faults, accept, require_round, require_sender
from fedcredit.privacy.secagg.round_messages import Release
from fedcredit.privacy.secagg.sealing import unwrap
from fedcredit.privacy.secagg.server_round import Agreed
from fedcredit.privacy.shamir import combine_many


@dataclass(frozen=True)
class Unmasked:
    """The sum mod 2^bits over the survivors (`plan.encoding.decode` reads it), and whose reply was faulty."""

    words: Words
    survivors: tuple[str, ...]
    faults: Faults


def unmask(agreed: Agreed, replies: Mapping[str, bytes]) -> Unmasked:
    """From `Release`s to the sum.

    Raises TooFewRefused if fewer than t releases are good, SharesRefused (with the dealer's name) if a dealer's shares
    open to nothing that it committed to; neither reveals anything.
    """
    surviving = agreed.surviving
    releases, faults = _good_releases(agreed, replies)
    secrets = _opened(agreed, releases)
    total = surviving.uploads[next(iter(surviving.uploads))].copy()
    for index in list(surviving.uploads)[1:]:
        total += surviving.uploads[index]
    context = surviving.started.context
    for index, secret in secrets.items():
        if index in surviving.uploads:
            remove_mask(total, self_mask_seed(secret, context))
        else:
            _remove_pair_masks(total, agreed, dropped=index, key=secret)
    return Unmasked(total, surviving.survivors, faults)


def _good_releases(agreed: Agreed, replies: Mapping[str, bytes]) -> tuple[dict[int, Release], Faults]:
    """Releases whose every share is the one that its dealer committed to, for the right half of the cohort."""
    surviving = agreed.surviving
    plan, cohort = surviving.started.plan, surviving.started.cohort
    at = RoundId(plan.hash, cohort.round, cohort.attempt)
    gone = set(cohort.deals) - set(surviving.uploads)

    def check(index: int, data: bytes) -> Release:
        message = require_sender(Release.from_bytes(data), index)
        plan.require(message.plan)
        require_round(message, cohort.round, cohort.attempt)
        if set(message.self_shares) != set(surviving.uploads) or set(message.key_shares) != gone:
            raise SharesRefused("secagg release", found="shares of others", expected="b of survivors, k of the others")
        for shares, which in ((message.self_shares, SELF), (message.key_shares, KEY)):
            for dealer, share in shares.items():
                found = share_commitment(share, at=at, dealer=dealer, holder=index, which=which)
                if found != cohort.deals[dealer].commitments[index][which == KEY]:
                    raise SharesRefused(
                        "secagg release", found="another share than was dealt", expected="the dealt one"
                    )
        return message

    candidates = {name: data for name, data in replies.items() if name in agreed.outbox}
    good, faults = accept(plan, candidates, check, least=plan.roster.threshold)
    return good, faults


def _opened(agreed: Agreed, releases: Mapping[int, Release]) -> dict[int, bytes]:
    """b of every survivor and k of every dropped member, each checked against its dealer's commitment."""
    plan, cohort = agreed.surviving.started.plan, agreed.surviving.started.cohort
    at = RoundId(plan.hash, cohort.round, cohort.attempt)
    batches = {dealer: {h + 1: _share(message, dealer) for h, message in releases.items()} for dealer in cohort.deals}
    values = combine_many(list(batches.values()), threshold=plan.roster.threshold)
    opened = dict(zip(batches, values, strict=True))
    for dealer, value in opened.items():
        which = SELF if dealer in agreed.surviving.uploads else KEY
        committed = cohort.deals[dealer].secrets[which == KEY]
        if value is None or secret_commitment(value, at=at, dealer=dealer, which=which) != committed:
            raise SharesRefused(
                f"secagg shares dealt by {plan.roster.names[dealer]!r}",
                found="shares that open to no secret it committed to",
                expected="those of one secret",
                hint="repeat the round without this institution",
            )
    return {dealer: value for dealer, value in opened.items() if value is not None}


def _share(message: Release, dealer: int) -> bytes:
    return message.self_shares[dealer] if dealer in message.self_shares else message.key_shares[dealer]


def _remove_pair_masks(total: Words, agreed: Agreed, *, dropped: int, key: bytes) -> None:
    """Take off what each survivor added for, or took off for, a member whose upload is not in the sum."""
    surviving = agreed.surviving
    plan, cohort = surviving.started.plan, surviving.started.cohort
    at = RoundId(plan.hash, cohort.round, cohort.attempt)
    peers = [index for index in cohort.present if index != dropped]
    seeds = unwrap(cohort.deals[dropped].wrapped, key=key, at=at, dealer=dropped, peers=peers)
    for index in surviving.uploads:
        seed = pair_mask_seed(seeds[index], surviving.started.context)
        (remove_mask if index < dropped else add_mask)(total, seed)
