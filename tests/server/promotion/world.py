"""A desk with two approvers, and bundles to promote: what tests of promotion, scoring and freshness build on.

world = found(tmp_path / "models" / "fedcredit-quick")
champion = world.promote(world.bundle(bias=0.5))
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fedcredit.data.schema import Column, Label, Schema
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings
from fedcredit.models.bundle import Bundle
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import Identity
from server.promotion.approvals import approve
from server.promotion.desk import Desk
from server.promotion.gates import Gates, read_gates
from server.promotion.history import Promoted
from server.promotion.kept import keep
from server.promotion.promote import promote

NAME = "fedcredit-quick"
SCHEMA = Schema(
    (Column("debt", "raw", nullable=True),),
    Label("bad", definition="90 dpd"),
    company="id",
    period="month",
    institution="bank",
)
GOOD: dict[str, tuple[float | None, float | None, float | None]] = {
    "auc": (0.81, 0.78, 0.84),
    "delta_auc": (0.01, 0.002, 0.018),
    "ece": (0.011, 0.008, 0.015),
    "jeffreys_p": (0.4, None, None),
    "psi": (0.05, None, None),
    "fairness_gap": (0.03, 0.01, 0.06),
    "epsilon": (3.0, None, None),
    "epsilon_budget": (8.0, None, None),
    "membership_advantage": (0.02, -0.01, 0.06),
    "data_age_hours": (20.0, None, None),
    "quarantined": (0.0, None, None),
}


@dataclass
class World:
    """A founded desk, the people who may approve at it, and a folder for bundles."""

    desk: Desk
    people: dict[str, Identity]
    workshop: Path
    made: int = field(default=0)

    def bundle(self, *, bias: float = 0.0) -> Path:
        """A new bundle of study `quick`: a logistic model whose logit is the debt of the last of two months + bias."""
        self.made += 1
        folder = self.workshop / f"bundle-{self.made}"
        one = Bundle(
            study=self.desk.name.removeprefix("fedcredit-"),
            settings=ModelSettings("logistic"),
            time=2,
            inputs=("debt", "debt_missing", "present"),
            schema=SCHEMA,
            weights={"head.weight": torch.tensor([[0.0, 0, 0, 1, 0, 0]]), "head.bias": torch.tensor([bias])},
            config_sha256="c" * 64,
            git_sha="abc",
            roster=("east",),
            epsilon=3.0,
            delta=1e-5,
        )
        bundles.write(folder, one)
        return folder

    def keep(self, folder: Path, *, version: str | None = None) -> str:
        """The bundle on the desk; its digest."""
        return keep(self.desk.folder, folder, version=version or re.sub(r"\D", "", folder.name))

    def validate(self, sha256: str, **figures: Any) -> None:
        """Evidence beside the champion in force, with good figures but for those that are given."""
        champion = self.desk.champion()
        against = {"bundle_sha256": champion.bundle_sha256, "version": champion.version} if champion else None
        found = dict(GOOD) if champion else GOOD | {"delta_auc": (None, None, None)}
        found |= figures
        body = {
            "schema": 1,
            "model": {"name": self.desk.name, "version": 1, "bundle_sha256": sha256, "study": "quick"},
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": {
                "dataset": "own",
                "split": "test",
                "rows": 1000,
                "defaults": 40,
                "label_definition": "90 dpd",
                "acceptance": "all",
                "synthetic": False,
            },
            "against": against,
            "figures": {
                name: {"value": value, "low": low, "high": high, "about": name}
                for name, (value, low, high) in found.items()
            },
        }
        write_whole(self.desk.evidence(sha256), json.dumps(body).encode())

    def ready(self, folder: Path, *, by: tuple[str, ...] = ("ann", "bob"), **figures: Any) -> str:
        """The bundle kept, validated and approved; its digest."""
        sha256 = self.keep(folder)
        self.validate(sha256, **figures)
        for person in by:
            approve(self.desk, sha256, by=self.people[person], now=datetime.now(UTC))
        return sha256

    def promote(self, folder: Path, **figures: Any) -> Promoted:
        """The bundle as champion, by the whole way: kept, validated, approved by two, promoted."""
        return promote(self.desk, self.ready(folder, **figures), now=datetime.now(UTC))


def found(folder: Path, *, people: tuple[str, ...] = ("ann", "bob", "cem")) -> World:
    """A desk in this folder - its name is the model's, such as fedcredit-quick - with the gates as shipped."""
    keys = {name: Identity.generate() for name in people}
    gates = Gates(folder.name, read_gates(), {name: key.public for name, key in keys.items()})
    desk = Desk(folder)
    desk.found(gates, by=list(keys.values())[:2])
    workshop = folder.parent / f"workshop-{folder.name}"
    workshop.mkdir(parents=True, exist_ok=True)
    return World(desk, keys, workshop)
