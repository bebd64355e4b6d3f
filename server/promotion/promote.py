"""A candidate past its gates, with two people's signatures, becomes the champion; else the gate is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fedcredit.errors import ModelError, PolicyRefused
from fedcredit.trust.files import write_whole
from server.promotion.approvals import ApprovalRefused, Signed, approved
from server.promotion.desk import Desk
from server.promotion.evidence import Evidence, read_evidence
from server.promotion.gates import Verdict, failed
from server.promotion.history import Promoted, promoted_by
from server.promotion.judged import refusal_of
from server.promotion.kept import PROMOTION
from server.promotion.pointer import write_pointer


class PromotionRefused(PolicyRefused):
    """What is to be promoted is champion already, or its bundle was changed."""

    code = "promote"


@dataclass(frozen=True)
class Trial:
    """What a promotion would meet: every gate's verdict, who has signed, and the first thing that refuses it."""

    verdicts: Sequence[Verdict]
    evidence: Evidence | None
    signed: Signed | None
    refusal: PolicyRefused | None


def promote(desk: Desk, sha256: str, *, now: datetime) -> Promoted:
    """Make the bundle on the desk the champion. The moment of truth is one synced line of the history.

    Before that line the old champion is in force, after it the new one, whatever fails; the pointer follows it.
    A refusal is recorded too.

    Raises:
        GateRefused, ApprovalRefused, EvidenceRefused, GatesRefused, PromotionRefused: says what is missing.
        HistoryBroken: the history was edited, or cannot be written; the old champion stays.
    """
    with desk.locked():
        state = desk.mend_held()
        trial = _tried(desk, sha256, now=now)
        if trial.signed is None or trial.refusal is not None:
            if desk.is_founded:
                desk.record("refused", _refused(desk, sha256, trial))
            raise trial.refusal or ApprovalRefused(desk.name, found="no approval", expected="one")
        approval = trial.signed.approval
        facts = {
            "bundle_sha256": sha256,
            "version": approval.version,
            "over": state.champion.bundle_sha256 if state.champion else None,
            "approvers": list(trial.signed.by),
            "approval_sha256": approval.sha256,
            "evidence_sha256": approval.evidence_sha256,
            "gates_sha256": approval.gates_sha256,
        }
        desk.record("intent", facts)
        write_whole(desk.bundle(sha256) / PROMOTION, trial.signed.data)
        entry = desk.record("promoted", facts)
        write_pointer(desk.folder, desk.state())
        return promoted_by(entry)


def tried(desk: Desk, sha256: str, *, now: datetime) -> Trial:
    """What a promotion would meet now, nothing changed and nothing recorded."""
    with desk.locked():
        return _tried(desk, sha256, now=now)


def _tried(desk: Desk, sha256: str, *, now: datetime) -> Trial:
    verdicts: Sequence[Verdict] = ()
    evidence, signed = None, None
    refusal: PolicyRefused | None = None
    try:
        champion, gates = desk.champion(), desk.gates()
        _check_bundle(desk, sha256, champion)
        evidence = read_evidence(desk.evidence(sha256))
        evidence.check(
            model=desk.name, bundle_sha256=sha256, champion=champion.bundle_sha256 if champion else None, now=now
        )
        verdicts = gates.judge(evidence.figures_at(now), is_first=champion is None)
        refusal = refusal_of(verdicts, evidence)
        signed = approved(desk, sha256, gates=gates, now=now)
        _check_same_evidence(signed, evidence)
    except PolicyRefused as fault:
        refusal = refusal or fault
    return Trial(verdicts, evidence, signed, refusal)


def _check_bundle(desk: Desk, sha256: str, champion: Promoted | None) -> None:
    if champion is not None and champion.bundle_sha256 == sha256:
        raise PromotionRefused(desk.name, found=f"the champion itself, version {champion.version}", expected="another")
    try:
        desk.bundle(sha256)
    except ModelError as fault:
        raise PromotionRefused(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None


def _check_same_evidence(signed: Signed, evidence: Evidence) -> None:
    """The bytes whose figures were judged are those that were signed, though the file was read twice."""
    if signed.approval.evidence_sha256 != evidence.sha256:
        raise PromotionRefused("evidence", found="a file that changes while it is read", expected="the signed one")


def _refused(desk: Desk, sha256: str, trial: Trial) -> dict[str, object]:
    refusal = trial.refusal
    return {
        "bundle_sha256": sha256,
        "version": desk.version(sha256),
        "code": refusal.code if refusal else "",
        "where": refusal.where[:200] if refusal else "",
        "found": refusal.found[:200] if refusal else "",
        "expected": refusal.expected[:200] if refusal else "",
        "gates": [one.gate for one in failed(trial.verdicts)],
    }
