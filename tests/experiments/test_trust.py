"""What the platform sees is said, and what cannot be hidden is refused before anything trains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.trust import masking_of, trust_mode
from fedcredit.errors import ConfigError
from fedcredit.settings import FederationSettings, Recipe, StudySettings

MEDIAN = Recipe(strategy={"_target_": "flwr.serverapp.strategy.FedMedian"})


def asked(mode: str | None) -> StudySettings:
    return replace(StudySettings(), federation=FederationSettings(trust_mode=mode))  # type: ignore[arg-type] # a word


def test_four_that_are_averaged_are_masked_and_three_or_a_median_are_open() -> None:
    assert trust_mode(asked(None), Recipe(), institutions=4) == "masked"
    assert trust_mode(asked(None), Recipe(), institutions=3) == "open"
    assert trust_mode(asked(None), MEDIAN, institutions=9) == "open"


def test_masks_that_cannot_be_are_refused_and_never_left_out() -> None:
    for mode, recipe, institutions in (("masked", Recipe(), 3), ("masked", MEDIAN, 9), ("bucketed", MEDIAN, 11)):
        with pytest.raises(ConfigError, match=r"federation\.trust_mode"):
            trust_mode(asked(mode), recipe, institutions=institutions)


def test_buckets_hold_everybody_once_and_four_or_more_each() -> None:
    names = [f"bank-{number:02d}" for number in range(14)]
    masking = masking_of(asked("bucketed"), MEDIAN, members=names, seed=1)
    assert masking is not None
    assert sorted(name for group in masking.groups for name in group) == names
    assert sorted(len(group) for group in masking.groups) == [4, 5, 5]
