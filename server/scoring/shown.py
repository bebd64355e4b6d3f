"""The models in force become what a caller may know of them: indicators and ranges, privacy, and counts of trials."""

from __future__ import annotations

from typing import Any

from server.scoring.lineup import Lineup, Served
from server.scoring.trials import Trials


def models(lineup: Lineup, *, fault: str, trials: Trials | None) -> dict[str, Any]:
    """Champion with its indicators, the others by name; what trials counted, where they are given."""
    told: dict[str, Any] = {"champion": _described(lineup.champion), "fault": fault}
    for name in ("challenger", "shadow", "previous"):
        served = getattr(lineup, name)
        told[name] = _named(served) if served else None
        if served and trials is not None and name != "previous":
            told[name]["trial"] = trials.of(served.sha256).as_dict()
    return told


def _named(served: Served) -> dict[str, Any]:
    return {
        "version": served.version,
        "model_version": served.model_version,
        "bundle_sha256": served.sha256,
        "study": served.bundle.study,
    }


def _described(served: Served) -> dict[str, Any]:
    bundle = served.bundle
    indicators = [
        {"name": one.name, "kind": one.kind, "unit": one.unit, "level": one.level, "may_be_missing": one.nullable}
        | ({"lo": one.lo, "hi": one.hi} if one.kind in ("ratio", "number") else {})
        | ({"levels": list(one.levels)} if one.kind == "category" else {})
        for one in bundle.schema.columns
    ]
    return _named(served) | {
        "periods": bundle.time,
        "has_periods": bundle.schema.period is not None,
        "indicators": indicators,
        "schema_sha256": bundle.schema.sha256,
        "scale": bundle.scale,
        "epsilon": bundle.epsilon,
        "delta": bundle.delta,
    }
