"""A study's units have names of their own, so a cut run finds each of them again."""

from __future__ import annotations

from experiments.units import units_of
from fedcredit.settings import StudySettings


def test_a_study_has_one_unit_for_each_model_and_no_two_share_a_name() -> None:
    settings = StudySettings(
        seeds=(0, 1),
        arms=("local", "best_alone", "federated", "pooled", "incumbent"),
        methods=("federated", "local_head"),
        leave_one_out=True,
    )
    units = units_of(settings, ["a", "b", "c"], has_incumbent=True)
    # By seed: two methods, three left out, one pooled, three local; then three best_alone and three incumbents.
    assert len(units) == 2 * (2 + 3 + 1 + 3) + 3 + 3
    assert len({unit.name for unit in units}) == len(units)
    assert units_of(settings, ["a", "b", "c"], has_incumbent=True) == units


def test_an_incumbent_that_the_table_lacks_is_no_unit() -> None:
    settings = StudySettings(arms=("federated", "incumbent"), seeds=(0,))
    assert [unit.arm for unit in units_of(settings, ["a"], has_incumbent=False)] == ["federated"]
