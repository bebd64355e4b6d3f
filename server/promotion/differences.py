"""Two bundles on a desk become the list of what differs: card, figures, weights, calibration, privacy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fedcredit.errors import PolicyRefused
from fedcredit.models.files import CARD, WEIGHTS, digest, read_files
from fedcredit.trust.envelope import canonical
from fedcredit.trust.words import DIGEST
from server.promotion.desk import Desk
from server.promotion.evidence import read_evidence

LONG = 60  # characters of a value that is shown; a longer one is told by its digest


@dataclass(frozen=True)
class Difference:
    """One thing and what it is in either bundle; None where a bundle does not have it."""

    what: str
    a: Any
    b: Any

    @property
    def is_equal(self) -> bool:
        return bool(self.a == self.b)


def differences(desk: Desk, a: str, b: str) -> list[Difference]:
    """Everything that two bundles say of themselves, first the digests, then the card, then the figures.

    Raises:
        ModelError: one is not on the desk, or was changed.
    """
    left, right = dict(_facts(desk, a)), dict(_facts(desk, b))
    return [Difference(what, left.get(what), right.get(what)) for what in left | right]


def shown(value: Any) -> str:
    """A value as a person reads it: a long one by its digest.

    >>> shown(0.25), shown(None), shown([1.0] * 100)
    ('0.25', '-', 'sha256 bdf5dfe080ef')
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and DIGEST.fullmatch(value):
        return value[:12]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= LONG else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _facts(desk: Desk, sha256: str) -> Iterator[tuple[str, Any]]:
    files = read_files(desk.bundle(sha256))
    yield "version", desk.version(sha256)
    yield "bundle sha256", sha256
    yield "weights sha256", digest(files[WEIGHTS])
    card = json.loads(files[CARD])
    for name, value in sorted(card.items()):
        yield name, hashlib.sha256(canonical({"": value})).hexdigest()[:12] if name == "transforms" else value
    try:
        evidence = read_evidence(desk.evidence(sha256))
    except PolicyRefused:
        return
    for name, figure in sorted(evidence.figures.items()):
        yield f"figure {name}", figure.value
