"""The settings of one study, as dataclasses: the rooms' own settings put together, each checked as it is built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fedcredit.data.economy import EconomySettings
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.errors import ConfigError
from fedcredit.models.build import ModelSettings
from fedcredit.models.train import LocalSettings
from fedcredit.strict import build

Arm = Literal["local", "best_alone", "federated", "pooled", "incumbent"]
LARGEST_DELTA = 1e-5  # at most min(1e-5, 1/(10 n))
STRATEGIES = "flwr.serverapp.strategy."
# Where and how fast a study runs, and what was hoped of it, does not change what it finds.
NOT_PART_OF_A_STUDY = ("runs", "resume", "workers", "tracking", "targets", "question")


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
    region: str | None = None
    stratum: str | None = None
    encoding: str | None = None
    allow_gaps: bool = False
    label_definition: str = "unstated"


@dataclass(frozen=True)
class HubSettings:
    """A synthetic economy of 18 raw tables, which an institution's own steps check, keep and turn into indicators.

    `as_of` is the last day that the indicators know of; a company's institution is its `region` or its `bank`.
    """

    economy: WorldSettings = field(default_factory=WorldSettings)
    as_of: str = "2024-12-31"
    months: int = 12
    horizon_months: int = 12
    institution: Literal["region", "bank"] = "region"


@dataclass(frozen=True)
class DataSettings:
    """Which rows: the synthetic `economy` or `hub`, your own `table`, or a public set; `length` periods a window."""

    name: str = "economy"
    length: int = 1
    columns: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    economy: EconomySettings = field(default_factory=EconomySettings)
    hub: HubSettings = field(default_factory=HubSettings)
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
    count under privacy only, as does noise: `distributed` noises the masked sum instead of each update, and bears
    `dropouts` institutions that vanish; `personal` fine-tunes the final model at each institution; `model` is another
    than the study's.
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
    noise: Literal["local", "distributed"] = "local"
    dropouts: int = 0
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
    """How rounds are held; a quorum of null is a majority of the institutions.

    trust_mode: the platform sees one `masked` sum, sums of `bucketed` institutions (at least `bucket` each) that a
    robust strategy compares, or every update in the `open`. Null masks where it can: four institutions or more, and a
    strategy that only averages. update_limit: the largest number that a masked update may hold. consortium: whose
    institutions, for engine=superlink; null is the only one that this machine's operator has joined.
    """

    engine: Literal["inprocess", "ray", "superlink"] = "inprocess"
    trust_mode: Literal["masked", "bucketed", "open"] | None = None
    bucket: int = 4
    update_limit: float = 16.0
    consortium: str | None = None
    quorum: int | None = None
    deadline_seconds: float = 3600.0
    wait_seconds: float = 600.0
    poll_seconds: float = 0.5


@dataclass(frozen=True)
class PrivacySettings:
    """Epsilon targets to run (null trains without privacy); a delta of null takes min(1e-5, 1/(10 n)).

    dp_engine: what computes the noisy steps, our `kernel` or `opacus`; both promise the same. unit: whom the federated
    arm's epsilon is about: a `company` at each institution, a company at all of them together
    (`company-across-institutions`), or a whole `institution`. The other arms' is always about a company.
    """

    epsilons: tuple[float | None, ...] = (None,)
    delta: float | None = None
    metrics: Literal["exact", "none"] = "none"
    dp_engine: Literal["kernel", "opacus"] = "kernel"
    unit: Literal["company", "company-across-institutions", "institution"] = "company"

    def __post_init__(self) -> None:
        for epsilon in self.epsilons:
            if epsilon is not None and not 1e-3 <= epsilon <= 20:
                raise ConfigError("privacy.epsilons", found=f"{epsilon}", expected="above 0 and at most 20, or null")
        if self.delta is not None and not 0 < self.delta <= LARGEST_DELTA:
            raise ConfigError("privacy.delta", found=f"{self.delta}", expected=f"above 0, at most {LARGEST_DELTA:g}")


@dataclass(frozen=True)
class CountsSettings:
    """One evaluation of each federated model by its institutions, on the held-out rows that each of them has.

    evaluations: how many the study has in all, so at least its federated units; epsilon: of all of them for one
    company, apart from training, and null counts exactly. rows_per_company, dropouts: see federation/counting.py.
    column, segments: `period`, `size`, `sector`, `region` or `stratum`, and its values that are counted apart.
    is_coarse: the 16 bins that noise needs, with bins: 16.
    """

    evaluations: int = 1
    epsilon: float | None = None
    rows_per_company: int = 1
    dropouts: int = 0
    split: Literal["validation", "test"] = "validation"
    column: Literal["", "period", "size", "sector", "region", "stratum"] = ""
    segments: tuple[str, ...] = ()
    bins: int = 512
    is_coarse: bool = False


@dataclass(frozen=True)
class EvaluationSettings:
    """What is judged: `headline` is the split (or "validation+test") of the comparisons; `judge` the rows that the
    one-institution arms are scored on there; `outside_mean` the institutions that means leave out; `target_rate` the
    default rate that calibration shifts to (null takes the validation split's, or the training split's where there is
    none); `counts` an evaluation at the institutions, null asks for none.
    """

    splits: tuple[str, ...] = ("validation", "test")
    headline: str = "test"
    judge: Literal["whole", "own"] = "whole"
    outside_mean: tuple[str, ...] = ()
    draws: int = 2000
    target_rate: float | None = None
    counts: CountsSettings | None = None


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
    """One study. `recipes` holds what differs from `recipe`, by arm ("local"), "<arm>_private" or name of a method.

    `methods` are ways of federating, `pooled_methods` ways of training on the pooled table.
    """

    study: str = "study"
    question: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    arms: tuple[Arm, ...] = ("local", "best_alone", "federated", "pooled")
    methods: tuple[str, ...] = ("federated",)
    pooled_methods: tuple[str, ...] = ("pooled",)
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

    def recipe_for(self, arm: str, *, is_private: bool, method: str = "") -> Recipe:
        """The recipe of one arm: the base, then what `recipes` says of the arm, its private form and the method.

        >>> settings = StudySettings(recipes={"local": {"rounds": 3}, "local_private": {"local": {"lr": 0.5}}})
        >>> recipe = settings.recipe_for("local", is_private=True)
        >>> recipe.rounds, recipe.local.lr, recipe.local.batch_size
        (3, 0.5, 64)
        """
        raw: dict[str, Any] = asdict(self.recipe)
        for key in dict.fromkeys((arm, *([method] if method and arm in ("federated", "pooled") else []))):
            raw = _merge(raw, self.recipes.get(key, {}))
            if is_private:
                raw = _merge(raw, self.recipes.get(f"{key}_private", {}))
        return build(Recipe, raw, where=f"recipes.{arm}")


def config_sha256(settings: StudySettings) -> str:
    """Digest of what was asked; equal for a run and its resumption, on any machine."""
    asked = {key: value for key, value in asdict(settings).items() if key not in NOT_PART_OF_A_STUDY}
    if settings.data.table.region is None:  # runs from before there was this role keep their digest
        del asked["data"]["table"]["region"]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`; groups are merged key by key, except a strategy, which is one constructor call."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping) and key != "strategy"
        merged[key] = _merge(dict(base[key]), value) if both else value
    return merged
