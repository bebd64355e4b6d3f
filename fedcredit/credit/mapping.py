"""Two regions' tables become a file that both have signed and that ends on a day: they recognise each other's grades.

The file is an envelope (fedcredit/trust/envelope.py) of the kind "recognition". Each region signs with a key of its
own; it holds when both have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from fedcredit.credit.recognition import MAX_GRADES, Recognition, Row
from fedcredit.credit.scale import MASTER, MasterScale
from fedcredit.errors import ConfigError, FedCreditError, PolicyRefused
from fedcredit.strict import build
from fedcredit.trust.envelope import open_sealed, seal
from fedcredit.trust.keys import Identity, PublicIdentity

KIND, SCHEMA = "recognition", 1
MOST_TABLES = 4  # each region's grades among its own companies, and among the other's
LONGEST_DAYS = 400  # a year, and time to renew


class MappingRefused(PolicyRefused):
    """A recognition that is not valid today, or whose tables are not of the master scale."""

    code = "recognition"


@dataclass(frozen=True)
class BilateralMapping:
    """Tables of two regions, valid from a day until before another.

    Each region's grades are worth what they are among its own companies; for companies that both rate there may be
    tables of one region's grades among the other's companies too.
    """

    tables: tuple[Recognition, ...]
    valid_from: date
    expires: date

    def __post_init__(self) -> None:
        days = (self.expires - self.valid_from).days
        if not 0 < days <= LONGEST_DAYS:
            expected = f"1 to {LONGEST_DAYS} days after valid_from"
            raise ConfigError("mapping, expires", found=f"{days} days", expected=expected)
        held = [(table.region, table.among) for table in self.tables]
        regions = set(self.regions)
        own = {(region, region) for region in regions}
        if len(regions) != 2 or len(set(held)) != len(held) or not own <= set(held):
            expected = "two regions, each once among its own companies"
            raise ConfigError("mapping", found=f"{len(held)} tables of {len(regions)} regions", expected=expected)
        if not {among for _, among in held} <= regions:
            raise ConfigError("mapping", found="companies of a third region", expected="of the two")

    @property
    def regions(self) -> tuple[str, ...]:
        """Their names, sorted."""
        return tuple(sorted({table.region for table in self.tables}))

    def row(self, region: str, own: str, *, today: date, among: str | None = None) -> Row:
        """What a region's own grade is worth today, for a company of the region `among` (its own without a word).

        Raises:
            MappingRefused: the mapping is not valid today.
            ConfigError: no such region or grade.
        """
        if not self.valid_from <= today < self.expires:
            found, expected = f"{today}", f"a day from {self.valid_from} to before {self.expires}"
            raise MappingRefused("mapping", found=found, expected=expected, hint="both regions renew it")
        for one in self.tables:
            if (one.region, one.among) == (region, among or region):
                return one.row(own)
        found = f"{region[:40]!r} among companies of {(among or region)[:40]!r}"
        expected = ", ".join(f"{t.region} among {t.among}" for t in self.tables)
        raise ConfigError("mapping", found=found, expected=expected)

    def body(self) -> dict[str, Any]:
        """As plain JSON, to be signed."""
        tables = [table.as_dict() for table in self.tables]
        days = {"valid_from": self.valid_from.isoformat(), "expires": self.expires.isoformat()}
        return {"schema": SCHEMA, **days, "tables": tables}


@dataclass(frozen=True)
class _Body:
    schema: int
    valid_from: str
    expires: str
    tables: tuple[Recognition, ...]


def seal_mapping(mapping: BilateralMapping, *, by: Sequence[Identity]) -> bytes:
    """The file with the signatures of those in `by`; the other region adds its own with `envelope.add_signature`."""
    return seal(mapping.body(), kind=KIND, by=by)


def open_mapping(
    data: bytes, *, signers: Mapping[str, PublicIdentity], scale: MasterScale = MASTER
) -> BilateralMapping:
    """The mapping, once both regions' signatures hold and every row says what the master scale says.

    signers: the key of each region, by its name.

    Raises:
        SealBroken: a signature is missing, or does not hold.
        MappingRefused: a region without a key here, another scale, grades that do not rise, or another form.
    """
    body = open_sealed(data, kind=KIND, signers=list(signers.values()), threshold=2)
    try:
        raw = build(_Body, body, where="mapping")
        if raw.schema != SCHEMA or not 2 <= len(raw.tables) <= MOST_TABLES:
            found = f"schema {raw.schema}, {len(raw.tables)} tables"
            raise ConfigError("mapping", found=found, expected=f"schema {SCHEMA}, 2 to {MOST_TABLES} tables")
        for one in raw.tables:
            _check(one, scale=scale)
        days = date.fromisoformat(raw.valid_from), date.fromisoformat(raw.expires)
        mapping = BilateralMapping(raw.tables, *days)
    except FedCreditError as fault:
        raise MappingRefused(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None
    except ValueError:
        raise MappingRefused("mapping", found="what is no day", expected="days as 2026-11-24") from None
    if missing := [name for name in mapping.regions if name not in signers]:
        found, expected = f"{missing[0][:40]!r}, whose key is not known here", "regions with known keys"
        raise MappingRefused("mapping", found=found, expected=expected)
    # Two signatures of the right people: those of these two regions, not of any two.
    open_sealed(data, kind=KIND, signers=[signers[name] for name in mapping.regions], threshold=2)
    return mapping


def _check(table: Recognition, *, scale: MasterScale) -> None:
    where = f"table of {table.region[:40]!r}"
    if table.scale != scale.name or not 2 <= len(table.rows) <= MAX_GRADES:
        found = f"scale {table.scale[:20]!r}, {len(table.rows)} rows"
        raise ConfigError(where, found=found, expected=f"{scale.name}, 2 to {MAX_GRADES} rows")
    for row in table.rows:
        numbers = [row.pd, *(end for end in (row.low, row.high) if end is not None)]
        if not all(math.isfinite(value) and 0 <= value <= 1 for value in numbers):
            raise ConfigError(where, found="what is no probability", expected="0 to 1")
        if str(scale.names(row.pd)) != row.master:
            raise ConfigError(where, found=f"{row.master[:8]!r} for another PD", expected=str(scale.names(row.pd)))
        if row.companies < 0 or not 0 <= (row.bad or 0) <= row.companies:
            raise ConfigError(where, found="what is no count", expected="defaults up to companies")
    if len({row.own for row in table.rows}) != len(table.rows) or any(a.pd > b.pd for a, b in pairwise(table.rows)):
        raise ConfigError(where, found="grades twice or out of order", expected="PDs that rise with the grades")
