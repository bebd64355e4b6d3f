"""A composed Hydra configuration becomes the typed settings of a study, or is refused before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedcredit.data.windows import SPLITS
from fedcredit.errors import ConfigError
from fedcredit.evaluation.changes import Terms
from fedcredit.settings import StudySettings, TableSettings
from fedcredit.strict import build

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def load(name: str, overrides: Sequence[str] = ()) -> StudySettings:
    """The settings of configs/experiment/NAME.yaml with Hydra overrides such as `seeds=[0]` or `model=mlp`.

    Raises:
        ConfigError: no such study, a misspelt key, a wrong type, or a value out of range.
    """
    known = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
    if name not in known:
        raise ConfigError("study", found=repr(name), expected=f"one of {', '.join(known)}", hint="fedcredit study list")
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3", job_name="fedcredit"):
            composed = compose("study", overrides=[f"experiment={name}", *overrides])
    except (HydraException, OmegaConfBaseException) as fault:
        lines = [line.strip() for line in str(fault).strip().splitlines()]
        found = " ".join(line for line in lines if line and not line.startswith(("Config search", "provider=")))[:600]
        hint = f"fedcredit study show {name} prints every key and its value"
        raise ConfigError("command line", found=found, expected="keys of configs/study.yaml", hint=hint) from None
    return typed(composed)


def typed(composed: DictConfig) -> StudySettings:
    """The typed settings of a composed configuration; every recipe is built once, so a slip is found now."""
    raw = OmegaConf.to_container(composed, resolve=True)
    if isinstance(raw, dict):
        raw.pop("hydra", None)
    settings = build(StudySettings, raw, where="study")
    for arm in ("local", "federated", "pooled"):
        for is_private in (False, True):
            settings.recipe_for(arm, is_private=is_private)
    for method in settings.methods:
        settings.recipe_for("federated", is_private=False, method=method)
    _check(settings)
    return settings


def register() -> None:
    """Give Hydra every key with its default, so that it too refuses a misspelt one."""
    ConfigStore.instance().store(name="defaults", node=_plain(asdict(StudySettings())))


def _check(settings: StudySettings) -> None:
    if not settings.seeds:
        raise ConfigError("seeds", found="none", expected="at least one")
    if settings.workers < 1:
        raise ConfigError("workers", found=str(settings.workers), expected="at least 1")
    if len(set(settings.seeds)) < len(settings.seeds):
        raise ConfigError("seeds", found="one seed twice", expected="different ones")
    if not set(settings.arms) - {"incumbent"} or not settings.methods:
        raise ConfigError("arms", found="nothing to train", expected="federated, local, pooled or best_alone")
    if settings.data.columns is not None and settings.data.name in ("economy", "hub", "table"):
        raise ConfigError(
            "data.columns",
            found=f"columns with data={settings.data.name}",
            expected="a public set",
            hint="data.table.features names those of your own table",
        )
    if settings.data.name != "table" and settings.data.table != TableSettings():
        raise ConfigError(
            "data.table", found=f"settings of your own table with data={settings.data.name}", expected="data=table"
        )
    if any(e is not None for e in settings.privacy.epsilons):
        for arm in ("federated", "local", "pooled"):
            if settings.recipe_for(arm, is_private=True).strategy.get("proximal_mu"):
                raise ConfigError(
                    f"recipes.{arm}", found="a proximal term under privacy", expected="a strategy without one"
                )
    named = {*settings.methods, *settings.pooled_methods, "local", "federated", "pooled"}
    for key in settings.recipes:
        if key.removesuffix("_private") not in named:
            expected = ", ".join(sorted(named)) + ", each also with _private"
            raise ConfigError("recipes", found=f"unknown key {key!r}", expected=expected)
    unknown = set(settings.evaluation.headline.split("+")) - set(settings.evaluation.splits)
    if unknown or not set(settings.evaluation.splits) <= set(SPLITS):
        scored = ", ".join(settings.evaluation.splits)
        found = f"{settings.evaluation.headline!r} of splits {scored}"
        raise ConfigError("evaluation.headline", found=found, expected=f"some of {', '.join(SPLITS)}, joined by +")
    Terms(settings.gain.approval_rate, settings.gain.average_loan, settings.gain.lgd)  # refuses what makes no sense
    if settings.federation.engine == "superlink":
        _check_deployed(settings)
    if settings.federation.quorum is not None and settings.federation.quorum < 1:
        raise ConfigError("federation.quorum", found=str(settings.federation.quorum), expected="at least 1")
    if settings.partition.n < 1:
        raise ConfigError("partition.n", found=str(settings.partition.n), expected="at least 1")
    if settings.data.length < 1:
        raise ConfigError("data.length", found=str(settings.data.length), expected="at least 1 period")


def _check_deployed(settings: StudySettings) -> None:
    """At a consortium no process holds two institutions' rows, and what a node keeps for itself is not seen here."""
    reasons = {
        "pooled": "no process may hold all rows",
        "local": "each institution's own model stays with it",
        "best_alone": "each institution's own rows stay with it",
    }
    for arm in settings.arms:
        if arm in reasons:
            found = f"{arm} with engine=superlink: {reasons[arm]}"
            hint = f"fedcredit study run {settings.study} engine=superlink arms=[federated]"
            if any(epsilon is not None for epsilon in settings.privacy.epsilons) and settings.privacy.metrics != "none":
                hint += " privacy.metrics=none"
            hint += "; the other arms run without engine=superlink, where all rows are yours"
            raise ConfigError("arms", found=found, expected="federated, and incumbent", hint=hint)
    if settings.leave_one_out:
        hint = "a member that should stay out stops its node, or refuses the study"
        raise ConfigError("leave_one_out", found="true with engine=superlink", expected="false", hint=hint)
    for method in settings.methods:
        for is_private in (False, True):
            recipe = settings.recipe_for("federated", is_private=is_private, method=method)
            if recipe.share != "all" or recipe.personal is not None:
                hint = "personal heads and models stay at the nodes, where the operator cannot score them"
                raise ConfigError("recipe.share", found="a personal part", expected="share: all", hint=hint)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
