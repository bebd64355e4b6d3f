"""A composed Hydra configuration becomes typed settings, or is refused before anything runs.

The settings dataclasses live in the rooms that use them; this file only puts them together for one study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedcredit.data.economy import EconomySettings
from fedcredit.data.windows import SPLITS
from fedcredit.errors import ConfigError
from fedcredit.evaluation.changes import Terms
from fedcredit.models.build import ModelSettings
from fedcredit.models.train import LocalSettings
from fedcredit.strict import build

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
Arm = Literal["local", "best_alone", "federated", "pooled", "incumbent"]
LARGEST_DELTA = 1e-5  # at most min(1e-5, 1/(10 n))
STRATEGIES = "flwr.serverapp.strategy."


@dataclass(frozen=True)
class TableSettings:
    """Your own table: where it is and what its columns mean (see `data.tables`)."""

    path: str | None = None
    label: str | None = None
    company: str | None = None
    period: str | None = None
    institution: str | None = None
    split: str | None = None
    features: tuple[str, ...] | None = None
    kinds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    incumbent: str | None = None
    amount: str | None = None
    size: str | None = None
    sector: str | None = None
    stratum: str | None = None
    encoding: str | None = None
    allow_gaps: bool = False
    label_definition: str = "unstated"


@dataclass(frozen=True)
class DataSettings:
    """Which rows: the synthetic `economy`, your own `table`, or a public set by name; `length` periods a window."""

    name: str = "economy"
    length: int = 1
    columns: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    economy: EconomySettings = field(default_factory=EconomySettings)
    table: TableSettings = field(default_factory=TableSettings)


@dataclass(frozen=True)
class PartitionSettings:
    """How rows become institutions; `none` keeps the table's own institution column."""

    by: Literal["none", "column", "hash", "size_quantile", "dirichlet", "contiguous"] = "none"
    column: str | None = None
    n: int = 5
    alpha: float = 0.5
    noise: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """How one arm trains. `strategy` is a constructor of flwr.serverapp.strategy in YAML; clip, sample_rate and steps
    count under privacy only; `personal` fine-tunes the final model at each institution; `model` is another than the
    study's.
    """

    method: str = "fedavg"
    strategy: Mapping[str, Any] = field(default_factory=lambda: {"_target_": "flwr.serverapp.strategy.FedAvg"})
    rounds: int = 10
    local: LocalSettings = field(default_factory=LocalSettings)
    share: Literal["all", "body"] = "all"
    select: Literal["last", "best"] = "last"
    patience: int | None = None
    clip: float = 1.0
    sample_rate: float = 0.1
    steps: int = 1
    personal: LocalSettings | None = None
    personal_mu: float = 0.0
    model: ModelSettings | None = None

    def __post_init__(self) -> None:
        target = str(self.strategy.get("_target_", ""))
        if not target.startswith(STRATEGIES) or "." in target.removeprefix(STRATEGIES):
            raise ConfigError("recipe.strategy", found=f"_target_ {target!r}", expected=f"a class of {STRATEGIES}*")
        for name, low, high in (("rounds", 1, 100_000), ("steps", 1, 100_000), ("clip", 1e-3, 1e3)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"recipe.{name}", found=f"{getattr(self, name)}", expected=f"{low:g} to {high:g}")
        if not 1e-5 <= self.sample_rate <= 1:
            raise ConfigError("recipe.sample_rate", found=f"{self.sample_rate}", expected="above 0, at most 1")


@dataclass(frozen=True)
class FederationSettings:
    """How rounds are held; a quorum of null is a majority of the institutions."""

    engine: Literal["inprocess", "ray", "superlink"] = "inprocess"
    quorum: int | None = None
    deadline_seconds: float = 3600.0
    wait_seconds: float = 600.0
    poll_seconds: float = 0.5


@dataclass(frozen=True)
class PrivacySettings:
    """Epsilon targets to run (null trains without privacy); a delta of null takes min(1e-5, 1/(10 n))."""

    epsilons: tuple[float | None, ...] = (None,)
    delta: float | None = None
    metrics: Literal["exact", "none"] = "none"

    def __post_init__(self) -> None:
        for epsilon in self.epsilons:
            if epsilon is not None and not 1e-3 <= epsilon <= 20:
                raise ConfigError("privacy.epsilons", found=f"{epsilon}", expected="above 0 and at most 20, or null")
        if self.delta is not None and not 0 < self.delta <= LARGEST_DELTA:
            raise ConfigError("privacy.delta", found=f"{self.delta}", expected=f"above 0, at most {LARGEST_DELTA:g}")


