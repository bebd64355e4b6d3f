"""What an honest but curious server, or colluding members, can compute from everything that a round shows them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fedcredit.privacy.secagg.context import RoundId, base_seed, pair_mask_seed, self_mask_seed
from fedcredit.privacy.secagg.masks import add_mask, remove_mask
from fedcredit.privacy.secagg.session import CONFIRMED, DEALT
from fedcredit.privacy.secagg.states import Dealt, Paired
from tests.privacy.secagg.simulator import Federation, Identities, vector

LONG = 1 << 18
FALSE_ALARM = 1e-7  # of each of the tests below; there is no seed to fix, keys come from the operating system


@pytest.fixture(scope="module")
def transcript(identities: Identities) -> tuple[Federation, np.ndarray, np.ndarray, bytes]:
    """One upload of 2^18 coordinates: the federation, the encoded update, the masked one, and the context."""
    federation = Federation.of(identities, 4, size=LONG).set_up()
    started = federation.start(federation.deal(1))
    plain = federation.encoded("ada")
    _, masked = federation.upload("ada", started)
    return federation, plain, masked, started.context


def test_one_masked_vector_looks_uniform(transcript: tuple[Federation, np.ndarray, np.ndarray, bytes]) -> None:
    """Chi-square over its bytes, and over each of its 32 bits: as even as chance."""
    _, _, masked, _ = transcript
    counts = np.bincount(masked.view(np.uint8), minlength=256)
    assert stats.chisquare(counts).pvalue > FALSE_ALARM
    ones = [int(((masked >> np.uint32(bit)) & 1).sum()) for bit in range(32)]
    assert min(stats.binomtest(count, len(masked)).pvalue for count in ones) > FALSE_ALARM / 32


def test_plain_vector_does_not_look_uniform(transcript: tuple[Federation, np.ndarray, np.ndarray, bytes]) -> None:
    """The test above can fail: the encoded update itself is caught at once."""
    _, plain, _, _ = transcript
    assert stats.chisquare(np.bincount(plain.view(np.uint8), minlength=256)).pvalue < 1e-100


def test_masked_vector_does_not_correlate_with_the_plain_one(
    transcript: tuple[Federation, np.ndarray, np.ndarray, bytes],
) -> None:
    _, plain, masked, _ = transcript
    signed_plain, signed_masked = (words.view(np.int32).astype(np.float64) for words in (plain, masked))
    assert abs(np.corrcoef(signed_plain, signed_masked)[0, 1]) * np.sqrt(LONG) < stats.norm.isf(FALSE_ALARM / 2)


def test_curious_server_searching_seed_space_on_our_transcript_finds_nothing(
    transcript: tuple[Federation, np.ndarray, np.ndarray, bytes],
) -> None:
    """flwr 1.41 folds a 256-bit key into a 28-bit seed, so that its mask is found by trying all of them.

    What this shows: our masks' keys use all their 256 bits. Knowing a key but for 12 bits, the search of those finds
    the mask (so the search is right); with any single one of the other bits wrong, it finds nothing. A search of 2^28
    of 2^256 keys therefore covers 2^-228 of them. It is no proof that AES is strong.
    """
    federation, plain, masked, context = transcript
    at = RoundId.of(federation.plan, 1, attempt=0)
    me, store = federation.plan.roster.index("ada"), federation.stores["ada"]
    paired = Paired.from_bytes(store.run(federation.plan.hash, stage=CONFIRMED))
    seeds = {peer: pair_mask_seed(base_seed(secret, at), context) for peer, secret in paired.secrets.items()}
    rest = plain.copy()
    for peer, seed in list(seeds.items())[1:]:
        (add_mask if me < peer else remove_mask)(rest, seed)
    with pytest.raises(Exception, match="stage"):
        Dealt.from_bytes(store.round(at, stage=DEALT))  # b is gone from the disk, so the search must go for the sum
    target = (masked - rest)[:4]  # own mask and one pair mask: what an attacker who knows all else is left with

    def found(key: int, guesses: int) -> bool:
        for low in range(guesses):
            trial = np.zeros(4, dtype=np.uint32)
            add_mask(trial, ((key & ~0xFFF) | low).to_bytes(32, "big"))
            if np.array_equal(trial, target):
                return True
        return False

    right = int.from_bytes(next(iter(seeds.values())), "big")
    assert not found(right, 1 << 12)  # the own mask still covers it: even the whole pair key is not enough
    lone = np.zeros(4, dtype=np.uint32)
    add_mask(lone, right.to_bytes(32, "big"))
    target = lone
    assert found(right, 1 << 12)
    assert not any(found(right ^ (1 << bit), 1) for bit in range(12, 256))


def test_every_bit_of_a_seed_is_used(transcript: tuple[Federation, np.ndarray, np.ndarray, bytes]) -> None:
    """Over many pair and own seeds each of the 256 bits is sometimes 0 and sometimes 1 (flwr: 28 of them ever)."""
    federation, _, _, context = transcript
    paired = Paired.from_bytes(federation.stores["ada"].run(federation.plan.hash, stage=CONFIRMED))
    secret = paired.secrets[1]
    bases = [base_seed(secret, RoundId.of(federation.plan, round_, attempt=0)) for round_ in range(200)]
    for seeds in ([pair_mask_seed(b, context) for b in bases], [self_mask_seed(b, context) for b in bases]):
        bits = np.unpackbits(np.frombuffer(b"".join(seeds), dtype=np.uint8).reshape(200, 32), axis=1).sum(axis=0)
        assert bits.min() > 0
        assert bits.max() < 200


def test_two_colluders_at_the_smallest_cohort_learn_the_sum_of_the_other_two_and_no_more(
    identities: Identities,
) -> None:
    """Of four, two who pool the sum, their updates and all their secrets learn x_cyd + x_dan, as from any sum.

    Beside that, they can take every mask that they share with cyd off cyd's upload, and its own mask, which the round
    opened; what is left is covered by the one mask between cyd and dan, both honest.
    """
    federation = Federation.of(identities, 4, size=LONG).set_up()
    started = federation.start(federation.deal(1))
    at, cyd = RoundId.of(federation.plan, 1, attempt=0), federation.plan.roster.index("cyd")
    opened_b = Dealt.from_bytes(federation.stores["cyd"].round(at, stage=DEALT)).b
    surviving = federation.uploads(started)
    unmasked = federation.unmask(federation.signatures(surviving))
    learnt = federation.decoded(unmasked).reals - vector("ada", LONG) - vector("bob", LONG)
    np.testing.assert_allclose(learnt, vector("cyd", LONG) + vector("dan", LONG), atol=1e-6)

    left = surviving.uploads[cyd].copy()
    remove_mask(left, self_mask_seed(opened_b, started.context))
    for name in ("ada", "bob"):
        secrets = Paired.from_bytes(federation.stores[name].run(federation.plan.hash, stage=CONFIRMED)).secrets
        add_mask(left, pair_mask_seed(base_seed(secrets[cyd], at), started.context))
    assert stats.chisquare(np.bincount(left.view(np.uint8), minlength=256)).pvalue > FALSE_ALARM
    plain = federation.encoded("cyd").view(np.int32).astype(np.float64)
    correlation = np.corrcoef(plain, left.view(np.int32).astype(np.float64))[0, 1]
    assert abs(correlation) * np.sqrt(LONG) < stats.norm.isf(FALSE_ALARM / 2)
    with_dan = Paired.from_bytes(federation.stores["dan"].run(federation.plan.hash, stage=CONFIRMED)).secrets[cyd]
    remove_mask(left, pair_mask_seed(base_seed(with_dan, at), started.context))
    assert np.array_equal(left, federation.encoded("cyd"))  # the one secret that the two lack is all that hides cyd


def test_opened_wrapping_key_says_nothing_about_another_round(seven: Federation) -> None:
    """What unmasking opens of a dropped member are seeds of this (round, attempt); the next round's are others."""
    paired = Paired.from_bytes(seven.stores["ada"].run(seven.plan.hash, stage=CONFIRMED))
    seeds = {base_seed(paired.secrets[1], RoundId.of(seven.plan, r, attempt=a)) for r in (1, 2) for a in (0, 1)}
    assert len(seeds) == 4
    assert paired.secrets[1] not in seeds
