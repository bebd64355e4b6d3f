"""The limits that an institution sets for itself, whatever a platform proposes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from fedcredit.errors import BudgetSpent, ConfigError, PolicyRefused
from fedcredit.strict import build


@dataclass(frozen=True)
class Ceilings:
    """None sets no limit.

    lifetime_epsilon: of a company, over every run and release here, at the smallest delta among them. run_epsilon: of
    one run. least_noise: noise multiplier of training. largest_clip: norm of one company's gradient. least_sum: the
    number of institutions of a masked sum, without which nothing computed from rows leaves. institutions: the
    largest number of institutions that a company may be known to; it sets no limit, and is what the figure across
    institutions is stated for.
    """

    lifetime_epsilon: float | None = None
    run_epsilon: float | None = None
    least_noise: float | None = None
    largest_clip: float | None = None
    least_sum: int | None = None
    institutions: int = 1

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name != "institutions"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise ConfigError(f"ceilings.{name}", found=repr(value), expected="a number above 0, or nothing")
        if self.institutions < 1:
            raise ConfigError("ceilings.institutions", found=str(self.institutions), expected="at least 1")

    @staticmethod
    def read(path: Path) -> Ceilings:
        """The ceilings in a YAML file.

        Raises:
            ConfigError: the file cannot be read, or has another key or a wrong value.
        """
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as fault:
            raise ConfigError(str(path), found=type(fault).__name__, expected="a YAML file of ceilings") from fault
        return build(Ceilings, raw or {}, where=str(path))

    def check_training(self, *, noise_multiplier: float, clip: float) -> None:
        """Pass training whose noise and clip are within this institution's own limits.

        Raises:
            PolicyRefused: less noise than the floor, or a larger clip than the ceiling.
        """
        if self.least_noise is not None and noise_multiplier < self.least_noise:
            hint = "a smaller epsilon, a smaller sample rate or more rounds take more noise"
            found = f"a noise multiplier of {noise_multiplier:.3g}"
            raise PolicyRefused("task.privacy", found=found, expected=f"at least {self.least_noise:g} here", hint=hint)
        if self.largest_clip is not None and clip > self.largest_clip:
            raise PolicyRefused("task.privacy.clip", found=f"{clip:g}", expected=f"at most {self.largest_clip:g} here")

    def check_sum(self, institutions: int) -> None:
        """Pass what leaves in a masked sum of that many institutions, 0 where it would leave in the clear.

        A third of a sum may collude (privacy/README.md), and the platform names who is in it: this says how small.

        Raises:
            PolicyRefused: they are fewer than this institution asks for.
        """
        if self.least_sum is not None and institutions < self.least_sum:
            found = f"a masked sum of {institutions}" if institutions else "an update or counts in the clear"
            raise PolicyRefused("task.masking", found=found, expected=f"a masked sum of {self.least_sum} or more here")

    def check_spend(self, *, run: float, lifetime: float, before: float) -> None:
        """Pass a plan whose run and lifetime stay within the ceilings; `before` is the lifetime's epsilon without it.

        Raises:
            BudgetSpent: one of them does not; nothing was charged.
        """
        if self.run_epsilon is not None and run > self.run_epsilon:
            hint = "ask for a smaller epsilon; the institution's policy sets what one run may spend"
            raise BudgetSpent("run", found=f"epsilon {run:.4g}", expected=f"at most {self.run_epsilon:g}", hint=hint)
        if self.lifetime_epsilon is not None and lifetime > self.lifetime_epsilon:
            raise BudgetSpent(
                "lifetime of the companies",
                found=f"epsilon {lifetime:.4g} with this run, {before:.4g} without it",
                expected=f"at most {self.lifetime_epsilon:g}",
                hint="ask for a smaller epsilon; fedcredit node ledger shows what is left, ledger plan what would fit",
            )
