"""Settings become a synthetic SME economy: a panel of companies x months with 28 indicators, a label and an old score.

Everything in it is synthetic. The hidden states and the hazard are those of `world`; `truth` gives them apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.indicators import Indicator, columns, dictionary_sha256, indicators
from fedcredit.data.schema import Label, Schema, Table
from fedcredit.data.world import (
    FACTORS,
    INDUSTRIES,
    SIZES,
    EconomySettings,
    Firms,
    Floats,
    Nation,
    ar1,
    found_nation,
    generator,
    hazard,
    pd_over,
    region_sizes,
    survivors,
)

__all__ = ["Economy", "EconomySettings", "generate", "schema", "truth", "write"]

Economy = EconomySettings
LAST_PERIOD = np.datetime64("2025-12")
LABEL = "default_12m"
MEDIAN_LOAN_CNY = (500_000, 2_000_000, 10_000_000)  # micro, small, medium
RELEASE_EVERY = {"D": 1, "W": 1, "M": 1, "Q": 3, "Y": 12}  # months that a value stands until the next filing


def generate(settings: EconomySettings) -> Table:
    """The economy as a table in memory: one row a company and month, companies of a region together, months in order.

    `incumbent_pd` is the PD (higher = riskier) of an old scorecard on five financial ratios; the label is the same in
    all rows of a company and looks ahead from its last month.

    >>> table = generate(EconomySettings(companies=30, months=3, short_history_share=0))
    >>> len(table.frame), table.schema.label.column, len(table.schema.features)
    (90, 'default_12m', 28)
    """
    return Table(pa.concat_tables(_blocks(settings)).to_pandas(), schema(settings))


def write(settings: EconomySettings, folder: Path) -> Path:
    """The economy as `data.parquet` and `table.json` in `folder`, region by region; gives the path of the former.

    The same settings give the same bytes on one machine and version of numpy and pyarrow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished, target = folder / "data.parquet.part", folder / "data.parquet"
    blocks = _blocks(settings)
    first = next(blocks)
    with pq.ParquetWriter(unfinished, first.schema, compression="zstd") as file:
        for block in (first, *blocks):
            file.write_table(block)
    (folder / "table.json").write_text(json.dumps(schema(settings).as_dict(), ensure_ascii=False, indent=1), "utf-8")
    return unfinished.replace(target)


def truth(settings: EconomySettings) -> pd.DataFrame:
    """What the table hides: `hazard` of the last month and the exact probability `pd` of the label, one row a company.

    >>> round(float(truth(EconomySettings(companies=50, strength=0))["pd"].iloc[0]), 3)
    0.07
    """
    nation = found_nation(settings)
    parts = []
    for region, size in enumerate(region_sizes(settings)):
        firms = survivors(settings, nation, region=region, companies=size)
        monthly = hazard(firms, settings, nation)[:, -1]
        parts.append(
            pd.DataFrame(
                {"company": _names(region, size), "hazard": monthly, "pd": pd_over(monthly, settings.horizon_months)}
            )
        )
    return pd.concat(parts, ignore_index=True)


def schema(settings: EconomySettings) -> Schema:
    """What the table says of itself; it says `synthetic` first."""
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
        lineage={"origin": "synthetic", "generator": "fedcredit.data.economy 1"}
        | {k: str(v) for k, v in asdict(settings).items()},
        dictionary_sha256=dictionary_sha256(),
    )


def _blocks(settings: EconomySettings) -> Iterator[pa.Table]:
    nation = found_nation(settings)
    for region, size in enumerate(region_sizes(settings)):
        if size:
            yield _block(settings, nation, region=region, size=size)


def _block(settings: EconomySettings, nation: Nation, *, region: int, size: int) -> pa.Table:
    """The rows of one region."""
    firms = survivors(settings, nation, region=region, companies=size)
    rng = generator(settings.seed, 3, region)
    names = _names(region, size)
    pd_true = pd_over(hazard(firms, settings, nation)[:, -1], settings.horizon_months)
    label = (rng.random(size) < pd_true).astype(np.int8)
    loan = np.round(np.asarray(MEDIAN_LOAN_CNY)[firms.size] * np.exp(0.6 * rng.standard_normal(size)), -3)
    values = {
        i.id: draw_values(rng, firms.factors[:, FACTORS.index(i.factor)], indicator=i, noise=settings.noise)
        for i in indicators()
    }
    incumbent = _incumbent(rng, values, settings=settings)
    for indicator in indicators():
        if indicator.nullable:
            _blank(rng, values[indicator.id], share=settings.missing_share)

    present = _present(rng, size, settings=settings)
    who, when = (pa.array(part) for part in np.nonzero(present))
    periods = [str(LAST_PERIOD - ago) for ago in range(settings.months - 1, -1, -1)]
    banks = [f"bank-{k + 1:02d}" for k in range(settings.institutions)]
    split = [_split(name) for name in names]
    texts = {
        "company": pa.array(names).take(who),
        "period": pa.array(periods).take(when),
        "institution": pa.array(banks).take(pa.array(firms.institution)).take(who),
        "region": pa.array([f"region-{region + 1:02d}"] * size).take(who),
        "industry": pa.array(INDUSTRIES).take(pa.array(firms.industry)).take(who),
        "size_class": pa.array(SIZES).take(pa.array(firms.size)).take(who),
        "loan_amount_cny": pa.array(loan).take(who),
        "split": pa.array(split).take(who),
    }
    numbers = {name: pa.array(value[present]) for name, value in values.items()}
    return pa.table(
        texts
        | numbers
        | {"incumbent_pd": pa.array(incumbent[present]), schema(settings).label.column: pa.array(label).take(who)}
    )


def _names(region: int, size: int) -> list[str]:
    """Eighteen characters like a social credit code; the S, which that code's alphabet lacks, marks them as synthetic."""
    return [f"SYN{region + 1:03d}{serial:012d}" for serial in range(size)]


def _split(company: str) -> str:
    """60/20/20 by a hash of the company, so that a company is in one split only."""
    tenth = hashlib.sha256(company.encode()).digest()[0] % 10
    return "train" if tenth < 6 else "validation" if tenth < 8 else "test"


def _incumbent(rng: np.random.Generator, values: dict[str, Floats], *, settings: EconomySettings) -> Floats:
    """PD of a scorecard as banks used it before: five statement ratios of the month, and an officer's own error."""
    score = np.float32(-2.8)
    for name in ("debt_ratio", "cash_debt_cover", "roa", "net_margin"):
        margin = MARGINS[name]
        sign = 1 if name == "debt_ratio" else -1
        score = score + 0.35 * sign * (values[name] - margin.centre) / margin.spread
    score = score + settings.incumbent_noise * 0.5 * rng.standard_normal((len(score), 1), dtype=np.float32)
    return np.asarray(np.round(expit(score), 5), dtype=np.float32)


def _blank(rng: np.random.Generator, value: Floats, *, share: float) -> None:
    """Empty cells in place: half of the share as companies that lack the indicator, half here and there."""
    value[rng.random(len(value)) < share / 2] = np.nan
    value[rng.random(value.shape, dtype=np.float32) < share / 2] = np.nan


def _present(rng: np.random.Generator, n: int, *, settings: EconomySettings) -> NDArray[np.bool_]:
    """(n, months): a young company has only its last few months."""
    young = rng.random(n) < settings.short_history_share
    first = np.where(young, rng.integers(settings.months, size=n), 0)
    return np.asarray(np.arange(settings.months) >= first[:, None])
