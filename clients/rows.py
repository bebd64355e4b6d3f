"""A checked table becomes the windows that a node trains on: its own institution's rows, and no others."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedcredit.data.features import WHOLE, make_windows
from fedcredit.data.schema import Table
from fedcredit.data.windows import Windows, save
from fedcredit.errors import TableError

# The economy of the study `quickstart`, so that its nodes hold what its banks hold.
SYNTHETIC_PARTS = 5
SYNTHETIC_COMPANIES = 4000
SYNTHETIC_MONTHS = 12
SYNTHETIC_SEED = 1
SPLITS_USED = ("train", "validation")  # the rows that a study is judged on are no node's business


def windows_of(table: Table, *, institution: str, length: int, named: str | None = None) -> Windows:
    """The institution's windows of the table, under its own name in the consortium.

    `named` is what the table calls it. Without a word a table of one institution is taken whole.

    Raises:
        TableError: the table has several institutions and none of them is this one, or too few rows to train.
    """
    windows = make_windows(table, length=length)
    there = windows.institutions
    sought = named or (institution if institution in there else WHOLE if there == [WHOLE] else None)
    if sought is None and len(there) == 1:
        sought = there[0]
    if sought not in there:
        found = f"{len(there)} institutions, none of them {sought or institution!r}"
        hint = "name the one that this node stands for: --as NAME"
        raise TableError("institution", found=found, expected="one of the table's", hint=hint)
    mine = windows.of(sought).part(*SPLITS_USED)
    labels = mine.y[mine.split == "train"]
    if len(np.unique(labels)) < 2:
        found = f"{len(labels)} training rows with {len(np.unique(labels))} outcomes"
        raise TableError(f"institution {sought!r}", found=found, expected="rows that defaulted and rows that did not")
    return replace(mine, institution=np.full(len(mine), institution))


def synthetic_table(part: int) -> tuple[Table, str]:
    """The synthetic economy of `quickstart`, and what it calls its bank number `part`, counted from 1.

    Raises:
        TableError: it has no such bank.
    """
    from fedcredit.data.economy import EconomySettings, generate

    if not 1 <= part <= SYNTHETIC_PARTS:
        raise TableError("--synthetic", found=str(part), expected=f"a bank of 1 to {SYNTHETIC_PARTS}")
    settings = EconomySettings(
        seed=SYNTHETIC_SEED, companies=SYNTHETIC_COMPANIES, months=SYNTHETIC_MONTHS, institutions=SYNTHETIC_PARTS
    )
    table = generate(settings)
    names = sorted(set(table.frame[str(table.schema.institution)].astype("str")))
    return table, names[part - 1]


def save_private(windows: Windows, path: Path) -> None:
    """Write the windows as a file of mode 0600, whole or not at all."""
    draft = path.with_name(f".{secrets.token_hex(8)}.npz")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        save(windows, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
