"""The groups of measures.yaml become checked descriptions: what each reads, and the SQL that gives its measures."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from fedcredit.data.indicators import DICTIONARY
from fedcredit.data.sources import source
from fedcredit.errors import ConfigError, TableError
from fedcredit.strict import build

MEASURES = Path(__file__).with_name("measures.yaml")
OWN = ("firm", "newest", "known")  # columns that every group gives beside its measures
Kind = Literal["periodic", "events", "standing"]


@dataclass(frozen=True)
class Group:
    """Measures that come from the same rows; see the head of measures.yaml for what each word means.

    `reads` has the months back that are needed of a raw table, `gives` the names of the measures.
    """

    name: str
    kind: Kind
    reads: Mapping[str, int]
    gives: tuple[str, ...]
    sql: str

    def __post_init__(self) -> None:
        if not self.reads:
            raise TableError(f"measures {self.name!r}", found="no raw table", expected="at least one under reads")
        for table, months in self.reads.items():
            source(table)
            if months < 1:
                raise TableError(f"measures {self.name!r}, {table}", found=f"{months} months", expected="1 or more")


@dataclass(frozen=True)
class Norms:
    """What is usual among the companies that share a measure `by`, from the groups `of`."""

    by: str
    of: tuple[str, ...]
    gives: tuple[str, ...]
    sql: str


@dataclass(frozen=True)
class Measures:
    """All groups, in their order, with the norms that follow from some of them."""

    groups: tuple[Group, ...]
    norms: Norms
    schema: Literal[1]

    def __post_init__(self) -> None:
        groups = Counter(group.name for group in self.groups)
        names = Counter([*(name for group in self.groups for name in group.gives), *self.norms.gives, *OWN])
        twice = [name for count in (groups, names) for name in count if count[name] > 1]
        if twice:
            raise TableError("measures", found=f"{twice[0]!r} more than once", expected="unique names")
        for name in (*self.norms.of, self.group_of(self.norms.by).name):
            if name not in groups:
                raise TableError("measures, norms", found=f"group {name!r}", expected=f"one of {', '.join(groups)}")

    def group_of(self, measure: str) -> Group:
        """The group that gives a measure; norms stand for the groups that they are of.

        >>> measures().group_of("staff").name
        'insured'
        """
        for group in self.groups:
            if measure in group.gives:
                return group
        raise TableError("measures", found=repr(measure), expected="the name of a measure in measures.yaml")

    def of(self, formula: str) -> list[str]:
        """The measures that a formula names, in its order, each once.

        >>> measures().of("staff / staff_year_before - 1")
        ['staff', 'staff_year_before']
        """
        known = {name for group in self.groups for name in group.gives} | set(self.norms.gives)
        return [word for word in dict.fromkeys(re.findall(r"[a-z]\w*", formula)) if word in known]

    def groups_of(self, formulas: Iterable[str]) -> tuple[Group, ...]:
        """The groups that some of the formulas read, in their order; a norm reads the groups that it is of.

        >>> [group.name for group in measures().groups_of(["tax_due_12m / industry_tax_burden", "staff"])]
        ['registration', 'statements', 'insured']
        """
        names = {name for formula in formulas for name in self.of(formula)}
        groups = {self.group_of(name).name for name in names - set(self.norms.gives)}
        groups |= set(self.norms.of) if names & set(self.norms.gives) else set()
        return tuple(group for group in self.groups if group.name in groups)

    def tables(self, formula: str) -> set[str]:
        """The raw tables that a formula's figures come from.

        >>> sorted(measures().tables("tax_due_12m / revenue_12m / industry_tax_burden"))
        ['registration', 'tax']
        """
        return {table for group in self.groups_of([formula]) for table in group.reads}

    def reads(self, *names: str) -> dict[str, int]:
        """Months back by raw table, over the groups named; all of them when none is.

        >>> measures().reads("customers", "partners")
        {'invoices': 18}
        """
        months: dict[str, int] = {}
        for group in self.groups:
            if not names or group.name in names:
                for table, back in group.reads.items():
                    months[table] = max(back, months.get(table, 0))
        return months

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a raw table that some group names, so that no other one is read.

        >>> measures().columns("power")
        ('kwh', 'degree_days')
        """
        texts = [group.sql.replace(f"FROM {table}", "") for group in self.groups if table in group.reads]
        words = set(re.findall(r"\w+", " ".join(texts)))
        return tuple(field.name for field in source(table).columns if field.name in words)


def read(path: Path) -> Measures:
    """The groups of a file like measures.yaml.

    Raises:
        TableError: a group is not as it must be.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return build(Measures, raw, where=path.name)
    except ConfigError as fault:
        raise TableError(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None


@cache
def measures() -> Measures:
    """The groups that fedcredit is shipped with.

    >>> [group.name for group in measures().groups][:3]
    ['registration', 'statements', 'accounts']
    """
    return read(MEASURES)


@cache
def formulas_sha256() -> str:
    """Digest of measures.yaml with indicators.yaml: the same digest means the same figures from the same rows."""
    return hashlib.sha256(MEASURES.read_bytes() + DICTIONARY.read_bytes()).hexdigest()
