"""Each evaluation that was answered becomes a row on disk beside the ledger, and one too many is refused.

The row is there before a company's row is touched. Noised counts are charged to the ledger as well. Exact ones have no
epsilon, so besides their number they are held to one cut of the rows: the difference of two cuts has the cells that
each of them hides.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedcredit.errors import BudgetSpent, CheckpointError, PolicyRefused
from fedcredit.trust.keys import require_private

TABLES = """
create table if not exists study (name text, whose text, evaluations integer not null, primary key (name, whose));
create table if not exists evaluation (study text, whose text, number integer, time text, run text, question text,
    primary key (study, whose, number));
create table if not exists exact (whose text, study text, split text, model text, question text,
    primary key (whose, study, split, model));
"""
OTHER_CUT = "select 1 from exact where whose = ? and split = ? and (study = ? or model = ?) and question <> ? limit 1"
COUNT = "select count(*) from evaluation where study = ? and whose = ?"


@dataclass(frozen=True)
class Exact:
    """What exact counts are of: the split, and the digest of the model that scores it."""

    split: str
    model: str


@dataclass(frozen=True)
class Evaluations:
    """The evaluations that were answered, by study and by whose companies were counted, in one file of mode 0600.

    whose: the populations of the rows, a line each, as in the ledger that the file is beside.
    """

    path: Path
    whose: str

    @staticmethod
    def beside(ledger: Path, *populations: str) -> Evaluations:
        """Those of the companies whose budget is in the ledger.

        >>> Evaluations.beside(Path("a/ledger.sqlite"), "bank-a").path.as_posix()
        'a/ledger.evaluations.sqlite'
        """
        return Evaluations(ledger.with_suffix(".evaluations.sqlite"), "\n".join(populations))

    def take(self, study: str, *, most: int, run: str, question: str, exact: Exact | None = None) -> int:
        """The number of the next evaluation of the study, which is on disk when this returns.

        The fewest that were ever stated for the study hold, whatever a later run of it says. exact: of counts without
        noise. The first question about the rows of a split is then the only one, for any model of the study and for
        the same model in any study; asked again it is one more evaluation.

        Raises:
            BudgetSpent: the study has had all of its evaluations here.
            PolicyRefused: exact counts of the same rows were cut in another way.
            CheckpointError: the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
            require_private(self.path)
            with closing(sqlite3.connect(self.path, isolation_level=None, timeout=10.0)) as db:
                db.execute("pragma synchronous=full")
                db.executescript(TABLES)
                return _take(db, study, self.whose, most=most, run=run, question=question, exact=exact)
        except (OSError, sqlite3.Error) as fault:
            hint = "nothing was counted"
            found = type(fault).__name__
            raise CheckpointError(self.path.name, found=found, expected="a file to write to", hint=hint) from None

    def answered(self, study: str) -> int:
        """How many evaluations of the study were answered here."""
        if not self.path.exists():
            return 0
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            found = db.execute(COUNT, (study, self.whose)).fetchone()
        return int(found[0])


def _take(
    db: sqlite3.Connection, study: str, whose: str, *, most: int, run: str, question: str, exact: Exact | None
) -> int:
    db.execute("begin immediate")
    try:
        kept = db.execute("select evaluations from study where name = ? and whose = ?", (study, whose)).fetchone()
        least = min(most, kept[0]) if kept else most
        done = db.execute(COUNT, (study, whose)).fetchone()[0]
        _require_left(done, least)
        if exact is not None:
            _require_one_cut(db, study, whose, exact, question=question)
            first = (whose, study, exact.split, exact.model, question)
            db.execute("insert or ignore into exact values (?, ?, ?, ?, ?)", first)
        db.execute("insert or replace into study values (?, ?, ?)", (study, whose, least))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = (study, whose, done + 1, now, run, question)
        db.execute("insert into evaluation values (?, ?, ?, ?, ?, ?)", row)
        db.execute("commit")
    except BaseException:
        db.execute("rollback")
        raise
    return int(done) + 1


def _require_left(done: int, most: int) -> None:
    if done >= most:
        found, expected = f"{done} evaluations of this study answered", f"at most {most}"
        hint = "their number is fixed with the study; each look at the same rows tells more of them"
        raise BudgetSpent("evaluations", found=found, expected=expected, hint=hint)


def _require_one_cut(db: sqlite3.Connection, study: str, whose: str, exact: Exact, *, question: str) -> None:
    if db.execute(OTHER_CUT, (whose, exact.split, study, exact.model, question)).fetchone():
        found, expected = "rows that were counted exactly in another cut", "the segments and bins of the first question"
        hint = "the difference of two cuts gives hidden cells back; ask with noise, or ask the first question again"
        raise PolicyRefused("question", found=found, expected=expected, hint=hint)
