"""Signed files: t different people over this body of this kind, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.trust import envelope
from fedcredit.trust.envelope import SealBroken, add_signature, open_sealed, peek, seal, signers_of
from tests.trust.consortium import officer_keys

BODY = {"name": "某银行", "limits": [1, 2.5, None, True], "more": {"b": 1, "a": 2}}


def opened(data: bytes, *, kind: str = "policy", threshold: int = 2) -> dict[str, Any]:
    return open_sealed(data, kind=kind, signers=[one.public for one in officer_keys()], threshold=threshold)


def changed(data: bytes, change: Any) -> bytes:
    document = json.loads(data)
    change(document)
    return json.dumps(document).encode()


def test_body_signed_by_enough_people_comes_back() -> None:
    data = seal(BODY, kind="policy", by=officer_keys("ann", "bob"))
    assert opened(data) == peek(data, kind="policy") == BODY
    assert opened(json.dumps(json.loads(data)).encode()) == BODY  # white space and order of keys mean nothing


def test_file_with_fewer_signatures_than_the_threshold_is_refused() -> None:
    for officers in ([], officer_keys("eve"), officer_keys("ann", "other")):
        with pytest.raises(SealBroken, match="2 of different people"):
            opened(seal(BODY, kind="policy", by=officers))


def test_officer_who_signs_twice_counts_once() -> None:
    ann = officer_keys("ann")[0]
    twice = seal(BODY, kind="policy", by=[ann, ann])
    assert len(json.loads(twice)["signatures"]) == 1
    repeated = changed(twice, lambda document: document["signatures"].append(document["signatures"][0]))
    assert len(json.loads(repeated)["signatures"]) == 2
    with pytest.raises(SealBroken, match="1 signatures"):
        opened(repeated)


def test_threshold_below_one_opens_nothing() -> None:
    with pytest.raises(SealBroken, match="threshold"):
        opened(seal(BODY, kind="policy", by=officer_keys()), threshold=0)


def test_signature_is_added_once_and_the_file_stays_the_same_bytes() -> None:
    ann, bob = officer_keys("ann", "bob")
    draft = seal(BODY, kind="policy", by=[ann])
    both = add_signature(draft, kind="policy", by=bob)
    assert opened(both) == BODY
    assert add_signature(both, kind="policy", by=bob) == both
    known = [ann.public, bob.public]
    assert signers_of(draft, kind="policy", signers=known) == {ann.public.fingerprint}
    assert signers_of(both, kind="policy", signers=known) == {one.fingerprint for one in known}


def test_changed_body_is_refused() -> None:
    data = seal(BODY, kind="policy", by=officer_keys())
    for change in (
        lambda document: document["body"].update(limits=[1, 2.5, None, False]),
        lambda document: document["body"].update(extra=1),
        lambda document: document["body"].pop("more"),
    ):
        with pytest.raises(SealBroken, match="does not hold"):
            opened(changed(data, change))


def test_signature_under_another_officers_name_is_refused() -> None:
    ann, bob = officer_keys("ann", "bob")
    data = seal(BODY, kind="policy", by=[ann])
    lie = changed(data, lambda document: document["signatures"][0].update(by=bob.public.fingerprint))
    with pytest.raises(SealBroken, match="does not hold"):
        opened(lie, threshold=1)


def test_statement_of_one_kind_is_not_one_of_another() -> None:
    data = seal(BODY, kind="policy", by=officer_keys())
    with pytest.raises(SealBroken, match="'policy'"):
        opened(data, kind="manifest")
    renamed = changed(data, lambda document: document.update(kind="manifest"))
    with pytest.raises(SealBroken, match="does not hold"):
        opened(renamed, kind="manifest")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"schema":1,"kind":"policy","body":{}}',
        b'{"schema":1,"kind":"policy","body":{},"signatures":[],"note":""}',
        b'{"schema":1,"kind":"policy","body":{},"body":{"a":1},"signatures":[]}',
        b'{"schema":1,"kind":"policy","body":{"a":1,"a":2},"signatures":[]}',
        b'{"schema":1,"kind":"policy","body":{"a":NaN},"signatures":[]}',
        b'{"schema":1,"kind":"policy","body":{"a":1e999},"signatures":[]}',
        b'{"schema":1,"kind":"policy","body":{"a":"\\ud800"},"signatures":[]}',
        b'{"schema":2,"kind":"policy","body":{},"signatures":[]}',
        b'{"schema":true,"kind":"policy","body":{},"signatures":[]}',
        b'{"schema":1,"kind":"policy","body":[],"signatures":[]}',
        b'{"schema":1,"kind":"policy","body":{},"signatures":{}}',
        b'{"schema":1,"kind":"policy","body":{},"signatures":[{"by":1,"signature":""}]}',
        b'{"schema":1,"kind":"policy","body":{},"signatures":[{"by":"","signature":"","more":""}]}',
        b'{"schema":1,"kind":"policy","body":{"a":' + b"[" * 100 + b"]" * 100 + b'},"signatures":[]}',
        b'{"schema":1,"kind":"policy","body":{"a":' + b"[" * 100_000,
        b'{"schema":1,"kind":"policy","body":{"a":' + b"9" * 5000 + b'},"signatures":[]}',
    ],
)
def test_bytes_that_are_no_signed_file_are_refused(text: bytes) -> None:
    with pytest.raises(SealBroken):
        peek(text, kind="policy")


def test_larger_file_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = seal(BODY, kind="policy", by=officer_keys())
    monkeypatch.setattr(envelope, "MAX_FILE_BYTES", len(data) - 1)
    with pytest.raises(SealBroken, match="at most"):
        opened(data)
    with pytest.raises(SealBroken, match="at most"):
        seal(BODY, kind="policy", by=officer_keys())


def test_file_with_a_thousand_signatures_is_refused_before_one_is_verified() -> None:
    data = changed(
        seal(BODY, kind="policy", by=officer_keys()),
        lambda document: document["signatures"].extend(document["signatures"] * 30),
    )
    with pytest.raises(SealBroken, match="at most 64"):
        opened(data)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_refused_with_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(SealBroken):
        peek(data, kind="policy")


SIGNED = seal(BODY, kind="policy", by=officer_keys("ann", "bob"))


@settings(max_examples=300)
@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_means_nothing(at: int, flip: int) -> None:
    data = bytearray(SIGNED)
    data[at] ^= flip
    try:
        said = opened(bytes(data))
    except SealBroken:
        return
    assert said == BODY


def test_what_json_cannot_say_is_not_signed() -> None:
    for body in ({"a": float("nan")}, {"a": float("inf")}, {"a": b"bytes"}, {"a": "\ud800"}, {1: "a", "b": 2}):
        with pytest.raises(SealBroken):
            seal(body, kind="policy", by=officer_keys())  # type: ignore[arg-type]
