"""A trained model becomes a folder that any institution can check and score with: no pickle, no MLflow."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from fedcredit.data.features import make_windows
from fedcredit.data.schema import Column, Table
from fedcredit.errors import ModelError
from fedcredit.models.calibrated import PriorShift, calibrate
from fedcredit.models.card import Bundle, check_weights, from_card
from fedcredit.models.files import ASK_AGAIN, CARD, MANIFEST, WEIGHTS, digest, read_files
from fedcredit.models.train import evaluate

__all__ = ["Bundle", "PriorShift", "read", "score", "write"]

ONE_SPLIT = "all rows"
BATCH = 2048  # windows at once: what fits the processor's cache is scored nearly twice as fast


def write(folder: Path, bundle: Bundle) -> Bundle:
    """The bundle as a folder, complete or not there at all; gives it back with the digest of its manifest.

    Equal bundles give equal bytes. Writing the same bundle again changes nothing.

    Raises:
        ModelError: the weights do not fit the architecture, another bundle is there, or the disk refuses.
    """
    check_weights(bundle, where=f"bundle of study {bundle.study!r}")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(bundle.weights.items())}
    card = json.dumps(bundle.card(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    files = {CARD: card.encode() + b"\n", WEIGHTS: save_tensors(weights)}
    manifest = "".join(f"{digest(content)}  {name}\n" for name, content in sorted(files.items())).encode()
    files[MANIFEST] = manifest
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        if (folder / MANIFEST).is_file() and (folder / MANIFEST).read_bytes() == manifest:
            return read(folder)
        draft.mkdir(parents=True)
        for name, content in files.items():
            with (draft / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        draft.replace(folder)  # the system refuses to replace a folder that has files in it
    except OSError as fault:
        shutil.rmtree(draft, ignore_errors=True)
        found, hint = (
            os.strerror(fault.errno or 0),
            "free some space or name a new folder; nothing was left half-written",
        )
        raise ModelError(str(folder), found=found, expected="a new folder that can be written", hint=hint) from fault
    return replace(bundle, sha256=digest(manifest))


def read(folder: Path) -> Bundle:
    """The bundle in `folder`, after every file was found to be as listed and every tensor as the architecture says.

    Raises:
        ModelError: a file is missing, changed, oversize or not of this format, or the weights do not fit.
    """
    contents = read_files(folder)
    try:
        weights = load_tensors(contents[WEIGHTS])
    except (SafetensorError, KeyError, ValueError) as fault:
        raise ModelError(
            str(folder / WEIGHTS), found="unreadable tensors", expected="safetensors", hint=ASK_AGAIN
        ) from fault
    bundle = from_card(contents[CARD], weights=weights, sha256=digest(contents[MANIFEST]), where=str(folder / CARD))
    check_weights(bundle, where=str(folder / WEIGHTS))
    return bundle


def score(bundle: Bundle, table: Table) -> pd.DataFrame:
    """Probabilities of default: columns company, period, pd, model_version, coverage; one row an example of the model.

    Coverage is the share of the window's feature cells that the table has; a period before a company's first row, or
    missing between its rows, counts as empty. What the label says is not used.

    Raises:
        ModelError: the table was checked against other columns, transforms or label than the model's.
    """
    table = in_one_split(table)
    schema = table.schema
    if schema.sha256 != bundle.schema.sha256:
        hint = "check the table against the bundle's schema"
        found, expected = f"schema {schema.sha256[:12]}", f"{bundle.schema.sha256[:12]}, which the model learnt from"
        raise ModelError("table to score", found=found, expected=expected, hint=hint)
    windows = make_windows(table, length=bundle.time)
    if windows.features != bundle.inputs:
        found, expected = f"{len(windows.features)} inputs", f"the model's {len(bundle.inputs)}, by name"
        raise ModelError("table to score", found=found, expected=expected)
    p = evaluate(bundle.model(), torch.from_numpy(windows.x), batch_size=BATCH)
    return pd.DataFrame(
        {
            "company": windows.company,
            "period": windows.about["period"] if schema.period else None,
            "pd": calibrate(p, bundle.calibration),
            "model_version": bundle.version,
            "coverage": _coverage(table, length=bundle.time),
        }
    )


def in_one_split(table: Table) -> Table:
    """The table with all its rows in one split, so that each company has one window: its last periods.

    Without a split column `make_windows` would hash every company, half of the time that a score takes.
    """
    one = pd.Categorical.from_codes(np.zeros(len(table.frame), dtype=np.int8), categories=pd.Index([ONE_SPLIT]))
    return Table(table.frame.assign(**{ONE_SPLIT: one}), replace(table.schema, split=ONE_SPLIT))


def _coverage(table: Table, *, length: int) -> NDArray[np.float64]:
    """Share of known feature cells in each window, by making windows of the number that each row has."""
    known = table.frame[list(table.schema.features)].notna().sum(axis=1)
    schema = replace(table.schema, columns=(Column("known cells", "raw"),))
    counts = make_windows(Table(table.frame.assign(**{"known cells": known}), schema), length=length)
    share: NDArray[np.float64] = counts.x[:, :, 0].sum(axis=1) / (length * len(table.schema.columns))
    return share
