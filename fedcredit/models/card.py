"""What `model.json` says becomes a model that is ready to score, every field and tensor checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fedcredit.data.schema import LATER_ROLES, Column, Label, Schema
from fedcredit.errors import FedCreditError, ModelError
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.calibrated import PriorShift, Step
from fedcredit.models.factors import Factor
from fedcredit.models.files import ASK_AGAIN
from fedcredit.models.steps import MAX_STEPS, as_card
from fedcredit.models.steps import from_card as read_steps
from fedcredit.strict import build as build_strictly

CARD_VERSION = 2  # 1 had one prior shift or none as its calibration, and no scale
SCALES = ("master19",)  # what a card may name; fedcredit.credit.scale holds the grades
# Larger architectures than these would only be claimed to exhaust the reader's memory or time.
MAX_WIDTH, MAX_LAYERS, MAX_PERIODS = 1 << 16, 64, 1024


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model with all that is needed to score a raw table, and where it comes from.

    inputs: names of the model's inputs after the transforms, in order; time: periods in a window; weights: plain torch
    names to float32 tensors; schema: the table's columns, transforms and label, lineage left out. calibration: the
    steps that a raw probability goes through, in order; scale: the master scale its grades are of. epsilon and delta
    are None for a model without differential privacy; ledger names where the spend is recorded; roster lists the
    institutions that trained it. sha256 is the digest of the manifest, set by `write` and `read`.
    """

    study: str
    settings: ModelSettings
    time: int
    inputs: tuple[str, ...]
    schema: Schema
    weights: Mapping[str, Tensor]
    config_sha256: str
    git_sha: str
    roster: tuple[str, ...]
    calibration: tuple[Step, ...] = ()
    scale: str | None = None
    epsilon: float | None = None
    delta: float | None = None
    ledger: str | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        if (self.epsilon is None) != (self.delta is None):
            found = f"epsilon {self.epsilon}, delta {self.delta}"
            raise ModelError("privacy of the model", found=found, expected="both, or neither")
        if len(self.calibration) > MAX_STEPS:
            found = f"{len(self.calibration)} steps of calibration"
            hint = "calibrate the raw output (column p) instead of a calibrated PD once more"
            raise ModelError("calibration", found=found, expected=f"at most {MAX_STEPS}", hint=hint)
        if self.scale not in (None, *SCALES):
            raise ModelError("scale of the model", found="another scale", expected=" or ".join(SCALES))

    @property
    def version(self) -> str:
        """What scores are stamped with: the study and the start of the manifest's digest, equal wherever it is read."""
        return f"{self.study}-{self.sha256[:12] or 'draft'}"

    def model(self) -> nn.Module:
        """The torch module with the weights in place, ready to score."""
        model = build(self.settings, features=self.inputs, time=self.time, seed=0)
        model.load_state_dict(dict(self.weights))
        return model.eval()

    def card(self) -> dict[str, Any]:
        """The content of `model.json`."""
        return {
            "schema": CARD_VERSION,
            "study": self.study,
            "architecture": {
                **asdict(self.settings.resolved(self.inputs)),
                "features": len(self.inputs),
                "time": self.time,
            },
            "features": list(self.inputs),
            "transforms": replace(self.schema, lineage={}).as_dict(),
            "schema_sha256": self.schema.sha256,
            "calibration": as_card(self.calibration),
            "scale": self.scale,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "ledger": self.ledger,
            "config_sha256": self.config_sha256,
            "roster": list(self.roster),
            "git_sha": self.git_sha,
        }


def from_card(content: bytes, *, weights: Mapping[str, Tensor], sha256: str, where: str) -> Bundle:
    """The bundle that a card and its tensors describe; nothing in the card is taken for granted.

    Raises:
        ModelError: a key is missing, of another type or out of range, or the card is of a newer version.
    """
    try:
        return _parse(json.loads(content), weights=weights, sha256=sha256, where=where)
    except ModelError:
        raise
    except FedCreditError as fault:
        raise ModelError(
            f"{where}, {fault.where}", found=fault.found, expected=fault.expected, hint=ASK_AGAIN
        ) from fault
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
        found = f"no key {fault}" if isinstance(fault, KeyError) else "another form"
        raise ModelError(where, found=found, expected="the keys of a model card", hint=ASK_AGAIN) from fault


