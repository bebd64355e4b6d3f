"""A study's data settings become windows with named institutions, or a fault that says where to look."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fedcredit.data import partition
from fedcredit.data.datasets import load
from fedcredit.data.economy import generate
from fedcredit.data.features import make_windows
from fedcredit.data.infer import infer_schema
from fedcredit.data.schema import Table, read_schema
from fedcredit.data.tables import read_table
from fedcredit.data.windows import SPLITS, Windows
from fedcredit.errors import ConfigError, TableError
from fedcredit.settings import DataSettings, PartitionSettings, StudySettings, TableSettings

RESERVED = {"all", "pooled", "mean", "each"}


def table_of(data: DataSettings) -> Table:
    """The table that the settings name.

    Raises:
        ConfigError: `data=table` without a path, a label or a company column.
        TableError, DatasetError, TrapRefused: see the readers.
    """
    if data.name == "economy":
        return generate(data.economy)
    if data.name == "hub":
        from experiments.hub_table import hub_table  # duckdb and pandera, which no other study needs

        return hub_table(data.hub)
    if data.name == "table":
        return _own_table(data.table)
    return load(data.name, columns=data.columns)


def rows_of(settings: StudySettings, table: Table) -> Windows:
    """Windows of all institutions, partitioned, without those excluded.

    Raises:
        TableError: an institution has no training rows, or one class only.
    """
    how = settings.partition
    if how.by == "column" and how.column in table.frame.columns:  # any column of the table: bank, city, state
        table = Table(table.frame, replace(table.schema, institution=how.column))
        how = replace(how, column="institution")
    windows = partitioned(make_windows(table, length=settings.data.length), how)
    unknown = set(settings.data.exclude) - set(windows.institutions)
    if unknown:
        raise ConfigError("data.exclude", found=", ".join(sorted(unknown)), expected=", ".join(windows.institutions))
    windows = windows.take(~np.isin(windows.institution, settings.data.exclude))
    _check_institutions(windows)
    _check_scored(windows, settings)
    return windows


def partitioned(windows: Windows, how: PartitionSettings) -> Windows:
    """The windows with institutions assigned as the partition says."""
    match how.by:
        case "none":
            return windows
        case "column":
            names = partition.by_column(windows, how.column or "institution")
        case "hash":
            names = partition.by_hash(windows, how.n)
        case "size_quantile":
            names = partition.by_size_quantile(windows, how.n, noise=how.noise, seed=how.seed)
        case "dirichlet":
            names = partition.dirichlet(windows, how.n, alpha=how.alpha, seed=how.seed)
        case "contiguous":
            names = partition.contiguous(windows, how.n)
    return partition.assign(windows, names)


def _own_table(table: TableSettings) -> Table:
    described = Path(table.path or "").with_name("table.json")
    if table.path is not None and table.label is None and described.exists():
        return read_table(Path(table.path), read_schema(described), encoding=table.encoding, allow_gaps=True)
    given = asdict(table)
    missing = [key for key in ("path", "label", "company") if given[key] is None]
    if missing:
        raise ConfigError(
            "data.table",
            found=f"no {', '.join(missing)}",
            expected="path, label and company named",
            hint="data.table.path=loans.csv data.table.label=defaulted data.table.company=uscc",
        )
    for key in ("allow_gaps", "label_definition", "path"):
        given.pop(key)
    path = Path(table.path or "")
    schema = infer_schema(path, definition=table.label_definition, **given)
    return read_table(path, schema, encoding=table.encoding, allow_gaps=table.allow_gaps)


def _check_scored(windows: Windows, settings: StudySettings) -> None:
    """What would only be missed after the training: rows to judge on, and the scores in use today."""
    absent = sorted(set(settings.evaluation.splits) - set(windows.split.tolist()))
    if absent:
        there = [split for split in SPLITS if split in set(windows.split.tolist())]
        hint = f"evaluation.splits=[{','.join(there)}] evaluation.headline={there[-1]}"
        raise TableError(
            "evaluation.splits", found=f"no rows of {', '.join(absent)}", expected="rows of each", hint=hint
        )
    if "incumbent" in settings.arms and "incumbent" in windows.about:
        scores = pd.to_numeric(windows.about["incumbent"], errors="coerce")
        wrong = ~np.isfinite(scores)
        if wrong.any():
            hint = "fill them, leave those companies out, or leave the incumbent out of arms"
            first = int(wrong.argmax()) + 1
            found = f"{int(wrong.sum())} of {len(wrong)} examples without a number, the first is example {first}"
            raise TableError("incumbent", found=found, expected="a score for every company", hint=hint)


def _check_institutions(windows: Windows) -> None:
    if not windows.institutions:
        raise TableError("institutions", found="none", expected="at least one")
    reserved = sorted(RESERVED & set(windows.institutions))
    if reserved and len(windows.institutions) > 1:
        hint = "reports use these words for themselves; rename the institution"
        raise TableError(f"institution {reserved[0]!r}", found="a reserved name", expected="another", hint=hint)
    for name in windows.institutions:
        labels = windows.y[(windows.institution == name) & (windows.split == "train")]
        hint = f"merge it with another, or leave it out: data.exclude=['{name}']"
        if len(labels) == 0:
            raise TableError(f"institution {name!r}", found="no training rows", expected="at least one", hint=hint)
        if len(set(labels.tolist())) < 2:
            which = "good" if labels[0] == 0 else "bad"
            raise TableError(
                f"institution {name!r}", found=f"only {which} companies in training", expected="both classes", hint=hint
            )
