"""Every raw table of a folder is checked in two passes: what is faulty is set aside and counted, the rest handed on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from fedcredit.data.hub.mapping import MAP, TableMap, read_map, renamed
from fedcredit.data.hub.quarantine import Quarantine, write_summary
from fedcredit.data.hub.raw import Chunk, read_chunks
from fedcredit.data.hub.repeats import hash_rows
from fedcredit.data.hub.report import FolderReport, Tally
from fedcredit.data.hub.rows import check_rows, settle
from fedcredit.data.hub.survey import survey
from fedcredit.data.hub.typed import write_out
from fedcredit.data.sources import Source, sources
from fedcredit.errors import ConfigError, TableError

ENDINGS = (".parquet", ".csv")
OnGood = Callable[[Source, pd.DataFrame], None]


def check_folder(
    folder: Path,
    *,
    now: datetime,
    most_bad: float = 0.2,
    on_good: OnGood = lambda source, good: None,
    quarantine: Path | None = None,
    progress: Callable[[str, int], None] = lambda table, rows: None,
) -> FolderReport:
    """What the folder's raw tables are like; good rows go to `on_good` chunk by chunk, faulty ones to `quarantine`.

    A table is read twice: first for what one chunk cannot show (usual values of a company, keys that occur twice).
    Memory holds one chunk and some 20 bytes a row of one table.

    Raises:
        TableError: no table is there, one cannot be read, is in another unit, or is faulty beyond `most_bad`.
    """
    if not 0 <= most_bad <= 1:
        raise ConfigError("most_bad", found=f"{most_bad:g}", expected="a share, 0 to 1")
    maps = read_map(folder)
    files = _files(folder, maps)
    if not files:
        expected = f"{', '.join(f'{one.table}.csv' for one in sources()[:3])} ... or {MAP}"
        raise TableError(str(folder), found="no raw table", expected=expected)
    tallies = []
    for known, path in files:
        source = known
        said = maps.get(source.table, TableMap())
        if said.delay_days is not None:
            source = replace(source, delay_days=said.delay_days)
        with Quarantine(quarantine, source.table) as aside:
            tally = _check_table(source, path, said, now=now, on_good=on_good, aside=aside, progress=progress)
        tallies.append(tally)
        if tally.bad > most_bad * tally.rows:
            raise _refused(tally, path, most_bad=most_bad, quarantine=quarantine)
    read = {path.name for _, path in files}
    unknown = sorted(p.name for p in folder.iterdir() if p.suffix in ENDINGS and p.name not in read)
    missing = [one.table for one in sources() if one.table not in {tally.source.table for tally in tallies}]
    report = FolderReport(tuple(tallies), tuple(missing), tuple(unknown))
    if quarantine is not None:
        write_summary(report, quarantine)
    return report


def _files(folder: Path, maps: Mapping[str, TableMap]) -> list[tuple[Source, Path]]:
    found = []
    for source in sources():
        named = maps[source.table].file if source.table in maps else None
        for name in (named,) if named else tuple(f"{source.table}{ending}" for ending in ENDINGS):
            if (folder / name).is_file():
                found.append((source, folder / name))
                break
        else:
            if named:
                near = difflib.get_close_matches(named, [p.name for p in folder.iterdir()], n=1)
                hint = f"did you mean {near[0]!r}?" if near else ""
                where = f"{MAP}, {source.table}, file"
                raise TableError(where, found=f"{named!r}, which is not there", expected="a file", hint=hint)
    return found


def _check_table(
    source: Source,
    path: Path,
    said: TableMap,
    *,
    now: datetime,
    on_good: OnGood,
    aside: Quarantine,
    progress: Callable[[str, int], None],
) -> Tally:
    def chunks() -> Iterator[Chunk]:
        for chunk in read_chunks(path, encoding=said.encoding):
            yield Chunk(renamed(chunk.cells, source, said), chunk.unreadable)

    keyed = (_with_key(chunk.cells, source, path) for chunk in chunks())
    first = survey(keyed, source, where=path.name, units=said.units)
    tally, several = Tally(source), []
    for chunk in chunks():
        checked = check_rows(chunk.cells, source, now=now, medians=first.medians)
        aside.keep(chunk.cells, checked.bad, chunk.unreadable)
        tally.read(len(chunk.cells) + len(chunk.unreadable), [*checked.bad["reason"], *chunk.unreadable.values()])
        again = np.isin(hash_rows(checked.good, list(source.key)), first.several)
        several.append((checked.good[again], chunk.cells.loc[checked.good.index[again]]))
        _hand_on(checked.good[~again], source, tally, on_good)
        progress(source.table, tally.rows)
    _settle(several, source, tally, on_good, aside)
    return tally


def _settle(
    several: list[tuple[pd.DataFrame, pd.DataFrame]], source: Source, tally: Tally, on_good: OnGood, aside: Quarantine
) -> None:
    """Rows whose key occurs again, of all chunks together: repeated, contradicting, or corrections."""
    rows = pd.concat([_plain_texts(good) for good, _ in several])
    if rows.empty:
        return
    settled = settle(rows, source)
    tally.repeated += settled.repeated
    tally.read(0, list(settled.bad["reason"]))
    aside.keep(pd.concat([cells for _, cells in several]), settled.bad, {})
    tally.corrections += len(settled.good) - len(settled.good[list(source.key)].drop_duplicates())
    _hand_on(settled.good, source, tally, on_good)


def _plain_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Categoricals of different chunks as texts, so that equal ones are equal."""
    texts = {
        name: frame[name].astype("str")
        for name in map(str, frame)
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    return frame.assign(**texts)


def _hand_on(good: pd.DataFrame, source: Source, tally: Tally, on_good: OnGood) -> None:
    if len(good):
        plain = write_out(good, source).reset_index(drop=True)
        tally.keep(plain)
        on_good(source, plain)


def _with_key(cells: pd.DataFrame, source: Source, path: Path) -> pd.DataFrame:
    """The cells, if what names a fact is there at all."""
    for name in source.key:
        if name not in cells.columns:
            hint = f"if it has another name, say so in {MAP}: tables: {{{source.table}: {{columns: {{{name}: ...}}}}}}"
            raise TableError(f"{path.name}, column {name!r}", found="no such column", expected="it", hint=hint)
    return cells


def _refused(tally: Tally, path: Path, *, most_bad: float, quarantine: Path | None) -> TableError:
    commonest = ", ".join(f"{reason} ({count})" for reason, count in tally.reasons.most_common(3))
    where = "the rows are in the quarantine folder" if quarantine else "name a folder to keep the rows: --quarantine"
    return TableError(
        path.name,
        found=f"{tally.bad} of {tally.rows} rows faulty: {commonest}",
        expected=f"at most {most_bad:.0%}",
        hint=where,
    )
