"""Every error of ours says the same things to a person, a program and another process."""

from __future__ import annotations

import pickle

import pytest

from fedcredit.errors import BudgetSpent, ConfigError, FedCreditError, PolicyRefused, TrapRefused


def kinds(kind: type[FedCreditError] = FedCreditError) -> list[type[FedCreditError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in kinds(child))]


@pytest.mark.parametrize("kind", kinds())
def test_an_error_keeps_its_fields_on_the_way_to_another_process(kind: type[FedCreditError]) -> None:
    fault = kind("a", found="b", expected="c", hint="d")
    back = pickle.loads(pickle.dumps(fault))  # noqa: S301 - our own bytes
    assert type(back) is kind
    assert back.as_dict() == fault.as_dict()
    assert list(fault.as_dict()) == ["error", "where", "found", "expected", "hint", "code"]


def test_every_kind_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(set(codes)) == len(codes)


def test_refusals_leave_with_3_and_settings_with_2() -> None:
    assert {kind.exit_code for kind in (PolicyRefused, TrapRefused, BudgetSpent)} == {3}
    assert ConfigError.exit_code == 2
    assert {kind.exit_code for kind in kinds()} == {1, 2, 3}
