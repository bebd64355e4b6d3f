"""Twelve faults of private training, each planted into a sound one and each found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from opacus.accountants import GaussianAccountant

from fedcredit.models.build import ModelSettings, build
from fedcredit.privacy.accounting import Step, epsilon_spent, solve_noise
from fedcredit.privacy.auditing.canaries import CanaryAudit, Rows, audit_with_canaries
from fedcredit.privacy.auditing.checks import SGD, examine, examine_engine
from fedcredit.privacy.auditing.claims import Claim, Finding, check_claim
from fedcredit.privacy.auditing.engine import FitPrivate, Plan
from fedcredit.privacy.dpsgd import fit_private
from tests.privacy.reference_trainer import Reference

DELTA, RATE, ROUNDS = 1e-5, 0.1, 40
SIGMA = solve_noise(3.0, delta=DELTA, sample_rate=RATE, steps=ROUNDS)
SOUND = Claim(3.0, DELTA, [Step(SIGMA, RATE)] * ROUNDS, companies=500)


def faults(found: list[Finding]) -> set[str]:
    return {finding.fault for finding in found if not finding.is_sound}


def planted(engine: FitPrivate, *, sigma: float, canaries: int = 400) -> CanaryAudit:
    """An audit of one step over every company of a small table."""
    generator = torch.Generator().manual_seed(0)
    rows = Rows(torch.randn(20, 1, 3, generator=generator), torch.zeros(20), np.array([f"r{i}" for i in range(20)]))
    model = build(ModelSettings("logistic"), features=("a", "b", "c"), time=1, seed=0)
    plan = Plan(SGD, sigma, 1.0, 1.0, 1, 1)
    rng = np.random.default_rng(0)
    return audit_with_canaries(
        engine, model, rows, plan=plan, delta=DELTA, canaries=canaries, odd=None, rng=rng, confidence=1 - 1e-7
    )


@pytest.mark.parametrize("engine", [Reference(), fit_private], ids=["reference", "ours"])
def test_a_sound_engine_with_a_sound_claim_has_none_of_the_twelve(engine: FitPrivate) -> None:
    found = examine(engine, SOUND)
    assert len({finding.fault for finding in found}) == 12
    assert faults(found) == set(), "\n".join(map(str, found))


def test_noise_off() -> None:
    found = faults(examine_engine(Reference("noise off")))
    assert {"noise off", "noise reused", "empty step missing"} == found  # where there is none, all three miss it


def test_noise_off_is_seen_by_the_auditor_alone() -> None:
    # One step with noise multiplier 20 spends epsilon .18; without it every canary is told apart.
    claimed = epsilon_spent([Step(20.0, 1.0)], delta=DELTA)
    assert claimed < 0.2
    assert planted(Reference(), sigma=20.0).white_box.best <= claimed
    assert planted(Reference("noise off"), sigma=20.0).white_box.best > 10 * claimed


@pytest.mark.parametrize("fault", ["noise reused", "noise from the study's seed"])
def test_noise_reused(fault: str) -> None:
    assert faults(examine_engine(Reference(fault))) == {"noise reused"}


def test_seeded_sampling() -> None:
    assert faults(examine_engine(Reference("seeded sampling"))) == {"seeded sampling"}


def test_actual_batch_divisor() -> None:
    found = faults(examine_engine(Reference("actual-batch divisor")))
    assert found == {"actual-batch divisor", "empty step missing"}  # an empty batch's own size is no divisor either


def test_empty_step_missing() -> None:
    assert faults(examine_engine(Reference("empty step missing"))) == {"empty step missing"}


def test_clipping_after_the_sum() -> None:
    assert faults(examine_engine(Reference("clipping after the sum"))) == {"clipping after the sum"}


def test_clip_too_large() -> None:
    assert faults(examine_engine(Reference("clip too large"))) == {"clip too large"}


def test_per_row_unit() -> None:
    assert faults(examine_engine(Reference("per-row unit"))) == {"per-row unit"}


def test_delta_too_large() -> None:
    loose = epsilon_spent(SOUND.history, delta=1e-3)
    assert faults(check_claim(replace(SOUND, epsilon=loose, delta=1e-3))) == {"delta too large"}
    assert faults(check_claim(replace(SOUND, companies=100_000))) == {"delta too large"}


def test_accountant_restarted() -> None:
    # A new accountant in every round, as in Flower's own example, reports the spend of the last.
    last = epsilon_spent([SOUND.history[-1]], delta=DELTA)
    assert faults(check_claim(replace(SOUND, epsilon=last))) == {"accountant restarted"}
    but_one = epsilon_spent(SOUND.history[:-1], delta=DELTA)
    assert faults(check_claim(replace(SOUND, epsilon=but_one)))


def test_subsampled_accounting_of_fixed_batches() -> None:
    assert faults(examine(Reference("fixed batches"), SOUND)) == {"subsampled accounting of fixed batches"}


def test_fixed_batches_accounted_for_as_such_are_sound() -> None:
    # 40 steps at rate .1: every company is in 4 batches, without amplification.
    rounds = [Step(SIGMA, RATE, ROUNDS)]
    honest = epsilon_spent([Step(SIGMA, 1.0, 4)], delta=DELTA)
    assert honest > 3.0
    assert faults(check_claim(Claim(honest, DELTA, rounds, 500, is_poisson=False))) == set()


def test_gdp_accountant() -> None:
    with pytest.warns(UserWarning, match="can underestimate"):
        accountant = GaussianAccountant()
    accountant.history = [(SIGMA, RATE, ROUNDS)]
    reported = accountant.get_epsilon(delta=DELTA)
    assert reported < 2.9
    assert faults(check_claim(replace(SOUND, epsilon=reported))) == {"gdp accountant"}


def without_noise(*args: Any, **plan: Any) -> float:
    return fit_private(*args, **{**plan, "noise_multiplier": 0.0})


def with_a_larger_clip(*args: Any, **plan: Any) -> float:
    return fit_private(
        *args, **{**plan, "clip": 1.5 * plan["clip"], "noise_multiplier": plan["noise_multiplier"] / 1.5}
    )


def with_a_unit_a_row(*args: Any, **plan: Any) -> float:
    return fit_private(*args, **{**plan, "company": np.arange(len(args[2])).astype(str)})


@pytest.mark.parametrize(
    ("tampered", "fault"),
    [(without_noise, "noise off"), (with_a_larger_clip, "clip too large"), (with_a_unit_a_row, "per-row unit")],
)
def test_our_own_engine_tampered_with_is_caught(tampered: Callable[..., float], fault: str) -> None:
    assert fault in faults(examine_engine(partial(tampered)))
