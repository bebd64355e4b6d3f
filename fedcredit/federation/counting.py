"""An evaluation as numbers and names: held-out rows by score, class and segment, and on what terms."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from fedcredit.errors import ConfigError
from fedcredit.strict import build

Split = Literal["validation", "test"]
Column = Literal["", "period", "size", "sector", "region", "stratum"]  # a table's roles; "" cuts nothing
COLUMNS: tuple[str, ...] = tuple(name for name in get_args(Column) if name)

GRID_BINS = 512  # of the public score grid (evaluation/grid.py); fewer bins are neighbours added up
COARSE_BINS = 16  # of evaluation/noised.py: wide ones where scores are, open at both ends
LEAST_BINS = 8
MAX_SEGMENTS = 64
MAX_SEGMENT_NAME = 64
MAX_CELLS = 2**16
LARGEST_COUNT = 2**22  # of one cell at one institution, its noise with it; so many companies are in no cell
MAX_QUESTION_BYTES = 32 * 1024
MAX_EVALUATIONS = 1000
MAX_ROWS_PER_COMPANY = 120  # months of ten years
EPSILON_LIMITS = (1e-2, 20.0)
DELTA_LIMITS = (1e-12, 1e-3)
SMALLEST_CELL = 10  # companies; a smaller count is not shown


@dataclass(frozen=True)
class CountTerms:
    """On what terms a study's evaluations are answered; part of the task, so the study's rule fixes them.

    evaluations: how many the whole study has, over all its runs; an attempt that failed is one of them. epsilon, delta:
    of all of them together, for one company at one institution; no epsilon means exact counts. rows_per_company: the
    last so many held-out rows of a company count, so that the noise is for one company and not for one row; exact
    counts take 1, unless the rows are open. dropouts: how many institutions of a masked sum may be missing, whose
    share of the noise is made up for.

    >>> CountTerms(evaluations=4, epsilon=2.0).is_noised
    True
    """

    evaluations: int
    epsilon: float | None = None
    delta: float = 1e-5
    rows_per_company: int = 1
    dropouts: int = 0

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float, float]] = {
            "evaluations": (self.evaluations, 1, MAX_EVALUATIONS),
            "delta": (self.delta, *DELTA_LIMITS),
            "rows_per_company": (self.rows_per_company, 1, MAX_ROWS_PER_COMPANY),
            "dropouts": (self.dropouts, 0, 1000),
        }
        if self.epsilon is not None:
            limits["epsilon"] = (self.epsilon, *EPSILON_LIMITS)
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise ConfigError(f"counts.{name}", found=str(value), expected=f"{low:g} to {high:g}")

    @property
    def is_noised(self) -> bool:
        """Whether the counts leave with noise, and are charged."""
        return self.epsilon is not None


@dataclass(frozen=True)
class Question:
    """What one evaluation counts: the rows of a split, by segment, class and bin of the public score grid.

    column: by which rows are cut into segments; `segments` are its values that are counted apart, and one segment more,
    the last, has all other rows. bins: a power of two up to 512, equal steps of the grid; is_coarse takes the 16 bins
    that a release under noise needs in their place, see `evaluation.noised.coarse`.

    >>> Question(column="sector", segments=("trade", "mining"), bins=64).shape
    (3, 2, 64)
    """

    split: Split = "validation"
    column: Column = ""
    segments: tuple[str, ...] = ()
    bins: int = GRID_BINS
    is_coarse: bool = False

    def __post_init__(self) -> None:
        if not LEAST_BINS <= self.bins <= GRID_BINS or self.bins & (self.bins - 1):
            expected = f"a power of two, {LEAST_BINS} to {GRID_BINS}"
            raise ConfigError("question.bins", found=str(self.bins), expected=expected)
        if self.is_coarse and self.bins != COARSE_BINS:
            raise ConfigError("question.bins", found=str(self.bins), expected=f"{COARSE_BINS}, where they are coarse")
        if bool(self.column) != bool(self.segments):
            raise ConfigError("question.segments", found="a column or segments", expected="both, or neither")
        if len(set(self.segments)) < len(self.segments) or len(self.segments) > MAX_SEGMENTS:
            expected = f"at most {MAX_SEGMENTS}, each once"
            raise ConfigError("question.segments", found=f"{len(self.segments)} names", expected=expected)
        if any(not 0 < len(name) <= MAX_SEGMENT_NAME for name in self.segments):
            expected = f"1 to {MAX_SEGMENT_NAME} letters"
            raise ConfigError("question.segments", found="a name of another length", expected=expected)
        if self.cells > MAX_CELLS:
            raise ConfigError("question", found=f"{self.cells} cells", expected=f"at most {MAX_CELLS}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Segments, then good and bad, then bins."""
        return (len(self.segments) + 1, 2, self.bins)

    @property
    def cells(self) -> int:
        """How many counts that is."""
        return (len(self.segments) + 1) * 2 * self.bins

    def to_json(self) -> str:
        """One line of JSON with sorted keys: equal questions give equal bytes."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @staticmethod
    @lru_cache(maxsize=64)
    def from_json(text: str) -> Question:
        """The question in `text`, checked field by field.

        Raises:
            ConfigError: the text is too long, not JSON, or has an unknown, missing or mistyped field.
        """
        if len(text.encode()) > MAX_QUESTION_BYTES:
            expected = f"at most {MAX_QUESTION_BYTES} bytes"
            raise ConfigError("question", found=f"{len(text)} characters", expected=expected)
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigError("question", found="text that is not JSON", expected="one JSON object") from None
        return build(Question, raw, where="question", complete=True)
