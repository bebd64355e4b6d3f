"""One chunk of a source's cells becomes good rows in their types, and bad rows with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from fedcredit.data.hub.contracts import contract, faults
from fedcredit.data.hub.repeats import CONFLICT, find_repeats
from fedcredit.data.hub.typed import Mask, Typed, retype, write_out
from fedcredit.data.hub.units import OFF, company_medians, off_scale
from fedcredit.data.sources import KNOWN_AT, VALID_AT, Source


@dataclass(frozen=True)
class Checked:
    """`good` rows have the source's columns in its types; `bad` ones (row, reason, reasons) say which row and why.

    A reason is a column and a rule, never a value; `reason` is the first of `reasons`. `repeated` counts rows that say
    again what another says: they are in neither.
    """

    good: pd.DataFrame
    bad: pd.DataFrame
    repeated: int = 0


def check(cells: pd.DataFrame, source: Source, *, now: datetime, medians: pd.DataFrame | None = None) -> Checked:
    """Check cells as `read_chunks` gives them, by the contract of the source at the moment `now` (UTC).

    `medians` are those of `company_medians` over more rows than these; without them, of these rows. What repeats is
    looked for within these rows.
    """
    checked = check_rows(cells, source, now=now, medians=medians)
    settled = settle(checked.good, source)
    bad = pd.concat([checked.bad, settled.bad], ignore_index=True)
    return Checked(write_out(settled.good, source), bad, settled.repeated)


def check_rows(cells: pd.DataFrame, source: Source, *, now: datetime, medians: pd.DataFrame | None = None) -> Checked:
    """Each row by itself; good rows stay as `Typed` has them, repeats are still among them."""
    typed = retype(cells, source)
    found = {reason: mask for reason, mask in typed.wrong.items() if mask.any()}
    found |= _but_for_wrong_cells(faults(typed.frame, contract(source, now=now)), typed)
    medians = company_medians(typed.frame, source) if medians is None else medians
    for field in source.columns:
        if field.steady and (mask := off_scale(typed.frame, field, medians)).any():
            found[f"{field.name}: {OFF:g} times off its company's median"] = mask
    bad = _by_row(found, typed.frame.index)
    return Checked(_with_known_at(typed.frame[~typed.frame.index.isin(bad["row"])], source), bad)


def settle(good: pd.DataFrame, source: Source) -> Checked:
    """Typed rows without those that repeat another; those that contradict another are bad."""
    repeats = find_repeats(good, source)
    bad = _by_row({CONFLICT: repeats.conflicting}, good.index)
    return Checked(good[~(repeats.repeated | repeats.conflicting)], bad, int(repeats.repeated.sum()))


def _with_known_at(good: pd.DataFrame, source: Source) -> pd.DataFrame:
    """A row without known_at is taken to have been known as late as the source usually is, and no earlier."""
    usual = good[VALID_AT] + pd.Timedelta(days=source.delay_days)
    return good.assign(**{KNOWN_AT: good[KNOWN_AT].fillna(usual)})


def _but_for_wrong_cells(found: dict[str, Mask], typed: Typed) -> dict[str, Mask]:
    """A cell that could not be read counts as wrong, and not as missing too."""
    for reason, wrong in typed.wrong.items():
        missing = f"{reason.split(':')[0]}: missing"
        if missing in found:
            found[missing] = found[missing] & ~wrong
    return {reason: mask for reason, mask in found.items() if mask.any()}


def _by_row(found: dict[str, Mask], rows: pd.Index) -> pd.DataFrame:
    """One line a faulty row with its reasons in the order of `found`, the first of them by itself."""
    at = [np.flatnonzero(mask) for mask in found.values()]
    reasons = np.repeat(np.array(list(found), dtype=object), [len(places) for places in at])
    places = np.concatenate(at) if at else np.empty(0, dtype=np.int64)
    order = np.argsort(places, kind="stable")
    lines = pd.DataFrame({"row": rows[places[order]], "reason": pd.Series(reasons[order], dtype="str")})
    firsts = lines.drop_duplicates("row", ignore_index=True)
    several = lines["row"].duplicated(keep=False)
    joined = lines[several].groupby("row")["reason"].agg("; ".join)
    all_of = firsts["row"].map(joined).astype(object).fillna(firsts["reason"]).astype("str")
    return firsts.assign(reasons=all_of)
