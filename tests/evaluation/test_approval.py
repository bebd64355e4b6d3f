"""Approval policies from a ranking, by hand and beside a slow count."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.evaluation.approval import approval_at, auc_of, bad_rate_at, ks_of, loss_at, queue
from fedcredit.evaluation.metrics import auc, ks

RNG = np.random.default_rng(2)
Y = (RNG.random(200) < 0.3).astype(int)
P = np.clip(0.3 + 0.2 * Y + 0.2 * RNG.normal(size=200), 0, 1)
ONE = np.ones((200, 1))


def test_bad_rate_and_loss_of_the_safest_share() -> None:
    line = queue([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], exposure=[10, 20, 30, 40], weights=np.ones((4, 1)))
    assert bad_rate_at(line, 0.5) == [0.5]
    assert bad_rate_at(line, 1.0) == [0.5]
    assert loss_at(line, 0.5) == [20 / 4]
    assert loss_at(line, 1.0) == [60 / 4]


def test_a_tie_at_the_border_is_approved_in_part() -> None:
    line = queue([0, 1, 0, 0], [0.1, 0.5, 0.5, 0.5], exposure=np.ones(4), weights=np.ones((4, 1)))
    # Half of 4 are approved: the first, and one third of the tied three with one third of a default.
    assert bad_rate_at(line, 0.5) == pytest.approx([1 / 6])


def test_approval_rate_at_a_bad_rate_by_hand() -> None:
    line = queue([0, 0, 0, 1, 0, 1], np.arange(6), exposure=np.ones(6), weights=np.ones((6, 1)))
    assert approval_at(line, [0.2]) == pytest.approx([5 / 6])
    assert approval_at(line, [1.0]) == pytest.approx([1.0])
    assert approval_at(line, [0.0]) == pytest.approx([3 / 6])


def test_nobody_is_approved_when_the_safest_default() -> None:
    line = queue([1, 1, 0], [0.1, 0.2, 0.3], exposure=np.ones(3), weights=np.ones((3, 1)))
    assert approval_at(line, [0.1]) == pytest.approx([0.0])


@pytest.mark.parametrize("p", [P, np.round(P, 1)], ids=["distinct", "tied"])
def test_separation_is_that_of_the_metrics(p: np.ndarray) -> None:
    line = queue(Y, p, exposure=np.ones(200), weights=ONE)
    assert auc_of(line) == pytest.approx([auc(Y, p)])
    assert ks_of(line) == pytest.approx([ks(Y, p)])


def test_every_rate_agrees_with_a_count_of_rows() -> None:
    line = queue(Y, P, exposure=np.ones(200), weights=ONE)
    ranked = Y[np.argsort(P)]
    rates = np.cumsum(ranked) / np.arange(1, 201)
    for approved in (20, 50, 101, 160):
        assert bad_rate_at(line, approved / 200) == pytest.approx([rates[approved - 1]])
        limit = rates[approved - 1]
        largest = np.flatnonzero(rates <= limit + 1e-12)[-1] + 1
        found = 200 * approval_at(line, [limit])[0]
        assert largest <= found + 1e-6 < largest + 1  # a part of the next applicant may fit


def test_drawing_a_row_twice_is_having_it_twice() -> None:
    counts = RNG.integers(0, 3, size=200)
    twice = np.repeat(np.arange(200), counts)
    drawn = queue(Y, P, exposure=np.ones(200), weights=counts[:, None].astype(np.float32))
    real = queue(Y[twice], P[twice], exposure=np.ones(len(twice)), weights=np.ones((len(twice), 1)))
    for figure in (auc_of, ks_of):
        assert figure(drawn) == pytest.approx(figure(real))
    assert bad_rate_at(drawn, 0.7) == pytest.approx(bad_rate_at(real, 0.7))
    assert approval_at(drawn, [0.2]) == pytest.approx(approval_at(real, [0.2]))
