"""Shamir's sharing: t shares open, t - 1 say nothing, and a second implementation agrees."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.privacy import shamir
from fedcredit.privacy.shamir import PRIME, ShareInvalid, combine, combine_many, commitment, split, weights_at_zero

SECRET = bytes(range(32))


def test_prime_is_the_least_above_two_to_the_256() -> None:
    """Miller-Rabin with 40 bases finds it prime, and Fermat's test to base 3 finds every smaller candidate composite.

    (To base 2 it would not: 2^256 + 1 is a Fermat number, and passes.)
    """

    def looks_prime(n: int) -> bool:
        odd, twos = n - 1, 0
        while odd % 2 == 0:
            odd, twos = odd // 2, twos + 1
        for base in range(2, 42):
            powers = [pow(base, odd << k, n) for k in range(twos)]
            if powers[0] != 1 and n - 1 not in powers:
                return False
        return True

    assert looks_prime(PRIME)
    assert all(pow(3, n - 1, n) != 1 for n in range(2**256 + 1, PRIME, 2))


def horner_free_value(coefficients: list[int], x: int) -> int:
    """Second implementation of evaluation: powers, no Horner."""
    return sum(c * pow(x, k, PRIME) for k, c in enumerate(coefficients)) % PRIME


def solve_for_constant(points: dict[int, int]) -> int:
    """Second implementation of opening: Gaussian elimination on the Vandermonde system, not Lagrange's formula."""
    rows = [[pow(x, k, PRIME) for k in range(len(points))] + [y] for x, y in points.items()]
    size = len(rows)
    for column in range(size):
        pivot = next(r for r in range(column, size) if rows[r][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        inverse = pow(rows[column][column], -1, PRIME)
        rows[column] = [value * inverse % PRIME for value in rows[column]]
        for r in range(size):
            if r != column:
                factor = rows[r][column]
                rows[r] = [(a - factor * b) % PRIME for a, b in zip(rows[r], rows[column], strict=True)]
    return rows[0][-1]


@settings(max_examples=40)
@given(data=st.data(), secret=st.binary(min_size=32, max_size=32), n=st.integers(1, 12))
def test_any_t_shares_open_the_secret_and_the_second_implementation_agrees(
    data: st.DataObject, secret: bytes, n: int
) -> None:
    threshold = data.draw(st.integers(1, n))
    holders = data.draw(st.lists(st.integers(1, 1000), min_size=n, max_size=n, unique=True))
    shares = split(secret, threshold=threshold, holders=holders)
    chosen = data.draw(st.permutations(holders))[:threshold]
    assert combine({x: shares[x] for x in chosen}, threshold=threshold) == secret
    points = {x: int.from_bytes(shares[x], "big") for x in chosen}
    assert solve_for_constant(points).to_bytes(32, "big") == secret


def test_sharing_is_evaluation_of_the_polynomial_by_the_second_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([5, PRIME - 1, 0])
    monkeypatch.setattr(shamir.secrets, "randbelow", lambda bound: next(drawn) if bound == PRIME else None)
    shares = split(SECRET, threshold=4, holders=[1, 2, 3, 77])
    coefficients = [int.from_bytes(SECRET, "big"), 0, PRIME - 1, 5]
    assert {x: int.from_bytes(s, "big") for x, s in shares.items()} == {
        x: horner_free_value(coefficients, x) for x in (1, 2, 3, 77)
    }


def test_fewer_than_t_shares_fit_every_secret_equally() -> None:
    """For two shares of three needed and *any* secret there is exactly one third share that opens it."""
    shares = split(SECRET, threshold=3, holders=[1, 2, 3])
    weights = weights_at_zero([1, 2, 3])
    known = sum(w * int.from_bytes(shares[x], "big") for w, x in zip(weights[:2], (1, 2), strict=True))
    for wished in (bytes(32), b"\xff" * 32, SECRET[::-1]):
        third = (int.from_bytes(wished, "big") - known) * pow(weights[2], -1, PRIME) % PRIME
        assert combine({**shares, 3: third.to_bytes(33, "big")}, threshold=3) == wished


def test_weights_at_zero_are_lagranges_over_the_rationals() -> None:
    """At x = 1, 2, 4: 8/3, -2, 1/3."""
    expected = [Fraction(8, 3), Fraction(-2), Fraction(1, 3)]
    assert weights_at_zero([1, 2, 4]) == [f.numerator * pow(f.denominator, -1, PRIME) % PRIME for f in expected]


def test_many_secrets_open_together_and_shares_that_do_not_belong_give_none_or_another() -> None:
    holders = [1, 2, 3, 4]
    first, second = (split(secret, threshold=3, holders=holders) for secret in (SECRET, SECRET[::-1]))
    mixed = {1: first[1], 2: second[2], 3: first[3]}
    opened = combine_many([first, mixed, second], threshold=3)
    assert opened[0] == SECRET
    assert opened[1] != SECRET
    assert opened[2] == SECRET[::-1]


def test_too_few_shares_are_refused() -> None:
    shares = split(SECRET, threshold=3, holders=[1, 2, 3])
    with pytest.raises(ShareInvalid, match="at least 3"):
        combine({x: shares[x] for x in (1, 2)}, threshold=3)


@pytest.mark.parametrize("share", [b"", bytes(32), bytes(34), b"\xff" * 33, PRIME.to_bytes(33, "big")])
def test_share_that_is_no_field_element_is_refused(share: bytes) -> None:
    shares = split(SECRET, threshold=2, holders=[1, 2])
    with pytest.raises(ShareInvalid):
        combine({**shares, 2: share}, threshold=2)


@pytest.mark.parametrize(
    ("secret", "threshold", "holders"),
    [(b"short", 1, [1]), (SECRET, 3, [1, 2]), (SECRET, 0, [1]), (SECRET, 2, [0, 1]), (SECRET, 2, [1, 1])],
)
def test_sharing_that_could_not_be_opened_or_would_show_the_secret_is_refused(
    secret: bytes, threshold: int, holders: list[int]
) -> None:
    with pytest.raises(ShareInvalid):
        split(secret, threshold=threshold, holders=holders)


def test_commitment_binds_value_and_context() -> None:
    kept = commitment(SECRET, context=b"one")
    assert kept == commitment(SECRET, context=b"one")
    assert kept != commitment(SECRET, context=b"two")
    assert kept != commitment(SECRET[::-1], context=b"one")
    assert commitment(b"c" + SECRET, context=b"ab") != commitment(SECRET, context=b"abc")
