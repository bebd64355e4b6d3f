"""Settings become a synthetic SME economy: a panel of companies x months with 28 indicators, a label and an old score.

Everything in it is synthetic. The hidden states and the hazard are those of `world`; `truth` gives them apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.indicators import columns, dictionary_sha256, indicators
from fedcredit.data.margins import MARGINS, draw_values
from fedcredit.data.schema import Label, Schema, Table
from fedcredit.data.splits import split_by_company
from fedcredit.data.world import (
    FACTORS,
    INDUSTRIES,
    SIZES,
    EconomySettings,
    Firms,
    Floats,
    Nation,
    found_nation,
    generator,
    hazard,
    pd_over,
    region_sizes,
    survivors,
)

__all__ = ["EconomySettings", "generate", "schema", "truth", "write"]

LAST_PERIOD = np.datetime64("2025-12")
MEDIAN_LOAN_CNY = (500_000, 2_000_000, 10_000_000)  # of SIZES
# The old scorecard: four statement ratios, each in steps of its spread, equally weighted.
INCUMBENT_SIGNS = {"debt_ratio": 1, "cash_debt_cover": -1, "roa": -1, "net_margin": -1}
INCUMBENT_WEIGHT, INCUMBENT_BASE = 0.35, -2.8


def generate(settings: EconomySettings) -> Table:
    """The economy as a table in memory: one row a company and month, months in order, companies of a region together.

    `incumbent_pd` is the PD (higher = riskier) of an old scorecard on that month's statement ratios. The label is the
    same in all rows of a company: it looks ahead from the company's last month, which is the same for all.

    >>> table = generate(EconomySettings(companies=30, months=3, short_history_share=0))
    >>> len(table.frame), table.schema.label.column, len(table.schema.features)
    (90, 'default_12m', 28)
    """
    return Table(pa.concat_tables(_blocks(settings)).to_pandas(), schema(settings))


def write(settings: EconomySettings, folder: Path) -> Path:
    """The economy as `data.parquet` and `table.json` in `folder`, a region at a time; gives the path of the former.

    Equal settings give equal bytes with the same versions of numpy and pyarrow. Nothing half-written stays behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished, target = folder / "data.parquet.part", folder / "data.parquet"
    blocks = _blocks(settings)
    first = next(blocks)
    try:
        with pq.ParquetWriter(unfinished, first.schema, compression="zstd") as file:
            file.write_table(first)
            for block in blocks:
                file.write_table(block)
        said = json.dumps(schema(settings).as_dict(), ensure_ascii=False, indent=1)
        (folder / "table.json").write_text(said + "\n", encoding="utf-8")
        return unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def truth(settings: EconomySettings) -> pd.DataFrame:
    """What the table hides, one row a company in the table's order: `hazard` of its last month, and `pd`.

    The hazard of the last month holds for the whole horizon, so `pd` is the exact probability of the label.

    >>> truth(EconomySettings(companies=50, strength=0))["pd"].round(3).unique().tolist()
    [0.07]
    """
    parts = []
    for region, firms, nation in _regions(settings):
        monthly = hazard(firms, settings, nation)[:, -1]
        label_pd = pd_over(monthly, settings.horizon_months)
        parts.append(pd.DataFrame({"company": _names(region, len(monthly)), "hazard": monthly, "pd": label_pd}))
    return pd.concat(parts, ignore_index=True)


def schema(settings: EconomySettings) -> Schema:
    """What the table says of itself; its lineage says that it is synthetic, and from which settings.

    >>> schema(EconomySettings()).lineage["origin"]
    'synthetic'
    """
    drawn_from = {name: str(value) for name, value in asdict(settings).items()}
    return Schema(
        columns=columns(),
        label=Label(
            column=f"default_{settings.horizon_months}m",
            definition="synthetic default drawn from a latent hazard",
            performance_window=f"{settings.horizon_months} months after the company's last period",
            cure="none",
            censoring="none",
            acceptance="all",
        ),
        company="company",
        period="period",
        institution="institution",
        split="split",
        incumbent="incumbent_pd",
        amount="loan_amount_cny",
        size="size_class",
        sector="industry",
        region="region",
        lineage={"origin": "synthetic", "generator": "fedcredit.data.economy v1"} | drawn_from,
        dictionary_sha256=dictionary_sha256(),
    )


def _regions(settings: EconomySettings) -> Iterator[tuple[int, Firms, Nation]]:
    nation = found_nation(settings)
    for region, companies in enumerate(region_sizes(settings)):
        if companies:
            yield region, survivors(settings, nation, region=region, companies=companies), nation


