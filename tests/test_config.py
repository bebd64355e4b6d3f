"""A study's settings are right before anything runs, or the slip is named."""

from __future__ import annotations

import pytest

from fedcredit.config import CONFIGS, load
from fedcredit.errors import ConfigError
from fedcredit.settings import StudySettings

STUDIES = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_of_the_house_composes(name: str) -> None:
    settings = load(name)
    assert settings.study == name
    assert settings.question


def test_what_is_written_on_the_command_line_wins() -> None:
    settings = load("quickstart", ["seeds=[4,5]", "model.kind=mlp", "recipe.local.lr=0.5", "privacy.epsilons=[null,2]"])
    assert settings.seeds == (4, 5)
    assert (settings.model.kind, settings.model.hidden) == ("mlp", 16)
    assert settings.recipe.local.lr == 0.5
    assert settings.privacy.epsilons == (None, 2.0)


def test_a_recipe_of_an_arm_is_laid_over_the_common_one() -> None:
    over = ["+recipes={local: {rounds: 7, local: {lr: 0.25}}, local_private: {clip: 0.5}}"]
    settings = load("quickstart", over)
    plain = settings.recipe_for("local", is_private=False)
    private = settings.recipe_for("local", is_private=True)
    assert (plain.rounds, plain.local.lr, plain.local.optimizer) == (7, 0.25, "sgd")
    assert (private.rounds, private.clip, plain.clip) == (7, 0.5, 1.0)
    assert settings.recipe_for("federated", is_private=True).rounds == settings.recipe.rounds


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("modle=mlp", "modle"),
        ("recipe.round=3", "round"),
        ("recipe.local.learning_rate=0.1", "learning_rate"),
        ("+recipe.rouns=3", "did you mean 'rounds'?"),
        ("+data.tabel={}", "did you mean 'table'?"),
        ("recipe.rounds=many", "expected a whole number"),
        ("recipe.rounds=2.5", "expected a whole number"),
        ("recipe.rounds=null", "found null"),
        ("recipe.local.lr=0", "expected a number above 0"),
        ("recipe.local.optimizer=adagrad", "expected one of sgd, adam, adamw"),
        ("recipe.select=first", "expected one of last, best"),
        ("privacy.epsilons=3", "epsilons"),
        ("privacy.epsilons=[0]", "above 0 and at most 20"),
        ("privacy.epsilons=[3,-1]", "above 0 and at most 20"),
        ("privacy.epsilons=[nan]", "epsilons[0]: found float 'nan'"),
        ("privacy.epsilons=[inf]", "above 0 and at most 20"),
        ("privacy.metrics=some", "expected one of exact, none"),
        ("privacy.dp_engine=ghost", "expected one of kernel, opacus"),
        ("seeds=[]", "at least one"),
        ("seeds=[a]", "expected a whole number"),
        ("seeds=0", "seeds"),
        ("arms=[locl]", "expected one of local, best_alone, federated, pooled, incumbent"),
        ("workers=0", "at least 1"),
        ("data.length=0", "at least 1 period"),
        ("model.kind=transformer", "expected one of logistic, mlp, lstm"),
        ("model=transformer", "transformer"),
        ("privacy=strong", "strong"),
        ("strategy=fedavgg", "fedavgg"),
        ("federation.engine=spark", "expected one of inprocess, ray"),
        ("recipe.strategy._target_=os.system", "a class of flwr.serverapp.strategy"),
        ("recipe.strategy._target_=flwr.serverapp.strategy.fedavg.os.system", "a class of flwr.serverapp.strategy"),
        ("recipe.strategy._target_=flwr.serverapp.strategyx.FedAvg", "a class of flwr.serverapp.strategy"),
        ("+recipes.locl={rounds: 3}", "unknown key 'locl'"),
        ("+recipes.local={rouns: 3}", "did you mean 'rounds'?"),
        ("+recipes.local_private={rouns: 3}", "did you mean 'rounds'?"),
        ("+recipes.federated={strategy: {_target_: builtins.exec}}", "a class of flwr.serverapp.strategy"),
        ("=", "command line"),
        ("seeds=[0", "command line"),
    ],
)
def test_a_slip_is_refused_with_its_remedy(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("quickstart", [override])
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    assert caught.value.exit_code == 2


@pytest.mark.skip(reason="quickstart.yaml sets model keys itself, which wins over the group chosen on the command line")
def test_another_group_may_be_chosen_on_the_command_line() -> None:
    settings = load("quickstart", ["model=mlp"])
    assert (settings.model.kind, settings.model.hidden, settings.model.second_hidden) == ("mlp", 64, 32)


def test_a_recipe_of_a_method_that_is_not_run_is_an_unknown_key() -> None:
    assert load("quickstart", ["methods=[federated,local_head]", "+recipes.local_head={share: body}"])
    with pytest.raises(ConfigError, match="unknown key 'local_head'"):
        load("quickstart", ["+recipes.local_head={share: body}"])


def test_a_study_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(ConfigError, match="quickstart"):
        load("quikstart")


def test_the_defaults_are_themselves_settings() -> None:
    assert StudySettings().recipe_for("federated", is_private=True).method == "fedavg"
