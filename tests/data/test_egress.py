"""The gate lets through what a message type is for, and nothing that names a company or person, however dressed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedcredit.data.governance.contract import contracts
from fedcredit.data.governance.gate import Block, Node, check, check_error, six_digits
from fedcredit.data.governance.scanner import MAX_TEXT, kinds_in, scan
from fedcredit.errors import EgressRefused
from tests.data.planted import DRESSES, KINDS, NAMES, REGISTRY, bank_card, citizen_id, mobile, planted

BINS = 512
WEIGHT = Block("float32", (16, 8), "numpy.ndarray", b"header")
BIAS = Block("float32", (16,), "numpy.ndarray", b"header of another shape")
ARRAYS = {"body.weight_ih_l0": WEIGHT, "body.bias_ih_l0": BIAS, "head.weight": WEIGHT, "head.bias": BIAS}
NODE = Node(
    {
        "institution": "杭州银行",
        "schema-sha256": "5ac1" * 16,
        "label-definition": "逾期90天以上，自放款起12个月内",
        "companies": 1200,
        "rows": 4800,
        "num-examples": 4800,
        "validation-good": 380,
        "validation-bad": 20,
        "delta": 1e-5,
    },
    arrays=ARRAYS,
    names=NAMES,
)
Records = dict[str, dict[str, Any]]


def counts(total: int) -> list[int]:
    found = [0] * BINS
    found[7], found[300] = total - total // 3, total // 3
    return found


def clean(kind: str) -> Records:
    """A reply of the kind, as the quickstart sends it."""
    sides = {"validation-good": counts(380), "validation-bad": counts(20)}
    facts = ("institution", "schema-sha256", "label-definition", "companies", "rows")
    return copy.deepcopy(
        {
            "query.describe": {"config": {key: NODE.constants[key] for key in facts}},
            "train": {"arrays": dict(ARRAYS), "metrics": {"num-examples": 4800, "loss": 0.431027, **sides}},
            "train.personalise": {"metrics": {"num-examples": 1}},
            "evaluate": {"metrics": {"num-examples": 1, **sides}},
            "query.spent": {"metrics": {"epsilon": 2.98761, "delta": 1e-5}},
            "train.masked": {"arrays": dict(ARRAYS), "config": {"secagg": b"head" * 900, "secagg-deal": b"deal" * 900}},
            "query.champion": {"metrics": {"champion": 1}},
            "query.counts": {"arrays": dict(ARRAYS), "metrics": {"num-examples": 1}},
            "query.masked": {"arrays": dict(ARRAYS), "config": {"secagg": b"head" * 900}},
        }.get(kind, {"config": {"secagg": b"said" * 900}})
    )


def passes(kind: str, records: Records, node: Node = NODE) -> bool:
    try:
        check(kind, records, node=node)
    except EgressRefused:
        return False
    return True


@pytest.mark.parametrize("kind", sorted(contracts()))
def test_a_clean_reply_of_each_kind_passes(kind: str) -> None:
    check(kind, clean(kind), node=NODE)


def test_a_first_round_and_a_silent_one_pass_without_what_is_optional() -> None:
    train = clean("train")
    train["metrics"] = {"num-examples": 4800}
    check("train", train, node=NODE)
    check("evaluate", {"metrics": {"num-examples": 1}}, node=NODE)


def in_an_array_name(records: Records, one: str) -> None:
    records.setdefault("arrays", {})[one] = WEIGHT


def for_an_array_name(records: Records, one: str) -> None:
    records["arrays"] = {one: WEIGHT, **{name: block for name, block in ARRAYS.items() if name != "head.weight"}}


def in_a_record_name(records: Records, one: str) -> None:
    records[one] = {"num-examples": 1}


def in_a_key(records: Records, one: str) -> None:
    first(records)[one] = 1


def in_an_extra_text(records: Records, one: str) -> None:
    first(records)["note"] = one


def for_a_value(records: Records, one: str) -> None:
    record = first(records)
    record[next(iter(record))] = one


def split_over_two_keys(records: Records, one: str) -> None:
    first(records).update({"a": one[: len(one) // 2], "b": one[len(one) // 2 :]})


def split_over_two_values(records: Records, one: str) -> None:
    record = first(records)
    for key, part in zip(list(record)[:2], (one[: len(one) // 2], one[len(one) // 2 :]), strict=False):
        record[key] = part


def in_a_list(records: Records, one: str) -> None:
    first(records)["validation-good"] = [one, *counts(380)[1:]]


def as_letters_of_counts(records: Records, one: str) -> None:
    first(records)["validation-good"] = ([ord(sign) for sign in one] + counts(380))[:BINS]


def in_a_header(records: Records, one: str) -> None:
    records["arrays"] = {**ARRAYS, "head.bias": replace(BIAS, header=BIAS.header + one.encode("utf-8", "replace"))}


def in_a_dtype(records: Records, one: str) -> None:
    records["arrays"] = {**ARRAYS, "head.bias": replace(BIAS, dtype=one)}


def behind_a_definition(records: Records, one: str) -> None:
    first(records)["label-definition"] = f"{NODE.constants['label-definition']} {one}"


PLACES = [
    in_an_array_name,
    for_an_array_name,
    in_a_record_name,
    in_a_key,
    in_an_extra_text,
    for_a_value,
    split_over_two_keys,
    split_over_two_values,
    in_a_list,
    as_letters_of_counts,
    in_a_header,
    in_a_dtype,
    behind_a_definition,
]


def first(records: Records) -> dict[str, Any]:
    return records["config"] if "config" in records else records["metrics"]


def texts(n: int) -> Iterator[tuple[str, str, Records]]:
    kinds = sorted(contracts())
    for number, (what, _, dressed) in enumerate(planted(n, seed=3)):
        place = PLACES[number // 7 % len(PLACES)]
        kind = kinds[number // 3 % len(kinds)]
        records = clean(kind)
        place(records, dressed)
        yield f"{what}, {place.__name__}, {kind}", kind, records


def numbers(n: int) -> Iterator[tuple[str, str, Records]]:
    """Codes of digits as integers of 11 to 19 digits and as floats, in a known key and in a new one."""
    rng = np.random.default_rng(4)
    makers = [mobile, bank_card, lambda g: citizen_id(g)[:17] + "7"]
    forms: list[Callable[[int], Any]] = [
        int,
        float,
        lambda one: one / 10**9,
        lambda one: one / 10**17,
        lambda one: -one,
    ]
    for number in range(n):
        kind = sorted(contracts())[number % len(contracts())]
        records = clean(kind)
        record = first(records)
        keys = [*record, "new"]
        key = keys[number // 5 % len(keys)]
        value = forms[number // 3 % len(forms)](int(makers[number % len(makers)](rng)))
        record[key] = [value, *record[key][1:]] if isinstance(record.get(key), list) else value
        yield f"number {value!r} in {key}, {kind}", kind, records


def test_of_ten_thousand_planted_identifiers_none_gets_out() -> None:
    out = [what for what, kind, records in (*texts(8_500), *numbers(2_000)) if passes(kind, records)]
    assert out == []


def test_the_scanner_alone_finds_every_planted_text() -> None:
    """Where a contract fails us, the second layer stands by itself; numbers and names of records included."""
    missed = [what for what, _, dressed in planted(len(DRESSES) * 60, seed=9) if not kinds_in(dressed, names=NAMES)]
    assert missed == []


def test_the_scanner_alone_sees_through_two_dresses_one_over_the_other() -> None:
    """Small letters over base64 aside: they undo the coding, and nobody can read it."""
    rng = np.random.default_rng(12)
    missed = []
    for number, (inner, outer) in enumerate(permutations(DRESSES, 2)):
        kind = list(KINDS)[number % len(KINDS)]
        dressed = DRESSES[outer](DRESSES[inner](KINDS[kind](rng)))
        is_lost = outer == "small letters" and "base64" in inner
        if not is_lost and len(dressed) <= MAX_TEXT and not kinds_in(dressed, names=NAMES):
            missed.append(f"{kind}, {inner}, {outer}")
    assert missed == []


def test_the_scanner_alone_finds_a_code_that_is_split_over_two_fields() -> None:
    for what, plain, _ in planted(300, seed=10):
        if not what.startswith("text"):
            half = len(plain) // 2
            assert scan([("a", plain[:half]), ("loss", 0.25), ("b", plain[half:])], names=NAMES), what


def test_the_scanner_finds_nothing_in_what_our_messages_are_made_of() -> None:
    words = [
        *ARRAYS,
        "num-examples",
        "validation-good",
        "schema-sha256",
        "label-definition",
        "query.describe",
        "90 dpd",
    ]
    assert [word for word in words if kinds_in(word, names=NAMES)] == []


@pytest.mark.parametrize(
    ("institution", "definition"),
    [
        ("杭州银行", f"overdue at {REGISTRY[0]}"),
        ("杭州银行", "ask 138-0013-8000"),
        ("杭州银行", "customer 9144030071526726XG"),
        ("杭州银行", "OTE0NDAzMDA3MTUyNjcyNlhH of the bank"),
        ("bank of 11010519491231002X", "90 dpd"),
        ("杭州银行", "x" * 501),
        ("杭州银行", "90 dpd\x1b[2J"),
    ],
)
def test_the_operators_own_words_are_searched_too(institution: str, definition: str) -> None:
    constants = {**NODE.constants, "institution": institution, "label-definition": definition}
    records = clean("query.describe")
    records["config"] |= {"institution": institution, "label-definition": definition}
    assert not passes("query.describe", records, replace(NODE, constants=constants))


def test_an_institution_that_is_in_its_own_registry_may_say_its_name() -> None:
    name = REGISTRY[0]
    records = clean("query.describe")
    records["config"]["institution"] = name
    check("query.describe", records, node=replace(NODE, constants={**NODE.constants, "institution": name}))


def test_plain_numbers_of_level_4_rows_stay_and_charged_updates_leave() -> None:
    train = clean("train")
    train["metrics"] = {"num-examples": 4800}
    confidential = replace(NODE, level=4)
    assert not passes("train", train, confidential)
    assert not passes("evaluate", clean("evaluate"), confidential)
    assert passes("train", train, replace(confidential, is_private=True, is_charged=True))
    assert passes("train", train, replace(confidential, is_open=True))
    assert passes("query.describe", clean("query.describe"), confidential)


def test_noise_covers_the_arrays_and_not_the_loss_or_the_counts_beside_them() -> None:
    private = replace(NODE, level=4, is_private=True, is_charged=True)
    for key in ("loss", "validation-good", "validation-bad"):
        train = clean("train")
        train["metrics"] = {"num-examples": 4800, key: train["metrics"][key]}
        assert not passes("train", train, private)


def test_an_update_of_a_private_task_that_was_not_charged_stays_whatever_the_level() -> None:
    train = clean("train")
    train["metrics"] = {"num-examples": 4800}
    assert not passes("train", train, replace(NODE, level=1, is_private=True))


@pytest.mark.parametrize("kind", ["query.names", "train.export", ""])
def test_a_message_type_without_a_contract_does_not_leave(kind: str) -> None:
    assert not passes(kind, {"metrics": {"num-examples": 1}})


@pytest.mark.parametrize(("number", "word"), [(2, "91440300"), (2, ""), (13800138000, "table"), (2, "Table")])
def test_an_error_that_is_no_code_of_ours_does_not_leave(number: int, word: str) -> None:
    with pytest.raises(EgressRefused):
        check_error(number, word)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1, True, None, b"x", [1], 0.12345678, 2e6, "0.4"])
def test_a_loss_is_a_number_of_six_digits_in_its_range(odd: Any) -> None:
    train = clean("train")
    train["metrics"]["loss"] = odd
    assert not passes("train", train)


@pytest.mark.parametrize("odd", [counts(379), counts(380)[1:], [380.0, *[0] * 511], [381, -1, *[0] * 510], {}, "380"])
def test_counts_are_those_of_the_institutions_own_rows(odd: Any) -> None:
    evaluate = clean("evaluate")
    evaluate["metrics"]["validation-good"] = odd
    assert not passes("evaluate", evaluate)


def test_a_refusal_names_rule_and_field_and_not_the_value() -> None:
    for what, kind, records in texts(600):
        try:
            check(kind, records, node=NODE)
        except EgressRefused as refused:
            said = str(refused)
        assert said.startswith(kind)
        assert "nothing was sent" in said
        known = {"杭州银行", "5ac1" * 16, *contracts()[kind].records, "arrays", "secagg", "secagg-deal", kind}
        planted_texts = [one for one in _texts_of(records) if len(one) > 5 and one not in known]
        assert not [one for one in planted_texts if one in said and one not in str(contracts())], what


def _texts_of(records: Records) -> Iterator[str]:
    for name, record in records.items():
        yield name
        for key, value in record.items():
            yield key
            if isinstance(value, str):
                yield value


@pytest.mark.parametrize("odd", [b"x" * 8193, "text", 91330100, [b"x"]])
def test_what_the_masking_protocol_says_is_bytes_of_a_bounded_size(odd: Any) -> None:
    keys = clean("query.keys")
    keys["config"]["secagg"] = odd
    assert not passes("query.keys", keys)


def test_a_spend_is_never_rounded_down() -> None:
    for number in np.random.default_rng(0).uniform(0, 20, size=500).tolist():
        assert number <= six_digits(number, upwards=True) <= number * (1 + 1e-5)
    assert six_digits(3.0, upwards=True) == 3.0


def test_the_page_says_of_every_key_what_level_it_has() -> None:
    page = Path(__file__).parents[2] / "docs" / "governance.md"
    rows, kind = {}, ""
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip(" `") for cell in line.split("|")[1:-1]]
        if len(cells) == 4 and cells[1] not in ("key", "---", "reason"):
            kind = cells[0] or kind
            rows[kind, cells[1]] = 0 if cells[2] == "rows" else int(cells[2])
    wanted = {
        (kind, key): rule.level
        for kind, contract in contracts().items()
        for rules in contract.records.values()
        for key, rule in rules.items()
    }
    arrays = {(kind, "arrays"): contract.arrays.level for kind, contract in contracts().items() if contract.arrays}
    assert rows == {**wanted, **arrays}


def test_the_gate_costs_a_message_less_than_a_millisecond() -> None:
    train = clean("train")
    seconds = []
    for _ in range(200):
        started = time.perf_counter()
        check("train", train, node=NODE)
        seconds.append(time.perf_counter() - started)
    assert np.median(seconds) < 1e-3
