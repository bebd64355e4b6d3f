"""One federation that an operator asks for becomes JSON for a Flower run, and again an order, checked field by field.

The study was composed on the operator's machine; what crosses is names and numbers. The strategy is the only thing in
it that names code, and that name is held to Flower's own strategies.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.federation.counting import Question
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.messages import Task
from fedcredit.settings import Recipe
from fedcredit.strict import build

MAX_ORDER_BYTES = 256 * 1024
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # a folder's name at the platform


def checked_word(said: str, *, where: str) -> str:
    """The name, if a folder at the platform may have it. Raises ConfigError: it may not."""
    if not _WORD.fullmatch(said):
        raise ConfigError(where, found="other characters", expected="letters, digits, - _ .")
    return said


@dataclass(frozen=True)
class DeployedOrder:
    """What a coordinator is to do: train `task` by `plan`, one unit of one run of one study; then ask `questions`."""

    study: str
    run: str
    unit: str
    task: Task
    plan: RoundPlan
    strategy: Mapping[str, Any]
    questions: tuple[Question, ...] = ()

    def __post_init__(self) -> None:
        for name in ("study", "run", "unit"):
            checked_word(getattr(self, name), where=f"order.{name}")
        most = self.task.counts.evaluations if self.task.counts is not None else 0
        if len(self.questions) > most:
            found, expected = f"{len(self.questions)}", f"at most the {most} evaluations that the task states"
            raise ConfigError("order.questions", found=found, expected=expected)
        Recipe(strategy=self.strategy)  # refuses a target that is no strategy of Flower's
        for key, value in self.strategy.items():
            if not isinstance(value, str | int | float | bool | None):
                raise ConfigError(f"order.strategy.{key}", found=type(value).__name__, expected="a name or a number")
            # Hydra would look up what "${oc.env:NAME}" names at the platform, and takes other keys of its own.
            if (isinstance(value, str) and "$" in value) or (key.startswith("_") and key != "_target_"):
                raise ConfigError(
                    "order.strategy", found="what Hydra resolves", expected="names and numbers as they are"
                )

    @property
    def folder(self) -> str:
        """Where its results are, under the platform's studies."""
        return f"{self.study}/{self.run}/{self.unit}"

    def as_config(self) -> dict[str, str]:
        """The settings of its Flower run."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, ensure_ascii=False)
        return {"order": text, "order-sha256": hashlib.sha256(text.encode()).hexdigest()}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> DeployedOrder:
        """The order in a Flower run's settings.

        Raises:
            ConfigError: it is too long, was changed on its way, or has a field that it should not have.
        """
        text, digest = config.get("order"), config.get("order-sha256")
        if not isinstance(text, str) or len(text.encode()) > MAX_ORDER_BYTES:
            raise ConfigError("order", found="none, or too long", expected=f"at most {MAX_ORDER_BYTES} bytes of JSON")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise ConfigError("order", found="a digest that does not fit", expected="sha256 of the order")
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigError("order", found="text that is not JSON", expected="one JSON object") from None
        return build(DeployedOrder, raw, where="order", complete=True)
