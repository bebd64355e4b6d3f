"""A study at a consortium: what cannot be run there is refused with the reason, and what is only tried stays here."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.study import dry_run, load, run
from fedcredit.errors import ConfigError

HERE = ["engine=superlink", "privacy.metrics=none", "seeds=[0]", "data.economy.companies=2000", "model=logistic"]


@pytest.mark.parametrize(
    ("arm", "reason"),
    [("pooled", "no process may hold all rows"), ("local", "stays with it"), ("best_alone", "stay with it")],
)
def test_arm_that_a_consortium_cannot_have_is_refused_with_the_reason(arm: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load("quickstart", [*HERE, f"arms=[federated,{arm}]"])


def test_refusal_of_the_arms_says_what_to_type() -> None:
    with pytest.raises(ConfigError) as caught:
        load("quickstart", ["engine=superlink"])
    typed, _, _ = caught.value.hint.partition(";")
    assert typed == "fedcredit study run quickstart engine=superlink arms=[federated] privacy.metrics=none"
    load("quickstart", typed.split()[4:])


@pytest.mark.parametrize("override", ["leave_one_out=true", "recipe.share=body"])
def test_what_would_leave_a_part_of_the_model_at_a_node_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        load("quickstart", [*HERE, "arms=[federated]", override])


def test_dry_run_asks_no_consortium_and_says_who_would_be_charged() -> None:
    found = dry_run(load("quickstart", [*HERE, "arms=[federated]"]))  # no operator has joined: it would be refused
    assert found.epsilon_run == 3
    assert "its own ledger" in found.sentence


def test_operator_of_no_consortium_is_told_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none under"):
        run(load("quickstart", [*HERE, "arms=[federated]", f"runs={tmp_path / 'runs'}"]))
    assert not (tmp_path / "runs").exists()
