"""A reply becomes one that may leave, or a refusal: its contract first, then a scan of all that the node does not know.

Tensor values are not scanned: an update is numbers by nature, and what they may tell of a company is bounded by
clipping, noise and masking (docs/privacy.md). The gate sees to everything around them: names, shapes, types, headers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context
from typing import Any

from fedcredit.data.governance.contract import Contract, Rule, contracts, errors
from fedcredit.data.governance.levels import may_leave
from fedcredit.data.governance.masking import search
from fedcredit.data.governance.names import Names
from fedcredit.data.governance.scanner import scan
from fedcredit.errors import EgressRefused

MOST_DIGITS = 6
MAX_WORDS = 500  # characters of a name or a definition; the platform keeps no more


@dataclass(frozen=True)
class Block:
    """An array from outside: everything of it but its values; `header` is what stands before them."""

    dtype: str
    shape: tuple[int, ...]
    stype: str
    header: bytes


@dataclass(frozen=True)
class Node:
    """What a node knows of itself, against which a reply is held.

    `constants` are named in messages.yaml; `arrays` are those of the task's model. `is_open`: see `levels.may_leave`.
    """

    constants: Mapping[str, str | int | float]
    arrays: Mapping[str, Block] = field(default_factory=dict)
    level: int = 3
    is_open: bool = False
    is_private: bool = False
    is_charged: bool = False
    names: Names | None = None


Records = Mapping[str, Mapping[str, Any]]


def check(kind: str, records: Records, *, node: Node) -> None:
    """Pass a clean reply in silence.

    Raises:
        EgressRefused: with the rule and the field, never the value; what was about to leave must not.
    """
    contract = contracts().get(kind)
    if contract is None:
        raise _refused("message type", found="one without a contract", expected="one of messages.yaml")
    wanted = {*contract.records, *(["arrays"] if contract.arrays else [])}
    if records.keys() != wanted:
        raise _refused(kind, found="other records", expected=", ".join(sorted(wanted)))
    for name, rules in contract.records.items():
        _check_keys(f"{kind}, {name}", records[name], rules)
        for key, value in records[name].items():
            where = f"{kind}, {name}.{key}"
            _check_level(where, rules[key], node)
            _check_value(where, value, rules[key], node)
    if contract.arrays is not None:
        _check_level(f"{kind}, arrays", contract.arrays, node)
        _check_arrays(f"{kind}, arrays", records["arrays"], node)
    # Whatever a rule let through by its range, and not because the node knows it, is searched as a stranger's.
    found = scan(_unknown(contract, records), names=node.names)
    if found:
        where, what = found[0]
        raise _refused(f"{kind}, {where}", found=f"what may be of kind {what}", expected="no identifier")


def check_error(number: int, word: str) -> None:
    """Pass an error reply that is a code of ours.

    Raises:
        EgressRefused: another number or word.
    """
    if number != errors().number or word not in errors().words:
        raise _refused("error reply", found="another code", expected="one of messages.yaml")


def six_digits(number: float, *, upwards: bool = False) -> float:
    """The number with as many significant digits as may leave; `upwards` for a spend, which must not look smaller.

    >>> six_digits(0.69314718056), six_digits(2.00000013, upwards=True)
    (0.693147, 2.00001)
    """
    rounding = ROUND_CEILING if upwards else ROUND_HALF_EVEN
    return float(Context(prec=MOST_DIGITS, rounding=rounding).create_decimal_from_float(number))


def _check_keys(where: str, record: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    for number, key in enumerate(record, start=1):
        if key not in rules:  # the key itself may be what must not leave, so it is not named
            raise _refused(where, found=f"an unknown key, the {number}. of {len(record)}", expected="those agreed")
    missing = [key for key, rule in rules.items() if key not in record and not rule.optional]
    if missing:
        raise _refused(where, found=f"no {', '.join(missing)}", expected="all that were agreed")


def _check_level(where: str, rule: Rule, node: Node) -> None:
    if rule.private and node.is_private and not node.is_charged:
        raise _refused(where, found="a private task that was not charged", expected="the charge on disk first")
    covered = rule.private and node.is_private and node.is_charged
    if not may_leave(rule.level_on(node.level), is_private=covered, is_open=node.is_open):
        raise _refused(where, found=f"rows of level {node.level}", expected="a charged, private aggregate")


def _check_value(where: str, value: Any, rule: Rule, node: Node) -> None:
    if rule.equals is not None:
        constant = node.constants[rule.equals]
        if type(value) is not type(constant) or value != constant:
            raise _refused(where, found="another value", expected="the node's own constant")
        if rule.words:
            _check_words(where, str(value), node)
    elif rule.sealed is not None:
        if type(value) is not bytes or len(value) > rule.sealed:
            raise _refused(where, found="another value", expected=f"at most {rule.sealed} bytes of the protocol")
    elif rule.one_of:
        if type(value) is not int or value not in rule.one_of:
            raise _refused(where, found="another value", expected=f"one of {rule.one_of}")
    elif rule.length is not None:
        _check_counts(where, value, rule, total=int(node.constants[str(rule.total)]))
    else:
        low, high = rule.lo or 0.0, rule.hi or 0.0
        if type(value) not in (int, float) or not low <= value <= high:
            raise _refused(where, found="another value", expected=f"a number, {low:g} to {high:g}")
        if six_digits(value) != value:
            raise _refused(where, found="a number of more digits", expected=f"at most {MOST_DIGITS} significant ones")


def _check_words(where: str, words: str, node: Node) -> None:
    """The operator's own wording: free, but short and without the code or name of another."""
    hits = search(words, names=node.names, sentences=False)
    own = str(node.constants["institution"])  # a bank, or the bank of a branch, may be in its own registry
    kinds = [hit.kind for hit in hits if hit.kind != "name" or words[hit.start : hit.end] not in own]
    if kinds or len(words) > MAX_WORDS or not words.isprintable():
        found = f"what may be of kind {kinds[0]}" if kinds else "a longer text, or one with control signs"
        raise _refused(where, found=found, expected="the operator's words, without any identifier")


def _check_counts(where: str, value: Any, rule: Rule, *, total: int) -> None:
    is_list = type(value) is list and len(value) == rule.length and all(type(count) is int for count in value)
    if not is_list or min(value) < 0 or sum(value) != total:
        raise _refused(where, found="other counts", expected=f"{rule.length} of them, in all those of the rows")


def _check_arrays(where: str, arrays: Mapping[str, Any], node: Node) -> None:
    if arrays.keys() != node.arrays.keys():
        raise _refused(where, found="other names", expected="those of the model's parameters")
    for number, (name, block) in enumerate(node.arrays.items(), start=1):
        if arrays[name] != block:
            raise _refused(f"{where}, the {number}.", found="another shape, type or header", expected="the model's")


def _unknown(contract: Contract, records: Records) -> Iterator[tuple[str, Any]]:
    for name, rules in contract.records.items():
        for key, value in records[name].items():
            if rules[key].equals is None and rules[key].length is None and rules[key].sealed is None:
                yield f"{name}.{key}", value


def _refused(where: str, *, found: str, expected: str) -> EgressRefused:
    return EgressRefused(where, found=found, expected=expected, hint="nothing was sent")
