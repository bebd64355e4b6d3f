"""What crosses between platform and institution: the task as numbers and names, and the limits of every message."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from flwr.app import ConfigRecord

from fedcredit.errors import ConfigError
from fedcredit.federation.counting import CountTerms
from fedcredit.models.build import ModelSettings
from fedcredit.models.train import LocalSettings
from fedcredit.privacy.distributed import Crowd
from fedcredit.privacy.units import Unit
from fedcredit.strict import build

# Message types; Flower accepts "<train|evaluate|query>" and "<...>.<action>".
TRAIN = "train"
PERSONALISE = "train.personalise"
EVALUATE = "evaluate"
DESCRIBE = "query.describe"
SPENT = "query.spent"
# Masked sums (privacy/secagg): three messages once a run, then shares, the masked update, and two to open the sum.
KEYS = "query.keys"
AGREE = "query.agree"
CONFIRM = "query.confirm"
SHARES = "query.shares"
MASKED = "train.masked"
SURVIVORS = "query.survivors"
UNMASK = "query.unmask"
# Held-out rows counted by score, class and segment (counting.py): in the clear, or under the same masks.
COUNTS = "query.counts"
COUNTS_MASKED = "query.masked"
COUNTING = (COUNTS, COUNTS_MASKED)

# Record names and keys: Flower's defaults where it has one.
ARRAYS = "arrays"
METRICS = "metrics"
CONFIG = "config"
EXAMPLES = "num-examples"
SECAGG = "secagg"  # a message of the masking protocol, in the config record
DEAL = "secagg-deal"  # the shares of the next round, beside a masked update
WORDS = "masked"  # the masked vector, in the arrays record
QUESTION = "counts"  # in the config: which counts are asked for; and the array of them that comes back

MAX_TASK_BYTES = 64 * 1024  # a task is a few hundred bytes of JSON
MAX_PERIODS = MAX_WIDTH = 1024  # a larger model would only be asked for to exhaust an institution's memory
MAX_LAYERS = 8
MAX_FACTORS = 32
MAX_EXAMPLES = 100_000_000  # more companies than there are
# A clip so small that float32 rounds the noise away, or a rate below what float32 can draw, would be no privacy; a
# large epsilon or a long run takes the accountant gigabytes.
PRIVACY_LIMITS = {"epsilon": (1e-3, 20.0), "delta": (1e-12, 1e-3), "clip": (1e-3, 1e3), "sample_rate": (1e-5, 1.0)}
MAX_NOISY_STEPS = 100_000
MAX_ROUND = 100_000
MAX_LOCAL_STEPS = 1_000_000
MAX_RUN_NAME = 120
MIN_SUM = 4  # institutions in a masked sum: of three, two that talk would know the third's update
MAX_SUM = 1000
UPDATE_LIMITS = (1e-3, 1e6)
SCORE_BINS = 512  # bins of the score histograms that carry the validation AUC; error of the AUC below 1e-3


@dataclass(frozen=True)
class PrivacyTerms:
    """What an institution must do before an update leaves: clip each company, sample companies, add noise.

    epsilon and delta cover the whole planned run of `rounds` x `steps` noisy steps at one institution; the
    institution solves its own noise multiplier from them and keeps its own accountant. noise: `local` makes each update
    private by itself; `distributed` makes the masked sum private, with a share of its noise from each institution (see
    privacy/distributed.py), at most `dropouts` of which may be missing. `engine` names what computes the noisy steps;
    both promise the same. unit: whom the promise is about (privacy/units.py): a `company` at this institution, a
    company at all of them together, or the whole `institution`, whose update is clipped and noised as one.
    """

    epsilon: float
    delta: float
    clip: float
    sample_rate: float
    steps: int
    rounds: int
    noise: Literal["local", "distributed"] = "local"
    dropouts: int = 0
    engine: Literal["kernel", "opacus"] = "kernel"
    unit: Unit = "company"

    def __post_init__(self) -> None:
        for name, (low, high) in PRIVACY_LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"privacy.{name}", found=str(value), expected=f"{low:g} to {high:g}")
        if self.steps < 1 or self.rounds < 1 or self.steps * self.rounds > MAX_NOISY_STEPS:
            found, most = f"{self.steps} x {self.rounds}", f"at least 1 x 1, at most {MAX_NOISY_STEPS} in all"
            raise ConfigError("privacy.steps", found=found, expected=most)
        if self.unit == "institution" and (self.steps, self.sample_rate, self.noise) != (1, 1.0, "local"):
            found = f"{self.steps} steps at rate {self.sample_rate:g}, {self.noise} noise"
            expected = "1 noised update a round, of all rows: steps 1, sample_rate 1, noise local"
            raise ConfigError("privacy.unit", found=f"institution with {found}", expected=expected)


@dataclass(frozen=True)
class Masking:
    """Whose updates the platform sees only as a sum.

    groups: the institutions of each sum, by name: one group, or several buckets for a strategy that is robust against
    some of them. limit: the largest number that an update may hold; a larger one is refused, never wrapped around.
    """

    groups: tuple[tuple[str, ...], ...]
    limit: float

    def __post_init__(self) -> None:
        names = [name for group in self.groups for name in group]
        if not self.groups or any(not MIN_SUM <= len(group) <= MAX_SUM for group in self.groups):
            sizes = ", ".join(str(len(group)) for group in self.groups) or "none"
            hint = "of fewer, those that talk to each other would know the rest"
            raise ConfigError("masking.groups", found=sizes, expected=f"{MIN_SUM} institutions or more each", hint=hint)
        if len(set(names)) < len(names):
            raise ConfigError("masking.groups", found="one institution twice", expected="each once")
        if not UPDATE_LIMITS[0] <= self.limit <= UPDATE_LIMITS[1]:
            expected = f"{UPDATE_LIMITS[0]:g} to {UPDATE_LIMITS[1]:g}"
            raise ConfigError("masking.limit", found=repr(self.limit), expected=expected)

    def group_of(self, institution: str) -> tuple[str, ...] | None:
        """The group that the institution is in."""
        return next((group for group in self.groups if institution in group), None)


@dataclass(frozen=True)
class Task:
    """What one study asks of every institution; equal in all rounds, so it crosses as one JSON string and its digest.

    `share` names the arrays that travel: all of them, or the body only (each institution keeps its own head).
    `personal` is the fine-tuning that an institution does for itself after the last round. `study` is the name under
    which a consortium has allowed it. metrics: `exact` validation counts, none, or `noised` ones; `counts` are the
    terms on which evaluations are answered, if any is. A task without them is written as before there were any.

    >>> task = Task(run="r1", model=ModelSettings(kind="logistic"), features=("debt",), time=1, seed=7)
    >>> Task.from_json(task.to_json()) == task
    True
    """

    run: str
    model: ModelSettings
    features: tuple[str, ...]
    time: int
    seed: int
    local: LocalSettings = field(default_factory=LocalSettings)
    share: Literal["all", "body"] = "all"
    privacy: PrivacyTerms | None = None
    personal: LocalSettings | None = None
    personal_mu: float = 0.0
    metrics: Literal["exact", "noised", "none"] = "exact"
    masking: Masking | None = None
    study: str = ""
    counts: CountTerms | None = None

    def __post_init__(self) -> None:
        sizes = {
            "time": (self.time, MAX_PERIODS),
            "hidden": (self.model.hidden, MAX_WIDTH),
            "second_hidden": (self.model.second_hidden, MAX_WIDTH),
            "layers": (self.model.layers, MAX_LAYERS),
            "factors": (len(self.model.factors), MAX_FACTORS),
            "inputs": (sum(len(factor.inputs) for factor in self.model.factors), MAX_WIDTH),
        }
        for name, (size, most) in sizes.items():
            if size > most:
                raise ConfigError(f"task.{name}", found=str(size), expected=f"at most {most}")
        if self.time < 1:
            raise ConfigError("task.time", found=str(self.time), expected="at least 1 period")
        for local in (self.local, self.personal):
            if local is not None and max(local.epochs, local.steps or 0) > MAX_LOCAL_STEPS:
                raise ConfigError("task.local", found="more steps or epochs", expected=f"at most {MAX_LOCAL_STEPS}")
        for name, said in (("run", self.run), ("study", self.study)):
            if len(said) > MAX_RUN_NAME:
                raise ConfigError(f"task.{name}", found=f"{len(said)} letters", expected=f"at most {MAX_RUN_NAME}")
        if self.share == "body" and self.model.kind == "logistic":
            raise ConfigError(
                "task.share",
                found="body, with a logistic regression",
                expected="all",
                hint="all its weights are in the head, so nothing would travel; take an mlp or an lstm",
            )
        if self.privacy is not None and self.privacy.noise == "distributed":
            self._check_distributed(self.privacy)
        if not 0.0 <= self.personal_mu < float("inf"):
            raise ConfigError("task.personal_mu", found=str(self.personal_mu), expected="a number, 0 or more")
        self._check_counts()

    def _check_counts(self) -> None:
        """Noised counts have an epsilon, exact ones have none, and without metrics there are no counts."""
        said = "none" if self.counts is None else "noised" if self.counts.is_noised else "exact"
        if said != self.metrics and (self.metrics == "noised" or self.counts is not None):
            hint = "counts.epsilon goes with metrics: noised, and counts without it with metrics: exact"
            raise ConfigError("task.counts", found=f"{said} counts, metrics {self.metrics}", expected="both", hint=hint)
        if self.counts is not None and self.share == "body":
            hint = "each institution would score with a head of its own, and the sum would be of no model"
            raise ConfigError("task.counts", found="counts with share=body", expected="share: all", hint=hint)
        if self.counts is not None and self.counts.is_noised and self.masking is not None:
            for group in self.masking.groups:
                Crowd.of(len(group), dropouts=self.counts.dropouts)

    def _check_distributed(self, terms: PrivacyTerms) -> None:
        """A sum of gradients is what distributed noise is for: one plain step a round, under masks."""
        if self.masking is None or len(self.masking.groups) != 1:
            raise ConfigError("privacy.noise", found="distributed without one masked sum", expected="masking, or local")
        Crowd.of(len(self.masking.groups[0]), dropouts=terms.dropouts)
        local = self.local
        if terms.steps != 1 or local.optimizer != "sgd" or local.momentum or local.weight_decay or self.share != "all":
            found = f"{terms.steps} steps of {local.optimizer}, momentum {local.momentum:g}, share {self.share}"
            expected = "one step of plain sgd on all weights"
            hint = "several local steps have no stated argument for noise in the sum; take noise: local"
            raise ConfigError("privacy.noise", found=found, expected=expected, hint=hint)

    def to_json(self) -> str:
        """One line of JSON with sorted keys: equal tasks give equal bytes."""
        return _as_json(self)

    @staticmethod
    @lru_cache(maxsize=64)
    def from_json(text: str) -> Task:
        """The task in `text`, checked field by field.

        Raises:
            ConfigError: the text is too long, not JSON, or has an unknown, missing or mistyped field.
        """
        if len(text.encode()) > MAX_TASK_BYTES:
            raise ConfigError("task", found=f"{len(text)} characters", expected=f"at most {MAX_TASK_BYTES} bytes")
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigError("task", found="text that is not JSON", expected="one JSON object") from None
        if isinstance(raw, dict):
            raw.setdefault("counts", None)
        return build(Task, raw, where="task", complete=True)

    def as_config(self, **more: int | float | str) -> ConfigRecord:
        """The config record of one message: the task, its digest, and what differs by round."""
        text = self.to_json()
        return ConfigRecord({"task": text, "task-sha256": hashlib.sha256(text.encode()).hexdigest(), **more})

    @staticmethod
    def from_config(config: ConfigRecord) -> Task:
        """The task that a message carries, after its digest was checked."""
        text, digest = config.get("task"), config.get("task-sha256")
        if not isinstance(text, str) or hashlib.sha256(text.encode()).hexdigest() != digest:
            raise ConfigError("task", found="a digest that does not fit", expected="sha256 of the task text")
        return Task.from_json(text)


@lru_cache(maxsize=64)
def _as_json(task: Task) -> str:
    # Every message of a run carries the same task, and taking it apart costs more than sending it.
    said = dataclasses.asdict(task)
    if said["counts"] is None:  # so that a run that began before there were counts goes on under the same digest
        del said["counts"]
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
