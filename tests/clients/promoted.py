"""Bundles that two officers have promoted, for tests of what a node takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fedcredit.data.schema import Column, Label, Schema
from fedcredit.federation.champion import PROMOTION, Sent
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import Bundle
from fedcredit.trust.envelope import seal
from fedcredit.trust.manifest import Manifest, ManifestFile, StudyRule
from fedcredit.trust.words import moment_text
from tests.trust.consortium import identities, manifest, sealed

TODAY = datetime.now(UTC).replace(microsecond=0)
SCHEMA = Schema((Column("debt", "raw"), Column("sales", "raw")), Label("bad"), company="company")
MODEL = "fedcredit-quickstart"
STUDY = "quickstart"


def make_bundle(folder: Path, *, seed: int = 1) -> Bundle:
    """A bundle in FOLDER/<seed>."""
    inputs = ("debt", "sales")
    settings = ModelSettings("logistic")
    weights = build(settings, features=inputs, time=1, seed=seed).state_dict()
    made = Bundle(STUDY, settings, 1, inputs, SCHEMA, weights, "c" * 64, "abc", ("east",))
    return bundles.write(folder / f"bundle-{seed}", made)


def promotion(
    bundle: Bundle, *, days: float = 7.0, by: tuple[str, ...] = ("ann", "bob"), model: str = MODEL, **more: Any
) -> bytes:
    """The approval of the bundle, as `model approve` makes it."""
    body = {
        "schema": 1,
        "model": model,
        "version": "1",
        "bundle_sha256": bundle.sha256,
        "evidence_sha256": "e" * 64,
        "gates_sha256": "a" * 64,
        "over": None,
        "made": moment_text(TODAY + timedelta(days=days - 10)),  # approvals hold ten days here
        "expires": moment_text(TODAY + timedelta(days=days)),
    }
    return seal(body | more, kind="promotion", by=[identities()[name] for name in by])


def promoted(folder: Path, *, seed: int = 1, **said: Any) -> tuple[Bundle, Sent]:
    """A bundle with its promotion, ready to be sent."""
    bundle = make_bundle(folder, seed=seed)
    path = folder / f"bundle-{seed}"
    (path / PROMOTION).write_bytes(promotion(bundle, **said))
    return bundle, Sent.from_folder(path)


def dated(**more: Any) -> dict[str, Any]:
    """What makes the consortium's manifest one of today, with the study in it."""
    rule = StudyRule(STUDY, "credit-risk", ("b" * 64,), {"type": "object"}, TODAY + timedelta(days=30))
    said = {"issued": TODAY - timedelta(days=1), "expires": TODAY + timedelta(days=80), "studies": (rule,)}
    return said | more


def pin_manifest(path: Path, **more: Any) -> Manifest:
    """The manifest of today in a file."""
    said = dated(**more)
    data = sealed(**said)
    return ManifestFile(path).pin(data, fingerprint=manifest(**said).root_fingerprint, now=TODAY)
