"""Factors name inputs, each once, and every input of a model has one."""

from __future__ import annotations

import pytest

from fedcredit.data.features import PRESENT
from fedcredit.data.indicators import FACTOR_SIZES, columns, indicators
from fedcredit.data.schema import Label, Schema
from fedcredit.data.transforms import inputs_of
from fedcredit.errors import ConfigError
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.factors import Factor, factors_for

DICTIONARY = (*inputs_of(Schema(columns(), Label("bad"), company="id")), PRESENT)
DEBT = Factor("debt", down=("debt",))


def test_the_dictionary_gives_nine_factors_with_its_directions() -> None:
    factors = factors_for(DICTIONARY)
    assert [factor.name for factor in factors] == list(FACTOR_SIZES)
    for way, given in (("up", [f.up for f in factors]), ("down", [f.down for f in factors])):
        assert {name for names in given for name in names} == {i.id for i in indicators() if i.direction == way}


def test_an_inner_optimum_is_exempt_from_direction_and_a_missing_flag_is_of_its_indicators_factor() -> None:
    for factor in factors_for(DICTIONARY):
        own = {i.id: i for i in indicators() if i.factor == factor.name}
        flags = {f"{i.id}_missing" for i in own.values() if i.nullable}
        assert set(factor.free) == flags | {i.id for i in own.values() if i.direction == "inner"}


def test_padding_is_of_no_factor_unless_one_names_it() -> None:
    assert all(PRESENT not in factor.inputs for factor in factors_for(DICTIONARY))
    named = factors_for(["debt", PRESENT], [Factor("debt", down=("debt",), free=(PRESENT,))])
    assert named[0].free == (PRESENT,)


def test_factors_without_any_input_in_the_table_are_left_out() -> None:
    assert [factor.name for factor in factors_for(["debt_ratio", "rev_cagr"])] == ["F-A", "G-C"]


def test_spelling_the_factors_out_twice_changes_nothing() -> None:
    once = ModelSettings("nine_factor").resolved(DICTIONARY)
    assert once.resolved(DICTIONARY) == once
    assert ModelSettings("lstm").resolved(DICTIONARY) == ModelSettings("lstm")


@pytest.mark.parametrize(
    ("features", "factors", "found"),
    [
        (("debt", "colour", "mood"), (DEBT,), "no factor for 'colour', 'mood'"),
        (("debt",), (), "no factor for 'debt'"),
        (("debt",), (DEBT, Factor("cash", up=("cash",))), "'cash'"),
        (("debt",), (Factor("debt", free=("debt",)),), "free inputs only"),
        (("debt", "debt_missing"), (DEBT, Factor("other", up=("debt_missing",))), "input 'debt_missing' twice"),
    ],
)
def test_a_model_whose_inputs_and_factors_do_not_fit_is_refused(
    features: tuple[str, ...], factors: tuple[Factor, ...], found: str
) -> None:
    with pytest.raises(ConfigError, match=found):
        build(ModelSettings("nine_factor", factors=factors), features=features, time=3, seed=0)


def test_a_long_list_of_inputs_without_a_factor_is_cut() -> None:
    with pytest.raises(ConfigError, match="and 95 more") as error:
        factors_for([f"x{number}" for number in range(100)])
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"factors": (DEBT, DEBT)}, "factor 'debt' twice"),
        ({"factors": (DEBT, Factor("more", down=("debt",)))}, "input 'debt' twice"),
        ({"factors": (DEBT,), "kind": "lstm"}, "factors with kind 'lstm'"),
        ({"layers": 2}, "layers 2"),
        ({"dropout": 0.5}, "dropout 0.5"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        ModelSettings(**{"kind": "nine_factor", **wrong})  # type: ignore[arg-type]


def test_an_input_twice_in_one_factor_is_refused() -> None:
    with pytest.raises(ConfigError, match="input 'debt' twice"):
        ModelSettings("nine_factor", factors=(Factor("debt", up=("debt",), down=("debt",)),))


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "x" * 65}, {"down": ()}])
def test_a_factor_without_a_name_or_without_inputs_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Factor(**{"name": "debt", "down": ("debt",), **wrong})  # type: ignore[arg-type]