@dataclass(frozen=True)
class EvaluationSettings:
    """What is judged: `headline` is the split (or "validation+test") of the comparisons; `judge` the rows that the
    one-institution arms are scored on there; `outside_mean` the institutions that means leave out; `target_rate` the
    default rate that calibration shifts to (null takes the validation split's, or the training split's where there is
    none).
    """

    splits: tuple[str, ...] = ("validation", "test")
    headline: str = "test"
    judge: Literal["whole", "own"] = "whole"
    outside_mean: tuple[str, ...] = ()
    draws: int = 2000
    target_rate: float | None = None


@dataclass(frozen=True)
class GainSettings:
    """Whose gain, by method (null: the first), and its money side: stated, never estimated from the rows."""

    method: str | None = None
    average_loan: float | None = None
    lgd: float = 0.45
    currency: str = ""
    approval_rate: float = 0.8


@dataclass(frozen=True)
class TrackingSettings:
    """MLflow: a uri of null is sqlite in the runs folder; `register` makes the candidate a model version."""

    mlflow: bool = True
    uri: str | None = None
    register: bool = True


@dataclass(frozen=True)
class StudySettings:
    """One study. `recipes` holds what differs from `recipe`, by arm ("local"), "<arm>_private" or name of a method."""

    study: str = "study"
    question: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    arms: tuple[Arm, ...] = ("local", "best_alone", "federated", "pooled")
    methods: tuple[str, ...] = ("federated",)
    leave_one_out: bool = False
    runs: str = "runs"
    resume: str | None = None
    workers: int = 2
    data: DataSettings = field(default_factory=DataSettings)
    partition: PartitionSettings = field(default_factory=PartitionSettings)
    model: ModelSettings = field(default_factory=lambda: ModelSettings(kind="lstm"))
    recipe: Recipe = field(default_factory=Recipe)
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    federation: FederationSettings = field(default_factory=FederationSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    gain: GainSettings = field(default_factory=GainSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    targets: tuple[Mapping[str, Any], ...] = ()

    def recipe_for(self, arm: str, *, is_private: bool, method: str = "federated") -> Recipe:
        """The recipe of one arm: the base, then what `recipes` says of the arm, its private form and the method.

        >>> settings = StudySettings(recipes={"local": {"rounds": 3}, "local_private": {"local": {"lr": 0.5}}})
        >>> recipe = settings.recipe_for("local", is_private=True)
        >>> recipe.rounds, recipe.local.lr, recipe.local.batch_size
        (3, 0.5, 64)
        """
        raw: dict[str, Any] = asdict(self.recipe)
        for key in dict.fromkeys((arm, *([method] if arm == "federated" else []))):
            raw = _merge(raw, self.recipes.get(key, {}))
            if is_private:
                raw = _merge(raw, self.recipes.get(f"{key}_private", {}))
        return build(Recipe, raw, where=f"recipes.{arm}")


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
    if settings.data.columns is not None and settings.data.name in ("economy", "table"):
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
    named = {*settings.methods, "local", "federated", "pooled"}
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
        hint = "engine=inprocess or engine=ray; a superlink has no pooled arm, and trains local at the node"
        raise ConfigError(
            "federation.engine",
            found="superlink",
            expected="an engine on this machine, until the node exists",
            hint=hint,
        )
    if settings.federation.quorum is not None and settings.federation.quorum < 1:
        raise ConfigError("federation.quorum", found=str(settings.federation.quorum), expected="at least 1")
    if settings.partition.n < 1:
        raise ConfigError("partition.n", found=str(settings.partition.n), expected="at least 1")
    if settings.data.length < 1:
        raise ConfigError("data.length", found=str(settings.data.length), expected="at least 1 period")


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`; groups are merged key by key, except a strategy, which is one constructor call."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping) and key != "strategy"
        merged[key] = _merge(dict(base[key]), value) if both else value
    return merged


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
