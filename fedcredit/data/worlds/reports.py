"""Hidden risk becomes annual reports in Chinese; which risk is truly written of, and where, is kept apart.

The frequency of a risk follows the hidden risk of the company at the end of the year, and one factor. In a null world
it follows the same, but there the hazard does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.world import Floats
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.names import TRADES, company_names
from fedcredit.data.worlds.sections import FACTORS
from fedcredit.data.worlds.settings import HISTORY
from fedcredit.strict import build

PASSAGES = Path(__file__).with_name("passages.yaml")
STANCES = ("present", "denied", "conditional", "other")
WRITES = np.array([0.4, 1.4, 4.0])  # of the mean share, by size class
OWN_FACTOR = 0.5  # weight of the class's factor beside the whole risk
OF_OTHERS = 0.12  # chance of a sentence on somebody else's trouble
FIRST_DAY, DAYS = 80, 100  # after the end of the year, in which reports come out


@dataclass(frozen=True)
class RiskClass:
    """Sentences of one class of risk by stance, and where they stand."""

    section: str
    factor: str
    present: tuple[str, ...]
    denied: tuple[str, ...]
    conditional: tuple[str, ...]
    other: tuple[str, ...]


@dataclass(frozen=True)
class Passages:
    """The sentences of passages.yaml."""

    schema: int
    headings: Mapping[str, tuple[str, ...]]
    neutral: Mapping[str, tuple[str, ...]]
    classes: Mapping[str, RiskClass]


@cache
def passages() -> Passages:
    """What a report is put together from.

    >>> len(passages().classes)
    12
    """
    return build(Passages, yaml.safe_load(PASSAGES.read_text(encoding="utf-8")), where=PASSAGES.name)


def reports(block: Block) -> tuple[pa.Table, pa.Table]:
    """Reports of one region with their texts, and the truth: one row a risk sentence with its stance and place."""
    rng = block.generator("reports")
    at = np.flatnonzero(block.settings.calendar == 11)
    at = at[at >= HISTORY]
    writes = rng.random(len(block)) < block.world.reports.share * WRITES[block.size]
    # A report of the year before comes out in spring: the company must still be there.
    out = np.minimum(at + 4, block.settings.length - 1)
    who, when = np.nonzero(writes[:, None] & block.is_there[:, at] & block.is_there[:, out])
    years = (block.settings.month_ends[at].astype("datetime64[Y]").astype(int) + 1970)[when]
    stance = _stances(rng, block, at)[:, who, when]

    # What stands in two places of a year's list of companies is drawn once for all sentences of the region.
    strangers = company_names(rng, region=int(rng.integers(28)), industry=rng.integers(len(TRADES), size=200))
    texts, found = [], []
    for row, (firm, year) in enumerate(zip(who, years, strict=True)):
        text, spans = _text(rng, stance[:, row], trade=TRADES[block.industry[firm]][0], strangers=strangers)
        texts.append(text)
        found += [(firm, year, *span) for span in spans]
    ends = block.settings.month_ends[at][when].astype("datetime64[us]")
    days = (FIRST_DAY + rng.integers(DAYS, size=len(who))).astype("m8[D]")
    written = pa.table(
        {
            "company": _names(block, who),
            "year": pa.array(years.astype(np.int32)),
            "known_at": pa.array(ends + days),
            "text": pa.array(texts, pa.string()),
        }
    )
    columns = list(zip(*found, strict=True)) or [()] * 6
    truth = pa.table(
        {
            "company": _names(block, np.asarray(columns[0], dtype=np.int64)),
            "year": pa.array(columns[1], pa.int32()),
            "risk_class": pa.array(columns[2], pa.string()),
            "stance": pa.array(columns[3], pa.string()),
            "begin": pa.array(columns[4], pa.int32()),
            "end": pa.array(columns[5], pa.int32()),
        }
    )
    return written, truth


def _names(block: Block, who: NDArray[np.int64]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), block.names)


def _stances(rng: np.random.Generator, block: Block, at: NDArray[np.intp]) -> NDArray[np.int8]:
    """(classes, n, years): place in STANCES of the sentence on each risk, -1 for none."""
    w = block.world.reports
    risk = block.economy.risk[:, block.firms][at - HISTORY].T
    risk = (risk - block.economy.risk.mean()) / max(block.economy.risk.std(), 1e-6)
    classes = passages().classes.values()
    stance = np.full((len(classes), *risk.shape), -1, dtype=np.int8)
    for row, kind in zip(stance, classes, strict=True):
        state: Floats = risk - np.float32(OWN_FACTOR) * block.path[FACTORS.index(kind.factor)][:, at]
        chance = expit(np.log(w.base_rate / (1 - w.base_rate)) + w.signal * state)
        drawn = rng.random((4, *risk.shape))
        row[drawn[3] < OF_OTHERS] = STANCES.index("other")
        row[drawn[2] < w.boilerplate / 2] = STANCES.index("conditional")
        row[drawn[1] < w.denied] = STANCES.index("denied")
        row[drawn[0] < chance] = STANCES.index("present")
    return stance


def _text(
    rng: np.random.Generator, stance: NDArray[np.int8], *, trade: str, strangers: list[str]
) -> tuple[str, list[tuple[str, str, int, int]]]:
    """A report, and its risk sentences: class, stance, first character, end."""
    book = passages()
    by_section: dict[str, list[tuple[str, str]]] = {section: [] for section in book.headings}
    for (name, kind), place in zip(book.classes.items(), stance.tolist(), strict=True):
        if place >= 0:
            by_section[kind.section].append((name, STANCES[place]))
    luck = iter(rng.random(320).tolist())
    pieces, spans, length = [], [], 0

    def add(template: str) -> tuple[int, int]:
        nonlocal length
        sentence = template.format(
            n=2 + int(7 * next(luck)),
            pct=round(3 + 60 * next(luck), 1),
            wan=int(20 + 2000 * next(luck) ** 2),
            month=1 + int(12 * next(luck)),
            who=strangers[int(len(strangers) * next(luck))],
            trade=trade,
        )
        pieces.append(sentence)
        length += len(sentence)
        return length - len(sentence), length

    for section, headings in book.headings.items():
        add(_pick(headings, next(luck)) + "\n")
        neutral = book.neutral[section]
        add(_pick(neutral, next(luck)))
        for name, how in by_section[section]:
            begin, end = add(_pick(getattr(book.classes[name], how), next(luck)))
            spans.append((name, how, begin, end))
        if next(luck) < 0.4:
            add(_pick(neutral, next(luck)))
        add("\n")
    return "".join(pieces), spans


def _pick(pool: tuple[str, ...], luck: float) -> str:
    return pool[int(len(pool) * luck)]
