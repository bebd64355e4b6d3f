"""Two regions recognise each other's grades: both sign, for a time, and a changed table is none."""

from __future__ import annotations

import json
from datetime import date

import pytest

from fedcredit.credit.mapping import BilateralMapping, MappingRefused, open_mapping, seal_mapping
from fedcredit.credit.recognition import OwnScale, recognise
from fedcredit.errors import ConfigError
from fedcredit.trust.envelope import SealBroken, add_signature
from fedcredit.trust.keys import Identity

NORTH, SOUTH = Identity.generate(), Identity.generate()
SIGNERS = {"north": NORTH.public, "south": SOUTH.public}
FROM, UNTIL = date(2026, 1, 1), date(2026, 12, 31)


def mapping() -> BilateralMapping:
    north = recognise(OwnScale("north", ("1", "2"), (900, 100), (9, 30)))
    south = recognise(OwnScale("south", ("gold", "tin"), (500, 500), None), reference=north)
    return BilateralMapping((north, south), FROM, UNTIL)


def test_mapping_signed_by_both_is_opened_and_rates() -> None:
    opened = open_mapping(seal_mapping(mapping(), by=[NORTH, SOUTH]), signers=SIGNERS)
    assert opened == mapping()
    assert opened.row("north", "1", today=FROM).master == "BBB"


def test_signature_of_one_region_or_of_a_third_is_not_enough() -> None:
    one = seal_mapping(mapping(), by=[NORTH])
    with pytest.raises(SealBroken):
        open_mapping(one, signers=SIGNERS)
    third = Identity.generate()
    with pytest.raises(SealBroken):
        open_mapping(add_signature(one, kind="recognition", by=third), signers=SIGNERS | {"third": third.public})
    with pytest.raises(SealBroken):
        open_mapping(add_signature(one, kind="recognition", by=NORTH), signers=SIGNERS)


def test_one_changed_grade_breaks_the_seal() -> None:
    data = json.loads(seal_mapping(mapping(), by=[NORTH, SOUTH]))
    data["body"]["tables"][0]["rows"][1]["pd"] = 0.01
    with pytest.raises(SealBroken):
        open_mapping(json.dumps(data).encode(), signers=SIGNERS)


@pytest.mark.parametrize(
    ("where", "value"),
    [("master", "AAA"), ("pd", 1.5), ("companies", -1), ("own", "2"), ("bad", 5000), ("pd", 0.9)],
)
def test_table_that_contradicts_itself_is_refused_though_both_signed(where: str, value: object) -> None:
    from fedcredit.trust.envelope import seal

    body = mapping().body()
    body["tables"][0]["rows"][0][where] = value
    with pytest.raises(MappingRefused):
        open_mapping(seal(body, kind="recognition", by=[NORTH, SOUTH]), signers=SIGNERS)


@pytest.mark.parametrize("today", [date(2025, 12, 31), UNTIL])
def test_mapping_holds_from_its_first_day_until_before_its_last(today: date) -> None:
    with pytest.raises(MappingRefused, match="a day from 2026-01-01"):
        mapping().row("north", "1", today=today)
    with pytest.raises(ConfigError):
        mapping().row("west", "1", today=FROM)
    with pytest.raises(ConfigError, match="'north' among companies of 'south'"):
        mapping().row("north", "1", today=FROM, among="south")
    with pytest.raises(ConfigError, match="1 to 400"):
        BilateralMapping(mapping().tables, FROM, date(2028, 1, 1))


def test_grade_is_worth_what_it_is_among_the_companies_of_the_region_that_is_named() -> None:
    abroad = recognise(OwnScale("north", ("1", "2"), (900, 100), (90, 40), among="south"))
    both = BilateralMapping((*mapping().tables, abroad), FROM, UNTIL)
    assert both.row("north", "1", today=FROM).master == "BBB"
    assert both.row("north", "1", today=FROM, among="south").master == "B"
    assert open_mapping(seal_mapping(both, by=[NORTH, SOUTH]), signers=SIGNERS) == both


def test_tables_of_one_region_or_a_third_s_companies_are_no_mapping() -> None:
    north, south = mapping().tables
    abroad = recognise(OwnScale("north", ("1", "2"), (900, 100), (90, 40), among="west"))
    for tables in ((north, north), (north,), (north, abroad), (north, south, abroad)):
        with pytest.raises(ConfigError):
            BilateralMapping(tables, FROM, UNTIL)
