"""A row is read from a bare update to the last digit, and not at all from a masked or a noisy one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcredit.errors import ModelError
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings
from fedcredit.privacy.auditing.canaries import Rows
from fedcredit.privacy.auditing.engine import Plan
from fedcredit.privacy.auditing.inversion import invert_first_layer, invert_masked, likeness
from fedcredit.privacy.auditing.leaks import FIXED_POINT, invert_updates, mask_alone
from fedcredit.privacy.dpsgd import fit_private

WIDTH = 400
NAMES = [f"x{i}" for i in range(WIDTH)]


def update_of(kind: str, row: torch.Tensor) -> dict[str, np.ndarray]:
    model = build(ModelSettings(kind, hidden=8), features=NAMES, time=1, seed=0)  # type: ignore[arg-type]
    binary_cross_entropy_with_logits(model(row), torch.ones(1)).backward()
    return {name: p.grad.double().numpy() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["logistic", "mlp", "lstm"])
def test_a_bare_update_of_one_company_is_its_row(kind: str) -> None:
    row = torch.randn(1, 1, WIDTH, generator=torch.Generator().manual_seed(1))
    recovered = invert_first_layer(update_of(kind, row))
    np.testing.assert_allclose(recovered, row[0, 0].numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", ["logistic", "mlp", "lstm"])
def test_a_masked_update_of_one_company_is_nothing(kind: str) -> None:
    row = torch.randn(1, 1, WIDTH, generator=torch.Generator().manual_seed(1))
    update = update_of(kind, row)
    masked = mask_alone(np.concatenate([value.ravel() for value in update.values()]))
    recovered = invert_masked(masked, shapes={name: v.shape for name, v in update.items()}, scale=FIXED_POINT)
    # A rank correlation of 400 independent numbers has standard deviation .05; beyond five of them: 6e-7.
    assert abs(likeness(recovered, row[0, 0].numpy())) < 0.25
    without_a_mask = np.rint(np.concatenate([v.ravel() for v in update.values()]) * FIXED_POINT).astype(np.int32)
    bare = invert_masked(without_a_mask.view(np.uint32), shapes={n: v.shape for n, v in update.items()}, scale=1.0)
    assert likeness(bare, row[0, 0].numpy()) > 0.95


def test_bare_noised_and_masked_stand_side_by_side() -> None:
    rows = Rows(
        torch.randn(16, 1, WIDTH, generator=torch.Generator().manual_seed(2)),
        torch.ones(16),
        np.array([f"c{i}" for i in range(16)]),
    )
    model = build(ModelSettings("mlp", hidden=8), features=NAMES, time=1, seed=0)
    plan = Plan(LocalSettings("sgd", lr=1.0), 8.0, 1.0, 1.0, 1, 1)
    found = invert_updates(fit_private, model, rows, plan=plan, companies=16)
    assert found.bare > 0.999
    # Standard deviation .05 / 4 over 16 rows.
    assert abs(found.noised) < 0.1
    assert abs(found.masked) < 0.0625


def test_an_update_without_a_first_layer_is_said() -> None:
    with pytest.raises(ModelError):
        invert_first_layer({"scale": np.ones(3)})
