"""The bytes of PROMOTION.json become a promotion that two different officers have signed, later than the one before.

A bundle's promotion is an envelope of kind "promotion" (trust/envelope.py). Promotions of a model follow one another by
the moment at which their approval was begun, which the officers sign. So an old one that somebody sends again is
refused, and a model is rolled back at nodes by approving the earlier bundle anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.trust.envelope import open_sealed, peek, signers_of
from fedcredit.trust.keys import PublicIdentity
from fedcredit.trust.words import checked_digest, checked_name, moment_of

KIND = "promotion"
SCHEMA = 1
LEAST_SIGNATURES = 2
MAX_PROMOTION_BYTES = 64 * 1024  # with a few signatures of 4 kB


class PromotionRefused(PolicyRefused):
    """A promotion is not signed by two officers, is of another bundle, has ended, or is older than the one in force."""

    code = "promotion"


@dataclass(frozen=True)
class Promotion:
    """What the approvers signed: this bundle of this model is to decide; `made` then, to be used before `expires`."""

    model: str
    version: str
    bundle_sha256: str
    made: datetime
    expires: datetime
    by: tuple[str, ...] = ()

    def require_later(self, other: Promotion | None) -> None:
        """Return if this is the other one, or a later one of the model. Raises PromotionRefused: it is older."""
        if other is None or self.made > other.made:
            return
        if (self.made, self.bundle_sha256) == (other.made, other.bundle_sha256):
            return
        hint = "to go back to an earlier model, have its bundle approved anew"
        found = f"a promotion approved on {self.made:%Y-%m-%d %H:%M:%S}"
        expected = f"one that is later than that in force, {other.made:%Y-%m-%d %H:%M:%S}"
        raise PromotionRefused("promotion", found=found, expected=expected, hint=hint)


def open_promotion(
    data: bytes, *, bundle_sha256: str, officers: Mapping[str, PublicIdentity], now: datetime | None = None
) -> Promotion:
    """The promotion in the file, signed by two different officers or more; `by` names them.

    With `now`, an approval that has ended is refused: it says until when the bundle may take its place, not how long it
    may stay there.

    Raises:
        PromotionRefused: it is of another bundle, has ended, or says what cannot be.
        SealBroken: fewer than two officers have signed, or a signature does not hold.
    """
    if len(data) > MAX_PROMOTION_BYTES:
        raise PromotionRefused("promotion", found=f"{len(data)} bytes", expected=f"at most {MAX_PROMOTION_BYTES}")
    identities: Iterable[PublicIdentity] = {one.fingerprint: one for one in officers.values()}.values()
    body = open_sealed(data, kind=KIND, signers=identities, threshold=LEAST_SIGNATURES)
    promotion = _of_body(body)
    if promotion.bundle_sha256 != bundle_sha256:
        found = f"one of bundle {promotion.bundle_sha256[:12]}"
        raise PromotionRefused("promotion", found=found, expected=f"one of bundle {bundle_sha256[:12]}")
    if now is not None and now >= promotion.expires:
        found = f"an approval that ended on {promotion.expires:%Y-%m-%d %H:%M}"
        raise PromotionRefused("promotion", found=found, expected="one that holds now", hint="have it approved again")
    held = signers_of(data, kind=KIND, signers=identities)
    by = tuple(name for name, one in officers.items() if one.fingerprint in held)
    return replace(promotion, by=by)


def peek_promotion(data: bytes) -> Promotion:
    """What the file says, without any verification: to show it, or to send it."""
    if len(data) > MAX_PROMOTION_BYTES:
        raise PromotionRefused("promotion", found=f"{len(data)} bytes", expected=f"at most {MAX_PROMOTION_BYTES}")
    return _of_body(peek(data, kind=KIND))


def _of_body(body: Mapping[str, Any]) -> Promotion:
    """Only what a node goes by is read: the approvers may have signed more."""
    words = {name: body.get(name) for name in ("model", "version", "bundle_sha256", "made", "expires")}
    if body.get("schema") != SCHEMA or not all(isinstance(word, str) for word in words.values()):
        raise PromotionRefused("promotion", found="another form", expected=f"a promotion of schema {SCHEMA}")
    said = {name: str(word) for name, word in words.items()}
    try:
        return Promotion(
            checked_name(said["model"], where="model"),
            said["version"][:200],
            checked_digest(said["bundle_sha256"], where="bundle_sha256"),
            moment_of(said["made"], where="made"),
            moment_of(said["expires"], where="expires"),
        )
    except ConfigError as fault:
        raise PromotionRefused(f"promotion, {fault.where}", found="another form", expected=fault.expected) from None
