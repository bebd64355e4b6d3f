"""Bytes on the wire: one way to write a message, and everything else is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.privacy.secagg.refusals import MessageRefused, SecaggRefused
from fedcredit.privacy.secagg.round_messages import RoundStart, SurvivorSet
from fedcredit.privacy.secagg.setup_messages import KeyList
from fedcredit.privacy.secagg.wire import SUITE, Reader, by_index, fixed, limited, number

SET = SurvivorSet(b"p" * 32, 3, 1, b"c" * 32, {0: b"a" * 32, 5: b"b" * 32})


def test_message_comes_back_as_it_went() -> None:
    assert SurvivorSet.from_bytes(SET.to_bytes()) == SET


def test_order_in_memory_does_not_change_the_bytes() -> None:
    turned = SurvivorSet(SET.plan, 3, 1, SET.context, dict(reversed(SET.payloads.items())))
    assert turned.to_bytes() == SET.to_bytes()


def test_one_kind_of_message_is_not_read_as_another() -> None:
    with pytest.raises(MessageRefused, match="another kind"):
        RoundStart.from_bytes(SET.to_bytes())


@pytest.mark.parametrize("entries", [b"\0\2\0\1\0\1", b"\0\2\0\5\0\1"])
def test_repeated_or_disordered_entries_are_refused(entries: bytes) -> None:
    with pytest.raises(MessageRefused, match="out of order"):
        by_index(fixed(0)).read(Reader(entries, "test"))


def test_two_gibibyte_claim_with_a_short_body_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(MessageRefused, match="at most 100"):
        limited(100).read(Reader(b"\x7f\xff\xff\xff", "test"))
    with pytest.raises(MessageRefused, match="too early"):
        limited(2**31).read(Reader(b"\x7f\xff\xff\xff", "test"))
    with pytest.raises(MessageRefused, match="at most 1024"):
        by_index(number(1)).read(Reader(b"\xff\xff", "test"))


def test_field_of_another_size_is_not_written() -> None:
    with pytest.raises(MessageRefused):
        SurvivorSet(b"short", 1, 0, bytes(32), {}).to_bytes()


@settings(max_examples=200)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_refused_by_name(data: bytes) -> None:
    for kind in (SurvivorSet, RoundStart, KeyList):
        with pytest.raises(SecaggRefused):
            kind.from_bytes(data)


@settings(max_examples=300)
@given(at=st.integers(0, 10**6), value=st.integers(1, 255))
def test_any_changed_byte_is_refused_or_another_message(at: int, value: int) -> None:
    """Canonical: no two byte strings give the same message."""
    data = bytearray(SET.to_bytes())
    data[at % len(data)] ^= value
    with contextlib.suppress(SecaggRefused):
        assert SurvivorSet.from_bytes(bytes(data)) != SET


def test_suite_names_every_algorithm() -> None:
    for part in (b"Ed25519", b"ML-DSA-65", b"X25519", b"ML-KEM-768", b"AES-256"):
        assert part in SUITE