def _blocks(settings: EconomySettings) -> Iterator[pa.Table]:
    """The rows of one region after another, so that memory holds one region's hidden months at a time."""
    for region, firms, nation in _regions(settings):
        n = len(firms.region)
        rng = generator(settings.seed, 3, region)
        risk_ahead = pd_over(hazard(firms, settings, nation)[:, -1], settings.horizon_months)
        label = (rng.random(n) < risk_ahead).astype(np.int8)
        present = _present(rng, n, settings=settings)
        facts = _facts(rng, firms, settings=settings)
        numbers = _numbers(rng, firms, settings=settings)

        who, when = (pa.array(part) for part in np.nonzero(present))
        periods = [str(LAST_PERIOD - ago) for ago in range(settings.months - 1, -1, -1)]
        yield pa.table(
            {"company": facts.pop("company").take(who), "period": pa.array(periods).take(when)}
            | {name: fact.take(who) for name, fact in facts.items()}
            | {name: pa.array(values[present]) for name, values in numbers.items()}
            | {f"default_{settings.horizon_months}m": pa.array(label).take(who)}
        )


def _facts(rng: np.random.Generator, firms: Firms, *, settings: EconomySettings) -> dict[str, pa.Array]:
    """What does not change from month to month, one value a company."""
    names = _names(int(firms.region[0]), len(firms.region))
    banks = [f"bank-{k:02d}" for k in range(1, settings.institutions + 1)]
    regions = [f"region-{k:02d}" for k in range(1, settings.regions + 1)]
    loan = np.asarray(MEDIAN_LOAN_CNY)[firms.size] * np.exp(0.6 * rng.standard_normal(len(names)))
    return {
        "company": pa.array(names),
        "institution": pa.array(banks).take(pa.array(firms.institution)),
        "region": pa.array(regions).take(pa.array(firms.region)),
        "industry": pa.array(INDUSTRIES).take(pa.array(firms.industry)),
        "size_class": pa.array(SIZES).take(pa.array(firms.size)),
        "loan_amount_cny": pa.array(np.round(loan, -3)),
        "split": pa.array(split_by_company(np.asarray(names)).tolist()),
    }


def _numbers(rng: np.random.Generator, firms: Firms, *, settings: EconomySettings) -> dict[str, Floats]:
    """The indicators with their empty cells, and the incumbent, each (n, months)."""
    values = {
        i.id: draw_values(rng, firms.factors[:, FACTORS.index(i.factor)], indicator=i, noise=settings.noise)
        for i in indicators()
    }
    incumbent = _incumbent(rng, values, settings=settings)
    for indicator in indicators():
        if indicator.nullable:
            _blank(rng, values[indicator.id], share=settings.missing_share)
    return values | {"incumbent_pd": incumbent}


def _names(region: int, companies: int) -> list[str]:
    """Eighteen characters like a social credit code; S, which that code's alphabet lacks, marks them as synthetic."""
    return [f"SYN{region + 1:03d}{serial:012d}" for serial in range(companies)]


def _incumbent(rng: np.random.Generator, values: dict[str, Floats], *, settings: EconomySettings) -> Floats:
    """PD of a scorecard as banks used it before, with an error that a company keeps."""
    score = np.full_like(values["debt_ratio"], INCUMBENT_BASE)
    for name, sign in INCUMBENT_SIGNS.items():
        score += np.float32(INCUMBENT_WEIGHT * sign / MARGINS[name].spread) * (
            values[name] - np.float32(MARGINS[name].centre)
        )
    score += np.float32(0.5 * settings.incumbent_noise) * rng.standard_normal((len(score), 1), dtype=np.float32)
    return np.asarray(np.round(expit(score), 5), dtype=np.float32)


def _blank(rng: np.random.Generator, values: Floats, *, share: float) -> None:
    """Empty cells in place: half of the share as companies that lack the indicator, half here and there."""
    values[rng.random(len(values)) < share / 2] = np.nan
    values[rng.random(values.shape, dtype=np.float32) < share / 2] = np.nan


def _present(rng: np.random.Generator, n: int, *, settings: EconomySettings) -> NDArray[np.bool_]:
    """(n, months): a young company has only its last few months."""
    is_young = rng.random(n) < settings.short_history_share
    first = np.where(is_young, rng.integers(settings.months, size=n), 0)
    return np.asarray(np.arange(settings.months) >= first[:, None])
