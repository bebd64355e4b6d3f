"""Evidence is read strictly: what is not of its form, or about something else, is none."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.promotion.evidence import MAX_BYTES, EvidenceRefused, evidence_of, read_evidence
from tests.server.promotion.world import NAME, World


@pytest.fixture
def raw(world: World) -> dict[str, Any]:
    sha256 = world.keep(world.bundle())
    world.validate(sha256)
    body: dict[str, Any] = json.loads(world.desk.evidence(sha256).read_text())
    return body


def data(raw: dict[str, Any]) -> bytes:
    return json.dumps(raw).encode()


def test_evidence_is_read_with_every_figure(raw: dict[str, Any]) -> None:
    found = evidence_of(data(raw), where="evidence")
    assert found.figures["ece"].value == 0.011
    assert found.figures["delta_auc"].low is None
    found.check(model=NAME, bundle_sha256=found.model.bundle_sha256, champion=None, now=datetime.now(UTC))


CHANGES: dict[str, Any] = {
    "schema": 2,
    "made": "yesterday",
    "model": {"name": NAME, "version": 1, "bundle_sha256": "short", "study": "quick"},
    "data": {"rows": 3},
    "against": {"bundle_sha256": "0", "version": 1},
    "figures": {"luck": {"value": 1.0, "low": None, "high": None, "about": ""}},
    "extra": 1,
}


@pytest.mark.parametrize("key", CHANGES)
def test_evidence_with_another_form_is_refused_with_its_place(key: str, raw: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRefused, match="evidence") as caught:
        evidence_of(data(raw | {key: CHANGES[key]}), where="evidence")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("figure", [{"value": True}, {"value": "0.1"}, {"low": 2.0, "high": 1.0}, {"more": 1}])
def test_figure_with_another_form_is_refused(figure: dict[str, Any], raw: dict[str, Any]) -> None:
    raw["figures"]["ece"] = raw["figures"]["ece"] | figure
    with pytest.raises(EvidenceRefused, match=r"figures\.ece"):
        evidence_of(data(raw), where="evidence")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*CHANGES, "value", "low"]), inner),
    max_leaves=8,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from([*CHANGES]), value=ANYTHING)
def test_any_value_in_any_place_is_taken_or_refused_in_our_words(key: str, value: Any, raw: dict[str, Any]) -> None:
    for body in (raw | {key: value}, raw | {"figures": {"ece": value}}, raw | {"figures": {"ece": {"value": value}}}):
        with contextlib.suppress(EvidenceRefused):
            evidence_of(json.dumps(body).encode(), where="evidence")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b"1" * 400])
def test_number_that_is_none_is_refused(number: bytes, raw: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRefused):
        evidence_of(data(raw).replace(b"0.011", number), where="evidence")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"schema":1,"schema":1}'])
def test_what_is_no_evidence_is_refused(content: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        evidence_of(content, where="evidence")


def test_oversize_or_missing_evidence_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evidence.json").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(EvidenceRefused, match="oversize"):
        read_evidence(tmp_path / "evidence.json")
    with pytest.raises(EvidenceRefused, match="none about bundle other"):
        read_evidence(tmp_path / "other.json")


def test_evidence_about_another_bundle_or_model_is_refused(raw: dict[str, Any]) -> None:
    found = evidence_of(data(raw), where="evidence")
    sha256, now = found.model.bundle_sha256, datetime.now(UTC)
    for model, bundle, champion in (
        (NAME, "0" * 64, None),
        ("fedcredit-other", sha256, None),
        (NAME, sha256, "1" * 64),
    ):
        with pytest.raises(EvidenceRefused):
            found.check(model=model, bundle_sha256=bundle, champion=champion, now=now)
