"""Names of model inputs become factors: which inputs each one reads, and which way every input makes credit better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedcredit.data.features import PRESENT
from fedcredit.data.indicators import FACTOR_SIZES, indicators
from fedcredit.data.transforms import MISSING
from fedcredit.errors import ConfigError

MAX_NAME = 64  # letters of a factor's name; it stands in tables of reasons


@dataclass(frozen=True)
class Factor:
    """The inputs of one factor: more of an `up` input is better credit, more of a `down` input is worse.

    Of `free` inputs nothing is assumed: inner optima, categories, flags.

    >>> Factor("solvency", up=("cash",), down=("debt",)).inputs
    ('cash', 'debt')
    """

    name: str
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    free: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME:
            found, expected = f"a name of {len(self.name)} letters", f"1 to {MAX_NAME}"
            raise ConfigError("factor.name", found=found, expected=expected)
        if not self.inputs:
            raise ConfigError(f"factor {self.name!r}", found="no inputs", expected="at least one")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every input of the factor."""
        return self.up + self.down + self.free


def check_apart(factors: Sequence[Factor]) -> None:
    """Refuse factors that share a name or an input: a contribution belongs to one factor."""
    for what, names in (("factor", [f.name for f in factors]), ("input", [n for f in factors for n in f.inputs])):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ConfigError("model.factors", found=f"{what} {twice[0]!r} twice", expected="each once")


def factors_for(features: Sequence[str], factors: Sequence[Factor] = ()) -> tuple[Factor, ...]:
    """The factors of a model with these inputs: the given ones, or where none are given those of the dictionary.

    A missing flag joins the factor of its indicator as a free input. `present` says which periods are padding; it
    belongs to no factor unless one names it, since how long a company has been known is no indicator.

    >>> factors_for(["debt_ratio", "current_ratio", "rev_cagr", "rev_cagr_missing", "present"])[0]
    Factor(name='F-A', up=(), down=('debt_ratio',), free=('current_ratio',))

    Raises:
        ConfigError: an input belongs to no factor, or a factor names an input that the model does not have.
    """
    chosen = [_with_flags(factor, features) for factor in factors or _of_dictionary(features)]
    check_apart(chosen)
    owned = {name for factor in chosen for name in factor.inputs}
    if unknown := sorted(owned - set(features)):
        raise ConfigError("model.factors", found=_listed(unknown), expected="inputs that the table gives the model")
    if homeless := [name for name in features if name not in owned and name != PRESENT]:
        hint = "name them in model.factors as up, down or free, or leave their columns out"
        raise ConfigError("model.factors", found=f"no factor for {_listed(homeless)}", expected="one each", hint=hint)
    if not any(factor.up or factor.down for factor in chosen):
        hint = "take a plain lstm where no direction is known"
        raise ConfigError("model.factors", found="free inputs only", expected="an input with a direction", hint=hint)
    return tuple(chosen)


def _of_dictionary(features: Sequence[str]) -> list[Factor]:
    made = []
    for name in FACTOR_SIZES:
        known = [i for i in indicators() if i.factor == name and i.id in features]
        way = {way: tuple(i.id for i in known if i.direction == way) for way in ("up", "down", "inner")}
        if known:
            made.append(Factor(name, up=way["up"], down=way["down"], free=way["inner"]))
    return made


def _with_flags(factor: Factor, features: Sequence[str]) -> Factor:
    flags = [name + MISSING for name in factor.inputs]
    more = tuple(flag for flag in flags if flag in features and flag not in factor.inputs)
    return replace(factor, free=factor.free + more)


def _listed(names: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name[:80]) for name in names[:most]) + rest
