"""A finished run into an audit: what its private training certainly leaks, beside what it claims."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.audit_subject import Subject
from experiments.folder import RunFolder
from fedcredit.errors import ModelError
from fedcredit.privacy.auditing.canaries import CanaryAudit, Rows, audit_with_canaries
from fedcredit.privacy.auditing.checks import examine
from fedcredit.privacy.auditing.claims import Claim, Finding
from fedcredit.privacy.auditing.engine import FitPrivate, Plan, train_rounds
from fedcredit.privacy.auditing.leaks import Inversion, invert_updates
from fedcredit.privacy.auditing.membership import Membership, attack
from fedcredit.privacy.dpsgd import fit_private

AUDIT_FILE = "audit.json"
INVERTED = 32
OTHER_SECONDS = 8.0  # an allowance for the checks, the inversions and the intervals, not a measurement


@dataclass(frozen=True)
class Audit:
    """Everything that `study audit` found, and whether it contradicts the run."""

    subject: Subject
    canaries: CanaryAudit
    membership: Membership
    inversion: Inversion | None
    findings: list[Finding]
    seconds: float

    @property
    def bound(self) -> float:
        """The largest epsilon that was certainly spent."""
        black = self.canaries.black_box
        return max(self.canaries.white_box.best, black.best if black else 0.0)

    @property
    def is_contradicted(self) -> bool:
        """The bound exceeds the claim, or a check of the engine or of the claim failed."""
        return self.bound > self.subject.claimed or not all(finding.is_sound for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For audit.json and `--json`."""
        subject = self.subject
        return {
            "schema": 1,
            "unit": subject.unit.name,
            "institution": subject.institution,
            "companies": subject.companies,
            "epsilon_claimed": subject.claimed,
            "delta": subject.delta,
            "epsilon_bound": self.bound,
            "is_contradicted": self.is_contradicted,
            **asdict(self.canaries),
            "membership": asdict(self.membership),
            "inversion": asdict(self.inversion) if self.inversion else None,
            "findings": [asdict(finding) for finding in self.findings],
            "seconds": self.seconds,
        }


def audit(
    subject: Subject,
    *,
    canaries: int,
    shadows: int,
    engine: FitPrivate = fit_private,
    on_step: Callable[[str, float], None] = lambda what, seconds: None,
) -> Audit:
    """Check the engine and the claim, train once with canaries, attack membership with shadows, invert updates."""
    torch.set_num_threads(1)
    began = last = time.perf_counter()

    def done(what: str) -> None:
        nonlocal last
        now = time.perf_counter()
        on_step(what, now - last)
        last = now

    rng = np.random.default_rng(secrets.randbits(128))
    findings = examine(engine, Claim(subject.claimed, subject.delta, subject.history, subject.companies))
    done("twelve checks of engine and claim")
    planted = audit_with_canaries(
        engine,
        subject.model(),
        subject.train,
        plan=subject.plan,
        delta=subject.delta,
        canaries=canaries,
        odd=subject.odd,
        rng=rng,
    )
    done(f"a training with {canaries:,} canaries")
    membership = attack(
        lambda is_in: _confidence(engine, subject, is_in),
        companies=subject.companies,
        shadows=shadows,
        rng=rng,
        on_shadow=lambda: done("shadow model"),
    )
    try:
        inverted = invert_updates(engine, subject.model(), subject.train, plan=subject.plan, companies=INVERTED)
    except ModelError:
        inverted = None
    done("inversion of updates")
    return Audit(subject, planted, membership, inverted, findings, time.perf_counter() - began)


def estimate_seconds(subject: Subject, *, canaries: int, shadows: int) -> float:
    """Seconds that `audit` will take, from a few rounds of each training on random rows of the same shape."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    n = len(subject.train)
    stand_in = Rows(torch.randn(subject.train.x.shape), subject.train.y, subject.train.company)
    half = np.arange(n) % 2 == 0

    def planted(plan: Plan) -> None:
        audit_with_canaries(
            fit_private,
            subject.model(),
            stand_in,
            plan=plan,
            delta=subject.delta,
            canaries=canaries,
            odd=None,
            rng=rng,
        )

    def shadow(plan: Plan) -> None:
        x, y, company = stand_in.x[half], stand_in.y[half], stand_in.company[half]
        train_rounds(fit_private, subject.model(), x, y, company=company, plan=plan)

    a_round = _seconds_a_round(planted, subject) + shadows * _seconds_a_round(shadow, subject)
    return subject.plan.rounds * a_round + OTHER_SECONDS


def _seconds_a_round(train: Callable[[Plan], None], subject: Subject) -> float:
    """From 1 round to 3: what is done once, imports among it, does not count."""
    train(replace(subject.plan, rounds=1))
    began = time.perf_counter()
    train(replace(subject.plan, rounds=1))
    once = time.perf_counter() - began
    train(replace(subject.plan, rounds=3))
    return max(0.0, time.perf_counter() - began - 2 * once) / 2


def write(found: Audit, folder: Path) -> Path:
    """Keep the audit in the run's folder."""
    return RunFolder(folder).write_text(AUDIT_FILE, json.dumps(found.as_dict(), ensure_ascii=False, indent=1) + "\n")


def _confidence(engine: FitPrivate, subject: Subject, is_in: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean signed logit of each company's rows under a model that was trained on the companies chosen."""
    rows, model = subject.train, subject.model()
    _, number = np.unique(rows.company, return_inverse=True)
    chosen = is_in[number]
    train_rounds(engine, model, rows.x[chosen], rows.y[chosen], company=rows.company[chosen], plan=subject.plan)
    with torch.no_grad():
        logits = model.eval()(rows.x).double().numpy()
    signed = np.where(rows.y.numpy() > 0.5, logits, -logits)
    return np.bincount(number, weights=signed) / np.bincount(number)
