"""The stream is AES in counter mode under a key that nobody gives it, and what is drawn from it has the right law."""

from __future__ import annotations

import copy
import os
import pickle
import random
import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from fedcredit.privacy import randomness
from fedcredit.privacy.accounting import Step, epsilon_spent
from fedcredit.privacy.companies import Companies
from fedcredit.privacy.randomness import PIECE_BYTES, Stream

FALSE_ALARM = 1e-7


def test_the_first_block_is_the_published_one_of_aes_256(monkeypatch: pytest.MonkeyPatch) -> None:
    # FIPS 197 cipher of a block of zeros under a key of zeros; only the operating system is asked for a key.
    asked = []
    monkeypatch.setattr(randomness.os, "urandom", lambda count: asked.append(count) or bytes(count))
    assert Stream().words(2).tobytes().hex() == "dc95c078a2408989ad48a21492842087"
    assert asked == [32]


def test_a_long_draw_is_the_same_stream_as_many_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomness.os, "urandom", bytes)
    count = PIECE_BYTES // 8
    long, short = Stream().words(2 * count + 5), Stream()
    np.testing.assert_array_equal(long, np.concatenate([short.words(n) for n in (3, count, count + 1, 1, 0)]))


def test_seeded_noise_is_refused_and_a_stream_cannot_be_copied() -> None:
    for seeded in (lambda: Stream(7), lambda: Stream(seed=7)):
        with pytest.raises(TypeError):
            seeded()  # type: ignore[call-arg]
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copied(Stream())


def test_a_forked_process_draws_a_key_of_its_own() -> None:
    stream = Stream()
    stream.words(1)
    reads, writes = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child == 0:
        os.write(writes, stream.words(4).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reads, 32) != stream.words(4).tobytes()
    os.close(reads)
    os.close(writes)


def test_bytes_are_uniform() -> None:
    drawn = Stream().words(200_000).view(np.uint8)
    assert stats.chisquare(np.bincount(drawn, minlength=256)).pvalue > FALSE_ALARM
    ones = np.unpackbits(drawn.reshape(-1, 8), axis=1).sum(axis=0)
    assert all(stats.binomtest(int(count), 200_000).pvalue > FALSE_ALARM / 64 for count in ones)


def test_uniforms_are_uniform_and_below_one() -> None:
    drawn = Stream().uniforms(200_000)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert stats.kstest(drawn, "uniform").pvalue > FALSE_ALARM
    assert ((drawn * 2**53) % 1 == 0).all()


@pytest.mark.parametrize("chance", [0.0, 1e-3, 0.3, 1.0])
def test_coins_fall_with_the_chance_asked(chance: float) -> None:
    members = int(Stream().chosen(100_000, chance=chance).sum())
    assert stats.binomtest(members, 100_000, chance).pvalue > FALSE_ALARM


def test_every_row_of_a_company_is_drawn_as_often_and_none_beyond_the_last() -> None:
    stream = Stream()
    for limit in (1, 2, 3, 7, 24):
        drawn = stream.below(np.full(20_000, limit))
        assert drawn.max() == limit - 1
        assert stats.chisquare(np.bincount(drawn, minlength=limit)).pvalue > FALSE_ALARM or limit == 1


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_as_many_normals_come_as_are_asked(count: int) -> None:
    assert len(Stream().normals(count)) == count


def test_normals_are_normal_and_both_of_a_pair_independent() -> None:
    drawn = Stream().normals(200_000).numpy()
    assert stats.kstest(drawn, "norm").pvalue > FALSE_ALARM
    cosines, sines = drawn[:100_000], drawn[100_000:]
    for one, other in ((cosines, sines), (cosines**2, sines**2), (drawn[:-1], drawn[1:])):
        assert stats.pearsonr(one, other).pvalue > FALSE_ALARM
    beyond = int((np.abs(drawn) > 3.5).sum())
    assert stats.binomtest(beyond, 200_000, 2 * stats.norm.sf(3.5)).pvalue > FALSE_ALARM


def test_the_server_that_knows_the_batch() -> None:
    """It knows every seed of a study and replays them all: whom it takes to be in a batch is in as often as anybody.

    That is what the accountant counts on; a batch that it knew would cost as much as taking every company.
    """
    companies, n = Companies(np.arange(4000).astype(str)), 4000

    def replayed() -> set[int]:
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002 - the global generator is what a seed could reach
        random.seed(5)
        return set(companies.draw(0.25, random=Stream()).tolist())

    guess, batch = replayed(), replayed()
    hits = len(guess & batch)
    assert stats.binomtest(hits, len(guess), len(batch) / n).pvalue > FALSE_ALARM
    known, secret = (Step(1.0, rate, 50) for rate in (1.0, 0.25))
    assert epsilon_spent([known], delta=1e-5) > 3 * epsilon_spent([secret], delta=1e-5)