def _parse(card: dict[str, Any], *, weights: Mapping[str, Tensor], sha256: str, where: str) -> Bundle:
    if type(card["schema"]) is not int or not 1 <= card["schema"] <= CARD_VERSION:
        found, hint = f"schema {card['schema']!r}", "a newer fedcredit wrote it; install that version"
        raise ModelError(where, found=found, expected=f"schema 1 to {CARD_VERSION}", hint=hint)
    inputs = tuple(_text(name) for name in card["features"])
    architecture = dict(card["architecture"])
    features, time = architecture.pop("features"), architecture.pop("time")
    sizes = [time, *(size for name, size in architecture.items() if name in ("hidden", "layers", "second_hidden"))]
    if features != len(inputs) or not all(type(size) is int and 0 <= size <= MAX_WIDTH for size in [features, *sizes]):
        expected = f"as many features as names, whole numbers up to {MAX_WIDTH}"
        raise ModelError(f"{where}, architecture", found="another size", expected=expected, hint=ASK_AGAIN)
    if not 1 <= time <= MAX_PERIODS or architecture["layers"] > MAX_LAYERS:
        found, expected = (
            f"time {time}, layers {architecture['layers']}",
            f"a period or more, up to {MAX_LAYERS} layers",
        )
        raise ModelError(f"{where}, architecture", found=found, expected=expected, hint=ASK_AGAIN)
    told = architecture.get("factors", [])
    factors = tuple(build_strictly(Factor, one, where=f"architecture.factors[{k}]") for k, one in enumerate(told))
    schema = _schema(card["transforms"])
    if schema.sha256 != card["schema_sha256"]:
        found = "transforms that differ from schema_sha256"
        raise ModelError(where, found=found, expected="their digest", hint=ASK_AGAIN)
    return Bundle(
        study=_text(card["study"]),
        settings=ModelSettings(**{**architecture, "factors": factors}).resolved(inputs),
        time=time,
        inputs=inputs,
        schema=schema,
        weights=weights,
        config_sha256=_text(card["config_sha256"]),
        git_sha=_text(card["git_sha"]),
        roster=tuple(_text(name) for name in card["roster"]),
        calibration=_calibration(card),
        scale=None if card["scale"] is None else _text(card["scale"]),
        epsilon=_number(card["epsilon"]),
        delta=_number(card["delta"]),
        ledger=None if card["ledger"] is None else _text(card["ledger"]),
        sha256=sha256,
    )


def _calibration(card: Mapping[str, Any]) -> tuple[Step, ...]:
    told = card["calibration"]
    if card["schema"] == 1:
        told = [{"kind": PriorShift.kind, **told}] if told else []
    return read_steps(told)


def _schema(document: Mapping[str, Any]) -> Schema:
    columns = tuple(Column(**{**column, "levels": tuple(column["levels"])}) for column in document["columns"])
    absent = {name for name in LATER_ROLES if name not in document}
    keys = {name: document[name] for name in Schema.__dataclass_fields__ if name not in {"columns", "label", *absent}}
    return Schema(columns=columns, label=Label(**document["label"]), **keys)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise TypeError(value)
    return float(value)


def check_weights(bundle: Bundle, *, where: str) -> None:
    """Names, shapes, dtype and finiteness, before any memory is taken for the architecture's own tensors."""
    with torch.device("meta"):
        plan = build(bundle.settings, features=bundle.inputs, time=bundle.time, seed=0).state_dict()
    if set(plan) != set(bundle.weights):
        wrong = sorted(set(plan) ^ set(bundle.weights))[0]
        found = f"tensor {wrong!r} {'missing' if wrong in plan else 'too many'}"
        hint = "store the names of the plain module: unwrap Opacus's first"
        raise ModelError(
            where, found=found, expected=f"the {len(plan)} tensors of the {bundle.settings.kind}", hint=hint
        )
    for name, planned in plan.items():
        tensor, place = bundle.weights[name], f"{where}, tensor {name!r}"
        if tensor.shape != planned.shape or tensor.dtype != torch.float32:
            found = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
            raise ModelError(place, found=found, expected=f"float32 {tuple(planned.shape)}")
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(place, found="NaN or infinity", expected="finite numbers", hint="the training diverged")
