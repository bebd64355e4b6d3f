"""A study's trust mode becomes the groups whose updates are added up under masks, or none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from fedcredit.errors import ConfigError
from fedcredit.federation.messages import MIN_SUM, UPDATE_LIMITS, Masking
from fedcredit.federation.strategies import AVERAGING
from fedcredit.settings import Recipe, StudySettings

TrustMode = Literal["masked", "bucketed", "open"]
MOST_COMPANIES = 2.0**16  # of one institution, with room for its noise
LEAST_BUCKETS = 3  # of two sums that differ, no rule can tell which one is odd


def trust_mode(settings: StudySettings, recipe: Recipe, *, institutions: int) -> TrustMode:
    """The mode that was asked for, or where none was: masked if four institutions or more are only averaged.

    Raises:
        ConfigError: masks with too few institutions, or with a strategy that has to see what they hide.
    """
    asked, strategy = settings.federation.trust_mode, str(recipe.strategy.get("_target_", "")).rpartition(".")[2]
    if asked is None:
        return "masked" if institutions >= MIN_SUM and strategy in AVERAGING else "open"
    if asked == "masked" and strategy not in AVERAGING:
        hint = "federation.trust_mode=bucketed compares sums, open shows the platform every update"
        raise ConfigError(
            "federation.trust_mode", found=f"masked with {strategy}", expected="a strategy that averages", hint=hint
        )
    least = {"masked": MIN_SUM, "bucketed": LEAST_BUCKETS * max(settings.federation.bucket, MIN_SUM), "open": 1}[asked]
    if institutions < least:
        hint = "federation.trust_mode=open shows the platform every update"
        found = f"{asked} with {institutions} institutions"
        raise ConfigError("federation.trust_mode", found=found, expected=f"{least} or more", hint=hint)
    return asked


def masking_of(
    settings: StudySettings, recipe: Recipe, *, members: Sequence[str], seed: int, is_noise_shared: bool = False
) -> Masking | None:
    """The masked sums of one federated model: one of all institutions, or buckets drawn by the seed.

    Under shared noise the numbers are sums over an institution's companies, whom the limit has to hold whatever they
    are; words of 64 bits have room for them.
    """
    mode = trust_mode(settings, recipe, institutions=len(members))
    limit = settings.federation.update_limit
    if is_noise_shared:
        limit = max(limit, min(UPDATE_LIMITS[1], MOST_COMPANIES * recipe.clip))
    if mode == "open":
        return None
    if mode == "masked":
        return Masking((tuple(sorted(members)),), limit)
    buckets = len(members) // max(settings.federation.bucket, MIN_SUM)
    drawn = sorted(members)
    random.Random(f"buckets/{seed}").shuffle(drawn)  # noqa: S311 - who is in which bucket is no secret
    return Masking(tuple(tuple(sorted(drawn[number::buckets])) for number in range(buckets)), limit)
