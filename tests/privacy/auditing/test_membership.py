"""The membership attack finds members of a model that learnt by heart, and no more than a coin's share otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings, fit
from fedcredit.privacy.auditing.membership import Membership, attack, likelihood_ratios
from fedcredit.privacy.dpsgd import fit_private

COMPANIES = 60


def table() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(COMPANIES, 1, 20, generator=generator), torch.randint(
        0, 2, (COMPANIES,), generator=generator
    ).float()


def attacked(*, sigma: float | None, shadows: int = 16) -> Membership:
    """LiRA on an MLP with labels that can only be learnt by heart; sigma None trains plainly."""
    x, y = table()
    names = np.array([f"c{i}" for i in range(COMPANIES)])

    def train(is_in: NDArray[np.bool_]) -> NDArray[np.float64]:
        model = build(ModelSettings("mlp", hidden=16), features=[f"x{i}" for i in range(20)], time=1, seed=0)
        rows = torch.from_numpy(is_in)
        settings = LocalSettings("adam", lr=0.02, steps=60)
        if sigma is None:
            fit(model, x[rows], y[rows], settings=settings, generator=torch.Generator().manual_seed(0))
        else:
            fit_private(
                model,
                x[rows],
                y[rows],
                company=names[is_in],
                settings=settings,
                noise_multiplier=sigma,
                clip=1.0,
                sample_rate=1.0,
                steps=5,
            )
        with torch.no_grad():
            logits = model(x).double().numpy()
        return np.where(y.numpy() > 0.5, logits, -logits)

    return attack(train, companies=COMPANIES, shadows=shadows, rng=np.random.default_rng(1))


def test_members_of_a_model_that_learnt_by_heart_are_found() -> None:
    found = attacked(sigma=None)
    assert found.auc_low > 0.9
    assert found.auc_low < found.auc < found.auc_high
    assert found.tpr_low > 0.1


def test_members_of_a_private_model_are_not() -> None:
    found = attacked(sigma=20.0)
    assert abs(found.auc - 0.5) < 0.15  # .53 at most in truth; standard error .02 over 960 pairs


def test_confidences_that_do_not_depend_on_membership_give_the_auc_of_a_coin() -> None:
    rng = np.random.default_rng(0)
    intervals = [
        attack(lambda is_in: rng.normal(size=COMPANIES), companies=COMPANIES, shadows=16, rng=rng) for _ in range(12)
    ]
    assert abs(np.mean([found.auc for found in intervals]) - 0.5) < 0.04
    assert sum(found.auc_low <= 0.5 <= found.auc_high for found in intervals) >= 9  # of 12; 11 expected


def test_the_likelihood_ratio_is_the_one_of_two_normals() -> None:
    # Company 0 was in shadows 0-2 with 4, 5, 6 and out of 3-5 with 0, 1, 2. For shadow 0 the others in have mean 5.5
    # and variance .5, those out mean 1 and variance 1: (x - 1)^2 / 2 - (x - 5.5)^2 / 1 - log(.5) / 2 at x = 4.
    confidence = np.array([[4.0], [5.0], [6.0], [0.0], [1.0], [2.0]])
    is_in = np.array([[True]] * 3 + [[False]] * 3)
    assert likelihood_ratios(confidence, is_in)[0, 0] == pytest.approx(4.5 - 2.25 - np.log(0.5) / 2)


def test_too_few_shadows_are_refused() -> None:
    with pytest.raises(ConfigError):
        attack(lambda is_in: np.zeros(60), companies=60, shadows=2, rng=np.random.default_rng(0))
